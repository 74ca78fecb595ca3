"""Figures of single rows: an image under what each method says of it, a series as variable x time."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from xai_mimo.core.errors import SchemaError
from xai_mimo.core.positions import IMAGE, is_image
from xai_mimo.record.maps import Example
from xai_mimo.record.row import Nested
from xai_mimo.record.rows import Record
from xai_mimo.record.select import signed_labels, space_streams, unexplained_streams
from xai_mimo.reports.figures import heat
from xai_mimo.reports.figures.canvas import inked
from xai_mimo.reports.figures.heat import Heat, Side
from xai_mimo.reports.figures.streams import axis_sides, leading, two_axes

Array = np.ndarray[Any, Any]

_COLOURS_END_AT = 0.995
_BRIGHTEST, _DARKEST = 1.0, 0.5


def kinds_of_streams(record: Record, row: Example) -> dict[str, str]:
    """How each stream of an example is shown: "image", "series", "tokens" or "features"."""
    axes = {s.name: s.axes for s in space_streams(record)}
    kinds = {}
    for stream in dict.fromkeys(s for values in row.values.values() for s in values):
        mine = axes.get(stream, ())
        if stream in row.words:
            kinds[stream] = "tokens"
        elif is_image(mine):
            kinds[stream] = "image"
        else:
            kinds[stream] = "series" if len(mine) > 1 or "time" in mine else "features"
    return kinds


def shares_of_row(record: Record, row: Example) -> dict[str, dict[str, Array]]:
    """Each method's values in percent of the magnitude of its whole map in this row: ``{method: {stream: array}}``.

    Magnitudes where the method has no sign: the sign of a weighted feature says nothing of its effect. Streams that a
    method says nothing of are left out.
    """
    shares, signed, left_out = {}, signed_labels(record), unexplained_streams(record)
    for method, streams in row.values.items():
        arrays = {stream: np.asarray(values, dtype=np.float64) for stream, values in streams.items()}
        total = sum(float(np.abs(a).sum()) for a in arrays.values()) or 1.0
        shares[method] = {
            s: 100 * (a if method in signed else np.abs(a)) / total
            for s, a in arrays.items()
            if s not in left_out.get(method, ())
        }
    return shares


@inked
def example_map(record: Record, row: Example, stream: str) -> Figure | None:
    """What every method says of one stream of one row, in percent of the magnitude of its map.

    Images stand in grey (channels averaged) below colours whose strength is that of the attribution, channels summed;
    the first panel is the image alone. Colours end at the 99.5 % quantile of all panels, so that one pixel does not
    hide the others. What the row marks as known to matter is outlined.

    Args:
        record: the comparison record. row: of its ``examples``. stream: an image or a series of that row.
    """
    kind = kinds_of_streams(record, row).get(stream)
    shares = {method: values[stream] for method, values in shares_of_row(record, row).items() if stream in values}
    if kind not in ("image", "series") or not shares:
        return None
    described = next(s for s in space_streams(record) if s.name == stream)
    signed = signed_labels(record)
    word = "share of the row's magnitude (%)"
    if kind == "series":
        coords: dict[str, Sequence[str]] = {described.axes[-1]: described.features} | _steps(record, stream)
        sides = axis_sides(described.axes, coords)
        values = {method: two_axes(v, described.axes) for method, v in shares.items()}
        kept = leading(list(values.values()))
        region = region_of(row, stream, next(iter(shares.values())).shape)
        marked = None if region is None else two_axes(region, described.axes)[kept]
        panels = [Heat(method, v[kept], method in signed, region=marked) for method, v in values.items()]
        rows = Side(sides[0].word, [sides[0].labels[i] for i in kept] if sides[0].labels else [str(i) for i in kept])
        return heat.draw(panels, rows, sides[1], label=word, limit=heat.limit_of(panels))
    below = _grey(row.inputs.get(stream), described.axes)
    region = region_of(row, stream, next(iter(shares.values())).shape)
    marked = None if region is None else _of_pixels(region, described.axes, np.any)
    panels = [Heat(m, _of_pixels(v, described.axes, np.sum), m in signed, below, marked) for m, v in shares.items()]
    limit = heat.limit_of(panels, _COLOURS_END_AT)
    if below is not None:
        panels.insert(0, Heat("input", None, False, below, marked))
    across = 2 if len(panels) == 4 else min(3, len(panels))
    return heat.draw(panels, Side("height"), Side("width"), label=word, across=across, square=True, limit=limit)


def region_of(row: Example, stream: str, shape: Sequence[int]) -> Array | None:
    """Which values of one stream of a row are known to matter, at least in part; None where nothing is marked.

    Args:
        row: of the record's ``examples``. stream: of its values. shape: of these.
    """
    marks = row.region.get(stream)
    if marks is None or not np.any(marks):
        return None
    return np.broadcast_to(np.asarray(marks) > 0, tuple(shape))


def _steps(record: Record, stream: str) -> dict[str, Sequence[str]]:
    rows = [r for r in record.stream_maps if r.stream == stream and "time" in r.coords]
    return {"time": rows[0].coords["time"]} if rows else {}


def _of_pixels(values: Array, axes: Sequence[str], over: Callable[..., Array]) -> Array:
    """``(height, width)``, with all other axes summed or averaged."""
    if values.ndim != len(axes):
        raise SchemaError(f"an example holds a map of shape {values.shape} over the axes {', '.join(axes)}.")
    others = tuple(i for i, axis in enumerate(axes) if axis not in IMAGE)
    return two_axes(over(values, axis=others), [axis for axis in axes if axis in IMAGE])


def _grey(values: Nested | None, axes: Sequence[str]) -> Array | None:
    """The input as a light grey picture, from its smallest to its largest value."""
    if values is None:
        return None
    picture = _of_pixels(np.asarray(values, dtype=np.float64), axes, np.mean)
    low, high = float(picture.min()), float(picture.max())
    scaled = (picture - low) / (high - low) if high > low else np.ones_like(picture)
    return _DARKEST + (_BRIGHTEST - _DARKEST) * scaled
