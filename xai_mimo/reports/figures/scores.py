"""Figures of the scores: agreement, faithfulness curves, completeness gaps and ground truth."""

import math
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from xai_mimo.record.results import Gap
from xai_mimo.record.rows import Record
from xai_mimo.record.select import agreement_pairs, head_unit, main_agreement, of_head, unique
from xai_mimo.record.words import RANDOM, CurveKind, Role
from xai_mimo.reports.figures.canvas import as_rows, blank, dot, inked, legend, offsets, plain_numbers
from xai_mimo.reports.figures.palette import INK, LINE, MUTED, Style, styles
from xai_mimo.reports.numbers import MINUS, in_two_lines, metric_title, shorten, shorten_all

_FLOORS: tuple[Role, ...] = ("floor_random", "floor_permuted")
_SMALLEST_GAP = 1e-8
_INKED = Style(INK, "o", "●")


@inked
def agreement(
    record: Record, head: str, *, metric: str | None = None, k: int | None = None, with_legend: bool = True
) -> Figure | None:
    """Agreement of every pair of methods, between its floors (chance) and its ceiling (a method against itself).

    Args:
        record: the comparison record.
        head: name of the target.
        metric, k: which one; by default pairwise rank agreement, or the first that the record has numbers for.
        with_legend: whether to explain the marks inside the figure.
    """
    chosen = (metric, k) if metric is not None else main_agreement(record, head)
    if chosen is None:
        return None
    pairs = agreement_pairs(record, head, *chosen)
    if not pairs:
        return None
    figure, axes = blank(0.75 + 0.42 * len(pairs) + 0.2 * with_legend)
    for y, by_role in enumerate(pairs.values()):
        estimates = {role: score.estimate for role, score in by_role.items() if score.estimate is not None}
        floors = [estimates[role] for role in _FLOORS if role in estimates]
        ceiling = estimates.get("ceiling")
        if floors and ceiling is not None:
            axes.barh(y, ceiling - max(floors), left=max(floors), height=0.5, color=LINE, linewidth=0, zorder=1)
        for floor in floors:
            axes.plot([floor], [y], "|", color=MUTED, markersize=13, markeredgewidth=1.6, zorder=2)
        if ceiling is not None:
            axes.plot([ceiling], [y], "|", color=INK, markersize=13, markeredgewidth=1.6, zorder=2)
        dot(axes, estimates["value"], by_role["value"], y, _INKED)
    as_rows(axes, [f"{shorten(a, 22)}\n{shorten(b, 22)}" for a, b in pairs], range(len(pairs)))
    axes.set_ylim(len(pairs) - 0.5, -0.5)
    plain_numbers(axes, "x")
    name, at = chosen
    axes.set_xlabel(metric_title(record, name) + (f" at {at}" if at else "") + " (no unit)")
    if with_legend:
        _agreement_legend(figure)
    return figure


def _agreement_legend(figure: Figure) -> None:
    marks = {
        "agreement, interval": Line2D([], [], color=INK, marker="o", markersize=5, linewidth=1.5),
        "floors (chance)": Line2D([], [], color=MUTED, marker="|", markersize=10, linestyle=""),
        "ceiling (against itself)": Line2D([], [], color=INK, marker="|", markersize=10, linestyle=""),
    }
    figure.legend(list(marks.values()), list(marks), loc="outside upper left", ncols=2, frameon=False, handlelength=1.6)


