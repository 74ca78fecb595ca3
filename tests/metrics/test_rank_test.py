"""The exact rank test against enumeration and SciPy, and what it says of noise."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from xai_mimo.core.errors import BadSetting, BadValues, ShapeMismatch
from xai_mimo.metrics import rank_test
from xai_mimo.metrics.rank_test import rank_sum_p

pytestmark = pytest.mark.all_frameworks


def chosen(size, *places):
    return np.isin(np.arange(size), places)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=9), st.data())
def test_it_counts_the_choices_that_are_as_far_from_the_middle(values, data):
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))))
    assume(mask.any() and not mask.all())
    ranks, n = stats.rankdata(values), int(mask.sum())
    off = [abs(sum(ranks[list(c)]) - n * (len(values) + 1) / 2) for c in itertools.combinations(range(len(values)), n)]
    observed = abs(ranks[mask].sum() - n * (len(values) + 1) / 2)
    p = rank_sum_p(values, mask)
    assert p == pytest.approx(np.mean(np.array(off) >= observed - 1e-9))
    assert rank_sum_p(values, ~mask) == pytest.approx(p)
    assert rank_sum_p(-3 * np.array(values), mask) == pytest.approx(p)


@pytest.mark.parametrize(("size", "n"), [(5, 1), (12, 4), (40, 20), (60, 3)])
def test_without_ties_it_equals_scipys_exact_test(rng, size, n):
    for _ in range(5):
        values, mask = rng.standard_normal(size), rng.permutation(np.arange(size) < n)
        peer = stats.mannwhitneyu(values[mask], values[~mask], method="exact").pvalue
        assert rank_sum_p(values, mask) == pytest.approx(peer, rel=1e-9)


def test_small_cases_by_hand():
    assert rank_sum_p([5.0, 4, 3, 2, 1], chosen(5, 0, 1)) == pytest.approx(2 / 10)
    assert rank_sum_p([5.0, 4, 3, 2, 1], chosen(5, 0)) == pytest.approx(2 / 5)
    assert rank_sum_p([5.0, 4, 3, 2, 1], chosen(5, 2)) == 1.0
    assert rank_sum_p(np.ones(6), chosen(6, 0, 1)) == 1.0
    assert rank_sum_p([3.0, 3, 1, 1, 1, 1], chosen(6, 0, 1)) == pytest.approx(1 / 15)  # none is as low


def test_large_maps_are_tested_by_the_normal_distribution(rng, monkeypatch):
    values, mask = np.round(rng.standard_normal(90), 1), chosen(90, *range(25))
    values[:25] += 0.3
    exact = rank_sum_p(values, mask)
    monkeypatch.setattr(rank_test, "_ADDITIONS", 1.0)
    assert rank_sum_p(values, mask) == pytest.approx(exact, rel=0.03)
    peer = stats.mannwhitneyu(values[mask], values[~mask], method="asymptotic", use_continuity=False).pvalue
    assert rank_sum_p(values, mask) == pytest.approx(peer)
    assert rank_sum_p(np.ones(90), mask) == 1.0
    # One value of many needs no sums.
    assert rank_sum_p(np.arange(90.0), chosen(90, 89)) == pytest.approx(2 / 90)


def test_noise_has_a_p_value_below_any_level_as_rarely_as_it_says():
    """Exactly as often where the level is one that can be, for maps of noise over any number of rows."""
    rng = np.random.default_rng(2)
    mask, draws = chosen(8, 0, 3, 5), 4000
    p = np.array([rank_sum_p(np.abs(rng.standard_normal((5, 8))).mean(axis=0), mask) for _ in range(draws)])
    for level in np.unique(p):
        assert (p <= level + 1e-9).mean() == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / draws) + 1e-9)


def test_what_cannot_be_ranked_is_refused():
    with pytest.raises(ShapeMismatch, match="one boolean for each value"):
        rank_sum_p(np.ones(3), chosen(4, 0))
    with pytest.raises(BadValues, match="finite values"):
        rank_sum_p([1.0, np.nan], chosen(2, 0))
    with pytest.raises(BadValues, match="booleans"):
        rank_sum_p([1.0, 2.0], np.array([0, 1]))
    for mask in (np.zeros(3, bool), np.ones(3, bool)):
        with pytest.raises(BadSetting, match="some, and some not"):
            rank_sum_p(np.ones(3), mask)
