"""The record's ``examples``: single rows with what they were and what every method says of them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xai_mimo.comparison.regions import Regions
from xai_mimo.core.explanation import streams_of
from xai_mimo.core.levels import Levels
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array, Stream
from xai_mimo.core.words import are_words
from xai_mimo.record.arrays import coarsen, in_blocks, rounded
from xai_mimo.record.maps import Example

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
    units: Mapping[str, Sequence[str]],
    samples: Array,
    words: Mapping[str, Array],
    regions: Regions,
    levels: Levels,
) -> list[Example]:
    """The rows with the highest, the median and the lowest prediction of each head, with every method's values.

    Args:
        explanations: label of the method -> explanation.
        inputs: the explained rows, in the space of the comparison; {} where its players have values of several things.
        labels: ``{target: (sample, ...)}``, of the targets that have some.
        head_of: name of the target -> head.
        units: name of the target -> name of the unit that is explained in each row.
        samples: number of each row in the user's data.
        words: ``{stream: (sample, token)}`` where tokens have words.
        regions: what is marked as known to matter in the explained rows, by head or target; the target's own wins.
        levels: of categories.
    """
    first = next(iter(explanations.values()))
    streams = {s.name: s for s in streams_of(first)}
    shown = [name for name in inputs or streams if name in first]
    per_stream = 1 + len(explanations) + bool(regions)
    arrays = len(head_of) * _ROWS_PER_HEAD * per_stream * max(1, len(shown))
    most = min(MOST_VALUES_OF_A_STREAM, MOST_VALUES // arrays)
    rows = []
    for h, head in enumerate(str(n) for n in first["head"].values):
        prediction = first["prediction"].transpose("head", "sample").values[h]
        order = np.argsort(prediction, kind="stable")
        marked = regions.get(head, regions.get(head_of[head], {}))
        for i in dict.fromkeys(int(order[p]) for p in (-1, len(order) // 2, 0)):
            label = labels.get(head)
            parts = {
                name: _Part.of(
                    streams[name],
                    None if not inputs or are_words(inputs[name]) else inputs[name][i],
                    {method: _at(e[name], h, i) for method, e in explanations.items()},
                    marked[name][i] if name in marked else None,
                    most,
                )
                for name in shown
            }
            rows.append(
                Example(
                    row=int(samples[i]),
                    head=head,
                    unit=units[head][i],
                    prediction=float(prediction[i]),
                    label=None if label is None else _plain_label(label[i]),
                    inputs={name: p.inputs for name, p in parts.items() if p.inputs is not None},
                    values={m: {n: p.values[m] for n, p in parts.items() if m in p.values} for m in explanations},
                    words={name: tuple(str(word) for word in words[name][i]) for name in shown if name in words},
                    region={name: p.region for name, p in parts.items() if p.region is not None},
                    levels=_levels_of_row(levels, i),
                    note="; ".join(p.note for p in parts.values() if p.note),
                )
            )
    return rows


def _levels_of_row(levels: Levels, row: int) -> dict[str, dict[str, str]] | None:
    """The categories of which the row has a level; None where there are none."""
    of_row = {s: {g: str(names[row]) for g, names in groups.items() if names[row]} for s, groups in levels.items()}
    return {stream: groups for stream, groups in of_row.items() if groups} or None


class _Part(NamedTuple):
    """One stream of an example as the record holds it.

    Attributes:
        inputs: nested list, an image in blocks where it is large; None where it is too large all the same, or words.
        values: maps by method, likewise, without those that are too large.
        region: the share of each position that is marked, with axes of length 1 where one mark holds for all.
        note: what was made coarser or left out.
    """

    inputs: Any
    values: dict[str, Any]
    region: Any
    note: str

    @staticmethod
    def of(stream: Stream, values: Array | None, maps: Mapping[str, Array], mask: Array | None, most: int) -> "_Part":
        if values is None:
            return _Part(None, {method: rounded(m) for method, m in maps.items() if m.size <= most}, None, "")
        averaged, side = coarsen(values, stream.axes, most, "mean")
        summed = {method: coarsen(attributions, stream.axes, most, "sum")[0] for method, attributions in maps.items()}
        fits = averaged.size <= most
        region = None
        if mask is not None and fits:
            region = rounded(in_blocks(mask, stream.axes, side, "mean") if side > 1 else mask)
        return _Part(
            rounded(averaged) if fits else None,
            {method: rounded(blocks) for method, blocks in summed.items() if blocks.size <= most},
            region,
            _size_note(stream, values.shape, side, fits=fits),
        )


def _size_note(stream: Stream, shape: Sequence[int], side: int, *, fits: bool) -> str:
    if not fits:
        return f"stream '{stream.name}' ({' x '.join(map(str, shape))} values) is too large to be shown row by row"
    if side > 1:
        return (
            f"stream '{stream.name}' is shown in blocks of {side} x {side} pixels: attributions are summed, the input "
            "is averaged"
        )
    return ""


def _plain_label(label: Any) -> Any:
    """A label as JSON holds it; None where it is missing."""
    array = np.asarray(label)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return None
    return array.tolist()


def _at(variable: xr.DataArray, head: int, sample: int) -> Array:
    return np.asarray(variable.isel(head=head, sample=sample).values, dtype=np.float64)
