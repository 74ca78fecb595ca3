"""Figures of the streams whose values have positions: variable x time, and images, method beside method."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from xai_mimo.core.positions import is_image
from xai_mimo.record.rows import Record
from xai_mimo.record.select import explained_rows, of_head, signed_labels, true_features, unique
from xai_mimo.reports.figures import heat
from xai_mimo.reports.figures.canvas import inked
from xai_mimo.reports.figures.heat import Heat, Side

Array = np.ndarray[Any, Any]

ROWS_SHOWN = 20


def streams_with_positions(record: Record, head: str) -> list[str]:
    """Streams that the record holds pictures of."""
    return unique(r.stream for r in of_head(record.stream_maps, head) if r.mean is not None)


@inked
def stream_map(record: Record, head: str, stream: str, *, signed: bool = False) -> Figure | None:
    """Where in a stream each method's map lies, in percent of the magnitude of the method's whole map.

    All methods have the same colours, so that equal colours are equal shares. Of series with more than 20 features
    those are shown that matter most to some method; a star marks those known to matter.

    Args:
        record: the comparison record. head: name of the target. stream: one of ``streams_with_positions``.
        signed: the mean with its sign, of signed methods alone, instead of the mean magnitude.
    """
    methods = signed_labels(record) if signed else [m.label for m in record.methods]
    rows = [
        r
        for r in explained_rows(record, record.stream_maps, head)
        if r.stream == stream and r.method in methods and r.mean is not None and r.total > 0
    ]
    if not rows:
        return None
    axes = rows[0].axes
    shares = [two_axes(np.asarray(r.mean if signed else r.mean_abs) * 100 / r.total, axes) for r in rows]
    word = "mean, share of the map's magnitude (%)" if signed else "share of the map's magnitude (%)"
    if is_image(axes):
        panels = [Heat(r.method, v, signed) for r, v in zip(rows, shares, strict=True)]
        across = min(3, len(panels)) if len(panels) != 4 else 2
        sides = Side("height"), Side("width")
        return heat.draw(panels, *sides, label=word, across=across, square=True, limit=heat.limit_of(panels))
    sides = axis_sides(rows[0].axes, rows[0].coords)
    kept = leading(shares)
    panels = [Heat(r.method, v[kept], signed) for r, v in zip(rows, shares, strict=True)]
    true = true_features(record, head).get(stream, ())
    names = [sides[0].labels[i] for i in kept] if sides[0].labels else [str(i) for i in kept]
    names = [f"★ {name}" if name in true else name for name in names]
    return heat.draw(panels, Side(sides[0].word, names), sides[1], label=word, limit=heat.limit_of(panels))


def leading(values: Sequence[Array], most: int = ROWS_SHOWN) -> list[int]:
    """Rows that matter most to some panel, in their order."""
    sums = [np.abs(v).sum(axis=1) for v in values]
    best = np.max([s / (s.sum() or 1.0) for s in sums], axis=0)
    return sorted(np.argsort(-best, kind="stable")[:most].tolist())


def axis_sides(axes: Sequence[str], coords: Mapping[str, Sequence[str]]) -> tuple[Side, Side]:
    """Rows and columns of a series laid out by ``two_axes``: names go down, positions go to the right."""
    sides = [Side(axis, coords.get(axis, ())) for axis in axes]
    if len(sides) == 1:
        return Side("", (" ",)), sides[0]
    return Side(sides[-1].word, sides[-1].labels), Side(
        sides[0].word if len(sides) == 2 else "position", sides[0].labels
    )


def two_axes(values: Array, axes: Sequence[str]) -> Array:
    """``(height, width)`` of images; else the last axis as rows and all others, flattened, as columns."""
    if is_image(axes):
        return values if list(axes).index("height") < list(axes).index("width") else values.T
    if values.ndim == 1:
        return values[None]
    return np.moveaxis(values, -1, 0).reshape(values.shape[-1], -1)