@inked
def removal_curve(
    record: Record, head: str, *, kind: CurveKind = "deletion", with_legend: bool = True
) -> Figure | None:
    """How far the prediction moves while features are replaced (deletion) or kept (insertion) in a map's order."""
    curves = [r for r in of_head(record.curves, head) if r.kind == kind and None not in r.mean]
    if not curves:
        return None
    figure, axes = blank(2.7 + 0.2 * with_legend)
    look = styles(record)
    # The control is drawn first: a method must not hide behind it.
    for r in sorted(curves, key=lambda row: row.method != RANDOM):
        style, x = look[r.method], [100 * f for f in r.fraction]
        is_control = r.method == RANDOM
        low, high = _known(r.low), _known(r.high)
        if low is not None and high is not None:
            axes.fill_between(x, low, high, color=style.colour, alpha=0.15, linewidth=0)
        axes.plot(
            x,
            _known(r.mean) or (),
            color=style.colour,
            linestyle="--" if is_control else "-",
            marker=style.marker,
            markersize=3.5,
            linewidth=1.5,
        )
    axes.grid(color=LINE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_xlim(0, 100)
    axes.set_ylim(bottom=0)
    plain_numbers(axes, "x")
    plain_numbers(axes, "y")
    axes.set_xlabel(f"features {'replaced' if kind == 'deletion' else 'kept'}, most important first (%)")
    unit = head_unit(record, head)
    axes.set_ylabel(f"|change of prediction| ({shorten(unit, 16) if unit else 'unit not given'})")
    if with_legend:
        legend(figure, {m: look[m] for m in unique(r.method for r in curves)})
    return figure


def _known(values: Sequence[float | None]) -> list[float] | None:
    """The points of a curve; None where one of them is not known."""
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else None


@inked
def completeness_gaps(record: Record, head: str, *, with_legend: bool = True) -> Figure | None:
    """Quantiles over rows of the relative completeness gap, on a logarithmic axis, with the tolerance asked for."""
    rows = [r for r in of_head(record.gaps, head) if r.relative_quantiles]
    if not rows:
        return None
    figure, axes = blank(0.75 + 0.36 * len(rows) + 0.2 * with_legend)
    look = styles(record)
    floor = _axis_floor(rows)
    for y, r in enumerate(rows):
        x = [math.log10(max(v, floor)) for v in r.relative_quantiles.values()]
        colour = look[r.method].colour
        axes.plot([min(x), max(x)], [y, y], color=colour, linewidth=1.5, zorder=2)
        axes.plot(x, [y] * len(x), "|", color=colour, markersize=11, markeredgewidth=1.8, zorder=3)
        at = math.log10(max(r.tolerance, floor))
        axes.plot([at, at], [y - 0.4, y + 0.4], ":", color=INK, linewidth=1.2, zorder=1)
    as_rows(axes, shorten_all([r.method for r in rows]), range(len(rows)))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    powers = range(math.floor(axes.get_xlim()[0]), math.ceil(axes.get_xlim()[1]) + 1)
    axes.set_xticks(powers[:: math.ceil(len(powers) / 5)])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda power, _: _percent_of_power(round(power), floor)))
    axes.set_xlabel("gap / change of prediction (%, logarithmic)")
    if with_legend:
        handle = Line2D([], [], color=INK, linestyle=":", linewidth=1.2)
        figure.legend([handle], ["tolerance"], loc="outside upper left", frameon=False, handlelength=1.6)
    return figure


def _axis_floor(rows: Sequence[Gap]) -> float:
    """Where smaller gaps, zero among them, are drawn: a decade below the smallest gap, and never below 1e-8."""
    positive = [v for r in rows for v in (*r.relative_quantiles.values(), r.tolerance) if v > 0]
    return max(_SMALLEST_GAP, 10.0 ** math.floor(math.log10(min(positive)) - 1)) if positive else _SMALLEST_GAP


def _percent_of_power(power: int, floor: float) -> str:
    """A tick at 10^power as percent: "10", "0.01", "1e−5"; "≤ " before the one where small gaps are gathered."""
    percent = power + 2
    text = f"{10.0**percent:g}" if percent >= -3 else f"1e{MINUS}{-percent}"
    return f"≤ {text}" if 10.0**power <= floor * 1.001 else text


@inked
def ground_truth(record: Record, head: str, *, with_legend: bool = True) -> Figure | None:
    """Scores against what is known to matter, method by method, each with chance beside it."""
    rows = [
        (r, r.estimate) for r in of_head(record.scores, head) if r.family == "ground_truth" and r.estimate is not None
    ]
    metrics, methods = unique(r.metric for r, _ in rows), unique(r.method for r, _ in rows if r.role == "value")
    if not methods:
        return None
    figure, axes = blank(0.7 + len(metrics) * (0.16 + 0.14 * len(methods)) + 0.2 * with_legend)
    look = styles(record)
    shift = dict(zip(methods, offsets(len(methods), 0.5), strict=True))
    reach = 0.36 if len(methods) == 1 else 0.25 / (len(methods) - 1)  # rows of one metric touch
    for r, estimate in rows:
        y = metrics.index(r.metric) + shift.get(r.method, 0.0)
        if r.role == "floor_random":
            axes.plot([estimate] * 2, [y - reach, y + reach], ":", color=INK, linewidth=1.2, zorder=1)
        elif r.role == "value":
            dot(axes, estimate, r, y, look[r.method])
    as_rows(axes, [in_two_lines(metric_title(record, m)) for m in metrics], range(len(metrics)))
    axes.set_ylim(len(metrics) - 0.5, -0.5)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("score (no unit, 1 is best; dotted: chance)")
    if with_legend:
        legend(figure, {m: look[m] for m in methods})
    return figure
