"""Verdicts on hand-made scores and tests: each use of a map on its own evidence, and every sentence with its number."""

import dataclasses
import itertools
import re

import pytest

from xai_mimo.comparison.verdicts import verdicts
from xai_mimo.record.results import Difference, Score
from xai_mimo.reports.numbers import p_equals

pytestmark = pytest.mark.all_frameworks

METHODS = {"attention": False, "ig": True}


def difference(metric, other, estimate, p=0.0001, *, method="attention"):
    return Difference(
        head="risk",
        metric=metric,
        method=method,
        other=other,
        estimate=estimate,
        low=estimate - 0.1,
        high=estimate + 0.1,
        rows=50,
        p=p / 4,
        p_corrected=p,
    )


def score(metric, estimate, *, method="attention", role="value", low=None, note="made by hand", other=None):
    return Score(
        head="risk",
        family="faithfulness",
        metric=metric,
        method=method,
        other=other,
        role=role,
        estimate=estimate,
        low=low,
        high=None if low is None else 2 * estimate - low,
        rows=50,
        note=note,
    )


def order(gain, p=0.0001, *, method="attention", deletion=None, insertion=None, areas_p=None):
    """A symmetric gain and both areas gained, of the same sign unless they are given."""
    areas_p = p if areas_p is None else areas_p
    return [score("symmetric_gain", gain, method=method)], [
        difference("symmetric_gain", "chance", gain, p, method=method),
        difference("deletion_area", "random", gain / 2 if deletion is None else deletion, areas_p, method=method),
        difference("insertion_area", "random", gain / 2 if insertion is None else insertion, areas_p, method=method),
    ]


def shares(overlap, floor=0.2, p=0.0001, *, method="attention"):
    rows = [
        score("effect_overlap", overlap, method=method),
        score("effect_overlap", floor, method=method, role="floor_permuted"),
    ]
    return rows, [difference("effect_overlap", "permuted", overlap - floor, p, method=method)]


def sign(gain, p=0.0001, *, violation=0.02):
    rows = [score("violation", violation, method="ig")]
    return rows, [difference("signed_gain", "chance", gain, p, method="ig")]


def truth(auroc, mass=0.7, *, auroc_p=0.04, mass_p=0.0001, chance=0.25):
    rows = [score("auroc_mean_map", auroc), score("share", mass), score("share", chance, role="floor_random")]
    tests = [
        difference("auroc_mean_map", "chance", auroc - 0.5, auroc_p),
        difference("share", "chance", mass - chance, mass_p),
    ]
    return rows, tests


def regions(mass, pointing, *, p=0.0001):
    rows, tests = [], []
    for metric, estimate in (("mass_in_region", mass), ("pointing_game", pointing)):
        rows += [score(metric, estimate), score(metric, 0.2, role="floor_random")]
        tests.append(difference(metric, "chance", estimate - 0.2, p))
    return rows, tests


def agreement(estimate, low, floor=0.5, ceiling=0.95):
    roles = {"value": estimate, "floor_random": floor, "floor_permuted": floor, "ceiling": ceiling}
    rows = [
        score("pairwise_rank_agreement", value, other="ig", role=role, low=low if role == "value" else None)
        for role, value in roles.items()
    ]
    return rows, []


def judge(*parts, method="attention", methods=METHODS, inputs=8, **kwargs):
    scores = list(itertools.chain.from_iterable(rows for rows, _ in parts))
    tests = list(itertools.chain.from_iterable(rows for _, rows in parts))
    rows = verdicts(["risk"], methods, scores, tests, inputs=inputs, replacement="the mean of the background", **kwargs)
    assert [r.method for r in rows] == list(methods)
    return next(r for r in rows if r.method == method)


def said(row, *patterns):
    for pattern in patterns:
        assert any(re.search(pattern, s) for s in row.evidence), (pattern, row.evidence)


GOOD = [order(0.4), shares(0.8)]
GOOD_IG = [order(0.4, method="ig"), shares(0.9, method="ig"), sign(0.5)]


