"""Error bars over rows: intervals and tests of means, intervals of other statistics, a correction for many tests.

An interval and a p-value of one mean are two readings of the same statistic: the p-value that the mean is some number
is below 0.05 exactly where the 95 % interval leaves that number out. Both are formulas without draws, so that there is
no smallest p-value, and thousands of quantities cost some array operations. Rows where a metric is undefined (NaN) are
left out, counted, and named in the note.

Three kinds of values, three rules:

- numbers: Student's t after Hall's transformation, which takes out the skewness that makes the plain interval miss too
  often on one side;
- hits and misses (0 and 1 in every row): Clopper and Pearson's interval and the exact binomial test, so that 20 hits of
  20 rows are .83 to 1;
- values that are nearly all one: only the rows that differ speak. k of them may by chance all lie on one side with
  probability 2^(1-k), so no p-value of the value that the others share is smaller, and no interval leaves it out
  while 2^(1-k) is 0.05 or more. Where all n rows are equal, that is 2^(1-n) for any other number.

What is tested is the mean, whatever the shape of the values: no symmetry is assumed, as tests by flipping signs do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from xai_mimo.core.errors import BadSetting, BadValues, EmptyData
from xai_mimo.core.streams import Array

LEVEL = 0.95
FEW_ROWS = 10
"""Below so many rows an interval is called rough, and verdicts say nothing: the spread itself is hardly known."""
_QUANTITIES_AT_ONCE = 512
# Values this close, in parts of the largest, are one value: sums in another order differ in the last bits.
_ROUNDING = 1e-12
_EQUAL = "all rows are equal: p by their signs"
_LARGEST = float(np.finfo(np.float64).max)
# A distance that is certain, and whose cube does not overflow.
_FAR = 1e90
# Probabilities below this one underflow to 0, which no p-value is.
_SMALLEST = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval and, where something was tested, the p-value.

    Attributes:
        estimate, low, high: finite, or None where the note says why.
        rows: how many rows the estimate rests on.
        note: "" when there is nothing to say.
        p: two-sided, that the estimate is only by chance another than the null value; None where none was asked for,
            or where there are too few rows.
    """

    estimate: float | None
    low: float | None
    high: float | None
    rows: int
    note: str = ""
    p: float | None = None


def resample_counts(rows: int, resamples: int, rng: np.random.Generator) -> Array:
    """How often each row is drawn in each resample with replacement: ``(resample, row)``, each sum is ``rows``."""
    if rows < 1:
        raise EmptyData("a bootstrap needs at least one row.")
    if resamples < 100:
        raise BadSetting(f"a bootstrap interval needs at least 100 resamples; got {resamples}.")
    return rng.multinomial(rows, np.full(rows, 1.0 / rows), size=resamples).astype(np.float64)


