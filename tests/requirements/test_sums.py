"""Attributions sum to the change of the output, or the result says by how much they do not."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestRegressor

import xai_mimo as xm
from tests.helpers import networks_by_hand as by_hand
from tests.helpers import toys
from tests.helpers.frameworks import imported
from xai_mimo.core.errors import NotConvergedWarning
from xai_mimo.explainers import IntegratedGradients, Shapley

pytestmark = [
    pytest.mark.all_frameworks,
    pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning"),
]
BENT = toys.mlp("relu", streams={"u": 4, "v": 3}, heads={"y": 1, "z": 2}, hidden=30, scale=3.0)
ROWS = toys.rows(BENT, 20)
METHODS = [
    "integrated_gradients",
    "shapley",
    Shapley(budget=24),
    "shap.kernel",
    "captum.IntegratedGradients",
]


def total(found, streams=("u", "v")):
    return sum(found[name].values.sum(axis=-1) for name in streams)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_sums_and_what_is_left_of_them(method):
    """Explanations do not sum to the output. (shap/shap#3476, #2785, #2875, #930)

    What is stored as the gap is what is left, whichever method; and it is 0 for those that promise it.
    """
    found = xm.explain(
        BENT, ROWS, method, targets=[("y", 0), ("z", 0), ("z", 1)], background=toys.rows(BENT, 5, seed=9)
    )
    outputs = BENT.predict(ROWS)
    predicted = np.stack([outputs["y"][:, 0], outputs["z"][:, 0], outputs["z"][:, 1]])
    np.testing.assert_allclose(found["prediction"], predicted, rtol=1e-9)
    left = total(found) - (predicted - found["baseline_prediction"].values)
    np.testing.assert_allclose(found["completeness_gap"], left, atol=1e-9)
    size = np.abs(predicted - found["baseline_prediction"].values).max()
    assert (
        np.abs(left).max() < {"captum.IntegratedGradients": 0.05, "integrated_gradients": 2e-3}.get(method, 1e-6) * size
    )


def test_trees_sum_to_their_own_answers():
    """The additivity check fails for trees. (shap/shap#4239)

    A forest and boosted trees, which work in single precision: the sums are those of their own predictions.
    """
    xgboost = imported("xgboost")
    x, background = np.random.default_rng(0).normal(size=(300, 4)), np.random.default_rng(1).normal(size=(8, 4))
    y = x[:, 0] * x[:, 1] + np.sign(x[:, 2])
    trees = {
        "forest": RandomForestRegressor(10, random_state=0).fit(x, y),
        "boosted": xgboost.XGBRegressor(n_estimators=10, max_depth=3).fit(x, y),
    }
    model = xm.adapt(trees, like=x[:5])
    (stream,) = model.streams
    found = xm.explain(model, x[:6], Shapley(), background=background)
    for place, fitted in enumerate(trees.values()):
        expected = fitted.predict(x[:6]) - fitted.predict(background).mean()
        np.testing.assert_allclose(found[stream.name][place].sum(axis=-1), expected, atol=1e-5)


def test_the_gap_falls_with_the_work_and_a_tolerance_is_kept():
    """The convergence delta grows with more steps. (captum#1334)

    A kinked network: a fixed number of steps leaves a gap, which a tolerance does not.
    """
    gaps = [
        float(abs(xm.explain(BENT, ROWS, IntegratedGradients(steps=n))["completeness_gap"]).max()) for n in (4, 32, 256)
    ]
    assert gaps[0] > 3 * gaps[1] > 9 * gaps[2] > 0
    found = xm.explain(BENT, ROWS, IntegratedGradients(tolerance=1e-4))
    scale = np.maximum(
        abs(found["prediction"] - found["baseline_prediction"]),
        0.1 * sum(abs(found[n]).sum(f"{n}_feature") for n in ("u", "v")),
    )
    assert bool(found["converged"].all())
    assert float((abs(found["completeness_gap"]) / scale).max()) <= 1e-4
    with pytest.warns(NotConvergedWarning, match="marked in the variable 'converged'"):
        few = xm.explain(BENT, ROWS, IntegratedGradients(tolerance=1e-9, max_evaluations=17))
    assert not bool(few["converged"].all())


def test_input_and_baseline_can_be_swapped():
    """Swapping input and baseline does not turn the sign. (captum#1413)"""
    one, other = toys.rows(BENT, 1, seed=2), toys.rows(BENT, 1, seed=3)
    there = xm.explain(BENT, one, IntegratedGradients(tolerance=1e-6, baseline=other))
    back = xm.explain(BENT, other, IntegratedGradients(tolerance=1e-6, baseline=one))
    for name in ("u", "v"):
        np.testing.assert_allclose(there[name], -back[name], atol=1e-5)
        assert np.abs(there[name]).max() > 0.1


def test_products_have_no_delta():
    """DeepLift's delta is not 0: products and softmax have no rule that keeps sums. (captum#351)"""

    class Gate(torch.nn.Module):
        def forward(self, a, b):
            return torch.softmax(a, dim=-1)[:, :1] * b[:, :1]

    x = {"a": by_hand.rows()["a"], "b": by_hand.rows()["c"]}
    found = xm.explain(Gate(), x, IntegratedGradients(tolerance=1e-4, baseline={"a": [1.0, -1.0], "b": [2.0, 0.0]}))
    share = lambda a: 1 / (1 + np.exp(a[..., 1] - a[..., 0]))  # noqa: E731
    change = share(x["a"]) * x["b"][:, 0] - share(np.array([1.0, -1.0])) * 2.0
    np.testing.assert_allclose(total(found, ("a", "b"))[0], change, atol=1e-4)
