"""Models that add up: values by hand, and the gap of one that does not."""

import numpy as np
import pytest
from xai_mimo_adapters.shap_methods import ShapAdditive

from tests.helpers.games import Bilinear, Plain, explain, rows_for
from xai_mimo.core.plugins import method
from xai_mimo.core.streams import Head

pytestmark = pytest.mark.all_frameworks


class Curves(Plain):
    """y = sin(x0) + x1^2 + 3 x2, twice = 2 y."""

    heads = (Head("y"), Head("twice"))

    def __init__(self):
        super().__init__(lambda x: np.sin(x[:, 0]) + x[:, 1] ** 2 + 3 * x[:, 2], 3)
        self.asked = 0

    def predict(self, inputs):
        self.asked += len(inputs["x"])
        y = self.function(inputs["x"])[:, None]
        return {"y": y, "twice": 2 * y}


def test_a_sum_of_curves_is_taken_apart_by_hand(rng):
    x, background = rng.standard_normal((4, 3)), rng.standard_normal((5, 3))
    found = explain(ShapAdditive(), Curves(), {"x": x}, {"x": background}).values["x"]
    curves = [np.sin, np.square, lambda v: 3 * v]
    by_hand = np.stack([c(x[:, i]) - c(background[:, i]).mean() for i, c in enumerate(curves)], axis=1)
    np.testing.assert_allclose(found[0], by_hand, atol=1e-12)
    np.testing.assert_allclose(found[1], 2 * by_hand, atol=1e-12)


def test_both_heads_are_answered_from_the_same_predictions(rng):
    x, background = {"x": rng.standard_normal((4, 3))}, {"x": rng.standard_normal((5, 3))}
    model = Curves()
    explain(ShapAdditive(), model, x, background)
    assert model.asked <= 4 * 3 + 4 * 5 + 4 + 4 + 5  # one row a player; offsets; select, prediction, baseline


def test_a_model_that_does_not_add_up_shows_its_gap(rng):
    """Of a product of two, each value is taken where the other is smallest."""
    x, background = np.array([[2.0, 3.0]]), np.array([[1.0, 1.0], [0.0, -1.0]])
    found = explain(ShapAdditive(), Plain(lambda v: v[:, 0] * v[:, 1], 2), {"x": x}, {"x": background})
    by_hand = [-1 * (2 - 0.5), 0 * (3 - 0)]  # the smallest of the other one times the change of its own
    np.testing.assert_allclose(found.values["x"][0, 0], by_hand, atol=1e-12)
    gap = found.values["x"].sum() - (found.prediction - found.baseline_prediction)
    np.testing.assert_allclose(gap, [[-1.5 - (6 - 0.5)]])


def test_streams_with_several_players_come_back_in_their_shapes(rng):
    model = Bilinear()
    found = explain(ShapAdditive(players="streams"), model, rows_for(model, rng, 3), rows_for(model, rng, 2))
    assert found.values["a"].shape == (2, 3)


def test_it_is_found_by_name():
    assert method("shap.additive") == ShapAdditive()
