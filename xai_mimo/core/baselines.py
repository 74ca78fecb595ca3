"""Baselines: the inputs that attributions are measured from."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from xai_mimo.core.door import check_inputs, count_rows
from xai_mimo.core.errors import BadSetting, XaiMimoError
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array, Stream
from xai_mimo.core.tables import column_labels, read_array
from xai_mimo.core.words import are_words

Baseline = Literal["zero", "mean", "background"] | Mapping[str, Any] | Sequence[Any]


def resolve_baseline(baseline: Baseline, streams: Sequence[Stream], background: Arrays) -> Arrays:
    """Turn a baseline setting into rows.

    Args:
        baseline: "zero"; "mean" of the background rows; "background", every background row (attributions are
            averaged over them); or values per stream: one row ``stream.shape``, or a set ``(row, *stream.shape)``.
            Words have no zero: where some streams hold words these are those of every background row, beside zeros in
            the other streams. They have no mean either.
        streams: the model's streams.
        background: ``{stream: (row, *shape)}``.
    Returns:
        ``{stream: (baseline, *shape)}``, at least one baseline.
    Raises:
        BadSetting: an unknown word, or the mean of words. ShapeMismatch, UnknownName, BadValues: values that do not
            fit the streams.
    """
    if isinstance(baseline, str):
        if baseline == "zero":
            with_words = any(are_words(rows) for rows in background.values())
            return {name: _zero(rows if with_words else rows[:1]) for name, rows in background.items()}
        if baseline == "mean":
            return mean_row(background)
        if baseline == "background":
            return dict(background)
        raise BadSetting(f"baseline {baseline!r} is not one of zero, mean, background, or values per stream.")
    if column_labels(baseline) is not None and len(streams) > 1:
        return _checked(baseline, streams, "baseline")
    if isinstance(baseline, Mapping):
        by_name = {s.name: s for s in streams}
        rows = {name: _as_rows(v, by_name[name]) if name in by_name else v for name, v in baseline.items()}
        return _checked(rows, streams, "baseline")
    if not isinstance(baseline, list | tuple) and len(streams) == 1:
        return resolve_baseline({streams[0].name: baseline}, streams, background)
    if isinstance(baseline, list | tuple) and len(baseline) == len(streams):
        return resolve_baseline({s.name: v for s, v in zip(streams, baseline, strict=True)}, streams, background)
    raise BadSetting(
        f"a baseline needs one row per stream ({', '.join(s.name for s in streams)}); got {type(baseline).__name__}."
    )


def _zero(rows: Array) -> Array:
    """Zeros of a form; words as they are, and beside them the numbers of their table too."""
    return rows if are_words(rows) else np.zeros_like(rows)


def _as_rows(values: Any, stream: Stream) -> Any:
    """A baseline of one stream with its row axis; tables keep their column names."""
    if hasattr(values, "to_frame") and getattr(values, "ndim", 0) == 1 and len(stream.shape) == 1:
        # A series over features, such as a frame's mean, has their names in its index.
        values = values.to_frame().T
    if column_labels(values) is not None:
        return values
    array = read_array(values, f"the baseline of input stream '{stream.name}'")
    return array[None] if array.ndim == len(stream.shape) else array


def check_background(background: Any, streams: Sequence[Stream]) -> Arrays:
    """A user's background rows, checked as inputs are; errors say that they are of the background."""
    return _checked(background, streams, "background")


def _checked(rows: Any, streams: Sequence[Stream], what: str) -> Arrays:
    try:
        return check_inputs(rows, streams)
    except XaiMimoError as err:
        raise type(err)(f"in the {what}, {err}") from err


def mean_row(rows: Arrays) -> Arrays:
    """The mean over rows, as near as the rows' own dtypes come to it: ``{stream: (1, *shape)}``.

    Means are taken in float64. Of whole numbers it is the nearest whole number, which may be no value of them: of ids
    it means nothing. Of truth values it is what more than half of the rows have.

    Raises:
        BadSetting: a stream holds words.
    """
    for name, rows_of_stream in rows.items():
        if are_words(rows_of_stream):
            raise BadSetting(
                f"input stream '{name}' holds words, which have no mean. Average over rows of them: "
                "baseline='background'; or give values per stream."
            )
    means = {name: x.mean(axis=0, keepdims=True, dtype=np.float64) for name, x in rows.items()}
    return {
        name: (np.rint(mean) if rows[name].dtype.kind in "biu" else mean).astype(rows[name].dtype)
        for name, mean in means.items()
    }


def choose_background(inputs: Arrays, rows: int, rng: np.random.Generator) -> Arrays:
    """Up to ``rows`` different rows of the inputs, drawn without replacement."""
    total = count_rows(inputs)
    if total <= rows:
        return dict(inputs)
    index = np.sort(rng.choice(total, size=rows, replace=False))
    return {name: x[index] for name, x in inputs.items()}
