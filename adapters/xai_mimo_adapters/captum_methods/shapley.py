"""Captum's Shapley values: all orders of the players, or some of them; all heads from the same evaluations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from xai_mimo.core.baselines import Baseline
from xai_mimo.core.coalitions import Game
from xai_mimo.core.errors import NotSupported
from xai_mimo.core.method import Attribution, Context, whole
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.patches import Patch
from xai_mimo.core.players import Players, check_players
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, take
from xai_mimo_adapters.captum_methods.bridge import captum_attr
from xai_mimo_adapters.captum_methods.games import forward, game_of, play

# Captum walks all orders, 5040 of these; of one player more it walks 40 320, for the same values.
_MOST_EXACT = 7


@dataclass(frozen=True)
class CaptumShapleyValues:
    """Captum's ``ShapleyValues``: the share of each player in f(x) - mean f(b), over all orders of the players.

    Exact, and exponential: Captum walks all P! orders. At most 7 players are taken; ``shapley`` of this package has
    the same values from 2^P coalitions, up to 16 players. Here too each coalition is asked of the model once, for all
    heads. Captum sums in float32.

    Attributes:
        players, patch, baseline: as ``CaptumFeatureAblation`` takes them; of several baselines the worth of a coalition
            is the mean.

    Source: Castro et al. (2009), "Polynomial calculation of the Shapley value based on sampling", Section 2.
    """

    players: Players = "features"
    baseline: Baseline = "zero"
    patch: Patch | None = None

    name: ClassVar[str] = "captum.ShapleyValues"
    reference: ClassVar[str] = "castro2009polynomial"
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    packages: ClassVar[tuple[str, ...]] = ("captum", "torch")

    def __post_init__(self) -> None:
        check_players(self.players, self.patch)

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Walk all orders; every target and row shares them."""
        attr = captum_attr()
        game = game_of(
            model, inputs, selectors, context, players=self.players, patch=self.patch, baseline=self.baseline
        )
        count = game.masker.count
        if count > _MOST_EXACT:
            raise NotSupported(
                f"{self.name} walks all orders of the players, at most {_MOST_EXACT}! of them, and there are {count} "
                "players. Use 'shapley', which is exact up to 16 players and samples beyond, 'captum.Shapley"
                "ValueSampling', or larger players: players='streams', or groups by name."
            )

        def attribute(row: Any, ones: Any, at_once: int) -> Array:
            captum = attr.ShapleyValues(_tabulated(game, row.numpy()))
            found = captum.attribute(ones, additional_forward_args=(row - row[0],), perturbations_per_eval=at_once)
            return np.moveaxis(found.numpy(), 1, 0)

        table = 2**count * (16 * len(selectors) + count)
        values = play(game, context, attribute, bytes_per_row=table)
        return _attribution(game, values, model, inputs, selectors)


def _tabulated(game: Game, rows: Array) -> Any:
    """``forward`` of the game from a table of all coalitions of these rows; ``row`` then counts from the first."""
    import torch

    count = game.masker.count
    known = (np.arange(2**count)[:, None] >> np.arange(count)) & 1 == 1
    worth = game.values(np.repeat(rows, len(known)), np.tile(known, (len(rows), 1)))
    table = np.moveaxis(worth.reshape(len(worth), len(rows), len(known)), 0, -1)

    def lookup(known: Any, row: Any) -> Any:
        codes = (known.numpy() > 0.5) @ (1 << np.arange(count))
        return torch.from_numpy(table[row.numpy(), codes])

    return lookup


@dataclass(frozen=True)
class CaptumShapleyValueSampling:
    """Captum's ``ShapleyValueSampling``: the share of each player in f(x) - mean f(b), over random orders.

    Every order sums to f(x) - mean f(b), to the float32 in which Captum sums. All rows and heads share the orders and
    the evaluations. Captum tells no standard error; ``shapley`` of this package does, from antithetic orders.

    Attributes:
        samples: orders, each of which asks for P coalitions (Captum's ``n_samples``).
        players, patch, baseline: as ``CaptumFeatureAblation`` takes them; of several baselines the worth of a coalition
            is the mean.

    Source: Castro et al. (2009), "Polynomial calculation of the Shapley value based on sampling", Section 3.
    """

    samples: int = 25
    players: Players = "features"
    baseline: Baseline = "zero"
    patch: Patch | None = None

    name: ClassVar[str] = "captum.ShapleyValueSampling"
    reference: ClassVar[str] = "castro2009polynomial"
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    packages: ClassVar[tuple[str, ...]] = ("captum", "torch")

    def __post_init__(self) -> None:
        whole(self.samples, "samples")
        check_players(self.players, self.patch)

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Walk random orders; every target and row shares them."""
        attr = captum_attr()
        game = game_of(
            model, inputs, selectors, context, players=self.players, patch=self.patch, baseline=self.baseline
        )

        def attribute(row: Any, ones: Any, at_once: int) -> Array:
            found = attr.ShapleyValueSampling(forward(game)).attribute(
                ones, additional_forward_args=(row,), n_samples=int(self.samples), perturbations_per_eval=at_once
            )
            return np.moveaxis(found.numpy(), 1, 0)

        values = play(game, context, attribute, seed=int(context.rng.integers(2**32)))
        return _attribution(game, values, model, inputs, selectors)


def _attribution(game: Game, values: Array, model: Model, inputs: Arrays, selectors: Sequence[Selector]) -> Attribution:
    nobody = np.zeros((game.rows, game.masker.count), dtype=bool)
    return Attribution(
        values=game.masker.split(values),
        prediction=take(model.predict(inputs), selectors),
        baseline_prediction=game.values(np.arange(game.rows), nobody),
        players=game.masker.named_values(values),
    )
