"""Figures of the maps themselves: which streams and which features a head reads, and which way they push."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xai_mimo.core.positions import ALL_POSITIONS
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.record.rows import Record
from xai_mimo.record.select import explained_rows, feature_ranking, of_head, signed_labels_of, true_features, unique
from xai_mimo.reports.figures.canvas import as_rows, blank, dot, inked, legend, offsets, plain_numbers
from xai_mimo.reports.figures.palette import INK, MUTED, styles
from xai_mimo.reports.numbers import shorten_all

Feature = tuple[str, str]

FEATURES_SHOWN = 15
_ENDS: dict[SpeaksOf, tuple[str, str]] = {"attribution": ("lowered it", "raised it"), "sensitivity": ("falls", "rises")}
_ROUNDING = 1e-6
"""Of the largest magnitude of a method: what is smaller is left of sums that cancel."""


@inked
def stream_shares(record: Record, head: str, *, with_legend: bool = True) -> Figure | None:
    """Share of each stream in the magnitude of each method's map, in percent, of the streams that it speaks of.

    None where all maps lie on one stream: its share is 100 %.
    """
    rows = [(r, r.mean) for r in explained_rows(record, record.shares, head) if r.mean is not None]
    streams, methods = unique(r.stream for r, _ in rows), unique(r.method for r, _ in rows)
    if len(streams) < 2:
        return None
    figure, axes = blank(0.75 + len(streams) * (0.16 + 0.15 * len(methods)) + 0.2 * with_legend)
    look, shift = styles(record), dict(zip(methods, offsets(len(methods)), strict=True))
    for r, mean in rows:
        y = streams.index(r.stream) + shift[r.method]
        axes.barh(y, 100 * mean, height=0.56 / len(methods), color=look[r.method].colour, alpha=0.3, linewidth=0)
        dot(axes, mean, r, y, look[r.method], scale=100)
    starred = true_features(record, head) if record.space.name == "streams" else ()
    names = [f"★ {name}" if s in starred else name for s, name in zip(streams, shorten_all(streams), strict=True)]
    as_rows(axes, names, range(len(streams)))
    axes.set_xlim(0, 102)
    axes.set_ylim(len(streams) - 0.5, -0.5)
    axes.set_xlabel("share of the map's magnitude (%)")
    if with_legend:
        legend(figure, {m: look[m] for m in methods})
    return figure


@inked
def feature_map(record: Record, head: str, *, with_legend: bool = True, most: int = FEATURES_SHOWN) -> Figure | None:
    """Mean magnitude of the leading features by method, in percent of the method's total over the record's features.

    Features are grouped by stream; a star marks those known to matter where the record holds the truth.
    """
    ranked = feature_ranking(record, head)
    if all(feature == ALL_POSITIONS for _, feature in ranked):  # the shares of the streams say the same
        return None
    shown = set(ranked[:most])
    rows = [(r, r.mean_abs) for r in explained_rows(record, record.features, head) if r.mean_abs is not None]
    totals: dict[str, float] = {}
    for r, magnitude in rows:
        totals[r.method] = totals.get(r.method, 0.0) + magnitude
    methods = [m for m, total in totals.items() if total > 0]
    figure, axes, place = _grouped(record, head, ranked[:most], len(methods), with_legend=with_legend)
    look, shift = styles(record), dict(zip(methods, offsets(len(methods)), strict=True))
    for r, magnitude in rows:
        if (r.stream, r.feature) in shown and r.method in shift:
            y = place[r.stream, r.feature] + shift[r.method]
            dot(axes, magnitude, r, y, look[r.method], scale=100 / totals[r.method])
    axes.set_xlim(left=0)
    plain_numbers(axes, "x")
    axes.set_xlabel("share of the map's magnitude (%)")
    if with_legend:
        legend(figure, {m: look[m] for m in methods})
    return figure


@inked
def direction(
    record: Record,
    head: str,
    *,
    kind: SpeaksOf = "attribution",
    with_legend: bool = True,
    most: int = FEATURES_SHOWN,
) -> Figure | None:
    """Whether the leading features push the prediction one way: mean / mean magnitude, from -1 (always down) to 1.

    Args:
        record: the comparison record.
        head: name of the target.
        kind: of which maps: of what the present value did, or of what happens when the feature grows. On one axis the
            two would seem to contradict each other where both are right.
        with_legend: whether to name the methods inside the figure.
        most: how many features.
    """
    signed = signed_labels_of(record, kind)
    sizes = [
        (r, r.mean, r.mean_abs)
        for r in of_head(record.features, head)
        if r.method in signed and r.mean_abs and r.mean is not None
    ]
    largest: dict[str, float] = {}
    for r, _, size in sizes:
        largest[r.method] = max(size, largest.get(r.method, 0.0))
    ends = [
        (r.method, (r.stream, r.feature), mean / size)
        for r, mean, size in sizes
        if size > _ROUNDING * largest[r.method]  # what did nothing has no direction
    ]
    ranked = [f for f in feature_ranking(record, head)[:most] if any(feature == f for _, feature, _ in ends)]
    # The sum over the places of an image or a text is near 0 in any map: there is a picture of the places instead.
    if all(feature == ALL_POSITIONS for _, feature in ranked):
        return None
    methods = unique(method for method, _, _ in ends)
    figure, axes, place = _grouped(record, head, ranked, len(methods), with_legend=with_legend)
    look, shift = styles(record), dict(zip(methods, offsets(len(methods)), strict=True))
    axes.axvline(0, color=MUTED, linewidth=0.8, zorder=1)
    for method, feature, end in ends:
        if feature in place:
            y, style = place[feature] + shift[method], look[method]
            axes.plot([0, end], [y, y], color=style.colour, linewidth=1.2, zorder=2)
            axes.plot([end], [y], style.marker, color=style.colour, markersize=5, markeredgewidth=0, zorder=3)
    axes.set_xlim(-1.08, 1.08)
    down, up = _ENDS[kind]
    axes.set_xticks([-1, 0, 1], [f"−1\nalways {down}", "0\nboth ways", f"1\nalways {up}"])
    axes.set_xlabel("mean / mean magnitude (no unit)")
    if with_legend:
        legend(figure, {m: look[m] for m in methods})
    return figure


class _Grouped(NamedTuple):
    figure: Figure
    axes: Axes
    place: dict[Feature, float]


def _grouped(record: Record, head: str, features: Sequence[Feature], methods: int, *, with_legend: bool) -> _Grouped:
    """Axes with one row per feature under the name of its stream, and where each feature stands."""
    truth = true_features(record, head)
    names: list[str] = []
    place: dict[Feature, float] = {}
    headings: dict[str, float] = {}
    y = 0.0
    for stream in dict.fromkeys(s for s, _ in features):
        headings[stream] = y
        y += 0.9
        mine = [f for s, f in features if s == stream]
        for feature, short in zip(mine, shorten_all(mine, 24), strict=True):
            place[stream, feature] = y
            names.append(f"★ {short}" if feature in truth.get(stream, ()) else short)
            y += 1
    figure, axes = blank(0.7 + y * (0.11 + 0.08 * max(methods, 1)) + 0.2 * with_legend)
    as_rows(axes, [*names, *shorten_all(list(headings))], [*place.values(), *headings.values()])
    for tick in axes.get_yticklabels()[len(names) :]:
        tick.set_fontweight("bold")
        tick.set_color(INK)
    axes.set_ylim(y - 0.4, -0.6)
    return _Grouped(figure, axes, place)
