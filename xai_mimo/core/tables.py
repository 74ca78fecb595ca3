"""Arrays and tables as people have them, read as plain arrays of numbers.

Tensors of any framework, masked and sparse arrays, data frames of any kind: each gives the numbers that it holds, or is
refused in our words. Nothing is imported for it; a thing is known by what it offers.
"""

import contextlib
import numbers
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from xai_mimo.core.errors import BadValues, DuplicateName, ShapeMismatch

Array = np.ndarray[Any, Any]

_NUMBERS = "fiub"
_MISSING = ("NoneType", "NAType", "NaTType")
_ENCODE = (
    "Encode text and categories first: each category as a 0/1 column (pandas.get_dummies) or as its number, words as "
    "their ids."
)


def column_labels(values: Any) -> tuple[Any, ...] | None:
    """Labels of a table's columns as the table has them; None for what is no table.

    Tables are data frames of pandas, polars and others, Arrow tables, and NumPy arrays with named fields.
    """
    if isinstance(values, np.ndarray):
        return None if values.dtype.names is None else tuple(values.dtype.names)
    if hasattr(values, "column_names") and hasattr(values, "schema"):
        return tuple(values.column_names)
    # Columns last: a frame that is to be computed later would have to find them out.
    if any(hasattr(values, offer) for offer in ("to_numpy", "__array__", "compute")) and hasattr(values, "columns"):
        return tuple(values.columns)
    return None


def column_names(labels: Sequence[Any], what: str) -> list[str]:
    """The labels as words.

    Raises:
        DuplicateName: two columns of one name.
    """
    names = [str(label) for label in labels]
    for name in names:
        if names.count(name) > 1:
            raise DuplicateName(f"two columns of the data frame for {what} are called '{name}'; rename or drop one.")
    return names


def with_row_labels(values: Any, what: str) -> dict[str, Any]:
    """The row labels of data frames and series, by what these are in words; nothing of what has none.

    Args:
        values: a mapping or list of things, or one.
        what: each of them is, e.g. "input stream".
    """
    if isinstance(values, Mapping):
        each = {f"{what} '{name}'": value for name, value in values.items()}
    elif isinstance(values, list | tuple):
        each = {f"{what} {place}": value for place, value in enumerate(values) if hasattr(value, "index")}
    else:
        each = {what: values}
    return {words: value.index for words, value in each.items() if hasattr(getattr(value, "index", None), "equals")}


def check_row_order(labels: Mapping[str, Any]) -> None:
    """Refuse rows that have the same labels in different orders: rows go together by their place.

    Other labels are no contradiction, as of rows that were numbered anew.

    Args:
        labels: of the rows of things that belong together row by row, as ``with_row_labels`` gives them.
    Raises:
        BadValues: e.g. labels of a head that were sorted, and inputs that were not.
    """
    first = next(iter(labels), "")
    for what, index in labels.items():
        is_apart = len(index) == len(labels[first]) and not index.equals(labels[first])
        if is_apart and Counter(index) == Counter(labels[first]):
            raise BadValues(
                f"the rows of {what} have the same index as those of {first}, in another order; rows go together by "
                "their place, so each would be put beside another one. Bring them into one order, e.g. "
                "y = y.loc[x.index]; or give arrays, x.to_numpy(), if their places are right."
            )


def read_table(table: Any, labels: Sequence[Any], what: str) -> Array:
    """These columns of a table side by side, each read as the numbers that it holds: ``(row, column)``.

    Raises:
        BadValues: a column holds text, dates, or no value in some row.
    """
    columns = [_read_column(table[label], f"{what}, column '{label}'") for label in labels]
    if len({len(column) for column in columns}) > 1 or any(column.ndim != 1 for column in columns):
        raise ShapeMismatch(f"the columns of the data frame for {what} are not of one value per row each.")
    return np.stack(columns, axis=1) if columns else np.empty((0, 0))


