"""Rows on what was compared: the model, the data, the space, the targets, the methods and the metrics."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.record.row import ABSENT, Count, Row
from xai_mimo.record.words import Better, Family


@dataclass(frozen=True, kw_only=True)
class StreamRow(Row):
    """An input stream of the model.

    Attributes:
        name: of the stream.
        axes: a word for each axis after the rows.
        features: names along the last axis.
        unit: physical unit of its values, "" for none.
        groups: features that stand for one thing, such as the columns of one category; absent where there are none.
    """

    name: str
    axes: tuple[str, ...]
    features: tuple[str, ...]
    unit: str
    groups: Mapping[str, tuple[str, ...]] | None = field(default=None, metadata={ABSENT: True})


@dataclass(frozen=True, kw_only=True)
class HeadRow(Row):
    """A head of the model.

    Attributes:
        name: of the head.
        kind: regression, binary, multiclass, multilabel, ordinal, quantile or survival.
        units: names of its units.
        unit: physical unit of its values, "" for none.
    """

    name: str
    kind: str
    units: tuple[str, ...]
    unit: str


@dataclass(frozen=True, kw_only=True)
class ModelRow(Row):
    """The model that was explained.

    Attributes:
        name: the model's own, or of its type.
        fingerprint: hash of its architecture and weights.
        streams: its input streams.
        heads: its heads.
    """

    name: str
    fingerprint: str
    streams: tuple[StreamRow, ...]
    heads: tuple[HeadRow, ...]


@dataclass(frozen=True, kw_only=True)
class DataRow(Row):
    """The rows that were given.

    Attributes:
        rows: how many.
        explained_rows: how many of them were explained.
        sha256: hash of all rows.
    """

    rows: Count
    explained_rows: Count
    sha256: str


@dataclass(frozen=True, kw_only=True)
class SpaceStream(Row):
    """A stream that the maps lie on.

    Attributes:
        name: of the stream.
        axes: a word for each axis after the rows.
        features: names along the last axis of the maps.
        sources: the model's streams that it depends on.
        groups: of the features, those that stand for several columns of the data, and which; absent where none does.
    """

    name: str
    axes: tuple[str, ...]
    features: tuple[str, ...]
    sources: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]] | None = field(default=None, metadata={ABSENT: True})


@dataclass(frozen=True, kw_only=True)
class SpaceRow(Row):
    """Where the comparison took place.

    Attributes:
        name: "inputs" or "at:<layer>", each perhaps followed by ", by variable"; or "streams".
        text: one sentence on what that means.
        streams: those that the maps lie on; absent from older records.
    """

    name: str
    text: str
    streams: tuple[SpaceStream, ...] | None = field(default=None, metadata={ABSENT: True})


@dataclass(frozen=True, kw_only=True)
class TargetRow(Row):
    """What is explained, one scalar for each row.

    Attributes:
        name: the entry of the maps' head dimension; what all tables call "head".
        head: of the model.
        unit: the unit's name, or "predicted" or "label".
    """

    name: str
    head: str
    unit: str


@dataclass(frozen=True, kw_only=True)
class MethodRow(Row):
    """A method of the comparison.

    Attributes:
        label: what all tables call it; unique.
        name: of the method.
        settings: with which it ran; empty where a ready map does not tell.
        seed: of everything random in it: made of the record's seed and the label, so that no two methods share random
            numbers; ``explain`` with it, the same rows and the same background gives the same map. Null where a ready
            map does not tell.
        signed: whether its maps have a sign.
        speaks_of: "attribution", what the present value did, or "sensitivity", what happens when the feature grows:
            their signs answer different questions; absent from older records.
        space: where its maps were made.
        seconds: that it took (s); null of ready maps.
        reference: BibTeX key, "" for none.
        converged: share of rows that reached the tolerance; null for methods without one.
        unexplained: streams that it says nothing of: zeros there were not measured.
        ready: where a map comes from that was there before the comparison, which took it as it was: it was not run
            again, so it has no ceiling, robustness and randomisation; absent of methods that were run.
    """

    label: str
    name: str
    settings: Mapping[str, Any]
    seed: int | None
    signed: bool
    speaks_of: SpeaksOf | None = field(default=None, metadata={ABSENT: True})
    space: str
    seconds: float | None
    reference: str
    converged: float | None
    unexplained: tuple[str, ...] = ()
    ready: str | None = field(default=None, metadata={ABSENT: True})


@dataclass(frozen=True, kw_only=True)
class MetricRow(Row):
    """What is to be known of a metric of the scores.

    Attributes:
        name: as in the scores.
        family: of metrics.
        title: its name as reports write it.
        better: which values are better: larger, smaller or neither.
        bounds: smallest and largest possible value, null where there is no bound.
        reference: BibTeX key, "" for none.
    """

    name: str
    family: Family
    title: str
    better: Better
    bounds: tuple[float | None, float | None] = (None, None)
    reference: str = ""
