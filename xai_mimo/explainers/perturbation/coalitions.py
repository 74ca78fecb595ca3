"""The game that Shapley values divide: what a target is worth when only some of the players are known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from xai_mimo.core.method import Context
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.patches import Patch, check_streams, players_of
from xai_mimo.core.streams import Array, Stream, count_rows
from xai_mimo.core.targets import Selector, rows_of, take
from xai_mimo.explainers.passes import slices

Players = Literal["features", "variables", "patches", "streams"]
"""Every single input value; every entry of a stream's last axis over all its other axes (the whole series of a feature,
a whole channel of an image); neighbouring positions with all their channels; whole streams."""


@dataclass(frozen=True)
class Game:
    """Players keep the row's values or take those of the background; the target is averaged over the background.

    v(S) = mean over b of f(x_S, b_rest), the interventional value function.

    Attributes:
        model: only its predictions are used; one evaluation serves all targets.
        inputs: the rows. background: rows for unknown players. selectors: targets of the rows.
        players: see ``Players``.
        groups: ``{stream: player of each value}``, with axes of length 1 where all values share one.
        at_once: rows that one call to the model may hold.
    """

    model: Model
    inputs: Arrays
    background: Arrays
    selectors: Sequence[Selector]
    players: Players
    groups: Arrays
    at_once: int

    @staticmethod
    def of(
        model: Model,
        inputs: Arrays,
        background: Arrays,
        selectors: Sequence[Selector],
        context: Context,
        players: Players,
        patch: Patch | None,
    ) -> "Game":
        """A game whose calls fit into the context's memory; ``patch`` where patches are the players, else None."""
        row = sum(x[0].nbytes for x in inputs.values()) + 8 * sum(h.size for h in model.heads)
        check_streams(patch, model.streams)
        groups = {s.name: _groups(s, inputs[s.name].shape[1:], players, patch) for s in model.streams}
        return Game(model, inputs, background, selectors, players, groups, context.chunk(3 * row, at_most=2**20))

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.selectors[0].units)

    @property
    def sizes(self) -> list[int]:
        """Number of players in each stream."""
        return [int(self.groups[name].max()) + 1 for name in self.inputs]

    @property
    def depth(self) -> int:
        """Number of background rows."""
        return count_rows(self.background)

    def values(self, row: Array, known: Array) -> Array:
        """Worth of coalitions: ``(target, coalition)`` in float64.

        Args:
            row: ``(coalition,)``, the row that each belongs to.
            known: ``(coalition, player)``, who keeps the row's value.
        """
        depth = self.depth
        found = np.empty((len(self.selectors), len(row)))
        for part in slices(len(row), max(1, self.at_once // depth)):
            outputs = self.model.predict(self._mixtures(row[part], known[part]))
            count = part.stop - part.start
            mean = {h: v.reshape(count, depth, -1).mean(axis=1, dtype=np.float64) for h, v in outputs.items()}
            for t, s in enumerate(self.selectors):
                found[t, part] = mean[s.head][np.arange(count), s.units[row[part]]]
        return found

    def values_against(self, row: Array, known: Array, against: Array) -> Array:
        """Worth of coalitions before one background row each, ``against`` ``(coalition,)``: ``(target, coalition)``."""
        found = np.empty((len(self.selectors), len(row)))
        for part in slices(len(row), self.at_once):
            outputs = self.model.predict(self._one_by_one(row[part], known[part], against[part]))
            found[:, part] = take(outputs, rows_of(self.selectors, row[part]))
        return found

    def _one_by_one(self, row: Array, known: Array, against: Array) -> Arrays:
        """Each coalition with its own background row: ``{stream: (coalition, *shape)}``."""
        made = {}
        players = np.split(known, np.cumsum(self.sizes)[:-1], axis=1)
        for (name, x), keep in zip(self.inputs.items(), players, strict=True):
            wide = _wide(keep, self.groups[name])
            made[name] = np.where(wide, x[row], self.background[name][against])
        return made

    def _mixtures(self, row: Array, known: Array) -> Arrays:
        """Each coalition with each background row: ``{stream: (coalition * background, *shape)}``."""
        made = {}
        players = np.split(known, np.cumsum(self.sizes)[:-1], axis=1)
        for (name, x), keep in zip(self.inputs.items(), players, strict=True):
            wide = _wide(keep, self.groups[name])[:, None]
            mixed = np.where(wide, x[row][:, None], self.background[name][None])
            made[name] = mixed.reshape(-1, *x.shape[1:])
        return made

    def split(self, values: Array) -> Arrays:
        """``(target, sample, player)`` by stream, with those of the stream's axes along which players differ.

        The value of a patch is divided evenly among its values, so that what it sums to stays.
        """
        parts = np.split(values, np.cumsum(self.sizes)[:-1], axis=2)
        return {name: self._shaped(part, name) for name, part in zip(self.inputs, parts, strict=True)}

    def _shaped(self, part: Array, name: str) -> Array:
        shape, group = self.inputs[name].shape[1:], self.groups[name]
        if self.players != "patches":
            own = shape if self.players == "features" else shape[-1:] if self.players == "variables" else ()
            return part.reshape(*part.shape[:2], *own)
        each = np.broadcast_to(group, shape)
        return (part / np.bincount(each.ravel()))[..., each]


def _groups(stream: Stream, shape: tuple[int, ...], players: Players, patch: Patch | None) -> Array:
    if patch is not None:
        return players_of(stream, shape, patch)
    own = shape if players == "features" else shape[-1:] if players == "variables" else ()
    return np.arange(int(np.prod(own, dtype=np.int64))).reshape(*(1,) * (len(shape) - len(own)), *own)


def _wide(keep: Array, group: Array) -> Array:
    """``(coalition, player)`` as ``(coalition, *axes)``, a mark for each value of a stream, or for all of an axis."""
    if group.size != keep.shape[1]:
        keep = keep[:, group.ravel()]
    return keep.reshape(len(keep), *group.shape)
