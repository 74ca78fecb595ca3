"""What a class probability loses when a map decides which positions of an input stay: scores of classification heads.

Maps are over positions (pixels, steps, tokens); all channels of a position stay or go together. As everywhere in this
room their magnitudes are read, the one reading that maps with and without a sign share. Average Drop multiplies inputs
by a map: what it removes becomes 0, which should mean "nothing there", as in images on a black ground.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, overload

import numpy as np
from scipy import special

from xai_mimo.core.errors import BadSetting, BadValues, ShapeMismatch
from xai_mimo.core.head_kinds import is_of_classes, is_quantity
from xai_mimo.core.logit import OF_EACH_CLASS
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.players import replace
from xai_mimo.core.streams import Array, Head
from xai_mimo.core.targets import Selector
from xai_mimo.metrics.metric import Bounds, Need, Quantity
from xai_mimo.metrics.scene import Scene
from xai_mimo.record.words import RANDOM, Better, Family, Role

_TINY = 1e-8
_READ = "outputs that are no probabilities are read as logits"
_OWN = "against the class predicted before"


def average_drop(before: Any, after: Any) -> Array:
    """How much of a class probability is lost when only what the map marks is kept, gains counted as no loss.

    drop = 100 max(0, Y - O) / Y, Y the probability on the input, O on the input multiplied by the map

    Args:
        before: Y, ``(..., sample)``, from 0 to 1.
        after: O, likewise.
    Returns:
        Per cent, from 0 to 100, of the shape given; smaller is better, and the mean over rows is the source's Average
        Drop. NaN, meaning undefined, where Y is 0.
    Raises:
        ShapeMismatch, BadValues: arrays that do not fit, or that are no probabilities.
    Source: Chattopadhay et al. (2018), "Grad-CAM++", Section 4.1.1.
    """
    return np.maximum(signed_average_drop(before, after), 0.0)


def signed_average_drop(before: Any, after: Any) -> Array:
    """``average_drop`` without its clipping: a gain counts as a negative drop, so that noise does not add up.

    drop = 100 (Y - O) / Y

    Args, Raises: as ``average_drop``.
    Returns:
        Per cent, at most 100; smaller is better. NaN where Y is 0.
    Source: our reading, after Chattopadhay et al. (2018), "Grad-CAM++", Section 4.1.1.
    """
    y, o = (np.asarray(v, dtype=np.float64) for v in (before, after))
    if y.shape != o.shape:
        raise ShapeMismatch(
            f"a drop wants one probability before and one after for each row; got {y.shape}, {o.shape}."
        )
    if not (((y >= 0) & (y <= 1)).all() and ((o >= 0) & (o <= 1)).all()):
        raise BadValues("a drop is a share of a probability: values must lie from 0 to 1. Apply softmax or sigmoid.")
    return np.where(y > 0, 100 * (y - o) / np.where(y > 0, y, 1.0), np.nan)


def deletion_accuracy(outputs: Any, labels: Any) -> Array:
    """Whether a row is still classified as labelled after its top positions were replaced (see ``delete_top``).

    Args:
        outputs: ``(sample, unit)`` of a head of classes, or ``(sample, 1)`` of a binary one, as probabilities.
        labels: ``(sample,)`` whole numbers; without labels, the classes predicted before.
    Returns:
        ``(sample,)`` of 0 and 1; the mean is the accuracy. Smaller is better: what carried the class is gone. Read it
        together with that of random positions.
    Raises:
        ShapeMismatch: arrays that do not fit.
    Source: Samek et al. (2017), "Evaluating the Visualization of What a Deep Neural Network Has Learned", Section
        III-B, at one size of the region that is taken away.
    """
    values, classes = np.asarray(outputs, dtype=np.float64), np.asarray(labels)
    if values.ndim != 2 or classes.shape != values.shape[:1]:
        raise ShapeMismatch(
            f"deletion accuracy wants outputs (sample, unit) and one class per row; got {values.shape}, "
            f"{classes.shape}."
        )
    kept: Array = (classes_of(values) == classes).astype(np.float64)
    return kept


def classes_of(probabilities: Array) -> Array:
    """The class of each row, ``(sample,)``: the likeliest unit, or whether the only one is likelier than not."""
    return probabilities.argmax(axis=1) if probabilities.shape[1] > 1 else (probabilities[:, 0] > 0.5).astype(np.int64)


def probabilities(outputs: Any, head: Head) -> Array:
    """The outputs of a head of classes as probabilities, ``(sample, unit)`` in float64.

    They are taken as they are where the head says so, or where no unit is told and all lie from 0 to 1 (and, for
    classes, sum to one). Else they are read as logits: softmax over classes, sigmoid for each binary unit, and for each
    class of which the log-odds were taken (see ``core.logit``).

    Raises:
        BadSetting: a head of quantities, which has none.
    """
    if is_quantity(head):
        raise BadSetting(f"head '{head.name}' is of kind {head.kind}: it gives no probabilities that could drop.")
    values: Array = np.asarray(outputs, dtype=np.float64).reshape(len(outputs), -1, head.classes)
    is_class = is_of_classes(head)
    fits = (values >= 0).all() and (values <= 1).all()
    sums_to_one = not is_class or np.allclose(values.sum(axis=2), 1.0, atol=1e-3)
    is_softmax = is_class and head.unit != OF_EACH_CLASS
    if not (head.unit == "probability" or (not head.unit and fits and sums_to_one)):
        values = np.asarray(special.softmax(values, axis=2) if is_softmax else special.expit(values))
    return np.clip(values.reshape(len(values), -1), 0.0, 1.0)


def keep_marked(inputs: Mapping[str, Array], weights: Mapping[str, Array]) -> dict[str, Array]:
    """Inputs multiplied by maps, position by position: ``x * m``.

    Args:
        inputs: ``{stream: (sample, *shape)}`` of floats.
        weights: ``{stream: (sample, *shape)}`` with axes of length 1 where all values share a weight, from ``scaled``;
            streams without one stay as they are.
    """
    return {name: (x * weights[name]).astype(x.dtype) if name in weights else x for name, x in inputs.items()}


def scaled(magnitudes: Mapping[str, Array]) -> dict[str, Array]:
    """Maps brought to [0, 1], row by row over all streams together: (m - min) / (max - min + 1e-8).

    Args:
        magnitudes: ``{stream: (sample, *axes)}``, at least 0.
    """
    flat = {name: m.reshape(len(m), -1) for name, m in magnitudes.items()}
    low = np.min([m.min(axis=1) for m in flat.values()], axis=0)[:, None]
    high = np.max([m.max(axis=1) for m in flat.values()], axis=0)[:, None]
    return {name: ((flat[name] - low) / (high - low + _TINY)).reshape(m.shape) for name, m in magnitudes.items()}


def delete_top(
    inputs: Mapping[str, Array],
    magnitudes: Mapping[str, Array],
    replacement: Mapping[str, Array],
    k: int,
    rng: np.random.Generator,
) -> dict[str, Array]:
    """Inputs whose k positions of largest magnitude, over all streams that have maps, are replaced.

    Args:
        inputs: ``{stream: (sample, *shape)}``.
        magnitudes: ``{stream: (sample, *shape)}`` with axes of length 1 where all values go together.
        replacement: ``{stream: (1, *shape)}``.
        k: how many positions, at least 1.
        rng: orders positions of equal magnitude.
    Raises:
        BadSetting: k is below 1.
    """
    if k < 1:
        raise BadSetting(f"deletion accuracy takes at least 1 position away; got k={k}.")
    flat = np.concatenate([m.reshape(len(m), -1) for m in magnitudes.values()], axis=1)
    order = np.lexsort(np.stack([rng.random(flat.shape), -flat]), axis=-1)
    gone = np.zeros(flat.shape, dtype=bool)
    np.put_along_axis(gone, order[:, :k], True, axis=1)
    parts = np.split(gone, np.cumsum([m[0].size for m in magnitudes.values()])[:-1], axis=1)
    known = {name: ~part.reshape(m.shape) for (name, m), part in zip(magnitudes.items(), parts, strict=True)}
    return replace(inputs, replacement, known)


@dataclass(frozen=True)
class _Target:
    """One target, asked again with inputs that a map decided on.

    Attributes:
        model: whose head it is. inputs, replacement: rows; one row to replace with.
        selector: the target. head: of the model.
        before: probabilities on the inputs, ``(sample, unit)``.
        note: how the head's outputs had to be read, "" when there is nothing to say.
    """

    model: Model
    inputs: Arrays
    replacement: Arrays
    selector: Selector
    head: Head
    before: Array
    note: str

    @staticmethod
    def of(scene: Scene, selector: Selector, head: Head) -> "_Target":
        model, inputs = scene.perturbed.model, scene.perturbed.inputs
        outputs = model.predict(inputs)[head.name]
        before = probabilities(outputs, head)
        is_same = np.allclose(before, outputs.reshape(before.shape), atol=1e-3)
        first = {name: rows[:1] for name, rows in scene.perturbed.replacement.items()}
        return _Target(model, inputs, first, selector, head, before, "" if is_same else _READ)

    def marked(self, magnitudes: Arrays) -> tuple[Array, Array] | None:
        """Probabilities of the target on the inputs and on what the map marks; None where nothing can be multiplied."""
        floats = {name: m for name, m in magnitudes.items() if self.inputs[name].dtype.kind == "f"}
        if not floats:
            return None
        each = np.arange(len(self.before)), self.selector.units
        return self.before[each], self._ask(keep_marked(self.inputs, scaled(floats)))[each]

    def without_top(self, magnitudes: Arrays, k: int, rng: np.random.Generator) -> Array:
        """Probabilities without the top positions, ``(sample, unit)``."""
        return self._ask(delete_top(self.inputs, magnitudes, self.replacement, k, rng))

    @overload
    def of_step(self, values: Array) -> Array: ...

    @overload
    def of_step(self, values: None) -> None: ...

    def of_step(self, values: Array | None) -> Array | None:
        """Of values or labels at several steps of a head, those of the step that is explained in each row."""
        if values is None or not is_of_classes(self.head) or self.head.steps == 1:
            return values
        step = self.selector.units // self.head.classes
        own: Array = np.asarray(values).reshape(len(values), self.head.steps, -1)[np.arange(len(values)), step]
        return own

    def _ask(self, inputs: Arrays) -> Array:
        return probabilities(self.model.predict(inputs)[self.head.name], self.head)


def _targets(scene: Scene) -> list[_Target]:
    heads = {head.name: head for head in scene.perturbed.model.heads}
    classes = [s for s in scene.perturbed.selectors if not is_quantity(heads[s.head])]
    return scene.once("drop targets", lambda: [_Target.of(scene, s, heads[s.head]) for s in classes])


def _magnitudes(scene: Scene, target: _Target) -> Iterator[tuple[str, Arrays]]:
    """Every method's map of a target, and one of random numbers, as magnitudes of positions."""
    shape = scene.maps.rows, len(scene.maps.players)
    random = scene.once("drop maps", lambda: scene.rng("drop maps").random(shape))
    streams = scene.perturbed.model.streams
    axes = {s.name: scene.positions(s) for s in streams}
    shapes = {name: d.map_shape for name, d in scene.perturbed.masker.divisions.items()}
    h = scene.maps.heads.index(target.selector.name)
    for label in (*scene.maps.labels, RANDOM):
        values = random if label == RANDOM else scene.maps.maps[label][h]
        yield label, _over_positions(values, shapes, axes)


