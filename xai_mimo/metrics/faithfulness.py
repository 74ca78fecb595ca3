"""Whether the features an explanation calls important are the ones the model reacts to: measures of removal curves.

The areas, comprehensiveness, sufficiency and violation of the curves of ``metrics.removal``, and the metrics that
report them.

Sources: Samek et al. (2017), "Evaluating the Visualization of What a Deep Neural Network Has Learned" (areas);
Petsiuk et al. (2018), "RISE" (deletion and insertion); DeYoung et al. (2020), "ERASER" (comprehensiveness,
sufficiency); Agarwal et al. (2022), "OpenXAI" (the absolute change); Liu et al. (2022), "Rethinking Attention-Model
Explainability through Faithfulness Violation Test".
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xai_mimo.core.speaks_of import meaning
from xai_mimo.core.streams import Array
from xai_mimo.metrics.metric import Bounds, Quantity
from xai_mimo.metrics.removal import ERASER_FRACTIONS, Curves, curves_of
from xai_mimo.metrics.scene import Scene
from xai_mimo.record.words import RANDOM, Better, Family, Role


def deletion_area(curves: Curves) -> Array:
    """Area under |deletion|, ``(target, sample)``, in the head's unit; larger is better."""
    return np.trapezoid(np.abs(curves.deletion), curves.fractions, axis=-1)


def insertion_area(curves: Curves) -> Array:
    """Area under |insertion|, ``(target, sample)``, in the head's unit; smaller is better."""
    return np.trapezoid(np.abs(curves.insertion), curves.fractions, axis=-1)


def comprehensiveness(curves: Curves) -> Array:
    """How far the value moves without the explanation, mean over explanations of 1, 5, 10, 20 and 50 % of the players.

    mean over q of |f(x) - v(all but the top q)|, at least one player each

    Returns:
        ``(target, sample)``, in the head's unit; larger is better.
    Source: DeYoung et al. (2020), "ERASER", Section 4.2, equation 1 and AOPC; the absolute value is our reading, for
        heads that are not probabilities.
    """
    change: Array = np.abs(curves.deletion[..., _eraser_points(curves)]).mean(axis=-1)
    return change


def sufficiency(curves: Curves) -> Array:
    """How far the value moves when only the explanation is kept, mean over 1, 5, 10, 20 and 50 % of the players.

    Returns:
        ``(target, sample)``, in the head's unit; smaller is better.
    Source: DeYoung et al. (2020), "ERASER", Section 4.2, equation 2 and AOPC; the absolute value is our reading.
    """
    change: Array = np.abs(curves.insertion[..., _eraser_points(curves)]).mean(axis=-1)
    return change


def violation(curves: Curves) -> Array:
    """Whether replacing the most important player moves the value against that player's sign.

    1 where sign(a_top) differs from sign(f(x) - v(all but top)), else 0; a map without signs is read as positive, as
    the paper reads attention

    Returns:
        ``(target, sample)`` of 0 and 1, smaller is better; NaN, meaning undefined, where the map is zero or nothing
        moves.
    Source: Liu et al. (2022), Section 3.
    """
    change = curves.deletion[..., int(np.searchsorted(curves.counts, 1))]
    product = np.sign(change) * curves.top_sign
    return np.where(product == 0, np.nan, (product < 0).astype(np.float64))


def _eraser_points(curves: Curves) -> Array:
    replaced = [max(1, int(np.ceil(q * curves.players - 1e-9))) for q in ERASER_FRACTIONS]
    return np.searchsorted(curves.counts, replaced)


def _of_curves(scene: Scene, measure: Callable[[Curves], Array]) -> Iterator[Quantity]:
    """A measure of every method's curves, and its mean over the random orders."""
    curves, controls = curves_of(scene)
    values = {label: measure(c) for label, c in curves.items()}
    values[RANDOM] = np.mean([measure(c) for c in controls], axis=0)
    for label, of_targets in values.items():
        for target, of_rows in zip(scene.maps.heads, of_targets, strict=True):
            role: Role = "control_random" if label == RANDOM else "value"
            yield Quantity(method=label, target=target, values=of_rows, role=role)


@dataclass(frozen=True)
class DeletionArea:
    """``deletion_area`` of every method and of random orders."""

    name: ClassVar[str] = "deletion_area"
    family: ClassVar[Family] = "faithfulness"
    title: ClassVar[str] = "deletion area"
    better: ClassVar[Better] = "larger"
    bounds: ClassVar[Bounds] = (0.0, None)
    reference: ClassVar[str] = "samek2017evaluating"
    tested: ClassVar[bool] = True

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all methods and targets."""
        return _of_curves(scene, deletion_area)


@dataclass(frozen=True)
class InsertionArea:
    """``insertion_area`` of every method and of random orders."""

    name: ClassVar[str] = "insertion_area"
    family: ClassVar[Family] = "faithfulness"
    title: ClassVar[str] = "insertion area"
    better: ClassVar[Better] = "smaller"
    bounds: ClassVar[Bounds] = (0.0, None)
    reference: ClassVar[str] = "petsiuk2018rise"
    tested: ClassVar[bool] = True

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all methods and targets."""
        return _of_curves(scene, insertion_area)


@dataclass(frozen=True)
class Comprehensiveness:
    """``comprehensiveness`` of every method and of random orders."""

    name: ClassVar[str] = "comprehensiveness"
    family: ClassVar[Family] = "faithfulness"
    title: ClassVar[str] = "comprehensiveness"
    better: ClassVar[Better] = "larger"
    bounds: ClassVar[Bounds] = (0.0, None)
    reference: ClassVar[str] = "deyoung2020eraser"

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all methods and targets."""
        return _of_curves(scene, comprehensiveness)


@dataclass(frozen=True)
class Sufficiency:
    """``sufficiency`` of every method and of random orders."""

    name: ClassVar[str] = "sufficiency"
    family: ClassVar[Family] = "faithfulness"
    title: ClassVar[str] = "sufficiency"
    better: ClassVar[Better] = "smaller"
    bounds: ClassVar[Bounds] = (0.0, None)
    reference: ClassVar[str] = "deyoung2020eraser"

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all methods and targets."""
        return _of_curves(scene, sufficiency)


@dataclass(frozen=True)
class Violation:
    """``violation`` of every attribution; a random order has no sign to violate.

    Not defined for a signed map of sensitivity: that a feature's value lowers the prediction does not contradict that
    the prediction rises with the feature.
    """

    name: ClassVar[str] = "violation"
    family: ClassVar[Family] = "faithfulness"
    title: ClassVar[str] = "violation"
    better: ClassVar[Better] = "smaller"
    bounds: ClassVar[Bounds] = (0.0, 1.0)
    reference: ClassVar[str] = "liu2022rethinking"

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all methods and targets."""
        maps = scene.maps
        for label, curves in curves_of(scene)[0].items():
            kind, is_defined = maps.speaks_of[label], True
            note = "" if maps.signed[label] else "the map has no sign: every weight is read as positive"
            if maps.signed[label] and kind != "attribution":
                note, is_defined = f"not defined: the map speaks of {meaning(kind)}", False
            for target, values in zip(maps.heads, violation(curves), strict=True):
                yield Quantity(method=label, target=target, values=values if is_defined else None, note=note)
