"""Interactions of order 2 and 3 by shapiq: what ``xai_mimo.interactions`` calls."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import ClassVar

import numpy as np

from xai_mimo.core.coalitions import Game
from xai_mimo.core.errors import BadSetting
from xai_mimo.core.interactions import INDICES, Interactions
from xai_mimo.core.method import Attribution, Context, one_of, whole
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.players import Players, check_players, player_names
from xai_mimo.core.slices import slices
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, take
from xai_mimo_adapters.shapiq_methods import exact, sampled
from xai_mimo_adapters.shapiq_methods.shared import RowGame, shapiq

EXACT = "exact"
# The faithful indices solve a regression over all coalitions, whose matrices grow with their square.
_MOST_EXACT = {"FSII": 10, "FBII": 10}
_MOST = 12


@dataclass(frozen=True)
class ShapiqInteractions:
    """Interactions of the players of each row, for all targets from the same coalitions.

    v(S) = mean over b of f(x_S, b_rest)

    Attributes:
        order: 2 or 3. index: see ``core.interactions``.
        players: as ``Shapley`` takes them, but for patches.
        budget: coalitions for each row, at most; where it holds all 2^P of them the index is exact.
        approximator: "exact", a name of ``sampled.APPROXIMATORS``, or None for exact where the budget allows it, else
            the first that fits the index.

    Source: Muschalik et al. (2024), "shapiq: Shapley Interactions for Machine Learning".
    """

    order: int = 2
    index: str = "k-SII"
    players: Players = "streams"
    budget: int = 2048
    approximator: str | None = None

    name: ClassVar[str] = "interactions"
    reference: ClassVar[str] = "bordt2023shapley"
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    packages: ClassVar[tuple[str, ...]] = ("shapiq",)

    def __post_init__(self) -> None:
        one_of(self.index, INDICES, "index")
        whole(self.budget, "budget")
        whole(self.order, "order")
        if self.order not in (2, 3):
            raise BadSetting(
                f"order is 2 (pairs) or 3 (triples too); got {self.order!r}. What each player does is xai_mimo.explain."
            )
        if isinstance(self.players, str) and self.players == "patches":
            raise BadSetting("interactions have no players='patches'; give label images, players={'image': labels}.")
        check_players(self.players)
        if self.approximator is not None:
            one_of(self.approximator, (EXACT, *sampled.APPROXIMATORS[self.index]), f"approximator of {self.index}")

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Enumerate or sample, whichever the budget allows."""
        shapiq()
        game = Game.of(model, inputs, context.background, selectors, context, self.players, None)
        count = game.masker.count
        self._check_count(count, game, context)
        approximator = self._approximator(count)
        if approximator == EXACT:
            nobody, parts = self._enumerate(game, count, context)
            evaluations = np.full((len(selectors), game.rows), 2**count)
        else:
            nobody, parts, evaluations = self._sample(game, count, approximator, context)
        found = Interactions(
            index=self.index,
            approximator=approximator,
            names=player_names(game.masker, model.streams),
            streams=game.masker.streams_of_players,
            singles=parts[0],
            pairs=parts[1],
            triples=parts[2] if self.order > 2 else None,
            evaluations=evaluations,
        )
        return Attribution(
            values={},
            prediction=take(model.predict(inputs), selectors),
            baseline_prediction=nobody,
            interactions=found,
        )

    def _check_count(self, count: int, game: Game, context: Context) -> None:
        """Refuse players between which there is nothing of this order, or more of it than memory holds."""
        if count < self.order:
            names = list(game.masker.divisions)
            has = f"one stream, '{names[0]}'" if len(names) == 1 else f"the streams {', '.join(map(repr, names))}"
            raise BadSetting(
                f"interactions of order {self.order} need at least {self.order} players, and there "
                f"{'is 1' if count == 1 else f'are {count}'} (players={self.players!r}; the model has {has}). Take "
                "smaller players: players='features', or groups of your own, "
                "players={'engine': {'table': ['rpm', 'torque']}, 'others': 'rest'}"
                + (", or order=2." if count == 2 else ".")
            )
        needed = 8 * len(game.selectors) * game.rows * count**self.order
        if needed > context.max_memory:
            raise BadSetting(
                f"interactions of order {self.order} between {count} players for {game.rows} rows and "
                f"{len(game.selectors)} targets take {needed / 1e6:.0f} MB, more than max_memory "
                f"({context.max_memory / 1e6:.0f} MB). Take fewer rows or targets, or larger players."
            )

    def _approximator(self, count: int) -> str:
        """What computes the index of so many players within the budget.

        Raises:
            BadSetting: nothing does.
        """
        most = _MOST_EXACT.get(self.index, _MOST)
        larger = (
            "or take larger players: players='streams', or groups of your own with the rest in one, 'others': 'rest'"
        )
        if self.approximator == EXACT:
            if count > most:
                raise BadSetting(
                    f"{count} players have {2**count} coalitions; {self.index} is exact up to {most} players. Leave "
                    f"approximator=None, {larger}."
                )
            if 2**count > self.budget:
                raise BadSetting(
                    f"{count} players have {2**count} coalitions, more than budget={self.budget}. Raise it to "
                    f"{2**count}, leave approximator=None, {larger}."
                )
            return EXACT
        if self.approximator is None and count <= most and 2**count <= self.budget:
            return EXACT
        chosen = self.approximator or sampled.APPROXIMATORS[self.index][0]
        least = sampled.least_budget(chosen, count, self.order)
        if self.budget < least:
            exactly = f" ({2**count} for exact values)" if count <= most and self.approximator is None else ""
            raise BadSetting(
                f"{chosen} of order {self.order} between {count} players needs a budget of at least {least} coalitions "
                f"for each row{exactly}; got budget={self.budget}. Raise it, {larger}."
            )
        return chosen

    def _enumerate(self, game: Game, count: int, context: Context) -> tuple[Array, list[Array]]:
        """Worth of nobody, ``(target, row)``, and exact values of 1, 2, ... players, each ``(target, row, set)``."""
        known = exact.coalitions(count)
        nobody = np.empty((len(game.selectors), game.rows))
        found = [np.empty((*nobody.shape, comb(count, size))) for size in range(1, self.order + 1)]
        for part in slices(game.rows, context.chunk(len(known) * (count + 24 * len(game.selectors)))):
            rows = np.arange(part.start, part.stop)
            worth = game.values(np.repeat(rows, len(known)), np.tile(known, (len(rows), 1)))
            worth = worth.reshape(len(worth), len(rows), len(known))
            nobody[:, part] = worth[..., 0]
            for size, each in enumerate(found, 1):
                each[:, part] = exact.values(worth, self.index, size, self.order)
            context.advance(len(rows))
        return nobody, found

    def _sample(self, game: Game, count: int, approximator: str, context: Context) -> tuple[Array, list[Array], Array]:
        """As ``_enumerate``, estimated; and evaluations ``(target, row)``."""
        sampled.check_size(count, self.order, self.budget, context)
        targets = len(game.selectors)
        nobody, evaluations = np.empty((targets, game.rows)), np.empty((targets, game.rows), dtype=np.int64)
        found = [np.empty((*nobody.shape, comb(count, size))) for size in range(1, self.order + 1)]
        for row in range(game.rows):
            seed, own = int(context.rng.integers(2**31)), RowGame(game, row)
            values = sampled.values(own, targets, approximator, self.index, count, self.order, self.budget, seed)
            for each, estimated in zip(found, values, strict=True):
                each[:, row] = estimated
            nobody[:, row] = own.ask(np.zeros((1, count), dtype=bool))[:, 0]
            evaluations[:, row] = own.evaluations
            context.advance(1)
        return nobody, found, evaluations
