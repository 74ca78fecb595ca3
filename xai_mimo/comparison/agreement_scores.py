"""Agreement of every pair of methods, with the floors and the ceiling that belong beside it."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from xai_mimo.comparison.score_rows import Quantity, intervals, score, scored, with_note
from xai_mimo.comparison.settings import DEFAULT_KS
from xai_mimo.core.errors import BadSetting
from xai_mimo.core.progress import Advance, silent
from xai_mimo.core.streams import Array
from xai_mimo.metrics import agreement
from xai_mimo.metrics.agreement import Ranked
from xai_mimo.metrics.aligned_maps import AlignedMaps
from xai_mimo.metrics.statistics import Interval

# Maps without a sign never reach the sign family here: their rows say so instead.
_AT_K: tuple[tuple[str, bool, Callable[..., Array]], ...] = (
    ("feature_agreement", False, agreement.feature_agreement),
    ("rank_agreement", False, agreement.rank_agreement),
    ("sign_agreement", True, partial(agreement.sign_agreement, signed=(True, True))),
    ("signed_rank_agreement", True, partial(agreement.signed_rank_agreement, signed=(True, True))),
)
_FLOOR_DRAWS = 3
# Of so many features the order of a single random map scores what the mean of several does.
_MANY_FEATURES = 10_000


@dataclass(frozen=True)
class _Measure:
    """One metric at one k, as a function of two maps ``(sample, feature)``.

    Attributes:
        name, k: of the record's row.
        needs_sign: whether both maps need a sign.
        values: the function.
        counts_pairs: whether it takes the maps' ``concordance`` as ``pairs``.
    """

    name: str
    k: int | None
    needs_sign: bool
    values: Callable[..., Array]
    counts_pairs: bool = False


def agreement_scores(
    panel: AlignedMaps, rng: np.random.Generator, ks: Sequence[int] = DEFAULT_KS, *, advance: Advance = silent
) -> list[dict[str, Any]]:
    """Score rows of the family "agreement".

    For each head, pair of methods and metric, four roles: the value; ``floor_random``, a random map in the place of the
    first; ``floor_permuted``, the first map with its features permuted within each row (both the mean of three draws,
    of one above 10 000 features); ``ceiling``, the lower of the two methods' agreement with themselves under another
    seed (and the background drawn from it).

    ``advance`` is told of each pair of methods of each head when it is done.

    Raises:
        BadSetting: a k below 1.
    """
    measures = _measures(len(panel.players), ks)
    rows: list[dict[str, Any]] = []
    found: list[Quantity] = []
    for h, head in enumerate(panel.heads):
        maps = {label: Ranked.of(values[h]) for label, values in panel.maps.items()}
        own = _own_agreement(panel, h, maps, measures)
        for one, other in itertools.combinations(panel.labels, 2):
            unsigned = [label for label in (one, other) if not panel.signed[label]]
            told = [m for m in measures if not (m.needs_sign and unsigned)]
            roles = _by_role(told, maps[one], maps[other], rng)
            for m in measures:
                pair: dict[str, Any] = {"method": one, "other": other, "k": m.k}
                labels = {"head": head, "family": "agreement", "metric": m.name, **pair}
                if m not in told:
                    note = f"not defined: {' and '.join(unsigned)} has no sign"
                    rows.append(score(interval=Interval(None, None, None, 0, note), **labels))
                    continue
                found += [Quantity({**labels, "role": role}, values[m]) for role, values in roles.items()]
                ceiling = _ceiling({label: own.get((label, m)) for label in (one, other)})
                rows.append(score(interval=ceiling, role="ceiling", **labels))
            advance(1)
    return [*scored(found, panel.counts), *rows]


def _by_role(
    measures: Sequence[_Measure], a: Ranked, b: Ranked, rng: np.random.Generator
) -> dict[str, dict[_Measure, Array]]:
    """Every measure of two maps, and of both floors in the place of the first."""
    roles = {"value": _values(measures, a, b)}
    for role, draws in _floor_maps(a.values, rng).items():
        drawn = [_values(measures, Ranked.of(draw), b) for draw in draws]
        roles[role] = {m: np.mean([values[m] for values in drawn], axis=0) for m in measures}
    return roles


def _values(measures: Sequence[_Measure], a: Ranked, b: Ranked) -> dict[_Measure, Array]:
    """Every measure of two maps; the pairs of features, which are most of the work, are counted once."""
    pairs = agreement.concordance(a, b) if any(m.counts_pairs for m in measures) else None
    return {m: m.values(a, b, pairs=pairs) if m.counts_pairs else m.values(a, b) for m in measures}


def _own_agreement(
    panel: AlignedMaps, head: int, maps: Mapping[str, Ranked], measures: Sequence[_Measure]
) -> dict[tuple[str, _Measure], Interval]:
    """Each method against itself with another seed, by method and measure."""
    found: dict[tuple[str, _Measure], Array] = {}
    for label, again in panel.repeats.items():
        told = [m for m in measures if panel.signed[label] or not m.needs_sign]
        found |= {(label, m): v for m, v in _values(told, maps[label], Ranked.of(again[head])).items()}
    return dict(zip(found, intervals([Quantity({}, v) for v in found.values()], panel.counts), strict=True))


def _measures(players: int, ks: Sequence[int]) -> list[_Measure]:
    for k in ks:
        if k < 1:
            raise BadSetting(f"agreement at k needs k of at least 1; got {k}.")
    found = [
        _Measure(name, k, needs_sign, partial(function, k=k))
        for k in sorted({k for k in ks if k < players}) or [1]
        for name, needs_sign, function in _AT_K
    ]
    if players > 1:
        found += [
            _Measure("spearman", None, False, agreement.spearman),
            _Measure("kendall", None, False, agreement.kendall, counts_pairs=True),
            _Measure("pairwise_rank_agreement", None, False, agreement.pairwise_rank_agreement, counts_pairs=True),
        ]
    return found


def _floor_maps(a: Array, rng: np.random.Generator) -> dict[str, Sequence[Array]]:
    draws = _FLOOR_DRAWS if a.shape[1] <= _MANY_FEATURES else 1
    return {
        "floor_random": list(rng.standard_normal((draws, *a.shape))),
        "floor_permuted": [rng.permuted(a, axis=1) for _ in range(draws)],
    }


def _ceiling(own: dict[str, Interval | None]) -> Interval:
    known = {label: i for label, i in own.items() if i is not None and i.estimate is not None}
    if len(known) < len(own):
        missing = " and ".join(label for label in own if label not in known)
        return Interval(None, None, None, 0, f"not measured: {missing} was not run twice, or is undefined")
    label = min(known, key=lambda name: known[name].estimate or 0.0)
    return with_note(known[label], f"{label} against itself with another seed")
