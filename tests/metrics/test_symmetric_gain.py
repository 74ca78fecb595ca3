"""Symmetric and signed gain: closed form on linear models, what random orders gain, and inputs that oppose."""

import itertools

import numpy as np
import pytest

from tests.helpers import toys
from xai_mimo.core.targets import Selector
from xai_mimo.metrics.faithfulness import deletion_area, insertion_area
from xai_mimo.metrics.removal import removal_curves
from xai_mimo.metrics.symmetric_gain import signed_gain, symmetric_gain

pytestmark = pytest.mark.all_frameworks


def curves_along(weights, x, a, rng, **kwargs):
    """Removal curves of one linear head on one stream, zero for what is replaced."""
    model = toys.linear({"y": [np.asarray(weights, dtype=float)]}, {"u": len(weights)})
    selectors = [Selector("y", "y", np.zeros(len(x), dtype=np.int64))]
    zeros = {"u": np.zeros((1, x.shape[1]))}
    return removal_curves(model.predict, {"u": x}, {"m": a[None]}, selectors, zeros, signed=["m"], rng=rng, **kwargs)


def test_of_two_contributions_by_hand(rng):
    """f = 3 a + b at (1, 1): contributions 3 and 1; |deletion| 0, 3, 4 and |insertion| 4, 1, 0 over halves."""
    x = np.ones((1, 2))
    curves, _ = curves_along([3, 1], x, np.array([[3.0, 1.0]]), rng)
    assert symmetric_gain(curves["m"])[0, 0] == pytest.approx((0 + 3) / 4 + (3 + 4) / 4 - (4 + 1) / 4 - 1 / 4)
    assert signed_gain(curves["m"].by_value)[0, 0] == pytest.approx(1.0)


def test_it_is_the_deletion_area_less_the_insertion_area(rng):
    x = rng.standard_normal((5, 30))
    curves, _ = curves_along(rng.standard_normal(30), x, rng.standard_normal((5, 30)), rng)
    np.testing.assert_allclose(symmetric_gain(curves["m"]), deletion_area(curves["m"]) - insertion_area(curves["m"]))


def test_all_orders_together_gain_nothing(rng):
    """Four features, all 24 orders of one row, in a model whose features oppose each other."""
    orders = np.array(list(itertools.permutations([4.0, 3.0, 2.0, 1.0])))
    x = np.tile(rng.standard_normal(4), (len(orders), 1))
    curves, _ = curves_along([2, -2, 1, 0.5], x, orders, rng)
    assert np.abs(symmetric_gain(curves["m"])).max() > 0.1
    assert symmetric_gain(curves["m"]).mean() == pytest.approx(0, abs=1e-12)
    assert signed_gain(curves["m"].by_value).mean() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("features", [11, 15, 40, 101])
def test_random_orders_gain_nothing_where_several_features_are_one_step(features, rng):
    """The points of a curve are the same from both ends, else a random order would gain by the spacing alone."""
    x = rng.standard_normal((4000, features)) + 1
    curves, _ = curves_along(np.ones(features), x, rng.standard_normal(x.shape), rng)
    np.testing.assert_array_equal(curves["m"].counts, (features - curves["m"].counts)[::-1])
    for gain in (symmetric_gain(curves["m"])[0], signed_gain(curves["m"].by_value)[0]):
        assert abs(gain.mean()) < 4 * gain.std() / np.sqrt(len(x))


def test_signs_the_wrong_way_round_gain_the_negative(rng):
    x, weights = rng.standard_normal((6, 5)), rng.standard_normal(5)
    right, _ = curves_along(weights, x, x * weights, rng)
    wrong, _ = curves_along(weights, x, -x * weights, rng)
    gain = signed_gain(right["m"].by_value)
    assert (gain > 0).all()
    np.testing.assert_allclose(signed_gain(wrong["m"].by_value), -gain)
    np.testing.assert_allclose(symmetric_gain(wrong["m"]), symmetric_gain(right["m"]))


def test_the_exact_map_gains_most_by_sign_of_all_orders(rng):
    x, weights = rng.standard_normal((1, 4)), rng.standard_normal(4)
    best = signed_gain(curves_along(weights, x, x * weights, rng)[0]["m"].by_value)[0, 0]
    for order in itertools.permutations(range(4)):
        other = signed_gain(curves_along(weights, x, np.array([order], dtype=float), rng)[0]["m"].by_value)[0, 0]
        assert other <= best + 1e-12


def test_inputs_that_oppose_each_other_do_not_hide_a_right_order(rng):
    """y = a - b with correlation .98: deleting both cancels, so the area gains nothing; the symmetric gain is clear."""
    x = rng.standard_normal((200, 6))
    x[:, 1] = 0.98 * x[:, 0] + np.sqrt(1 - 0.98**2) * x[:, 1]
    weights = np.array([2.0, -2.0, 0.5, 0.3, 0, 0])
    curves, random = curves_along(weights, x, x * weights, rng, controls=10)
    gained = (deletion_area(curves["m"]) - np.mean([deletion_area(c) for c in random], axis=0))[0]
    assert gained.mean() < 0
    for gain in (symmetric_gain(curves["m"])[0], signed_gain(curves["m"].by_value)[0]):
        assert gain.mean() > 6 * gain.std() / np.sqrt(len(x))


def test_a_map_without_signs_is_followed_by_magnitude_alone(rng):
    x = rng.standard_normal((3, 4))
    model = toys.linear({"y": [np.ones(4)]}, {"u": 4})
    selectors = [Selector("y", "y", np.zeros(3, dtype=np.int64))]
    curves, random = removal_curves(
        model.predict, {"u": x}, {"m": np.abs(x)[None]}, selectors, {"u": np.zeros((1, 4))}, rng=rng
    )
    assert curves["m"].by_value is None
    assert random[0].by_value is None
