"""Intervals and p-values against slow formulas, SciPy and known values, and what happens to rows without a value."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from xai_mimo.core.errors import BadSetting, BadValues, EmptyData
from xai_mimo.metrics.statistics import (
    holm,
    mean_interval,
    mean_intervals,
    resample_counts,
    statistic_interval,
)

pytestmark = pytest.mark.all_frameworks


def slow_statistic(values, mu):
    """Hall's statistic as the paper writes it."""
    n, mean, s = len(values), sum(values) / len(values), np.std(values, ddof=1)
    g = (sum((x - mean) ** 3 for x in values) / n) / (sum((x - mean) ** 2 for x in values) / n) ** 1.5
    w = (mean - mu) / s
    return math.sqrt(n) * (w + g * w**2 / 3 + g**2 * w**3 / 27 + g / (6 * n))


@pytest.mark.parametrize("rows", [3, 10, 40])
def test_the_statistic_lies_at_students_quantiles_where_the_interval_ends(rng, rows):
    values = rng.exponential(size=rows)
    i = mean_interval(values, null=0.7)
    ends = [slow_statistic(values, end) for end in (i.low, i.high)]
    np.testing.assert_allclose(ends, stats.t.ppf([0.975, 0.025], rows - 1), rtol=1e-9)
    assert i.estimate == pytest.approx(values.mean())
    assert i.p == pytest.approx(2 * stats.t.sf(abs(slow_statistic(values, 0.7)), rows - 1))


def test_without_skewness_it_is_students_t(rng):
    half = rng.standard_normal(8)
    values = 0.3 + np.concatenate([half, -half])
    peer = stats.ttest_1samp(values, 0.0)
    i = mean_interval(values, null=0.0, level=0.9)
    assert i.p == pytest.approx(peer.pvalue)
    np.testing.assert_allclose([i.low, i.high], peer.confidence_interval(0.9), rtol=1e-9)


def test_many_quantities_are_each_as_one_alone(rng):
    values = rng.exponential(size=(1100, 12))
    values[rng.random(values.shape) < 0.2] = np.nan
    values[3], values[4], values[5, 1:] = np.nan, 2.0, np.nan
    null = rng.random(1100)
    together = mean_intervals(values, null=null)
    for k in (0, 3, 4, 5, 511, 512, 1099):
        alone = mean_interval(values[k], null=null[k])
        assert (together[k].rows, together[k].note) == (alone.rows, alone.note)
        ours, theirs = ([i.estimate, i.low, i.high, i.p] for i in (together[k], alone))
        np.testing.assert_allclose(np.array(ours, float), np.array(theirs, float), rtol=1e-9)
    assert mean_intervals(np.empty((0, 4))) == []


NUMBERS = st.one_of(st.floats(-1e6, 1e6), st.integers(-2, 2).map(float), st.sampled_from([0.0, 1.0]))


@settings(max_examples=400, deadline=None)
@given(st.lists(NUMBERS, min_size=2, max_size=25), NUMBERS, st.booleans())
def test_p_is_below_5_percent_exactly_where_the_interval_leaves_the_number_out(values, null, hits):
    assume(not hits or 0 <= null <= 1)
    i = mean_interval(np.array(values), null=null, hits=hits)
    assert i.p is not None
    assert 0 < i.p <= 1
    if i.low is None:  # few rows, all equal: nothing is left out
        assert len(set(values)) == 1
        assert i.p >= 0.05
        return
    assert i.low <= i.estimate <= i.high
    assume(min(abs(null - i.low), abs(null - i.high)) > 1e-9 * max(1, abs(null)) or null == i.estimate)
    assert (i.p < 0.05) == (null < i.low or null > i.high)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=3, max_size=15), st.floats(-100, 100), st.floats(0.001, 1000))
def test_scale_sign_and_order_change_nothing_but_themselves(values, null, scale):
    # What is equal but for rounding depends on where it stands.
    assume(len(set(values)) > 1 and np.ptp(values) > 1e-3)
    one = mean_interval(np.array(values), null=null)
    other = mean_interval(-scale * np.array(values[::-1]), null=-scale * null)
    np.testing.assert_allclose([-other.high, -other.low], [scale * one.low, scale * one.high], rtol=1e-6, atol=1e-6)
    assert other.p == pytest.approx(one.p, rel=1e-4)


@pytest.mark.parametrize("scale", [1e-305, 1.0, 1e305])
def test_values_of_any_size_have_an_interval(rng, scale):
    values = 1 + rng.exponential(size=30)
    i = mean_interval(scale * values, null=0.0)
    plain = mean_interval(values, null=0.0)
    np.testing.assert_allclose([i.low, i.high, i.p], [scale * plain.low, scale * plain.high, plain.p], rtol=1e-9)
    assert all(math.isfinite(x) for x in (i.low, i.high))
    widest = mean_interval(np.array([-1.7e308, 1.7e308]))
    assert math.isfinite(widest.low)
    assert math.isfinite(widest.high)


