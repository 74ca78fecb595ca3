"""Columns that ``pandas.get_dummies`` made of categories, told back as groups of features."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from xai_mimo.core.errors import BadSetting, BadValues
from xai_mimo.core.streams import unknown


def groups_of_dummies(frame: Any, categories: Sequence[str], *, sep: str = "_") -> dict[str, tuple[str, ...]]:
    """The columns of each category, ``{category: (column, ...)}``, as ``Stream(groups=...)`` takes them.

    Args:
        frame: a data frame in which ``pandas.get_dummies(..., prefix_sep=sep)`` put ``<category><sep><level>`` in the
            place of each category.
        categories: their names.
    Raises:
        UnknownName: no column begins so. BadSetting: a column begins like two of the categories. BadValues: columns
            that say of a row that it has two levels, or hold something else than 0 and 1: another column begins so too.

    Example:
        >>> import pandas as pd
        >>> from xai_mimo import Stream, groups_of_dummies
        >>> hires = pd.get_dummies(pd.DataFrame({"day": ["Mon", "Tue"], "heat": [21.5, 19.0]}), dtype=float)
        >>> groups = groups_of_dummies(hires, ["day"])
        >>> Stream("hire", (3,), features=tuple(hires.columns), groups=groups).variables
        ('heat', 'day')
    """
    columns = [str(column) for column in frame.columns]
    groups: dict[str, tuple[str, ...]] = {}
    for category in categories:
        own = [i for i, column in enumerate(columns) if column.startswith(f"{category}{sep}")]
        if not own:
            raise unknown(f"{category}{sep}...", columns, "column")
        groups[category] = tuple(columns[i] for i in own)
        _check_one_level(np.asarray(frame.iloc[:, own]), category, groups[category])
    for column in columns:
        of = [category for category, names in groups.items() if column in names]
        if len(of) > 1:
            raise BadSetting(
                f"column '{column}' may be of the category '{of[0]}' or of '{of[1]}'; write the groups out, "
                "{category: [column, ...]}."
            )
    return groups


def _check_one_level(values: np.ndarray[Any, Any], category: str, columns: Sequence[str]) -> None:
    is_on = values.astype(np.float64) == 1
    wrong = ~(is_on | (values.astype(np.float64) == 0))
    if wrong.any():
        name = columns[int(np.argwhere(wrong)[0][1])]
        raise BadValues(
            f"column '{name}' holds other values than 0 and 1, so it is no level of the category '{category}'. Write "
            "the groups out, {category: [column, ...]}, or rename the column."
        )
    if (is_on.sum(axis=1) > 1).any():
        row = int(np.flatnonzero(is_on.sum(axis=1) > 1)[0])
        two = [columns[i] for i in np.flatnonzero(is_on[row])[:2]]
        raise BadValues(
            f"row {row} has two levels of the category '{category}', {two[0]} and {two[1]}: these columns are not all "
            "of it. Write the groups out, {category: [column, ...]}, or rename the other column."
        )
