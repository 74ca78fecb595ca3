"""Explanations against features that are known to matter: only for data whose rules are known.

A feature is what the truth can name: of a series, an image or a text it has many positions, and which of them matter
nobody said (where somebody can, see ``localisation``). So maps are scored by feature, whatever the space: the
magnitudes of all its positions summed. Magnitudes also where a map has a sign, because a feature whose steps pull to
both sides, as in the difference of two steps, is read by the model although its sum is near zero.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from scipy import stats

from xai_mimo.core.errors import BadSetting, BadValues, ShapeMismatch
from xai_mimo.core.streams import Array
from xai_mimo.metrics.metric import Against, Bounds, Need, Quantity
from xai_mimo.metrics.rank_test import rank_sum_p
from xai_mimo.metrics.scene import Scene, TrueFeatures
from xai_mimo.record.words import Better, Family

_OVER_FEATURES = "tested over features by an exact rank test: more rows do not narrow it, so no interval over rows"


def share_on_truth(a: Any, truth: Any) -> Array:
    """Share of the map's mass that lies on the true features.

    share = sum_{i in truth} |a_i| / sum_i |a_i|

    Args:
        a: map ``(sample, feature)``.
        truth: ``(feature,)`` booleans; at least one feature true and one not.
    Returns:
        ``(sample,)`` from 0 to 1; (true features) / features is chance. NaN, meaning undefined, in rows that are all
        zero.
    Raises:
        ShapeMismatch, BadValues: arrays that do not fit. BadSetting: nothing or everything is true.
    Source: Arras et al. (2022), "CLEVR-XAI", Section 3.3, "Relevance Mass Accuracy".
    """
    a, truth = _checked(a, truth)
    total = np.abs(a).sum(axis=1)
    on_truth = np.abs(a[:, truth]).sum(axis=1)
    return np.where(total > 0, on_truth / np.where(total > 0, total, 1.0), np.nan)


def auroc(a: Any, truth: Any) -> Array:
    """Chance that a true feature has a larger magnitude than one that is not; ties count one half.

    AUROC = (R - n (n + 1) / 2) / (n m): R the sum of the ranks of |a| over the n true features, m the others

    Args, Raises: as ``share_on_truth``.
    Returns:
        ``(sample,)`` from 0 to 1; 1/2 is chance, and what a constant map scores.
    Source: Mann and Whitney (1947); for explanations Hooker et al. (2019) and Agarwal et al. (2022), "OpenXAI".
    """
    a, truth = _checked(a, truth)
    n, m = int(truth.sum()), int((~truth).sum())
    ranks = stats.rankdata(np.abs(a), axis=1)
    chance: Array = (ranks[:, truth].sum(axis=1) - n * (n + 1) / 2) / (n * m)
    return chance


def _checked(a: Any, truth: Any) -> tuple[Array, Array]:
    a, truth = np.asarray(a, dtype=np.float64), np.asarray(truth)
    if a.ndim != 2 or truth.shape != a.shape[1:]:
        raise ShapeMismatch(
            f"ground truth wants a map (sample, feature) and one boolean per feature; got {a.shape} and {truth.shape}."
        )
    if truth.dtype != np.bool_:
        raise BadValues(f"the truth must be booleans, one per feature; got dtype {truth.dtype}.")
    if not np.isfinite(a).all():
        raise BadValues("the map holds NaN or infinite attributions.")
    if truth.all() or not truth.any():
        raise BadSetting(
            f"{int(truth.sum())} of {truth.size} features are true: a map can only be scored where some features "
            "matter and some do not. Leave this head out of the truth."
        )
    return a, truth


def by_feature(a: Any, feature_of: Any, features: int) -> Array:
    """Magnitudes of maps summed over the positions of each feature.

    A[n, i] = sum over the players p of feature i of |a[n, p]|

    Args:
        a: maps ``(sample, player)``.
        feature_of: ``(player,)``, the position of each player's feature.
        features: how many there are.
    Returns:
        ``(sample, feature)``, at least 0.
    """
    feature_of = np.asarray(feature_of)
    magnitudes = np.abs(np.asarray(a, dtype=np.float64))
    if np.array_equal(feature_of, np.arange(features)):
        return magnitudes
    return np.stack([np.bincount(feature_of, row, features) for row in magnitudes])


def _scorable(scene: Scene) -> Iterator[tuple[str, str, Array, Array, str]]:
    """Every target whose true features are known, with every method: target, label, map by feature, mask and note."""
    for target, known in _known(scene):
        if known.mask is not None:
            for label, maps in scene.maps.maps.items():
                values = by_feature(maps[scene.maps.heads.index(target)], known.feature_of, len(known.mask))
                yield target, label, values, known.mask, known.note


def _known(scene: Scene) -> Iterator[tuple[str, TrueFeatures]]:
    return ((target, scene.truth[target]) for target in scene.maps.heads if target in scene.truth)


def _area(known: TrueFeatures) -> float:
    """Share of the players that are of true features: of the mass of a map that says nothing, so much lies there.

    That is (true features) / features where all have as many positions. Where a series stands beside a table, features
    with more positions get more of such a map's mass, and chance must not credit it with that.
    """
    return float(np.asarray(known.mask)[known.feature_of].mean())


def _chance(scene: Scene, target: str, label: str, chance: float) -> Quantity:
    values = np.full(scene.maps.rows, chance)
    return Quantity(method=label, target=target, values=values, role="floor_random", exact=True)


@dataclass(frozen=True)
class Share:
    """``share_on_truth`` of every method, with the share that a map gives which says nothing."""

    name: ClassVar[str] = "share"
    family: ClassVar[Family] = "ground_truth"
    title: ClassVar[str] = "share of mass on true features"
    better: ClassVar[Better] = "larger"
    bounds: ClassVar[Bounds] = (0.0, 1.0)
    reference: ClassVar[str] = "arras2022clevrxai"
    needs: ClassVar[tuple[Need, ...]] = ("truth",)
    tested: ClassVar[tuple[Against, ...]] = ("controls",)

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all methods and the targets whose true features are known."""
        for target, label, values, mask, note in _scorable(scene):
            yield Quantity(method=label, target=target, values=share_on_truth(values, mask), note=note)
            yield _chance(scene, target, label, _area(scene.truth[target]))


