"""Heat maps side by side on one colour scale: panels, ticks that do not crowd, and colour bars with numbers.

Colours can be told apart with any colour vision: orange through white to blue for values with a sign, the hues of the
page's bars; white to violet for magnitudes, so that no magnitude looks like "raises".
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from xai_mimo.reports.figures import outline
from xai_mimo.reports.figures.canvas import WIDTH
from xai_mimo.reports.figures.palette import MUTED
from xai_mimo.reports.numbers import MINUS, shorten, shorten_all

Array = np.ndarray[Any, Any]

_LEVELS = 257  # odd, so that zero has a colour of its own
SIGNED = LinearSegmentedColormap.from_list(
    "xai_mimo_signed", ["#7a3300", "#D55E00", "#f4b58a", "#f7f7f7", "#8fc3e8", "#0072B2", "#00375c"], N=_LEVELS
)
MAGNITUDE = LinearSegmentedColormap.from_list(
    "xai_mimo_magnitude", ["#f7f7f7", "#cbbbe6", "#8C6BB1", "#4d2a7c", "#24083f"]
)

_LETTERS = 40
_BEHIND_BARS = "#d9d9d9"
_ROW, _BAR = 0.17, 0.1
_SHORT, _TURNED, _ROWS_NAMED = 4, 24, 40
_STRONGEST, _FAINTEST_HUE = 0.9, 0.55


@dataclass(frozen=True)
class Heat:
    """One panel.

    Attributes:
        title: above it, "" for none.
        values: ``(row, column)``; None for a panel that shows ``under`` alone.
        is_signed: whether zero is the middle of the colours.
        under: grey picture ``(row, column)`` from 0 to 1 below the colours, or a colour picture ``(row, column, 3)``.
        region: ``(row, column)`` booleans, what is known to matter; None where nothing is known.
    """

    title: str
    values: Array | None
    is_signed: bool
    under: Array | None = None
    region: Array | None = None


@dataclass(frozen=True)
class Side:
    """What one side of a panel is called: the word for the axis, and a label for each place, () to count from 0."""

    word: str
    labels: Sequence[str] = ()


def limit_of(panels: Sequence[Heat], quantile: float = 1.0) -> float:
    """The magnitude at the end of the colours that all panels share; 1 where everything is zero."""
    magnitudes = [np.abs(p.values).ravel() for p in panels if p.values is not None]
    found = max((float(np.quantile(m, quantile)) for m in magnitudes if m.size), default=0.0)
    largest = max((float(m.max()) for m in magnitudes if m.size), default=0.0)
    return found or largest or 1.0


def draw(
    panels: Sequence[Heat],
    rows: Side,
    columns: Side,
    *,
    label: str,
    across: int = 1,
    square: bool = False,
    limit: float,
) -> Figure:
    """Panels with the same axes and the same colours.

    Args:
        panels: all of one shape.
        rows, columns: what the sides are.
        label: of the colour bar, with the unit.
        across: panels in a row.
        square: pixels are squares and have no ticks, as in an image; else cells fill the panel.
        limit: magnitude at the end of the colours; what lies beyond has the last colour.
    """
    shape = next(p.values.shape if p.values is not None else p.under.shape for p in panels)  # type: ignore[union-attr]
    across = min(across, len(panels))
    down = math.ceil(len(panels) / across)
    height = (WIDTH - 0.1) / max(across, 2) * shape[0] / shape[1] if square else 0.12 + _ROW * max(shape[0], 2)
    titled = any(p.title for p in panels)
    bars = len({p.is_signed for p in panels if p.values is not None})
    marked = any(p.region is not None for p in panels)
    size = (WIDTH, (0.15 if square else 0.35) + 0.5 * bars + 0.2 * marked + down * (height + 0.26 * titled))
    figure = Figure(figsize=size, layout="constrained", facecolor="none")
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    for axes, panel in zip(grid.ravel(), panels, strict=False):
        _paint(axes, panel, limit, square=square)
        if panel.title:
            axes.set_title(shorten(panel.title, 60 // across), fontsize=8.5 if across < 3 else 7.2, loc="left", pad=3)
    for axes in grid.ravel()[len(panels) :]:
        axes.set_visible(False)
    if not square:
        _tick(grid, rows, columns, shape)
    if marked:
        outline.legend(figure)
    _colour_bars(figure, grid.ravel().tolist(), panels, limit, label, inch=1 / (down * height))
    return figure


def _paint(axes: Axes, panel: Heat, limit: float, *, square: bool) -> None:
    axes.set_facecolor("none")
    aspect: Literal["equal", "auto"] = "equal" if square else "auto"
    if panel.under is not None:
        under = panel.under if panel.under.ndim == 3 else np.repeat(panel.under[..., None], 3, axis=-1)
        axes.imshow(_pixels(under), aspect=aspect, interpolation="none")
    if panel.values is not None:
        colours, low = (SIGNED, -limit) if panel.is_signed else (MAGNITUDE, 0.0)
        if panel.under is not None:
            colours = _glazed(colours, low / limit)
        axes.imshow(
            _pixels(colours(Normalize(low, limit, clip=True)(panel.values))), aspect=aspect, interpolation="none"
        )
    if panel.region is not None:
        outline.outline(axes, panel.region)
    for spine in axes.spines.values():
        spine.set_color(MUTED)
        spine.set_linewidth(0.5)
    if square:
        axes.set_xticks([])
        axes.set_yticks([])
    axes.tick_params(length=2)


def _glazed(colours: LinearSegmentedColormap, lowest: float) -> LinearSegmentedColormap:
    """Strong colours that fade by becoming transparent instead of white, to lie over a picture.

    Args:
        colours: to take the hues from. lowest: -1 where the middle is zero, 0 where the beginning is.
    """
    shares = np.linspace(lowest, 1.0, _LEVELS)
    strength = np.abs(shares)
    hues = np.sign(shares) * (_FAINTEST_HUE + (1 - _FAINTEST_HUE) * strength)
    glazed = colours((hues - lowest) / (1 - lowest))
    glazed[:, 3] = _STRONGEST * strength**0.7
    return LinearSegmentedColormap.from_list(f"{colours.name}_glazed", glazed, N=_LEVELS)


def _pixels(colours: Array) -> Array:
    """Whole numbers, so that the same picture is the same file on every machine."""
    return np.round(255 * np.clip(colours, 0, 1)).astype(np.uint8)


def _tick(grid: Array, rows: Side, columns: Side, shape: tuple[int, ...]) -> None:
    word, names = _common_word(columns, shape[1])
    longest = max(len(name) for name in names)
    step = max(1, math.ceil(shape[1] * longest / _LETTERS)) if longest <= _SHORT else math.ceil(shape[1] / _TURNED)
    places = range(shape[1] - 1, -1, -step)[::-1]  # the last place, the most recent step, always has its label
    for axes in grid[-1]:
        axes.set_xticks(list(places), [shorten(names[i], 16) for i in places])
        axes.set_xlabel(word)
        for tick in axes.get_xticklabels() if longest > _SHORT else ():
            tick.set(rotation=50, horizontalalignment="right", rotation_mode="anchor")
    word, names = _common_word(rows, shape[0])
    step = math.ceil(shape[0] / _ROWS_NAMED)
    for axes in grid[:, 0]:
        axes.set_yticks(range(0, shape[0], step), shorten_all(list(names), 20)[::step])
        if word and max(len(name) for name in names) <= _SHORT:
            axes.set_ylabel(word)


def _common_word(side: Side, count: int) -> tuple[str, Sequence[str]]:
    """The word for an axis and its labels; a beginning that numbers share ("lag 3", "digit: 3") moves to the axis."""
    labels = list(side.labels) or [str(i) for i in range(count)]
    parts = [label.rpartition(" ") for label in labels]
    first = {start for start, _, _ in parts}
    if len(first) == 1 and first != {""} and all(rest.isdecimal() for _, _, rest in parts):
        return f"{side.word}, {shorten(first.pop().rstrip(':'))}", [rest for _, _, rest in parts]
    return side.word, labels


def _colour_bars(
    figure: Figure, axes: list[Axes], panels: Sequence[Heat], limit: float, label: str, *, inch: float
) -> None:
    """A bar for each kind of panel below them; ``inch`` is one as a share of the height of all panels."""
    for is_signed in (True, False):
        mine = [p for p in panels if p.values is not None and p.is_signed == is_signed]
        if not mine:
            continue
        colours = SIGNED if is_signed else MAGNITUDE
        if mine[0].under is not None:
            colours = _glazed(colours, -1.0 if is_signed else 0.0)
        largest = max(float(p.values.max()) for p in mine if p.values is not None)
        smallest = min(float(p.values.min()) for p in mine if p.values is not None)
        over, under = largest > limit * (1 + 1e-9), is_signed and smallest < -limit * (1 + 1e-9)
        bar = figure.colorbar(
            ScalarMappable(Normalize(-limit if is_signed else 0.0, limit), colours),
            ax=axes,
            location="bottom",
            aspect=32,
            fraction=min(0.4, _BAR * inch),
            pad=min(0.05, _BAR * inch),
            extend="both" if over and under else "max" if over else "min" if under else "neither",
        )
        bar.ax.set_facecolor(_BEHIND_BARS)
        bar.outline.set_linewidth(0.5)
        bar.ax.xaxis.set_major_locator(MaxNLocator(5))
        bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}".replace("-", MINUS)))
        bar.ax.tick_params(length=2)
        bar.set_label(label, fontsize=8)
