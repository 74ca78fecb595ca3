"""The game that Shapley values divide: what a target is worth when only some of the players are known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from xai_mimo.core.method import Context
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, rows_of, take
from xai_mimo.explainers.differentiable import slices

Players = Literal["features", "variables", "streams"]
"""Every single input value; every entry of a stream's last axis over all its other axes (the whole series of a feature,
a whole channel of an image); whole streams."""


@dataclass(frozen=True)
class Game:
    """Players keep the row's values or take those of the background; the target is averaged over the background.

    v(S) = mean over b of f(x_S, b_rest), the interventional value function.

    Attributes:
        model: only its predictions are used; one evaluation serves all targets.
        inputs: the rows. background: rows for unknown players. selectors: targets of the rows.
        players: see ``Players``.
        at_once: rows that one call to the model may hold.
    """

    model: Model
    inputs: Arrays
    background: Arrays
    selectors: Sequence[Selector]
    players: Players
    at_once: int

    @staticmethod
    def of(
        model: Model,
        inputs: Arrays,
        background: Arrays,
        selectors: Sequence[Selector],
        context: Context,
        players: Players,
    ) -> "Game":
        """A game whose calls fit into the context's memory."""
        row = sum(x[0].nbytes for x in inputs.values()) + 8 * sum(h.size for h in model.heads)
        return Game(model, inputs, background, selectors, players, context.chunk(3 * row, at_most=2**20))

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.selectors[0].units)

    @property
    def sizes(self) -> list[int]:
        """Number of players in each stream."""
        return [int(np.prod(self._own_axes(x), dtype=np.int64)) for x in self.inputs.values()]

    @property
    def depth(self) -> int:
        """Number of background rows."""
        return len(next(iter(self.background.values())))

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
            wide = keep.reshape(len(row), *self._spread(x))
            made[name] = np.where(wide, x[row], self.background[name][against])
        return made

    def _mixtures(self, row: Array, known: Array) -> Arrays:
        """Each coalition with each background row: ``{stream: (coalition * background, *shape)}``."""
        made = {}
        players = np.split(known, np.cumsum(self.sizes)[:-1], axis=1)
        for (name, x), keep in zip(self.inputs.items(), players, strict=True):
            wide = keep.reshape(len(row), 1, *self._spread(x))
            mixed = np.where(wide, x[row][:, None], self.background[name][None])
            made[name] = mixed.reshape(-1, *x.shape[1:])
        return made

    def split(self, values: Array) -> Arrays:
        """``(target, sample, player)`` by stream, with those of the stream's axes along which players differ."""
        parts = np.split(values, np.cumsum(self.sizes)[:-1], axis=2)
        own = [self._own_axes(x) for x in self.inputs.values()]
        return {n: p.reshape(*p.shape[:2], *axes) for n, p, axes in zip(self.inputs, parts, own, strict=True)}

    def _own_axes(self, x: Array) -> tuple[int, ...]:
        """Lengths of the axes along which a stream's players differ: all of them, the last, or none."""
        axes: tuple[int, ...] = x.shape[1:]
        return axes if self.players == "features" else axes[-1:] if self.players == "variables" else ()

    def _spread(self, x: Array) -> tuple[int, ...]:
        """The same with an axis of length 1 in place of each other one."""
        own = self._own_axes(x)
        return (*(1,) * (x.ndim - 1 - len(own)), *own)
