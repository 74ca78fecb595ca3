"""What FLINT is trained with beside the predictor's own losses, each as a formula and as a layer that adds it.

A term is a layer that gives back its first input untouched and adds ``weight * value`` to the model's loss. Its weight
is a variable, so that a schedule changes it without a new graph; its mean over an epoch is kept for the log.

Source: Parekh, Mozharovskyi and d'Alche-Buc (2021), "A Framework to Learn with Interpretation", Section 3, with means
over the mini-batch as in the official code.
"""

from typing import Any, Literal

import keras
from keras import ops

Kind = Literal["multiclass", "multilabel", "binary", "regression"]


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


def output_fidelity(outputs: Any, scores: Any, kind: Kind, from_logits: bool) -> Any:
    """How far the interpreter's scores are from the predictor's outputs; the predictor is the target, not the learner.

        multiclass            mean_x -sum_c p_c log q_c,  p of the predictor, q = softmax(scores)
        binary, multilabel    mean_x mean_u -(p_u log q_u + (1 - p_u) log(1 - q_u)),  q = sigmoid(scores)      (ours)
        regression            mean_x mean_u (f_u - s_u)^2                                                      (ours)

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
    """Adds its value to the loss and passes its first input on; see the top of this file."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.supports_masking = True
        fixed: dict[str, Any] = {"shape": (), "trainable": False, "dtype": "float32"}
        self.weight = self.add_weight(name="weight", initializer="zeros", **fixed)
        self._total = self.add_weight(name="total", initializer="zeros", **fixed)
        self._steps = self.add_weight(name="steps", initializer="zeros", **fixed)
        self.built = True

    def charge(self, value: Any, training: bool | None) -> None:
        """Add to the loss, and in training to the mean of the epoch."""
        self.add_loss(ops.cast(self.weight, value.dtype) * value)
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


def _precise(values: Any) -> Any:
    return ops.cast(values, keras.backend.result_type(values.dtype, "float32"))


class Sparsity(_Term):
    """``sparsity`` of the second input."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The first input."""
        self.charge(sparsity(_precise(inputs[1])), training)
        return inputs[0]


class EntropyPair(_Term):
    """``entropy_pair`` of the second input."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The first input."""
        self.charge(entropy_pair(_precise(inputs[1])), training)
        return inputs[0]


class InputFidelity(_Term):
    """Mean squared or absolute error of reconstructions; the mean over the inputs where there are several.

    Call arguments:
        inputs: what is passed on, the inputs, and as many reconstructions.
    """

    def __init__(self, error: Literal["squared", "absolute"], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._error = ops.square if error == "squared" else ops.abs

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The first input."""
        passed, *both = inputs
        count = len(both) // 2
        errors = [
            ops.mean(self._error(_precise(x) - _precise(d))) for x, d in zip(both[:count], both[count:], strict=True)
        ]
        self.charge(sum(errors) / count, training)
        return passed


class OutputFidelity(_Term):
    """``output_fidelity`` of one head: passes the predictor's output on, and carries the head's name and activation."""

    def __init__(self, kind: Kind, activation: Any, from_logits: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = kind
        self.activation = activation
        self.from_logits = from_logits

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The first input, the predictor's output; the second are the interpreter's scores."""
        outputs, scores = inputs
        self.charge(output_fidelity(_precise(outputs), _precise(scores), self.kind, self.from_logits), training)
        return outputs
