"""What players do together as a matrix a head: main effects on the diagonal, orange lowers, blue raises.

The figure is of ``xai_mimo.interactions``, not of a comparison: it is called with the dataset.
"""

import json
import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from xai_mimo.core.errors import BadSetting, UnknownName
from xai_mimo.core.interactions import PAIRS, validate
from xai_mimo.core.method import whole
from xai_mimo.core.streams import unknown
from xai_mimo.reports import numbers
from xai_mimo.reports.figures.canvas import WIDTH, inked
from xai_mimo.reports.figures.heat import SIGNED
from xai_mimo.reports.figures.palette import INK, MUTED

Array = np.ndarray[Any, Any]

_NUMBERED = 9
"""So many players have their values printed; beyond, the cells are too small."""
_TWO_ACROSS = 5
_NAMED = 40
_DARK = 0.6
"""Where the colours are so far from white, numbers on them are white."""


def interactions(
    dataset: xr.Dataset, *, heads: Sequence[str] | str | None = None, sample: int | None = None, most: int = 24
) -> Figure:
    """Interactions of pairs: a matrix for each head, on colours of its own, since heads have units of their own.

    Args:
        dataset: of ``xai_mimo.interactions``.
        heads: names of targets, or one; None for all.
        sample: the row to show, by its number; None for the mean over all rows, with its sign.
        most: players shown; of more, those with the largest values, by magnitude over all rows and shown heads.
    Returns:
        A matplotlib figure; ``figure.savefig("together.pdf")`` writes it.
    Raises:
        SchemaError: another dataset. UnknownName: no such head or row. BadSetting: ``most`` is no number of players,
            or no head is named.
    """
    validate(dataset)
    whole(most, "most")
    names = [str(head) for head in dataset["head"].values]
    shown = names if heads is None else [heads] if isinstance(heads, str) else [str(head) for head in heads]
    if not shown:
        raise BadSetting(f"heads=[] shows nothing; name at least one ({', '.join(names)}), or leave it out for all.")
    for head in shown:
        if head not in names:
            raise unknown(head, names, "head of these interactions")
    rows = dataset["sample"].values.tolist()
    if sample is not None and sample not in rows:
        raise UnknownName(
            f"there is no row {sample!r} in these interactions; they are of rows {rows[0]} to {rows[-1]}."
        )
    values = dataset[PAIRS].values[[names.index(head) for head in shown]]
    picked = _strongest(values, most)
    one = values.mean(axis=1) if sample is None else values[:, rows.index(sample)]
    over = f"mean over {numbers.whole(len(rows))} rows" if sample is None else f"row {sample}"
    return _drawn(
        one[:, picked][:, :, picked],
        titles=[_title(dataset, head) for head in shown],
        players=numbers.shorten_all([str(p) for p in dataset["player"].values[picked]], 20),
        heading=_heading(dataset, over, len(picked)),
    )


def _strongest(values: Array, most: int) -> Array:
    """Places of the players with the largest magnitudes, in the order of the players: ``(head, row, player, player)``.

    Heads count alike, whatever their units.
    """
    each = np.abs(values).sum(axis=(1, 3))
    shares = (each / np.maximum(each.sum(axis=1, keepdims=True), np.finfo(float).tiny)).sum(axis=0)
    return np.sort(np.argsort(-shares, kind="stable")[:most])


def _title(dataset: xr.Dataset, target: str) -> str:
    """The target, and the unit of its head."""
    of_target = dict(zip(map(str, dataset["head"].values), json.loads(dataset.attrs["targets"]), strict=True))
    units = {head["name"]: head.get("unit", "") for head in json.loads(dataset.attrs["heads"])}
    unit = units.get(of_target[target][0], "")
    return f"{numbers.shorten(target, 36)} ({numbers.shorten(unit, 12)})" if unit else numbers.shorten(target, 44)


def _heading(dataset: xr.Dataset, over: str, shown: int) -> str:
    count = dataset.sizes["player"]
    how = "" if dataset.attrs["approximator"] == "exact" else ", estimated"
    some = f"; the {shown} of {numbers.whole(count)} players with the largest values" if shown < count else ""
    return f"{dataset.attrs['index']} of order {dataset.attrs['order']}{how}, {over}{some}"


def _drawn(matrices: Array, *, titles: Sequence[str], players: Sequence[str], heading: str) -> Figure:
    """A panel for each matrix ``(head, player, player)``."""
    figures: list[Figure] = []

    @inked
    def draw() -> Figure:
        count = len(players)
        across = 2 if count <= _TWO_ACROSS and len(matrices) > 1 else 1
        down = math.ceil(len(matrices) / across)
        side = min(0.55 if count <= _NUMBERED else 0.24 if count <= _NAMED else 0.09, 9.0 / count)
        label = 0.075 * min(max(map(len, players)), 20)
        width = max(WIDTH, across * (side * count + label + 0.6))
        height = 0.4 + down * (side * count + 0.7 * label + 0.6)
        figure = Figure(figsize=(width, height), layout="constrained", facecolor="none")
        figure.suptitle(textwrap.fill(heading, int(14 * width)), fontsize=8, x=0.01, ha="left", color=MUTED)
        grid = figure.subplots(down, across, squeeze=False).ravel()
        for axes, matrix, title in zip(grid, matrices, titles, strict=False):
            axes.set_title(numbers.shorten(title, int(12 * width / across)), fontsize=8.5, loc="left", pad=4)
            _paint(figure, axes, matrix, players)
        for axes in grid[len(matrices) :]:
            axes.set_visible(False)
        figures.append(figure)
        return figure

    draw()
    return figures[0]


def _paint(figure: Figure, axes: Axes, matrix: Array, players: Sequence[str]) -> None:
    count, limit = len(players), float(np.abs(matrix).max()) or 1.0
    colours = ScalarMappable(Normalize(-limit, limit), SIGNED)
    axes.imshow(np.round(255 * colours.to_rgba(matrix)).astype(np.uint8), interpolation="none")
    step = math.ceil(count / _NAMED)
    places = range(0, count, step)
    axes.set_anchor("NW")
    axes.set_xticks(list(places), [players[i] for i in places])
    axes.set_yticks(list(places), [players[i] for i in places])
    for tick in axes.get_xticklabels():
        tick.set(rotation=45, horizontalalignment="right", rotation_mode="anchor")
    axes.tick_params(length=2, labelsize=8 if count <= _NUMBERED else 7)
    for spine in axes.spines.values():
        spine.set(color=MUTED, linewidth=0.5)
    for i in range(count):
        axes.add_patch(Rectangle((i - 0.5, i - 0.5), 1, 1, fill=False, edgecolor=INK, linewidth=0.8))
    if count <= _NUMBERED:
        for (i, j), value in np.ndenumerate(matrix):
            ink = "white" if abs(value) > _DARK * limit else INK
            axes.text(j, i, numbers.number(_rounded(value, limit)), ha="center", va="center", fontsize=7, color=ink)
    bar = figure.colorbar(colours, ax=axes, location="right", shrink=0.6, aspect=24, pad=0.02)
    bar.outline.set_linewidth(0.5)
    bar.ax.yaxis.set_major_locator(MaxNLocator(4, symmetric=True))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}".replace("-", numbers.MINUS)))
    bar.ax.tick_params(length=2, labelsize=7)


def _rounded(value: float, limit: float) -> float:
    """A value as it is printed: what is nothing beside the largest is 0."""
    return 0.0 if abs(value) < 1e-4 * limit else value