def _read_column(column: Any, what: str) -> Array:
    array = _numbers(_unmasked(column, what), what)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        row = int(np.argmin(np.isfinite(array)))
        raise BadValues(
            f"{what} holds {int((~np.isfinite(array)).sum())} values that are missing, NaN or infinite, the first in "
            f"row {row}. Impute or drop those rows before explaining."
        )
    return array


def read_array(values: Any, what: str, *, takes_words: bool = False) -> Array:
    """What people hand over as one array, as a plain array of numbers.

    Args:
        values: an array, a tensor of any framework, a sparse matrix, lists of numbers, or a series.
        what: it is, for error texts.
        takes_words: text is no error, as in labels; it is returned as it is.
    Returns:
        Numbers or truth values in the dtype they have; not copied where nothing had to change.
    Raises:
        ShapeMismatch: not a regular array. BadValues: text, dates, objects, masked or missing values.
    """
    array = _unmasked(values, what)
    if takes_words and (array.dtype.kind in "UT" or _are_words(array)):
        return array
    return _numbers(array, what)


def _are_words(array: Array) -> bool:
    return array.dtype == object and array.size > 0 and all(isinstance(word, str) for word in array.ravel())


def _unmasked(values: Any, what: str) -> Array:
    """As NumPy holds it, which may be objects; what is masked or missing is refused, and tensors leave their graph."""
    if type(values) is np.ndarray:
        return values
    if hasattr(values, "__getitem__") and not (isinstance(values, Sequence | np.generic) or _is_array(values)):
        raise BadValues(_no_array(values, what))
    try:
        array = np.asarray(_detached(values, what))
    except (ValueError, TypeError, RuntimeError, NotImplementedError, AttributeError) as err:
        if isinstance(err, BadValues):
            raise
        raise ShapeMismatch(f"{what} is not a regular array ({_first_line(err)}).") from err
    return array


def _detached(values: Any, what: str) -> Any:
    """Values that ``numpy.asarray`` takes without losing anything."""
    if isinstance(values, np.ma.MaskedArray):
        return _without_mask(values, what)
    if isinstance(values, list | tuple):
        is_nested = any(not isinstance(v, numbers.Number | str | None) for v in values)
        return [_detached(v, what) for v in values] if is_nested else values
    if hasattr(values, "detach") and hasattr(values, "cpu"):
        return _of_tensor(values)
    if hasattr(values, "nnz") and hasattr(values, "toarray"):
        return values.toarray()
    if hasattr(values, "todense") and not hasattr(values, "__array__"):
        return values.todense()
    dtype = getattr(getattr(values, "dtype", None), "numpy_dtype", None)
    if dtype is not None and hasattr(values, "isna"):
        return _of_nullable(values, dtype, what)
    return values


def _without_mask(values: Any, what: str) -> Array:
    mask = np.ma.getmaskarray(values)
    if mask.dtype.names is not None:
        mask = np.array([any(row) for row in mask.ravel().tolist()]).reshape(mask.shape)
    if mask.any():
        first = tuple(int(i) for i in np.argwhere(mask)[0])
        raise BadValues(
            f"{what} is a masked array with {int(mask.sum())} masked values, the first at index {first}. Fill them "
            "(x.filled(...)) or drop those rows before explaining."
        )
    return np.asarray(values.data)


def _of_tensor(values: Any) -> Any:
    """A tensor of PyTorch that NumPy can read: on the CPU, out of its graph, dense, of a dtype that NumPy has."""
    tensor = values.detach().cpu()
    if "strided" not in str(getattr(tensor, "layout", "strided")):
        tensor = tensor.to_dense()
    if "bfloat16" in str(tensor.dtype):
        tensor = tensor.float()
    for step in ("resolve_conj", "resolve_neg"):
        tensor = getattr(tensor, step)()
    return tensor.numpy()


def _of_nullable(values: Any, dtype: Any, what: str) -> Array:
    """A series whose dtype has a value for "missing"."""
    missing = np.asarray(values.isna(), dtype=bool)
    if missing.any():
        raise BadValues(
            f"{what} holds {int(missing.sum())} missing values (NA), the first in row {int(np.argmax(missing))}. "
            "Impute or drop those rows before explaining."
        )
    plain: Array = values.to_numpy(dtype=dtype)
    return plain


