"""Intervals and p-values against SciPy, and what happens to rows without a value."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from xai_mimo.core.errors import BadSetting, BadValues, EmptyData, ShapeMismatch
from xai_mimo.metrics.statistics import (
    holm,
    is_negative,
    is_positive,
    mean_interval,
    paired_p_values,
    resample_counts,
    statistic_interval,
)

pytestmark = pytest.mark.all_frameworks


def test_the_interval_equals_scipys_bca(rng):
    values = rng.exponential(size=60)
    ours = mean_interval(values, resample_counts(60, 20_000, rng))
    peer = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    np.testing.assert_allclose([ours.low, ours.high], [peer.low, peer.high], rtol=0.01)
    assert ours.estimate == pytest.approx(values.mean())


def test_the_interval_covers_the_mean_as_often_as_it_says(rng):
    counts = resample_counts(40, 400, rng)
    hits = 0
    for _ in range(300):
        i = mean_interval(rng.exponential(size=40), counts)
        hits += i.low <= 1.0 <= i.high
    assert 0.88 <= hits / 300 <= 0.985


def test_the_interval_of_a_statistic_equals_the_one_of_the_mean(rng):
    values = rng.exponential(size=30)
    counts = resample_counts(30, 2000, rng)
    ours = statistic_interval(values.mean(), counts @ values / 30, (values.sum() - values) / 29)
    theirs = mean_interval(values, counts)
    np.testing.assert_allclose([ours.low, ours.high], [theirs.low, theirs.high], rtol=1e-12)


def test_undefined_rows_are_left_out_and_counted(rng):
    values = rng.standard_normal(20)
    values[[3, 7]] = np.nan
    i = mean_interval(values, resample_counts(20, 500, rng))
    assert i.rows == 18
    assert i.estimate == pytest.approx(np.nanmean(values))
    assert "2 of 20 rows left out" in i.note


def test_no_defined_row_gives_no_number_but_a_note(rng):
    i = mean_interval(np.full(5, np.nan), resample_counts(5, 200, rng))
    assert (i.estimate, i.low, i.high, i.rows) == (None, None, None, 0)
    assert "undefined in all 5 rows" in i.note


def test_one_row_has_no_interval(rng):
    i = mean_interval(np.array([2.0]), resample_counts(1, 200, rng))
    assert (i.estimate, i.low, i.high) == (2.0, None, None)
    assert i.note == "one row: no interval"
    assert statistic_interval(1.0, np.ones(200), np.ones(1)).note == "one row: no interval"


def test_few_rows_are_called_rough_and_equal_values_have_no_width(rng):
    i = mean_interval(np.full(4, 0.1), resample_counts(4, 200, rng))
    assert i.low == i.high == pytest.approx(0.1)
    assert "only 4 rows" in i.note
    zero = mean_interval(np.zeros(50), resample_counts(50, 200, rng))
    assert not is_positive(zero)
    assert not is_negative(zero)


def test_signs_of_intervals(rng):
    counts = resample_counts(30, 300, rng)
    values = 1 + 0.1 * rng.standard_normal(30)
    assert is_positive(mean_interval(values, counts))
    assert is_negative(mean_interval(-values, counts))


def test_resamples_keep_the_number_of_rows_and_depend_on_the_seed_alone():
    one, again, other = (resample_counts(13, 300, np.random.default_rng(s)) for s in (4, 4, 5))
    np.testing.assert_array_equal(one.sum(axis=1), 13)
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_p_values_equal_scipys_permutation_test(rng):
    d = rng.standard_normal((500, 25)) + np.linspace(0, 0.8, 500)[:, None]
    ours = paired_p_values(d, rng=rng)
    for i in (0, 250, 499):
        peer = stats.permutation_test(
            (d[i], np.zeros(25)),
            lambda x, y, axis: (x - y).mean(axis=axis),
            permutation_type="samples",
            n_resamples=20_000,
            rng=np.random.default_rng(3),
            vectorized=True,
        )
        assert ours[i] == pytest.approx(peer.pvalue, abs=0.012)


def test_p_values_are_as_rare_as_they_say_without_a_difference(rng):
    p = np.array(paired_p_values(rng.exponential(size=(400, 30)) - rng.exponential(size=(400, 30)), rng=rng))
    assert 0.02 <= (p <= 0.05).mean() <= 0.085


def test_p_values_of_no_difference_of_one_row_and_of_undefined_rows(rng):
    nothing = np.zeros(30)
    one_row = np.full(30, np.nan)
    one_row[0] = 1.0
    strong = np.ones(30)
    strong[4] = np.nan
    p = paired_p_values([nothing, one_row, strong], rng=rng)
    assert p[0] == 1.0
    assert p[1] is None
    assert p[2] == pytest.approx(1 / 2000)


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
    counts = resample_counts(4, 200, rng)
    with pytest.raises(ShapeMismatch, match="wants 4 values; got 3"):
        mean_interval(np.ones(3), counts)
    with pytest.raises(BadValues, match="infinite"):
        mean_interval(np.array([1.0, 2.0, np.inf, 0.0]), counts)
    with pytest.raises(EmptyData, match="at least one row"):
        resample_counts(0, 200, rng)
    with pytest.raises(BadSetting, match="at least 100 resamples"):
        resample_counts(5, 10, rng)
    with pytest.raises(BadSetting, match="between 0 and 1"):
        mean_interval(np.arange(4.0), counts, level=1.0)
    with pytest.raises(BadValues, match="from 0 to 1"):
        holm([1.5])
