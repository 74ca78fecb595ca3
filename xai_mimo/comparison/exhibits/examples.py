"""The record's ``examples``: single rows with what they were and what every method says of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from xai_mimo.comparison.regions import Regions
from xai_mimo.core.explanation import streams_of
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array, Stream
from xai_mimo.record.arrays import coarsen, in_blocks, plain

MOST_VALUES = 400_000
MOST_VALUES_OF_A_STREAM = 12_288
"""Limits of all examples together and of one stream of one row; images are made coarser to fit, other streams left out
with a note."""

_ROWS_PER_HEAD = 3


def example_rows(
    explanations: Mapping[str, xr.Dataset],
    inputs: Arrays,
    labels: Mapping[str, Array],
    head_of: Mapping[str, str],
    samples: Array,
    words: Mapping[str, Array],
    regions: Regions,
) -> list[dict[str, Any]]:
    """The rows with the highest, the median and the lowest prediction of each head, with every method's values.

    Args:
        explanations: label of the method -> explanation.
        inputs: the explained rows, in the space of the comparison.
        labels: ``{head: (sample, ...)}``.
        head_of: name of the target -> head.
        samples: number of each row in the user's data.
        words: ``{stream: (sample, token)}`` where tokens have words.
        regions: what is marked as known to matter in the explained rows, by head or target; the target's own wins.
    """
    first = next(iter(explanations.values()))
    streams = {s.name: s for s in streams_of(first)}
    shown = [name for name in inputs if name in first]
    per_stream = 1 + len(explanations) + bool(regions)
    parts = len(head_of) * _ROWS_PER_HEAD * per_stream * max(1, len(shown))
    most = min(MOST_VALUES_OF_A_STREAM, MOST_VALUES // parts)
    rows = []
    for h, head in enumerate(str(n) for n in first["head"].values):
        prediction = first["prediction"].transpose("head", "sample").values[h]
        order = np.argsort(prediction, kind="stable")
        marked = regions.get(head, regions.get(head_of[head], {}))
        for i in dict.fromkeys(int(order[p]) for p in (-1, len(order) // 2, 0)):
            label = labels.get(head_of[head])
            row: dict[str, Any] = {
                "row": int(samples[i]),
                "head": head,
                "prediction": float(prediction[i]),
                "label": None if label is None else _plain_label(label[i]),
                "inputs": {},
                "values": {method: {} for method in explanations},
                "region": {},
                "words": {name: [str(word) for word in words[name][i]] for name in shown if name in words},
                "note": "",
            }
            for name in shown:
                maps = {method: _at(e[name], h, i) for method, e in explanations.items()}
                side = _add_stream(row, streams[name], inputs[name][i], maps, most)
                if name in marked and name in row["inputs"]:
                    row["region"][name] = _region(marked[name][i], streams[name], side)
            rows.append(row)
    return rows


def _add_stream(row: dict[str, Any], stream: Stream, values: Array, maps: Mapping[str, Array], most: int) -> int:
    """Add one stream to an example, an image in blocks where it is large, or the note that it is too large.

    Returns:
        The side of a block in pixels.
    """
    given, side = coarsen(values, stream.axes, most, "mean")
    if given.size <= most:
        row["inputs"][stream.name] = plain(given)
    for method, found in maps.items():
        summed, _ = coarsen(found, stream.axes, most, "sum")
        if summed.size <= most:
            row["values"][method][stream.name] = plain(summed)
    note = ""
    if given.size > most:
        note = (
            f"stream '{stream.name}' ({' x '.join(map(str, values.shape))} values) is too large to be shown row by row"
        )
    elif side > 1:
        note = (
            f"stream '{stream.name}' is shown in blocks of {side} x {side} pixels: attributions are summed, the input "
            "is averaged"
        )
    row["note"] = "; ".join(filter(None, (row["note"], note)))
    return side


def _region(mask: Array, stream: Stream, side: int) -> Any:
    """The share of each place that is marked, with axes of length 1 where one mark holds for all."""
    return plain(in_blocks(mask, stream.axes, side, "mean") if side > 1 else mask)


def _plain_label(label: Any) -> Any:
    """A label as JSON holds it; None where it is missing."""
    array = np.asarray(label)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return None
    return array.tolist()


def _at(variable: xr.DataArray, head: int, sample: int) -> Array:
    return np.asarray(variable.isel(head=head, sample=sample).values, dtype=np.float64)
