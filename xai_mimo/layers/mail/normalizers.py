"""From scores to attention: what makes the features of one map compete.

Every normalizer works on the last axis, in float32 at least: half precision loses small weights of a long softmax.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from xai_mimo.layers.precision import cumsum


@dataclass(frozen=True)
class Normalizer:
    """A way to turn scores into weights.

    Attributes:
        weigh: scores ``(..., feature)`` -> weights of the same shape.
        neutral: weight that ``n`` features of equal (zero) score get; ``rescale`` divides by it.
    """

    weigh: Callable[[Any], Any]
    neutral: Callable[[int], float]


def softmax(scores: Any) -> Any:
    """Softmax over the last axis, also of length 1, where Keras would warn."""
    return ops.softmax(scores, axis=-1) if scores.shape[-1] > 1 else ops.exp(scores - scores)


def _sparsemax(scores: Any) -> Any:
    """Euclidean projection of the scores onto the simplex: many weights are exactly zero.

    a[i] = max(z[i] - tau, 0),  tau = (sum of z over the support S - 1) / |S|

    The support is found by sorting, outside the gradient: it is constant almost everywhere. ``keras.ops.sparsemax`` is
    not used because in Keras 3.15 its rows do not sum to 1 once two features share the support.

    Source: Martins and Astudillo (2016), "From Softmax to Sparsemax", Algorithm 1.
    """
    shifted = scores - ops.stop_gradient(ops.max(scores, axis=-1, keepdims=True))
    descending = -ops.sort(-ops.stop_gradient(shifted), axis=-1)
    rank = ops.arange(1, scores.shape[-1] + 1, dtype=scores.dtype)
    sums = cumsum(descending)
    size = ops.sum(ops.cast(1.0 + rank * descending > sums, scores.dtype), axis=-1, keepdims=True)
    smallest = ops.max(ops.where(rank == size, descending, -np.inf), axis=-1, keepdims=True)
    support = ops.cast(ops.stop_gradient(shifted) >= smallest, scores.dtype)
    tau = (ops.sum(shifted * support, axis=-1, keepdims=True) - 1.0) / ops.sum(support, axis=-1, keepdims=True)
    return ops.relu(shifted - tau)


NORMALIZERS = {
    "softmax": Normalizer(softmax, lambda n: 1.0 / n),
    "sparsemax": Normalizer(_sparsemax, lambda n: 1.0 / n),
    "sigmoid": Normalizer(ops.sigmoid, lambda n: 0.5),
}
