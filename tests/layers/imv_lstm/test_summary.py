"""What IMV-LSTM says over many rows: importances and variances against slow equations and samples."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.helpers.imv_reference import log_normal, randomize, run_row, softmax
from xai_mimo.layers import (
    IMVLSTM,
    MixtureMean,
    mixture_posterior,
    predictive_variance,
    summarise,
    temporal_importance,
    variable_importance,
)

HEADS = {"load": 1, "forces": 2}


@pytest.fixture
def setting(rng):
    """A mixture model of two heads, its inputs and labels, and its layer with the weights by name."""
    x = rng.normal(size=(10, 4, 3)).astype("float32")
    y = {name: rng.normal(size=(10, width)) for name, width in HEADS.items()}
    inputs = keras.Input((4, 3))
    layer = IMVLSTM(2, heads=HEADS, output="mixture", feature_names=["a", "b", "c"], name="imv")
    model = keras.Model(inputs, layer(inputs))
    return model, layer, randomize(layer), x, y


def slow(layer, weights, x):
    return [run_row(layer, weights, row[..., None].astype("float64"), np.ones(len(row), bool)) for row in x]


def test_importances_equal_the_means_of_the_slow_equations(setting):
    model, layer, weights, x, y = setting
    rows = slow(layer, weights, x)
    summary = summarise(model, x, y, batch_size=5)
    posterior, prior, temporal = (summary[f"{name}_importance"] for name in ("posterior", "prior", "temporal"))
    assert list(summary["feature"].values) == ["a", "b", "c"]
    assert list(summary["time"].values) == ["lag 4", "lag 3", "lag 2", "lag 1"]
    for j, head in enumerate(HEADS):
        q = []
        for (_, _, pi, mean, scale), target in zip(rows, y[head], strict=True):
            q.append(softmax(np.log(pi[j]) + log_normal(target, mean[j], scale[j]).sum(axis=1)))
        np.testing.assert_allclose(posterior.sel(head=head), np.mean(q, axis=0), atol=1e-5)
        np.testing.assert_allclose(prior.sel(head=head), np.mean([row[2][j] for row in rows], axis=0), atol=1e-5)
        np.testing.assert_allclose(temporal.sel(head=head), np.mean([row[1][j] for row in rows], axis=0), atol=1e-5)
        for values in (posterior.sel(head=head), prior.sel(head=head), temporal.sel(head=head)):
            np.testing.assert_allclose(values.sum(values.dims[0]), 1, atol=1e-6)
            assert (values >= 0).all()


def test_importance_is_the_mean_of_the_posterior_of_the_loss(setting):
    model, _, _, x, y = setting
    parameters = model.predict(x, verbose=0)
    for head in HEADS:
        q = ops.convert_to_numpy(mixture_posterior(y[head].astype("float32"), parameters[head]))
        np.testing.assert_allclose(
            summarise(model, x, y)["posterior_importance"].sel(head=head), q.mean(axis=0), atol=1e-5
        )


def test_predictive_variance_is_that_of_samples_from_the_mixture(setting, rng):
    model, layer, weights, x, _ = setting
    found = predictive_variance(model, x, batch_size=5)
    assert {head: values.shape for head, values in found.items()} == {"load": (10, 1), "forces": (10, 2)}
    _, _, pi, mean, scale = slow(layer, weights, x)[0]
    for j, head in enumerate(HEADS):
        z = rng.choice(3, size=400_000, p=pi[j])
        samples = mean[j][z] + scale[j][z] * rng.normal(size=(len(z), HEADS[head]))
        np.testing.assert_allclose(found[head][0], samples.var(axis=0), rtol=0.02)
        moments = (pi[j][:, None] * (scale[j] ** 2 + mean[j] ** 2)).sum(0) - (pi[j][:, None] * mean[j]).sum(0) ** 2
        np.testing.assert_allclose(found[head][0], moments, rtol=1e-4)


def test_predictor_is_read_like_the_mixture_it_was_made_of(rng):
    x, y = rng.normal(size=(6, 4, 2)).astype("float32"), rng.normal(size=6)
    inputs = keras.Input((4, 2))
    mixture = IMVLSTM(2, output="mixture")(inputs)
    trained, predictor = keras.Model(inputs, mixture), keras.Model(inputs, MixtureMean()(mixture))
    first, second = (summarise(model, x, y)["posterior_importance"][0] for model in (trained, predictor))
    np.testing.assert_allclose(first, second, atol=1e-7)


def test_underflowing_prior_is_a_posterior_of_zero(rng):
    x = rng.normal(size=(4, 3, 2)).astype("float32")
    inputs = keras.Input((3, 2))
    layer = IMVLSTM(2, output="mixture", logit_activation="linear")
    model = keras.Model(inputs, layer(inputs))
    layer.variable_kernel.assign(layer.variable_kernel * 1e5)
    values = summarise(model, x, np.zeros(4))["posterior_importance"][0].values
    assert np.isfinite(values).all()
    np.testing.assert_allclose(values.sum(), 1)


def test_there_is_no_posterior_without_trained_variances(rng):
    x = rng.normal(size=(4, 3, 2)).astype("float32")
    inputs = keras.Input((3, 2))
    model = keras.Model(inputs, IMVLSTM(2)(inputs))
    assert not {"posterior_importance", "predictive_variance"} & set(summarise(model, x))
    with pytest.raises(ValueError, match=r"Expected a layer with trained variances.*Leave the labels out"):
        summarise(model, x, np.zeros(4))
    with pytest.raises(ValueError, match="its posterior and predictive variance do not exist"):
        predictive_variance(model, x)


def test_wrong_labels_rows_and_layers_say_how_to_mend_them(setting):
    model, _, _, x, y = setting
    with pytest.raises(ValueError, match=r"Expected labels per head, a mapping with the keys \['load', 'forces'\]"):
        summarise(model, x, y["load"])
    with pytest.raises(
        ValueError, match=r"Expected labels of shape \(10, 2\) for head 'forces'. Received: shape=\(10, 1\)"
    ):
        summarise(model, x, {"load": y["load"], "forces": y["load"]})
    with pytest.raises(ValueError, match="the labels 'load' holds 1 values that are NaN"):
        summarise(model, x, y | {"load": np.r_[np.nan, np.zeros(9)]})
    with pytest.raises(ValueError, match="Expected at least one row"):
        predictive_variance(model, x[:0])
    with pytest.raises(ValueError, match=r"to hold one IMVLSTM called 'lstm'. Received: a model that holds \['imv'\]"):
        predictive_variance(model, x, layer="lstm")
    both = keras.Model(model.input, [model.output["load"], IMVLSTM(2, name="second")(model.input)])
    with pytest.raises(ValueError, match="Name one with `layer`"):
        predictive_variance(both, x)
    assert list(summarise(both, x, layer="second")["head"].values) == ["head_0"]


def test_the_old_verbs_say_the_same_for_one_version(setting):
    model, _, _, x, y = setting
    summary = summarise(model, x, y)
    with pytest.warns(
        DeprecationWarning, match=r"summarise\(model, x, labels\), where its values are called prior_imp"
    ):
        posterior, prior = variable_importance(model, x, y), variable_importance(model, x)
    with pytest.warns(DeprecationWarning, match=r"temporal_importance is replaced by xai_mimo\.layers\.summarise"):
        temporal = temporal_importance(model, x)
    assert (posterior.kind, prior.kind) == ("posterior", "prior")
    assert posterior.features == prior.features == temporal.features == ("a", "b", "c")
    assert temporal.times == ("lag 4", "lag 3", "lag 2", "lag 1")
    for name, old in (("posterior", posterior), ("prior", prior), ("temporal", temporal)):
        for head in HEADS:
            np.testing.assert_array_equal(old.values[head], summary[f"{name}_importance"].sel(head=head))
