"""Players: the parts of an input that are known or unknown as a whole, and rows in which some of them are unknown.

Unknown players take the values of a background. One ``Masker`` serves everything that replaces parts of an input by
another row's: Shapley values, occlusion, removal curves, and explainers of other libraries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from xai_mimo.core.model import Arrays
from xai_mimo.core.patches import Patch, check_streams, players_of
from xai_mimo.core.streams import Array, Stream

Players = Literal["features", "variables", "patches", "streams"]
"""Every single input value; every entry of a stream's last axis over all its other axes (the whole series of a feature,
a whole channel of an image); neighbouring positions with all their channels; whole streams."""


WholePlayers = Literal["features", "variables", "streams"]
"""Players that can be told from the shape of a row."""


def own_axes(shape: Sequence[int], players: WholePlayers) -> tuple[int, ...]:
    """Lengths of the axes of a row along which its players differ: all of them, the last, or none."""
    return tuple(shape) if players == "features" else tuple(shape[-1:]) if players == "variables" else ()


def replace(rows: Mapping[str, Array], background: Mapping[str, Array], known: Mapping[str, Array]) -> Arrays:
    """Rows whose unknown values are those of a background.

    Args:
        rows: ``{stream: (row, *shape)}``. background: likewise, or ``(1, *shape)``.
        known: ``{stream: (row, *shape)}`` booleans, with axes of length 1 where values are known or unknown together;
            streams without them stay as they are.
    """
    return {name: np.where(known[name], x, background[name]) if name in known else x for name, x in rows.items()}


@dataclass(frozen=True)
class Masker:
    """The players of some streams, numbered through all streams in their order.

    Attributes:
        players: see ``Players``.
        groups: ``{stream: player of each value}``, counted within the stream, with axes of length 1 where all values
            share one.
        shapes: ``{stream: shape of a row}``.
    """

    players: Players
    groups: Mapping[str, Array]
    shapes: Mapping[str, tuple[int, ...]]

    @staticmethod
    def of(inputs: Mapping[str, Array], players: WholePlayers) -> "Masker":
        """Players that can be told from the shapes of rows, ``{stream: (row, *shape)}``."""
        shapes = {name: x.shape[1:] for name, x in inputs.items()}
        return Masker(
            players, {name: _in_order(shape, own_axes(shape, players)) for name, shape in shapes.items()}, shapes
        )

    @staticmethod
    def of_patches(inputs: Mapping[str, Array], streams: Sequence[Stream], patch: Patch) -> "Masker":
        """Patches of neighbouring positions.

        Args:
            inputs: rows. streams: of the model, which tell positions from channels.
            patch: its size, checked.
        Raises:
            UnknownName: the size names a stream that does not exist. BadSetting: it does not fit a stream's axes.
        """
        check_streams(patch, streams)
        shapes = {name: x.shape[1:] for name, x in inputs.items()}
        return Masker("patches", {s.name: players_of(s, shapes[s.name], patch) for s in streams}, shapes)

    @property
    def sizes(self) -> list[int]:
        """Number of players in each stream."""
        return [int(self.groups[name].max()) + 1 for name in self.shapes]

    @property
    def count(self) -> int:
        """Number of players."""
        return sum(self.sizes)

    def marks(self, known: Array) -> Arrays:
        """Who is known as marks of values: ``(coalition, player)`` to ``{stream: (coalition, *axes)}``.

        Axes have length 1 where all values share a player.
        """
        parts = np.split(known, np.cumsum(self.sizes)[:-1], axis=1)
        return {name: _wide(part, self.groups[name]) for name, part in zip(self.shapes, parts, strict=True)}

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
        marks = {name: mark[:, None] for name, mark in self.marks(known).items()}
        crossed = replace(
            {name: x[:, None] for name, x in rows.items()}, {name: b[None] for name, b in background.items()}, marks
        )
        return {name: x.reshape(-1, *self.shapes[name]) for name, x in crossed.items()}

    def split(self, values: Array) -> Arrays:
        """``(target, sample, player)`` by stream, with those of the stream's axes along which players differ.

        The value of a patch is divided evenly among its values, so that what it sums to stays.
        """
        parts = np.split(values, np.cumsum(self.sizes)[:-1], axis=2)
        return {name: self._shaped(part, name) for name, part in zip(self.shapes, parts, strict=True)}

    def _shaped(self, part: Array, name: str) -> Array:
        shape, group = self.shapes[name], self.groups[name]
        if self.players != "patches":
            return part.reshape(*part.shape[:2], *own_axes(shape, self.players))
        each = np.broadcast_to(group, shape)
        return (part / np.bincount(each.ravel()))[..., each]


def _in_order(shape: tuple[int, ...], own: tuple[int, ...]) -> Array:
    """Players numbered along their own axes, which are the last."""
    numbers: Array = np.arange(int(np.prod(own, dtype=np.int64)))
    return numbers.reshape(*(1,) * (len(shape) - len(own)), *own)


def _wide(known: Array, group: Array) -> Array:
    """``(coalition, player)`` as ``(coalition, *axes)``, a mark for each value of a stream, or for all of an axis."""
    if group.size != known.shape[1]:
        known = known[:, group.ravel()]
    return known.reshape(len(known), *group.shape)
