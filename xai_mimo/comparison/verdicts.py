"""What a practitioner may conclude from the scores, one word and a few sentences per head and method.

The rule, in the order in which it is applied:

1. *undecided* - the head does not react to its inputs, it is known to depend on none of them, or there are too few rows
   for intervals.
2. *misleading* - its order is worse than a random one (the whole interval of the paired difference, for deletion or for
   insertion), or the truth is known and its map avoids it: the true features get less of its mass than chance gives
   them, or its mean map ranks them behind the others (the whole interval, either way); where the truth is marked as
   regions, less mass than chance lies in them, or it points at them less often.
3. *supported* - its order beats a random one for deletion and for insertion, it reaches at least half of what the best
   method of the comparison gains over random, its map finds the true features where they are known (more mass than
   chance, and an AUROC of the mean map of at least 0.8, intervals above chance; for regions, more mass than chance and
   the largest value inside in at least half of the rows), and it agrees with some other method more than the floors do.
4. *doubtful* - everything else.

Agreement can take a verdict away but never grant one: Neely et al. (2022), "A Song of (Dis)agreement", show that
methods which agree may all be wrong. The thresholds are ours; they stand in this file and in the evidence.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from xai_mimo.record.rows import RANDOM, Difference, Role, Score, Verdict, VerdictWord

TRUTH_FOUND = 0.8
HALF = 0.5
_AREAS = ("deletion_area", "insertion_area")
_FLOORS: tuple[Role, ...] = ("floor_random", "floor_permuted")
_THAN = {1: "better than", -1: "worse than", 0: "not distinguishable from"}
_NO_SIGN = (
    "This map has no sign: it says how much the head reads a feature, not whether the feature raises or lowers the "
    "prediction."
)
_DOES = {"deletion_area": "replacing its top features first", "insertion_area": "keeping its top features first"}


class _Evidence(NamedTuple):
    """What one kind of evidence says: +1 for the map, -1 against it, 0 neither, None without evidence."""

    vote: int | None
    sentences: tuple[str, ...]


def verdicts(
    heads: Sequence[str],
    methods: Mapping[str, bool],
    scores: Sequence[Score],
    differences: Sequence[Difference],
    *,
    undecidable: Mapping[str, str] | None = None,
) -> list[Verdict]:
    """One verdict for each head and method.

    Args:
        heads: names of the targets.
        methods: label -> whether its map has a sign.
        scores: the record's ``scores``.
        differences: the record's ``differences`` (paired, positive where the first is better).
        undecidable: heads of which nothing can be concluded, with the reason.
    """
    rows = []
    for head in heads:
        scores_of_head = [r for r in scores if r.head == head]
        gains = [r for r in differences if r.head == head]
        for method, signed in methods.items():
            if undecidable and head in undecidable:
                text = undecidable[head]
                rows.append(Verdict(head=head, method=method, verdict="undecided", text=text, evidence=()))
                continue
            evidence = {
                "faithfulness": _faithfulness(method, gains),
                "reach": _reach(method, methods, gains),
                "truth": _truth(method, scores_of_head),
                "agreement": _agreement(method, scores_of_head),
            }
            verdict = _decide({kind: part.vote for kind, part in evidence.items()})
            text = _text(verdict, head, method, _best(methods, gains), evidence)
            sentences = tuple(sentence for part in evidence.values() for sentence in part.sentences)
            if not signed:
                sentences += (_NO_SIGN,)
            rows.append(Verdict(head=head, method=method, verdict=verdict, text=text, evidence=sentences))
    return rows


def _decide(votes: Mapping[str, int | None]) -> VerdictWord:
    if votes["faithfulness"] is None:
        return "undecided"
    if votes["faithfulness"] < 0 or votes["truth"] == -1:
        return "misleading"
    kept = votes["faithfulness"] > 0 and votes["reach"] != -1
    if kept and votes["truth"] in (None, 1) and votes["agreement"] != -1:
        return "supported"
    return "doubtful"


def _faithfulness(method: str, gains: Sequence[Difference]) -> _Evidence:
    sides, sentences = [], []
    for metric in _AREAS:
        row = _gain(method, RANDOM, metric, gains)
        side = None if row is None else _side(row, 0.0)
        if row is None or side is None:
            return _Evidence(None, ("There are too few rows to tell its order from a random one.",))
        sides.append(side)
        sentences.append(
            f"Faithfulness: {_DOES[metric]} is {_THAN[side]} a random order (area gained {_span(row)}; "
            f"p = {_number(row.p_corrected)} corrected)."
        )
    return _Evidence(-1 if min(sides) < 0 else int(min(sides) > 0), tuple(sentences))


def _gain(method: str, other: str, metric: str, gains: Sequence[Difference]) -> Difference | None:
    for row in gains:
        if (row.method, row.other, row.metric) == (method, other, metric):
            return row
    return None


def _over_random(method: str, gains: Sequence[Difference]) -> float | None:
    row = _gain(method, RANDOM, "deletion_area", gains)
    return None if row is None else row.estimate


def _best(methods: Mapping[str, bool], gains: Sequence[Difference]) -> str | None:
    known = {m: g for m in methods if (g := _over_random(m, gains)) is not None and g > 0}
    return max(known, key=lambda m: known[m]) if known else None


def _reach(method: str, methods: Mapping[str, bool], gains: Sequence[Difference]) -> _Evidence:
    best, own = _best(methods, gains), _over_random(method, gains)
    if best is None or own is None or best == method:
        return _Evidence(None, ())
    share = own / (_over_random(best, gains) or 1.0)
    return _Evidence(
        1 if share >= HALF else -1,
        (f"It reaches {max(share, 0.0):.0%} of what the best method here, {best}, gains over a random order.",),
    )


def _truth(method: str, scores: Sequence[Score]) -> _Evidence:
    """True features need not share equally, so missing some of them is no fault; giving them less than chance is."""
    rows = [r for r in scores if r.family == "ground_truth" and r.method == method]
    value = {r.metric: r for r in rows if r.role == "value" and r.estimate is not None}
    chance = {r.metric: r.estimate for r in rows if r.role == "floor_random" and r.estimate is not None}
    mean_map, share = value.get("auroc_mean_map"), value.get("share")
    if "mass_in_region" in value and "pointing_game" in value:
        return _region(value["mass_in_region"], value["pointing_game"], chance)
    if mean_map is None or mean_map.estimate is None:
        return _Evidence(None, ())
    sentences = [f"Ground truth: its mean map ranks the true features with AUROC {_span(mean_map)}; 0.5 is chance."]
    over_chance = [_side(mean_map, 0.5) or 0]
    if share is not None and "share" in chance:
        sentences.append(
            f"Ground truth: {share.estimate:.0%} of its mass lies on the true features, "
            f"{chance['share']:.0%} would by chance."
        )
        over_chance.append(_side(share, chance["share"]) or 0)
    if min(over_chance) < 0:
        return _Evidence(-1, tuple(sentences))
    finds_them = mean_map.estimate >= TRUTH_FOUND and min(over_chance) > 0
    return _Evidence(int(finds_them), tuple(sentences))


def _region(mass: Score, pointing: Score, chance: Mapping[str, float]) -> _Evidence:
    """A map finds a region where both scores are above chance and it points there more often than not."""
    over_chance = [_side(row, chance.get(row.metric, 0.0)) or 0 for row in (mass, pointing)]
    sentences = (
        f"Ground truth: {mass.estimate:.0%} of its mass lies in the marked regions, "
        f"{chance.get('mass_in_region', 0.0):.0%} would by chance.",
        f"Ground truth: its largest value lies in them in {pointing.estimate:.0%} of the rows, "
        f"{chance.get('pointing_game', 0.0):.0%} by chance.",
    )
    if min(over_chance) < 0:
        return _Evidence(-1, sentences)
    return _Evidence(int(min(over_chance) > 0 and (pointing.estimate or 0.0) >= HALF), sentences)


def _side(row: Score | Difference, chance: float) -> int | None:
    """1 where the whole interval lies above chance, -1 where it lies below, else 0; None without an interval."""
    if row.low is None or row.high is None:
        return None
    return int(row.low > chance) - int(row.high < chance)


def _agreement(method: str, scores: Sequence[Score]) -> _Evidence:
    rows = [r for r in scores if r.metric == "pairwise_rank_agreement" and method in (r.method, r.other)]
    known = [r for r in rows if r.estimate is not None]
    sentences, above = [], []
    for value in (r for r in known if r.role == "value"):
        pair = value.method, value.other
        by_role = {r.role: r.estimate for r in known if (r.method, r.other) == pair and r.estimate is not None}
        other = value.other if value.method == method else value.method
        floor = max((by_role[role] for role in _FLOORS if role in by_role), default=None)
        above.append(floor is not None and _side(value, floor) == 1)
        sentences.append(
            f"Agreement with {other}: {_span(value)} of all pairs of features in the same order "
            f"(floor {_number(floor)}, ceiling {_number(by_role.get('ceiling'))})."
        )
    if not above:
        return _Evidence(None, ())
    return _Evidence(1 if any(above) else -1, tuple(sentences))


def _text(verdict: VerdictWord, head: str, method: str, best: str | None, evidence: Mapping[str, _Evidence]) -> str:
    instead = f" Read {best} instead." if best not in (None, method) else ""
    if verdict == "supported":
        return f"{method} can be used to tell which inputs drive head '{head}'."
    if verdict == "misleading":
        why = (
            "it points away from the inputs the model reacts to"
            if (evidence["faithfulness"].vote or 0) < 0
            else "it points away from the features that are known to matter"
        )
        return f"Do not use {method} for head '{head}': {why}.{instead}"
    if verdict == "undecided":
        return f"Nothing can be said of {method} for head '{head}' yet: explain more rows."
    reasons = {
        "faithfulness": "its order is not clearly better than a random one",
        "reach": "another method finds much more of what moves the prediction",
        "truth": "it finds the true features only in part",
        "agreement": "it agrees with no other method more than chance does",
    }
    weak = [text for what, text in reasons.items() if _is_weak(what, evidence[what].vote)]
    return f"Do not rely on {method} alone for head '{head}': {'; '.join(weak)}.{instead}"


def _is_weak(what: str, vote: int | None) -> bool:
    return vote == -1 or (vote == 0 and what in ("faithfulness", "truth"))


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"


def _span(row: Score | Difference) -> str:
    if row.low is None or row.high is None:
        return f"{row.estimate:.3g} (no interval)"
    return f"{row.estimate:.3g} ({row.low:.3g} to {row.high:.3g})"
