"""Paired differences: every method held against the others and against its controls, with the p-values that decide."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from xai_mimo.core.streams import Array
from xai_mimo.metrics.metric import Metric, Quantity, held_against, may_be_hits, number_of
from xai_mimo.metrics.statistics import Interval, holm, mean_interval, mean_intervals
from xai_mimo.record.results import Difference
from xai_mimo.record.words import CHANCE, CONTROLS, PERMUTED, RANDOM, Role

# Models answer in single precision: what differs by less, in parts of the values, does not differ.
_SAME = 1e-6


@dataclass(frozen=True)
class _Gain:
    """By how much a method is better than what it is held against.

    Attributes:
        metric, target, method, other: of what.
        gained: ``(sample,)``, positive where the first is better; or the tested interval, where it is no mean of rows.
    """

    metric: Metric
    target: str
    method: str
    other: str
    gained: Array | Interval

    @property
    def question(self) -> tuple[str, ...]:
        """What the tests of one family ask together: is this map better than none, or how do the methods rank?"""
        return (self.target, self.method) if self.other in CONTROLS else (self.target,)


def differences(measured: Sequence[tuple[Metric, Sequence[Quantity]]]) -> tuple[Difference, ...]:
    """All tests of a comparison, p-values corrected (Holm) over the tests that answer one question.

    All tests of one method against its controls, for one target, are such a family: so what is concluded of a map does
    not depend on what else stands in the comparison. All pairs of methods, for one target, are another.

    Args:
        measured: each metric and what it gave.
    """
    gains = [gain for metric, quantities in measured for gain in _gains(metric, quantities)]
    rows = [gain.gained for gain in gains if not isinstance(gain.gained, Interval)]
    of_rows = iter(mean_intervals(np.stack(rows), null=0.0) if rows else [])
    intervals = [gain.gained if isinstance(gain.gained, Interval) else next(of_rows) for gain in gains]
    corrected = _corrected([gain.question for gain in gains], [i.p for i in intervals])
    return tuple(
        Difference(
            head=gain.target,
            family=gain.metric.family,
            metric=gain.metric.name,
            method=gain.method,
            other=gain.other,
            estimate=interval.estimate,
            low=interval.low,
            high=interval.high,
            rows=interval.rows,
            note=interval.note,
            p=interval.p,
            p_corrected=p_corrected,
        )
        for gain, interval, p_corrected in zip(gains, intervals, corrected, strict=True)
    )


def _corrected(questions: Sequence[tuple[str, ...]], p_values: Sequence[float | None]) -> list[float | None]:
    corrected: list[float | None] = [None] * len(p_values)
    for question in dict.fromkeys(questions):
        family = [(i, p) for i, p in enumerate(p_values) if questions[i] == question and p is not None]
        for (i, _), p in zip(family, holm([p for _, p in family]), strict=True):
            corrected[i] = p
    return corrected


def _gains(metric: Metric, quantities: Sequence[Quantity]) -> Iterator[_Gain]:
    """Each method against what the metric is tested against."""
    against = held_against(metric)
    if not against:
        return
    known = {(q.method, q.target, q.role): q for q in quantities if q.other is None and q.values is not None}
    own = [q for q in known.values() if q.role == "value"]
    if "methods" in against:
        for one, other in itertools.combinations(own, 2):
            if one.target == other.target:
                yield _paired(metric, one, other, other.method)
    if "controls" in against:
        for value in own:
            yield from _against_controls(metric, value, known)


def _against_controls(
    metric: Metric, value: Quantity, known: Mapping[tuple[str, str, Role], Quantity]
) -> Iterator[_Gain]:
    """A method against chance, or against the random map that stands for it where it is not known; and its own map
    permuted."""
    chance = known.get((value.method, value.target, "floor_random"))
    random = known.get((RANDOM, value.target, "control_random"))
    permuted = known.get((value.method, value.target, "floor_permuted"))
    if chance is not None and chance.exact:
        yield _over_chance(metric, value, chance)
    elif random is not None:
        yield _paired(metric, value, random, RANDOM)
    if permuted is not None:
        yield _paired(metric, value, permuted, PERMUTED)


def _over_chance(metric: Metric, value: Quantity, chance: Quantity) -> _Gain:
    """A method against the number that is chance: hits and misses as such, and by the metric's own test if it has one.

    Where the chance of a hit differs from row to row, their mean stands for it: sums of hits then spread less than the
    binomial says, so that the p-value is on the safe side (Hoeffding, 1956).
    """
    values, expected = (np.asarray(q.values, dtype=np.float64) for q in (value, chance))
    defined = ~np.isnan(values)
    if value.p is not None:
        by_chance = float(np.nanmean(expected))
        own = Interval(number_of(value), None, None, len(values), value.note, value.p)
    elif may_be_hits(metric) and defined.any() and np.isin(values[defined], (0.0, 1.0)).all():
        by_chance = float(expected[defined].mean())
        own = mean_interval(values, null=by_chance, bounds=metric.bounds, hits=True)
    else:
        return _paired(metric, value, chance, CHANCE)
    return _Gain(metric, value.target, value.method, CHANCE, _oriented(own, by_chance, _sign(metric)))


def _paired(metric: Metric, one: Quantity, other: Quantity, name: str) -> _Gain:
    a, b = (np.asarray(q.values, dtype=np.float64) for q in (one, other))
    gained = _sign(metric) * (a - b)
    size = float(np.fmax.reduce(np.fmax(np.abs(a), np.abs(b)), initial=0.0))
    return _Gain(metric, one.target, one.method, name, np.where(np.abs(gained) <= _SAME * size, 0.0, gained))


def _oriented(interval: Interval, chance: float, sign: float) -> Interval:
    """An interval as one of the difference from chance, positive where it is better."""
    estimate, low, high = (
        None if x is None else sign * (x - chance) for x in (interval.estimate, interval.low, interval.high)
    )
    low, high = (low, high) if sign > 0 else (high, low)
    return replace(interval, estimate=estimate, low=low, high=high)


def _sign(metric: Metric) -> float:
    return 1.0 if metric.better == "larger" else -1.0