def mean_intervals(
    values: Any,
    *,
    null: Any = None,
    bounds: tuple[float | None, float | None] = (None, None),
    hits: bool = False,
    level: float = LEVEL,
) -> list[Interval]:
    """Means over rows with their intervals, of many quantities at once, and whether they differ from a number.

    With W = (mean - mu) / s, s the standard deviation (n - 1) and g the skewness (the moments' own) of n values,

    sqrt(n) * (W + g W^2 / 3 + g^2 W^3 / 27 + g / (6 n)) is referred to Student's t with n - 1 degrees of freedom.

    It rises with W, so the interval is where it lies between the quantiles. For hits and misses, and where nearly all
    values are one, see the top of this file.

    Args:
        values: ``(quantity, sample)``; NaN marks rows where a quantity is undefined.
        null: one number, or one for each quantity: then each interval has the p-value that its mean is this one.
        bounds: smallest and largest value that the mean can have: no interval passes them.
        hits: whether 0 and 1 are misses and hits, in every quantity that has no other values. So they are for any
            metric from 0 to 1: of all values with some mean, hits and misses are all 1 (or all 0) most often.
        level: confidence, e.g. 0.95.
    Returns:
        One interval per quantity; without low and high for a single row, or for few rows that are all equal; without
        any number when no row is defined.
    Raises:
        BadValues: infinite values. BadSetting: a level that is no probability.
    Source: Hall (1992), "On the Removal of Skewness by Transformation", Section 2; Clopper and Pearson (1934), "The Use
        of Confidence or Fiducial Limits".
    """
    if not 0 < level < 1:
        raise BadSetting(f"a confidence level lies between 0 and 1; got {level!r}.")
    v = np.asarray(values, dtype=np.float64).reshape(len(values), np.size(values) // max(len(values), 1))
    if np.isinf(v).any():
        raise BadValues("a metric holds infinite values; an interval is not defined for them.")
    nulls = np.broadcast_to(np.asarray(np.nan if null is None else null, dtype=np.float64), len(v))
    intervals: list[Interval] = []
    for start in range(0, len(v), _QUANTITIES_AT_ONCE):
        part = slice(start, start + _QUANTITIES_AT_ONCE)
        intervals += _mean_intervals(v[part], nulls[part], null is not None, bounds, hits, level)
    return intervals


def mean_interval(values: Any, *, null: float | None = None, **settings: Any) -> Interval:
    """``mean_intervals`` of one quantity, ``(sample,)``."""
    return mean_intervals(np.asarray(values, dtype=np.float64)[None], null=null, **settings)[0]


@dataclass(frozen=True)
class _Moments:
    """What the defined values of each quantity are like, ``(quantity,)`` each; 0 where there is none.

    Attributes:
        rows: how many are defined.
        scale: the largest magnitude.
        mean, deviation, skewness: in units of the scale; the deviation is 0 where all values are one.
        common: in units of the scale, the value that more than half of the rows hold, NaN where there is none.
        others: how many rows hold another one.
        are_hits: whether all values are 0 or 1.
    """

    rows: Array
    scale: Array
    mean: Array
    deviation: Array
    skewness: Array
    common: Array
    others: Array
    are_hits: Array


def _moments(v: Array) -> _Moments:
    defined = ~np.isnan(v)
    v = np.where(defined, v, 0.0)
    rows = defined.sum(axis=1)
    n = np.maximum(rows, 1)
    scale = np.abs(v).max(axis=1, initial=0.0)
    scale = np.where(scale > 0, scale, 1.0)
    u = v / scale[:, None]  # squares and cubes of the values themselves may overflow
    along = np.sort(np.where(defined, u, np.inf), axis=1)
    # A value that more than half of the rows hold stands in the middle.
    middle = np.take_along_axis(along, ((n - 1) // 2)[:, None], axis=1)[:, 0]
    others = rows - (defined & (np.abs(u - middle[:, None]) <= _ROUNDING)).sum(axis=1)
    mean = np.where(others == 0, middle, u.sum(axis=1) / n)
    d = np.where(defined & (others > 0)[:, None], u - mean[:, None], 0.0)
    square = (d**2).sum(axis=1)
    spread = np.sqrt(square / n)
    skewness = (d**3).sum(axis=1) / n / np.where(spread > 0, spread, 1.0) ** 3
    return _Moments(
        rows=rows,
        scale=scale,
        mean=np.where(rows > 0, mean, 0.0),
        deviation=np.sqrt(square / np.maximum(rows - 1, 1)),
        skewness=skewness,
        common=np.where((2 * others < rows) & (rows > 0), middle, np.nan),
        others=others,
        are_hits=(~defined | (v == 0) | (v == 1)).all(axis=1),
    )


def _mean_intervals(
    v: Array, nulls: Array, is_tested: bool, bounds: tuple[float | None, float | None], hits: bool, level: float
) -> list[Interval]:
    m = _moments(v)
    with np.errstate(over="ignore"):
        null = np.clip(nulls / m.scale, -_FAR, _FAR)
    low, high = _hall_interval(m, level)
    low, high = _with_common(m, low, high, level)
    p, by_signs = _with_signs(m, null, _hall_p(m, null))
    with np.errstate(over="ignore"):
        low, mean, high = (np.clip(x * m.scale, -_LARGEST, _LARGEST) for x in (low, m.mean, high))
    if hits:
        counted = m.are_hits & (m.rows > 1)
        low[counted], high[counted] = _clopper_pearson(m.rows[counted], mean[counted], level)
        p[counted] = _binomial_p(m.rows[counted], mean[counted], nulls[counted])
        by_signs &= ~counted
    bottom, top = (-np.inf if bounds[0] is None else bounds[0]), (np.inf if bounds[1] is None else bounds[1])
    # Rounding may bring a mean past its bound, and an interval holds its estimate.
    low, high = np.minimum(np.maximum(low, bottom), mean), np.maximum(np.minimum(high, top), mean)
    if not is_tested:
        p, by_signs = np.full_like(p, np.nan), np.zeros_like(by_signs)
    numbers = (x.tolist() for x in (m.rows, mean, low, high, p, m.others, by_signs))
    return [_one(v.shape[1], *of_one) for of_one in zip(*numbers, strict=True)]


def _one(
    total: int, rows: int, mean: float, low: float, high: float, p: float, others: int, by_signs: bool
) -> Interval:
    """One interval, and in words what is special about it."""
    note = "" if rows == total else f"{total - rows} of {total} rows left out: undefined there"
    if rows == 0:
        return Interval(None, None, None, 0, f"undefined in all {total} rows")
    if rows == 1:
        return Interval(mean, None, None, 1, _join(note, "one row: no interval"))
    if by_signs:
        note = _join(note, f"only {others} rows differ from the rest: p by their signs" if others else _EQUAL)
    known_p = None if np.isnan(p) else p
    if np.isnan(low):
        return Interval(mean, None, None, rows, _join(note, f"only {rows} rows, all equal: no interval"), known_p)
    return Interval(mean, low, high, rows, _join(note, rough(rows)), known_p)


def _hall_interval(m: _Moments, level: float) -> tuple[Array, Array]:
    """Both ends in units of the scale; NaN for less than two rows."""
    n = np.maximum(m.rows, 2)
    z = stats.t.ppf((1 + level) / 2, n - 1) / np.sqrt(n)
    low, high = (np.where(m.rows > 1, m.mean - m.deviation * _untransformed(m, n, z), np.nan) for z in (z, -z))
    return low, high


def _untransformed(m: _Moments, n: Array, z: Array) -> Array:
    """The W at which Hall's transformation is z: 3 / g * (cbrt(1 + g (z - g / (6 n))) - 1).

    Written so that nothing is divided by the skewness, which may be 0: c - 1 = (c^3 - 1) / (c^2 + c + 1).
    """
    moved = z - m.skewness / (6 * n)
    root = np.cbrt(1 + m.skewness * moved)
    w: Array = 3 * moved / (root**2 + root + 1)
    return w


def _hall_p(m: _Moments, null: Array) -> Array:
    """Two-sided p-values; NaN for less than two rows, and without spread."""
    n = np.maximum(m.rows, 2)
    has_spread = m.deviation > 0
    w = np.clip((m.mean - null) / np.where(has_spread, m.deviation, 1.0), -_FAR, _FAR)
    g = m.skewness
    t = np.sqrt(n) * (w + g * w**2 / 3 + g**2 * w**3 / 27 + g / (6 * n))
    p = np.clip(2 * stats.t.sf(np.abs(t), n - 1), _SMALLEST, 1.0)
    return np.where(has_spread & (m.rows > 1), p, np.nan)


def _with_common(m: _Moments, low: Array, high: Array, level: float) -> tuple[Array, Array]:
    """Intervals that reach the value that nearly all rows hold, where the others are too few to leave it out."""
    is_constant = m.others == 0
    too_few = _sign_p(np.where(is_constant, m.rows, m.others)) >= 1 - level
    reaches = too_few & ~is_constant & ~np.isnan(m.common)
    low, high = (np.where(reaches, f(end, m.common), end) for f, end in ((np.minimum, low), (np.maximum, high)))
    nothing = too_few & is_constant
    return np.where(nothing, np.nan, low), np.where(nothing, np.nan, high)


def _with_signs(m: _Moments, null: Array, p: Array) -> tuple[Array, Array]:
    """p-values no smaller than the signs of the rows that differ allow, and where these decide.

    They speak against the value that the rest holds, and so against any other between it and the mean no louder.
    """
    is_constant = (m.others == 0) & (m.rows > 1)
    is_it = np.abs(null - m.mean) <= _ROUNDING * np.maximum(1.0, np.abs(null))
    p = np.where(is_constant, np.where(is_it, 1.0, _sign_p(m.rows)), p)
    nearest, farthest = np.minimum(m.common, m.mean), np.maximum(m.common, m.mean)
    of_others = _sign_p(m.others)
    is_between = (null >= nearest - _ROUNDING) & (null <= farthest + _ROUNDING) & ~is_constant & (of_others > p)
    return np.where(is_between, of_others, p), is_between | (is_constant & ~is_it)


def _sign_p(rows: Array) -> Array:
    """How likely all of so many rows lie on one side by chance, two-sided."""
    p: Array = np.clip(0.5 ** (rows - 1.0), _SMALLEST, 1.0)
    return p


def _clopper_pearson(rows: Array, shares: Array, level: float) -> tuple[Array, Array]:
    """The smallest and the largest chance of which these hits are no surprise on either side, (1 - level) / 2 each."""
    hits, tail = np.rint(shares * rows), (1 - level) / 2
    low = np.where(hits > 0, stats.beta.ppf(tail, np.maximum(hits, 1), rows - hits + 1), 0.0)
    high = np.where(hits < rows, stats.beta.ppf(1 - tail, hits + 1, np.maximum(rows - hits, 1)), 1.0)
    return low, high


def _binomial_p(rows: Array, shares: Array, chance: Array) -> Array:
    """Twice the smaller tail: below 0.05 exactly where ``_clopper_pearson`` leaves the chance out."""
    hits = np.rint(shares * rows)
    tails = np.minimum(stats.binom.cdf(hits, rows, chance), stats.binom.sf(hits - 1, rows, chance))
    p: Array = np.clip(2 * tails, _SMALLEST, 1.0)
    return p


def statistic_interval(estimate: float, boots: Any, jackknife: Any, *, level: float = LEVEL) -> Interval:
    """BCa interval of any statistic from its values on the resamples and on the rows left out one at a time.

    Source: Efron (1987), "Better Bootstrap Confidence Intervals"; equal to ``scipy.stats.bootstrap(method="BCa")``.
    """
    jackknife = np.asarray(jackknife, dtype=np.float64)
    if jackknife.size < 2:
        return Interval(float(estimate), None, None, int(jackknife.size), "one row: no interval")
    low, high = _bca(float(estimate), np.asarray(boots, dtype=np.float64), jackknife, level)
    # Of a statistic near its bound nearly all resamples may lie on one side; an interval without its estimate says less
    # than it seems to.
    low, high = min(low, estimate), max(high, estimate)
    return Interval(float(estimate), low, high, int(jackknife.size), rough(jackknife.size))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for the number of tests, so that the chance of any false alarm stays below the level.

    p'_(i) = max_{j <= i} min(1, (m - j + 1) p_(j)), p in ascending order, m tests

    Source: Holm (1979), "A Simple Sequentially Rejective Multiple Test Procedure".
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or (p.size and not ((p >= 0) & (p <= 1)).all()):
        raise BadValues("p-values must be a list of numbers from 0 to 1.")
    order = np.argsort(p, kind="stable")
    stepped = np.minimum(1.0, p[order] * (p.size - np.arange(p.size)))
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(stepped) if p.size else stepped
    return [float(c) for c in corrected]


def with_note(interval: Interval, note: str) -> Interval:
    """The same interval with one more note."""
    return replace(interval, note=_join(interval.note, note))


def rough(rows: int) -> str:
    """The note that an interval over few rows deserves; "" for enough."""
    return f"only {rows} rows: the interval is rough" if rows < FEW_ROWS else ""


def _join(*notes: str) -> str:
    return "; ".join(n for n in notes if n)


def _bca(estimate: float, boots: Array, jackknife: Array, level: float) -> tuple[float, float]:
    if not 0 < level < 1:
        raise BadSetting(f"a confidence level lies between 0 and 1; got {level!r}.")
    tolerance = 1e-12 * max(1.0, abs(estimate))
    if np.ptp(boots) <= tolerance:
        return estimate, estimate
    below = ((boots < estimate - tolerance).mean() + (boots <= estimate + tolerance).mean()) / 2
    bias = stats.norm.ppf(np.clip(below, 0.5 / boots.size, 1 - 0.5 / boots.size))
    pull = jackknife.mean() - jackknife
    spread = (pull**2).sum()
    acceleration = (pull**3).sum() / (6 * spread**1.5) if spread > 0 else 0.0
    z = bias + stats.norm.ppf(np.array([(1 - level) / 2, (1 + level) / 2]))
    low, high = np.quantile(boots, stats.norm.cdf(bias + z / (1 - acceleration * z)))
    return float(low), float(high)
