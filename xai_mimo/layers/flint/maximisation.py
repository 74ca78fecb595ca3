"""Pictures of what an attribute detects: activation maximisation that starts from a faded sample.

Source: Parekh, Mozharovskyi and d'Alche-Buc (2021), "A Framework to Learn with Interpretation", Section 4 (AM+PI), with
the settings of the official code. Clipping is ours.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

Arrays = list[np.ndarray]


@dataclass(frozen=True)
class Maximisation:
    """Settings of activation maximisation with partial initialisation.

        maximise  phi * phi_j(x) - variation * TV(x) - bound * Bo(x) - magnitude * mean |x|   from x = scale * x0
        TV(x) = mean |x[.., i + 1, ..] - x[.., i, ..]|, summed over the axes of time, height and width
        Bo(x) = mean of |x| where x is out of range, 0 elsewhere

    The defaults are those for MNIST, FashionMNIST and QuickDraw, but for ``clip``. Each round is Adam from anew.

    Attributes:
        scale: s, of the sample to start from; 0.3, and for CIFAR-10 0.4 for a class, 0.6 for one sample.
        phi, variation, bound, magnitude: weights; CIFAR-10 has 2, 20, 20, 0.
        low, high: range of the inputs.
        rounds, steps: 12 of 50 steps. rate: of the first round's Adam. decay: factor of the rate after each round.
        clip: keep x in its range at every step. The authors do not, and their ``bound`` of 10 is too small for small
            images: on 8 x 8 digits pixels leave for +-5. Without clipping take a larger one there, such as 300.
    """

    scale: float = 0.3
    phi: float = 2.0
    variation: float = 6.0
    bound: float = 10.0
    magnitude: float = 0.0
    low: float = 0.0
    high: float = 1.0
    rounds: int = 12
    steps: int = 50
    rate: float = 0.05
    decay: float = 0.5
    clip: bool = True

    def __post_init__(self) -> None:
        numbers = {name: getattr(self, name) for name in self.__dataclass_fields__}
        wrong = [name for name, value in numbers.items() if not math.isfinite(value)]
        wrong += [name for name in ("rounds", "steps", "rate", "decay") if numbers[name] <= 0]
        wrong += [name for name in ("phi", "variation", "bound", "magnitude") if numbers[name] < 0]
        if wrong or self.low >= self.high:
            name = wrong[0] if wrong else "low"
            raise ValueError(
                "Expected finite settings, weights of 0 or more, rounds, steps, rate and decay above 0 and low < high. "
                f"Received: {name}={numbers[name]}, low={self.low}, high={self.high}"
            )


@dataclass(frozen=True)
class Maximised:
    """What activation maximisation found, one row for each sample.

    Attributes:
        inputs: in the structure of the model's inputs: of all points on the way, that of the largest objective.
        sample: phi_j of the samples. start: of the faded samples. end: of what was found. All ``(row,)``.
        objective_start, objective_end: ``(row,)``.
    """

    inputs: Any
    sample: np.ndarray
    start: np.ndarray
    end: np.ndarray
    objective_start: np.ndarray
    objective_end: np.ndarray


def maximise(encoder: keras.Model, x: Any, attributes: Sequence[int], recipe: Maximisation) -> Maximised:
    """Change samples so that an attribute of each grows; in inference mode, on all rows at once.

    Args:
        encoder: inputs -> attributes.
        x: samples, as the model takes them; all inputs are changed.
        attributes: number of the attribute of each row.
        recipe: settings.
    Raises:
        ValueError: there are no rows, not one attribute for each, no such attribute, or inputs of integers or NaN.
    """
    samples, chosen = _check(encoder, x, attributes)
    climb = _climber(_objective(encoder, chosen, recipe))
    now = [recipe.scale * values for values in samples]
    objective_start, start, slopes = climb(now)
    best, objective_end, end = [values.copy() for values in now], objective_start.copy(), start.copy()
    for turn in range(recipe.rounds):
        adam = _Adam(recipe.rate * recipe.decay**turn)
        for _ in range(recipe.steps):
            now = adam.step(now, slopes)
            if recipe.clip:
                now = [np.clip(values, recipe.low, recipe.high) for values in now]
            objective, phi, slopes = climb(now)
            better = objective > objective_end
            objective_end, end = np.where(better, objective, objective_end), np.where(better, phi, end)
            for kept, values in zip(best, now, strict=True):
                kept[better] = values[better]
    changed = keras.tree.pack_sequence_as(x, best)
    return Maximised(changed, climb(samples)[1], start, end, objective_start, objective_end)


def _check(encoder: keras.Model, x: Any, attributes: Sequence[int]) -> tuple[Arrays, np.ndarray]:
    """The samples as float32 and the attributes as indices."""
    samples = [np.asarray(values) for values in keras.tree.flatten(x)]
    kinds = [values.dtype.kind for values in samples if values.dtype.kind != "f"]
    if kinds or not all(np.isfinite(values).all() for values in samples):
        raise ValueError(
            f"Expected samples of finite floating numbers. Received: {[str(v.dtype) for v in samples]}. Integers, such "
            "as tokens, cannot be changed little by little."
        )
    count, chosen = int(encoder.outputs[0].shape[-1]), np.asarray(attributes)
    rows = len(samples[0])
    fits = rows and chosen.shape == (rows,) and chosen.dtype.kind in "iu"
    if not fits or chosen.min() < 0 or chosen.max() >= count:
        raise ValueError(
            f"Expected one row or more, and for each an attribute from 0 to {count - 1}. Received: {rows} rows, "
            f"attributes={chosen.tolist()}"
        )
    shapes = [tuple(t.shape[1:]) for t in encoder.inputs]
    return [v.astype("float32").reshape(rows, *shape) for v, shape in zip(samples, shapes, strict=True)], chosen


def _objective(
    encoder: keras.Model, attributes: np.ndarray, recipe: Maximisation
) -> Callable[[list[Any]], tuple[Any, Any]]:
    """The function inputs -> objective and phi_j, each ``(row,)``."""
    chosen = np.eye(int(encoder.outputs[0].shape[-1]), dtype="float32")[attributes]

    def objective(inputs: list[Any]) -> tuple[Any, Any]:
        strengths = encoder(keras.tree.pack_sequence_as(encoder.input, inputs), training=False)
        phi = ops.sum(ops.cast(strengths, "float32") * ops.convert_to_tensor(chosen), axis=-1)
        return recipe.phi * phi - sum(_penalty(values, recipe) for values in inputs), phi

    return objective


def _penalty(values: Any, recipe: Maximisation) -> Any:
    """variation * TV + bound * Bo + magnitude * mean |x| of one input, ``(row,)``."""
    rest = tuple(range(1, len(values.shape)))
    outside = ops.logical_or(values > recipe.high, values < recipe.low)
    total = recipe.bound * ops.mean(ops.where(outside, ops.abs(values), 0.0), axis=rest)
    total = total + recipe.magnitude * ops.mean(ops.abs(values), axis=rest)
    for axis in rest[:-1]:
        if values.shape[axis] > 1:
            total = total + recipe.variation * ops.mean(ops.abs(ops.diff(values, axis=axis)), axis=rest)
    return total


class _Adam:
    """Kingma and Ba (2015), upwards, with PyTorch's defaults; each row by itself."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._count = 0
        self._mean: Arrays = []
        self._square: Arrays = []

    def step(self, values: Arrays, slopes: Arrays) -> Arrays:
        """The values one step uphill."""
        self._count += 1
        if self._count == 1:
            self._mean, self._square = [0.0 * g for g in slopes], [0.0 * g for g in slopes]
        self._mean = [0.9 * m + 0.1 * g for m, g in zip(self._mean, slopes, strict=True)]
        self._square = [0.999 * s + 0.001 * g * g for s, g in zip(self._square, slopes, strict=True)]
        first, second = 1 - 0.9**self._count, 1 - 0.999**self._count
        moved = zip(values, self._mean, self._square, strict=True)
        return [(v + self._rate * (m / first) / (np.sqrt(s / second) + 1e-8)).astype("float32") for v, m, s in moved]


