"""Levels of categories: what an example shows in place of a row of zeros and ones."""

from collections.abc import Sequence

import numpy as np

from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array, Stream

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
    levels: Levels = {}
    for stream in (s for s in streams if len(s.shape) == 1 and s.groups):
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


def _level(column: str, group: str) -> str:
    """The name of a level: that of its column, without the category's own."""
    return column.removeprefix(group).lstrip(" =_:.-") or column
