"""Numbers in float32 or better, whatever the dtype policy.

``keras.backend.result_type("float64", "float32")`` is not asked: it is float32 on JAX and PyTorch, since Keras holds to
32 bits there where two dtypes meet, and would narrow a layer of float64. What is decided by is the dtype of the values
and not that of the policy: on JAX without its 64-bit mode no value is float64, whatever the policy says.
"""

from typing import Any

import keras
from keras import ops


def precise(values: Any) -> Any:
    """The values in float32, or in float64 where they are."""
    return ops.cast(values, precise_dtype(values))


def precise_dtype(*values: Any) -> str:
    """ "float64" where one of these tensors is, else "float32"."""
    dtypes = [keras.backend.standardize_dtype(tensor.dtype) for tensor in values]
    return "float64" if "float64" in dtypes else "float32"
