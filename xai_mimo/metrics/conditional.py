"""Removal curves where features depend on each other: unknown ones are taken from rows that resemble what is known.

Marginal curves ask the model about rows that cannot exist when one of two features that go together is replaced and
the other is not; these stand beside them. Their reading differs: a feature that others tell about moves nothing when it
is removed alone, so a map is right here where it puts first what tells most about the prediction.

Source: conditional replacement after Aas, Jullum and Løland (2021), see ``metrics.nearest``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xai_mimo.core.door import count_rows
from xai_mimo.metrics.metric import Against, Bounds, Need, Quantity
from xai_mimo.metrics.removal import Curves, curves_of, removal_curves
from xai_mimo.metrics.scene import Scene
from xai_mimo.metrics.symmetric_gain import of_random_orders, symmetric_gain
from xai_mimo.record.words import Better, Family


def conditional_curves_of(scene: Scene) -> tuple[dict[str, Curves], list[Curves]]:
    """The scene's curves with unknown features from the nearest rows of the background, and those of random orders."""
    perturbed, settings = scene.perturbed, scene.settings
    if settings.replacement == "nearest":
        return curves_of(scene)
    return scene.once(
        "conditional curves",
        lambda: removal_curves(
            perturbed.model.predict,
            perturbed.inputs,
            scene.maps.maps,
            perturbed.selectors,
            perturbed.background,
            players=perturbed.players,
            streams=perturbed.model.streams,
            steps=settings.steps,
            controls=1,  # nothing is held against them: random orders gain exactly nothing
            nearest=settings.replacement_rows,
            rng=scene.rng("curves"),
            advance=scene.advance,
        ),
    )


@dataclass(frozen=True)
class ConditionalSymmetricGain:
    """``symmetric_gain`` of conditional curves of every method, where features depend on each other.

    It asks the model ``Settings.replacement_rows`` times as often as curves that replace by the mean.
    """

    name: ClassVar[str] = "conditional_symmetric_gain"
    family: ClassVar[Family] = "faithfulness"
    title: ClassVar[str] = "symmetric gain, unknown features from similar rows"
    better: ClassVar[Better] = "larger"
    bounds: ClassVar[Bounds] = (None, None)
    reference: ClassVar[str] = "aas2021explaining"
    needs: ClassVar[tuple[Need, ...]] = ("two features", "few features", "correlated features")
    tested: ClassVar[tuple[Against, ...]] = ("controls",)

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all methods and targets."""
        k = min(scene.settings.replacement_rows, max(1, count_rows(scene.perturbed.background) - 1))
        rows = f"the {k} nearest rows" if k > 1 else "the nearest row"
        note = f"unknown features taken from {rows}"
        for label, curves in conditional_curves_of(scene)[0].items():
            for target, values in zip(scene.maps.heads, symmetric_gain(curves), strict=True):
                yield Quantity(method=label, target=target, values=values, note=note)
                yield of_random_orders(scene, label, target)