def test_a_map_without_signs_is_supported_for_order_and_shares():
    row = judge(*GOOD)
    assert (row.verdict, row.order, row.shares, row.sign) == ("supported", "supported", "supported", None)
    assert row.text == (
        "attention can be used for head 'risk' to tell which inputs matter more and how much each counts."
    )
    said(
        row,
        r"stays 0\.400 closer than with them replaced by the mean of the background .* better than a random order, which "
        r"gains 0 \(p < \.001\)\.",
        r"replacing its top inputs first is better than a random order \(an area 0\.200 better; p < \.001\)\.",
        r"keeping its top inputs first is better than a random order \(an area 0\.200 better",
        r"80 % of its mass lies where the effect is, 20 % does once the map is permuted \(p < \.001\); asked for are half",
        r"this map has none",
    )


def test_a_map_with_signs_is_supported_for_all_three():
    row = judge(*GOOD_IG, method="ig")
    assert (row.verdict, row.order, row.shares, row.sign) == ("supported",) * 4
    assert row.text.endswith("which inputs matter more, how much each counts and which way each moves the prediction.")
    said(row, r"kept the prediction lies 0\.500 higher .* better than", r"in 2 % of the rows .* decides nothing")


@pytest.mark.parametrize(
    ("gain", "p", "word", "says"),
    [
        (0.4, 0.05, "supported", "better than a random order, which gains 0 (p = .050)."),
        (0.4, 0.0501, "doubtful", "not distinguishable from a random order, which gains 0 (p = .0501)."),
        (-0.4, 0.3, "doubtful", "not distinguishable from a random order, which gains 0 (p = .300)."),
        (-0.4, 0.011, "doubtful", "though not clearly enough to say so (p = .011; 0.01 is asked for)."),
        (-0.4, 0.01, "misleading", "worse than a random order, which gains 0 (p = .010)."),
    ],
)
def test_the_printed_p_decides_and_an_accusation_asks_for_more(gain, p, word, says):
    row = judge(order(gain, p), shares(0.8))
    assert row.order == word
    assert row.evidence[0].endswith(says)


@pytest.mark.parametrize(
    ("gain", "deletion", "insertion", "word"),
    [
        (0.4, -0.2, 0.6, "supported"),  # what opposes: deleting both cancels
        (-0.4, 0.1, -0.5, "doubtful"),  # one area is better
        (-0.4, -0.2, -0.2, "misleading"),
    ],
)
def test_one_area_alone_does_not_mislead(gain, deletion, insertion, word):
    assert judge(order(gain, deletion=deletion, insertion=insertion), shares(0.8)).order == word


def test_both_areas_worse_mislead_where_the_gain_cannot_tell():
    row = judge(order(-0.1, 0.3, deletion=-0.2, insertion=-0.2, areas_p=0.001), shares(0.8))
    assert (row.order, row.verdict) == ("misleading", "misleading")
    assert "its order is worse than a random one" in row.text


def test_signs_vouch_for_an_order_that_cancels():
    weak = order(0.01, 0.9, method="ig")
    assert judge(weak, shares(0.9, method="ig"), sign(0.5), method="ig").order == "supported"
    assert judge(weak, shares(0.9, method="ig"), sign(0.5, 0.9), method="ig").order == "doubtful"
    wrong = order(-0.4, method="ig")
    assert judge(wrong, shares(0.9, method="ig"), sign(0.5), method="ig").order == "misleading"


@pytest.mark.parametrize(
    ("gain", "p", "word"), [(-0.4, 0.001, "doubtful"), (-0.4, 0.9, "misleading"), (0.4, 0.001, "supported")]
)
def test_only_a_gain_among_neighbours_excuses_an_order_and_it_spoils_none(gain, p, word):
    rows = [], [difference("conditional_symmetric_gain", "chance", 0.3, p)]
    row = judge(order(gain), shares(0.8), rows)
    assert row.order == word
    said(row, "nearest rows")


def test_signs_do_not_vouch_for_magnitudes_that_are_wrong():
    right = shares(0.9, method="ig"), sign(0.5)
    areas_worse = order(-0.1, 0.3, method="ig", deletion=-0.2, insertion=-0.2, areas_p=0.001)
    assert judge(areas_worse, *right, method="ig").order == "misleading"
    one_better = order(-0.4, method="ig", deletion=0.1, insertion=-0.5)
    assert judge(one_better, *right, method="ig").order == "doubtful"


