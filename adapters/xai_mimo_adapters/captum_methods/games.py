"""Captum's perturbation methods on any model: Captum plays with players, the model sees rows.

Captum takes features away by multiplying tensors with masks: words have no such product, and a feature mask cannot say
which players differ from row to row. So it is handed a table of ones, ``(sample, player)``, to be replaced by zeros,
and the model gets the row whose known players have its own values and whose others have those of the baselines: whole
numbers, words and every other type stay what they are. Of several baselines the mean over them is taken: the worth of a
coalition is mean over b of f(x_S, b_rest), as ``shapley`` of this package has it; one evaluation serves all heads.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xai_mimo.core.baselines import Baseline, resolve_baseline
from xai_mimo.core.coalitions import Game
from xai_mimo.core.method import Context
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.patches import Patch
from xai_mimo.core.players import Players
from xai_mimo.core.slices import slices
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector
from xai_mimo_adapters.captum_methods.bridge import seeded

Attribute = Callable[[Any, Any, int], Array]
"""``(row, ones, perturbations at once) -> (target, sample, player)``: rows by number, and their players, all known."""


def game_of(
    model: Model,
    inputs: Arrays,
    selectors: Sequence[Selector],
    context: Context,
    *,
    players: Players = "features",
    patch: Patch | None = None,
    baseline: Baseline = "zero",
) -> Game:
    """The game that Captum plays."""
    baselines = resolve_baseline(baseline, model.streams, context.background)
    return Game.of(model, inputs, baselines, selectors, context, players, patch)


def forward(game: Game) -> Callable[[Any, Any], Any]:
    """The worth of coalitions as Captum asks for it, of all heads: ``(known, row) -> (coalition, target)``."""
    import torch

    def worth(known: Any, row: Any) -> Any:
        return torch.from_numpy(np.ascontiguousarray(game.values(row.numpy(), known.numpy() > 0.5).T))

    return worth


def play(
    game: Game, context: Context, attribute: Attribute, *, seed: int | None = None, bytes_per_row: int = 0
) -> Array:
    """Run Captum on blocks of rows that fit the memory allowed: ``(target, sample, player)`` in float64.

    Args:
        seed: where Captum draws, the same for all rows, however many of them memory holds at a time.
        bytes_per_row: what ``attribute`` itself holds of each row.
    """
    import torch

    targets, count = len(game.selectors), game.masker.count
    # Captum spreads each change over a table of players, for every row and target.
    room = context.chunk(count * (16 * targets + 16) + bytes_per_row)
    values = np.zeros((targets, game.rows, count))
    for part in slices(game.rows, room):
        rows = part.stop - part.start
        ones = torch.ones(rows, count)
        at_once = min(count, max(1, room // rows))
        with seeded(seed):
            values[:, part] = attribute(torch.arange(part.start, part.stop), ones, at_once)
        context.advance(rows)
    return values


def by_target(found: Any, targets: int) -> Array:
    """What Captum gives for outputs of several targets, ``(sample * target, ...)``, as ``(target, sample, ...)``."""
    values = found.detach().numpy()
    return np.moveaxis(values.reshape(-1, targets, *values.shape[1:]), 1, 0)
