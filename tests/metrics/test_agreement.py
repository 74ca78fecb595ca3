"""Agreement: brute force over all ways to break ties, SciPy, closed forms, properties."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from xai_mimo.core.errors import BadSetting, BadValues, ShapeMismatch
from xai_mimo.metrics import agreement
from xai_mimo.metrics.agreement import (
    Ranked,
    concordance,
    feature_agreement,
    kendall,
    pairwise_rank_agreement,
    rank_agreement,
    sign_agreement,
    signed_rank_agreement,
    spearman,
)
from xai_mimo.metrics.agreement_of_pairs import _floor_maps

pytestmark = pytest.mark.all_frameworks

BOTH = (True, True)
small_maps = hnp.arrays(
    np.float64, st.tuples(st.just(3), st.integers(2, 5)), elements=st.sampled_from([-2, -1, 0, 1, 2])
)


def orders(row):
    """Every order of the features by magnitude that the row allows."""
    found = []
    for order in itertools.permutations(range(len(row))):
        magnitude = [abs(row[i]) for i in order]
        if magnitude == sorted(magnitude, reverse=True):
            found.append(order)
    return found


def brute(a, b, of_two_orders):
    return np.mean([of_two_orders(u, v) for u in orders(a) for v in orders(b)])


@st.composite
def two_maps(draw):
    a = draw(small_maps)
    return a, draw(hnp.arrays(np.float64, a.shape, elements=st.sampled_from([-2, -1, 0, 1, 2])))


@settings(max_examples=25, deadline=None)
@given(two_maps(), st.integers(1, 5))
def test_agreement_at_k_is_the_mean_over_all_ways_to_break_ties(maps, k):
    a, b = maps
    k = min(k, a.shape[1])
    for row in range(len(a)):
        x, y = a[row], b[row]
        same = np.sign(x) == np.sign(y)
        cases = {
            feature_agreement: lambda u, v: len(set(u[:k]) & set(v[:k])) / k,
            rank_agreement: lambda u, v: sum(i == j for i, j in zip(u[:k], v[:k], strict=True)) / k,
        }
        signed = {
            sign_agreement: lambda u, v, s=same: sum(s[i] for i in set(u[:k]) & set(v[:k])) / k,
            signed_rank_agreement: lambda u, v, s=same: (
                sum(i == j and s[i] for i, j in zip(u[:k], v[:k], strict=True)) / k
            ),
        }
        for metric, slow in cases.items():
            np.testing.assert_allclose(metric(a, b, k)[row], brute(x, y, slow), atol=1e-12)
        for metric, slow in signed.items():
            np.testing.assert_allclose(metric(a, b, k, signed=BOTH)[row], brute(x, y, slow), atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(two_maps())
def test_pairwise_rank_agreement_is_the_mean_over_all_ways_to_break_ties(maps):
    a, b = maps

    def slow(u, v):
        place_u, place_v = np.argsort(u), np.argsort(v)
        pairs = list(itertools.combinations(range(len(u)), 2))
        return np.mean([(place_u[i] < place_u[j]) == (place_v[i] < place_v[j]) for i, j in pairs])

    for row in range(len(a)):
        np.testing.assert_allclose(pairwise_rank_agreement(a, b)[row], brute(a[row], b[row], slow), atol=1e-12)


@pytest.mark.parametrize("features", [7, 450], ids=["all pairs", "sorted"])
@pytest.mark.parametrize("digits", [1, 8], ids=["ties", "no ties"])
def test_correlations_equal_scipy(rng, features, digits):
    a, b = (np.round(rng.standard_normal((4, features)), digits) for _ in range(2))
    tau = [stats.kendalltau(abs(u), abs(v)).statistic for u, v in zip(a, b, strict=True)]
    rho = [stats.spearmanr(abs(u), abs(v)).statistic for u, v in zip(a, b, strict=True)]
    np.testing.assert_allclose(kendall(a, b), tau, atol=1e-12)
    np.testing.assert_allclose(spearman(a, b), rho, atol=1e-12)


def test_both_ways_to_count_pairs_agree(rng, monkeypatch):
    a, b = (np.round(rng.standard_normal((5, 12)), 1) for _ in range(2))
    a[0] = 1.0
    by_pairs = pairwise_rank_agreement(a, b)
    monkeypatch.setattr(agreement, "_PAIRWISE_FEATURES", 1)
    np.testing.assert_allclose(pairwise_rank_agreement(a, b), by_pairs, atol=1e-12)
    assert by_pairs[0] == 0.5


def test_pairwise_rank_agreement_does_not_count_a_tie_as_agreement():
    tied, reverse = np.array([[1.0, 1.0]]), np.array([[1.0, 2.0]])
    assert pairwise_rank_agreement(tied, reverse)[0] == 0.5


def test_a_constant_map_scores_chance_at_k_and_is_undefined_for_correlations(rng):
    constant, other = np.zeros((3, 8)), rng.standard_normal((3, 8))
    np.testing.assert_allclose(feature_agreement(constant, other, 2), 2 / 8)
    np.testing.assert_allclose(feature_agreement(constant, constant, 2), 2 / 8)
    np.testing.assert_allclose(rank_agreement(constant, other, 2), 1 / 8)
    assert np.isnan(spearman(constant, other)).all()
    assert np.isnan(kendall(other, constant)).all()


@settings(max_examples=40, deadline=None)
@given(two_maps(), st.integers(1, 5), st.randoms(use_true_random=False))
def test_bounds_symmetry_and_invariance(maps, k, random):
    a, b = maps
    k = min(k, a.shape[1])
    order = list(range(a.shape[1]))
    random.shuffle(order)
    for metric in (
        lambda x, y: feature_agreement(x, y, k),
        lambda x, y: rank_agreement(x, y, k),
        lambda x, y: sign_agreement(x, y, k, signed=BOTH),
        lambda x, y: signed_rank_agreement(x, y, k, signed=BOTH),
        pairwise_rank_agreement,
        spearman,
        kendall,
    ):
        value = metric(a, b)
        defined = value[~np.isnan(value)]
        assert (defined >= -1 - 1e-12).all()
        assert (defined <= 1 + 1e-12).all()
        np.testing.assert_allclose(metric(b, a), value, atol=1e-12)
        np.testing.assert_allclose(metric(a[:, order], b[:, order]), value, atol=1e-12)
        np.testing.assert_allclose(metric(3 * a**3, b), value, atol=1e-12)  # monotone, keeps signs
    assert (rank_agreement(a, b, k) <= feature_agreement(a, b, k) + 1e-12).all()
    assert (signed_rank_agreement(a, b, k, signed=BOTH) <= sign_agreement(a, b, k, signed=BOTH) + 1e-12).all()


def test_a_map_without_ties_agrees_with_itself(rng):
    a = rng.standard_normal((6, 9))
    for value in (
        feature_agreement(a, a, 4),
        signed_rank_agreement(a, a, 4, signed=BOTH),
        pairwise_rank_agreement(a, a),
        spearman(a, a),
        kendall(a, a),
    ):
        np.testing.assert_allclose(value, 1.0)
    np.testing.assert_allclose(sign_agreement(a, -a, 4, signed=BOTH), 0.0)


def test_a_map_may_be_ranked_once_for_all(rng):
    a, b = (np.round(rng.standard_normal((4, 30)), 1) for _ in range(2))
    ranked = Ranked.of(a), Ranked.of(b)
    pairs = concordance(*ranked)
    for metric in (spearman, kendall, pairwise_rank_agreement):
        np.testing.assert_array_equal(metric(*ranked), metric(a, b))
    for metric in (kendall, pairwise_rank_agreement):
        np.testing.assert_array_equal(metric(*ranked, pairs=pairs), metric(a, b))
        assert (metric(*ranked, pairs=pairs + 1) != metric(a, b)).all()
    for metric in (feature_agreement, rank_agreement):
        np.testing.assert_array_equal(metric(*ranked, 3), metric(a, b, 3))
    for metric in (sign_agreement, signed_rank_agreement):
        np.testing.assert_array_equal(metric(*ranked, 3, signed=BOTH), metric(a, b, 3, signed=BOTH))


def test_ranks_count_what_is_before_and_what_is_tied():
    ranked = Ranked.of([[2.0, -5.0, 0.0, -2.0, 2.0, 0.0]])
    np.testing.assert_array_equal(ranked.before, [[1, 0, 4, 1, 1, 4]])
    np.testing.assert_array_equal(ranked.tied, [[3, 1, 2, 3, 3, 2]])
    np.testing.assert_array_equal(ranked.untied_pairs, [15 - 3 - 1])


@pytest.mark.parametrize(("features", "draws"), [(10_000, 3), (10_001, 1)])
def test_floors_of_many_features_take_one_draw(rng, features, draws):
    a = np.arange(2.0 * features).reshape(2, features)
    floors = _floor_maps(a, rng)
    assert {role: np.shape(maps) for role, maps in floors.items()} == {
        "floor_random": (draws, 2, features),
        "floor_permuted": (draws, 2, features),
    }
    for drawn in floors["floor_permuted"]:
        assert (drawn != a).any()
        np.testing.assert_array_equal(np.sort(drawn, axis=1), a)


@pytest.mark.parametrize("metric", [sign_agreement, signed_rank_agreement])
def test_the_sign_family_refuses_a_map_without_sign(metric):
    with pytest.raises(BadSetting, match=r"the second map has none.*signed map such as the layer's contributions"):
        metric(np.ones((1, 3)), np.ones((1, 3)), 1, signed=(True, False))


def test_bad_maps_and_settings_are_refused():
    a = np.ones((2, 3))
    with pytest.raises(ShapeMismatch, match=r"same shape.*\(2, 3\) and \(2, 4\)"):
        spearman(a, np.ones((2, 4)))
    with pytest.raises(ShapeMismatch, match="at least one row"):
        spearman(np.ones((0, 3)), np.ones((0, 3)))
    with pytest.raises(BadValues, match="NaN or infinite"):
        kendall(a, a * np.nan)
    with pytest.raises(BadSetting, match="from 1 to the number of features, 3; got 4"):
        feature_agreement(a, a, 4)
    with pytest.raises(BadSetting, match="at least 2 features"):
        pairwise_rank_agreement(a[:, :1], a[:, :1])
