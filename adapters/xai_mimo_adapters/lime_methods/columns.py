"""Streams as the columns of one table for lime: numbers as they are, everything else as codes of its values."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xai_mimo.core.model import Arrays
from xai_mimo.core.players import Masker
from xai_mimo.core.streams import Array


@dataclass(frozen=True)
class Columns:
    """One column for each player: a value of a stream, or a group of features that stand for one category.

    Values of floating-point streams are numbers, which lime moves. Whole numbers, truth values, words and groups are
    categories: lime draws one of the values that the background has.

    Attributes:
        like: one row of each stream, for shapes and dtypes.
        player_of: ``(value,)``, the column of each value, streams side by side.
        is_category: ``(column,)``.
        words: the different words of streams that hold some, which codes stand for.
        known: of each column of categories, ``(code, value)`` the values of its players that codes stand for.
    """

    like: Arrays
    player_of: Array
    is_category: Array
    words: Mapping[str, Array]
    known: Mapping[int, Array]

    @staticmethod
    def of(masker: Masker, *tables: Arrays) -> "Columns":
        """The columns of some rows; the values of all tables have codes."""
        like = {name: tables[0][name][:1] for name in masker.divisions}
        words = {name: _distinct([table[name] for table in tables]) for name, x in like.items() if x.dtype == object}
        player_of = masker.player_of
        kinds = np.concatenate([np.full(x[0].size, x.dtype.kind != "f") for x in like.values()])
        sizes = np.bincount(player_of)
        is_category = (np.bincount(player_of, weights=kinds) > 0) | (sizes > 1)
        bare = Columns(like, player_of, is_category, words, {})
        values = np.concatenate([bare._values(table) for table in tables])
        known = {
            int(column): np.unique(values[:, player_of == column], axis=0) for column in np.flatnonzero(is_category)
        }
        return Columns(like, player_of, is_category, words, known)

    @property
    def count(self) -> int:
        """Number of columns."""
        return len(self.is_category)

    def read(self, rows: Arrays) -> Array:
        """Rows as lime is handed them: ``(row, column)`` in float64, categories as codes."""
        values, table = self._values(rows), np.empty((len(next(iter(rows.values()))), self.count))
        for column in range(self.count):
            own = values[:, self.player_of == column]
            if column in self.known:
                same = (own[:, None, :] == self.known[column][None]).all(axis=2)
                table[:, column] = same.argmax(axis=1)
            else:
                table[:, column] = own[:, 0]
        return table

    def write(self, table: Array) -> Arrays:
        """What lime made as rows of the model: the inverse of ``read``."""
        values = np.empty((len(table), len(self.player_of)))
        for column in range(self.count):
            own = self.player_of == column
            codes = self.known.get(column)
            values[:, own] = table[:, [column]] if codes is None else codes[table[:, column].astype(np.int64)]
        ends = np.cumsum([x[0].size for x in self.like.values()])[:-1]
        rows = {}
        for (name, x), part in zip(self.like.items(), np.split(values, ends, axis=1), strict=True):
            shaped = part.reshape(len(table), *x.shape[1:])
            rows[name] = self.words[name][shaped.astype(np.int64)] if name in self.words else shaped.astype(x.dtype)
        return rows

    def _values(self, rows: Arrays) -> Array:
        """All values side by side, words as codes: ``(row, value)``."""
        return np.concatenate([self._numbers(name, rows[name]) for name in self.like], axis=1)

    def _numbers(self, name: str, x: Array) -> Array:
        if name not in self.words:
            return x.astype(np.float64).reshape(len(x), -1)
        place = {word: i for i, word in enumerate(self.words[name])}
        return np.array([place[word] for word in x.ravel()], dtype=np.float64).reshape(len(x), -1)


def _distinct(tables: list[Array]) -> Array:
    words = dict.fromkeys(word for x in tables for word in x.ravel())
    return np.fromiter(words, dtype=object, count=len(words))
