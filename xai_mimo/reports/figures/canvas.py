"""What all figures share: size, ink, axes without clutter, legends, and saving without a trace of the clock.

Only matplotlib's object interface is used: nothing is registered with pyplot, and settings hold inside ``inked`` alone.
"""

import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, Literal, ParamSpec

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from xai_mimo.record.words import RANDOM
from xai_mimo.reports.figures.palette import INK, LINE, MUTED, Style
from xai_mimo.reports.numbers import MINUS, Bounded, shorten

WIDTH = 4.2
Format = Literal["svg", "pdf", "png"]
P = ParamSpec("P")

_UNDATED: Mapping[Format, dict[str, Any]] = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}

_INK = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "text.color": INK,
    # A name such as "$x$" is a name, never a formula.
    "text.parse_math": False,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.7,
    "axes.unicode_minus": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8.5,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


@contextmanager
def _ink(**more: Any) -> Iterator[None]:
    settings: Any = {**_INK, **more}
    with matplotlib.rc_context(settings):
        yield


def inked(draw: Callable[P, Figure | None]) -> Callable[P, Figure | None]:
    """Draw with this room's settings, whatever the user's are, and leave theirs as they were."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure | None:
        with _ink():
            return draw(*args, **kwargs)

    return drawn


def blank(height: float, *, width: float = WIDTH) -> tuple[Figure, Axes]:
    """A figure of so many inches with one pair of axes."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="none")
    axes = figure.add_subplot(facecolor="none")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def as_rows(axes: Axes, labels: Sequence[str], positions: Iterable[float]) -> None:
    """Turn the y axis into rows with a name each, first on top, and a grid for reading values off."""
    axes.set_yticks(list(positions), list(labels))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=LINE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.invert_yaxis()


def dot(axes: Axes, value: float, row: Bounded, y: float, style: Style, *, scale: float = 1.0) -> None:
    """A value with the interval of its row where it has one."""
    if row.low is not None and row.high is not None:
        axes.plot([row.low * scale, row.high * scale], [y, y], color=style.colour, linewidth=1.5, zorder=2)
    axes.plot([value * scale], [y], style.marker or "o", color=style.colour, markersize=5, markeredgewidth=0, zorder=3)


def offsets(count: int, spread: float = 0.56) -> list[float]:
    """Where several methods stand within one row, symmetric around its middle."""
    return [0.0] if count == 1 else [spread * (i / (count - 1) - 0.5) for i in range(count)]


def plain_numbers(axes: Axes, which: Literal["x", "y"]) -> None:
    """Few round ticks, written without matplotlib's mathematics, which is switched off for the sake of names."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}".replace("-", MINUS)))


def legend(figure: Figure, methods: Mapping[str, Style], *, columns: int = 2) -> None:
    """Names of the methods above the axes."""
    handles = [
        Line2D(
            [],
            [],
            color=s.colour,
            marker=s.marker,
            markersize=5,
            linestyle="--" if label == RANDOM else "-",
            linewidth=1.5,
        )
        for label, s in methods.items()
    ]
    # A zero-width space keeps names that begin with "_" in the legend; matplotlib would leave them out.
    shown = ["random order" if label == RANDOM else shorten(label) for label in methods]
    names = [f"\u200b{name}" if name.startswith("_") else name for name in shown]
    figure.legend(handles, names, loc="outside upper left", ncols=columns, frameon=False, handlelength=1.6)


def saved(figure: Figure, kind: Format, *, salt: str = "xai_mimo", dpi: int = 200) -> bytes:
    """The figure as a file's bytes; the same figure gives the same bytes, today and tomorrow.

    Args:
        figure: what to save.
        kind: "svg" keeps text as text; "pdf" embeds its fonts; "png" has ``dpi`` dots per inch.
        salt: makes the ids inside an SVG its own.
        dpi: of a PNG.
    """
    buffer = io.BytesIO()
    with _ink(**{"svg.hashsalt": salt}), warnings.catch_warnings():
        # Only the width of such a letter is guessed: in an SVG the reader's own fonts draw it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        if kind == "svg":
            # Figure.savefig would lay the figure out and draw it twice.
            canvas: Any = FigureCanvasSVG(figure)
            canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})
        else:
            figure.savefig(buffer, format=kind, metadata=_UNDATED[kind], dpi=dpi, facecolor="white")
    return buffer.getvalue()
