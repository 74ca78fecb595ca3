"""The comparison record as types: what ``comparison`` writes and all that ``reports``, ``studies`` and ``cli`` read.

Rows are plain frozen dataclasses. mypy then knows every attribute, so a misspelt one is an error before anything runs;
a row is made in code without a second validation of values that are right by construction; and this file needs no
package at all. Pydantic, a dependency anyway, reads the same classes at the one door where values come from outside
(``check.from_dict``): strictly, naming every place that is wrong. Models of pydantic itself would validate on every
construction and stay mutable inside (their lists); msgspec takes nine tenths of the time, but stops at the first error
and would be one more dependency. A record of 11 MB, with 430 000 nested values and 6 000 scores, is read in .45 s, of
which the rows take .27 (msgspec .24) and JSON itself the rest (``benchmarks/record_reading.py``).

What holds of every row, however it was made: it cannot be changed (lists become tuples, dictionaries read-only
mappings); every number is finite; None stands with a note that says why, but where the attribute says otherwise.

The lines under "Attributes" are the documentation of the layout: ``describe`` makes the table in docs/architecture.md
of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from xai_mimo.core.errors import SchemaError
from xai_mimo.record.frozen import shape_of
from xai_mimo.record.results import Curve, Difference, Gap, Score, TaskRow, Verdict
from xai_mimo.record.row import ABSENT, Count, Nested, NotedRow, Picture, Row, plain
from xai_mimo.record.subject import (
    DataRow,
    MethodRow,
    MetricRow,
    ModelRow,
    SpaceRow,
    TargetRow,
)
from xai_mimo.record.words import RANDOM

SCHEMA = "xai_mimo.comparison/1"


@dataclass(frozen=True, kw_only=True)
class Share(NotedRow):
    """A stream's share of the magnitude of a method's map, from 0 to 1.

    Attributes:
        method: label.
        head: name of the target.
        stream: name.
        mean: over rows.
        low: lower end of the 95 % interval over rows.
        high: upper end.
        note: why something is null, or what else to know.
    """

    method: str
    head: str
    stream: str
    mean: float | None
    low: float | None
    high: float | None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class FeatureRow(NotedRow):
    """What a method gives one feature, in the unit of its maps; the 200 largest features.

    Attributes:
        method: label.
        head: name of the target.
        stream: name.
        feature: name along the stream's last axis, values and magnitudes summed over its other axes; "(all places)"
            where it has positions and no more than one channel, or words.
        mean: over rows, with its sign.
        mean_abs: mean magnitude over rows.
        low: lower end of the 95 % interval of ``mean_abs`` over rows.
        high: upper end.
        note: why something is null, or what else to know.
    """

    method: str
    head: str
    stream: str
    feature: str
    mean: float | None
    mean_abs: float | None
    low: float | None
    high: float | None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class StreamMap(Picture):
    """Where in a stream with positions a method's map lies; channels of images summed; none for tokens.

    All stream maps hold at most 400 000 values: larger images come in square blocks of pixels, summed, larger series
    are null; the note says so.

    Attributes:
        method: label.
        head: name of the target.
        stream: name.
        axes: a word for each level of the nested lists.
        coords: labels along an axis, ``{axis: [label, ...]}``.
        mean: over rows, with its sign, nested lists over the axes.
        mean_abs: mean magnitude over rows; over ``total`` it is a share of the map.
        total: mean magnitude of the whole map, all streams together.
        note: why something is null, or what else to know.
    """

    method: str
    head: str
    stream: str
    axes: tuple[str, ...]
    coords: Mapping[str, tuple[str, ...]]
    mean: Nested | None
    mean_abs: Nested | None
    total: float
    note: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_shape(self.mean)
        self._check_shape(self.mean_abs)


@dataclass(frozen=True, kw_only=True)
class MapRow(Picture):
    """A map that a layer sows, mean over rows; without what an interception method of the comparison shows already.

    At most 65 536 values each and 262 144 in all; larger ones are null.

    Attributes:
        layer: path of the layer.
        name: of the map.
        axes: a word for each level of the nested lists.
        coords: labels along an axis, ``{axis or "axis.label": [label, ...]}``.
        mean: over rows, nested lists over the axes.
        rows: that it was read on.
        reference: BibTeX key, "" for none.
        note: why something is null, or what else to know.
    """

    layer: str
    name: str
    axes: tuple[str, ...]
    coords: Mapping[str, tuple[str, ...]]
    mean: Nested | None
    rows: Count
    reference: str
    note: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_shape(self.mean)


@dataclass(frozen=True, kw_only=True)
class Example(Row):
    """One row, and what every method says of it.

    All examples hold at most 400 000 values, one stream of an example 12 288: larger images come in square blocks of
    pixels (attributions summed, inputs averaged), other streams are left out, and the note says so.

    Attributes:
        row: its number in the data.
        head: name of the target.
        unit: name of the head's unit that is explained in this row, which differs from row to row where the target's
            unit is "predicted" or "label"; absent from older records.
        prediction: the target's value.
        label: the true value; null where it is not known.
        inputs: nested lists, ``{stream: values}``; of a group of features the mean.
        values: the maps, ``{method: {stream: values}}``.
        words: of tokens, ids where there is no vocabulary, ``{stream: [word, ...]}``.
        region: share of each position that the truth marks in this row, ``{stream: values}``, with axes of length 1
            where one mark holds for all; of truth given as regions, in the space "inputs".
        levels: of categories, the level that the row has, ``{stream: {group: level}}``; absent where there are none.
        note: what else to know.
    """

    row: int
    head: str
    unit: str | None = field(default=None, metadata={ABSENT: True})
    prediction: float
    label: Any
    inputs: Mapping[str, Nested]
    values: Mapping[str, Mapping[str, Nested]]
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    region: Mapping[str, Nested] = field(default_factory=dict)
    levels: Mapping[str, Mapping[str, str]] | None = field(default=None, metadata={ABSENT: True})
    note: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        arrays = {f"values.{m}.{s}": a for m, streams in self.values.items() for s, a in streams.items()}
        arrays |= {f"inputs.{s}": a for s, a in self.inputs.items()} | {
            f"region.{s}": a for s, a in self.region.items()
        }
        for place, array in arrays.items():
            try:
                shape_of(array)
            except ValueError as err:
                raise SchemaError(f"{place} {err}") from err


@dataclass(frozen=True, kw_only=True)
class Record(Row):
    """A comparison as plain values: what the JSON file holds and all that a report reads.

    Attributes:
        schema: version of this layout.
        title: of the report.
        created: when, ISO 8601.
        seed: of everything random.
        command: how to make it again, "" if not from the command line.
        settings: of the scores (``xai_mimo.comparison.settings.Settings``).
        model: that was explained.
        data: the rows that were given.
        space: where the comparison took place.
        targets: what is explained; at least one.
        methods: with which; at least one.
        metrics: what the metrics of the scores mean; absent from older records.
        scores: one for each metric, method (or pair) and role.
        differences: between methods, and from the controls.
        shares: of streams.
        features: the largest.
        curves: of deletion and insertion.
        gaps: of completeness, for the methods that have a baseline.
        maps: sown by layers.
        stream_maps: of streams with positions.
        examples: single rows.
        verdicts: one for each head and method.
        task: task scores: of a study, or over the labels that were given.
        truth: features known to matter as they were given, of the model's inputs, ``{head: {stream: [feature, ...]}}``;
            null without any.
        regions: truth given as regions: the mean area of each, ``{head: {stream: share}}``.
        true_features: the truth as it was scored, in the space of the comparison, ``{target: {stream: [feature,
            ...]}}``; absent from older records.
        versions: of packages, ``{package: version}``.
        references: BibTeX entries by key.
    """

    schema: Literal["xai_mimo.comparison/1"] = "xai_mimo.comparison/1"
    title: str
    created: str
    seed: int
    command: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    model: ModelRow
    data: DataRow
    space: SpaceRow
    targets: tuple[TargetRow, ...]
    methods: tuple[MethodRow, ...]
    metrics: tuple[MetricRow, ...] = ()
    scores: tuple[Score, ...]
    differences: tuple[Difference, ...] = ()
    shares: tuple[Share, ...]
    features: tuple[FeatureRow, ...]
    curves: tuple[Curve, ...]
    gaps: tuple[Gap, ...]
    maps: tuple[MapRow, ...] = ()
    stream_maps: tuple[StreamMap, ...] = ()
    examples: tuple[Example, ...]
    verdicts: tuple[Verdict, ...]
    task: tuple[TaskRow, ...] = ()
    truth: Mapping[str, Mapping[str, tuple[str, ...]]] | None
    regions: Mapping[str, Mapping[str, float]] | None = None
    true_features: Mapping[str, Mapping[str, tuple[str, ...]]] | None = field(default=None, metadata={ABSENT: True})
    versions: Mapping[str, str]
    references: Mapping[str, str]

    def __post_init__(self) -> None:
        super().__post_init__()
        heads = _unique((t.name for t in self.targets), "targets")
        methods = _unique((m.label for m in self.methods), "methods")
        by_head = ("scores", "differences", "shares", "features", "curves", "gaps", "examples", "verdicts")
        for table in (*by_head, "stream_maps"):
            _check_known(getattr(self, table), "head", heads, table)
        for table in ("shares", "features", "gaps", "verdicts", "stream_maps"):
            _check_known(getattr(self, table), "method", methods, table)
        for table in ("scores", "curves"):
            _check_known(getattr(self, table), "method", [*methods, RANDOM], table)
        if self.metrics:  # absent from older records
            for table in ("scores", "differences"):
                _check_known(getattr(self, table), "metric", [m.name for m in self.metrics], table)

    if not TYPE_CHECKING:  # a misspelt table in our own code must stay a type error

        def __getitem__(self, name: str) -> Any:
            """A table by its name as lists and dictionaries: how version 0.1.0 gave the record."""
            if name not in self.__dataclass_fields__:
                raise KeyError(name)
            return plain(getattr(self, name))


def _unique(names: Iterable[str], table: str) -> list[str]:
    listed = list(names)
    if not listed:
        raise SchemaError(f"{table}: there must be at least one")
    twice = sorted({name for name in listed if listed.count(name) > 1})
    if twice:
        raise SchemaError(f"the record's {table} must have different names; given more than once: {', '.join(twice)}.")
    return listed


def _check_known(rows: Sequence[Any], key: str, known: Sequence[str], table: str) -> None:
    for i, row in enumerate(rows):
        if getattr(row, key) not in known:
            raise SchemaError(
                f"{table}[{i}] is about {key} {getattr(row, key)!r}, which the record does not declare; known: "
                f"{', '.join(known)}."
            )
