"""What the data tells of a model's inputs: names, shapes and dtypes of the streams, for models that do not say."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from xai_mimo.core.batches import Batches
from xai_mimo.core.errors import BadValues, EmptyData, NotSupported, ShapeMismatch
from xai_mimo.core.forms import axes_of, features_of, names_its_axes
from xai_mimo.core.streams import RESERVED, Array, Stream, check_unique
from xai_mimo.core.tables import column_labels, column_names, is_loader, read_array, read_table


def first_rows(data: Any, count: int = 4) -> Any:
    """The first rows of data, in the form that it has.

    Args:
        data: as ``explain`` takes it: a mapping, a list or tuple of one thing per stream, an array, tensor or data
            frame; or a loader, of which it is the first batch.
        count: at most so many.
    Raises:
        NotSupported: it can be read once alone, such as a generator. EmptyData: a loader that gives nothing.
    """
    if isinstance(data, Mapping):
        return {name: _few(values, count) for name, values in data.items()}
    if isinstance(data, Batches):
        return first_rows(data.alone(), count)
    if is_loader(data):
        return first_rows(_first_batch(data), count)
    if isinstance(data, list | tuple) and data and all(isinstance(row, Mapping) for row in data):
        return {name: [row.get(name) for row in data[:count]] for name in data[0]}
    if isinstance(data, list | tuple) and is_one_per_stream(data):
        return [_few(values, count) for values in data]
    return _few(data, count)


def _first_batch(loader: Iterable[Any]) -> Any:
    batches = iter(loader)
    if batches is loader:
        raise NotSupported(
            f"a {type(loader).__name__} can be read once, so the model's inputs cannot be read off its first batch. "
            "Name them, xai_mimo.adapt(model, streams={'sensors': (12,)}), or give a loader that starts anew each time."
        )
    try:
        return next(batches)
    except StopIteration:
        raise EmptyData(f"there are no rows: the {type(loader).__name__} gave no batch.") from None


def is_one_per_stream(values: Sequence[Any]) -> bool:
    """Whether a list holds one array, tensor or data frame for each stream, and not rows of numbers."""
    return bool(values) and all(hasattr(v, "shape") or hasattr(v, "__array__") or hasattr(v, "columns") for v in values)


def _few(values: Any, count: int) -> Any:
    if isinstance(values, str | bytes) or values is None:
        return values
    if hasattr(values, "iloc"):
        return values.iloc[:count]
    if column_labels(values) is not None and callable(getattr(values, "head", None)):
        return values.head(count)
    if column_labels(values) is not None and callable(getattr(values, "slice", None)):
        return values.slice(0, count)
    if names_its_axes(values):
        return values.isel({axes_of(values)[0]: slice(count)}) if values.dims else values
    try:
        return values[:count]
    except (TypeError, KeyError, IndexError, ValueError):  # nothing that has rows: the door will say so
        return values


def streams_from(data: Any, *, parameters: Sequence[str] = (), float_dtype: str | None = None) -> tuple[Stream, ...]:
    """Streams as the data describes them.

    A mapping's keys are their names. A list's values go by the names of the model's parameters, else they are called
    ``input_0``, ``input_1``, ...; a thing alone is called like the one parameter there is, else ``input``. A parameter
    with a name that results use themselves gets ``_in`` behind it. Columns of data frames become feature names.

    Args:
        data: as ``first_rows`` takes it; its first rows are read.
        parameters: of the model's call, in order.
        float_dtype: of all floats, such as that of the model's weights; None for those of the data.
    Raises:
        BadValues, ShapeMismatch, DuplicateName: no rows of numbers, or names that results cannot use.

    Example:
        >>> [(s.name, s.shape) for s in streams_from({"table": [[1.0, 2.0]], "age": [3]})]
        [('table', (2,)), ('age', ())]
    """
    rows = first_rows(data)
    streams = tuple(_stream(name, values, float_dtype) for name, values in _named(rows, parameters).items())
    check_unique([s.name for s in streams], "input stream")
    return streams


def _named(rows: Any, parameters: Sequence[str]) -> dict[str, Any]:
    """Rows by the names of their streams."""
    if isinstance(rows, Mapping):
        for name in rows:
            if not isinstance(name, str):
                raise BadValues(f"a mapping of input streams has names as keys; got {name!r}.")
        if not rows:
            raise EmptyData("there are no rows: the mapping of input streams is empty.")
        return dict(rows)
    if isinstance(rows, list | tuple) and is_one_per_stream(rows):
        given = list(parameters[: len(rows)]) if len(parameters) >= len(rows) else []
        names = [_usable(name) for name in given] or [f"input_{i}" for i in range(len(rows))]
        return dict(zip(names, rows, strict=True))
    return {_usable(parameters[0]) if len(parameters) == 1 else "input": rows}


def _usable(name: str) -> str:
    return f"{name}_in" if name in RESERVED else name


def _stream(name: str, values: Any, float_dtype: str | None) -> Stream:
    what, labels = f"input stream '{name}'", column_labels(values)
    if names_its_axes(values):
        return _of_named_axes(name, values, float_dtype)
    array = read_array(values, what) if labels is None else read_table(values, labels, what)
    if array.ndim == 0:
        raise ShapeMismatch(f"{what} is one number; expected an array with one row per sample.")
    stream = Stream(name, array.shape[1:], _dtype(array, float_dtype))
    return stream if labels is None else dataclasses.replace(stream, features=tuple(column_names(labels, what)))


def _of_named_axes(name: str, values: Any, float_dtype: str | None) -> Stream:
    rows, *axes = axes_of(values) or ("",)
    if not rows:
        raise ShapeMismatch(f"input stream '{name}' is one number; expected an array with one row per sample.")
    array = read_array(values.transpose(rows, *axes), f"input stream '{name}'")
    features = features_of(values, axes[-1]) if axes else ()
    return Stream(name, array.shape[1:], _dtype(array, float_dtype), tuple(axes), features)


def _dtype(array: Array, float_dtype: str | None) -> str:
    """Of a stream whose rows are such an array."""
    dtype = str(array.dtype)
    if array.dtype.kind != "f" and dtype != "bfloat16":
        return dtype
    return float_dtype or (dtype if dtype in ("float32", "float64") else "float32")
