"""An index estimated from some of the coalitions, by shapiq's approximators.

Left out are those that may give a wrong number without a word: ``PermutationSamplingSII`` and ``STII`` leave pairs that
no permutation brought together at 0, and ``InconsistentKernelSHAPIQ`` does not converge to the index.
"""

from itertools import combinations
from math import comb

import numpy as np

from xai_mimo.core.errors import BadSetting
from xai_mimo.core.method import Context
from xai_mimo.core.streams import Array
from xai_mimo_adapters.shapiq_methods.shared import RowGame, shapiq, unworried

APPROXIMATORS = {
    "k-SII": ("KernelSHAPIQ", "SVARMIQ", "SHAPIQ"),
    "SII": ("KernelSHAPIQ", "SVARMIQ", "SHAPIQ"),
    "STII": ("SVARMIQ", "SHAPIQ"),
    "FSII": ("RegressionFSII",),
    "FBII": ("RegressionFBII",),
}
"""What estimates each index, the default first."""

_OWN_INDEX = ("RegressionFSII", "RegressionFBII")


def least_budget(players: int, order: int) -> int:
    """Coalitions without which an index cannot be told.

    As many as there are numbers to find; and all smaller than the order, with their complements, which carry most.
    """
    unknown = sum(comb(players, size) for size in range(1, order + 1))
    edges = 2 * sum(comb(players, size) for size in range(order))
    least: int = min(2**players, max(unknown + 2, edges))
    return least


def check_size(players: int, order: int, budget: int, context: Context) -> None:
    """Refuse a regression that does not fit into the memory allowed.

    Raises:
        BadSetting: it does not.
    """
    unknown = sum(comb(players, size) for size in range(order + 1))
    needed = 8 * unknown * (3 * budget + 2 * unknown)
    if needed > context.max_memory:
        raise BadSetting(
            f"{unknown - 1} interactions of order {order} between {players} players, estimated from {budget} "
            f"coalitions, would take {needed / 1e6:.0f} MB at once, more than max_memory "
            f"({context.max_memory / 1e6:.0f} MB). Take larger players (players='streams', or groups of your own), a "
            "smaller budget, or order=2."
        )


def values(
    game: RowGame, targets: int, approximator: str, index: str, players: int, order: int, budget: int, seed: int
) -> list[Array]:
    """Interactions of 1, 2, ... players of one row: each ``(target, set)``.

    Args:
        game: of the row. targets: how many.
        approximator: of ``APPROXIMATORS``. index, order: what to estimate. players: how many there are.
        budget: coalitions at most. seed: of what is drawn, the same for every target.
    """
    kind = getattr(shapiq(), approximator)
    settings = {} if approximator in _OWN_INDEX else {"index": index}
    found = [np.empty((targets, comb(players, size))) for size in range(1, order + 1)]
    for target in range(targets):
        with unworried():
            estimate = kind(players, max_order=order, pairing_trick=True, random_state=seed, **settings)
            answer = estimate.approximate(min(budget, 2**players), game.of(target))
        for size, each in enumerate(found, 1):
            each[target] = [answer[members] for members in combinations(range(players), size)]
    return found
