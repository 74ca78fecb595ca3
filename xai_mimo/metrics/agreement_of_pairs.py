"""The agreement of every pair of methods as metrics, with the floors and the ceiling that belong to it.

For each target and pair: the value; ``floor_random``, a random map in the place of the first; ``floor_permuted``, the
first map with its features permuted within each row (both the mean of three draws, of one above 10 000 features); and
``ceiling``, the lower of the two methods' agreement with themselves under another seed (and the background drawn from
it). All metrics of a pair see the same ranks and the same random maps, so sorting and counting are done once for all.

Maps that agree may all be wrong (Neely et al., 2022): of agreement neither direction is better. Signs are held against
each other within one kind of map: those of a gradient and of an attribution answer two questions (``core.speaks_of``).
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from xai_mimo.core.errors import BadSetting
from xai_mimo.core.progress import Advance, silent
from xai_mimo.core.speaks_of import meaning
from xai_mimo.core.streams import Array
from xai_mimo.metrics import agreement
from xai_mimo.metrics.agreement import Ranked
from xai_mimo.metrics.aligned_maps import AlignedMaps
from xai_mimo.metrics.metric import Bounds, Need, Quantity
from xai_mimo.metrics.scene import Scene
from xai_mimo.record.words import Better, Family, Role

_FLOOR_DRAWS = 3
# Of so many features the order of a single random map scores what the mean of several does.
_MANY_FEATURES = 10_000


@dataclass(frozen=True)
class Measure:
    """One number per row about two maps.

    Attributes:
        name: of the metric.
        values: two ``Ranked`` maps -> ``(sample,)``.
        k: size of the top it looks at, if it does.
        needs_sign: whether it is defined alone for maps with a sign that speak of the same (``core.speaks_of``).
        counts_pairs: whether it takes the maps' ``concordance`` as ``pairs``.
    """

    name: str
    values: Callable[..., Array]
    k: int | None = None
    needs_sign: bool = False
    counts_pairs: bool = False


def pair_quantities(
    maps: AlignedMaps, measures: Sequence[Measure], rng: np.random.Generator, *, advance: Advance = silent
) -> list[tuple[str, Quantity]]:
    """Every measure of every pair of methods, with floors and ceilings: ``(name of the measure, quantity)``.

    Args:
        maps: of at least two methods.
        measures: what to measure.
        rng: of the random maps and permutations; how much is drawn does not depend on the measures.
        advance: told the share of the pairs that was just done.
    """
    pairs = list(itertools.combinations(maps.labels, 2))
    quantities: list[tuple[str, Quantity]] = []
    for h, target in enumerate(maps.heads):
        ranked = {label: Ranked.of(values[h]) for label, values in maps.maps.items()}
        own = _own_agreement(maps, h, ranked, measures)
        for one, other in pairs:
            unlike = _unlike(maps, one, other)
            applicable = [m for m in measures if not (m.needs_sign and unlike)]
            roles = _by_role(applicable, ranked[one], ranked[other], rng)
            for m in measures:
                quantity = partial(Quantity, method=one, other=other, target=target, k=m.k)
                if m not in applicable:
                    quantities.append((m.name, quantity(values=None, note=f"not defined: {unlike}")))
                    continue
                quantities += [(m.name, quantity(values=values[m], role=role)) for role, values in roles.items()]
                values, note = _ceiling({label: own.get((label, m)) for label in (one, other)})
                quantities.append((m.name, quantity(values=values, role="ceiling", note=note)))
            advance(1 / (len(maps.heads) * len(pairs)))
    return quantities


def _unlike(maps: AlignedMaps, one: str, other: str) -> str:
    """Why the signs of two maps cannot be held against each other; "" where they can."""
    unsigned = [label for label in (one, other) if not maps.signed[label]]
    if unsigned:
        return f"{' and '.join(unsigned)} has no sign"
    kinds = maps.speaks_of[one], maps.speaks_of[other]
    if kinds[0] == kinds[1]:
        return ""
    return f"{one} speaks of {meaning(kinds[0])} and {other} of {meaning(kinds[1])}"


def _by_role(
    measures: Sequence[Measure], a: Ranked, b: Ranked, rng: np.random.Generator
) -> dict[Role, dict[Measure, Array]]:
    """Every measure of two maps, and of both floors in the place of the first."""
    roles: dict[Role, dict[Measure, Array]] = {"value": _values(measures, a, b)}
    for role, draws in _floor_maps(a.values, rng).items():
        drawn = [_values(measures, Ranked.of(draw), b) for draw in draws]
        roles[role] = {m: np.mean([values[m] for values in drawn], axis=0) for m in measures}
    return roles


def _values(measures: Sequence[Measure], a: Ranked, b: Ranked) -> dict[Measure, Array]:
    """Every measure of two maps; the pairs of features, which are most of the work, are counted once."""
    pairs = agreement.concordance(a, b) if any(m.counts_pairs for m in measures) else None
    return {m: m.values(a, b, pairs=pairs) if m.counts_pairs else m.values(a, b) for m in measures}


def _own_agreement(
    maps: AlignedMaps, head: int, ranked: Mapping[str, Ranked], measures: Sequence[Measure]
) -> dict[tuple[str, Measure], Array]:
    """Each method against itself with another seed, by method and measure."""
    own: dict[tuple[str, Measure], Array] = {}
    for label, again in maps.repeats.items():
        applicable = [m for m in measures if maps.signed[label] or not m.needs_sign]
        own |= {(label, m): v for m, v in _values(applicable, ranked[label], Ranked.of(again[head])).items()}
    return own


def _floor_maps(a: Array, rng: np.random.Generator) -> dict[Role, Sequence[Array]]:
    draws = _FLOOR_DRAWS if a.shape[1] <= _MANY_FEATURES else 1
    return {
        "floor_random": list(rng.standard_normal((draws, *a.shape))),
        "floor_permuted": [rng.permuted(a, axis=1) for _ in range(draws)],
    }


def _ceiling(own: Mapping[str, Array | None]) -> tuple[Array | None, str]:
    """The lower of two methods' agreement with themselves, and what to say of it."""
    means = {label: _mean(values) for label, values in own.items()}
    known = {label: mean for label, mean in means.items() if mean is not None}
    if len(known) < len(own):
        reasons = [
            f"{label} was not run twice"
            if values is None
            else f"the agreement of {label} with itself is undefined (a constant map has no order)"
            for label, values in own.items()
            if label not in known
        ]
        return None, f"not measured: {', and '.join(reasons)}"
    label = min(known, key=lambda name: known[name])
    return own[label], f"{label} against itself with another seed"


