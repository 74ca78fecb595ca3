"""What the scores say of one map for one use: better, worse, neither or untested, in sentences with their numbers.

Every sentence prints the number that it follows from, and every test is the one of the record's ``differences``: its p,
corrected (Holm) for the tests of one verdict. For a map it takes p <= 0.05, against it p <= 0.01.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from xai_mimo.comparison.case import AREAS, Case, Evidence, side
from xai_mimo.comparison.sentences import by_how_much, digits_of, p_of, percent, than
from xai_mimo.metrics.statistics import FEW_ROWS
from xai_mimo.record.results import Score
from xai_mimo.record.words import CHANCE, PERMUTED, RANDOM, Role
from xai_mimo.reports.numbers import number

TRUTH_FOUND = 0.8
HALF = 0.5
TENTH = 0.1
UNIFORM = 0.9
ALIKE = 0.9
_GAINS_NOTHING = "a random order, which gains 0"
_FLOORS: tuple[Role, ...] = ("floor_random", "floor_permuted")


def _untested(use: str, metric: str, why: str) -> Evidence:
    sentence = f"{use}: untested, for '{metric}' did not run, or is defined in fewer than {FEW_ROWS} rows."
    return Evidence(None, (sentence,), why)


def order_of(case: Case, *, has_sign: bool) -> Evidence:
    """Whether the map's order is better than a random one, and ranks the truth first."""
    gain = case.test("symmetric_gain", CHANCE)
    if gain is None:
        return _untested("Order", "symmetric_gain", "its order is untested")
    areas = {what: row for metric, what in AREAS.items() if (row := case.test(metric, RANDOM)) is not None}
    part = case.part(gain)
    of_all = "" if part is None else f", {percent(part, TENTH)} of all movement"
    sentences = [
        f"Order: with its top inputs kept the prediction stays {by_how_much(gain, 'closer', 'farther off')} than with "
        f"them replaced by {case.replacement} (symmetric gain{of_all}), {than(gain, _GAINS_NOTHING)}.",
        *(
            f"Order: {what} is {than(row, 'a random order', by_how_much(row, 'better', 'worse', 'an area '))}."
            for what, row in areas.items()
        ),
    ]
    sides = [side(row) for row in areas.values()]
    is_worse = (side(gain) == -1 and 1 not in sides) or sides == [-1, -1]
    # Where inputs oppose each other magnitudes may tell nothing and signs all; wrong magnitudes no sign can mend.
    signed = case.test("signed_gain", CHANCE) if has_sign and side(gain) != -1 else None
    if side(gain) == 1 and _is_much(part):
        order = Evidence(1, tuple(sentences))
    elif side(signed) == 1 and signed is not None and _is_much(case.part(signed)) and not is_worse:
        sentences.append(
            "Order: its signs vouch for it: with the most positive inputs kept the prediction lies "
            f"{by_how_much(signed, 'higher', 'lower')} than with them replaced (signed gain; {p_of(signed)})."
        )
        order = Evidence(1, tuple(sentences))
    elif is_worse and _is_much(part):
        order = Evidence(-1, tuple(sentences), "its order is worse than a random one")
    elif side(gain) == 1:
        order = Evidence(0, tuple(sentences), "its order is hardly better than a random one: a tenth is asked for")
    else:
        order = Evidence(0, tuple(sentences), "its order is not clearly better than a random one")
    return _among_neighbours(case, order).but(_true_order(case)).but(_uniform(case, "Order"))


def _is_much(part: float | None) -> bool:
    """Whether a gain is a tenth of all movement at least: with many rows the least difference is significant."""
    return part is None or abs(part) >= TENTH


def _among_neighbours(case: Case, order: Evidence) -> Evidence:
    """What changes where unknown inputs are replaced by those of similar rows, so that rows stay possible."""
    test = case.test("conditional_symmetric_gain", CHANCE)
    if test is None:
        return order
    sentence = (
        "Order: where replaced inputs come from the nearest rows, so that inputs which depend on each other stay "
        f"together, its symmetric gain of {number(test.estimate)} is {than(test, _GAINS_NOTHING)}."
    )
    order = replace(order, sentences=(*order.sentences, sentence))
    if order.vote == -1 and side(test) == 1:
        return replace(order, vote=0, why="its order holds only among inputs that stay together")
    return order


