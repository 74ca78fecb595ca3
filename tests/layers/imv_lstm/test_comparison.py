"""The maps of IMV-LSTM as explanations of two heads: by variable and step, by variable, and beside attributions."""

import keras
import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.imv_reference import randomize
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.errors import NotSupported, SchemaError
from xai_mimo.core.explanation import features_of
from xai_mimo.core.streams import Stream
from xai_mimo.explainers import IntegratedGradients, Interception, Shapley
from xai_mimo.layers import IMVLSTM, MixtureMean

HEADS = {"load": 1, "price": 2}
STEPS, VARIABLES = 4, 3
QUICK = Settings(steps=3, controls=1, ceilings=False, resamples=100)
METHODS = ["interception", IntegratedGradients(tolerance=1e-2), Shapley(budget=64, background_rows=2)]


def network(source, **settings):
    """Two heads behind IMV-LSTM with random weights, drawn large so that all maps differ."""
    layer = IMVLSTM(2, heads=HEADS, logit_activation="linear", name="imv", **settings)
    made = layer(source)
    if settings.get("output") == "mixture":
        made = {head: MixtureMean()(mixture) for head, mixture in made.items()}
    randomize(layer)
    layer.variable_kernel.assign(layer.variable_kernel * 4)
    return made


@pytest.fixture(scope="module")
def model():
    """One stream of steps by variables, adapted once."""
    weather = keras.Input((STEPS, VARIABLES), name="weather")
    net = keras.Model(weather, network(weather))
    return xm.adapt(net, streams={"weather": ["wind", "sun", "rain"]})


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(3).normal(size=(6, STEPS, VARIABLES)).astype("float32")


@pytest.fixture(scope="module")
def maps(model, x):
    """Sown maps by their short name."""
    found = xm.intercept(model, x)
    return {str(name).rsplit("/", 1)[1]: values.values for name, values in found.data_vars.items()}


def test_attention_is_read_by_variable_and_step_and_sums_to_the_prior(model, maps, x):
    found = xm.explain(model, x, "interception", targets=["price", "load"])
    assert found["weather"].dims == ("head", "sample", "weather_time", "weather_feature")
    np.testing.assert_array_equal(found["weather_feature"], ["wind", "sun", "rain"])
    for target, head in (("load", 0), ("price:0", 1), ("price:1", 1)):
        values = found["weather"].sel(head=target)
        np.testing.assert_array_equal(values, maps["attention"][:, :, head])
        np.testing.assert_allclose(values.sum("weather_time"), maps["variable_attention"][:, head], atol=1e-6)
    assert np.abs(maps["variable_attention"][:, 0] - maps["variable_attention"][:, 1]).max() > 0.1


@pytest.mark.parametrize("output", ["prediction", "mixture"])
def test_contribution_is_read_by_variable_and_sums_to_the_prediction(output, model, x):
    weather = keras.Input((STEPS, VARIABLES), name="weather")
    net = model if output == "prediction" else keras.Model(weather, network(weather, output=output))
    found = xm.explain(net, x, Interception("contribution"))
    assert found["weather"].dims == ("head", "sample", "weather_feature")
    np.testing.assert_allclose(found["weather"].sum("weather_feature"), found["prediction"], atol=1e-5)
    np.testing.assert_allclose(found["baseline_prediction"], 0, atol=1e-5)
    sown = xm.intercept(net, x)["imv/contribution"]
    np.testing.assert_allclose(found["weather"].transpose("sample", "head", ...), sown.values, atol=1e-6)


def test_methods_are_compared_by_variable_and_step(model, maps, x, tmp_path):
    labels = {head: np.zeros((6, width)) for head, width in HEADS.items()}
    result = xm.compare(model, x, METHODS, labels=labels, settings=QUICK)
    assert result.record["space"]["name"] == "inputs"
    assert result.explanations["weather"].shape == (3, 3, 6, STEPS, VARIABLES)
    agreement = result.scores.query("family == 'agreement' and role == 'value'")
    assert set(agreement["head"]) == {"load", "price:0", "price:1"}
    shown = result.explanations.sel(explainer="interception", head="load")["weather"]
    np.testing.assert_array_equal(shown, maps["attention"][:, :, 0])
    assert result.record["stream_maps"][0]["coords"]["time"] == ["lag 4", "lag 3", "lag 2", "lag 1"]
    assert "sun" in result.report(tmp_path / "report.html").read_text("utf-8")


