"""Agreement of every pair of methods, with the floors and the ceiling that belong beside it."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from xai_mimo.analysis import agreement
from xai_mimo.analysis.panel import Panel
from xai_mimo.analysis.records import Quantity, intervals, score, scored, with_note
from xai_mimo.analysis.statistics import Interval
from xai_mimo.core.errors import BadSetting
from xai_mimo.core.streams import Array

# Maps without a sign never reach the sign family here: their rows say so instead.
_AT_K: tuple[tuple[str, bool, Callable[..., Array]], ...] = (
    ("feature_agreement", False, agreement.feature_agreement),
    ("rank_agreement", False, agreement.rank_agreement),
    ("sign_agreement", True, partial(agreement.sign_agreement, signed=(True, True))),
    ("signed_rank_agreement", True, partial(agreement.signed_rank_agreement, signed=(True, True))),
)
DEFAULT_KS = (1, 3, 5)
_FLOOR_DRAWS = 3


@dataclass(frozen=True)
class _Measure:
    """One metric at one k, as a function of two maps ``(sample, feature)``."""

    name: str
    k: int | None
    needs_sign: bool
    values: Callable[[Array, Array], Array]


def agreement_scores(panel: Panel, rng: np.random.Generator, ks: Sequence[int] = DEFAULT_KS) -> list[dict[str, Any]]:
    """Score rows of the family "agreement".

    For each head, pair of methods and metric, four roles: the value; ``floor_random``, a random map in the place of the
    first; ``floor_permuted``, the first map with its features permuted within each row; ``ceiling``, the lower of the
    two methods' agreement with themselves under another seed (and the background drawn from it).

    Raises:
        BadSetting: a k below 1.
    """
    measures = _measures(len(panel.players), ks)
    own = _own_agreement(panel, measures)
    rows: list[dict[str, Any]] = []
    found: list[Quantity] = []
    for (h, head), (one, other) in itertools.product(enumerate(panel.heads), itertools.combinations(panel.labels, 2)):
        a, b = panel.maps[one][h], panel.maps[other][h]
        floors = _floor_maps(a, rng)
        for m in measures:
            labels: dict[str, Any] = {
                "head": head,
                "family": "agreement",
                "metric": m.name,
                "method": one,
                "other": other,
                "k": m.k,
            }
            unsigned = [label for label in (one, other) if not panel.signed[label]]
            if m.needs_sign and unsigned:
                note = f"not defined: {' and '.join(unsigned)} has no sign"
                rows.append(score(interval=Interval(None, None, None, 0, note), **labels))
                continue
            found.append(Quantity(labels, m.values(a, b)))
            for role, draws in floors.items():
                found.append(Quantity({**labels, "role": role}, np.mean([m.values(d, b) for d in draws], axis=0)))
            ceiling = _ceiling({label: own.get((label, h, m.name, m.k)) for label in (one, other)})
            rows.append(score(interval=ceiling, role="ceiling", **labels))
    return [*scored(found, panel.counts), *rows]


def _own_agreement(panel: Panel, measures: Sequence[_Measure]) -> dict[tuple[str, int, str, int | None], Interval]:
    """Each method against itself with another seed, by (method, head, metric, k)."""
    keys, found = [], []
    for label, again in panel.repeats.items():
        for h, m in itertools.product(range(len(panel.heads)), measures):
            if panel.signed[label] or not m.needs_sign:
                keys.append((label, h, m.name, m.k))
                found.append(Quantity({}, m.values(panel.maps[label][h], again[h])))
    return dict(zip(keys, intervals(found, panel.counts), strict=True))


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
            _Measure("kendall", None, False, agreement.kendall),
            _Measure("pairwise_rank_agreement", None, False, agreement.pairwise_rank_agreement),
        ]
    return found


def _floor_maps(a: Array, rng: np.random.Generator) -> dict[str, Sequence[Array]]:
    return {
        "floor_random": list(rng.standard_normal((_FLOOR_DRAWS, *a.shape))),
        "floor_permuted": [rng.permuted(a, axis=1) for _ in range(_FLOOR_DRAWS)],
    }


def _ceiling(own: dict[str, Interval | None]) -> Interval:
    known = {label: i for label, i in own.items() if i is not None and i.estimate is not None}
    if len(known) < len(own):
        missing = " and ".join(label for label in own if label not in known)
        return Interval(None, None, None, 0, f"not measured: {missing} was not run twice, or is undefined")
    label = min(known, key=lambda name: known[name].estimate or 0.0)
    return with_note(known[label], f"{label} against itself with another seed")
