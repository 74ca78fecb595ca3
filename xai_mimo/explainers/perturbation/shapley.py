"""Shapley values: exact for few players, else by antithetic permutations with standard errors; all heads at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import factorial
from typing import ClassVar

import numpy as np

from xai_mimo.core.coalitions import Game
from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import BadSetting
from xai_mimo.core.method import Attribution, Context, positive, whole
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.patches import Patch
from xai_mimo.core.players import Players, check_players
from xai_mimo.core.slices import slices
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, take

# Beyond this many players a table of all coalitions is too large, whatever the budget.
_MOST_EXACT = 16
# A standard error from fewer draws is too uncertain to stop on.
_FEWEST_DRAWS = 4


@dataclass(frozen=True)
class Shapley:
    """Each player's share of f(x) - mean f(background), averaged over the orders in which players become known.

    phi_i = sum over S without i of |S|! (P - |S| - 1)! / P! * (v(S + i) - v(S)),  v(S) = mean over b of f(x_S, b_rest)

    Where the budget holds all 2^P coalitions they are enumerated: exact, with standard errors of 0. Else permutations
    are walked in antithetic pairs, an order and its reverse. One draw walks a pair from every background row, each in
    an order of its own: as many predictions as one order walked from all of them, and a variance that is no larger.
    Every draw sums to f(x) - mean f(background) exactly. Standard errors are those of the mean over independent draws;
    they do not contain the choice of the background. The number of draws of each row stands in ``draws`` (absent where
    coalitions were enumerated), for they are often few: an interval of 95 % is then value +-
    ``scipy.stats.t(draws - 1).ppf(0.975)`` standard errors, 12.7 of them at two draws and 2.4 at eight. It takes the
    mean over the background rows of one draw for normal; against a single background row it misses more than 5 %.

    Attributes:
        budget: coalitions evaluated per row and background row, at most; one draw takes 2 (P - 1). All targets share a
            prediction.
        players: "features", every single input value, a group of features of a stream together (``Stream.groups``: the
            result then has a value for each of the stream's variables); "levels", the same with the columns of a
            category by themselves (rows then arise that cannot exist, of two levels or of none); "variables", every
            entry of a stream's last axis over all its other axes, known or unknown as a whole, such as the whole series
            of a feature (the result has that last axis alone); "patches", neighbouring positions with all their
            channels; "words", the tokens of each word of texts (``core.texts``); or "streams", whole streams. The
            values of members that are players each do not sum to that of the group they form: they divide what they do
            together among other players too. Or players by name, which may span streams: ``{"engine": {"table": ["rpm",
            "torque"]}, "weather": {"table": ["temp"], "image": "all"}, "first week": {"series": {"time": [0, 7]}}}``,
            or superpixels, ``{"image": labels}``; ``core.named_players`` says all that may stand there. The result then
            has a variable ``players``.
        patch: where patches are the players, positions along each axis: one number for all streams with positions, one
            for each axis, or these by stream. Values of streams without one are players each. What a patch is given is
            divided evenly among its values.
        standard_error: stop a row when for every target the largest standard error is at most this share of the sum of
            absolute values, judged from the fourth draw on; None walks the whole budget. Rows that do not get there
            are marked in ``converged``.
        background_rows: at most so many of the background's rows are used, evenly spaced.

    Source: Shapley (1953), "A Value for n-Person Games"; Mitchell et al. (2022), "Sampling Permutations for Shapley
    Value Estimation", Section 3 (antithetic pairs); Lundberg and Lee (2017), Equation 4.
    """

    budget: int = 2048
    players: Players = "features"
    standard_error: float | None = None
    background_rows: int = 20
    patch: Patch | None = None

    name: ClassVar[str] = "shapley"
    reference: ClassVar[str] = "lundberg2017unified"
    speaks_of: ClassVar[SpeaksOf] = "attribution"

    def __post_init__(self) -> None:
        whole(self.budget, "budget")
        whole(self.background_rows, "background_rows")
        check_players(self.players, self.patch)
        if self.standard_error is not None:
            positive(self.standard_error, "standard_error")

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Enumerate or sample, whichever the budget allows."""
        background = _thin(context.background, int(self.background_rows))
        game = Game.of(model, inputs, background, selectors, context, self.players, self.patch)
        count = game.masker.count
        # A single player is worth the difference of the two coalitions that are asked for in any case.
        is_exact = count == 1 or (count <= _MOST_EXACT and 2**count <= self.budget)
        nobody = game.values(np.arange(game.rows), np.zeros((game.rows, count), dtype=bool))
        if is_exact:
            values = _enumerate(game, count, context)
            error, used, draws = np.zeros_like(values), np.full(game.rows, 2**count), None
        else:
            values, error, drawn = self._sample(game, count, nobody, context)
            used, draws = drawn * 2 * (count - 1), np.repeat(drawn[None], len(selectors), axis=0)
        diagnostics = {"evaluations": np.repeat(used[None], len(selectors), axis=0)}
        if self.standard_error is not None:
            diagnostics["converged"] = _is_settled(values, error, self.standard_error)
        return Attribution(
            values=game.masker.split(values),
            prediction=take(model.predict(inputs), selectors),
            baseline_prediction=nobody,
            standard_error=game.masker.split(error),
            draws=draws,
            diagnostics=diagnostics,
            players=game.masker.named_values(values, error),
        )

    def _sample(self, game: Game, count: int, nobody: Array, context: Context) -> tuple[Array, Array, Array]:
        """Means, standard errors ``(target, sample, player)`` and draws ``(sample,)``."""
        draws = int(self.budget) // (2 * (count - 1))
        if draws < 2:
            raise BadSetting(
                f"{count} players need a budget of at least {4 * (count - 1)} coalitions per row (two pairs of "
                f"permutations, for a standard error); got budget={self.budget}. Raise it, or take larger players: "
                "players='variables' or players='streams', or groups of your own with the rest in one, players={..., "
                "'others': 'rest'}."
            )
        ends = _Ends.of(game, count)
        mean, squares = (np.zeros((len(nobody), game.rows, count)) for _ in range(2))
        drawn, active = np.zeros(game.rows, dtype=np.int64), np.arange(game.rows)
        for done in range(draws):
            # Orders are drawn for all rows, so that a row's numbers do not depend on when other rows stop.
            keys = context.rng.random((game.rows, game.depth, count), dtype=np.float32)
            for part in slices(len(active), context.chunk(2 * game.depth * count * (count + 24 * len(nobody)))):
                rows = active[part]
                change = _draw(game, rows, keys[rows], ends) - mean[:, rows]
                mean[:, rows] += change / (done + 1)
                squares[:, rows] += change * (change - change / (done + 1))
            drawn[active] += 1
            context.advance(len(active) / draws)
            if self.standard_error is not None and done + 1 >= _FEWEST_DRAWS:
                settled = np.all(_is_settled(mean, _error(squares, drawn), self.standard_error), axis=0)
                context.advance((draws - done - 1) / draws * int(settled[active].sum()))
                active = active[~settled[active]]
                if not len(active):
                    break
        return mean, _error(squares, drawn), drawn


@dataclass(frozen=True)
class _Ends:
    """Worth of the coalitions that every walk begins and ends with.

    Attributes:
        nobody: ``(target, row, background)``. everybody: ``(target, row)``.
    """

    nobody: Array
    everybody: Array

    @staticmethod
    def of(game: Game, count: int) -> "_Ends":
        rows = np.arange(game.rows)
        walkers, against = np.repeat(rows, game.depth), np.tile(np.arange(game.depth), game.rows)
        nobody = game.values_against(walkers, np.zeros((len(walkers), count), dtype=bool), against)
        everybody = game.values_against(rows, np.ones((game.rows, count), dtype=bool), np.zeros_like(rows))
        return _Ends(nobody.reshape(len(nobody), game.rows, game.depth), everybody)


def _thin(background: Arrays, rows: int) -> Arrays:
    total = count_rows(background)
    if total <= rows:
        return background
    index = np.linspace(0, total - 1, rows).round().astype(np.int64)
    return {name: b[index] for name, b in background.items()}


def _error(squares: Array, draws: Array) -> Array:
    """Standard error of the mean over draws; ``squares`` ``(target, sample, player)``, ``draws`` ``(sample,)``."""
    error: Array = np.sqrt(squares / (np.maximum(draws - 1, 1) * draws)[:, None])
    return error


def _is_settled(values: Array, error: Array, share: float) -> Array:
    """``(target, sample)``: whether the largest standard error is at most this share of the absolute sum."""
    settled: Array = error.max(axis=2) <= share * np.abs(values).sum(axis=2)
    return settled


def _draw(game: Game, rows: Array, keys: Array, ends: _Ends) -> Array:
    """Marginal contributions averaged over a pair of orders from every background row: ``(target, row, player)``.

    Args:
        rows: ``(row,)``, all of them at once. keys: ``(row, background, player)``; players come in the order of their
            keys. ends: of all rows.
    """
    count = keys.shape[2]
    rank = np.argsort(np.argsort(keys, axis=2), axis=2).reshape(-1, count)
    # Step s of the order knows the first s players; step s of the reverse knows all but the first P - s.
    forward = rank[:, None, :] < np.arange(1, count)[:, None]
    known = np.stack([forward, ~forward[:, ::-1]], axis=1)
    steps_each = 2 * (count - 1)
    against = np.repeat(np.tile(np.arange(game.depth), len(rows)), steps_each)
    worth = game.values_against(np.repeat(rows, game.depth * steps_each), known.reshape(-1, count), against)
    worth = worth.reshape(len(worth), len(rank), 2, count - 1)
    first = ends.nobody[:, rows].reshape(len(worth), -1)
    last = np.repeat(ends.everybody[:, rows], game.depth, axis=1)
    whole_walks = [np.repeat(v[:, :, None, None], 2, axis=2) for v in (first, last)]
    steps = np.diff(np.concatenate([whole_walks[0], worth, whole_walks[1]], axis=3), axis=3)
    both = (steps[:, :, 0] + steps[:, :, 1, ::-1]) / 2
    values = np.take_along_axis(both, np.broadcast_to(rank, both.shape), axis=2)
    mean: Array = values.reshape(len(worth), len(rows), game.depth, count).mean(axis=2)
    return mean


def _enumerate(game: Game, count: int, context: Context) -> Array:
    """Exact values ``(target, sample, player)`` from the worth of all coalitions."""
    codes = np.arange(2**count)
    known = (codes[:, None] >> np.arange(count)) & 1 == 1
    weights = np.array([factorial(s) * factorial(count - s - 1) / factorial(count) for s in range(count)])
    size = known.sum(axis=1)
    values = np.empty((len(game.selectors), game.rows, count))
    for part in slices(game.rows, context.chunk(2**count * (count + 16 * len(game.selectors)))):
        rows = np.arange(part.start, part.stop)
        worth = game.values(np.repeat(rows, len(codes)), np.tile(known, (len(rows), 1)))
        worth = worth.reshape(len(values), len(rows), len(codes))
        for player in range(count):
            without = codes[~known[:, player]]
            # Differences first: a player that changes nothing gets exactly 0.
            gain = worth[:, :, without | (1 << player)] - worth[:, :, without]
            values[:, part, player] = gain @ weights[size[without]]
        context.advance(len(rows))
    return values
