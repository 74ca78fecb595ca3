"""Numbers in float32 or better, whatever the dtype policy: a layer of float64 computes in float64.

On JAX and PyTorch Keras holds to 32 bits: ``keras.backend.result_type("float64", "float32")`` is float32 there, and so
is ``result_type("float64")``, by which some operations cast what they are given. These have a form here that does not;
for all other dtypes, and on TensorFlow, they are ``keras.ops``'. The operations that are not here keep float64.

What is decided by is the dtype of the values and not that of the policy: on JAX without its 64-bit mode no value is
float64, whatever the policy says. Layers of Keras inside ours do what Keras does.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


def precise(values: Any) -> Any:
    """The values in float32, or in float64 where they are."""
    return ops.cast(values, precise_dtype(values))


def precise_dtype(*values: Any) -> str:
    """ "float64" where one of these tensors is, else "float32"."""
    dtypes = [keras.backend.standardize_dtype(tensor.dtype) for tensor in values]
    return "float64" if "float64" in dtypes else "float32"


def matmul(first: Any, second: Any) -> Any:
    """``ops.matmul``."""
    if not _is_narrowed(first, second):
        return ops.matmul(first, second)
    return ops.convert_to_tensor(first, "float64") @ ops.convert_to_tensor(second, "float64")


def mean(values: Any, axis: int | Sequence[int] | None = None) -> Any:
    """``ops.mean``."""
    if not _is_narrowed(values):
        return ops.mean(values, axis=axis)
    shape = ops.shape(values)
    axes = range(len(shape)) if axis is None else (axis,) if isinstance(axis, int) else axis
    return ops.sum(values, axis=axis) / math.prod(shape[i] for i in axes)


def tanh(values: Any) -> Any:
    """``ops.tanh``."""
    if not _is_narrowed(values) or keras.backend.backend() != "jax":
        return ops.tanh(values)
    import jax

    return jax.numpy.tanh(values)


def cumsum(values: Any) -> Any:
    """``ops.cumsum`` along the last axis."""
    if not _is_narrowed(values):
        return ops.cumsum(values, axis=-1)
    return matmul(values, np.triu(np.ones((values.shape[-1], values.shape[-1]))))


def _is_narrowed(*values: Any) -> bool:
    """Whether Keras holds to float32 though one of these is float64."""
    if keras.backend.result_type("float64") == "float64":
        return False
    return any(hasattr(v, "dtype") and keras.backend.standardize_dtype(v.dtype) == "float64" for v in values)
