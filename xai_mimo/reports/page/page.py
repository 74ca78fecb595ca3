"""The comparison as one HTML file that needs nothing else: no network, no fonts, no folder beside it.

The same record gives the same bytes: no clock, no random ids.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from xai_mimo.record.check import check, to_dict
from xai_mimo.record.files import write_text
from xai_mimo.record.rows import Record
from xai_mimo.record.select import labels, left_out
from xai_mimo.reports import numbers
from xai_mimo.reports.figures import pictures
from xai_mimo.reports.figures.catalogue import FIGURES
from xai_mimo.reports.figures.palette import styles
from xai_mimo.reports.figures.svg import inline_svg
from xai_mimo.reports.page import sections as view

_FIGURE_TITLES = {
    "stream_shares": "share of each stream by method",
    "feature_map": "mean magnitude of the leading features by method",
    "direction": "direction in which the leading features push the prediction",
    "agreement": "agreement of each pair of methods with floors and ceiling",
    "deletion": "deletion curves with the random control",
    "insertion": "insertion curves with the random control",
    "completeness_gaps": "quantiles of the completeness gap",
    "ground_truth": "scores against the features known to matter",
}


def render(record: Record | Mapping[str, Any]) -> str:
    """The report as HTML text.

    Args:
        record: the comparison record (docs/architecture.md), e.g. ``Comparison.to_dict()`` or ``json_file.from_json``.
    Returns:
        One self-contained page; equal records give equal text.
    Raises:
        SchemaError: see ``schema.check``.
    """
    record = to_dict(check(record))

    def draw(head_number: int, head: str, name: str) -> str | None:
        figure = FIGURES[name](record, head, with_legend=name == "agreement" or name == "completeness_gaps")
        if figure is None:
            return None
        description = f"Figure: {_FIGURE_TITLES[name]}, head {head}. The numbers are in the tables of this section."
        return inline_svg(figure, key=f"h{head_number}-{name.replace('_', '-')}", description=description)

    def show(shown: Iterable[pictures.Picture], about: str, key: str) -> list[dict[str, str]]:
        return [
            {
                "title": p.title,
                "caption": p.caption,
                "svg": inline_svg(p.figure, key=f"{key}-{i}", description=f"Figure: {p.title}, {about}. {p.caption}"),
            }
            for i, p in enumerate(shown, start=1)
        ]

    heads = [view.head_view(record, i, draw) for i in range(1, len(record["targets"]) + 1)]
    return (
        _environment()
        .get_template("report.html")
        .render(
            record=record,
            heads=heads,
            summary=view.summary(record),
            matrix=view.matrix(record),
            left_out=left_out(record),
            tasks=view.tasks(record),
            task_models=labels(record.get("task") or [], "model"),
            verdict_words=view.VERDICTS,
            key=view.key_of(styles(record)),
            stream_pictures=lambda head: show(
                pictures.of_streams(record, head["name"]), f"head {head['name']}", f"h{head['number']}-s"
            ),
            example_pictures=lambda head, row, i: show(
                pictures.of_example(record, row), f"row {row['row']}", f"h{head['number']}-e{i}"
            ),
            layers=[
                {"name": layer, "pictures": show(shown, f"layer {layer}", f"l{i}"), "notes": notes}
                for i, (layer, shown, notes) in enumerate(pictures.of_layers(record), start=1)
            ],
        )
    )


def write(record: Record | Mapping[str, Any], path: str | Path) -> Path:
    """Write the report to a file, whole or not at all.

    Returns:
        The path.
    Raises:
        SchemaError: see ``schema.check``. FileProblem: the file cannot be written.
    """
    return write_text(render(record), path)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("xai_mimo.reports.page", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=numbers.number,
        percent=numbers.percent,
        interval=numbers.interval,
        whole=numbers.whole,
        words=numbers.words,
        settings=_settings,
    )
    return environment


def _settings(values: Mapping[str, Any]) -> str:
    """Settings as ``name = value`` in one line each."""
    return "\n".join(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items())