def _over_positions(values: Array, shapes: Mapping[str, tuple[int, ...]], axes: Mapping[str, Sequence[int]]) -> Arrays:
    """A map ``(sample, player)`` as magnitudes of positions, ``{stream: (sample, *shape)}``, other axes of length 1."""
    ends = np.cumsum([int(np.prod(shape, dtype=np.int64)) for shape in shapes.values()])
    over = {}
    for (name, shape), part in zip(shapes.items(), np.split(np.abs(values), ends[:-1], axis=1), strict=True):
        if axes[name]:
            others = tuple(1 + i for i in range(len(shape)) if i not in axes[name])
            over[name] = part.reshape(len(part), *shape).sum(axis=others, keepdims=True)
    return over


def _marked(scene: Scene) -> list[tuple[str, str, Array, Array, str]]:
    """For every target and map: label, target, probabilities before and on what is marked, note."""

    def ask() -> list[tuple[str, str, Array, Array, str]]:
        asked = []
        for target in _targets(scene):
            for label, magnitudes in _magnitudes(scene, target):
                pair = target.marked(magnitudes)
                if pair is not None:
                    asked.append((label, target.selector.name, *pair, target.note))
        return asked

    return scene.once("marked inputs", ask)


def _quantity(label: str, target: str, values: Array, note: str, k: int | None = None) -> Quantity:
    role: Role = "control_random" if label == RANDOM else "value"
    return Quantity(method=label, target=target, values=values, role=role, note=note, k=k)