def test_methods_are_compared_by_variable(model, maps, x, tmp_path):
    methods = [*METHODS[:2], Shapley(players="variables", background_rows=2)]
    truth = {"load": {"weather": ["wind"]}}
    result = xm.compare(model, x, methods, truth=truth, space="variables", settings=QUICK)
    assert result.record["space"]["name"] == "inputs, by variable"
    assert result.explanations["weather"].dims == ("explainer", "head", "sample", "weather_feature")
    shown = result.explanations["weather"]
    np.testing.assert_allclose(shown.sel(explainer="interception", head="load"), maps["variable_attention"][:, 0])
    fine = xm.explain(model, x, METHODS[1])["weather"].sum("weather_time")
    np.testing.assert_allclose(shown.sel(explainer="integrated_gradients"), fine, atol=1e-6)
    total = shown.sel(explainer="shapley").sum("weather_feature") - result.explanations["prediction"].sel(
        explainer="shapley"
    )
    base = result.explanations["baseline_prediction"].sel(explainer="shapley")
    np.testing.assert_allclose(total, -base, atol=1e-5)
    assert set(result.scores.query("family == 'ground_truth'")["head"]) == {"load"}
    assert "sun" in result.report(tmp_path / "report.html").read_text("utf-8")


def test_streams_of_one_variable_each_are_compared_as_streams(maps, x):
    names = ["wind", "sun", "rain"]
    inputs = {name: keras.Input((STEPS, 1), name=name) for name in names}
    net = keras.Model(inputs, network(inputs))
    split = {name: x[..., i : i + 1] for i, name in enumerate(names)}
    methods = [Interception(), Shapley(players="streams", background_rows=2)]
    result = xm.compare(net, split, methods, space="streams", settings=QUICK)
    shares = np.stack([result.explanations.sel(explainer="interception", head="price:1")[n] for n in names], axis=-1)
    np.testing.assert_allclose(shares, maps["variable_attention"][:, 1], atol=1e-6)
    by_step = xm.compare(net, split, ["interception", "input_x_gradient"], settings=QUICK)
    assert by_step.record["space"]["name"] == "inputs"
    assert by_step.explanations["wind"].shape == (2, 3, 6, STEPS, 1)


def test_behind_a_standardisation_the_comparison_is_at_the_layer(maps, x):
    weather = keras.Input((STEPS, VARIABLES), name="weather")
    scaled = keras.layers.Rescaling(0.5)(weather)
    net = keras.Model(weather, network(scaled))
    result = xm.compare(net, 2 * x, ["interception", "input_x_gradient"], space="variables", settings=QUICK)
    assert result.record["space"]["name"] == "at:imv, by variable"
    shown = features_of(result.explanations).sel(explainer="interception", head="load")
    np.testing.assert_allclose(shown, maps["variable_attention"][:, 0], atol=1e-6)


def test_a_model_whose_call_is_its_own_code_is_refused_with_the_reason(x):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.imv = IMVLSTM(2, name="imv")

        def call(self, weather):
            return self.imv(weather)

    net = Own()
    net(x)
    own = xm.adapt(net, streams=[Stream("stream_0", (STEPS, VARIABLES))], heads={"load": 1})
    with pytest.raises(NotSupported, match="cannot be told: the model cannot be cut there"):
        xm.explain(own, x, "interception")


def test_maps_that_do_not_lie_on_single_values_are_refused_with_advice(model, x):
    with pytest.raises(SchemaError, match=r"divides stream 'weather' by .* compare\(..., space='variables'\)"):
        xm.compare(model, x, [Interception("contribution"), "input_x_gradient"], settings=QUICK)
    weather = keras.Input((STEPS, VARIABLES, 2), name="weather")
    wide = keras.Model(weather, network(weather, stream_names=["weather"]))
    with pytest.raises(NotSupported, match=r"one entry for several values .* \(4, 3\) for \(4, 3, 2\)"):
        xm.explain(wide, np.repeat(x[..., None], 2, axis=-1), "interception")
