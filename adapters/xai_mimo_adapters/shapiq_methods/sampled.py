"""An index estimated from some of the coalitions, by shapiq's approximators.

Left out are those that may give a wrong number without a word: ``PermutationSamplingSII`` leaves pairs that no
permutation brought together at 0, ``InconsistentKernelSHAPIQ`` does not converge to the index, and ``SVARMIQ`` and
``SHAPIQ`` give FSII and FBII no main effects.
"""

from itertools import combinations
from math import comb
from typing import Any

import numpy as np

from xai_mimo.core.errors import BadSetting
from xai_mimo.core.method import Context
from xai_mimo.core.streams import Array
from xai_mimo_adapters.shapiq_methods.shared import RowGame, shapiq, unworried

APPROXIMATORS = {
    "k-SII": ("KernelSHAPIQ", "SVARMIQ", "SHAPIQ"),
    "SII": ("KernelSHAPIQ", "SVARMIQ", "SHAPIQ"),
    "STII": ("PermutationSamplingSTII", "SVARMIQ", "SHAPIQ"),
    "FSII": ("RegressionFSII",),
    "FBII": ("RegressionFBII",),
}
"""What estimates each index, the default first."""

_WITHOUT_INDEX = ("RegressionFSII", "RegressionFBII")
_BY_PERMUTATION = "PermutationSamplingSTII"


def least_budget(approximator: str, players: int, order: int) -> int:
    """Coalitions without which an index cannot be told, or not exactly.

    For a permutation, what it asks for: all coalitions smaller than the order, and every part of every set of that size
    behind what comes before the set. For the others three times the numbers to find, half of the coalitions being
    complements of the others: with half of that a regression of noise looks like one of interactions, and with it, one
    of a model whose interactions end at the order is exact; and all coalitions smaller than the order, with their
    complements, which carry most.
    """
    smaller = sum(comb(players, size) for size in range(order))
    if approximator == _BY_PERMUTATION:
        asked: int = smaller + 1 + comb(players, order) * 2**order
        return asked
    unknown = sum(comb(players, size) for size in range(1, order + 1))
    least: int = min(2**players, max(2 * (3 * unknown // 2 + 1), 2 * smaller))
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
    settings: dict[str, Any] = {} if approximator in _WITHOUT_INDEX else {"index": index}
    if approximator != _BY_PERMUTATION:
        settings["pairing_trick"] = True
        budget = min(budget, 2**players) // 2 * 2  # a coalition without its complement upsets a regression
    found = [np.empty((targets, comb(players, size))) for size in range(1, order + 1)]
    for target in range(targets):
        with unworried():
            estimate = kind(players, max_order=order, random_state=seed, **settings)
            answer = estimate.approximate(budget, game.of(target))
        for size, each in enumerate(found, 1):
            each[target] = [answer[members] for members in combinations(range(players), size)]
    return found