def _mean(values: Array | None) -> float | None:
    return None if values is None or np.isnan(values).all() else float(values[~np.isnan(values)].mean())


def _top_sizes(ks: Sequence[int], players: int) -> list[int]:
    """The sizes of the top that leave some feature out; 1 where there is none."""
    for k in ks:
        if k < 1:
            raise BadSetting(f"agreement at k needs k of at least 1; got {k}.")
    return sorted({k for k in ks if k < players}) or [1]


# Maps without a sign, or of two kinds, never reach the sign family here: their rows say so instead.
_AT_K: dict[str, tuple[Callable[..., Array], bool]] = {
    "feature_agreement": (agreement.feature_agreement, False),
    "rank_agreement": (agreement.rank_agreement, False),
    "sign_agreement": (partial(agreement.sign_agreement, signed=(True, True)), True),
    "signed_rank_agreement": (partial(agreement.signed_rank_agreement, signed=(True, True)), True),
}
_OF_ALL = {
    "spearman": Measure("spearman", agreement.spearman),
    "kendall": Measure("kendall", agreement.kendall, counts_pairs=True),
    "pairwise_rank_agreement": Measure("pairwise_rank_agreement", agreement.pairwise_rank_agreement, counts_pairs=True),
}


def _measures(scene: Scene) -> list[Measure]:
    """Those of this file that run in the scene."""
    players = len(scene.maps.players)
    at_k = [
        Measure(name, partial(function, k=k), k, needs_sign)
        for k in _top_sizes(scene.settings.ks, players)
        for name, (function, needs_sign) in _AT_K.items()
        if name in scene.metrics
    ]
    return at_k + [m for name, m in _OF_ALL.items() if name in scene.metrics and players > 1]


def _of_pairs(scene: Scene, metric: str) -> Iterator[Quantity]:
    """The quantities of one metric; those of all others of this file are computed with the first."""
    quantities = scene.once(
        "agreement",
        lambda: pair_quantities(scene.maps, _measures(scene), scene.rng("agreement"), advance=scene.advance),
    )
    return (quantity for name, quantity in quantities if name == metric)


