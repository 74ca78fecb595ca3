"""Every coalition, and draws of a player at a time: brute force, shap alone, several targets, what is refused."""

import numpy as np
import pytest
from xai_mimo_adapters.shap_methods import ShapExact, ShapSampling

from tests.helpers.frameworks import imported
from tests.helpers.games import Bilinear, Plain, brute_force_shapley, explain, rows_for
from xai_mimo.core.errors import BadSetting
from xai_mimo.core.plugins import method
from xai_mimo.core.streams import Head

shap = imported("shap")
pytestmark = pytest.mark.all_frameworks


def tangled(x):
    return np.tanh(x[:, 0] * x[:, 1]) + x[:, 2] ** 2 * x[:, 1]


class Counted(Plain):
    """Two heads, of which one never changes; it counts the rows that it is asked for."""

    heads = (Head("y"), Head("flat"), Head("half"))

    def __init__(self, function, width):
        super().__init__(function, width)
        self.rows = 0

    def predict(self, inputs):
        self.rows += len(inputs["x"])
        y = self.function(inputs["x"])[:, None]
        return {"y": y, "flat": np.full_like(y, 3.0), "half": y / 2}


def test_exact_values_equal_brute_force(rng):
    x, background = rng.standard_normal((3, 3)), rng.standard_normal((4, 3))
    x[1] = background[0]
    found = explain(ShapExact(), Plain(tangled, 3), {"x": x}, {"x": background}).values["x"][0]
    np.testing.assert_allclose(found, [brute_force_shapley(tangled, row, background) for row in x], atol=1e-10)


def test_rows_that_differ_from_the_background_in_nothing_get_zeros(rng):
    """shap alone looks a coefficient up before the beginning of its table there."""
    x = {"x": np.repeat(rng.standard_normal((1, 3)), 2, axis=0)}
    found = explain(ShapExact(), Plain(tangled, 3), x, {"x": x["x"][:1]}).values["x"]
    np.testing.assert_array_equal(found, np.zeros((1, 2, 3)))


def test_exact_values_of_a_product_are_those_found_by_hand(rng):
    model = Bilinear()
    inputs, background = rows_for(model, rng, 6), rows_for(model, rng, 1)
    found = explain(ShapExact(), model, inputs, background)
    a, b, a_, b_ = inputs["a"], inputs["b"][:, 0], background["a"][0], background["b"][0, 0]
    np.testing.assert_allclose(found.values["a"][0, :, 0], (a[:, 0] - a_[0]) * (b[:, 0] + b_[0]) / 2, atol=1e-10)
    np.testing.assert_allclose(found.values["unused"], 0, atol=1e-12)


def test_exact_answers_all_targets_from_one_evaluation(rng):
    x, background = {"x": rng.standard_normal((2, 3))}, {"x": rng.standard_normal((4, 3))}
    model, single = Counted(tangled, 3), Counted(tangled, 3)
    found = explain(ShapExact(), model, x, background)
    single.heads = single.heads[:1]
    explain(ShapExact(), single, x, background)
    assert model.rows == single.rows
    np.testing.assert_allclose(found.values["x"][2], found.values["x"][0] / 2)
    np.testing.assert_array_equal(found.values["x"][1], 0)


def test_more_coalitions_than_allowed_are_refused_with_a_way_out(rng):
    x, background = {"x": rng.standard_normal((1, 17))}, {"x": rng.standard_normal((1, 17))}
    with pytest.raises(BadSetting, match=r"2\^17 coalitions of a row whose 17 players differ.*'shap.permutation' or"):
        explain(ShapExact(), Plain(lambda x: x.sum(axis=1), 17), x, background)
    background["x"][:, 3:] = x["x"][:, 3:]
    found = explain(ShapExact(), Plain(lambda x: x.sum(axis=1), 17), x, background).values["x"][0]
    np.testing.assert_allclose(found, x["x"] - background["x"], atol=1e-10)


def test_more_masked_rows_than_memory_is_refused(rng):
    x = {"x": rng.standard_normal((1, 12))}
    with pytest.raises(BadSetting, match=r"shap\.exact would hold .* MB of masked rows at once"):
        explain(ShapExact(), Plain(tangled, 12), x, {"x": rng.standard_normal((9, 12))}, max_memory=2**20)


def test_sampled_values_come_near_brute_force_and_sum_to_the_change(rng):
    x, background = rng.standard_normal((2, 3)), rng.standard_normal((4, 3))
    found = explain(ShapSampling(samples=3000), Plain(tangled, 3), {"x": x}, {"x": background})
    slow = np.array([brute_force_shapley(tangled, row, background) for row in x])
    np.testing.assert_allclose(found.values["x"][0], slow, atol=0.08)
    change = found.prediction - found.baseline_prediction
    np.testing.assert_allclose(found.values["x"].sum(axis=-1), change, atol=1e-4 * np.abs(change).max())


def test_a_target_that_never_changes_does_not_spoil_the_others(rng):
    """shap alone divides 0 by 0 there: with several outputs its draws are allotted by NaN."""
    x, background = {"x": rng.standard_normal((2, 3))}, {"x": rng.standard_normal((4, 3))}
    model = Counted(tangled, 3)
    found = explain(ShapSampling(samples=900), model, x, background, seed=7)
    alone = explain(ShapSampling(samples=900), Plain(tangled, 3), x, background, seed=7)
    np.testing.assert_allclose(found.values["x"][0], alone.values["x"][0], rtol=1e-12)
    np.testing.assert_array_equal(found.values["x"][1], 0)
    halved = explain(ShapSampling(samples=900), Plain(lambda v: tangled(v) / 2, 3), x, background, seed=7)
    np.testing.assert_allclose(found.values["x"][2], halved.values["x"][0], rtol=1e-12)


def test_the_numbers_are_those_of_shap_alone(rng):
    x, background = rng.standard_normal((2, 3)), rng.standard_normal((4, 3))
    seed = int(np.random.default_rng(11).integers(2**32))
    np.random.seed(seed)  # noqa: NPY002
    theirs = shap.explainers.SamplingExplainer(tangled, background).shap_values(x, nsamples=500, silent=True)
    ours = explain(ShapSampling(samples=500), Plain(tangled, 3), {"x": x}, {"x": background}, seed=11)
    np.testing.assert_allclose(ours.values["x"][0], theirs, rtol=1e-9)


def test_fewer_than_two_samples_for_a_player_are_refused(rng):
    x = {"x": rng.standard_normal((1, 3))}
    with pytest.raises(BadSetting, match=r"two samples for each player, 6 here; got samples=5"):
        explain(ShapSampling(samples=5), Plain(tangled, 3), x, x)


def test_they_are_found_by_name():
    assert method("shap.exact") == ShapExact()
    assert method("shap.sampling") == ShapSampling()
