"""The figures of a comparison, for the page and for papers: one entry each.

To add one: a function from the record and the name of a target to a ``Figure`` (None where the record holds no number
for it), an entry here, and its name in a section of ``page.sections``. Intervals are those of the record (95 %
over rows); a value without an interval is a dot alone.
"""

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, get_args

from matplotlib.figure import Figure

from xai_mimo.core.errors import BadSetting
from xai_mimo.record.check import check
from xai_mimo.record.files import make_folder, write_bytes
from xai_mimo.record.rows import Record
from xai_mimo.record.select import of_head, true_features
from xai_mimo.reports.figures import pictures
from xai_mimo.reports.figures.canvas import Format, saved
from xai_mimo.reports.figures.maps import direction, feature_map, stream_shares
from xai_mimo.reports.figures.scores import agreement, completeness_gaps, ground_truth, removal_curve
from xai_mimo.reports.numbers import whole


class Draw(Protocol):
    """Draws one figure of one target."""

    def __call__(self, record: Record, head: str, *, with_legend: bool = True) -> Figure | None:
        """The figure; None where the record holds no number for it."""
        ...


@dataclass(frozen=True)
class HeadFigure:
    """A figure that there is of every target.

    Attributes:
        name: in file names, and in the sections of the page.
        title: above it.
        description: what a reader who cannot see it is told.
        caption: below it, of the record and the name of a target.
        draw: makes it.
        has_own_legend: whether its marks are explained inside it on the page too, where the methods' colours stand
            above all figures.
    """

    name: str
    title: str
    description: str
    caption: Callable[[Record, str], str]
    draw: Draw
    has_own_legend: bool = False


def _over(record: Record, text: str) -> str:
    return f"Mean over {whole(record.data.explained_rows)} rows with 95 % intervals. {text}"


def _mean_by_magnitude(record: Record) -> str:
    return f"mean over {whole(record.data.explained_rows)} rows, divided by the mean magnitude."


def _scored_rows(record: Record, head: str) -> str:
    return whole(max((r.rows for r in of_head(record.scores, head)), default=record.data.explained_rows))


def _feature_map_caption(record: Record, head: str) -> str:
    starred = " ★ known to matter." if true_features(record, head) else ""
    return _over(
        record,
        "Each method's magnitudes sum to 100 % over the features of the record, so that methods of different units can "
        f"stand side by side.{starred}",
    )


def _ground_truth_caption(record: Record, head: str) -> str:
    model_head = next(t.head for t in record.targets if t.name == head)
    has_regions = not {head, model_head}.isdisjoint(record.regions or {})
    return (
        f"Against what is known to matter ({'outlined in the examples' if has_regions else '★'}), over "
        f"{_scored_rows(record, head)} rows with 95 % intervals; the dotted line is chance."
    )


