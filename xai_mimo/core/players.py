"""Players: the parts of an input that are known or unknown as a whole, and rows in which some of them are unknown.

Unknown players take the values of a background. One ``Masker`` serves everything that replaces parts of an input by
another row's: Shapley values, occlusion, removal curves, and explainers of other libraries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from xai_mimo.core.door import count_rows
from xai_mimo.core.model import Arrays
from xai_mimo.core.patches import Patch, check_streams, players_of
from xai_mimo.core.streams import Array, Stream

Players = Literal["features", "variables", "patches", "streams"]
"""Every single input value; every entry of a stream's last axis over all its other axes (the whole series of a feature,
a whole channel of an image); neighbouring positions with all their channels; whole streams. Features of one group of a
stream (the columns of one category) are one player together, where they would be players each."""


WholePlayers = Literal["features", "variables", "streams"]
"""Players that can be told from the shape of a row."""


def own_axes(shape: Sequence[int], players: WholePlayers) -> tuple[int, ...]:
    """Lengths of the axes of a row along which its players differ: all of them, the last, or none.

    Where a stream has groups, ``shape`` is that of ``Stream.by_variable``.
    """
    return tuple(shape) if players == "features" else tuple(shape[-1:]) if players == "variables" else ()


def replace(rows: Mapping[str, Array], background: Mapping[str, Array], known: Mapping[str, Array]) -> Arrays:
    """Rows whose unknown values are those of a background.

    Args:
        rows: ``{stream: (row, *shape)}``. background: likewise, or ``(1, *shape)``.
        known: ``{stream: (row, *shape)}`` booleans, with axes of length 1 where values are known or unknown together;
            streams without them stay as they are.
    """
    return {name: np.where(known[name], x, background[name]) if name in known else x for name, x in rows.items()}


class Division(NamedTuple):
    """How the values of one stream are divided among players.

    Attributes:
        shape: of a row.
        player_of: the player of each value, counted within the stream, with axes of length 1 where all values share
            one.
        map_shape: of a row's map: the axes along which players differ; those of a row where patches are players.
    """

    shape: tuple[int, ...]
    player_of: Array
    map_shape: tuple[int, ...]

    @staticmethod
    def of(shape: tuple[int, ...], players: WholePlayers, stream: Stream | None = None) -> "Division":
        """Players that can be told from the shape of a row, and from the groups of its stream."""
        if not shape or players == "streams":
            return Division(shape, np.zeros((1,) * len(shape), dtype=np.int64), ())
        variable_of = np.array(stream.variable_of) if stream is not None and stream.groups else np.arange(shape[-1])
        own = own_axes((*shape[:-1], int(variable_of.max()) + 1), players)
        positions = np.arange(int(np.prod(own[:-1], dtype=np.int64))).reshape(*own[:-1], 1)
        numbers = positions * own[-1] + variable_of
        return Division(shape, numbers.reshape(*(1,) * (len(shape) - len(own)), *numbers.shape), own)

    @property
    def size(self) -> int:
        """Number of players."""
        return int(self.player_of.max()) + 1


@dataclass(frozen=True)
class Masker:
    """The players of some streams, numbered through all streams in their order.

    Attributes:
        divisions: ``{stream: how its values are divided among players}``.
    """

    divisions: Mapping[str, Division]

    @staticmethod
    def of(inputs: Mapping[str, Array], players: WholePlayers, streams: Sequence[Stream] = ()) -> "Masker":
        """Players that can be told from the shapes of rows and the groups of streams.

        Args:
            inputs: rows, ``{stream: (row, *shape)}``. players: see ``Players``.
            streams: of the model, for their groups; without them no features are grouped. What rows hold beside these
                streams, such as masks, is no player and stays the row's own.
        """
        by_name = {s.name: s for s in streams}
        shown = {name: x for name, x in inputs.items() if name in by_name or not streams}
        return Masker({name: Division.of(x.shape[1:], players, by_name.get(name)) for name, x in shown.items()})

    @staticmethod
    def of_patches(inputs: Mapping[str, Array], streams: Sequence[Stream], patch: Patch) -> "Masker":
        """Patches of neighbouring positions; values of other streams are players each, groups of features together.

        Args:
            inputs: rows. streams: of the model, which tell positions from channels.
            patch: its size, checked.
        Raises:
            UnknownName: the size names a stream that does not exist. BadSetting: it does not fit a stream's axes.
        """
        check_streams(patch, streams)
        divisions = {}
        for stream in streams:
            shape = inputs[stream.name].shape[1:]
            player_of = players_of(stream, shape, patch)
            divisions[stream.name] = (
                Division.of(shape, "features", stream) if player_of is None else Division(shape, player_of, shape)
            )
        return Masker(divisions)

    @property
    def sizes(self) -> list[int]:
        """Number of players in each stream."""
        return [division.size for division in self.divisions.values()]

    @property
    def count(self) -> int:
        """Number of players."""
        return sum(self.sizes)

    @property
    def player_of(self) -> Array:
        """The player of each value of a row, streams side by side: ``(value,)``."""
        starts = np.cumsum([0, *self.sizes])
        each = (np.broadcast_to(d.player_of, d.shape).ravel() for d in self.divisions.values())
        return np.concatenate([start + player_of for start, player_of in zip(starts, each, strict=False)])

    def marks(self, known: Array) -> Arrays:
        """Who is known as marks of values: ``(coalition, player)`` to ``{stream: (coalition, *axes)}``.

        Axes have length 1 where all values share a player.
        """
        parts = np.split(known, np.cumsum(self.sizes)[:-1], axis=1)
        return {n: _wide(part, d.player_of) for (n, d), part in zip(self.divisions.items(), parts, strict=True)}

    def against_own(self, rows: Mapping[str, Array], background: Mapping[str, Array], known: Array) -> Arrays:
        """Each coalition before a background row of its own.

        Args:
            rows: ``{stream: (coalition, *shape)}``, the values of known players. background: likewise, of the others.
            known: ``(coalition, player)``, who keeps the row's value.
        Returns:
            ``{stream: (coalition, *shape)}``.
        """
        return replace(rows, background, self.marks(known))

    def against_each(self, rows: Mapping[str, Array], background: Mapping[str, Array], known: Array) -> Arrays:
        """Each coalition before every background row.

        Args:
            rows: ``{stream: (coalition, *shape)}``. background: ``{stream: (background, *shape)}``.
            known: ``(coalition, player)``, who keeps the row's value.
        Returns:
            ``{stream: (coalition * background, *shape)}``, all backgrounds of a coalition together.
        """
        marks, depth = {name: mark[:, None] for name, mark in self.marks(known).items()}, count_rows(background)
        crossed = replace(
            {name: x[:, None] for name, x in rows.items()}, {name: b[None] for name, b in background.items()}, marks
        )
        return {
            name: x.reshape(-1, *x.shape[2:]) if name in marks else np.repeat(rows[name], depth, axis=0)
            for name, x in crossed.items()
        }

    def split(self, values: Array) -> Arrays:
        """``(..., player)`` by stream, with those of the stream's axes along which players differ.

        The value of a patch is divided evenly among its values, so that what it sums to stays.
        """
        parts = np.split(values, np.cumsum(self.sizes)[:-1], axis=-1)
        return {name: _shaped(part, d) for (name, d), part in zip(self.divisions.items(), parts, strict=True)}


def _shaped(part: Array, division: Division) -> Array:
    if division.size == int(np.prod(division.map_shape, dtype=np.int64)):
        return part.reshape(*part.shape[:-1], *division.map_shape)
    each = np.broadcast_to(division.player_of, division.shape)
    shares: Array = (part / np.bincount(each.ravel()))[..., each]
    return shares


def _wide(known: Array, player_of: Array) -> Array:
    """``(coalition, player)`` as ``(coalition, *axes)``, a mark for each value of a stream, or for all of an axis."""
    if player_of.size != known.shape[1]:
        known = known[:, player_of.ravel()]
    return known.reshape(len(known), *player_of.shape)
