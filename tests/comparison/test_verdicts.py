"""Verdicts on hand-made scores: each step of the rule, and that agreement alone never grants one."""

import pytest

from xai_mimo.comparison.verdicts import verdicts
from xai_mimo.record.rows import Difference, Score

pytestmark = pytest.mark.all_frameworks

METHODS = {"attention": False, "ig": True}


def gain(method, estimate, width=0.02, *, other="random", low=..., high=...):
    low = estimate - width if low is ... else low
    high = estimate + width if high is ... else high
    return [
        Difference(
            head="risk",
            metric=metric,
            method=method,
            other=other,
            estimate=estimate,
            low=low,
            high=high,
            rows=9,
            note="made by hand",
            p=0.001,
            p_corrected=0.01,
        )
        for metric in ("deletion_area", "insertion_area")
    ]


def scored(method, metric, role, estimate, low=None, high=None):
    return Score(
        head="risk",
        family="ground_truth",
        metric=metric,
        method=method,
        role=role,
        estimate=estimate,
        low=low,
        high=high,
        rows=9,
        note="made by hand",
    )


def truth(method, estimate, low, high, *, share=None):
    rows = [
        scored(method, "auroc_mean_map", "value", estimate, low, high),
        scored(method, "auroc_mean_map", "floor_random", 0.5),
    ]
    if share is not None:
        rows += [
            scored(method, "share", "value", share, share - 0.05, share + 0.05),
            scored(method, "share", "floor_random", 0.25),
        ]
    return rows


def regions(mass, pointing):
    """Scores of the attention's maps where one fifth of each image is marked; intervals reach .05 to either side."""
    return [
        row
        for metric, estimate in (("mass_in_region", mass), ("pointing_game", pointing))
        for row in (
            scored("attention", metric, "value", estimate, estimate - 0.05, estimate + 0.05),
            scored("attention", metric, "floor_random", 0.2),
        )
    ]


def agreement(estimate, low, floor=0.5, ceiling=0.95):
    def row(role, value, low=None):
        return Score(
            head="risk",
            family="agreement",
            metric="pairwise_rank_agreement",
            method="attention",
            other="ig",
            role=role,
            estimate=value,
            low=low,
            high=None if low is None else 2 * value - low,
            rows=9,
            note="made by hand",
        )

    return [
        row("value", estimate, low),
        row("floor_random", floor),
        row("floor_permuted", floor),
        row("ceiling", ceiling),
    ]


def judge(scores, gains, **kwargs):
    rows = verdicts(["risk"], METHODS, scores, gains, **kwargs)
    assert [r.method for r in rows] == list(METHODS)
    return rows[0]


GOOD = [*gain("attention", 0.3), *gain("ig", 0.4)]


def test_an_order_that_beats_random_and_finds_the_truth_is_supported():
    row = judge([*truth("attention", 0.95, 0.9, 1.0, share=0.6), *agreement(0.8, 0.75)], GOOD)
    assert row.verdict == "supported"
    assert row.text == "attention can be used to tell which inputs drive head 'risk'."
    assert any("better than a random order" in s and "p = 0.01" in s for s in row.evidence)
    assert any("75% of what the best method here, ig" in s for s in row.evidence)
    assert any("floor 0.5, ceiling 0.95" in s for s in row.evidence)


def test_attention_is_said_to_have_no_sign():
    rows = verdicts(["risk"], METHODS, [], GOOD)
    assert any("no sign" in s for s in rows[0].evidence)
    assert not any("no sign" in s for s in rows[1].evidence)


def test_agreement_alone_never_supports():
    gains = [*gain("attention", 0.0), *gain("ig", 0.4)]
    assert judge(agreement(1.0, 0.99), gains).verdict == "doubtful"
    assert judge(agreement(1.0, 0.99), []).verdict == "undecided"


def test_agreement_at_the_floor_takes_support_away():
    row = judge(agreement(0.51, 0.45), GOOD)
    assert row.verdict == "doubtful"
    assert "agrees with no other method more than chance does" in row.text


def test_worse_than_random_is_misleading_and_names_what_to_read_instead():
    row = judge([], [*gain("attention", -0.1), *gain("ig", 0.4)])
    assert row.verdict == "misleading"
    assert "Do not use attention for head 'risk'" in row.text
    assert "Read ig instead." in row.text


def test_avoiding_the_truth_is_misleading_however_faithful():
    row = judge([*truth("attention", 0.3, 0.2, 0.45), *agreement(0.9, 0.85)], GOOD)
    assert row.verdict == "misleading"
    assert "points away from the features that are known to matter" in row.text


@pytest.mark.parametrize(
    ("estimate", "low", "share", "expected"),
    [
        (0.75, 0.7, 0.6, "doubtful"),  # found in part
        (0.85, 0.45, 0.6, "doubtful"),  # not told from chance
        (0.85, 0.6, 0.6, "supported"),
        (0.85, 0.6, None, "supported"),
        (0.85, 0.6, 0.27, "doubtful"),  # the mass is that of a uniform map
        (0.85, 0.6, 0.15, "misleading"),  # ranked right, but with less mass than chance gives
    ],
)
def test_thresholds_of_the_truth(estimate, low, share, expected):
    row = judge(truth("attention", estimate, low, 1.0, share=share), GOOD)
    assert row.verdict == expected
    if share is not None:
        assert any(f"{share:.0%} of its mass" in s and "25% would by chance" in s for s in row.evidence)


def test_reaching_less_than_half_of_the_best_method_is_doubtful():
    row = judge([], [*gain("attention", 0.15), *gain("ig", 0.4)])
    assert row.verdict == "doubtful"
    assert "another method finds much more" in row.text


def test_an_order_like_a_random_one_is_doubtful():
    row = judge([], [*gain("attention", 0.3, width=0.4), *gain("ig", 0.4)])
    assert row.verdict == "doubtful"
    assert "not clearly better than a random one" in row.text


def test_a_single_row_is_undecided():
    gains = [*gain("attention", 0.3, low=None, high=None), *gain("ig", 0.4, low=None, high=None)]
    row = judge(truth("attention", 1.0, None, None), gains)
    assert row.verdict == "undecided"
    assert "explain more rows" in row.text


def test_a_head_that_does_not_move_is_undecided():
    row = judge([], GOOD, undecidable={"risk": "it does not react"})
    assert (row.verdict, row.text, row.evidence) == ("undecided", "it does not react", ())


@pytest.mark.parametrize(
    ("mass", "pointing", "verdict"),
    [
        (0.5, 0.9, "supported"),
        (0.5, 0.5, "supported"),
        (0.5, 0.45, "doubtful"),  # above chance, but it points beside the region more often than at it
        (0.22, 0.9, "doubtful"),  # mass not distinguishable from chance
        (0.1, 0.9, "misleading"),
        (0.5, 0.1, "misleading"),
    ],
)
def test_a_map_finds_a_region_by_its_mass_and_by_its_largest_value(mass, pointing, verdict):
    row = judge([*regions(mass, pointing), *agreement(0.8, 0.75)], GOOD)
    assert row.verdict == verdict
    assert any(f"{mass:.0%} of its mass lies in the marked regions, 20% would by chance" in s for s in row.evidence)
    assert any(f"in {pointing:.0%} of the rows, 20% by chance" in s for s in row.evidence)
