"""Words as values of a stream: categories and whole texts, as arrays of Python objects.

Arrays of fixed width would cut a word short where it is put in the place of a shorter one; objects are kept whole.
"""

import math
import numbers
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from xai_mimo.core.errors import BadValues, ShapeMismatch

Array = np.ndarray[Any, Any]

_MISSING = ("NoneType", "NAType", "NaTType")


def read_words(values: Any, labels: Sequence[Any] | None, what: str, *, beside_numbers: bool) -> Array:
    """Words as an array of objects, each a ``str``; beside numbers also plain numbers.

    Args:
        values: an array, nested lists, a series, or a table.
        labels: of the table's columns, in order; None where it is no table.
        what: it is, for error texts.
        beside_numbers: whether numbers may stand where words may, as in a table with columns of both.
    Raises:
        BadValues: a value that is missing, or is neither. ShapeMismatch: columns of another number of rows.
    """
    if labels is None:
        return _checked(_objects(values), what, beside_numbers)
    columns = [_checked(_objects(values[la]), f"{what}, column '{la}'", beside_numbers) for la in labels]
    if len({len(column) for column in columns}) > 1 or any(column.ndim != 1 for column in columns):
        raise ShapeMismatch(f"the columns of the data frame for {what} are not of one value per row each.")
    return np.stack(columns, axis=1) if columns else np.empty((0, 0), dtype=object)


def of_columns(values: Array) -> Iterator[Array]:
    """Each column of an array of objects, ``(row, column)``: as float64 where it holds numbers alone."""
    for column in values.T:
        yield column if any(isinstance(v, str) for v in column) else column.astype(np.float64)


def are_words(rows: Array) -> bool:
    """Whether an array holds words, and perhaps numbers beside them."""
    return bool(rows.dtype == object)


def equal(a: Array, b: Array) -> bool:
    """Whether arrays that may hold words are alike in every value; numbers may differ by their rounding."""
    if are_words(a) or are_words(b):
        return bool(np.all(a == b))
    return bool(np.allclose(a, b))


def _objects(values: Any) -> Array:
    if isinstance(values, np.ndarray):
        return values.astype(object)
    for listed in ("to_list", "tolist", "to_pylist"):
        if callable(getattr(values, listed, None)):
            return np.array(getattr(values, listed)(), dtype=object)
    return np.array(values, dtype=object) if isinstance(values, list | tuple) else np.asarray(values, dtype=object)


def _checked(array: Array, what: str, beside_numbers: bool) -> Array:
    """The array where all its values are plain already, as behind the door; else a copy that is, or a refusal."""
    kinds = set(map(type, array.ravel()))
    if kinds <= {str} or (beside_numbers and kinds <= {str, int, bool}):
        return array
    plain = np.empty(array.shape, dtype=object)
    for index in np.ndindex(*array.shape):
        plain[index] = _plain(array[index], index, what, beside_numbers)
    return plain


def _plain(value: Any, index: tuple[int, ...], what: str, beside_numbers: bool) -> Any:
    if isinstance(value, str):
        return str(value)
    where = f"in row {index[0]}" if len(index) == 1 else f"at index {index}"
    is_number = isinstance(value, numbers.Real | np.bool_)
    if type(value).__name__ in _MISSING or (is_number and not math.isfinite(value)):
        raise BadValues(
            f"{what} holds a missing value ({value}), the first {where}. Impute or drop those rows before explaining."
        )
    if is_number and beside_numbers:
        return value.item() if isinstance(value, np.generic) else value
    if is_number:
        raise BadValues(
            f"{what} holds {value!r} {where}; expected a word in every place. Give numbers that name categories as "
            "text: x.astype(str)."
        )
    raise BadValues(f"{what} holds a {type(value).__name__} {where}; expected a word in every place.")
