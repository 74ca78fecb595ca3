"""A fitted estimator of trees or a linear model, opened for libraries that read its trees or coefficients."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xai_mimo.core.streams import Array


@dataclass(frozen=True)
class FittedModel:
    """What gives some heads of a model, behind transformations of single columns.

    A value of a column of the table is one of a feature of a stream, since no transformation mixes columns: whatever is
    said of the columns is said of the features.

    Attributes:
        heads: names of the heads.
        estimators: fitted objects of a library; several where each gives a head of its own.
        table: rows of the streams, ``{stream: (row, feature)}``, as the estimators read them: ``(row, column)`` in
            float64, rounded as they round.
        places: for each column its stream and its feature.
        answers: one answer of each estimator, ``(row, output)``, as one array for each head: ``(row, unit)``.
        asked_for: what the heads are, in words, e.g. "predict_proba".
    """

    heads: tuple[str, ...]
    estimators: tuple[Any, ...]
    table: Callable[[Mapping[str, Array]], Array]
    places: tuple[tuple[str, int], ...]
    answers: Callable[[Sequence[Array]], list[Array]]
    asked_for: str
