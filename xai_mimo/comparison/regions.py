"""Truth as regions: which positions of a stream matter in each row, as a user marks them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xai_mimo.comparison.truth import check_truth
from xai_mimo.core.errors import BadSetting, BadValues, ShapeMismatch
from xai_mimo.core.positions import position_axes
from xai_mimo.core.streams import Array, Stream, unknown
from xai_mimo.core.tables import read_array

Regions = dict[str, dict[str, Array]]
"""``{head: {stream: (sample, *shape)}}``: booleans, with axes of length 1 where one mark holds for all values; a group
of features has one place on the last axis."""


def split_truth(
    truth: Mapping[str, Any] | None, heads: Sequence[str], streams: Sequence[Stream], rows: int
) -> tuple[dict[str, Any] | None, Regions]:
    """Tell the heads whose truth is regions from those whose truth is named features.

    A region is an array of booleans for all rows, ``(sample, *positions)`` over the axes of the stream that are
    positions (time, height, width, token, step) or ``(sample, *shape)`` over all its values. Beside it, a head's other
    streams may be named with their true features, which then are true in every row.

    Args:
        truth: as the user wrote it. heads: names of heads and targets. streams: the model's. rows: of the data.
    Returns:
        The rest of the truth, None where there is none; and the regions.
    Raises:
        UnknownName, ShapeMismatch, BadValues, BadSetting: as ``check_truth``, and regions that do not fit.
    """
    if truth is None:
        return None, {}
    if not isinstance(truth, Mapping):
        raise BadSetting(
            f"truth is a mapping {{head: {{stream: [feature, ...]}}}} or {{head: [stream, ...]}}; got {truth!r}."
        )
    by_name = {s.name: s for s in streams}
    regions: Regions = {}
    for head, parts in truth.items():
        if not isinstance(parts, Mapping) or not any(_is_region(value) for value in parts.values()):
            continue
        if head not in heads:
            raise unknown(head, heads, "head")
        marked = {}
        for name, value in parts.items():
            if name not in by_name:
                raise unknown(name, by_name, "input stream")
            stream = by_name[name]
            marked[name] = _region(value, stream, rows) if _is_region(value) else _features(value, stream, head, rows)
        regions[head] = marked
    rest = {head: parts for head, parts in truth.items() if head not in regions}
    return (rest if rest or not regions else None), regions


def rows_of_regions(regions: Regions, picked: Array) -> Regions:
    """The regions of the explained rows."""
    return {head: {name: mask[picked] for name, mask in streams.items()} for head, streams in regions.items()}


def _is_region(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim > 1


def _region(value: Array, stream: Stream, rows: int) -> Array:
    value = read_array(value, f"the region of stream '{stream.name}'")
    positions = position_axes(stream) or list(range(len(stream.shape)))
    if value.ndim == 1 + len(stream.shape):
        positions = list(range(len(stream.shape)))
    lengths = tuple(stream.shape[i] for i in positions)
    fits = value.ndim == 1 + len(positions) and all(
        n in (None, got) for n, got in zip(lengths, value.shape[1:], strict=True)
    )
    if not fits or len(value) != rows:
        shape = ", ".join("any" if n is None else str(n) for n in lengths)
        raise ShapeMismatch(
            f"the region of stream '{stream.name}' wants one boolean for each position of each row, ({rows}, {shape}); "
            f"got {value.shape}."
        )
    if value.dtype != np.bool_:
        raise BadValues(f"the region of stream '{stream.name}' must hold booleans; got dtype {value.dtype}.")
    axes = [1 + i for i in range(len(stream.shape)) if i not in positions]
    return _by_variable(np.expand_dims(value, axes), stream)


def _by_variable(mask: Array, stream: Stream) -> Array:
    """A mask in which a group of features is marked where one of them is."""
    if not stream.groups or mask.shape[-1] == 1:
        return mask
    of = np.array(stream.variable_of)
    return np.stack([mask[..., of == i].any(axis=-1) for i in range(len(stream.variables))], axis=-1)


def _features(value: Any, stream: Stream, head: str, rows: int) -> Array:
    if not stream.shape or stream.shape[-1] is None:
        raise BadSetting(f"stream '{stream.name}' has no named features; mark its region instead.")
    named = check_truth({head: {stream.name: value}}, [head], [stream])[head].get(stream.name, ())
    mask = np.isin(stream.variables, named)
    return np.broadcast_to(mask, (rows, *(1,) * (len(stream.shape) - 1), len(mask)))


def region_rows(regions: Regions) -> dict[str, dict[str, float]] | None:
    """The record's ``regions``: the mean area of each, ``{head: {stream: share}}``."""
    return {head: {n: float(m.mean()) for n, m in streams.items()} for head, streams in regions.items()} or None
