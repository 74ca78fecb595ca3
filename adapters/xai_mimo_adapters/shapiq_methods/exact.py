"""An index of all coalitions, by shapiq's ``ExactComputer``.

Every index here is linear in the game, and treats players alike: the weight of a coalition in the interaction of some
players depends on its size and on how many of them it holds. So the computer is asked once for each size of a
coalition, about the game that is 1 for the coalition of the first players of that size and 0 else; any number of rows
and heads is then a product of matrices.
"""

from functools import lru_cache, partial
from itertools import combinations
from math import comb

import numpy as np

from xai_mimo.core.streams import Array
from xai_mimo_adapters.shapiq_methods.shared import shapiq


def coalitions(players: int) -> Array:
    """All of them, ``(coalition, player)`` booleans; number c holds player i where bit i of c is 1."""
    known: Array = (np.arange(2**players)[:, None] >> np.arange(players)) & 1 == 1
    return known


def values(worth: Array, index: str, size: int, order: int) -> Array:
    """The interactions of ``size`` players.

    Args:
        worth: ``(..., coalition)``, of all coalitions in the order of ``coalitions``.
        index: its name in shapiq. size: of the sets of players. order: of the index.
    Returns:
        ``(..., set)``, in the order of ``itertools.combinations``.
    """
    known = coalitions(int(worth.shape[-1]).bit_length() - 1)
    players = known.shape[1]
    weights, total = _weights(index, order, players), known.sum(axis=1)
    found = np.empty((*worth.shape[:-1], comb(players, size)))
    against_nobody = worth - worth[..., :1]  # what all coalitions have in common is nobody's
    for place, chosen in enumerate(combinations(range(players), size)):
        found[..., place] = against_nobody @ weights[size, total, known[:, chosen].sum(axis=1)]
    return found


@lru_cache(maxsize=32)
def _weights(index: str, order: int, players: int) -> Array:
    """``(size of the set, size of the coalition, how many of the set it holds)``; 0 where there is no such one."""
    computer = shapiq().ExactComputer
    found = np.zeros((order + 1, players + 1, order + 1))
    for held in range(players + 1):
        answer = computer(partial(_is_first, held), n_players=players)(index, order)
        for size in range(1, order + 1):
            for inside in range(max(0, size - (players - held)), min(size, held) + 1):
                members = (*range(inside), *range(held, held + size - inside))
                found[size, held, inside] = answer[members]
    return found


def _is_first(held: int, known: Array) -> Array:
    """1 for the coalition of the first ``held`` players, 0 for all others: ``(coalition,)``."""
    is_it: Array = (known == (np.arange(known.shape[1]) < held)).all(axis=1)
    return is_it.astype(np.float64)