def _true_order(case: Case) -> Evidence:
    """Whether the mean map ranks the true features first; of regions, whether the map points at them."""
    pointing, auroc = case.test("pointing_game", CHANCE), case.estimate("auroc_mean_map")
    if pointing is not None:
        hits, chance = case.estimate("pointing_game") or 0.0, case.estimate("pointing_game", "floor_random")
        sentence = (
            f"Order: its largest value lies in the marked regions in {percent(hits, HALF)} of the rows, "
            f"{percent(chance)} would by chance ({p_of(pointing)}); half is asked for."
        )
        at = side(pointing) or 0
        if at > 0 and hits >= HALF:
            return Evidence(1, (sentence,))
        why = "mostly lies outside the marked regions"
        if at == 0 and hits >= HALF:
            why = "lies in the marked regions no more often than it might by chance"
        return Evidence(min(at, 0), (sentence,), f"its largest value {why}")
    if auroc is None:
        return Evidence(None)
    test = case.test("auroc_mean_map", CHANCE)
    p = f"; worse than chance, {p_of(test)}" if side(test) == -1 else ""
    sentence = (
        f"Order: its mean map ranks the true features with AUROC {digits_of(auroc, TRUTH_FOUND)} (0.5 is chance, "
        f"{TRUTH_FOUND:g} is asked for{p})."
    )
    if side(test) == -1:
        return Evidence(-1, (sentence,), "it ranks the features that are known to matter behind the others")
    if auroc < TRUTH_FOUND:
        finds = "finds only a part of" if auroc > HALF else "does not find"
        return Evidence(0, (sentence,), f"it {finds} the features that are known to matter")
    return Evidence(1, (sentence,))


def reach_of(case: Case, others: Sequence[Case]) -> Evidence:
    """Of the others, the one that gains most of those that gain significantly more; twice as much makes doubtful."""
    own = case.estimate("symmetric_gain")
    gains = {
        other.method: gain
        for other in others
        if side(case.test("symmetric_gain", other.method)) == -1
        and (gain := other.estimate("symmetric_gain")) is not None
    }
    if own is None or not gains:
        return Evidence(None)
    best = max(gains, key=lambda method: gains[method])
    pair = case.test("symmetric_gain", best)
    more = f"{best} has a symmetric gain of {number(gains[best])}, this map one of {number(own)} ({p_of(pair)})"
    if own < HALF * gains[best]:
        return Evidence(0, (f"Order: {more}; half is asked for.",), f"{best} gains more than twice as much")
    return Evidence(None, (f"Order: {more}.",))


def shares_of(case: Case) -> Evidence:
    """Whether the mass lies where the effect is, and where the truth is."""
    test, overlap = case.test("effect_overlap", PERMUTED), case.estimate("effect_overlap")
    floor = case.estimate("effect_overlap", "floor_permuted")
    if test is None or overlap is None or floor is None:
        return _untested("Shares", "effect_overlap", "its shares are untested")
    # The share of the map permuted is printed in whole percent: so is what is asked of the map beyond it.
    floor = round(floor, 2)
    bars = (HALF, ALIKE, enough := floor + TENTH, HALF * floor)  # a sum, for 0.7 - 0.6 is less than a tenth in binary
    sentence = (
        f"Shares: {percent(overlap, *bars)} of its mass lies where the effect is, {percent(floor)} does once the map "
        f"is permuted ({p_of(test)}); asked for are half, and a tenth more than permuted or {100 * ALIKE:.0f} %."
    )
    shares = Evidence(1, (sentence,))
    if side(test) == -1 and overlap <= HALF * floor:
        shares = Evidence(-1, (sentence,), "its mass lies where the effect is not")
    elif overlap < HALF:
        shares = Evidence(0, (sentence,), "less than half of its mass lies where the effect is")
    elif (side(test) != 1 or overlap < enough) and overlap < ALIKE:
        shares = Evidence(0, (sentence,), "hardly more of its mass lies where the effect is than of the map permuted")
    shares = shares.but(_idle_mass(case)).but(_true_shares(case))
    # Where all inputs count alike, a uniform map is right.
    return shares if overlap >= ALIKE else shares.but(_uniform(case, "Shares"))


