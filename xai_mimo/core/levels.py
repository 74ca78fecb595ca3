"""Levels of categories: what an example shows in place of a row of zeros and ones, and words where a stream holds
them."""

from collections.abc import Sequence

import numpy as np

from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array, Stream
from xai_mimo.core.words import are_words

WHOLE = "(whole stream)"
"""What the one value of a stream without features is called."""
_LONGEST = 80

Levels = dict[str, dict[str, Array]]
"""``{stream: {group: (sample,) names of levels}}``, "" where a row has none of them."""


def levels_of(streams: Sequence[Stream], inputs: Arrays, background: Arrays) -> Levels:
    """The level that is on in each row, for the groups whose columns say which level of a category a row has.

    Such columns hold two values at most, also where they were standardised, and the larger one says that the level is
    there. Series are left out: their level changes from step to step.

    Args:
        streams: that are shown.
        inputs: the rows, ``{stream: (sample, *shape)}``. background: more rows, to see what values there are.
    """
    levels: Levels = {s.name: _words(s, inputs[s.name]) for s in streams if are_words(inputs[s.name])}
    for stream in (s for s in streams if len(s.shape) == 1 and s.groups and s.name not in levels):
        x, more = inputs[stream.name], background[stream.name]
        known = np.concatenate([x, more])
        largest, smallest = known.max(axis=0), known.min(axis=0)
        # A column that never changes is on where it is 1: all rows have this level.
        is_on = (x == largest) & ((largest > smallest) | (largest == 1))
        for group, columns in stream.groups.items():
            own = [stream.features.index(column) for column in columns]
            if ((known[:, own] == largest[own]) | (known[:, own] == smallest[own])).all():
                names = np.array([_level(column, group) for column in columns], dtype=object)
                first = is_on[:, own].argmax(axis=1)
                chosen = np.where(is_on[:, own].sum(axis=1) == 1, names[first], "")
                levels.setdefault(stream.name, {})[group] = chosen
    return levels


def _words(stream: Stream, rows: Array) -> dict[str, Array]:
    """What stands in each row, by variable of the stream; long texts by their beginning."""
    named: dict[str, list[Array]] = {}
    columns = rows.reshape(len(rows), -1).T
    owners = stream.variables if not stream.groups else [stream.variables[i] for i in stream.variable_of]
    for name, column in zip(owners or (WHOLE,), columns, strict=True):
        named.setdefault(name, []).append(column)
    return {
        name: np.array([_short(", ".join(map(str, words))) for words in zip(*parts, strict=True)], dtype=object)
        for name, parts in named.items()
    }


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _level(column: str, group: str) -> str:
    """The name of a level: that of its column, without the category's own."""
    return column.removeprefix(group).lstrip(" =_:.-") or column
