"""An explanation as a data frame with one value a row."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from xai_mimo.core.explanation import streams_of, validate
from xai_mimo.core.streams import Array

_LEAD = ("explainer", "head", "sample")
_COLUMNS = frozenset({*_LEAD, "unit", "stream", "feature", "attribution", "standard_error"})


def to_dataframe(explanation: xr.Dataset) -> pd.DataFrame:
    """An explanation in long form: one row for each value of each stream, and no value twice.

    ``explanation.to_dataframe()`` is xarray's own and pairs every value of a stream with every value of the others, so
    that sums over its rows are too large; sums over these are those of the explanation.

    Args:
        explanation: of ``explain``, or several joined.
    Returns:
        A table with the columns

        ==================  ==========================================================================================
        explainer           label of the method; of joined explanations alone
        head                name of the target
        unit                number of the head's unit that is explained in this row of the data
        sample              number of the row of the data
        stream              name of the input stream
        time, height, ...   place along each axis of a stream before its last, by the word of the axis; missing for
                            streams without it
        feature             name along the stream's last axis; missing where whole streams were the players
        attribution         the value, in the unit of the map
        standard_error      of the value, in the same unit; missing where a method has none, absent where none has
        ==================  ==========================================================================================

        Names are categories. Streams of which a method says nothing (attribute ``unexplained``) have no rows: zeros
        there were not measured.
    Raises:
        SchemaError: no explanation.

    Example:
        >>> frame = to_dataframe(explanation)  # doctest: +SKIP
        >>> frame.groupby(["head", "stream"], observed=True)["attribution"].sum()  # doctest: +SKIP
    """
    validate(explanation)
    streams = pd.Index([stream.name for stream in streams_of(explanation)])
    features = pd.Index(dict.fromkeys(tick for name in streams for tick in _features(explanation, name)))
    frames = [_of_stream(explanation, name, streams, features) for name in streams]
    frame = pd.concat(frames, ignore_index=True)
    for axis in _axes_of_some(frames):
        if pd.api.types.is_numeric_dtype(frame[axis]):
            frame[axis] = frame[axis].astype("Int64")
    first = [c for c in (*_LEAD[:2], "unit", "sample", "stream") if c in frame]
    last = [c for c in ("feature", "attribution", "standard_error") if c in frame]
    return frame[[*first, *(c for c in frame if c not in (*first, *last)), *last]]


def _axes_of_some(frames: Sequence[pd.DataFrame]) -> list[str]:
    """Columns of axes that some streams have and others lack."""
    axes = {str(column) for frame in frames for column in frame if column not in _COLUMNS}
    return [axis for axis in axes if any(axis not in frame for frame in frames)]


def _of_stream(explanation: xr.Dataset, name: str, streams: Any, features: Any) -> pd.DataFrame:
    """The rows of one stream; the names of all streams and features are indexes, made once."""
    variable = explanation.variables[name].transpose(*(d for d in _LEAD if d in explanation.dims), ...)

    def each(values: Any, *dims: Any) -> Array:
        """Values along some of the dimensions, one for each value of the stream."""
        some: Any = xr.Variable(dims, values)
        wide: Array = some.set_dims(variable.sizes).values.ravel()
        return wide

    labels = [d for d in ("explainer", "head") if d in variable.dims]
    columns: dict[str, Any] = {
        d: pd.Categorical.from_codes(
            each(np.arange(variable.sizes[d]), d), pd.Index(explanation.variables[d].values.tolist())
        )
        for d in labels
    }
    columns["unit"] = each(explanation.variables["unit"].transpose("head", "sample").values, "head", "sample")
    columns["sample"] = each(_ticks(explanation, "sample"), "sample")
    columns["stream"] = pd.Categorical.from_codes(each(streams.get_loc(name)), streams)
    places = [d for d in variable.dims if d not in _LEAD]
    for dim in places[:-1]:
        columns[_word(name, dim)] = each(_ticks(explanation, dim), dim)
    if places:
        codes = features.get_indexer(_features(explanation, name))
        columns["feature"] = pd.Categorical.from_codes(each(codes, places[-1]), features)
    columns["attribution"] = variable.values.ravel()
    if f"{name}_standard_error" in explanation.variables:
        errors = explanation.variables[f"{name}_standard_error"]
        columns["standard_error"] = errors.transpose(*variable.dims).values.ravel()
    return _without_unmeasured(pd.DataFrame(columns), name, explanation)


def _without_unmeasured(frame: pd.DataFrame, stream: str, explanation: xr.Dataset) -> pd.DataFrame:
    """The rows of methods that say something of the stream."""
    silent = [label for label, streams in _unexplained(explanation).items() if stream in streams]
    if not silent:
        return frame
    return frame[~frame["explainer"].isin(silent)] if "explainer" in frame else frame.iloc[:0]


def _features(explanation: xr.Dataset, name: str) -> list[str]:
    """Names along the last axis of a stream's values; none where the stream is one player."""
    rest = [d for d in explanation.variables[name].dims if d not in _LEAD]
    return [str(tick) for tick in _ticks(explanation, rest[-1])] if rest else []


def _ticks(explanation: xr.Dataset, dim: Any) -> Any:
    return explanation.variables[dim].values if dim in explanation.variables else np.arange(explanation.sizes[dim])


def _word(stream: str, dim: Any) -> str:
    """The word of an axis, or the name of its dimension where a column has that word."""
    word = str(dim).removeprefix(f"{stream}_")
    return str(dim) if word in _COLUMNS else word


def _unexplained(explanation: xr.Dataset) -> dict[str, list[str]]:
    """Streams of which a method says nothing, by its label; by "" where there is one method."""
    if "explainer" not in explanation.dims:
        return {"": json.loads(explanation.attrs.get("unexplained", "[]"))}
    methods = json.loads(explanation.attrs.get("methods", "{}"))
    return {label: json.loads(facts.get("unexplained", "[]")) for label, facts in methods.items()}
