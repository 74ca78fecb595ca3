"""Whether attributions sum to what the prediction changed by: the scores of ``core.completeness``.

Only methods that start from a baseline promise it. A gap of zero makes a map complete, not right: any map can be
rescaled until it sums to the change. Read it as a check of the computation.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xai_mimo.core.completeness import relative_gap
from xai_mimo.metrics.metric import Bounds, Need, Quantity
from xai_mimo.metrics.scene import Scene
from xai_mimo.record.words import Better, Family


@dataclass(frozen=True)
class RelativeGap:
    """``core.completeness.relative_gap`` of every method that has a baseline, of its maps before they are projected."""

    name: ClassVar[str] = "relative_gap"
    family: ClassVar[Family] = "completeness"
    title: ClassVar[str] = "relative completeness gap"
    better: ClassVar[Better] = "smaller"
    bounds: ClassVar[Bounds] = (0.0, None)
    reference: ClassVar[str] = "sundararajan2017axiomatic"
    needs: ClassVar[tuple[Need, ...]] = ("baseline",)

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all methods that have a baseline, and all targets."""
        for label, explanation in scene.explanations.items():
            if "baseline_prediction" in explanation:
                for target, values in zip(scene.maps.heads, relative_gap(explanation).values, strict=True):
                    yield Quantity(method=label, target=target, values=values)
