"""The maps of the identity-initialised MLP as explanations: read by a method, and beside attributions."""

import keras
import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.identity_by_hand import HEADS, built, maps_of, randomize, trained
from xai_mimo.explainers import IntegratedGradients, Interception, Shapley
from xai_mimo.layers import IdentityMLP

SCORES = ["hidden_same", "linear"]


def model_of(x, **settings):
    """A model of one stream ``u`` with weights near the identity, and its layer."""
    layer, _, _ = built(x, **({"stream_name": "u", "name": "mlp"} | settings))
    inputs = keras.Input(x.shape[1:], name="u")
    return keras.Model(inputs, layer(inputs)), layer


@pytest.mark.parametrize("shape", [(3,), (2, 3, 1)])
@pytest.mark.parametrize("class_activation", SCORES)
def test_contribution_explains_each_unit_and_its_gap_is_what_the_activation_took(shape, class_activation, rng):
    x = rng.uniform(-1, 1, size=(20, *shape)).astype("float32")
    model, layer = model_of(x, class_activation=class_activation)
    targets = [("kind", 0), ("kind", 2), ("load", 1)]
    found = xm.explain(model, x[:5], Interception("contribution"), targets=targets, background=x)
    maps = maps_of(layer, x[:5])[1]
    for i, unit in enumerate((0, 2, 4)):
        np.testing.assert_allclose(found["u"].values[i], maps["contribution"][..., unit, :], atol=1e-5)
        np.testing.assert_allclose(found["baseline_prediction"].values[i], maps["bias"][:, unit], atol=1e-5)
        np.testing.assert_allclose(found["completeness_gap"].values[i], -maps["clip_residual"][:, unit], atol=1e-5)
    assert (class_activation == "linear") == bool(np.abs(found["completeness_gap"]).max() < 1e-5)


def test_change_is_one_unsigned_map_for_all_heads(rng):
    x = rng.uniform(-1, 1, size=(5, 2, 3, 1)).astype("float32")
    model, layer = model_of(x)
    found = xm.explain(model, x, Interception("change"), targets=[("kind", 0), ("load", 1)])
    expected = maps_of(layer, x)[1]["change"][..., -1, :]
    for target in (0, 1):
        np.testing.assert_allclose(found["u"].values[target], expected, atol=1e-5)
    assert found.attrs["signed"] == 0
    assert "completeness_gap" not in found


@pytest.mark.parametrize("class_activation", SCORES)
def test_contribution_of_one_linear_layer_is_what_gradients_and_shapley_values_find(class_activation, rng):
    """Depth 1 is s = W x + b: w_j (x_j - mean b_j) is the answer of all three, from the background."""
    x, background = (rng.uniform(-1, 1, size=(n, 2, 2, 1)).astype("float32") for n in (4, 6))
    model, layer = model_of(x, depth=1, class_activation=class_activation)
    weights = np.asarray(keras.ops.convert_to_numpy(layer.kernel))[0, :4, 4:].T
    expected = weights[:, None] * (x.reshape(4, 4) - background.reshape(6, 4).mean(axis=0))
    targets = [(head, unit) for head, width in HEADS.items() for unit in range(width)]
    for method in (
        Interception("contribution", baseline="background"),
        IntegratedGradients(baseline="background"),
        Shapley(),
    ):
        found = xm.explain(model, x, method, targets=targets, background=background)
        np.testing.assert_allclose(found["u"].values.reshape(5, 4, 4), expected, atol=1e-5, err_msg=method.name)


@pytest.fixture(scope="module")
def task():
    """Two heads on images of 2 x 3: the left column decides the kind, the middle one is the load."""
    rng = np.random.default_rng(5)
    x = rng.uniform(-1, 1, size=(240, 2, 3, 1)).astype("float32")
    y = {"kind": (x[:, :, 0, 0].sum(axis=1) > 0).astype(int), "load": x[:, :, 1, 0].mean(axis=1, keepdims=True)}
    keras.utils.set_random_seed(0)
    layer = IdentityMLP(
        depth=4,
        heads={"kind": 2, "load": 1},
        regression=["load"],
        class_activation="linear",
        stream_name="image",
        name="mlp",
    )
    loss = {"kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "load": "mse"}
    return x, y, trained(x, y, layer, epochs=20, loss=loss, stream="image")


def test_contribution_agrees_with_attributions_on_the_pixels_of_each_head(task):
    x, y, model = task
    methods = {
        "contribution": Interception("contribution", baseline="background"),
        "integrated_gradients": IntegratedGradients(baseline="background"),
        "shapley": Shapley(),
    }
    result = xm.compare(model, x, methods, rows=30, background=x[:20], labels=y)
    assert result.record["space"]["name"] == "inputs"
    for head, column in (("kind", 0), ("load", 1)):
        for method in methods:
            found = np.abs(result.explanations["image"].sel(explainer=method, head=head)).mean("sample")
            assert float(found[:, column].sum() / found.sum()) > 0.7, (head, method)
    scores = result.scores.query("metric == 'spearman' and role == 'value'")
    assert len(scores) == 6
    assert scores["estimate"].min() > 0.5  # four of six pixels do not matter, and their order is noise
    assert {row["verdict"] for row in result.record["verdicts"]} == {"supported"}


def test_methods_that_are_chosen_read_its_contributions(task):
    x, _, model = task
    result = xm.compare(model, x, rows=10, metrics=["gini"])
    assert next(iter(result.record.settings["methods"].split(","))) == "interception (contributions"
    assert result.record.methods[0].settings["kind"] == "contribution"


def test_comparison_cites_the_article_of_the_layer(task, tmp_path):
    x, _, model = task
    result = xm.compare(model, x, {"change": Interception("change"), "gradients": "input_x_gradient"}, rows=10)
    assert "Layer-Wise Interpretation" in result.record["references"]["kubota2021layerwise"]
    assert "Kubota" in result.report(tmp_path / "report.html").read_text()


def test_contribution_of_a_saved_model_is_the_same(tmp_path, rng):
    x = rng.uniform(-1, 1, size=(4, 3)).astype("float32")
    model, layer = model_of(x, scale=(-1, 1))
    randomize(layer, seed=8)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    one, two = (xm.explain(m, x, Interception("contribution"), targets=["load"]) for m in (model, loaded))
    np.testing.assert_array_equal(one["u"], two["u"])
