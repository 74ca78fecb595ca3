"""What a loader or generator returns: named streams, labelled heads and what is known about them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from xai_mimo.core.door import check_inputs, count_rows
from xai_mimo.core.errors import ShapeMismatch
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array, Head, Stream

Truth = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Features that a head really depends on: ``{head: {stream: (feature, ...)}}``; an empty mapping is a null head."""


@dataclass(frozen=True)
class Data:
    """Rows of several streams with the labels of several heads.

    Attributes:
        name: what the data are called in reports.
        inputs: ``{stream: (sample, feature)}`` in float64, in the units of ``units``; windows of a series are
            ``(sample, time, feature)``.
        labels: ``{head: (sample,)}``.
        streams: names, widths and feature names of the inputs, in order.
        heads: names and kinds of the labels, in order.
        truth: the features each head depends on, where known.
        units: ``{stream: one physical unit per feature}``, "" for a number without one.
        ties: ``(sample,)`` bool; rows on the edge of a rule, whose label hangs on the last bit of a float. Leave them
            out of tests at the boundary.
        source: where the rows come from, for a citation.
        measured: ``{head: (sample,)}`` bool, for some heads; False where a label was filled in, not measured.
        span: ``(sample, 2)`` of windows: the first row of the series that is read and the last that is predicted.
    """

    name: str
    inputs: Arrays
    labels: Arrays
    streams: tuple[Stream, ...]
    heads: tuple[Head, ...]
    truth: Truth
    units: Mapping[str, tuple[str, ...]]
    ties: Array
    source: str
    measured: Mapping[str, Array] = field(default_factory=dict)
    span: Array | None = None
    _rows: int = field(init=False, repr=False, default=0)

    def __post_init__(self) -> None:
        rows = count_rows(check_inputs(self.inputs, self.streams))
        marks = {f"measured {head}": values for head, values in self.measured.items()}
        for name, values in {**self.labels, **marks, "ties": self.ties}.items():
            if values.shape != (rows,):
                raise ShapeMismatch(f"'{name}' of data set '{self.name}' wants ({rows},) values; got {values.shape}.")
        if self.span is not None and self.span.shape != (rows, 2):
            raise ShapeMismatch(f"'span' of data set '{self.name}' wants ({rows}, 2) values; got {self.span.shape}.")
        object.__setattr__(self, "_rows", rows)

    def __len__(self) -> int:
        return self._rows

    def take(self, rows: Any) -> "Data":
        """These rows only (an index array, slice or mask), in this order."""
        return replace(
            self,
            inputs={name: x[rows] for name, x in self.inputs.items()},
            labels={name: y[rows] for name, y in self.labels.items()},
            ties=np.asarray(self.ties)[rows],
            measured={name: m[rows] for name, m in self.measured.items()},
            span=None if self.span is None else self.span[rows],
        )

    def with_inputs(self, inputs: Arrays) -> "Data":
        """The same rows with other input values (standardised ones, say), in the arrays' own dtypes."""
        streams = tuple(replace(s, dtype=str(inputs[s.name].dtype)) for s in self.streams)
        return replace(self, inputs=inputs, streams=streams)

    def only(self, heads: tuple[str, ...] | list[str]) -> "Data":
        """These heads only; the truth of the others goes with them."""
        return replace(
            self,
            labels={name: self.labels[name] for name in heads},
            heads=tuple(h for h in self.heads if h.name in heads),
            truth={name: features for name, features in self.truth.items() if name in heads},
            measured={name: m for name, m in self.measured.items() if name in heads},
        )
