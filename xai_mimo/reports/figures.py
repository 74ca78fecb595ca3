"""The figures of a comparison, for the page and for papers: each a function from the record to a ``Figure``.

Every function takes the record and the name of a target, and returns None where the record holds no number for its
figure. Intervals are those of the record (95 % bootstrap over rows); a value without an interval is a dot alone.
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from matplotlib.figure import Figure

from xai_mimo.core.errors import BadSetting
from xai_mimo.reports.canvas import Format, saved
from xai_mimo.reports.files import make_folder, write_bytes
from xai_mimo.reports.map_figures import direction, feature_map, stream_shares
from xai_mimo.reports.schema import check
from xai_mimo.reports.score_figures import agreement, completeness_gaps, ground_truth, removal_curve

__all__ = [
    "FIGURES",
    "agreement",
    "completeness_gaps",
    "direction",
    "feature_map",
    "ground_truth",
    "removal_curve",
    "save_all",
    "stream_shares",
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


def save_all(record: Mapping[str, Any], folder: str | Path, *, formats: Sequence[Format] = ("pdf",)) -> list[Path]:
    """Save every figure of every head.

    Args:
        record: the comparison record.
        folder: made if missing; nothing is written outside it, whatever the heads are called.
        formats: of "svg", "pdf", "png"; one file each.
    Returns:
        Paths ``<folder>/<number>_<head>_<figure>.<format>``, in the order of heads and figures.
    Raises:
        SchemaError: see ``schema.check``. BadSetting: another format. FileProblem: the folder cannot be written.
    """
    unknown = [f for f in formats if f not in _FORMATS]
    if unknown:
        raise BadSetting(f"figures are saved as {', '.join(_FORMATS)}; got {', '.join(map(repr, unknown))}.")
    record = check(record)
    folder = make_folder(folder)
    paths = []
    for i, target in enumerate(record["targets"], start=1):
        for name, draw in FIGURES.items():
            figure = draw(record, target["name"])
            if figure is not None:
                stem = f"{i:02d}_{_file_name(target['name'])}_{name}"
                paths += [write_bytes(saved(figure, kind), folder / f"{stem}.{kind}") for kind in formats]
    return paths


def _file_name(name: str) -> str:
    """Letters, digits and "-" of a name, at most 40: no path, no reserved character on any system."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:40] or "head"
