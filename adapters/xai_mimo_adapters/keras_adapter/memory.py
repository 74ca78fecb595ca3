"""How much one row takes on its way through a Keras network."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from xai_mimo.core.streams import Array, Stream
from xai_mimo_adapters.keras_adapter.graph import Graph, Step


def values_of_steps(graph: Graph, steps: Iterable[Step], arrays: Mapping[str, Array]) -> int:
    """Values that one row takes in the outputs of these steps and inside their layers.

    Axes of unknown length count as the longest axis of the rows given.
    """
    longest = max((n for x in arrays.values() for n in x.shape[1:]), default=1)
    total = 0
    for step in steps:
        shapes = [[longest if n is None else int(n) for n in graph.tensors[key].shape[1:]] for key in step.outputs]
        total += sum(_product(shape) for shape in shapes)
        if isinstance(step.operation, keras.Layer):
            total += max(_product(shape[:-1]) for shape in shapes) * _inside(step.operation.weights)
    return total


def values_of_model(model: keras.Model, streams: Sequence[Stream], arrays: Mapping[str, Array]) -> int:
    """The same for a model whose graph cannot be read: every weight is taken to act at every position of the inputs."""
    positions = max(_product(x.shape[1:-1]) for x in arrays.values())
    return positions * _inside(model.weights) + sum(stream.size for stream in streams)


def _inside(weights: Iterable[Any]) -> int:
    """Values at one position between a layer's input and its output: what each of its kernels gives.

    A kernel's last axis but one is the one that is summed over, also where kernels are stacked.
    """
    return sum(_product(w.shape) // max(1, int(w.shape[-2])) for w in weights if len(w.shape) > 1)


def _product(shape: Iterable[int]) -> int:
    return int(np.prod(list(shape), dtype=np.int64))
