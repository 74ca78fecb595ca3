"""What the methods of ``gradients`` share that work in pieces."""

from collections.abc import Sequence

import numpy as np

from xai_mimo.core.method import Context
from xai_mimo.core.model import Arrays, Differentiable, Model, require, require_floats
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector


def differentiable(model: Model, method: str) -> Differentiable:
    """The model, if a gradient method can explain it.

    Raises:
        NotSupported: it has no gradients, or a stream holds integers.
    """
    able = require(model, Differentiable, for_=method)
    require_floats(model, for_=method)
    return able


def points_at_once(inputs: Arrays, targets: int, context: Context) -> int:
    """How many points one call may differentiate: each is held with its gradients, the model's and ours."""
    values = sum(int(np.prod(x.shape[1:], dtype=np.int64)) for x in inputs.values())
    return context.chunk(values * 8 * (2 + 3 * targets))


def add_axes(weights: Array, values: Array) -> Array:
    """Weights with as many axes as the values, the new ones of length 1 at the end, so that both can be multiplied."""
    return weights.reshape(*weights.shape, *(1,) * (values.ndim - weights.ndim))


def zeros(inputs: Arrays, selectors: Sequence[Selector]) -> Arrays:
    """Accumulators ``{stream: (target, sample, *shape)}`` in float64."""
    return {name: np.zeros((len(selectors), *x.shape)) for name, x in inputs.items()}
