"""Figures of what layers say of themselves, drawn by the words of a map's axes, whatever the layer.

Images (height, width) become panels; time x feature a heat map with features going down and steps to the right; two
other axes a heat map with layers or tokens to the right, or bars where they are few; one axis bars, or a line where it
counts layers or steps. All other axes become panels, 24 at most.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from xai_mimo.core.positions import IMAGE, is_image
from xai_mimo.record.maps import MapRow
from xai_mimo.record.rows import Record
from xai_mimo.reports.figures import heat
from xai_mimo.reports.figures.canvas import as_rows, inked, plain_numbers
from xai_mimo.reports.figures.heat import Heat, Side
from xai_mimo.reports.figures.palette import INK, LINE, MUTED
from xai_mimo.reports.figures.streams import leading
from xai_mimo.reports.numbers import readable, shorten, shorten_all

Array = np.ndarray[Any, Any]

PANELS_SHOWN = 24
BARS_SHOWN = 30
_COUNTED = ("layer", "step", "time", "token")
_ACROSS = ("time", "layer", "step", "token", "width")
_BARS_IN_A_PANEL = 12
_OUTPUTS = ("head", "target")


@inked
def layer_map(record: Record, row: MapRow) -> Figure | None:
    """One of the record's ``maps``; None for one that was left out, or is zero everywhere.

    Args:
        record: the comparison record, for the names of units. row: of its ``maps``.
    """
    if row.mean is None:
        return None
    values, axes, names = _without_ones(record, row)
    if not values.any():
        return None
    label = f"{shorten(readable(row.name))}, mean over {row.rows} rows"
    inner = _inner(axes, values.shape)
    order = [axis for axis in axes if axis not in inner] + inner
    values = values.transpose([axes.index(axis) for axis in order])
    outer = order[: len(order) - len(inner)]
    panels = _panels(values, [_titles(axis, names[axis]) for axis in outer])
    if len(inner) < 2:
        word = inner[0] if inner else ""
        return _one_axis(panels, Side(word, names.get(word, ("",))), label)
    sides = [Side(axis, names[axis]) for axis in inner]
    is_signed = bool(values.min() < 0)
    if set(inner) == set(IMAGE):
        heats = [Heat(title, v, is_signed) for title, v in panels]
        across = 5 if len(heats) > 6 else 2 if len(heats) == 4 else 3
        return heat.draw(heats, *sides, label=label, across=across, square=True, limit=heat.limit_of(heats))
    kept = leading([v for _, v in panels], BARS_SHOWN)
    heats = [Heat(title, v[kept], is_signed) for title, v in panels]
    rows = Side(sides[0].word, [sides[0].labels[i] for i in kept])
    return heat.draw(heats, rows, sides[1], label=label, limit=heat.limit_of(heats))


def hidden_panels(record: Record, row: MapRow) -> int:
    """How many panels a map would have beyond those that are drawn."""
    if row.mean is None:
        return 0
    values, axes, _ = _without_ones(record, row)
    inner = _inner(axes, values.shape)
    sizes = [n for axis, n in zip(axes, values.shape, strict=True) if axis not in inner]
    return max(0, int(np.prod(sizes, dtype=np.int64)) - PANELS_SHOWN)


def _without_ones(record: Record, row: MapRow) -> tuple[Array, list[str], dict[str, Sequence[str]]]:
    """The mean, its axes longer than one, and a label for each place along them."""
    values = np.asarray(row.mean, dtype=np.float64)
    names = {axis: _names(record, row, axis, n) for axis, n in zip(row.axes, values.shape, strict=True)}
    axes = [axis for axis, n in zip(row.axes, values.shape, strict=True) if n > 1]
    return values.squeeze(), axes, names


def _names(record: Record, row: MapRow, axis: str, count: int) -> Sequence[str]:
    coords = row.coords
    if axis in coords:
        return list(coords[axis])
    if f"{axis}.head" in coords:
        heads = coords[f"{axis}.head"]
        units = coords.get(f"{axis}.unit", [""] * count)
        return [_target(record, h, u, alone=heads.count(h) == 1) for h, u in zip(heads, units, strict=True)]
    return [str(i if axis in ("class", "channel", "attribute") else i + 1) for i in range(count)]


def _target(record: Record, head: str, unit: str, *, alone: bool) -> str:
    """The name of a unit, that of the model's head where the layer only numbers it."""
    if alone:
        return head
    known: Sequence[str] = next((h.units for h in record.model.heads if h.name == head), [])
    name = known[int(unit)] if unit.isdecimal() and int(unit) < len(known) else unit
    return f"{head}: {name}"


