"""Whether the order of a map is better than a random one, from both ends of the order at once.

Deleting the top features says little where features oppose each other: what the first moves, the second moves back.
Keeping only the top features then says it all. The symmetric relevance gain holds both against each other, and a random
order gains exactly nothing: to keep a random half is to delete a random half.

Source: Bluecher, Vielhaben, Strodthoff (2024), "Decoupling Pixel Flipping and Occlusion Strategy for Consistent XAI
Benchmarks", TMLR: most influential first against least influential first. The absolute change is our reading, for heads
that are not probabilities and for maps without signs; so is the order by value, which reads the signs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xai_mimo.core.speaks_of import meaning
from xai_mimo.core.streams import Array
from xai_mimo.metrics.faithfulness import deletion_area, insertion_area
from xai_mimo.metrics.metric import Bounds, Quantity
from xai_mimo.metrics.removal import Curves, curves_of
from xai_mimo.metrics.scene import Scene
from xai_mimo.record.words import Better, Family


def symmetric_gain(curves: Curves) -> Array:
    """How much further the value moves without the top features than with the top features alone.

    deletion area - insertion area = mean over q of |f(x) - v(all but the top q)| - |f(x) - v(only the top q)|

    Returns:
        ``(target, sample)``, in the head's unit; larger is better, 0 is what random orders gain on average, exactly.
    """
    return deletion_area(curves) - insertion_area(curves)


def signed_gain(curves: Curves) -> Array:
    """How much higher the value is with the most positive features alone than without them.

    mean over q of v(only the q most positive) - v(all but the q most positive)

    Args:
        curves: in the order of the values, ``Curves.by_value``.
    Returns:
        ``(target, sample)``, in the head's unit; larger is better, 0 is what random orders gain on average, exactly,
        and the map with all signs reversed gains the negative.
    """
    gain: Array = np.trapezoid(curves.deletion - curves.insertion, curves.fractions, axis=-1)
    return gain


def of_random_orders(scene: Scene, label: str, target: str) -> Quantity:
    """What random orders gain on average: exactly nothing, whatever stands in the place of replaced features."""
    return Quantity(method=label, target=target, values=np.zeros(scene.maps.rows), role="floor_random", exact=True)


def _why_none(scene: Scene, label: str) -> str:
    if not scene.maps.signed[label]:
        return f"not defined: {label} has no sign"
    return f"not defined: {label} speaks of {meaning(scene.maps.speaks_of[label])}"


@dataclass(frozen=True)
class SymmetricGain:
    """``symmetric_gain`` of every method."""

    name: ClassVar[str] = "symmetric_gain"
    family: ClassVar[Family] = "faithfulness"
    title: ClassVar[str] = "symmetric gain"
    better: ClassVar[Better] = "larger"
    bounds: ClassVar[Bounds] = (None, None)
    reference: ClassVar[str] = "bluecher2024decoupling"
    tested: ClassVar[bool] = True

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all methods and targets."""
        for label, curves in curves_of(scene)[0].items():
            for target, values in zip(scene.maps.heads, symmetric_gain(curves), strict=True):
                yield Quantity(method=label, target=target, values=values)
                yield of_random_orders(scene, label, target)


@dataclass(frozen=True)
class SignedGain:
    """``signed_gain`` of every method; a map without signs has none, nor has one of sensitivities."""

    name: ClassVar[str] = "signed_gain"
    family: ClassVar[Family] = "faithfulness"
    title: ClassVar[str] = "signed gain"
    better: ClassVar[Better] = "larger"
    bounds: ClassVar[Bounds] = (None, None)
    reference: ClassVar[str] = "bluecher2024decoupling"
    tested: ClassVar[bool] = True

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all methods and targets."""
        for label, curves in curves_of(scene)[0].items():
            for t, target in enumerate(scene.maps.heads):
                if curves.by_value is None:
                    yield Quantity(method=label, target=target, values=None, note=_why_none(scene, label))
                    continue
                yield Quantity(method=label, target=target, values=signed_gain(curves.by_value)[t])
                yield of_random_orders(scene, label, target)
