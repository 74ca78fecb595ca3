"""A metric: facts on a frozen dataclass, and one call on a scene."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xai_mimo.metrics.metric import Bounds, Quantity
from xai_mimo.metrics.scene import Scene
from xai_mimo.record.words import Better, Family


@dataclass(frozen=True)
class PositiveShare:
    """The share of a map's mass that speaks for the target; NaN, meaning undefined, where the map is zero."""

    name: ClassVar[str] = "toy"
    family: ClassVar[Family] = "complexity"
    title: ClassVar[str] = "share of positive values"
    better: ClassVar[Better] = "neither"
    bounds: ClassVar[Bounds] = (0.0, 1.0)
    reference: ClassVar[str] = "toy2025positive"
    bibtex: ClassVar[str] = "@misc{toy2025positive,\n  title = {On Sign},\n  author = {Toy, A.},\n  year = {2025}\n}"

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all methods and targets."""
        for label, maps in scene.maps.maps.items():
            for target, a in zip(scene.maps.heads, maps, strict=True):
                mass, positive = np.abs(a).sum(axis=1), np.maximum(a, 0).sum(axis=1)
                share = np.where(mass > 0, positive / np.where(mass > 0, mass, 1.0), np.nan)
                yield Quantity(method=label, target=target, values=share)
