"""Rows on what was found of methods: scores, differences, curves, gaps, verdicts, and how well the task is done."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from xai_mimo.core.errors import SchemaError
from xai_mimo.record.row import ABSENT, Count, NotedRow, Row
from xai_mimo.record.words import CurveKind, Family, Role, VerdictWord


@dataclass(frozen=True, kw_only=True)
class Score(NotedRow):
    """One metric of one method (or pair of methods) for one target.

    Attributes:
        head: name of the target.
        family: of the metric.
        metric: its name; which direction is better stands in ``metrics``.
        method: label, or "random" for the control.
        other: label of the other method where the metric compares two; else null.
        role: the value itself; a floor, that is what chance gives (a random map, or the map permuted); the ceiling,
            that is the method against itself; or the control, a random order in the method's place.
        k: number of features the metric looks at; null where it looks at all.
        estimate: mean over rows, in the metric's unit.
        low: lower end of the 95 % interval over rows.
        high: upper end.
        rows: that have a value; with few of them do not trust the interval.
        note: why something is null, or what else to know.
    """

    _MAY_BE_NONE = ("other", "k")
    head: str
    family: Family
    metric: str
    method: str
    other: str | None = None
    role: Role = "value"
    k: int | None = None
    estimate: float | None
    low: float | None
    high: float | None
    rows: Count
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Difference(NotedRow):
    """How much better one method is than another, or than what says nothing, paired over rows.

    Attributes:
        head: name of the target.
        family: of the metric.
        metric: its name.
        method: label of the first.
        other: label of the second; or "random" for the random control, "permuted" for the method's own map with its
            values in other places, "chance" for what a map that says nothing scores, known without drawing.
        estimate: mean over rows, positive where the first is better whatever the metric's direction.
        low: lower end of the 95 % interval; above 0 exactly where ``p`` is below 0.05 and the first is better.
        high: upper end.
        rows: that have a value.
        note: why something is null, or what else to know.
        p: two-sided, of no difference: that the mean over rows is 0, by Student's t corrected for skewness; of hits and
            misses against chance the exact binomial test; else the note says which test.
        p_corrected: the same after Holm, the one to judge by. Tests of one question are corrected together: all of one
            method against "random", "permuted" and "chance", for one head; and all pairs of methods, for one head.
    """

    head: str
    family: Family = "faithfulness"
    metric: str
    method: str
    other: str
    estimate: float | None
    low: float | None
    high: float | None
    rows: Count
    note: str = ""
    p: float | None
    p_corrected: float | None


@dataclass(frozen=True, kw_only=True)
class Curve(Row):
    """How far the prediction moves while features are replaced, or kept, in the order of a map.

    |f(x) - v| in the head's unit: deletion rises from 0 (a larger area is better), insertion falls to 0 (a smaller
    area is better).

    Attributes:
        method: label, or "random" for the control.
        head: name of the target.
        kind: deletion or insertion.
        fraction: of the features, from 0 to 1.
        mean: over rows, at each fraction.
        low: lower ends of the 95 % intervals over rows.
        high: upper ends.
        note: why something is null, or what else to know.
    """

    method: str
    head: str
    kind: CurveKind
    fraction: tuple[float, ...]
    mean: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    note: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        lengths = {name: len(getattr(self, name)) for name in ("fraction", "mean", "low", "high")}
        if len(set(lengths.values())) > 1:
            raise SchemaError(f"fraction, mean, low and high must be equally long; got {lengths}")
        if None in (*self.mean, *self.low, *self.high) and not self.note:
            raise SchemaError("a point is null without a note that says why")


@dataclass(frozen=True, kw_only=True)
class Gap(Row):
    """How far a method's attributions are from summing to the change of the prediction; 0 is best.

    Attributes:
        method: label.
        head: name of the target.
        relative_quantiles: over rows, ``{"0.5", "0.9", "0.99", "1"}``, of |gap| over the change of the prediction (or
            over a tenth of the sum of the absolute attributions, where that is larger).
        share_within: share of rows within the tolerance.
        tolerance: that was asked for.
    """

    method: str
    head: str
    relative_quantiles: Mapping[str, float]
    share_within: float
    tolerance: float


@dataclass(frozen=True, kw_only=True)
class Verdict(Row):
    """What may be concluded from a method's map of a head.

    Attributes:
        head: name of the target.
        method: label.
        verdict: the word in all: supported, doubtful, misleading or undecided; the rule stands in
            ``comparison.verdicts``.
        order: the word for which inputs matter more than which; absent from older records.
        shares: the word for how much each input counts; absent likewise.
        sign: the word for whether an input raises or lowers the prediction; null where the map says nothing of it.
        text: what the map may be used for.
        evidence: a sentence for each kind of score it rests on.
    """

    head: str
    method: str
    verdict: VerdictWord
    order: VerdictWord | None = field(default=None, metadata={ABSENT: True})
    shares: VerdictWord | None = field(default=None, metadata={ABSENT: True})
    sign: VerdictWord | None = field(default=None, metadata={ABSENT: True})
    text: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TaskRow(NotedRow):
    """How well a model does its task.

    Attributes:
        model: what the tables call it.
        head: of the model.
        metric: of the task.
        estimate: mean over seeds.
        low: lower end of the interval over seeds; null with one seed.
        high: upper end.
        seeds: how many.
        chance: what guessing gives, where 1 is perfect; the first row of a head that has it says whether the head has
            been learnt. Absent where the metric has no such values.
        note: why something is null.
    """

    _MAY_BE_NONE = ("low", "high", "chance")
    model: str
    head: str
    metric: str
    estimate: float | None
    low: float | None
    high: float | None
    seeds: Count
    chance: float | None = field(default=None, metadata={ABSENT: True})
    note: str = ""
