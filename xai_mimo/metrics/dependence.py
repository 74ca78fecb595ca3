"""Whether features depend on each other, so that replacing some and not others makes rows that cannot exist."""

from collections.abc import Iterator

import numpy as np
from scipy import stats

from xai_mimo.core.door import count_rows
from xai_mimo.core.model import Arrays
from xai_mimo.core.players import Masker
from xai_mimo.core.streams import Array
from xai_mimo.core.words import are_words, of_columns

STRONG = 0.5
"""The rank correlation from which on two features depend on each other strongly."""

_CHANCE = 0.05
_COMMON = 0.1
_COLUMNS_AT_MOST = 2000


def depend(rows: Arrays, masker: Masker) -> bool:
    """Whether two players depend on each other strongly: some entry of ``dependences`` is at least 0.5."""
    return bool(dependences(rows, masker).max() >= STRONG)


def dependences(rows: Arrays, masker: Masker) -> Array:
    """How far two players depend on each other, ``(player, player)``.

    max |Spearman(u, v)| over the values u of the one and v of the other; 0 where chance explains it (a p-value of at
    least 0.05, corrected for all pairs of values), and of a player with itself

    Whole numbers and words are ids without an order: each id that at least a tenth of the rows hold counts as a column
    that says whether it is there. Of more than 2000 columns an even choice of 2000 is looked at. What depends on
    another feature without rising or falling with it is not seen.

    Args:
        rows: of data, ``{stream: (row, *shape)}``.
        masker: the players; values of one player are replaced together and may depend on each other.
    """
    among = np.zeros((masker.count, masker.count))
    total = count_rows(rows)
    parts, owners = zip(*_columns(rows, masker), strict=True)
    columns, owner = np.concatenate(parts, axis=1), np.concatenate(owners)
    varies = np.flatnonzero(np.ptp(columns, axis=0) > 0)
    if total < 3 or len(varies) < 2:
        return among
    if len(varies) > _COLUMNS_AT_MOST:
        varies = varies[np.linspace(0, len(varies) - 1, _COLUMNS_AT_MOST).astype(np.int64)]
    varies = varies[np.argsort(owner[varies], kind="stable")]
    owner = owner[varies]
    ranks = stats.rankdata(columns[:, varies], axis=0)
    ranks = (ranks - ranks.mean(axis=0)) / ranks.std(axis=0)
    own = owner[:, None] == owner
    correlations = np.abs(ranks.T @ ranks / total)
    correlations[own | (correlations <= _by_chance(total, (~own).sum() / 2))] = 0.0
    players, first = np.unique(owner, return_index=True)
    largest = np.maximum.reduceat(np.maximum.reduceat(correlations, first, axis=0), first, axis=1)
    among[np.ix_(players, players)] = largest
    return among


def _by_chance(rows: int, pairs: float) -> float:
    """The largest correlation that chance explains among so many pairs: from Student's t."""
    t = float(stats.t.isf(_CHANCE / (2 * max(pairs, 1)), rows - 2))
    return float(t / np.sqrt(rows - 2 + t**2))


def _columns(rows: Arrays, masker: Masker) -> Iterator[tuple[Array, Array]]:
    """Numbers whose order means something, ``(row, column)``, and the player of each column."""
    for name, division in masker.divisions.items():
        values = rows[name].reshape(len(rows[name]), -1)
        owner = masker.owned(name)[np.broadcast_to(division.player_of, division.shape).ravel()]
        if values.dtype.kind == "f":
            yield values.astype(np.float64), owner
            continue
        columns = of_columns(values) if are_words(values) else values.T
        for column, of_column in zip(columns, owner, strict=True):
            if column.dtype.kind == "f":
                yield column[:, None], np.array([of_column])
                continue
            ids, held = np.unique(column, return_counts=True)
            common = ids[held >= _COMMON * len(column)]
            yield (column[:, None] == common).astype(np.float64), np.full(len(common), of_column)
