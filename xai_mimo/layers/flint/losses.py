"""What FLINT is trained with beside the predictor's own losses, each as a formula and as a layer that adds it.

A term is a layer that gives back its first input untouched and adds ``weight * value`` to the model's loss. Its weight
is a variable, so that a schedule changes it without a new graph; its mean over an epoch is kept for the log.

Source: Parekh, Mozharovskyi and d'Alche-Buc (2021), "A Framework to Learn with Interpretation", Section 3, with means
over the mini-batch as in the official code.
"""

from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from xai_mimo.core.streams import HeadKind
from xai_mimo.layers.precision import mean, precise, precise_dtype

_LEAST_SHARE = 0.01
"""What a training step counts in the running deviation of a quantity: it is a mean over about a hundred steps."""

_CONSTANT = {"float32": 1e-5, "float64": 1e-13}
"""A standard deviation, as a share of the mean, below which a quantity does not vary but by rounding, by dtype."""


def entropy(values: Any) -> Any:
    """E(v) = -sum_i p_i log p_i with p = softmax(v), over the last axis; between 0 and log J."""
    return -ops.sum(ops.softmax(values, axis=-1) * ops.log_softmax(values, axis=-1), axis=-1)


def entropy_pair(attributes: Any) -> Any:
    """mean_x E(|phi(x)|) - E(mean_x |phi(x)|), a scalar in [-log J, log J]: few attributes per row, all in the batch.

    The mini-batch stands for the training set: give 16 rows or more.
    """
    size = ops.abs(attributes)
    return ops.mean(entropy(size)) - entropy(ops.mean(size, axis=0))


def sparsity(attributes: Any) -> Any:
    """Mean over rows and attributes of |phi_j|."""
    return ops.mean(ops.abs(attributes))


def output_fidelity(outputs: Any, scores: Any, kind: HeadKind, from_logits: bool) -> Any:
    """How far the interpreter's scores are from the predictor's outputs; the predictor is the target, not the learner.

        multiclass            mean_x -sum_c p_c log q_c,  p of the predictor, q = softmax(scores)
        binary, multilabel    mean_x mean_u -(p_u log q_u + (1 - p_u) log(1 - q_u)),  q = sigmoid(scores)      (ours)
        regression            mean_x mean_u (f_u - s_u)^2                                                      (ours)

    Quantities come in standard deviations of f, so that their unit does not decide how much they weigh, see
    ``RunningDeviation``.

    No gradient reaches the predictor's outputs. The formula as printed exchanges p and q and detaches nothing: it pulls
    the predictor towards an interpreter that knows nothing yet, and both fail. This is what the authors' code does.

    Args:
        outputs: f, ``(B, units)``. scores: unnormalised, ``(B, units)``.
        kind: of the head.
        from_logits: whether f is to be normalised first.
    """
    target = ops.stop_gradient(outputs)
    if kind == "regression":
        return ops.mean(ops.square(target - scores))
    if kind == "multiclass":
        share = ops.softmax(target, axis=-1) if from_logits else target
        return -ops.mean(ops.sum(share * ops.log_softmax(scores, axis=-1), axis=-1))
    share = ops.sigmoid(target) if from_logits else target
    return -ops.mean(share * ops.log_sigmoid(scores) + (1.0 - share) * ops.log_sigmoid(-scores))


