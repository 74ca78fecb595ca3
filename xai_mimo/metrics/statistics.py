"""Error bars over rows: bootstrap intervals, paired differences, and a correction for many tests.

One table of resamples serves every quantity of a comparison (rows are paired across methods, heads and metrics for
free), and each quantity then costs one matrix product; SciPy's ``bootstrap`` draws anew for each and is the oracle in
the tests. Rows where a metric is undefined (NaN) are left out, counted, and named in the note.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from xai_mimo.core.errors import BadSetting, BadValues, EmptyData, ShapeMismatch
from xai_mimo.core.streams import Array

LEVEL = 0.95
FEW_ROWS = 10
"""Below so many rows an interval is called rough, and verdicts say nothing: the spread itself is hardly known."""
_FLIPS_AT_ONCE = 2000
_QUANTITIES_AT_ONCE = 512


@dataclass(frozen=True)
class Interval:
    """An estimate with its bootstrap interval.

    Attributes:
        estimate, low, high: finite, or None where the note says why.
        rows: how many rows the estimate rests on.
        note: "" when there is nothing to say.
    """

    estimate: float | None
    low: float | None
    high: float | None
    rows: int
    note: str = ""


def resample_counts(rows: int, resamples: int, rng: np.random.Generator) -> Array:
    """How often each row is drawn in each resample with replacement: ``(resample, row)``, each sum is ``rows``."""
    if rows < 1:
        raise EmptyData("a bootstrap needs at least one row.")
    if resamples < 100:
        raise BadSetting(f"a bootstrap interval needs at least 100 resamples; got {resamples}.")
    return rng.multinomial(rows, np.full(rows, 1.0 / rows), size=resamples).astype(np.float64)


def mean_intervals(values: Any, counts: Array, *, level: float = LEVEL) -> list[Interval]:
    """Means over rows with BCa bootstrap intervals, of many quantities at once.

    Args:
        values: ``(quantity, sample)``; NaN marks rows where a quantity is undefined.
        counts: from ``resample_counts`` for the same rows.
        level: confidence, e.g. 0.95.
    Returns:
        One interval per quantity; without low and high for a single row, without any number when no row is defined.
    Raises:
        ShapeMismatch: the resamples are for another number of rows. BadValues: infinite values.
    Source: Efron (1987), "Better Bootstrap Confidence Intervals"; equal to ``scipy.stats.bootstrap(method="BCa")``.
    """
    v = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    if len(v) and v.shape[1] != counts.shape[1]:
        raise ShapeMismatch(f"one value per row wants {counts.shape[1]} values; got {v.shape[1]}.")
    if np.isinf(v).any():
        raise BadValues("a metric holds infinite values; an interval is not defined for them.")
    intervals: list[Interval] = []
    for start in range(0, len(v), _QUANTITIES_AT_ONCE):
        part = v[start : start + _QUANTITIES_AT_ONCE]
        defined = ~np.isnan(part)
        sums = counts @ np.where(defined, part, 0.0).T  # (resample, quantity)
        drawn = counts @ defined.T if not defined.all() else np.full_like(sums, counts.shape[1])
        intervals += [
            _mean_interval(part[i][defined[i]], part.shape[1], sums[:, i], drawn[:, i], level) for i in range(len(part))
        ]
    return intervals


def mean_interval(values: Any, counts: Array, *, level: float = LEVEL) -> Interval:
    """``mean_intervals`` of one quantity, ``(sample,)``."""
    return mean_intervals(np.asarray(values, dtype=np.float64)[None], counts, level=level)[0]


def _mean_interval(values: Array, total: int, sums: Array, drawn: Array, level: float) -> Interval:
    """From the defined values of one quantity and its sums over the resamples."""
    rows = values.size
    note = "" if rows == total else f"{total - rows} of {total} rows left out: undefined there"
    if rows == 0:
        return Interval(None, None, None, 0, f"undefined in all {total} rows")
    estimate = float(values.mean())
    if rows == 1:
        return Interval(estimate, None, None, 1, _join(note, "one row: no interval"))
    usable = drawn > 0
    low, high = _bca(estimate, sums[usable] / drawn[usable], (values.sum() - values) / (rows - 1), level)
    return Interval(estimate, low, high, rows, _join(note, rough(rows)))


def statistic_interval(estimate: float, boots: Any, jackknife: Any, *, level: float = LEVEL) -> Interval:
    """BCa interval of any statistic from its values on the resamples and on the rows left out one at a time."""
    jackknife = np.asarray(jackknife, dtype=np.float64)
    if jackknife.size < 2:
        return Interval(float(estimate), None, None, int(jackknife.size), "one row: no interval")
    low, high = _bca(float(estimate), np.asarray(boots, dtype=np.float64), jackknife, level)
    return Interval(float(estimate), low, high, int(jackknife.size), rough(jackknife.size))


def paired_p_values(differences: Any, *, rng: np.random.Generator) -> list[float | None]:
    """Two-sided p-values that the means of paired differences are zero, by flipping signs of rows.

    p = (1 + |{flips: |mean| >= |observed mean|}|) / (flips + 1)

    There are at least 40 flips per test, so that the smallest p-value survives a correction for all of them. All tests
    share the flips: each is as good as alone, and together they cost matrix products.

    Args:
        differences: ``(test, sample)``, one method's value minus the other's; NaN rows are left out.
    Returns:
        One p-value per test, up to 1; None with fewer than two defined rows.
    Source: Fisher (1935); up to sampling equal to ``scipy.stats.permutation_test(permutation_type="samples")``.
    """
    d = np.asarray(differences, dtype=np.float64)
    defined = ~np.isnan(d)
    d = np.where(defined, d, 0.0)
    # Sums in another order differ in the last bits: a flip that changes nothing must count.
    observed = np.abs(d.sum(axis=1)) * (1 - 1e-12)
    flips = max(1999, 40 * len(d))
    extreme = np.zeros(len(d), dtype=np.int64)
    for start in range(0, flips, _FLIPS_AT_ONCE):
        signs = 2.0 * rng.integers(0, 2, size=(min(_FLIPS_AT_ONCE, flips - start), d.shape[1])) - 1.0
        extreme += (np.abs(signs @ d.T) >= observed).sum(axis=0)
    enough = defined.sum(axis=1) >= 2
    return [float(p) if ok else None for p, ok in zip((1 + extreme) / (flips + 1), enough, strict=True)]


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


def is_positive(interval: Interval) -> bool:
    """Whether the whole interval lies above zero."""
    return interval.low is not None and interval.low > 0 and not math.isclose(interval.low, 0.0, abs_tol=1e-12)


def is_negative(interval: Interval) -> bool:
    """Whether the whole interval lies below zero."""
    return interval.high is not None and interval.high < 0 and not math.isclose(interval.high, 0.0, abs_tol=1e-12)