@dataclass(frozen=True)
class AverageDrop:
    """``average_drop`` of every method and of random maps, for heads of classes.

    Streams without positions, and streams of whole numbers, which cannot be multiplied, stay as they are.
    """

    name: ClassVar[str] = "average_drop"
    family: ClassVar[Family] = "faithfulness"
    title: ClassVar[str] = "average drop"
    better: ClassVar[Better] = "smaller"
    bounds: ClassVar[Bounds] = (0.0, 100.0)
    reference: ClassVar[str] = "chattopadhay2018gradcampp"
    needs: ClassVar[tuple[Need, ...]] = ("positions", "classes")

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all methods and the targets of heads of classes."""
        for label, target, before, after, note in _marked(scene):
            yield _quantity(label, target, average_drop(before, after), note)


@dataclass(frozen=True)
class SignedAverageDrop:
    """``signed_average_drop`` of every method and of random maps, for heads of classes; see ``AverageDrop``."""

    name: ClassVar[str] = "signed_average_drop"
    family: ClassVar[Family] = "faithfulness"
    title: ClassVar[str] = "signed average drop"
    better: ClassVar[Better] = "smaller"
    bounds: ClassVar[Bounds] = (None, 100.0)
    reference: ClassVar[str] = "chattopadhay2018gradcampp"
    needs: ClassVar[tuple[Need, ...]] = ("positions", "classes")

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all methods and the targets of heads of classes."""
        for label, target, before, after, note in _marked(scene):
            yield _quantity(label, target, signed_average_drop(before, after), note)


