"""Rows on the maps themselves: of streams, of features, over positions, of layers, and of single rows of the data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xai_mimo.core.errors import SchemaError
from xai_mimo.record.frozen import shape_of
from xai_mimo.record.row import ABSENT, Count, Nested, NotedRow, Picture, Row


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
        shapes = {}
        for place, array in arrays.items():
            try:
                shapes[place] = shape_of(array)
            except ValueError as err:
                raise SchemaError(f"{place} {err}") from err
        self._check_alike(shapes)

    def _check_alike(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Maps of one stream lie over the same places."""
        for stream in dict.fromkeys(s for streams in self.values.values() for s in streams):
            of_maps = {m: shapes[f"values.{m}.{stream}"] for m, streams in self.values.items() if stream in streams}
            if len(set(of_maps.values())) > 1:
                raise SchemaError(f"values of the stream '{stream}' must have one shape in all methods; got {of_maps}")
