"""The record's ``stream_maps``: means of attributions over streams whose values have positions (steps, pixels)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from xai_mimo.core.explanation import stream_names
from xai_mimo.core.positions import IMAGE, POSITIONS, is_image
from xai_mimo.core.streams import Array, Stream
from xai_mimo.record.arrays import coarsen, rounded
from xai_mimo.record.maps import StreamMap

MOST_VALUES = 400_000
"""Of all stream maps of a record together; images are made coarser to fit, other maps left out with a note."""


def stream_map_rows(
    explanations: Mapping[str, xr.Dataset],
    streams: Sequence[Stream],
    steps: Mapping[str, Sequence[str]],
) -> list[StreamMap]:
    """Mean and mean magnitude of each method's map, position by position; the channels of an image are summed.

    Args:
        explanations: label of the method -> explanation, in the space of the comparison.
        streams: those to make maps of.
        steps: labels along the time axis of a stream, used where there is one for each step.
    Returns:
        One row per method, head and stream. ``total`` is the mean over rows of the whole map's magnitude, all streams
        together, so that ``mean_abs / total`` is a share.
    """
    heads = next(iter(explanations.values()))["head"].size
    most = MOST_VALUES // max(1, 2 * len(explanations) * heads * len(streams))
    return [
        StreamMap(**labels, **_picture(values, stream, most, steps.get(stream.name, ())))
        for stream in streams
        for labels, values in _maps(explanations, stream)
    ]


def _maps(explanations: Mapping[str, xr.Dataset], stream: Stream) -> Iterator[tuple[dict[str, Any], Array]]:
    """The labels of every method and head, and its map of a stream, ``(sample, *axes)``."""
    for label, explanation in explanations.items():
        parts = [np.abs(_values(explanation, name)) for name in stream_names(explanation)]
        totals = np.sum([part.reshape(len(part), -1).sum(axis=1) / part.shape[1] for part in parts], axis=0)
        values = _values(explanation, stream.name)
        for h, head in enumerate(str(name) for name in explanation["head"].values):
            yield {"method": label, "head": head, "stream": stream.name, "total": float(totals[h])}, values[h]


def _values(explanation: xr.Dataset, name: str) -> Array:
    return explanation[name].transpose("head", "sample", ...).values.astype(np.float64)


def _picture(values: Array, stream: Stream, most: int, steps: Sequence[str]) -> dict[str, Any]:
    """What a ``StreamMap`` says of the values ``(sample, *axes)``."""
    axes = list(stream.axes)
    means = {"mean": values.mean(axis=0), "mean_abs": np.abs(values).mean(axis=0)}
    if is_image(axes):
        others = tuple(i for i, axis in enumerate(axes) if axis not in IMAGE)
        means = {name: mean.sum(axis=others) for name, mean in means.items()}
        axes = [axis for axis in axes if axis in IMAGE]
    side = 1
    for name, mean in means.items():
        means[name], side = coarsen(mean, axes, most, "sum")
    shape = means["mean"].shape
    if means["mean"].size > most:
        note = f"left out: {' x '.join(map(str, shape))} values are more than the {most} that a record has room for"
        return {"axes": axes, "coords": {}, "mean": None, "mean_abs": None, "note": note}
    ticks = {"time": list(steps)} | ({axes[-1]: list(stream.features)} if axes[-1] not in POSITIONS else {})
    coords = {axis: ticks[axis] for axis, size in zip(axes, shape, strict=True) if len(ticks.get(axis, ())) == size}
    note = f"summed over blocks of {side} x {side} pixels" if side > 1 else ""
    return {"axes": axes, "coords": coords, **{name: rounded(mean) for name, mean in means.items()}, "note": note}