def test_signs_are_doubtful_where_the_mass_lies_on_what_does_nothing():
    row = judge(order(0.4, method="ig"), shares(0.05, method="ig"), sign(0.5), method="ig")
    assert (row.shares, row.sign) == ("misleading", "doubtful")
    assert "its signs are mostly of inputs that do little" in row.text


@pytest.mark.parametrize(
    ("overlap", "floor", "p", "word"),
    [
        (0.5, 0.2, 0.001, "supported"),
        (0.49, 0.2, 0.001, "doubtful"),  # less than half
        (0.6, 0.55, 0.001, "doubtful"),  # hardly more than the map permuted
        (0.6, 0.2, 0.2, "doubtful"),
        (0.1, 0.2, 0.001, "misleading"),
        (0.11, 0.2, 0.001, "doubtful"),  # more than half of what the permuted map has
    ],
)
def test_thresholds_of_the_shares(overlap, floor, p, word):
    row = judge(order(0.4), shares(overlap, floor, p))
    assert row.shares == word
    assert row.order == "supported"
    if word != "supported":
        assert row.verdict == word
        assert row.text.startswith("Use attention for head 'risk' only to tell which inputs matter more: ")


def test_much_mass_on_an_input_without_effect_is_misleading():
    note = "const.0: 80% of the mass, 0% of the effect"
    leak = [score("idle_mass", 0.7, low=0.51, note=note)], []
    row = judge(*GOOD, leak)
    assert (row.order, row.shares, row.verdict) == ("supported", "misleading", "misleading")
    assert note in row.text
    said(row, note)
    some = judge(*GOOD, ([score("idle_mass", 0.2, low=0.11, note=note)], []))
    assert (some.shares, some.verdict) == ("doubtful", "doubtful")
    assert judge(*GOOD, ([score("idle_mass", 0.2, low=0.1, note=note)], [])).shares == "supported"


def test_a_nearly_uniform_map_says_so():
    nearly, less = ([score("uniformity", value)] for value in (0.9, 0.89))
    row = judge(*GOOD, (nearly, []))
    assert (row.order, row.shares) == ("doubtful", "doubtful")
    said(row, r"Order: it hardly differs .* \(uniformity 0\.900, where such a map has 1", "Shares: it hardly differs")
    assert judge(*GOOD, (less, [])).verdict == "supported"
    assert judge(*GOOD, (nearly, []), inputs=2).verdict == "supported"


def test_where_all_inputs_count_alike_uniform_shares_are_right():
    row = judge(order(0.0, 0.9), shares(0.9, 0.89, 0.5), ([score("uniformity", 0.95)], []))
    assert (row.order, row.shares) == ("doubtful", "supported")
    assert judge(order(0.0, 0.9), shares(0.89, 0.89, 0.5)).shares == "doubtful"


def test_signs_that_vouch_say_so_and_not_for_a_uniform_map():
    weak = order(0.01, 0.9, method="ig")
    row = judge(weak, shares(0.9, method="ig"), sign(0.5), method="ig")
    said(row, r"Order: its signs vouch for it: .* 0\.500 higher than with them replaced \(signed gain; p < \.001\)")
    uniform = [score("uniformity", 0.95, method="ig")], []
    assert judge(weak, shares(0.9, method="ig"), sign(0.5), uniform, method="ig").order == "doubtful"


def test_reversed_signs_mislead_though_the_order_is_right():
    row = judge(*GOOD_IG[:2], sign(-0.5, violation=0.97), method="ig")
    assert (row.verdict, row.order, row.shares, row.sign) == ("misleading", "supported", "supported", "misleading")
    assert (
        "only to tell which inputs matter more and how much each counts: its signs are the wrong way round" in row.text
    )
    said(row, "in 97 % of the rows", r"0\.500 lower .* worse than")


def test_signs_of_sensitivities_are_not_judged():
    row = judge(*GOOD_IG[:2], sign(-0.5), method="ig", attributions=[])
    assert (row.sign, row.verdict) == (None, "supported")
    said(row, "speaks of sensitivities")


@pytest.mark.parametrize(
    ("auroc", "p", "word"),
    [(0.8, 0.2, "supported"), (0.79, 0.01, "doubtful"), (0.3, 0.02, "doubtful"), (0.1, 0.01, "misleading")],
)
def test_the_truth_and_the_order(auroc, p, word):
    row = judge(*GOOD, truth(auroc, auroc_p=p))
    assert (row.order, row.shares) == (word, "supported")
    against = rf"; worse than chance, {p_equals(p)}" if word == "misleading" else ""
    said(row, rf"AUROC {auroc:g} \(0\.5 is chance, 0\.8 is asked for{against}\)")
    if word == "doubtful":
        assert ("it finds only a part of" if auroc > 0.5 else "it does not find") in row.text


