"""Weighted sums of a head's units, summed in Keras: one pass backwards each, however many units they have."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from xai_mimo.core.sums import SumOfUnits
from xai_mimo_adapters.keras_adapter.compiled import Call
from xai_mimo_adapters.keras_adapter.spec import Tensors


def summed(call: Call, sums: Sequence[SumOfUnits], outputs: Mapping[str, str]) -> Call:
    """A network that also gives these sums, by their names.

    Args:
        call: the network. sums: of its heads. outputs: name of each head -> what the network calls it.
    """
    if not sums:
        return call

    def with_sums(tensors: Tensors) -> Tensors:
        made = call(tensors)
        return {**made, **{each.name: _sum(each, made[outputs[each.head]]) for each in sums}}

    return with_sums


def _sum(made: SumOfUnits, values: keras.KerasTensor) -> keras.KerasTensor:
    flat = keras.ops.reshape(values, (-1, int(np.prod(values.shape[1:], dtype=np.int64))))
    taken = keras.ops.take(flat, np.array(made.units, np.int32), axis=1)
    weights = keras.ops.cast(np.array(made.weights), values.dtype)
    return keras.ops.sum(taken * weights, axis=1, keepdims=True) + keras.ops.cast(made.offset, values.dtype)