def test_strong_evidence_has_a_small_p_and_never_none():
    values = 1 + 1e-6 * np.arange(200)
    assert 0 < mean_interval(values, null=0.0).p < 1e-100
    assert mean_interval(np.full(5000, 2.0), null=0.0).p > 0
    assert mean_interval(np.ones(5000), null=0.5, hits=True).p > 0


def test_undefined_rows_are_left_out_and_counted(rng):
    values = rng.standard_normal(20)
    values[[3, 7]] = np.nan
    i = mean_interval(values, null=0.1)
    assert i.rows == 18
    assert "2 of 20 rows left out" in i.note
    known = mean_interval(values[~np.isnan(values)], null=0.1)
    assert (i.estimate, i.low, i.high, i.p) == pytest.approx((known.estimate, known.low, known.high, known.p))


def test_no_defined_row_gives_no_number_but_a_note():
    i = mean_interval(np.full(5, np.nan), null=0.0)
    assert (i.estimate, i.low, i.high, i.rows, i.p) == (None, None, None, 0, None)
    assert "undefined in all 5 rows" in i.note


def test_one_row_has_no_interval():
    for hits in (False, True):
        i = mean_interval(np.array([1.0]), null=0.0, hits=hits, bounds=(0.0, 1.0))
        assert (i.estimate, i.low, i.high, i.p) == (1.0, None, None, None)
        assert i.note == "one row: no interval"
    assert statistic_interval(1.0, np.ones(200), np.ones(1)).note == "one row: no interval"


def test_few_rows_are_called_rough(rng):
    assert mean_interval(rng.random(9)).note == "only 9 rows: the interval is rough"
    assert mean_interval(rng.random(10)).note == ""


@pytest.mark.parametrize("rows", [2, 5, 6, 20])
def test_equal_rows_are_as_much_evidence_as_their_signs(rows):
    sure = rows >= 6  # from here on 2^(1 - rows) is below 0.05
    i = mean_interval(np.full(rows, 0.1), null=0.0, bounds=(0.0, None))
    assert (i.estimate, i.low, i.high) == ((0.1, 0.1, 0.1) if sure else (0.1, None, None))
    assert i.p == 2.0 ** (1 - rows)
    assert "all rows are equal: p by their signs" in i.note
    assert ("all equal: no interval" in i.note) == (not sure)
    nothing = mean_interval(np.zeros(rows), null=0.0)
    assert nothing.p == 1.0
    assert "signs" not in nothing.note
    untested = mean_interval(np.full(20, 0.1))
    assert (untested.p, untested.note) == (None, "")


def test_rows_that_are_equal_but_for_rounding_are_equal():
    values = np.full(20, 0.3)
    values[::3] = 0.1 + 0.2
    i = mean_interval(values, null=0.0)
    assert i.low == i.high == pytest.approx(0.3)
    assert i.p == 2.0**-19
    assert mean_interval(values, null=0.3).p == 1.0


@pytest.mark.parametrize(("others", "p"), [(1, 1.0), (3, 0.25), (5, 0.0625), (9, 2.0**-8)])
def test_few_rows_that_differ_speak_no_louder_than_their_signs(others, p):
    values = np.zeros(20)
    values[:others] = 1 + 0.1 * np.arange(others)
    i = mean_interval(values, null=0.0)
    assert i.p == p > 2 * stats.t.sf(abs(slow_statistic(values, 0.0)), 19)
    assert (i.low <= 0.0) == (p >= 0.05)
    assert f"only {others} rows differ" in i.note
    between = mean_interval(values, null=0.5 * values.mean())
    assert between.p >= p
    mirrored = mean_interval(1 - values, null=1.0)
    assert (mirrored.p, mirrored.high) == pytest.approx((i.p, 1 - i.low))


def test_many_rows_that_differ_speak_for_themselves(rng):
    values = np.zeros(40)
    values[:25] = rng.random(25) + 0.5
    i = mean_interval(values, null=0.0)
    assert i.low > 0
    assert i.p == pytest.approx(2 * stats.t.sf(slow_statistic(values, 0.0), 39))
    assert i.note == ""


def test_no_interval_passes_the_bounds_of_the_values():
    values = np.array([0.0, 0.0, 0.1, 0.9, 1.0, 1.0])
    free = mean_interval(values, level=0.9999)
    assert free.low < 0
    assert free.high > 1
    held = mean_interval(values, level=0.9999, bounds=(0.0, 1.0))
    assert (held.low, held.high) == (0.0, 1.0)
    past = mean_interval(np.full(12, 1 + 1e-7), bounds=(0.0, 1.0))
    assert past.low <= past.estimate <= past.high