class _Term(keras.layers.Layer):
    """Adds its value to the loss and passes its first input on; see the top of this file.

    Args:
        weight: that it starts with.
    """

    def __init__(self, weight: float = 0.0, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.supports_masking = True
        fixed: dict[str, Any] = {"shape": (), "trainable": False, "dtype": "float32"}
        self.weight = self.add_weight(name="weight", initializer=keras.initializers.Constant(weight), **fixed)
        self._total = self.add_weight(name="total", initializer="zeros", **fixed)
        self._steps = self.add_weight(name="steps", initializer="zeros", **fixed)
        self.built = True

    def charge(self, value: Any, training: bool | None) -> None:
        """Add to the loss, and in training to the mean of the epoch.

        Keras sums the losses of layers with that of ``compile``, which is of ``floatx``; TensorFlow adds no two dtypes.
        """
        self.add_loss(ops.cast(ops.cast(self.weight, value.dtype) * value, keras.config.floatx()))
        if training:
            self._total.assign(self._total + ops.cast(ops.stop_gradient(value), "float32"))
            self._steps.assign(self._steps + 1.0)

    def take_mean(self) -> float:
        """Mean over the training steps since this was last asked, before the weight is applied; NaN after none."""
        total, steps = (float(ops.convert_to_numpy(v)) for v in (self._total, self._steps))
        self._total.assign(0.0)
        self._steps.assign(0.0)
        return total / steps if steps else float("nan")

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the first input."""
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor as plain values; the weight as it is now, so that a clone trains alike."""
        return {**super().get_config(), "weight": float(ops.convert_to_numpy(self.weight))}


@keras.saving.register_keras_serializable(package="xai_mimo")
class Sparsity(_Term):
    """``sparsity`` of the second input."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The first input."""
        self.charge(sparsity(precise(inputs[1])), training)
        return inputs[0]


@keras.saving.register_keras_serializable(package="xai_mimo")
class EntropyPair(_Term):
    """``entropy_pair`` of the second input."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The first input."""
        self.charge(entropy_pair(precise(inputs[1])), training)
        return inputs[0]


@keras.saving.register_keras_serializable(package="xai_mimo")
class InputFidelity(_Term):
    """Mean squared or absolute error of reconstructions; the mean over the inputs where there are several.

    Call arguments:
        inputs: what is passed on, the inputs, and as many reconstructions.
    """

    def __init__(self, error: Literal["squared", "absolute"], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.error = error

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The first input."""
        passed, *both = inputs
        count, size = len(both) // 2, ops.square if self.error == "squared" else ops.abs
        errors = [ops.mean(size(_difference(x, d))) for x, d in zip(both[:count], both[count:], strict=True)]
        self.charge(sum(errors) / count, training)
        return passed

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor as plain values."""
        return {**super().get_config(), "error": self.error}


def _difference(x: Any, y: Any) -> Any:
    """x - y in the better precision of both: inputs may be float32 where all networks are float64."""
    dtype = precise_dtype(x, y)
    return ops.cast(x, dtype) - ops.cast(y, dtype)


@keras.saving.register_keras_serializable(package="xai_mimo")
class RunningDeviation(keras.layers.Layer):
    """Standard deviation of each unit of a quantity over the latest training steps, ``(units,)``; ours.

    A squared difference in a quantity's own unit would be a loss that changes with the unit: metres in the place of
    millimetres, and the interpreter hardly learns the head. Divided by the variance it is 1 for a constant answer and 0
    for a perfect one, comparable with the other heads' terms. It runs over steps and not over one batch, so that a last
    batch of one row does no harm. 1 before the first step, and for a unit that has not varied so far.

    Args:
        units: of the head.

    Call arguments:
        inputs: ``(batch, units)``.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.units = units
        self._precise = "float64" if self.variable_dtype == "float64" else "float32"
        fixed: dict[str, Any] = {"trainable": False, "dtype": self._precise}
        self._mean = self.add_weight(name="mean", shape=(units,), initializer="zeros", **fixed)
        self._variance = self.add_weight(name="variance", shape=(units,), initializer="zeros", **fixed)
        self._steps = self.add_weight(name="steps", shape=(), initializer="zeros", **fixed)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The deviations; in training these rows count."""
        if training:
            self._take(ops.cast(ops.stop_gradient(inputs), self._precise))
        return ops.cast(self.deviations(), inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor as plain values."""
        return {**super().get_config(), "units": self.units}

    def deviations(self) -> Any:
        """As they are now, ``(units,)``, in float32, or in float64 where the layer's dtype is."""
        variance = ops.convert_to_tensor(self._variance)
        return ops.sqrt(ops.where(variance > ops.square(_CONSTANT[self._precise] * self._mean), variance, 1.0))

    def means(self) -> Any:
        """Of each unit over the same steps, ``(units,)``, in the same dtype; 0 before the first."""
        return ops.convert_to_tensor(self._mean)

    def _take(self, rows: Any) -> None:
        """Moments of a mixture: what was seen before, and these rows."""
        self._steps.assign(self._steps + 1.0)
        share = ops.cast(ops.maximum(1.0 / self._steps, _LEAST_SHARE), self._precise)
        centre = mean(rows, axis=0)
        change, variance = centre - self._mean, mean(ops.square(rows - centre), axis=0)
        between = share * (1.0 - share) * ops.square(change)
        self._variance.assign((1.0 - share) * self._variance + share * variance + between)
        self._mean.assign(self._mean + share * change)


@keras.saving.register_keras_serializable(package="xai_mimo")
class OutputFidelity(_Term):
    """``output_fidelity`` of one head: passes the predictor's output on, and carries the head's activation."""

    def __init__(self, kind: HeadKind, units: int, activation: Any, from_logits: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = kind
        self.units = units
        self.activation = activation
        self.from_logits = from_logits
        # `_spread` is part of the paths in saved files, like the names of all attributes that hold layers.
        self._spread = RunningDeviation(units, name="spread") if kind == "regression" else None

    def deviations(self) -> np.ndarray:
        """Of a quantity's units in training, ``(units,)``, see ``RunningDeviation``; ones for choices."""
        return np.ones(self.units) if self._spread is None else ops.convert_to_numpy(self._spread.deviations())

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The first input, the predictor's output; the second are the interpreter's scores."""
        f, scores = (ops.cast(values, precise_dtype(*inputs)) for values in inputs)
        if self._spread is not None:
            deviation = self._spread(f, training=training)
            f, scores = f / deviation, scores / deviation
        self.charge(output_fidelity(f, scores, self.kind, self.from_logits), training)
        return inputs[0]

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor as plain values."""
        return {
            **super().get_config(),
            "kind": self.kind,
            "units": self.units,
            "activation": keras.saving.serialize_keras_object(self.activation),
            "from_logits": self.from_logits,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "OutputFidelity":
        """Make the layer again, with the activation that is named."""
        return cls(**{**config, "activation": _activation(config["activation"])})


def _activation(serialized: Any) -> Any:
    """A function, layer or None from what Keras serialised."""
    known = isinstance(serialized, str) or serialized is None
    return keras.activations.get(serialized) if known else keras.saving.deserialize_keras_object(serialized)
