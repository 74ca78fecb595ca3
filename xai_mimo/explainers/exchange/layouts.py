"""The ways in which a map may divide the streams of a row, and the columns that it then has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xai_mimo.core.players import WholePlayers
from xai_mimo.core.streams import Array, Stream


@dataclass(frozen=True)
class Layout:
    """How a map divides a row.

    Attributes:
        players: what has a value, in the words of ``Shapley``: "features", or groups of them; "variables", entries of
            the last axes (whole series); "streams".
        shapes: of one row of the map, by stream. names: of the columns, streams side by side.
    """

    players: WholePlayers
    shapes: Mapping[str, tuple[int, ...]]
    names: tuple[str, ...]

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.names)

    def split(self, columns: Array) -> dict[str, Array]:
        """``(..., column)`` by stream, ``{stream: (..., *shape)}``."""
        ends = np.cumsum([_size(shape) for shape in self.shapes.values()])[:-1]
        parts = np.split(columns, ends, axis=-1)
        return {
            name: part.reshape(*part.shape[:-1], *shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }


def layouts_of(streams: Sequence[Stream], shapes: Mapping[str, tuple[int, ...]]) -> list[Layout]:
    """Every layout of these streams, the finest first: each value, groups of features as one, variables, streams.

    Args:
        streams: in order. shapes: of one row of each, of the data.
    """
    full = {s.name: shapes[s.name] for s in streams}
    grouped = {s.name: (*shapes[s.name][:-1], len(s.variables)) if s.groups else shapes[s.name] for s in streams}
    last = {name: shape[-1:] for name, shape in grouped.items()}
    whole: dict[str, tuple[int, ...]] = {s.name: () for s in streams}
    layouts: list[Layout] = []
    each: tuple[tuple[WholePlayers, Mapping[str, tuple[int, ...]]], ...] = (
        ("features", full),
        ("features", grouped),
        ("variables", last),
        ("streams", whole),
    )
    for players, wanted in each:
        names = tuple(name for s in streams for name in _names(s, wanted[s.name]))
        layouts.append(Layout(players, wanted, names))
    return layouts


def _names(stream: Stream, shape: tuple[int, ...]) -> list[str]:
    names = [stream.name]
    for axis, count in enumerate(shape):
        ticks = [str(i) for i in range(count)]
        if axis == len(shape) - 1:
            ticks = next((list(t) for t in (stream.features, stream.variables) if len(t) == count), ticks)
        names = [f"{name}.{tick}" for name in names for tick in ticks]
    return names


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))