@pytest.mark.parametrize(
    ("mass", "p", "word"),
    [(0.4, 0.001, "supported"), (0.4, 0.06, "doubtful"), (0.13, 0.001, "doubtful"), (0.12, 0.001, "misleading")],
)
def test_the_truth_and_the_shares(mass, p, word):
    row = judge(*GOOD, truth(0.9, mass, mass_p=p))
    assert (row.order, row.shares) == ("supported", word)
    said(row, rf"{100 * mass:.0f} % of its mass lies on the true features, .* the 25 % of chance \({p_equals(p)}\)")


@pytest.mark.parametrize(
    ("mass", "pointing", "p", "words"),
    [
        (0.3, 0.9, 0.001, ("supported", "supported")),  # evidence beside a mark is no fault: above chance is enough
        (0.3, 0.45, 0.001, ("doubtful", "supported")),
        (0.3, 0.55, 0.3, ("doubtful", "doubtful")),
        (0.3, 0.9, 0.3, ("doubtful", "doubtful")),
        (0.1, 0.1, 0.001, ("misleading", "misleading")),
    ],
)
def test_regions(mass, pointing, p, words):
    row = judge(*GOOD, regions(mass, pointing, p=p))
    assert (row.order, row.shares) == words
    says = f"in {100 * pointing:.0f} % of the rows, 20 % would by chance"
    said(row, says, f"{100 * mass:.0f} % of its mass lies in the marked regions, .* the 20 % of chance")


def test_agreement_decides_nothing():
    alone = judge(*GOOD)
    for rate in (0.2, 0.99):
        row = judge(*GOOD, *GOOD_IG, agreement(rate, rate - 0.01))
        assert (row.verdict, row.order, row.shares) == (alone.verdict, alone.order, alone.shares)
    said(row, r"99 % of all pairs of inputs stand in the same order in ig \(floor 50 %, ceiling 95 %\): .* they agree")
    weak = judge(order(0.0, 0.9), shares(0.8), *GOOD_IG, agreement(1.0, 0.99))
    assert weak.order == "doubtful"


def test_agreement_is_told_of_supported_methods_alone_and_above_the_floor_by_a_tenth():
    bad_ig = order(0.0, 0.9, method="ig")
    assert not any("Agreement" in s for s in judge(*GOOD, bad_ig, agreement(0.9, 0.8)).evidence)
    said(judge(*GOOD, *GOOD_IG, agreement(0.59, 0.55)), "hardly more than by chance")
    said(
        judge(*GOOD, *GOOD_IG, agreement(0.61, 0.55)),
        "ceiling 95 %.*a tenth more than the floor or better, so they agree",
    )
    without = judge(*GOOD, *GOOD_IG, agreement(0.61, 0.55, ceiling=None))
    said(without, r"\(floor 50 %\)")


def pair(own, other, p):
    """The attention's gain against that of ig."""
    return [], [difference("symmetric_gain", "ig", own - other, p)]


@pytest.mark.parametrize(
    ("own", "p", "word"), [(0.19, 0.001, "doubtful"), (0.19, 0.02, "supported"), (0.2, 0.001, "supported")]
)
def test_another_that_gains_twice_as_much_makes_an_order_doubtful(own, p, word):
    row = judge(order(own), shares(0.8), *GOOD_IG, pair(own, 0.4, p))
    assert row.order == word
    more = f"ig has a symmetric gain of 0.400, this map one of {own:.3f} (p = .001)"
    assert any(more in s for s in row.evidence) == (p == 0.001)
    assert ("ig gains more than twice as much" in row.text) == (word == "doubtful")


def test_a_pair_is_read_from_either_side():
    pair_of_ig = [], [difference("symmetric_gain", "attention", 0.21, 0.001, method="ig")]
    assert judge(order(0.19), shares(0.8), *GOOD_IG, pair_of_ig).order == "doubtful"
    lost = [], [difference("symmetric_gain", "attention", -0.25, 0.001, method="ig")]
    assert judge(order(0.65), shares(0.8), *GOOD_IG, lost).order == "supported"


