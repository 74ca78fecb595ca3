"""The figures of a comparison, for the page and for papers: each a function from the record to a ``Figure``.

Every function takes the record and the name of a target, and returns None where the record holds no number for its
figure. Intervals are those of the record (95 % bootstrap over rows); a value without an interval is a dot alone.
"""

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from matplotlib.figure import Figure

from xai_mimo.core.errors import BadSetting
from xai_mimo.record.check import check, to_dict
from xai_mimo.record.files import make_folder, write_bytes
from xai_mimo.record.rows import Record
from xai_mimo.record.select import of_head
from xai_mimo.reports.figures import pictures
from xai_mimo.reports.figures.canvas import Format, saved
from xai_mimo.reports.figures.examples import example_map
from xai_mimo.reports.figures.layers import layer_map
from xai_mimo.reports.figures.maps import direction, feature_map, stream_shares
from xai_mimo.reports.figures.scores import agreement, completeness_gaps, ground_truth, removal_curve
from xai_mimo.reports.figures.streams import stream_map, streams_with_positions

__all__ = [
    "FIGURES",
    "agreement",
    "completeness_gaps",
    "direction",
    "example_map",
    "feature_map",
    "ground_truth",
    "layer_map",
    "removal_curve",
    "save_all",
    "stream_map",
    "stream_shares",
    "streams_with_positions",
]

FIGURES: Mapping[str, Callable[..., Figure | None]] = {
    "stream_shares": stream_shares,
    "feature_map": feature_map,
    "direction": direction,
    "agreement": agreement,
    "deletion": functools.partial(removal_curve, kind="deletion"),
    "insertion": functools.partial(removal_curve, kind="insertion"),
    "completeness_gaps": completeness_gaps,
    "ground_truth": ground_truth,
}
"""Name -> ``draw(record, head, with_legend=True)``, in the order of the report."""

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
        SchemaError: see ``schema.check``. BadSetting: another format. FileProblem: the folder cannot be written.
    """
    unknown = [f for f in formats if f not in _FORMATS]
    if unknown:
        raise BadSetting(f"figures are saved as {', '.join(_FORMATS)}; got {', '.join(map(repr, unknown))}.")
    record = to_dict(check(record))
    folder = make_folder(folder)
    return [
        write_bytes(saved(figure, kind), folder / f"{stem}.{kind}")
        for stem, figure in _all_figures(record)
        for kind in formats
    ]


def _all_figures(record: Mapping[str, Any]) -> Iterator[tuple[str, Figure]]:
    """Every figure with the name of its file."""
    for i, target in enumerate(record["targets"], start=1):
        head = target["name"]
        start = f"{i:02d}_{_file_name(head)}"
        for name, draw in FIGURES.items():
            figure = draw(record, head)
            if figure is not None:
                yield f"{start}_{name}", figure
        for k, picture in enumerate(pictures.of_streams(record, head), start=1):
            yield f"{start}_stream{k}_{_file_name(picture.name)}", picture.figure
        for row in of_head(record, "examples", head):
            for k, picture in enumerate(pictures.of_example(record, row), start=1):
                yield f"{start}_row{row['row']}_{k}_{_file_name(picture.name)}", picture.figure
    for i, (layer, shown, _) in enumerate(pictures.of_layers(record), start=1):
        for k, picture in enumerate(shown, start=1):
            yield f"layer{i:02d}_{_file_name(layer)}_{k:02d}_{_file_name(picture.name)}", picture.figure


def _file_name(name: str) -> str:
    """Letters, digits and "-" of a name, at most 40: no path, no reserved character on any system."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:40] or "head"
