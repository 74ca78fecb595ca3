"""Runs a Keras network on any number of rows in bounded memory, on whichever backend Keras uses."""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import keras

from xai_mimo.core.errors import ShapeMismatch
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array, count_rows
from xai_mimo.sowing import MapLabels
from xai_mimo_adapters.chunks import even_slices, padded_rows, put, row_slices, rows_that_fit

DEFAULT_MAX_MEMORY = 2**29
_ENGINES = {
    "jax": ("xai_mimo_adapters.keras_adapter.on_jax", "JaxEngine"),
    "tensorflow": ("xai_mimo_adapters.keras_adapter.on_tensorflow", "TensorFlowEngine"),
    "torch": ("xai_mimo_adapters.keras_adapter.on_torch", "TorchEngine"),
}


class Engine(Protocol):
    """One network on one backend, for one chunk of rows at a time."""

    traces: int
    labels: dict[str, MapLabels]
    fixed_shapes: bool

    def forward(self, inputs: Arrays) -> Arrays:
        """Outputs ``{head: (row, ...)}``."""

    def maps(self, inputs: Arrays) -> Arrays:
        """Sown maps by key, each ``(row, *axes)``."""

    def gradients(self, inputs: Arrays, heads: Sequence[str], units: Array) -> tuple[Arrays, Arrays]:
        """Outputs, and ``{stream: (target, row, ...)}`` of the streams that hold floats."""


def engine_for(call: Callable[[dict[str, Any]], dict[str, Any]], model: keras.Model) -> Engine:
    """The engine of the backend that Keras was started with."""
    module, name = _ENGINES[keras.config.backend()]
    made: Engine = getattr(importlib.import_module(module), name)(call, model)
    return made


class Runner:
    """A network with its compiled functions, which live as long as this object.

    Args:
        engine: of the backend.
        width: values that one row takes in a forward pass, given the rows; decides how many go at once.
        max_memory: bytes that one pass may take.
    """

    def __init__(self, engine: Engine, width: Callable[[Arrays], int], max_memory: int) -> None:
        self.engine = engine
        self._width = width
        self._max_memory = max_memory

    def forward(self, arrays: Arrays) -> Arrays:
        """Outputs for all rows."""
        made: Arrays = {}
        for chunk, rows, total in self._chunks(arrays, factor=2):
            put(made, self.engine.forward(chunk), rows, total)
        return made

    def maps(self, arrays: Arrays) -> tuple[Arrays, Mapping[str, MapLabels]]:
        """Every sown map for all rows, with what its axes mean."""
        made: Arrays = {}
        for chunk, rows, total in self._chunks(arrays, factor=3):
            part = self.engine.maps(chunk)
            for key, values in part.items():
                _check_map(key, values, self.engine.labels[key], count_rows(chunk))
            put(made, part, rows, total)
        return made, self.engine.labels

    def gradients(self, arrays: Arrays, heads: Sequence[str], units: Array) -> tuple[Arrays, Arrays]:
        """Outputs and gradients for all rows; ``units`` is ``(target, sample)``."""
        outputs: Arrays = {}
        gradients: Arrays = {}
        for chunk, rows, total in self._chunks(arrays, factor=4, targets=len(heads)):
            size = count_rows(chunk)
            chosen = padded_rows({"units": units.T}, rows, size)["units"].T
            y, g = self.engine.gradients(chunk, heads, chosen)
            put(outputs, y, rows, total)
            put(gradients, g, rows, total, axis=1)
        return outputs, gradients

    def _chunks(self, arrays: Arrays, factor: int, targets: int = 0) -> Iterator[tuple[Arrays, slice, int]]:
        total = count_rows(arrays)
        one_row = sum(x[:1].nbytes for x in arrays.values())
        fit = rows_that_fit(4 * factor * self._width(arrays) + (targets + 1) * one_row, self._max_memory)
        if self.engine.fixed_shapes:
            for rows, size in row_slices(total, fit):
                yield padded_rows(arrays, rows, size), rows, total
            return
        for rows in even_slices(total, fit):
            yield {name: x[rows] for name, x in arrays.items()}, rows, total


def _check_map(key: str, values: Array, labels: MapLabels, rows: int) -> None:
    if values.ndim != 1 + len(labels.axes) or len(values) != rows:
        raise ShapeMismatch(
            f"map '{key}' was sown with shape {values.shape}; expected the batch axis and then one axis for each of "
            f"{labels.axes}."
        )
