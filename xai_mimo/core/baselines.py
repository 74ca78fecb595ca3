"""Baselines: the inputs that attributions are measured from."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from xai_mimo.core.errors import BadSetting
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Stream, check_inputs, count_rows

Baseline = Literal["zero", "mean", "background"] | Mapping[str, Any] | Sequence[Any]


def resolve_baseline(baseline: Baseline, streams: Sequence[Stream], background: Arrays) -> Arrays:
    """Turn a baseline setting into rows.

    Args:
        baseline: "zero"; "mean" of the background rows; "background", every background row (attributions are
            averaged over them); or values per stream: one row ``stream.shape``, or a set ``(row, *stream.shape)``.
        streams: the model's streams.
        background: ``{stream: (row, *shape)}``.
    Returns:
        ``{stream: (baseline, *shape)}``, at least one baseline.
    Raises:
        BadSetting: an unknown word. ShapeMismatch, UnknownName, BadValues: values that do not fit the streams.
    """
    if isinstance(baseline, str):
        if baseline == "zero":
            return {name: np.zeros_like(rows[:1]) for name, rows in background.items()}
        if baseline == "mean":
            return mean_row(background)
        if baseline == "background":
            return dict(background)
        raise BadSetting(f"baseline {baseline!r} is not one of zero, mean, background, or values per stream.")
    if isinstance(baseline, Mapping):
        by_name = {s.name: s for s in streams}
        rows = {
            name: np.asarray(v)[None] if name in by_name and np.ndim(v) == len(by_name[name].shape) else np.asarray(v)
            for name, v in baseline.items()
        }
        return check_inputs(rows, streams)
    if not isinstance(baseline, list | tuple) and len(streams) == 1:
        return resolve_baseline({streams[0].name: baseline}, streams, background)
    if isinstance(baseline, list | tuple) and len(baseline) == len(streams):
        return resolve_baseline({s.name: v for s, v in zip(streams, baseline, strict=True)}, streams, background)
    raise BadSetting(
        f"a baseline needs one row per stream ({', '.join(s.name for s in streams)}); got {type(baseline).__name__}."
    )


def mean_row(rows: Arrays) -> Arrays:
    """The mean over rows, in the rows' own dtypes: ``{stream: (1, *shape)}``.

    Means are taken in float64. Of a stream of whole numbers the mean is cut off to a whole number, which may be no
    value of it: of ids it means nothing.
    """
    return {name: x.mean(axis=0, keepdims=True, dtype=np.float64).astype(x.dtype) for name, x in rows.items()}


def choose_background(inputs: Arrays, rows: int, rng: np.random.Generator) -> Arrays:
    """Up to ``rows`` different rows of the inputs, drawn without replacement."""
    total = count_rows(inputs)
    if total <= rows:
        return dict(inputs)
    index = np.sort(rng.choice(total, size=rows, replace=False))
    return {name: x[index] for name, x in inputs.items()}