@dataclass(frozen=True)
class FeatureAgreement:
    """``agreement.feature_agreement`` of every pair of methods, with floors and ceiling."""

    name: ClassVar[str] = "feature_agreement"
    family: ClassVar[Family] = "agreement"
    title: ClassVar[str] = "feature agreement"
    better: ClassVar[Better] = "neither"
    bounds: ClassVar[Bounds] = (0.0, 1.0)
    reference: ClassVar[str] = "krishna2024disagreement"
    needs: ClassVar[tuple[Need, ...]] = ("two methods",)

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all pairs of methods and all targets."""
        return _of_pairs(scene, self.name)


@dataclass(frozen=True)
class RankAgreement:
    """``agreement.rank_agreement`` of every pair of methods, with floors and ceiling."""

    name: ClassVar[str] = "rank_agreement"
    family: ClassVar[Family] = "agreement"
    title: ClassVar[str] = "rank agreement"
    better: ClassVar[Better] = "neither"
    bounds: ClassVar[Bounds] = (0.0, 1.0)
    reference: ClassVar[str] = "krishna2024disagreement"
    needs: ClassVar[tuple[Need, ...]] = ("two methods",)

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all pairs of methods and all targets."""
        return _of_pairs(scene, self.name)


@dataclass(frozen=True)
class SignAgreement:
    """``agreement.sign_agreement`` of every pair of methods, with floors and ceiling."""

    name: ClassVar[str] = "sign_agreement"
    family: ClassVar[Family] = "agreement"
    title: ClassVar[str] = "sign agreement"
    better: ClassVar[Better] = "neither"
    bounds: ClassVar[Bounds] = (0.0, 1.0)
    reference: ClassVar[str] = "krishna2024disagreement"
    needs: ClassVar[tuple[Need, ...]] = ("two methods",)

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all pairs of methods and all targets."""
        return _of_pairs(scene, self.name)


@dataclass(frozen=True)
class SignedRankAgreement:
    """``agreement.signed_rank_agreement`` of every pair of methods, with floors and ceiling."""

    name: ClassVar[str] = "signed_rank_agreement"
    family: ClassVar[Family] = "agreement"
    title: ClassVar[str] = "signed rank agreement"
    better: ClassVar[Better] = "neither"
    bounds: ClassVar[Bounds] = (0.0, 1.0)
    reference: ClassVar[str] = "krishna2024disagreement"
    needs: ClassVar[tuple[Need, ...]] = ("two methods",)

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all pairs of methods and all targets."""
        return _of_pairs(scene, self.name)


@dataclass(frozen=True)
class Spearman:
    """``agreement.spearman`` of every pair of methods, with floors and ceiling."""

    name: ClassVar[str] = "spearman"
    family: ClassVar[Family] = "agreement"
    title: ClassVar[str] = "Spearman correlation"
    better: ClassVar[Better] = "neither"
    bounds: ClassVar[Bounds] = (-1.0, 1.0)
    reference: ClassVar[str] = "krishna2024disagreement"
    needs: ClassVar[tuple[Need, ...]] = ("two methods", "two features")

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all pairs of methods and all targets."""
        return _of_pairs(scene, self.name)


@dataclass(frozen=True)
class Kendall:
    """``agreement.kendall`` of every pair of methods, with floors and ceiling."""

    name: ClassVar[str] = "kendall"
    family: ClassVar[Family] = "agreement"
    title: ClassVar[str] = "Kendall correlation"
    better: ClassVar[Better] = "neither"
    bounds: ClassVar[Bounds] = (-1.0, 1.0)
    reference: ClassVar[str] = "jain2019attention"
    needs: ClassVar[tuple[Need, ...]] = ("two methods", "two features")

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all pairs of methods and all targets."""
        return _of_pairs(scene, self.name)


@dataclass(frozen=True)
class PairwiseRankAgreement:
    """``agreement.pairwise_rank_agreement`` of every pair of methods, with floors and ceiling."""

    name: ClassVar[str] = "pairwise_rank_agreement"
    family: ClassVar[Family] = "agreement"
    title: ClassVar[str] = "pairwise rank agreement"
    better: ClassVar[Better] = "neither"
    bounds: ClassVar[Bounds] = (0.0, 1.0)
    reference: ClassVar[str] = "krishna2024disagreement"
    needs: ClassVar[tuple[Need, ...]] = ("two methods", "two features")

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all pairs of methods and all targets."""
        return _of_pairs(scene, self.name)