@dataclass(frozen=True)
class AUROC:
    """``auroc`` of every method, row by row, with chance."""

    name: ClassVar[str] = "auroc"
    family: ClassVar[Family] = "ground_truth"
    title: ClassVar[str] = "AUROC"
    better: ClassVar[Better] = "larger"
    bounds: ClassVar[Bounds] = (0.0, 1.0)
    reference: ClassVar[str] = "agarwal2022openxai"
    needs: ClassVar[tuple[Need, ...]] = ("truth",)

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all methods and the targets whose true features are known."""
        for target, label, values, mask, note in _scorable(scene):
            yield Quantity(method=label, target=target, values=auroc(values, mask), note=note)
            yield _chance(scene, target, label, 0.5)


@dataclass(frozen=True)
class MeanMapAUROC:
    """``auroc`` of the mean magnitudes over rows, with chance; targets that cannot be scored say why.

    Tested over features by their ranks (``rank_sum_p``), and so without an interval over rows: that of a map of noise
    leaves out one half in a third of all cases, however many rows there are.
    """

    name: ClassVar[str] = "auroc_mean_map"
    family: ClassVar[Family] = "ground_truth"
    title: ClassVar[str] = "AUROC of the mean map"
    better: ClassVar[Better] = "larger"
    bounds: ClassVar[Bounds] = (0.0, 1.0)
    reference: ClassVar[str] = "agarwal2022openxai"
    needs: ClassVar[tuple[Need, ...]] = ("truth",)
    tested: ClassVar[tuple[Against, ...]] = ("controls",)

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all methods and the targets whose true features are known."""
        for target, known in _known(scene):
            if known.mask is None:
                for label in scene.maps.labels:
                    yield Quantity(method=label, target=target, values=None, note=known.note)
        for target, label, values, mask, note in _scorable(scene):
            yield Quantity(
                method=label,
                target=target,
                values=values,
                note="; ".join(n for n in (note, _OVER_FEATURES) if n),
                of_mean=partial(auroc, truth=mask),
                p=rank_sum_p(values.mean(axis=0), mask),
            )
            yield _chance(scene, target, label, 0.5)