def _inner(axes: Sequence[str], shape: Sequence[int]) -> list[str]:
    """The axes within a panel: rows and columns, one alone, or none."""
    if is_image(axes):
        return list(IMAGE)
    if len(axes) < 2:
        return list(axes)
    sizes = dict(zip(axes, shape, strict=True))
    columns = next((axis for word in _ACROSS for axis in axes if axis == word), None)
    if columns is None:
        outputs = [axis for axis in axes if axis in _OUTPUTS]
        if (
            len(axes) == 2
            and len(outputs) == 1
            and min(sizes.values()) <= 4
            and max(sizes.values()) <= _BARS_IN_A_PANEL
        ):
            return [axis for axis in axes if axis not in outputs]
        columns = axes[-1]
    rows = next(
        (axis for word in ("feature", "class", "target", "head") for axis in axes if axis == word and axis != columns),
        next(axis for axis in reversed(axes) if axis != columns),
    )
    return [rows, columns]


def _titles(axis: str, labels: Sequence[str]) -> list[str]:
    return [f"{axis} {label}" if label.isdecimal() else label for label in labels]


def _panels(values: Array, names: Sequence[Sequence[str]]) -> list[tuple[str, Array]]:
    places = itertools.islice(np.ndindex(values.shape[: len(names)]), PANELS_SHOWN)
    return [(", ".join(n[i] for n, i in zip(names, place, strict=True)), values[place]) for place in places]


def _one_axis(panels: Sequence[tuple[str, Array]], side: Side, label: str) -> Figure:
    is_line = side.word in _COUNTED
    values = [np.atleast_1d(v) for _, v in panels]
    kept = list(range(len(values[0]))) if is_line else leading([v[:, None] for v in values], BARS_SHOWN)
    height = 1.3 if is_line else 0.25 + 0.19 * len(kept)
    figure = Figure(figsize=(4.2, 0.5 + height * len(panels)), layout="constrained", facecolor="none")
    grid = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    labels = side.labels if is_line else _titles(side.word, side.labels)
    names = [labels[i] for i in kept]
    for axes, (title, _), v in zip(grid, panels, values, strict=True):
        axes.set_facecolor("none")
        axes.spines[["top", "right"]].set_visible(False)
        if title:
            axes.set_title(shorten(title, 44), fontsize=8.5, loc="left", pad=3)
        (_line if is_line else _bars)(axes, v[kept], names)
    grid[-1].set_xlabel(side.word if is_line else label)
    if is_line:
        figure.supylabel(label, fontsize=8)
    return figure


def _line(axes: Any, values: Array, names: Sequence[str]) -> None:
    axes.plot(range(len(values)), values, "o-", color=INK, markersize=3.5, linewidth=1.3)
    step = max(1, -(-len(values) // 10))
    axes.set_xticks(range(0, len(values), step), [shorten(n, 12) for n in names[::step]])
    axes.grid(axis="y", color=LINE, linewidth=0.7)
    axes.set_axisbelow(True)
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    margin = 0.08 * (high - low or 1.0)
    axes.set_ylim(low - margin * (low < 0), high + margin)
    plain_numbers(axes, "y")


def _bars(axes: Any, values: Array, names: Sequence[str]) -> None:
    axes.barh(range(len(values)), values, height=0.62, color=MUTED, linewidth=0)
    as_rows(axes, shorten_all(list(names), 24), range(len(values)))
    axes.axvline(0, color=MUTED, linewidth=0.7)
    plain_numbers(axes, "x")
