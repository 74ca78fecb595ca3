"""The rows of a background that resemble an explained row in what is known of it.

Where features depend on each other, unknown ones replaced by any row of the background make rows that cannot exist: an
engine that is hot beside an oil that is cold. Taking them from rows that resemble the explained one in the known
features keeps to rows that can, as far as the background holds any.

Among many known features most say nothing of the unknown ones, and of a hundred rows none is near in all of them. So
known features weigh by how far they depend on the unknown ones. For a linear model of 20 normal features in correlated
pairs (0.9) and 100 rows, the values of coalitions of 18 are then off by 0.44, where they are off by 0.97 with features
that weigh alike and by 1.26 with the mean in the place of the unknown. Where little is known (1 of 20: 1.8 against
0.9 with the mean) the noise of few rows is larger than what is gained.

Sources: Aas, Jullum and Løland (2021), "Explaining Individual Predictions when Features are Dependent" (unknown
features are drawn given the known ones); Frye et al. (2021), "Shapley Explainability on the Data Manifold". That the
nearest rows stand for this conditional distribution, and how near and weight are measured, is our reading.
"""

from collections.abc import Callable

import numpy as np

from xai_mimo.core.door import count_rows
from xai_mimo.core.model import Arrays
from xai_mimo.core.players import Masker
from xai_mimo.core.streams import Array
from xai_mimo.core.words import are_words
from xai_mimo.metrics.dependence import dependences

# Two rows drawn at random differ by this much in a standardised value, on average, and so do two ids that differ.
_APART = 2.0
# Rows that are equally near are taken at random, whatever rounding does to their distances.
_TIE = 1e-6
# What a known player weighs that tells nothing of the unknown ones.
_FLOOR = 0.02
_WEIGHED_AT_MOST = 200

Chooser = Callable[[Array], Array]
"""``(..., player)`` booleans, who is known -> ``(..., k)``, numbers of background rows."""


def nearest_rows(
    inputs: Arrays, background: Arrays, masker: Masker, k: int, rng: np.random.Generator
) -> Callable[[int], Chooser]:
    """For each explained row, a function that finds the background rows nearest to it in what is known.

    d(x, b; S) = mean over the players i in S of d_i(x, b), weighted by 0.02 + sum over the players j not in S of r_ij^2
    d_i(x, b) = mean over the values of player i of ((x - b) / s)^2

    with s the standard deviation over the background and r_ij how far the players depend on each other there, see
    ``dependence.dependences``; all weigh alike where there are more than 200 players.

    Values that are constant over the background tell no row from another and count 0. Whole numbers are ids: equal, 0,
    or not, 2, which is what numbers differ by on average; so are all values of a stream that holds words. A background
    row that equals the explained one in every value is taken for that row itself and left out, once. Equally near rows
    are taken at random.

    Args:
        inputs: ``{stream: (sample, *shape)}``. background: ``{stream: (background, *shape)}``.
        masker: the players.
        k: how many rows; one less than the background has, where there are not more.
        rng: orders rows that are equally near.
    """
    scales = {name: _scale(rows) for name, rows in background.items()}
    total = count_rows(background)
    k = min(k, max(1, total - 1))
    weigh = dependences(background, masker) ** 2 if masker.count <= _WEIGHED_AT_MOST else None
    owner = masker.player_of
    ties = _TIE * rng.random((count_rows(inputs), total))

    def of_row(row: int) -> Chooser:
        squared, same = [], np.ones(total, dtype=bool)
        for name in masker.divisions:
            rows, x = background[name], inputs[name][row : row + 1]
            equal = (rows == x).reshape(total, -1)
            same &= equal.all(axis=1)
            if rows.dtype.kind == "f":
                of_values = ((rows.astype(np.float64) - x) * scales[name]).reshape(total, -1) ** 2
            else:
                of_values = np.where(equal, 0.0, _APART)
            squared.append(of_values)
        distances = _of_players(np.concatenate(squared, axis=1), owner).T  # (player, background)
        offset = ties[row].copy()
        if total > 1 and same.any():
            offset[int(same.argmax())] = np.inf

        def choose(known: Array) -> Array:
            weights = known * (_FLOOR + (~known @ weigh if weigh is not None else 0.0))
            far = (weights @ distances) / np.maximum(weights.sum(axis=-1, keepdims=True), _FLOOR) + offset
            chosen: Array = np.argpartition(far, k - 1, axis=-1)[..., :k]
            return chosen

        return choose

    return of_row


def _scale(rows: Array) -> Array:
    """1 / standard deviation over the rows, ``(*shape)``; 0 where the value is constant."""
    if are_words(rows):
        return np.zeros(rows.shape[1:])
    values = rows.astype(np.float64)
    spread = values.std(axis=0)
    varies = np.ptp(values, axis=0) > 0
    return np.where(varies, 1 / np.where(varies, spread, 1.0), 0.0)


def _of_players(values: Array, of_value: Array) -> Array:
    """The mean over each player's values, ``of_value`` the player of each: ``(row, value)`` to ``(row, player)``."""
    if len(of_value) == int(of_value.max()) + 1:
        means: Array = values[:, np.argsort(of_value)]
        return means
    order = np.argsort(of_value, kind="stable")
    first = np.searchsorted(of_value[order], np.arange(int(of_value.max()) + 1))
    sums: Array = np.add.reduceat(values[:, order], first, axis=1)
    return sums / np.bincount(of_value)
