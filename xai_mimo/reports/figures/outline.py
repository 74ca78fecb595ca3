"""The line around what is known to matter: white with a dark edge, so that it is seen on any colour, in any theme."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke

Array = np.ndarray[Any, Any]
Segment = tuple[tuple[float, float], tuple[float, float]]

WORDS = "outlined: known to matter"
_EDGE, _LINE = "#000000", "#ffffff"
_EDGE_WIDTH, _LINE_WIDTH = 2.2, 1.0


def outline(axes: Axes, region: Array) -> None:
    """Draw the border of a region over a heat map whose cells are centred on whole numbers.

    Args:
        axes: with row 0 on top. region: ``(row, column)`` booleans.
    """
    lines = segments(region)
    for colour, width in ((_EDGE, _EDGE_WIDTH), (_LINE, _LINE_WIDTH)):
        axes.add_collection(
            LineCollection(lines, colors=colour, linewidths=width, capstyle="projecting", zorder=3), autolim=False
        )


def legend(figure: Figure) -> None:
    """Say above the panels what the line is."""
    edged = [Stroke(linewidth=_EDGE_WIDTH, foreground=_EDGE), Normal()]
    handle = Line2D([], [], color=_LINE, linewidth=_LINE_WIDTH, path_effects=edged)
    figure.legend([handle], [WORDS], loc="outside upper left", frameon=False, handlelength=1.6, fontsize=8)


def segments(region: Array) -> list[Segment]:
    """The border of a region as straight lines, ``((x, y), (x, y))``, each as long as it goes."""
    wide = np.pad(region, 1)
    across, down = wide[:-1] != wide[1:], wide[:, :-1] != wide[:, 1:]  # borders below a row, and right of a column
    flat = [((x0, y), (x1, y)) for y, x0, x1 in _runs(across[:, 1:-1])]
    upright = [((x, y0), (x, y1)) for x, y0, y1 in _runs(down[1:-1].T)]
    return [*flat, *upright]


def _runs(borders: Array) -> list[tuple[float, float, float]]:
    """Where borders go on without a gap: ``(line, begin, end)`` in the coordinates of a heat map."""
    steps = np.diff(np.pad(borders, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    begins, ends = np.argwhere(steps == 1), np.argwhere(steps == -1)
    return [(line - 0.5, begin - 0.5, end - 0.5) for (line, begin), (_, end) in zip(begins, ends, strict=True)]
