"""What the page says of single rows: leading features, what they were, and what each method says of them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xai_mimo.record.maps import Example
from xai_mimo.record.row import Nested
from xai_mimo.record.rows import Record
from xai_mimo.record.select import signed_labels, space_streams, unexplained_streams
from xai_mimo.record.subject import HeadRow
from xai_mimo.reports.figures import pictures
from xai_mimo.reports.figures.examples import kinds_of_streams
from xai_mimo.reports.numbers import number
from xai_mimo.reports.page.drawings import Drawing, draw_pictures
from xai_mimo.reports.page.tokens import Text, texts

FEATURES_SHOWN = 8


@dataclass(frozen=True)
class Bar:
    """What one method says of a feature: the value, the width of its bar in percent of the largest, and its side.

    The side is "up" or "down" of a method with a sign, "weight" of one without.
    """

    value: float | None
    width: int
    side: str


@dataclass(frozen=True)
class FeatureLine:
    """A feature of a row.

    Attributes:
        stream, feature: names.
        marked: whether the row marks it as known to matter.
        input: its value, None where it has several; of a category the name of the row's level.
        bars: one for each method of the record.
    """

    stream: str
    feature: str
    marked: bool
    input: float | str | None
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class ExampleView:
    """What the page says of one row.

    Attributes:
        title: its number, what was explained of it, and the label where it is known.
        row: its number in the data.
        note: what else to know.
        texts: its streams of tokens.
        pictures: its images and series.
        features: the leading ones of all other streams. hidden: how many more there are.
    """

    title: str
    row: int
    note: str
    texts: tuple[Text, ...]
    pictures: tuple[Drawing, ...]
    features: tuple[FeatureLine, ...]
    hidden: int


def view_of_example(record: Record, row: Example, key: str) -> ExampleView:
    """What the page says of one row; ``key`` tells its drawings from others of the page."""
    lines = feature_lines(record, row)
    return ExampleView(
        title=title_of_example(record, row),
        row=row.row,
        note=row.note,
        texts=tuple(texts(record, row)),
        pictures=draw_pictures(pictures.of_example(record, row), f"row {row.row}", key),
        features=tuple(lines[:FEATURES_SHOWN]),
        hidden=max(0, len(lines) - FEATURES_SHOWN),
    )


def feature_lines(record: Record, row: Example) -> list[FeatureLine]:
    """Features of a row, the one first that has the largest share of some method's largest value.

    Steps of a series are summed, for attributions; inputs are shown only where a feature has one value. Images and
    texts are shown as such and have no features here.
    """
    names = {s.name: s.features for s in space_streams(record)}
    kinds, left_out, signed = kinds_of_streams(record, row), unexplained_streams(record), signed_labels(record)
    values: dict[tuple[str, str], dict[str, float]] = {}
    for method, streams in row.values.items():
        for stream, nested in streams.items():
            if kinds[stream] in ("image", "tokens") or stream in left_out.get(method, ()):
                continue
            summed = _last_axis(nested)
            for feature, value in zip(_feature_names(names.get(stream, ()), len(summed)), summed, strict=True):
                values.setdefault((stream, feature), {})[method] = value
    largest = {
        m.label: max((abs(v[m.label]) for v in values.values() if m.label in v), default=0.0) or 1.0
        for m in record.methods
    }
    ranked = sorted(values, key=lambda name: -max(abs(v) / largest[m] for m, v in values[name].items()))
    return [
        FeatureLine(
            stream,
            feature,
            feature in _marked(row, stream, names.get(stream, ())),
            _level(row, stream, feature) or _input(row.inputs.get(stream), names.get(stream, ()), feature),
            tuple(_bar(values[stream, feature].get(m), largest[m], is_signed=m in signed) for m in largest),
        )
        for stream, feature in ranked
    ]


def _bar(value: float | None, largest: float, *, is_signed: bool) -> Bar:
    width = 0 if value is None else round(100 * (abs(value) / largest))
    side = ("up" if (value or 0) >= 0 else "down") if is_signed else "weight"
    return Bar(value, width, side)


def _last_axis(values: Nested) -> list[float]:
    """Sums over all axes but the last; a number alone (a whole stream) as a list of one."""
    if not isinstance(values, tuple):
        return [values]
    if values and isinstance(values[0], tuple):
        return [_finite(sum(column)) for column in zip(*(_last_axis(part) for part in values), strict=True)]
    return list(values)


def _finite(value: float) -> float:
    return max(-sys.float_info.max, min(sys.float_info.max, value))


def _feature_names(names: Sequence[str], count: int) -> list[str]:
    if len(names) == count:
        return list(names)
    return ["(whole stream)"] if count == 1 else [str(i) for i in range(count)]


def _level(row: Example, stream: str, feature: str) -> str:
    return (row.levels or {}).get(stream, {}).get(feature, "")


def _input(values: Nested | None, names: Sequence[str], feature: str) -> float | None:
    if not isinstance(values, tuple) or any(isinstance(v, tuple) for v in values):
        return None
    by_name = dict(zip(_feature_names(names, len(values)), values, strict=True))
    return by_name.get(feature)


def _marked(row: Example, stream: str, names: Sequence[str]) -> list[str]:
    """Features that a row marks as known to matter, at some position at least; none where positions alone are."""
    region = np.asarray(row.region.get(stream, ()))
    if region.size == 0 or region.shape[-1] != len(names):
        return []
    is_marked = np.any(region.reshape(-1, len(names)) > 0, axis=0)
    return [name for i, name in enumerate(names) if is_marked[i]]


def title_of_example(record: Record, row: Example) -> str:
    """Which row, which unit of it was explained, its value, and the label.

    Example: "Row 9: predicted class cat (7.51 logit), label dog".
    """
    target = next(t for t in record.targets if t.name == row.head)
    head = next((h for h in record.model.heads if h.name == target.head), None)
    value = f"{number(row.prediction)} {head.unit if head else ''}".rstrip()
    text = f"prediction {value}"
    if target.unit in ("predicted", "label") and row.unit is not None:
        word = f"predicted {_one(head)}" if target.unit == "predicted" else "explained its label"
        text = f"{word} {row.unit} ({value})"
    label = "" if row.label is None else f", label {_label(row.label, head)}"
    return f"Row {row.row}: {text}{label}"


def _one(head: HeadRow | None) -> str:
    return "level" if head is not None and head.kind == "ordinal" else "class"


def _label(value: Any, head: HeadRow | None) -> str:
    """A label in words: classes by their names, choices as whole numbers, quantities as numbers."""
    if isinstance(value, tuple):  # of a head with several units
        return f"[{', '.join(_label(part, head) for part in value)}]"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if head is None or head.kind in ("regression", "quantile") or not float(value).is_integer():
        return number(value)
    is_level = head.kind == "ordinal" and "cumulative" not in head.unit
    is_class = (head.kind == "multiclass" or is_level) and 0 <= value < len(head.units)
    return head.units[int(value)] if is_class else str(int(value))
