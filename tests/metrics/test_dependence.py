"""Whether features depend on each other: by SciPy's coefficient, for groups, categories and by accident."""

import numpy as np
import pytest
from scipy import stats

from xai_mimo.core.players import Masker
from xai_mimo.core.streams import Stream
from xai_mimo.metrics.dependence import depend, dependences

pytestmark = pytest.mark.all_frameworks


def of_features(rows, players="features"):
    return depend(rows, Masker.of(rows, players))


def pair(rho, count, rng):
    a, b = rng.standard_normal((2, count))
    return {"one": a[:, None], "two": np.exp(rho * a + np.sqrt(1 - rho**2) * b)[:, None]}


def test_the_largest_rank_correlation_decides(rng):
    seen = {True: [], False: []}
    for rho in np.linspace(0, 0.9, 60):
        rows = pair(rho, 200, rng)
        largest = abs(stats.spearmanr(rows["one"][:, 0], rows["two"][:, 0]).statistic)
        seen[of_features(rows)].append(largest)
    assert max(seen[False]) < 0.5 <= min(seen[True])


def test_a_negative_one_counts_and_a_constant_does_not(rng):
    a = rng.standard_normal((50, 1))
    assert of_features({"s": np.concatenate([a, -(a**3), np.ones((50, 1))], axis=1)})
    assert not of_features({"s": np.concatenate([a, np.ones((50, 2))], axis=1)})
    assert not of_features({"s": np.ones((50, 3))})


def test_a_strong_one_that_chance_explains_does_not_count():
    """Of 400 pairs of independent features over 12 rows, the largest is above 0.5 in nearly every draw."""
    alarms = 0
    for seed in range(100):
        x = np.random.default_rng(seed).standard_normal((12, 29))
        alarms += of_features({"s": x})
    assert np.abs(stats.spearmanr(x).statistic[np.triu_indices(29, 1)]).max() > 0.5
    assert alarms <= 12  # ranks have a t distribution only about


def test_what_goes_together_within_one_player_does_not_count(rng):
    series = np.cumsum(rng.standard_normal((60, 8, 2)), axis=1)
    assert of_features({"series": series})
    assert not of_features({"series": series}, "variables")
    assert not of_features({"series": series, "other": rng.standard_normal((60, 3))}, "streams")
    assert of_features({"series": series, "other": series[:, 4]}, "streams")


def test_ids_count_by_being_there_and_not_by_their_order(rng):
    ids = rng.integers(0, 4, (100, 1))
    number = np.array([0.0, 5.0, 1.0, 4.0])[ids] + 0.01 * rng.standard_normal((100, 1))
    assert of_features({"ids": ids, "number": number})
    assert not of_features({"ids": ids, "number": rng.standard_normal((100, 1))})
    assert not of_features({"ids": ids})  # indicators of one id exclude each other: they are one player
    rare = np.arange(100)[:, None]
    assert not of_features({"ids": rare, "number": rare.astype(np.float64)})


def test_two_rows_tell_nothing(rng):
    assert not of_features({"s": np.array([[0.0, 1.0], [1.0, 2.0]])})


def test_of_many_columns_some_are_looked_at(rng):
    wide = np.repeat(rng.standard_normal((100, 50)), 60, axis=1)
    assert of_features({"s": wide})


def test_dependences_are_the_largest_of_the_values_of_two_players(rng):
    x = rng.standard_normal((100, 4, 2))
    y = np.stack([x[:, 2, 0] + 0.5 * rng.standard_normal(100), -x[:, 1, 0] + rng.standard_normal(100)], axis=1)
    rows = {"series": x, "table": y, "apart": rng.standard_normal((100, 1))}
    found = dependences(rows, Masker.of(rows, "variables"))  # two of the series, two of the table, one apart
    expected = np.zeros((5, 5))
    for j in (0, 1):
        expected[0, 2 + j] = max(abs(stats.spearmanr(x[:, t, 0], y[:, j]).statistic) for t in range(4))
    np.testing.assert_allclose(found, expected + expected.T)


def test_columns_of_one_group_do_not_count(rng):
    """One-hot columns exclude each other: apart they depend on each other, as one player they do not."""
    level = rng.integers(0, 2, 100)
    rows = {"s": np.concatenate([np.eye(2)[level], rng.standard_normal((100, 1))], axis=1)}
    stream = Stream("s", (3,), features=("low", "high", "heat"), groups={"level": ("low", "high")})
    assert of_features(rows)
    assert not depend(rows, Masker.of(rows, "features", [stream]))


def test_chance_is_what_a_test_of_two_sides_over_all_pairs_says():
    """Of three features there are three pairs: not six, and neither sign is expected."""
    with_one_side, with_pairs_twice = 0, 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((15, 3))
        x[:, 1] += rng.choice([-0.9, 0.9]) * x[:, 0]
        r, p = stats.spearmanr(x)
        apart = ~np.eye(3, dtype=bool)
        np.testing.assert_allclose(
            dependences({"s": x}, Masker.of({"s": x}, "features")), np.where(apart & (3 * p < 0.05), abs(r), 0.0)
        )
        with_pairs_twice += ((3 * p < 0.05) & (6 * p >= 0.05) & apart).any()
        with_one_side += ((3 * p >= 0.05) & (1.5 * p < 0.05) & apart).any()
    assert min(with_one_side, with_pairs_twice) > 5  # draws that tell these apart
