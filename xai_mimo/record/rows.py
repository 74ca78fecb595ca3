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
from xai_mimo.record.maps import Example, FeatureRow, MapRow, Share, StreamMap
from xai_mimo.record.results import Curve, Difference, Gap, Score, TaskRow, Verdict
from xai_mimo.record.row import ABSENT, Row, plain
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