def test_of_several_that_gain_more_the_best_is_held_against_a_map():
    third = order(0.3, method="third")
    tests = [], [difference("symmetric_gain", "third", -0.1, 0.001), difference("symmetric_gain", "ig", -0.21, 0.001)]
    methods = {"attention": False, "third": False, "ig": True}
    row = judge(order(0.19), shares(0.8), third, *GOOD_IG, tests, methods=methods)
    assert row.order == "doubtful"
    said(row, r"ig has a symmetric gain of 0\.400, this map one of 0\.190")


def test_another_is_named_only_where_it_is_supported_and_significantly_better():
    poor = [order(-0.1, 0.9), shares(0.8)]
    said(judge(*poor, *GOOD_IG, pair(-0.1, 0.4, 0.001)), "ig has a symmetric gain of 0.400, this map one of −0.100")
    for others, p, gain in ((GOOD_IG, 0.02, 0.4), ([order(0.0, 0.9, method="ig")], 0.001, 0.0)):
        row = judge(*poor, *others, pair(-0.1, gain, p))
        assert not any("ig has" in s for s in (row.text, *row.evidence))


def test_no_company_changes_what_a_map_is_supported_for():
    alone = judge(*GOOD, methods={"attention": False})
    noise = [order(0.0, 0.9, method="ig"), shares(0.2, 0.2, 0.9, method="ig"), sign(0.0, 0.9)]
    among = judge(*GOOD, *noise, agreement(0.4, 0.3), pair(0.4, 0.0, 0.001))
    assert among == alone


def test_an_order_that_was_not_tested_is_undecided():
    row = judge(shares(0.8))
    assert (row.verdict, row.order, row.shares) == ("undecided", "undecided", "supported")
    assert "Explain more rows" in row.text


def test_uses_that_were_not_tested_do_not_count_and_are_named():
    row = judge(order(0.4))
    assert (row.verdict, row.order, row.shares) == ("supported", "supported", "undecided")
    assert row.text == (
        "attention can be used for head 'risk' to tell which inputs matter more; its shares are untested."
    )
    said(row, "Shares: untested, for 'effect_overlap' did not run, or is defined in fewer than 10 rows")
    assert judge(*GOOD_IG[:2], method="ig").text.endswith("how much each counts; its signs are untested.")


def test_a_test_of_few_rows_is_none():
    rows, tests = shares(0.9)
    few = [dataclasses.replace(t, rows=9) for t in tests]
    assert judge(order(0.4), (rows, few)).shares == "undecided"


def test_a_head_of_which_nothing_can_be_said():
    rows = [judge(*GOOD, *GOOD_IG, undecidable={"risk": "it does not react"}, method=m) for m in METHODS]
    for row in rows:
        assert (row.verdict, row.order, row.shares, row.text) == (*("undecided",) * 3, "it does not react")
        assert row.evidence == ()
    assert [row.sign for row in rows] == [None, "undecided"]


@pytest.mark.parametrize(
    ("gain", "areas", "word"),
    [
        (0.4, 4.0, "supported"),
        (0.4, 4.1, "doubtful"),  # significant, and less than a tenth of all that moves
        (-0.4, 4.0, "misleading"),
        (-0.4, 4.1, "doubtful"),
    ],
)
def test_a_gain_must_be_a_tenth_of_all_movement(gain, areas, word):
    moved = [score("deletion_area", areas - 1.0), score("insertion_area", 1.0)], []
    row = judge(order(gain), shares(0.8), moved)
    assert row.order == word
    percent = "10" if areas == 4.0 else "9.8"
    said(row, rf"symmetric gain, {'−' if gain < 0 else ''}{percent} % of all movement")


def test_no_rounding_puts_a_number_on_the_other_side_of_its_threshold():
    said(judge(order(0.4), shares(0.4999)), r"49\.99 % of its mass lies where the effect is")
    said(judge(order(0.4), shares(0.6996, 0.6)), r"69\.96 % of its mass lies .*, 60 % does")
    said(judge(*GOOD, truth(0.79996)), r"AUROC 0\.79996 ")
    moved = [score("deletion_area", 3.02), score("insertion_area", 1.0)], []
    said(judge(order(0.4), shares(0.8), moved), r"symmetric gain, 9\.95 % of all movement")
    said(judge(order(-0.4), shares(0.8), moved), r"symmetric gain, −9\.95 % of all movement")


