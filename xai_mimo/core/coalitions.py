"""The game that Shapley values divide: what a target is worth when only some of the players are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import NotFinite
from xai_mimo.core.method import Context
from xai_mimo.core.model import Arrays, Model, described
from xai_mimo.core.patches import Patch
from xai_mimo.core.players import Masker, Players
from xai_mimo.core.probes import check_background
from xai_mimo.core.slices import slices
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, rows_of, take


@dataclass(frozen=True)
class Game:
    """Players keep the row's values or take those of the background; the target is averaged over the background.

    v(S) = mean over b of f(x_S, b_rest), the interventional value function.

    Attributes:
        model: only its predictions are used; one evaluation serves all targets.
        inputs: the rows. background: rows for unknown players. selectors: targets of the rows.
        masker: the players.
        at_once: rows that one call to the model may hold.
        first_row: number of the first row in the data. known_rows: the data's background, all of it.
    """

    model: Model
    inputs: Arrays
    background: Arrays
    selectors: Sequence[Selector]
    masker: Masker
    at_once: int
    first_row: int
    known_rows: Arrays

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
        row = sum(x[:1].nbytes for x in inputs.values()) + 8 * sum(h.size for h in model.heads)
        if isinstance(players, Mapping):
            rows = np.arange(count_rows(inputs)) if context.places is None else context.places
            masker = Masker.named(inputs, players, model.streams, context.first_row + rows)
        elif players == "patches":
            masker = Masker.of_patches(inputs, model.streams, patch if patch is not None else {})
        else:
            masker = Masker.of(inputs, players, model.streams)
        at_once = context.chunk(3 * row, at_most=2**20)
        return Game(model, inputs, background, selectors, masker, at_once, context.first_row, context.background)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.selectors[0].units)

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
        worth = np.empty((len(self.selectors), len(row)))
        for part in slices(len(row), max(1, self.at_once // depth)):
            mixed = self.masker.at(row[part]).against_each(self._rows(row[part]), self.background, known[part])
            outputs = self.model.predict(mixed)
            count = part.stop - part.start
            mean = {h: v.reshape(count, depth, -1).mean(axis=1, dtype=np.float64) for h, v in outputs.items()}
            for t, s in enumerate(self.selectors):
                worth[t, part] = mean[s.head][np.arange(count), s.units[row[part]]]
            self._check(worth[:, part], row[part])
        return worth

    def values_against(self, row: Array, known: Array, against: Array) -> Array:
        """Worth of coalitions before one background row each, ``against`` ``(coalition,)``: ``(target, coalition)``."""
        worth = np.empty((len(self.selectors), len(row)))
        for part in slices(len(row), self.at_once):
            own = {name: b[against[part]] for name, b in self.background.items()}
            mixed = self.masker.at(row[part]).against_own(self._rows(row[part]), own, known[part])
            outputs = self.model.predict(mixed)
            worth[:, part] = take(outputs, rows_of(self.selectors, row[part]))
            self._check(worth[:, part], row[part])
        return worth

    def _rows(self, row: Array) -> Arrays:
        return {name: x[row] for name, x in self.inputs.items()}

    def _check(self, worth: Array, row: Array) -> None:
        """Refuse a model that answers NaN or infinity where features are replaced: ``(target, coalition)``."""
        if np.isfinite(worth).all():
            return
        target, coalition = (int(i) for i in np.argwhere(~np.isfinite(worth))[0])
        check_background(self.model, self.known_rows, {s.head for s in self.selectors})
        head, place = self.selectors[target].head, self.first_row + int(row[coalition])
        raise NotFinite(
            f"{described(self.model)} answers NaN or infinity for head '{head}' to row {place} with features replaced "
            "by those of the baseline or the background, not to the row itself. Take values that the model has an "
            "answer to: another baseline, such as Occlusion(baseline='mean'), or another background=...",
            head,
            place,
        )
