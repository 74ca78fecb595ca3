"""What the page shows, picked from the record and put in order; the templates only lay it out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from xai_mimo.record.select import (
    beside,
    feature_ranking,
    head_unit,
    labels,
    left_out,
    of_head,
    space_streams,
    true_features,
)
from xai_mimo.reports.figures.examples import kinds_of_streams
from xai_mimo.reports.figures.palette import Style
from xai_mimo.reports.figures.pictures import notes_of_streams
from xai_mimo.reports.numbers import number, words
from xai_mimo.reports.page.tokens import texts

Record = Mapping[str, Any]
Row = Mapping[str, Any]

VERDICTS = {
    "supported": ("✔", "the evidence supports using this map"),
    "doubtful": ("~", "do not rely on this map alone"),
    "misleading": ("✖", "this map points the wrong way: do not use it"),
    "undecided": ("?", "nothing can be concluded; the head's section says why"),
}
_FLOORS = ("floor_random", "floor_permuted", "ceiling")
_OPEN_AT_MOST = 2
_EXAMPLE_FEATURES = 8
_TABLE_FEATURES = 50


def summary(record: Record) -> list[dict[str, Any]]:
    """For each method: what it is, and its heads by verdict, e.g. ``{"supported": ["risk"], ...}``."""
    return [
        {
            "method": method,
            "heads": {
                verdict: [r["head"] for r in record["verdicts"] if (r["method"], r["verdict"]) == (label, verdict)]
                for verdict in VERDICTS
            },
        }
        for method in record["methods"]
        for label in [method["label"]]
    ]


def matrix(record: Record) -> list[dict[str, Any]]:
    """Rows of the overview: each target with its verdict by method, None where there is none."""
    found = {(r["head"], r["method"]): r for r in record["verdicts"]}
    names = [m["label"] for m in record["methods"]]
    return [
        {"number": i, "name": t["name"], "verdicts": [found.get((t["name"], m)) for m in names]}
        for i, t in enumerate(record["targets"], start=1)
    ]


def tasks(record: Record) -> list[dict[str, Any]]:
    """Task scores side by side: one row per head and metric, one cell per model."""
    rows = record.get("task") or []
    models = labels(rows, "model")
    keys = list(dict.fromkeys((r["head"], r["metric"]) for r in rows))
    found = {(r["head"], r["metric"], r["model"]): r for r in rows}
    return [{"head": h, "metric": metric, "cells": [found.get((h, metric, m)) for m in models]} for h, metric in keys]


def head_view(record: Record, number_of_head: int, draw: Callable[[int, str, str], str | None]) -> dict[str, Any]:
    """Everything the page says about one target.

    Args:
        record: checked.
        number_of_head: from 1, as in the page's anchors.
        draw: ``(number, head, figure name) -> SVG`` or None.
    """
    target = record["targets"][number_of_head - 1]
    name = target["name"]
    scores = of_head(record, "scores", name)
    ranked = feature_ranking(record, name)
    told = set(ranked[:_TABLE_FEATURES])
    features = of_head(record, "features", name)
    notes = [r for r in (*scores, *of_head(record, "shares", name)) if r.get("note")]
    model_head = next((h for h in record["model"]["heads"] if h["name"] == target["head"]), {"kind": "", "unit": ""})
    return {
        "number": number_of_head,
        "name": name,
        "target": target,
        "kind": model_head["kind"],
        "unit": head_unit(record, name),
        "open": number_of_head == 1 or len(record["targets"]) <= _OPEN_AT_MOST,
        "verdicts": of_head(record, "verdicts", name),
        "figure": lambda figure: draw(number_of_head, name, figure),
        "agreement": agreement_table(scores),
        "others": [r for r in scores if r["family"] != "agreement"],
        "differences": of_head(record, "differences", name),
        "shares": of_head(record, "shares", name),
        "features": [r for r in features if not ranked or (r["stream"], r["feature"]) in told],
        "hidden_features": max(0, len(ranked) - _TABLE_FEATURES),
        "gaps": of_head(record, "gaps", name),
        "examples": [example(record, r) for r in of_head(record, "examples", name)],
        "notes": [*labels(notes, "note"), *notes_of_streams(record, name)],
        "rows": max((r["rows"] for r in scores), default=record["data"]["explained_rows"]),
        "true": true_features(record, name),
        "has_regions": not {name, target["head"]}.isdisjoint(record.get("regions") or {}),
    }


def agreement_table(scores: Sequence[Row]) -> list[dict[str, Any]]:
    """Agreement scores with floors and ceiling in one row per metric and pair."""
    return [
        {
            "metric": words(metric) + (f" at {k}" if k else ""),
            "pair": (method, other),
            "value": roles.get("value"),
            "beside": [roles.get(role) for role in _FLOORS],
            "note": "; ".join(dict.fromkeys(r["note"] for r in roles.values() if r.get("note"))),
        }
        for (family, metric, k, method, other), roles in beside(scores).items()
        if family == "agreement"
    ]


def example(record: Record, row: Row) -> dict[str, Any]:
    """One explained row: its leading features, what they were, and what each method says of them; its texts.

    Steps of a series are summed, for attributions; inputs are shown only where a feature has one value. Images and
    texts are shown as such and have no features in the table.
    """
    names = {s["name"]: s["features"] for s in space_streams(record)}
    kinds, silent = kinds_of_streams(record, row), left_out(record)
    cells: dict[tuple[str, str], dict[str, float]] = {}
    for method, streams in row["values"].items():
        for stream, values in streams.items():
            if kinds[stream] in ("image", "tokens") or stream in silent.get(method, ()):
                continue
            summed = _last_axis(values)
            for feature, value in zip(_feature_names(names.get(stream, []), len(summed)), summed, strict=True):
                cells.setdefault((stream, feature), {})[method] = value
    largest = {
        m: max((abs(v[m]) for v in cells.values() if m in v), default=0.0) or 1.0
        for m in labels(_methods(record), "label")
    }
    ranked = sorted(cells, key=lambda key: -max(abs(v) / largest[m] for m, v in cells[key].items()))
    return {
        **row,
        "label": _label(row["label"]),
        "note": row.get("note", ""),
        "texts": texts(record, row),
        "source": row,
        "hidden": max(0, len(ranked) - _EXAMPLE_FEATURES),
        "features": [
            {
                "stream": stream,
                "feature": feature,
                "marked": feature in _marked(row, stream, names.get(stream, [])),
                "input": _input(row["inputs"].get(stream), names.get(stream, []), feature),
                "cells": [_cell(cells[stream, feature].get(m), largest[m]) for m in largest],
            }
            for stream, feature in ranked[:_EXAMPLE_FEATURES]
        ],
    }


def _methods(record: Record) -> Sequence[Row]:
    methods: Sequence[Row] = record["methods"]
    return methods


def _cell(value: float | None, largest: float) -> dict[str, Any]:
    width = 0 if value is None else round(100 * abs(value) / largest)
    return {"value": value, "width": width, "side": "up" if (value or 0) >= 0 else "down"}


def _last_axis(values: Any) -> list[float]:
    """Sums over all axes but the last; a number alone (a whole stream) as a list of one."""
    if not isinstance(values, list):
        return [values]
    if values and isinstance(values[0], list):
        return [sum(column) for column in zip(*(_last_axis(part) for part in values), strict=True)]
    return values


def _feature_names(names: Sequence[str], count: int) -> list[str]:
    if len(names) == count:
        return list(names)
    return ["(whole stream)"] if count == 1 else [str(i) for i in range(count)]


def _input(values: Any, names: Sequence[str], feature: str) -> float | None:
    if not isinstance(values, list) or any(isinstance(v, list) for v in values):
        return None
    found = dict(zip(_feature_names(names, len(values)), values, strict=True))
    return found.get(feature)


def _marked(row: Row, stream: str, names: Sequence[str]) -> list[str]:
    """Features of a stream that a row marks as known to matter, somewhere; none where positions alone are."""
    given = np.asarray(row.get("region", {}).get(stream, []))
    if given.size == 0 or given.shape[-1] != len(names):
        return []
    is_marked = np.any(given.reshape(-1, len(names)) > 0, axis=0)
    return [name for i, name in enumerate(names) if is_marked[i]]


def _label(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–" if value is None else str(value)
    return number(value)


def key_of(methods: Mapping[str, Style]) -> list[dict[str, str]]:
    """The page's legend."""
    return [{"label": label, "colour": style.colour, "glyph": style.glyph} for label, style in methods.items()]
