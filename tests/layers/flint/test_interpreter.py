"""FLINT's interpreting heads: contributions and relevances against slow formulas, and what scaling leaves alone."""

import keras
import numpy as np
import pytest
from keras import ops

import xai_mimo as xm
from tests.helpers.flint_by_hand import HEADS, mixed_flint
from xai_mimo.explainers import IntegratedGradients, Interception, Shapley
from xai_mimo.layers import InterpreterHead
from xai_mimo.layers.interception import read_maps
from xai_mimo.testing import check_layer

# Interpreters that were never trained say little of their predictor; `test_cautions` reads the warning.
pytestmark = pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.InterpreterWarning")
MAPS = {"attributes": ("feature",), "contribution": ("target", "feature"), "relevance": ("target", "feature")}


def read(layer, phi):
    """Scores, maps and weights of a layer with weights that are nowhere zero."""
    scores, maps, labels = read_maps(layer, phi)
    return scores, {key.rsplit("/", 1)[1]: v for key, v in maps.items()}, {v.name: v for v in labels.values()}


@pytest.fixture
def given(rng):
    """A head with random weights, attributes with one row of zeros, and W and b."""
    layer = InterpreterHead(HEADS, name="interpreter")
    phi = rng.gamma(1.0, size=(5, 4)).astype("float32") * (rng.random((5, 4)) > 0.3)
    phi[2] = 0
    layer.build(phi.shape)
    layer.kernel.assign(rng.normal(size=(4, 6)))
    layer.bias.assign(rng.normal(size=6))
    return layer, phi, ops.convert_to_numpy(layer.kernel), ops.convert_to_numpy(layer.bias)


def test_contributions_and_bias_sum_to_the_scores(given):
    layer, phi, _, bias = given
    scores, maps, _ = read(layer, phi)
    together = np.concatenate([scores[head] for head in HEADS], axis=1)
    np.testing.assert_allclose(maps["contribution"].sum(-1) + bias, together, atol=1e-5)


def test_maps_equal_the_slow_formula(given):
    layer, phi, kernel, _ = given
    _, maps, labels = read(layer, phi)
    for n, row in enumerate(phi):
        for c in range(6):
            alpha = [row[j] * kernel[j, c] for j in range(4)]
            largest = max(abs(a) for a in alpha)
            np.testing.assert_allclose(maps["contribution"][n, c], alpha, rtol=1e-6)
            np.testing.assert_allclose(
                maps["relevance"][n, c], [a / largest if largest else 0 for a in alpha], rtol=1e-6
            )
    np.testing.assert_array_equal(maps["attributes"], phi)
    assert labels["relevance"].reference == "parekh2021flint"
    assert labels["contribution"].coords["target.head"] == ("kind", "kind", "kind", "alarm", "load", "load")
    assert labels["contribution"].coords["target.unit"] == ("0", "1", "2", "0", "0", "1")


def test_relevance_reaches_one_has_the_sign_of_the_weight_and_is_zero_without_the_attribute(given):
    layer, phi, kernel, _ = given
    r = read(layer, phi)[1]["relevance"]
    np.testing.assert_allclose(np.abs(r).max(axis=-1), np.where(phi.any(axis=1), 1, 0)[:, None].repeat(6, 1), atol=1e-6)
    np.testing.assert_array_equal(np.sign(r), np.sign(kernel.T[None]) * (phi > 0)[:, None])


def test_scaling_an_attribute_and_its_weights_against_each_other_changes_nothing(given, rng):
    layer, phi, kernel, _ = given
    before, maps, _ = read(layer, phi)
    factor = np.exp(rng.normal(size=4)).astype("float32")
    layer.kernel.assign(kernel / factor[:, None])
    after, scaled, _ = read(layer, phi * factor)
    for head in HEADS:
        np.testing.assert_allclose(after[head], before[head], atol=1e-5)
    for name in ("contribution", "relevance"):
        np.testing.assert_allclose(scaled[name], maps[name], atol=1e-5)


def test_bias_does_not_enter_the_maps(given):
    layer, phi, _, _ = given
    maps = read(layer, phi)[1]
    layer.bias.assign(100.0 * np.ones(6))
    for name, values in read(layer, phi)[1].items():
        np.testing.assert_array_equal(values, maps[name])


def test_head_keeps_the_contract_of_layers(rng):
    phi = rng.random((3, 4)).astype("float32")
    check_layer(lambda: InterpreterHead(HEADS, seed=1), phi, maps=MAPS, dtypes=("mixed_float16", "float64"))