def _numbers(array: Array, what: str) -> Array:
    if array.dtype.kind in _NUMBERS or str(array.dtype) == "bfloat16":
        return array
    if array.dtype == object:
        return _of_objects(array, what)
    expected = f"{what} has dtype {array.dtype}; expected numbers."
    if array.dtype.kind in "UST":
        word = array.ravel()[0] if array.size else ""
        raise BadValues(f"{what} holds text ({str(word)!r}); expected numbers. {_advice(word)}")
    if array.dtype.kind in "mM":
        raise BadValues(f"{expected} Give times as numbers, such as hours since a start.")
    if array.dtype.kind == "c":
        raise BadValues(f"{expected} Give real and imaginary parts as features of their own.")
    raise BadValues(expected)


def _of_objects(array: Array, what: str) -> Array:
    """Objects that are all numbers, as these numbers."""
    if array.ndim == 0:
        raise BadValues(_no_array(array.item(), what))
    flat = array.ravel()
    for i, value in enumerate(flat):
        if isinstance(value, numbers.Real | Decimal | np.bool_):
            continue
        index = tuple(int(k) for k in np.unravel_index(i, array.shape))
        where = f"in row {index[0]}" if array.ndim == 1 else f"at index {index}"
        if type(value).__name__ in _MISSING:
            raise BadValues(
                f"{what} holds a missing value ({value}), the first {where}. Impute or drop those rows before "
                "explaining."
            )
        if isinstance(value, str | bytes):
            raise BadValues(f"{what} holds text ({value!r} {where}); expected numbers. {_advice(value)}")
        raise BadValues(
            f"{what} holds a {type(value).__name__} {where}; expected a number in every place."
            + (" Stack the arrays: numpy.stack(...)." if hasattr(value, "__array__") else "")
        )
    with contextlib.suppress(OverflowError):
        plain = np.array([float(v) if isinstance(v, Decimal) else v for v in flat])
        if plain.dtype.kind not in _NUMBERS:
            plain = np.array([float(v) for v in flat])
        return plain.reshape(array.shape)
    raise BadValues(f"{what} holds a number that no float can hold.")


def _no_array(value: Any, what: str) -> str:
    kind = type(value).__name__
    if value is None:
        return f"{what} is None; expected an array of numbers."
    if isinstance(value, set | frozenset):
        return f"{what} is a {kind}, which has no order; expected an array of numbers. Give a list."
    ways = {
        "to_tensor": "Pad it: x.to_tensor().numpy().",
        "collect": "Collect it first: x.collect().",
        "keys": "Give the array under one of its names.",
        "__getitem__": "Give its rows as one array: numpy.stack([x[i] for i in range(len(x))]).",
        "__iter__": "Give its rows as one array: numpy.concatenate(list(x)).",
    }
    way = next((way for offer, way in ways.items() if hasattr(value, offer)), "Give its numbers as an array.")
    return f"{what} is a {kind}, which is no array of numbers. {way}"


def _advice(word: Any) -> str:
    with contextlib.suppress(ValueError):
        float(word)
        return "These are numbers written as text: convert them, e.g. x.astype(float)."
    return _ENCODE


def is_loader(values: Any) -> bool:
    """Whether this gives batches one after the other, as data loaders and generators do, and is no array itself."""
    if isinstance(values, str | bytes | set | frozenset) or not isinstance(values, Iterable):
        return False
    if hasattr(type(values), "num_batches"):  # its items are batches
        return True
    return not any(hasattr(values, offer) for offer in ("__getitem__", "__array__", "shape", "columns"))


def _is_array(values: Any) -> bool:
    """Whether NumPy reads this as an array, and not item by item."""
    offers = ("__array__", "__array_interface__", "__array_struct__", "__dlpack__", "__buffer__", "nnz", "detach")
    return any(hasattr(values, offer) for offer in offers)


def _first_line(err: BaseException) -> str:
    return (str(err).splitlines() or [type(err).__name__])[0]