def test_an_undecided_head_has_no_word_for_a_sign_that_nobody_claims():
    rows = verdicts(["risk"], {"gradient": True}, [], [], inputs=3, attributions=[], undecidable={"risk": "why"})
    assert rows[0].sign is None


def test_three_inputs_are_enough_for_a_map_to_be_uniform():
    nearly = [score("uniformity", 0.95)], []
    words = [judge(*GOOD, nearly, inputs=inputs).verdict for inputs in (2, 3, 4)]
    assert words == ["supported", "doubtful", "doubtful"]


@pytest.mark.parametrize(("hits", "word"), [(0.5, "supported"), (0.4999, "doubtful")])
def test_pointing_at_the_regions_in_half_of_the_rows_is_enough(hits, word):
    row = judge(*GOOD, regions(0.3, hits))
    assert row.order == word
    assert ("mostly lies outside the marked regions" in row.text) == (word == "doubtful")
    might = judge(*GOOD, regions(0.3, hits, p=0.3)).text
    why = "no more often than it might by chance" if hits == 0.5 else "mostly lies outside"
    assert why in might


def test_the_mass_in_regions_is_read_before_the_mass_on_features():
    row = judge(*GOOD, truth(0.9, 0.1), regions(0.7, 0.9))
    assert (row.order, row.shares) == ("supported", "supported")
    said(row, "70 % of its mass lies in the marked regions")
    assert not any("on the true features" in s for s in row.evidence)


@pytest.mark.parametrize(
    ("overlap", "word"),
    [(0.7, "supported"), (0.695, "doubtful"), (0.7005, "supported")],
)
def test_a_tenth_more_of_the_mass_than_of_the_map_permuted(overlap, word):
    assert judge(order(0.4), shares(overlap, 0.6)).shares == word


@pytest.mark.parametrize(
    ("low", "word"),
    [(0.09, "supported"), (0.1, "supported"), (0.1001, "doubtful"), (0.5, "doubtful"), (0.5001, "misleading")],
)
def test_mass_on_an_input_without_effect_counts_from_a_tenth_and_from_half(low, word):
    row = judge(*GOOD, ([score("idle_mass", low + 0.1, low=low)], []))
    assert row.shares == word
    assert ("much of its mass" in row.text) == (word == "misleading")
    assert ("some of its mass" in row.text) == (word == "doubtful")


@pytest.mark.parametrize(
    ("estimate", "low", "random", "permuted", "agrees"),
    [
        (0.9, 0.8, 0.5, 0.5, True),
        (0.9, 0.8, 0.5, 0.85, False),  # the higher floor counts
        (0.9, 0.8, 0.85, 0.5, False),
        (0.7, 0.49, 0.5, 0.5, False),  # the interval holds the floor
        (0.7, 0.5, 0.5, 0.5, False),
        (0.7, 0.501, 0.5, 0.5, True),
        (0.625, 0.51, 0.5, 0.5, True),
        (0.609, 0.51, 0.5, 0.5, True),
        (0.6, 0.51, 0.5, 0.5, True),  # a tenth, whatever 0.6 - 0.5 is in binary
        (0.595, 0.51, 0.5, 0.5, False),  # less than a tenth more
        (0.7, None, 0.5, 0.5, False),
    ],
)
def test_methods_agree_where_they_stand_a_tenth_above_both_floors(estimate, low, random, permuted, agrees):
    rows, _ = agreement(estimate, low)
    by_role = {"floor_random": random, "floor_permuted": permuted}
    rows = [dataclasses.replace(r, estimate=by_role.get(r.role, r.estimate)) for r in rows]
    row = judge(*GOOD, *GOOD_IG, (rows, []))
    said(row, "so they agree" if agrees else "hardly more than by chance")
    said(row, rf"\(floor {100 * max(random, permuted):.0f} %")


def test_a_map_that_all_heads_share_is_called_so():
    said(judge(shared=["attention"]), "^Heads: this map is the same for every head")
    assert not any(sentence.startswith("Heads:") for sentence in judge(shared=["ig"]).evidence)