def test_head_without_bias(rng):
    phi = rng.random((3, 4)).astype("float32")
    layer = InterpreterHead({"y": 2}, use_bias=False)
    scores, maps, _ = read(layer, phi)
    np.testing.assert_allclose(maps["contribution"].sum(-1), scores["y"], atol=1e-6)
    assert layer.bias is None


def test_shapes_and_heads_are_checked():
    with pytest.raises(ValueError, match=r"Expected attributes of shape \(batch, J\). Received: shape=\(None, 2, 3\)"):
        InterpreterHead({"y": 2}).build((None, 2, 3))
    with pytest.raises(ValueError, match="the width of head 'y' to be an integer of 1 or more"):
        InterpreterHead({"y": 0})


def in_attribute_space(rng):
    """The interpreter of a FLINT with three heads cut at its head, its attributes, and what it says of them."""
    model = mixed_flint()
    x = rng.normal(size=(6, 4)).astype("float32")
    adapted = xm.adapt(model.interpreter())
    return adapted.tail("interpreter"), adapted.activations(x, "interpreter"), model.interpret(x)


@pytest.mark.parametrize("method", [IntegratedGradients(), Shapley(), "input_x_gradient"], ids=["ig", "shapley", "gxi"])
def test_attributions_from_zero_attributes_are_the_contributions(method, rng):
    part, phi, reading = in_attribute_space(rng)
    assert [s.name for s in part.streams] == ["attributes"]
    assert [h.name for h in part.heads] == list(HEADS)
    assert [h.kind for h in part.heads] == ["multiclass", "binary", "regression"]
    found = xm.explain(part, phi, method=method, background={"attributes": np.zeros((1, 5))})
    assert list(found["head"].values) == list(reading["head"].values)
    np.testing.assert_array_equal(found["unit"], reading["unit"])
    np.testing.assert_allclose(found["attributes"], reading["contribution"], atol=1e-5)


def test_interpreter_can_be_compared_at_its_head(rng):
    model = mixed_flint()
    x = rng.normal(size=(24, 4)).astype("float32")
    methods = [Interception(kind="contribution"), "integrated_gradients"]
    result = xm.compare(model.interpreter(), x, methods=methods, background=x)
    assert result.to_dict()["space"]["name"] == "at:interpreter"
    scores = result.scores
    chosen = scores[(scores["metric"] == "rank_agreement") & (scores["role"] == "value")]
    assert set(chosen["head"]) == {"kind", "alarm", "load:0", "load:1"}
    assert "parekh2021flint" in result.to_dict()["references"]


def test_intercept_reads_the_model_by_the_names_of_its_heads(rng):
    model = mixed_flint()
    x = rng.normal(size=(3, 4)).astype("float32")
    found, reading = xm.intercept(model, x), model.interpret(x)
    assert found["interpreter/contribution"].dims == ("sample", "interpreter_target", "interpreter_feature")
    assert list(found["interpreter_feature"].values) == [f"attributes.{j}" for j in range(5)]
    assert list(found["interpreter_target_head"].values) == ["kind"] * 3 + ["alarm"] + ["load"] * 2
    np.testing.assert_allclose(found["interpreter/attributes"], reading["attributes"], atol=1e-6)
    alarm = found["interpreter/relevance"].values[:, 3]
    np.testing.assert_allclose(alarm, reading["relevance"].sel(head="alarm"), atol=1e-5)


@pytest.mark.parametrize("post_hoc", [False, True])
def test_predictor_and_interpreter_can_be_explained_on_the_same_inputs(post_hoc, rng):
    model = mixed_flint(post_hoc=post_hoc)
    x = rng.normal(size=(8, 4)).astype("float32")
    of_f = xm.explain(model, x, method="integrated_gradients", targets=[("load", 0)], background=x)
    of_g = xm.explain(model.interpreter(), x, method="integrated_gradients", targets=[("load", 0)], background=x)
    assert of_f["u"].shape == of_g["u"].shape
    for found in (of_f, of_g):  # complete, so that gradients pass the frozen predictor
        assert float(np.abs(found["completeness_gap"]).max()) < 1e-2
    assert isinstance(model, keras.Model)
    np.testing.assert_allclose(of_f["prediction"][0], model.predict(x, verbose=0)["load"][:, 0], atol=1e-5)
    np.testing.assert_allclose(of_g["prediction"][0], model.interpret(x)["score"].sel(target="load:0"), atol=1e-5)