@pytest.mark.parametrize(
    ("hits", "rows", "low", "high"), [(20, 20, 0.8316, 1.0), (0, 20, 0.0, 0.1684), (5, 10, 0.1871, 0.8129)]
)
def test_shares_have_the_intervals_of_the_tables(hits, rows, low, high):
    values = np.arange(rows) < hits
    i = mean_interval(values, hits=True, bounds=(0.0, 1.0))
    np.testing.assert_allclose([i.low, i.high], [low, high], atol=5e-5)
    peer = stats.binomtest(hits, rows).proportion_ci(method="exact")
    np.testing.assert_allclose([i.low, i.high], [peer.low, peer.high], rtol=1e-9)


def test_the_p_of_a_share_is_twice_the_smaller_tail_of_the_binomial(rng):
    values = (rng.random(30) < 0.4).astype(float)
    values[2] = np.nan
    known = values[~np.isnan(values)]
    i = mean_interval(values, null=0.25, hits=True)
    tails = [stats.binomtest(int(known.sum()), len(known), 0.25, side).pvalue for side in ("less", "greater")]
    assert i.p == pytest.approx(min(1.0, 2 * min(tails)))
    assert i.rows == 29
    # As numbers, or with a value in between, they are means like others.
    assert mean_interval(values, null=0.25).p != i.p
    values[0] = 0.5
    assert mean_interval(values, null=0.25, hits=True) == mean_interval(values, null=0.25)


SHAPES = {
    "normal": (lambda rng, size: rng.normal(size=size), 0.0),
    "exponential": (lambda rng, size: rng.exponential(size=size), 1.0),
    "half zero": (lambda rng, size: rng.exponential(size=size) * (rng.random(size) < 0.5), 0.5),
    "share .5": (lambda rng, size: (rng.random(size) < 0.5) * 1.0, 0.5),
    "share .9": (lambda rng, size: (rng.random(size) < 0.9) * 1.0, 0.9),
}


def check_coverage(shape, rows, draws, slack, seed=11):
    draw, mean = SHAPES[shape]
    is_share = shape.startswith("share")
    values = draw(np.random.default_rng(seed), (draws, rows))
    intervals = mean_intervals(values, null=mean, hits=is_share)
    covered = np.mean([i.low <= mean <= i.high for i in intervals])
    rejected = np.mean([i.p < 0.05 for i in intervals])
    assert rejected == pytest.approx(1 - covered, abs=1e-9)
    # Exact intervals of shares may cover too often, and never too seldom.
    assert 0.95 - slack <= covered <= (1.0 if is_share else 0.95 + slack)


@pytest.mark.parametrize("shape", SHAPES)
def test_intervals_cover_the_mean_about_as_often_as_they_say(shape):
    check_coverage(shape, 50, 1000, 0.03)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [20, 50, 200])
@pytest.mark.parametrize("shape", SHAPES)
def test_intervals_cover_the_mean_as_often_as_they_say(shape, rows):
    check_coverage(shape, rows, 20_000, 0.02)


def test_the_interval_of_a_statistic_equals_scipys_bca(rng):
    values = rng.exponential(size=60)
    counts = resample_counts(60, 20_000, rng)
    ours = statistic_interval(values.mean(), counts @ values / 60, (values.sum() - values) / 59)
    peer = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    np.testing.assert_allclose([ours.low, ours.high], [peer.low, peer.high], rtol=0.01)


def test_resamples_keep_the_number_of_rows_and_depend_on_the_seed_alone():
    one, again, other = (resample_counts(13, 300, np.random.default_rng(s)) for s in (4, 4, 5))
    np.testing.assert_array_equal(one.sum(axis=1), 13)
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_never_lowers_a_p_value_and_keeps_the_order(p):
    corrected = holm(p)
    assert all(c >= q - 1e-15 for c, q in zip(corrected, p, strict=True))
    order = np.argsort(p, kind="stable")
    assert (np.diff(np.array(corrected)[order]) >= 0).all()


def test_bad_values_are_refused(rng):
    with pytest.raises(BadValues, match="infinite"):
        mean_interval(np.array([1.0, 2.0, np.inf, 0.0]))
    with pytest.raises(EmptyData, match="at least one row"):
        resample_counts(0, 200, rng)
    with pytest.raises(BadSetting, match="at least 100 resamples"):
        resample_counts(5, 10, rng)
    for level in (0.0, 1.0):
        with pytest.raises(BadSetting, match="between 0 and 1"):
            mean_interval(np.arange(4.0), level=level)
    with pytest.raises(BadValues, match="from 0 to 1"):
        holm([1.5])
