"""An explanation as a table: a column for each value of a map, and beside it what stood there in the data."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from xai_mimo.core.errors import SchemaError
from xai_mimo.core.explanation import stream_names
from xai_mimo.core.levels import WHOLE, levels_of
from xai_mimo.core.model import Arrays
from xai_mimo.core.named_values import PLAYERS
from xai_mimo.core.streams import Array, Stream
from xai_mimo.core.words import are_words


@dataclass(frozen=True)
class Columns:
    """One target of an explanation as columns.

    Attributes:
        names: "stream.feature", with the places along leading axes between: "vibration.3.x"; a whole stream and a
            player by their own names.
        values: ``(sample, column)``. standard_error: likewise; None where the method has none.
        data: ``(sample, column)``, what stood there; floats where all are numbers, else objects. None without rows.
    """

    names: list[str]
    values: Array
    standard_error: Array | None
    data: Array | None


def columns_of(explanation: xr.Dataset, head: int, rows: Arrays | None, streams: Sequence[Stream]) -> Columns:
    """The columns of one target, streams in order; those that the method says nothing of are left out.

    Args:
        explanation: of one method. head: the target's place.
        rows: the explained rows, ``{stream: (sample, *shape)}``. streams: that these are of.
    Raises:
        SchemaError: the method says nothing of any stream.
    """
    silent = json.loads(explanation.attrs.get("unexplained", "[]"))
    parts = [PLAYERS.name] if PLAYERS.name in explanation else [n for n in stream_names(explanation) if n not in silent]
    if not parts:
        raise SchemaError(f"method {explanation.attrs.get('method')!r} says nothing of any stream.")
    levels = levels_of(streams, rows, rows) if rows is not None else {}
    names: list[str] = []
    data: list[Array] = []
    for name in parts:
        variable = explanation.variables[name].transpose("head", "sample", ...)
        own = _names(explanation, name, variable.dims[2:])
        names += own
        if rows is None:
            continue
        if name == PLAYERS.name:
            data += _of_players(explanation, variable.sizes["sample"])
        else:
            if words := _words(explanation, name, variable.shape[1:]):
                data += words
                continue
            stream = next(s for s in streams if s.name == name)
            data += _beside(stream, variable.shape[2:], rows[name], levels.get(name, {}))
    return Columns(names, _flat(explanation, parts, head), _errors(explanation, parts, head), _table(data, rows))


def _names(explanation: xr.Dataset, name: str, dims: Sequence[object]) -> list[str]:
    if name == PLAYERS.name:
        return [str(player) for player in explanation.variables[PLAYERS.dims[0]].values]
    names = [name]
    for dim in dims:
        ticks = explanation.variables[dim].values if dim in explanation.variables else range(explanation.sizes[dim])
        names = [f"{start}.{tick}" for start in names for tick in ticks]
    return names


def _flat(explanation: xr.Dataset, parts: Sequence[str], head: int) -> Array:
    each = [explanation.variables[n].transpose("head", "sample", ...).values[head] for n in parts]
    return np.concatenate([values.reshape(len(values), -1) for values in each], axis=1)


def _errors(explanation: xr.Dataset, parts: Sequence[str], head: int) -> Array | None:
    errors = [f"{name}_standard_error" for name in parts]
    return _flat(explanation, errors, head) if all(name in explanation for name in errors) else None


def _table(columns: Sequence[Array], rows: Arrays | None) -> Array | None:
    if rows is None:
        return None
    table = np.empty((len(columns[0]), len(columns)), dtype=object)
    for i, column in enumerate(columns):
        table[:, i] = column
    are_numbers = all(column.dtype != object for column in columns)
    return table.astype(np.float64) if are_numbers else table


def _words(explanation: xr.Dataset, name: str, shape: tuple[int, ...]) -> list[Array]:
    """The tokens at the places of a map over them, ``(sample, token)``; none where it is over something else."""
    words = explanation.variables.get(f"{name}_word")
    return [] if words is None or words.shape != shape else list(words.values.astype(object).T)


def _of_players(explanation: xr.Dataset, rows: int) -> list[Array]:
    """Of players with names, whose values have no one number: the streams that they lie in."""
    owners = json.loads(explanation.attrs["players"])
    names = [str(player) for player in explanation.variables[PLAYERS.dims[0]].values]
    return [_same(f"(of {', '.join(owners[name])})", rows) for name in names]


def _beside(stream: Stream, shape: tuple[int, ...], rows: Array, levels: Mapping[str, Array]) -> list[Array]:
    """What stood at the places of a map, ``(sample, *shape)``: the values, of a series as a whole their mean, and of a
    category its level."""
    count, size = len(rows), rows.size // len(rows)
    if not shape and size > 1:
        return [_same(f"({size} values)", count)]
    if len(shape) < rows.ndim - 1 and size > 1:
        if are_words(rows):
            return [_same(f"({size // rows.shape[-1]} values)", count)] * shape[-1]
        rows = rows.reshape(count, -1, rows.shape[-1]).mean(axis=1, dtype=np.float64)
    flat = rows.reshape(count, -1, rows.shape[-1] if rows.ndim > 1 else 1)
    if not shape or shape[-1] == flat.shape[-1]:
        names = [WHOLE] if rows.ndim == 1 else [stream.variables[i] for i in stream.variable_of]
        return [
            _column(flat[:, place, i], levels.get(names[i] if names else WHOLE))
            for place in range(flat.shape[1])
            for i in range(flat.shape[2])
        ]
    return [
        _of_variable(flat[:, place, np.array(stream.variable_of) == i], levels.get(name) if len(shape) == 1 else None)
        for place in range(flat.shape[1])
        for i, name in enumerate(stream.variables)
    ]


def _of_variable(values: Array, level: Array | None) -> Array:
    """What a variable held, ``(sample, feature)``: the one value; of several the level that they stand for."""
    if values.shape[1] == 1:
        return _column(values[:, 0], level)
    return _same(f"({values.shape[1]} values)", len(values)) if level is None else level


def _column(column: Array, words: Array | None) -> Array:
    """A column as floats where all of it are numbers; long words by their beginning."""
    if column.dtype == object and any(isinstance(value, str) for value in column):
        return column if words is None else words
    return column.astype(np.float64)


def _same(text: str, rows: int) -> Array:
    return np.full(rows, text, dtype=object)
