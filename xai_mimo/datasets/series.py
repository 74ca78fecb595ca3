"""Several variables measured together over time, and the windows that a forecasting model reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from xai_mimo.core.errors import BadSetting, BadValues, EmptyData, ShapeMismatch
from xai_mimo.core.streams import Array, Head, Stream, check_unique, unknown
from xai_mimo.datasets.data import Data


@dataclass(frozen=True)
class Series:
    """Rows in the order of time.

    Attributes:
        name: what the data are called in reports.
        time: ``(row,)`` datetime64, strictly increasing.
        step: the regular distance of two rows; where they lie further apart there is a gap, which no window crosses.
        values: ``(row, variable)`` in float64, in the units of ``units``; finite.
        variables: their names.
        units: their physical units, "" for a number without one.
        measured: ``(row, variable)`` bool; False where the value was filled in.
        source: where the rows come from, for a citation.

    Raises:
        ShapeMismatch, DuplicateName: the parts do not fit together. BadValues: a value that is not finite, or rows that
            are not in the order of time.
    """

    name: str
    time: Array
    step: np.timedelta64
    values: Array
    variables: tuple[str, ...]
    units: tuple[str, ...]
    measured: Array
    source: str

    def __post_init__(self) -> None:
        check_unique(self.variables, f"variable of series '{self.name}'")
        lengths = (len(self.time), len(self.variables))
        for what, shape in (("values", self.values.shape), ("measured", self.measured.shape)):
            if shape != lengths:
                raise ShapeMismatch(f"'{what}' of series '{self.name}' wants {lengths} values; got {shape}.")
        if len(self.units) != len(self.variables):
            raise ShapeMismatch(
                f"series '{self.name}' has {len(self.variables)} variables but {len(self.units)} units; give one each."
            )
        if not np.isfinite(self.values).all():
            row, column = np.argwhere(~np.isfinite(self.values))[0]
            raise BadValues(
                f"variable '{self.variables[column]}' of series '{self.name}' is not finite at row {row}. Fill it, "
                "or leave the row out: windows do not cross the gap."
            )
        distance = np.diff(self.time)
        if (distance < self.step).any():
            raise BadValues(
                f"rows {int(np.argmax(distance < self.step))} and the next of series '{self.name}' lie less than "
                f"{self.step} apart. Sort the rows by time and drop repeated ones."
            )

    @property
    def segment(self) -> Array:
        """``(row,)``: number of the stretch without a gap that each row belongs to."""
        return np.concatenate([[0], np.cumsum(np.diff(self.time) != self.step)])

    def column(self, variable: str) -> int:
        """Position of a variable.

        Raises:
            UnknownName: there is no such variable.
        """
        if variable not in self.variables:
            raise unknown(variable, self.variables, f"variable of series '{self.name}'")
        return self.variables.index(variable)


def windows(
    series: Series,
    heads: Mapping[str, tuple[str, int]],
    *,
    steps: int,
    streams: Mapping[str, Sequence[str]] | None = None,
) -> Data:
    """Every stretch of ``steps`` rows without a gap, with the values that follow it as labels.

        inputs[i] = rows t - steps + 1 ... t,   label of a head = its variable at row t + horizon

    A window is kept only if no gap lies between its first row and the furthest row that any head predicts, so that all
    heads have the same rows.

    Args:
        series: the rows.
        heads: ``{head: (variable, horizon)}``; the horizon counts steps ahead, 1 is the row behind the window.
        steps: rows of a window.
        streams: ``{stream: variables}``; None makes one stream ``series`` of all variables.
    Returns:
        Data with inputs ``{stream: (sample, steps, feature)}`` and regression heads; ``measured`` tells which labels
        were filled in, ``span`` which rows of the series each window needs. Their truth is not known, and they have no
        ties.
    Raises:
        BadSetting: no head, or a horizon or ``steps`` below 1. UnknownName: no such variable. EmptyData: no stretch is
            long enough.
    """
    _check_settings(heads, steps)
    groups = {"series": series.variables} if streams is None else {s: tuple(v) for s, v in streams.items()}
    targets = {head: (series.column(variable), horizon) for head, (variable, horizon) in heads.items()}
    furthest = max(horizon for _, horizon in targets.values())
    last = _last_rows(series, steps, furthest)
    rows = last[:, None] + np.arange(1 - steps, 1)
    columns = {stream: [series.column(v) for v in group] for stream, group in groups.items()}
    units = {stream: tuple(series.units[c] for c in chosen) for stream, chosen in columns.items()}
    return Data(
        name=series.name,
        inputs={stream: series.values[:, chosen][rows] for stream, chosen in columns.items()},
        labels={head: series.values[last + ahead, column] for head, (column, ahead) in targets.items()},
        streams=tuple(_stream(stream, steps, group, units[stream]) for stream, group in groups.items()),
        heads=tuple(Head(head, kind="regression", unit=series.units[column]) for head, (column, _) in targets.items()),
        truth={},
        units=units,
        ties=np.zeros(len(last), dtype=bool),
        source=series.source,
        measured={head: series.measured[last + ahead, column] for head, (column, ahead) in targets.items()},
        span=np.stack([last - steps + 1, last + furthest], axis=1),
    )


def split(data: Data, rows: Sequence[int]) -> tuple[Data, ...]:
    """Windows of consecutive parts of their series, in the order of time.

    Rows 0 to ``rows[0]`` - 1 are the first part, and so on; what is left is the last. A window belongs to a part only
    if all rows that it reads or predicts lie there: those across a border are left out, so that no part knows a value
    of another.

    Args:
        data: made by ``windows``.
        rows: length of each part but the last, in rows of the series.
    Returns:
        One more part than ``rows``.
    Raises:
        BadSetting: the data are no windows. EmptyData: a part without any window.
    """
    if data.span is None:
        raise BadSetting(
            f"data set '{data.name}' does not say which rows of a series its samples need; make it with `windows`."
        )
    borders = [0, *np.cumsum(rows).tolist(), int(data.span.max()) + 1]
    parts = []
    for number, (start, end) in enumerate(pairwise(borders)):
        inside = (data.span[:, 0] >= start) & (data.span[:, 1] < end)
        if not inside.any():
            raise EmptyData(
                f"part {number} of '{data.name}', rows {start} to {end - 1} of {borders[-1]}, holds no whole window. "
                "Give it more rows."
            )
        parts.append(data.take(inside))
    return tuple(parts)


def _check_settings(heads: Mapping[str, tuple[str, int]], steps: int) -> None:
    if not heads:
        raise BadSetting("no heads: name at least one, e.g. {'next': ('temperature', 1)}.")
    for what, count in {"steps": steps, **{f"horizon of '{h}'": ahead for h, (_, ahead) in heads.items()}}.items():
        if count != int(count) or count < 1:
            raise BadSetting(f"{what} must be a whole number of at least 1; got {count!r}.")


def _last_rows(series: Series, steps: int, furthest: int) -> Array:
    """The last row of each window that has ``furthest`` rows behind it."""
    segment = series.segment
    first: Array = np.arange(max(0, len(segment) - steps - furthest + 1))
    # Segments are numbered in order: equal ends mean that no gap lies between.
    kept: Array = first[segment[first] == segment[first + steps + furthest - 1]]
    if not len(kept):
        raise EmptyData(
            f"series '{series.name}' has no stretch of {steps + furthest} rows without a gap ({steps} to read, the "
            f"furthest head {furthest} ahead). Take fewer steps or a nearer head."
        )
    last: Array = kept + (steps - 1)
    return last


def _stream(name: str, steps: int, features: Sequence[str], units: Sequence[str]) -> Stream:
    unit = units[0] if len(set(units)) == 1 else ""
    return Stream(name, (steps, len(features)), "float64", features=tuple(features), unit=unit)