def _idle_mass(case: Case) -> Evidence:
    """Whether one input has mass and little effect: a tenth more than a uniform map gives it, or half."""
    row = case.scores.get(("idle_mass", "value"))
    if row is None or row.low is None or row.low <= TENTH:
        return Evidence(None)
    sentence = (
        f"Shares: one input has mass and little effect ({row.note}); that is {percent(row.estimate)} more of the mass "
        f"than a uniform map gives it, at least {percent(row.low, TENTH, HALF)}, where a tenth is too much and half "
        "misleads."
    )
    much = "much" if row.low > HALF else "some"
    return Evidence(
        -1 if row.low > HALF else 0, (sentence,), f"{much} of its mass lies on an input with little effect ({row.note})"
    )


def _true_shares(case: Case) -> Evidence:
    """How much of the mass lies on what is known to matter."""
    # A model may read more than the rule that made the data, and its map then rightly says so: chance is the bar here,
    # and half of the mass is asked for where the model's own effects are.
    for metric, where in (("mass_in_region", "in the marked regions"), ("share", "on the true features")):
        test, mass = case.test(metric, CHANCE), case.estimate(metric)
        if test is None or mass is None:
            continue
        chance = case.estimate(metric, "floor_random") or 0.0
        null = f"the {percent(chance)} of chance"
        sentence = f"Shares: {percent(mass, HALF * chance)} of its mass lies {where}, {than(test, null)}."
        if side(test) == 1:
            return Evidence(1, (sentence,))
        if side(test) == -1 and mass <= HALF * chance:
            return Evidence(-1, (sentence,), f"less than half of the mass that chance puts {where} lies there")
        return Evidence(0, (sentence,), f"no more of its mass lies {where} than might by chance")
    return Evidence(None)


def _uniform(case: Case, use: str) -> Evidence:
    """Says so where a map hardly differs from one that gives every column the same."""
    nearness = case.estimate("uniformity")
    if nearness is None or case.inputs < 3 or nearness < UNIFORM:
        return Evidence(None)
    sentence = (
        f"{use}: it hardly differs from a map that gives every column the same (uniformity {number(nearness)}, where "
        f"such a map has 1 and {UNIFORM:g} is too much)."
    )
    return Evidence(0, (sentence,), "it hardly differs from a uniform map")


def sign_of(case: Case, shares: Evidence) -> Evidence:
    """Whether inputs with positive values raise the prediction.

    Signs are read off the order of values, which a map can get right while its mass lies on inputs that do nothing:
    then its signs speak of these.
    """
    test = case.test("signed_gain", CHANCE)
    if test is None:
        return _untested("Sign", "signed_gain", "its signs are untested")
    sentences = [
        f"Sign: with its most positive inputs kept the prediction lies {by_how_much(test, 'higher', 'lower')} than "
        f"with them replaced (signed gain), {than(test, _GAINS_NOTHING)}."
    ]
    violated = case.estimate("violation")
    if violated is not None:
        sentences.append(
            f"Sign: in {percent(violated)} of the rows replacing its most important input moves the prediction "
            "against its sign; this decides nothing."
        )
    why = {1: "", 0: "its signs are not clearly better than chance", -1: "its signs are the wrong way round"}
    vote = side(test) or 0
    sign = Evidence(vote, tuple(sentences), why[vote])
    return sign.but(Evidence(0, (), "its signs are mostly of inputs that do little")) if shares.vote == -1 else sign


def agreement_of(case: Case, others: Sequence[str], scores: Sequence[Score]) -> Iterator[str]:
    """How the other methods, whose order is supported, agree with this one. It decides nothing."""
    rows = [
        r
        for r in scores
        if r.head == case.head and r.metric == "pairwise_rank_agreement" and case.method in (r.method, r.other)
    ]
    for value in (r for r in rows if r.role == "value" and r.estimate is not None):
        other = value.other if value.method == case.method else value.method
        if other not in others:
            continue
        by_role = {r.role: r.estimate for r in rows if (r.method, r.other) == (value.method, value.other)}
        floor = max((v for role in _FLOORS if (v := by_role.get(role)) is not None), default=None)
        highest = by_role.get("ceiling")
        ceiling = "" if highest is None else f", ceiling {percent(highest)}"
        agrees = floor is not None and value.low is not None and value.low > floor
        agrees = agrees and round((value.estimate or 0.0) - (floor or 0.0), 9) >= TENTH
        yield (
            f"Agreement, which decides nothing: {percent(value.estimate)} of all pairs of inputs stand in the same "
            f"order in {other} (floor {percent(floor)}{ceiling}): "
            f"{'a tenth more than the floor or better, so they agree' if agrees else 'hardly more than by chance'}."
        )
