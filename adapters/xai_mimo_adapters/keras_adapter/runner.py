"""Runs a Keras network on any number of rows in bounded memory, on whichever backend Keras uses."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

import keras

from xai_mimo.core.attention import is_attention
from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import ShapeMismatch
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array
from xai_mimo.sowing import MapLabels
from xai_mimo_adapters.chunks import even_slices, padded_rows, put, row_slices, rows_that_fit
from xai_mimo_adapters.keras_adapter.compiled import Call, Compiled, Engine, compiled_for, renewed

DEFAULT_MAX_MEMORY = 2**29
_FEW = 3
"""So many rows are asked twice where something was compiled before."""


class Runner:
    """One part of a model, on any number of rows.

    Where the part was compiled before, for another adapter, it is compared at the first run with the model as it is
    (see ``compiled``): each part by itself, since each knows its own network and rows.

    Args:
        model: whose part it is.
        part: what the part is called among the parts of this model.
        call: the part as a network.
        width: values that one row takes in a forward pass, given the rows; decides how many go at once.
        max_memory: bytes that one pass may take.
        changed: called when the model is no longer what it was; raises where the part does not exist any more.
    """

    def __init__(
        self,
        model: keras.Model,
        part: Hashable,
        call: Call,
        width: Callable[[Arrays], int],
        max_memory: int,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._model = model
        self._part = part
        self._call = call
        self._width = width
        self._max_memory = max_memory
        self._changed = changed
        self._compiled = compiled_for(model)
        self._is_kept = self._compiled.has(part)

    @property
    def engine(self) -> Engine:
        """Of this part of the model as it is now."""
        return self._now().engine(self._part)

    @property
    def taken(self) -> set[str]:
        """Keys of the maps that layers took from outside in the place of their own, when the part was last traced."""
        taken: set[str] = self._compiled.notes.setdefault(("taken", self._part), set())
        return taken

    def forward(self, arrays: Arrays) -> Arrays:
        """Outputs for all rows."""
        outputs: Arrays = {}
        with self._checked(arrays).running(self._model, self._part) as engine:
            for chunk, rows, total in self._chunks(engine, arrays, factor=2):
                put(outputs, engine.forward(self._call, chunk), rows, total)
        return outputs

    def maps(self, arrays: Arrays) -> tuple[Arrays, Mapping[str, MapLabels]]:
        """Every sown map for all rows, with what its axes mean.

        The attention of layers whose batch is not that of the rows (windows of each, say) is left out.
        """
        maps: Arrays = {}
        with self._checked(arrays).running(self._model, self._part) as engine:
            for chunk, rows, total in self._chunks(engine, arrays, factor=3):
                part, size = engine.maps(self._call, chunk), count_rows(chunk)
                part = {
                    key: values
                    for key, values in part.items()
                    if len(values) == size or not is_attention(engine.labels[key].name)
                }
                for key, values in part.items():
                    _check_map(key, values, engine.labels[key], size)
                put(maps, part, rows, total)
        return maps, engine.labels

    def gradients(self, arrays: Arrays, heads: Sequence[str], units: Array) -> tuple[Arrays, Arrays]:
        """Outputs and gradients for all rows; ``units`` is ``(target, sample)``."""
        outputs: Arrays = {}
        gradients: Arrays = {}
        with self._checked(arrays).running(self._model, self._part) as engine:
            for chunk, rows, total in self._chunks(engine, arrays, factor=4, targets=len(heads)):
                size = count_rows(chunk)
                chosen = padded_rows({"units": units.T}, rows, size)["units"].T
                y, g = engine.gradients(self._call, chunk, heads, chosen)
                put(outputs, y, rows, total)
                put(gradients, g, rows, total, axis=1)
        return outputs, gradients

    def _now(self) -> Compiled:
        now = compiled_for(self._model)
        if now is not self._compiled:
            self._changed()
            self._compiled, self._is_kept = now, False
        return now

    def _checked(self, arrays: Arrays) -> Compiled:
        """What was compiled; new where it is not what the model does any more."""
        now = self._now()
        if not self._is_kept or not count_rows(arrays):
            return now
        self._is_kept = False
        few = {name: x[:_FEW] for name, x in arrays.items()}
        if not now.is_current(self._model, self._part, self._call, few):
            renewed(self._model, now)
        return self._now()

    def _chunks(
        self, engine: Engine, arrays: Arrays, factor: int, targets: int = 0
    ) -> Iterator[tuple[Arrays, slice, int]]:
        total = count_rows(arrays)
        one_row = sum(x[:1].nbytes for x in arrays.values())
        fit = rows_that_fit(4 * factor * self._width(arrays) + (targets + 1) * one_row, self._max_memory)
        if engine.fixed_shapes:
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