def _climber(
    objective: Callable[[list[Any]], tuple[Any, Any]],
) -> Callable[[Arrays], tuple[np.ndarray, np.ndarray, Arrays]]:
    """inputs -> objective, phi and the slopes of the objective, on the active backend."""
    climbers = {"jax": _jax_climber, "tensorflow": _tensorflow_climber, "torch": _torch_climber}
    climb = climbers[keras.backend.backend()](objective)

    def as_arrays(inputs: Arrays) -> tuple[np.ndarray, np.ndarray, Arrays]:
        value, phi, slopes = climb(inputs)
        to_numpy = keras.ops.convert_to_numpy
        return np.array(to_numpy(value)), np.array(to_numpy(phi)), [np.array(to_numpy(g)) for g in slopes]

    return as_arrays


def _jax_climber(objective: Callable[[list[Any]], tuple[Any, Any]]) -> Callable[[Arrays], Any]:
    import jax

    def total(inputs: list[Any]) -> tuple[Any, tuple[Any, Any]]:
        with keras.StatelessScope():
            value, phi = objective(inputs)
        return value.sum(), (value, phi)

    slope = jax.jit(jax.value_and_grad(total, has_aux=True))

    def climb(inputs: Arrays) -> Any:
        (_, (value, phi)), slopes = slope(inputs)
        return value, phi, slopes

    return climb


def _tensorflow_climber(objective: Callable[[list[Any]], tuple[Any, Any]]) -> Callable[[Arrays], Any]:
    import tensorflow as tf

    @tf.function
    def compiled(inputs: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value, phi = objective(inputs)
        return value, phi, tape.gradient(value, inputs)

    return lambda inputs: compiled([tf.constant(values) for values in inputs])


def _torch_climber(objective: Callable[[list[Any]], tuple[Any, Any]]) -> Callable[[Arrays], Any]:
    import torch

    def climb(inputs: Arrays) -> Any:
        tensors = [keras.ops.convert_to_tensor(values).detach().clone().requires_grad_() for values in inputs]
        value, phi = objective(tensors)
        return value.detach(), phi.detach(), torch.autograd.grad(value.sum(), tensors)

    return climb