@dataclass(frozen=True)
class DeletionAccuracy:
    """``deletion_accuracy`` of every method and of random maps, where units are the classes of a row."""

    name: ClassVar[str] = "deletion_accuracy"
    family: ClassVar[Family] = "faithfulness"
    title: ClassVar[str] = "deletion accuracy"
    better: ClassVar[Better] = "smaller"
    bounds: ClassVar[Bounds] = (0.0, 1.0)
    reference: ClassVar[str] = "samek2017evaluating"
    needs: ClassVar[tuple[Need, ...]] = ("positions", "classes")

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all methods and the targets of heads of classes; ``rng`` orders positions of equal magnitude."""
        for target in (t for t in _targets(scene) if t.head.kind == "binary" or is_of_classes(t.head)):
            before = target.of_step(target.before)
            known = _classes(target.of_step(scene.labels.get(target.selector.head)), before.shape[1])
            classes, own = (classes_of(before), _OWN) if known is None else (known, "")
            note = "; ".join(n for n in (target.note, own) if n)
            for label, magnitudes in _magnitudes(scene, target):
                k = max(1, round(scene.settings.deleted * sum(m[0].size for m in magnitudes.values())))
                kept = deletion_accuracy(target.of_step(target.without_top(magnitudes, k, rng)), classes)
                yield _quantity(label, target.selector.name, kept, note, k)


def _classes(labels: Array | None, units: int) -> Array | None:
    """Labels as classes, ``(sample,)``; None where they are missing for some rows, or not classes."""
    if labels is None:
        return None
    values = np.asarray(labels, dtype=np.float64).reshape(len(labels), -1)
    if not np.isfinite(values).all() or values.shape[1] not in (1, units):
        return None
    return values[:, 0] if values.shape[1] == 1 else values.argmax(axis=1).astype(np.float64)
