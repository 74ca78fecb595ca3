"""Forms in which rows come as people have them: one thing for several streams, and arrays that name their own axes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xai_mimo.core.errors import DuplicateName, ShapeMismatch, UnknownName
from xai_mimo.core.streams import Stream, unknown
from xai_mimo.core.tables import column_labels, column_names

ROW_AXES = ("sample", "row", "batch", "index")
"""What the axis of rows may be called in an array that names its axes."""


def by_stream(inputs: Any, streams: Sequence[Stream]) -> Any:
    """One thing for each stream, where they came as one; everything else as it is.

    Split are a data frame, by the features of the streams; a list of rows, each a mapping with the streams' names; and
    a list of the rows of one stream.

    Raises:
        UnknownName: columns that are missing, or no stream's. DuplicateName: a column that several streams would have.
        ShapeMismatch: a stream whose features have no names.
    """
    if isinstance(inputs, list | tuple):
        return _of_rows(inputs, streams)
    labels = column_labels(inputs)
    return inputs if labels is None or len(streams) < 2 else _split(inputs, labels, streams)


def _of_rows(rows: Sequence[Any], streams: Sequence[Stream]) -> Any:
    names = {s.name for s in streams}
    if rows and all(isinstance(row, Mapping) and set(row) == names for row in rows):
        return {s.name: [row[s.name] for row in rows] for s in streams}
    if len(streams) == 1 and rows and _rank(rows[0]) == len(streams[0].shape):
        return {streams[0].name: rows}
    return rows


def _rank(value: Any) -> int:
    """Number of axes; -1 of what is no array."""
    try:
        return int(np.ndim(value))
    except (ValueError, TypeError, RuntimeError):
        return -1


def _split(table: Any, labels: Sequence[Any], streams: Sequence[Stream]) -> dict[str, Any]:
    names = column_names(labels, "all input streams")
    owners: dict[str, str] = {}
    for stream in streams:
        for feature in _columns_of(stream):
            if feature in owners:
                raise DuplicateName(
                    f"the input streams '{owners[feature]}' and '{stream.name}' both have a feature '{feature}', so "
                    "one data frame cannot be split among them. Give one for each stream: "
                    f"{{'{stream.name}': frame[[...]], ...}}."
                )
            owners[feature] = stream.name
    ignored = [name for stream in streams for name in stream.ignored]
    check_columns(names, list(owners), f"input streams {', '.join(s.name for s in streams)}", ignored)
    at = dict(zip(names, labels, strict=True))
    return {
        s.name: table[at[s.name]] if not s.shape else _columns(table, [at[f] for f in _columns_of(s)]) for s in streams
    }


def _columns_of(stream: Stream) -> tuple[str, ...]:
    """Names of the columns that are a stream's."""
    if len(stream.shape) == 1 and stream.has_own_names:
        return stream.features
    if stream.shape in ((), (1,)):
        return (stream.name,)
    raise ShapeMismatch(
        f"one data frame is split among input streams by the names of their features; those of '{stream.name}', of "
        f"shape {stream.shape}, have none. Expected a mapping or a list with one array per input stream: "
        f"{{'{stream.name}': ..., ...}}."
    )


def _columns(table: Any, labels: list[Any]) -> Any:
    return table.select(labels) if hasattr(table, "column_names") else table[labels]


def check_columns(names: Sequence[str], features: Sequence[str], what: str, ignored: Sequence[str] = ()) -> None:
    """Refuse columns of a data frame that are not these features, in whatever order; ``ignored`` ones may be there.

    Raises:
        UnknownName: the message lists those that are missing, and those that are none.
    """
    missing = [f for f in features if f not in names]
    extra = [n for n in names if n not in features and n not in ignored]
    also = f"columns that are not its features: {', '.join(extra)}."
    if missing:
        first = unknown(missing[0], names, f"column of the data frame for {what}")
        raise UnknownName(f"{first} It lacks {', '.join(missing)}" + (f", and has {also}" if extra else "."))
    if extra:
        raise UnknownName(f"the data frame for {what} has {also} Leave them out: frame.drop(columns={extra!r}).")


def names_its_axes(values: Any) -> bool:
    """Whether this is an array with named axes, such as an ``xarray.DataArray``."""
    return hasattr(values, "dims") and hasattr(values, "coords") and hasattr(values, "transpose")


def axes_of(values: Any) -> tuple[str, ...]:
    """Names of the axes of such an array, that of rows first: by its name (``ROW_AXES``), else as it is."""
    dims = [str(dim) for dim in values.dims]
    rows = next((name for name in ROW_AXES if name in dims), dims[0] if dims else "")
    return tuple(sorted(dims, key=lambda dim: dim != rows))


def features_of(values: Any, axis: str) -> tuple[str, ...]:
    """Names along an axis of such an array; none where it has numbers there, or nothing."""
    labels = values.coords[axis].values if axis in values.coords else np.empty(0)
    return tuple(str(label) for label in labels) if labels.dtype.kind in "OU" else ()


def along_axes(values: Any, stream: Stream) -> Any:
    """An array that names its axes with rows first, and the stream's axes and features in its order where they are all
    there; by place otherwise, and what names no axes as it is.

    Raises:
        UnknownName: features of another name than the stream's.
    """
    if not names_its_axes(values):
        return values
    rows, *rest = axes_of(values) or ("",)
    axes = stream.axes if set(stream.axes) == set(rest) else tuple(rest)
    ordered = values.transpose(rows, *axes) if rows else values
    features = features_of(ordered, axes[-1]) if axes else ()
    if features and stream.has_own_names and features != stream.features:
        check_columns(features, stream.features, f"stream '{stream.name}'")
        ordered = ordered.isel({axes[-1]: [features.index(name) for name in stream.features]})
    return ordered
