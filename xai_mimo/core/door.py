"""The one door through which data comes in: rows as people have them become arrays that all behind the door trusts."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xai_mimo.core.batches import Batches, begun, check_unlabelled, fitting, joined, of_batch
from xai_mimo.core.errors import BadValues, EmptyData, ShapeMismatch, UnknownName, XaiMimoError
from xai_mimo.core.forms import along_axes, by_stream, check_columns
from xai_mimo.core.precision import warn_of_lost_digits
from xai_mimo.core.streams import Array, Stream, name_values
from xai_mimo.core.tables import (
    check_row_order,
    column_labels,
    column_names,
    is_loader,
    read_array,
    read_table,
    with_row_labels,
)
from xai_mimo.core.words import read_words


def check_inputs(inputs: Any, streams: Sequence[Stream]) -> dict[str, Array]:
    """Check data once, at the door; everything behind it trusts its arrays.

    Args:
        inputs: a mapping, a list or tuple in declared order, one array (or list of rows) for one stream, one data frame
            with the features of several, or rows that are mappings; or a loader, which gives such batches one after
            the other. Arrays, tensors, data frames or anything ``numpy.asarray`` takes, each
            ``(sample, *stream.shape)``. A data frame's columns are put in the order of the stream's feature names, and
            axes that have names (xarray) in that of its axes.
        streams: what the model expects.
    Returns:
        ``{stream name: array of the stream's dtype}`` in declared order, of objects where a stream holds words; not
        copied where nothing had to change.
    Raises:
        UnknownName, ShapeMismatch, EmptyData, BadValues, such as two frames of the same rows in different orders.
        DuplicateName: two columns of one name.
    Warns:
        PrecisionWarning: the stream's dtype cannot tell values apart that the data tells apart.
    """
    _refuse_path(inputs, "the rows")
    if isinstance(inputs, Batches):  # an adapter looks at what it is to read
        inputs = inputs.alone()
    if is_loader(inputs):
        batches = begun(inputs)
        checked = (check_batch(batch, streams, number, batches.kind) for number, batch in enumerate(batches, 1))
        return joined(list(fitting(checked, batches.kind)))
    named = name_values(by_stream(inputs, streams), [s.name for s in streams], "input stream")
    for stream in streams:
        if not (stream.holds_words and isinstance(named[stream.name], str)):  # else a word, without its batch axis
            _refuse_path(named[stream.name], f"the rows of input stream '{stream.name}'")
    check_row_order(with_row_labels(named, "input stream"))
    arrays = {s.name: _check_array(named[s.name], s) for s in streams}
    rows = {name: len(x) for name, x in arrays.items()}
    if len(set(rows.values())) > 1:
        raise ShapeMismatch(f"all input streams need the same number of rows; got {rows}.")
    if not next(iter(rows.values()), 0):
        raise EmptyData("there are no rows: every input stream is empty. Give at least one row.")
    return arrays


def _refuse_path(values: Any, place: str) -> None:
    if isinstance(values, str | os.PathLike):
        raise BadValues(
            f"a path is no data: got {os.fspath(values)!r} in the place of {place}. Read it first, e.g. with "
            "numpy.load or pandas.read_csv, and give what each input stream shall hold."
        )


def count_rows(arrays: Mapping[str, Array]) -> int:
    """Number of rows of checked data, ``{stream or head: (row, *shape)}``: all arrays have as many."""
    return len(next(iter(arrays.values())))


def check_finite(array: Array, what: str) -> None:
    """Raise ``BadValues`` where an array holds NaN or infinity; says how many and where."""
    finite = np.isfinite(array)
    if not finite.all():
        first = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise BadValues(
            f"{what} holds {int((~finite).sum())} values that are NaN or infinite, the first at index {first}. "
            "Impute or drop those rows before explaining."
        )


def check_batch(batch: Any, streams: Sequence[Stream], number: int, kind: str) -> dict[str, Array]:
    """One batch of a loader, checked as other rows are; errors say which it is.

    Args:
        batch: as the loader gives it. streams: what the model expects.
        number: of the batch, from 1. kind: of the loader, in words.
    """
    check_unlabelled(batch, streams, kind)
    try:
        return check_inputs(batch, streams)
    except XaiMimoError as err:
        raise of_batch(err, number, kind) from err


def _check_array(values: Any, stream: Stream) -> Array:
    what = f"input stream '{stream.name}'"
    expected = f"(batch, {', '.join('any' if n is None else str(n) for n in stream.shape)})"
    labels, values = column_labels(values), along_axes(values, stream)
    try:
        ordered = None if labels is None else _ordered(labels, stream)
        if stream.holds_words:
            array = read_words(values, ordered, what, beside_numbers=stream.dtype == "object")
        else:
            array = read_array(values, what) if ordered is None else read_table(values, ordered, what)
    except ShapeMismatch as err:
        raise ShapeMismatch(f"{err} It wants {expected}.") from err
    if array.ndim != len(stream.shape) + 1:
        is_column = stream.shape == (1,) and array.ndim == 1
        hint = " If these are rows of one feature, add its axis: x[:, None]." if is_column else ""
        if array.ndim == len(stream.shape) and not is_column:
            hint = " If this is a single row, add the batch axis: x[None]."
        raise ShapeMismatch(f"{what} wants {expected}; got {array.shape}.{hint}")
    for got, want in zip(array.shape[1:], stream.shape, strict=True):
        if want is not None and got != want:
            raise ShapeMismatch(f"{what} wants {expected}; got {array.shape}.")
    if array.dtype.kind == "f" or str(array.dtype) == "bfloat16":
        check_finite(array, what)
    # Some frameworks cannot read an array backwards.
    return _cast(array.copy() if any(step < 0 for step in array.strides) else array, stream, what)


def _ordered(labels: Sequence[Any], stream: Stream) -> list[Any]:
    """A table's column labels in the order of the stream's features; as they are where the features have no names."""
    names = column_names(labels, f"stream '{stream.name}'")
    if set(names) != set(stream.features) and not stream.has_own_names:
        are_whole = all(isinstance(label, int | np.integer) for label in labels)
        if are_whole and list(labels) != sorted(labels):
            raise UnknownName(
                f"the data frame for stream '{stream.name}' has the columns {', '.join(names[:8])}: whole numbers in "
                "no order, for features that have no names. Name the features of the model, or give the columns in "
                "their order as an array: x.to_numpy()."
            )
        return list(labels)
    check_columns(names, stream.features, f"stream '{stream.name}'", stream.ignored)
    return [labels[names.index(feature)] for feature in stream.features]


def _cast(array: Array, stream: Stream, what: str) -> Array:
    dtype = np.dtype(stream.dtype)
    if array.dtype == dtype or stream.holds_words:
        return array
    if dtype.kind == "b" and ((array != 0) & (array != 1)).any():
        value = array[(array != 0) & (array != 1)].flat[0]
        raise BadValues(f"{what} holds truth values; got {value.item()!r}, which is neither 0 nor 1.")
    if stream.is_integer and array.dtype.kind == "f" and (array != np.round(array)).any():
        raise BadValues(f"{what} is an integer stream ({stream.dtype}); got fractions of dtype {array.dtype}.")
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(dtype)
    if stream.is_integer and (cast != array).any():
        raise BadValues(f"{what} has values that do not fit into {stream.dtype}.")
    if dtype.kind == "f" and not np.isfinite(cast).all():
        raise BadValues(f"{what} has values too large for the model's dtype {stream.dtype}; rescale them.")
    if dtype.kind == "f" and array.dtype.itemsize > 2:
        warn_of_lost_digits(array, cast, stream.features, what)
    return cast
