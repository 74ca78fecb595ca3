"""How concentrated an explanation is. A complex map is not a wrong one: read it with faithfulness."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from xai_mimo.core.streams import Array
from xai_mimo.metrics.metric import Bounds, Quantity
from xai_mimo.metrics.scene import Scene
from xai_mimo.record.words import Better, Family


def shares(a: Any) -> Array:
    """Each feature's share of the map's mass: |a_i| / sum |a|, ``(sample, feature)``; NaN in rows that are all zero."""
    mass = np.abs(np.asarray(a, dtype=np.float64))
    total = mass.sum(axis=1, keepdims=True)
    return np.where(total > 0, mass / np.where(total > 0, total, 1.0), np.nan)


def effective_features(a: Any) -> Array:
    """How many features carry the map.

    exp(-sum_i p_i log p_i) with p the shares of the mass

    Returns:
        ``(sample,)`` from 1 to the number of features; NaN, meaning undefined, in rows that are all zero.
    Source: Bhatt et al. (2020), "Evaluating and Aggregating Feature-based Model Explanations", Definition 3
        (the entropy), as an effective number (Hill, 1973).
    """
    p = shares(a)
    number: Array = np.exp(-(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=1))
    return number


def uniformity(a: Any, columns: Any) -> Array:
    """How near a map is to one that gives every column the same.

    exp(-sum_i p_i log(p_i / u_i)), p the shares of the mass, u each feature's share of the columns

    Args:
        a: map ``(sample, feature)``.
        columns: ``(feature,)``, how many columns each feature stands for: those of a group are one feature.
    Returns:
        ``(sample,)`` from 0 to 1, which is a uniform map; where every feature is one column, the effective number of
        features as a part of all. NaN, meaning undefined, in rows that are all zero.
    Source: the entropy of Bhatt et al. (2020), Definition 3, relative to a uniform map.
    """
    p, u = shares(a), np.asarray(columns, dtype=np.float64) / np.sum(columns)
    nearness: Array = np.exp(-(p * np.log(np.where(p > 0, p, 1.0) / np.where(p > 0, u, 1.0))).sum(axis=1))
    return nearness


def gini(a: Any) -> Array:
    """Gini index of the magnitudes: 0 for a uniform map, 1 - 1/features when one feature carries all.

    G = sum_i (2 i - D - 1) m_i / (D sum m), m the magnitudes in ascending order, i = 1..D

    Returns:
        ``(sample,)``; NaN, meaning undefined, in rows that are all zero.
    Source: Hurley and Rickard (2009), "Comparing Measures of Sparsity"; for explanations Chalasani et al. (2020).
    """
    p = np.sort(shares(a), axis=1)
    features = p.shape[1]
    weights = 2 * np.arange(1, features + 1) - features - 1
    index: Array = (p * weights).sum(axis=1) / features
    return index


def _of_maps(scene: Scene, measure: Callable[[Array], Array]) -> Iterator[Quantity]:
    for label, maps in scene.maps.maps.items():
        for target, values in zip(scene.maps.heads, maps, strict=True):
            yield Quantity(method=label, target=target, values=measure(values))


@dataclass(frozen=True)
class EffectiveFeatures:
    """``effective_features`` of every map."""

    name: ClassVar[str] = "effective_features"
    family: ClassVar[Family] = "complexity"
    title: ClassVar[str] = "effective number of features"
    better: ClassVar[Better] = "neither"
    bounds: ClassVar[Bounds] = (1.0, None)
    reference: ClassVar[str] = "bhatt2020evaluating"

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all methods and targets."""
        return _of_maps(scene, effective_features)


@dataclass(frozen=True)
class Gini:
    """``gini`` of every map."""

    name: ClassVar[str] = "gini"
    family: ClassVar[Family] = "complexity"
    title: ClassVar[str] = "Gini index"
    better: ClassVar[Better] = "neither"
    bounds: ClassVar[Bounds] = (0.0, 1.0)
    reference: ClassVar[str] = "hurley2009comparing"

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all methods and targets."""
        return _of_maps(scene, gini)


@dataclass(frozen=True)
class Uniformity:
    """``uniformity`` of every map."""

    name: ClassVar[str] = "uniformity"
    family: ClassVar[Family] = "complexity"
    title: ClassVar[str] = "nearness to a uniform map"
    better: ClassVar[Better] = "neither"
    bounds: ClassVar[Bounds] = (0.0, 1.0)
    reference: ClassVar[str] = "bhatt2020evaluating"

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all methods and targets."""
        columns = scene.perturbed.masker.columns
        return _of_maps(scene, lambda a: uniformity(a, columns))
