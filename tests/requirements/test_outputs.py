"""Heads of every kind and rank: steps, several values, labels; scores of maps of any rank; explanations that last."""

import numpy as np
import pytest
import torch

import xai_mimo as xm
from tests.helpers import networks_by_hand as by_hand
from xai_mimo.core.errors import FileProblem
from xai_mimo.explainers import Occlusion, Shapley

pytestmark = pytest.mark.all_frameworks
RNG = np.random.default_rng(4)
SERIES = RNG.normal(size=(3, 4, 2)).astype("float32")
WEIGHTS = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]], dtype="float32")


class EachStep(torch.nn.Module):
    """Running sums: the output ``(row, time, unit)`` at step t reads the steps up to t."""

    def forward(self, series):
        return torch.cumsum(series @ torch.from_numpy(WEIGHTS), dim=1)


@pytest.mark.parametrize("method", ["integrated_gradients", "input_x_gradient", Shapley(2**10)], ids=str)
def test_outputs_of_three_axes(method):
    """Outputs per time step: "the model output must be a vector or a single value". (shap/shap#213, #2526)"""
    background = {"series": np.zeros((1, 4, 2), "float32")}
    found = xm.explain(EachStep(), SERIES, method, background=background)
    name = next(iter(found.data_vars))
    for step in range(4):
        for unit in range(3):
            reads = (np.arange(4) <= step)[None, :, None] * SERIES * WEIGHTS[:, unit]
            np.testing.assert_allclose(found[name][3 * step + unit], reads, atol=1e-5)


def test_a_regression_of_several_steps():
    """Several values at once, several steps ahead. (captum#389, #741)"""

    class Ahead(torch.nn.Module):
        def forward(self, past):
            return past.sum(dim=1, keepdim=True) * torch.tensor([1.0, 2.0, 4.0])

    past = SERIES[:, :, 0]
    found = xm.explain(Ahead(), past, "integrated_gradients")
    name = next(iter(found.data_vars))
    np.testing.assert_allclose(found[name], np.stack([past, 2 * past, 4 * past]), atol=1e-5)


def test_many_labels_at_once():
    """Classification into several labels at once. (Quantus#233)

    Each label is a probability of its own: by the chain rule, p (1 - p) times its weights, and not those of a softmax.
    """

    class Labels(torch.nn.Module):
        def forward(self, table):
            return torch.sigmoid(table @ torch.from_numpy(WEIGHTS))

    table = SERIES[:, 0]
    model = xm.adapt(Labels(), like=table)
    assert [head.kind for head in model.heads] == ["multilabel"]
    found = xm.explain(model, table, "gradient")
    p = 1 / (1 + np.exp(-table @ WEIGHTS))
    name = next(iter(found.data_vars))
    np.testing.assert_allclose(found[name], np.einsum("nu,fu->unf", p * (1 - p), WEIGHTS), atol=1e-6)
    on = xm.explain(model, table, "input_x_gradient", on="logit")
    np.testing.assert_allclose(on[name], np.einsum("nf,fu->unf", table, WEIGHTS), atol=1e-5)


@pytest.mark.parametrize("shape", [(6,), (3, 2), (2, 3, 1)], ids=str)
def test_scores_do_not_ask_for_pictures(shape):
    """Metrics for tables and arrays of any shape; tables are refused or misread. (Quantus#215, #324, #51)

    Of a sum of positive terms the order of removal is known, and so is the curve: deleted from the largest on, the
    prediction falls by the sum of the k largest.
    """
    x = np.abs(np.random.default_rng(1).normal(size=(20, *shape))) + 0.1
    model = xm.adapt(lambda x: x.reshape(len(x), -1).sum(axis=1), streams={"x": shape}, heads={"y": 1})
    settings = xm.Settings(resamples=100, steps=6, controls=1, ceilings=False)
    result = xm.compare(
        model,
        {"x": x},
        [Occlusion()],
        background={"x": np.zeros((1, *shape))},
        metrics=["deletion_area"],
        settings=settings,
    )
    (curve,) = [c for c in result.to_dict()["curves"] if c["kind"] == "deletion" and c["method"] != "random"]
    ordered = -np.sort(-x.reshape(20, -1), axis=1).mean(axis=0)
    np.testing.assert_allclose(curve["mean"], np.cumsum([0, *ordered]), rtol=1e-6)


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
@pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning")
def test_explanations_are_saved_and_loaded(suffix, tmp_path):
    """Save an explanation: "no plans for adding support for saving"; saved explainers do not load. (shap/shap#4062,
    #295, #2118, #2122)"""
    x = by_hand.rows()
    found = xm.explain(by_hand.torch_model(), x, "integrated_gradients")
    again = xm.load(xm.save(found, tmp_path / f"maps.{suffix}"))
    assert again.identical(found)
    by_hand.assert_maps(again, by_hand.attributions(x))
    with pytest.raises(FileProblem):
        xm.load(tmp_path / f"other.{suffix}")