_CATALOGUE = (
    HeadFigure(
        "feature_map",
        "Leading features",
        "mean magnitude of the leading features by method",
        _feature_map_caption,
        feature_map,
    ),
    HeadFigure(
        "stream_shares",
        "Stream shares",
        "share of each stream by method",
        lambda record, head: _over(record, "The shares of each method sum to 100 %."),
        stream_shares,
    ),
    HeadFigure(
        "direction",
        "Direction: what the present value did",
        "direction in which the values of the leading features pushed the prediction",
        lambda record, head: (
            f"Signed attributions only; {_mean_by_magnitude(record)} Near 0, a feature's values raised some "
            "predictions and lowered others."
        ),
        direction,
    ),
    HeadFigure(
        "direction_of_growth",
        "Direction: when the feature grows",
        "direction in which the prediction moves when the leading features grow",
        lambda record, head: (
            f"Sensitivities (gradients) only; {_mean_by_magnitude(record)} Near 0, the prediction of some rows rises "
            "with the feature and that of others falls. It does not tell what a feature's present value did."
        ),
        functools.partial(direction, kind="sensitivity"),
    ),
    HeadFigure(
        "deletion",
        "Deletion",
        "deletion curves with the random control",
        lambda record, head: _over(
            record,
            "A faithful map names what moves the prediction: the curve rises early, above the random order.",
        ),
        functools.partial(removal_curve, kind="deletion"),
    ),
    HeadFigure(
        "insertion",
        "Insertion",
        "insertion curves with the random control",
        lambda record, head: _over(
            record,
            "With the top features kept, the prediction comes back: the curve falls early, below the random order.",
        ),
        functools.partial(removal_curve, kind="insertion"),
    ),
    HeadFigure(
        "agreement",
        "Agreement between methods",
        "agreement of each pair of methods with floors and ceiling",
        lambda record, head: (
            f"Mean over {_scored_rows(record, head)} rows with 95 % intervals. The grey band runs from the higher "
            "floor to the ceiling: inside it, agreement is more than chance and less than a method's own noise."
        ),
        agreement,
        has_own_legend=True,
    ),
    HeadFigure(
        "ground_truth",
        "Ground truth",
        "scores against the features known to matter",
        _ground_truth_caption,
        ground_truth,
    ),
    HeadFigure(
        "completeness_gaps",
        "Completeness gaps",
        "quantiles of the completeness gap",
        lambda record, head: (
            f"Ticks: median, 90th and 99th percentile and maximum over {whole(record.data.explained_rows)} rows; gaps "
            "too small for the axis, zero among them, stand at its left edge."
        ),
        completeness_gaps,
        has_own_legend=True,
    ),
)

FIGURES: Mapping[str, HeadFigure] = {figure.name: figure for figure in _CATALOGUE}
"""By name, in the order of the page."""

_FORMATS = get_args(Format)


def save_all(
    record: Record | Mapping[str, Any], folder: str | Path, *, formats: Sequence[Format] = ("pdf",)
) -> list[Path]:
    """Save every figure of every head, of its example rows, and of the layers' maps.

    Args:
        record: the comparison record.
        folder: made if missing; nothing is written outside it, whatever the heads are called.
        formats: of "svg", "pdf", "png"; one file each.
    Returns:
        Paths ``<folder>/<number>_<head>_<figure>.<format>``, in the order of heads and figures; then
        ``layer<number>_<layer>_<number>_<map>.<format>``.
    Raises:
        SchemaError: see ``record.check``. BadSetting: another format. FileProblem: the folder cannot be written.
    """
    unknown = [f for f in formats if f not in _FORMATS]
    if unknown:
        raise BadSetting(f"figures are saved as {', '.join(_FORMATS)}; got {', '.join(map(repr, unknown))}.")
    record = check(record)
    folder = make_folder(folder)
    return [
        write_bytes(saved(figure, kind), folder / f"{stem}.{kind}")
        for stem, figure in _all_figures(record)
        for kind in formats
    ]


def _all_figures(record: Record) -> Iterator[tuple[str, Figure]]:
    """Every figure with the name of its file."""
    for i, target in enumerate(record.targets, start=1):
        head = target.name
        start = f"{i:02d}_{_file_name(head)}"
        for name, entry in FIGURES.items():
            figure = entry.draw(record, head)
            if figure is not None:
                yield f"{start}_{name}", figure
        for k, picture in enumerate(pictures.of_streams(record, head), start=1):
            yield f"{start}_stream{k}_{_file_name(picture.name)}", picture.figure
        for row in of_head(record.examples, head):
            for k, picture in enumerate(pictures.of_example(record, row), start=1):
                yield f"{start}_row{row.row}_{k}_{_file_name(picture.name)}", picture.figure
    for i, (layer, shown, _) in enumerate(pictures.of_layers(record), start=1):
        for k, picture in enumerate(shown, start=1):
            yield f"layer{i:02d}_{_file_name(layer)}_{k:02d}_{_file_name(picture.name)}", picture.figure


def _file_name(name: str) -> str:
    """Letters, digits and "-" of a name, at most 40: no path, no reserved character on any system."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:40] or "head"
