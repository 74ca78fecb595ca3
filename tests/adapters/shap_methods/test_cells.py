"""A Keras model of two inputs and two heads on this backend: shap alone explains it in no way, we in every one."""

import numpy as np
import pytest
from xai_mimo_adapters.shap_methods import (
    ShapAdditive,
    ShapCoalition,
    ShapDeep,
    ShapExact,
    ShapGradient,
    ShapKernel,
    ShapLinear,
    ShapPartition,
    ShapPermutation,
    ShapSampling,
    ShapTree,
)

import xai_mimo as xm
from tests.helpers.frameworks import imported
from tests.helpers.games import brute_force_shapley
from xai_mimo.core.errors import NotSupported

shap = imported("shap")


def two_inputs_two_heads():
    import keras

    keras.utils.set_random_seed(3)
    a, b = keras.Input((2,), name="a"), keras.Input((1,), name="b")
    hidden = keras.layers.Dense(5, activation="tanh")(keras.layers.Concatenate()([a, b]))
    heads = {"y": keras.layers.Dense(1, name="y")(hidden), "z": keras.layers.Dense(2, name="z")(hidden)}
    return keras.Model([a, b], heads)


@pytest.fixture(scope="module")
def network():
    return two_inputs_two_heads()


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(1)
    return {"a": rng.standard_normal((3, 2)).astype("float32"), "b": rng.standard_normal((3, 1)).astype("float32")}


@pytest.fixture(scope="module")
def background():
    rng = np.random.default_rng(2)
    return {"a": rng.standard_normal((4, 2)).astype("float32"), "b": rng.standard_normal((4, 1)).astype("float32")}


def alone(explainer, network, rows, background):
    """As shap's pages say it: a model, and a list with what each input is given."""
    import keras

    x, before = ([*given.values()] for given in (rows, background))
    if keras.backend.backend() == "torch":
        import torch

        x, before = ([torch.from_numpy(part) for part in given] for given in (x, before))
    return explainer(network, before).shap_values(x)


FAILS = {
    ("GradientExplainer", "tensorflow"): "unhashable type: 'slice'",
    ("GradientExplainer", "jax"): "Cannot convert a symbolic tf.Tensor",
    ("GradientExplainer", "torch"): "expects 2 named input",
    ("DeepExplainer", "tensorflow"): "Attempt to convert a value",
    ("DeepExplainer", "jax"): "Attempt to convert a value",
    ("DeepExplainer", "torch"): "expects 2 named input",
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("explainer", [shap.GradientExplainer, shap.DeepExplainer, shap.KernelExplainer])
def test_shap_alone_explains_it_in_no_way(explainer, network, rows, background):
    """The figure "0 of 9" is three explainers on three backends, of which this test sees three."""
    import keras

    words = FAILS.get(
        (explainer.__name__, keras.backend.backend()), "Unknown type passed as data object: <class 'list'>"
    )
    with pytest.raises(Exception, match=words):  # whatever the frameworks raise
        alone(explainer, network, rows, background)


EXACT = {
    "exact": ShapExact(),
    "kernel": ShapKernel(),
    "permutation": ShapPermutation(permutations=60),
    "sampling": ShapSampling(samples=900),
}
"""Explainers of Shapley values, which enumeration tells."""
OF_STREAMS = {"partition": ShapPartition(), "coalition": ShapCoalition()}
"""Explainers of Owen values of the streams, whose sum over a stream is the Shapley value of the streams as players."""
TARGETS = [("y", 0), ("z", "all")]


def by_columns(model, head, unit):
    return lambda x: model.predict({"a": x[:, :2], "b": x[:, 2:]})[head][:, unit].astype(np.float64)


def columns(given):
    return np.concatenate([given["a"], given["b"]], axis=1)


@pytest.fixture(scope="module")
def slow(network, rows, background):
    """Shapley values of every target, by every coalition of the model's own answers: ``(target, row, column)``."""
    model = xm.adapt(network)
    return np.array(
        [
            [brute_force_shapley(by_columns(model, head, unit), row, columns(background)) for row in columns(rows)]
            for head, unit in (("y", 0), ("z", 0), ("z", 1))
        ]
    )


@pytest.mark.parametrize("name", EXACT)
def test_shapley_values_of_every_head_are_those_of_every_coalition(name, network, rows, background, slow):
    found = xm.explain(network, rows, EXACT[name], targets=TARGETS, background=background)
    ours = np.concatenate([found["a"].values, found["b"].values], axis=2)
    drawn = name in ("permutation", "sampling")
    np.testing.assert_allclose(ours, slow, atol=0.2 * np.abs(slow).max() if drawn else 2e-6)
    assert np.abs(found["completeness_gap"].values).max() < 1e-4


@pytest.mark.parametrize("name", OF_STREAMS)
def test_owen_values_of_a_stream_sum_to_its_shapley_value_among_the_streams(name, network, rows, background):
    found = xm.explain(network, rows, OF_STREAMS[name], targets=TARGETS, background=background)
    streams = xm.explain(network, rows, ShapExact(players="streams"), targets=TARGETS, background=background)
    np.testing.assert_allclose(found["a"].values.sum(axis=2), streams["a"].values, atol=2e-6)
    np.testing.assert_allclose(found["b"].values.sum(axis=2), streams["b"].values, atol=2e-6)


def test_expected_gradients_of_every_head_sum_to_its_change_within_their_error(network, rows, background):
    found = xm.explain(network, rows, ShapGradient(samples=100), targets=TARGETS, background=background, seed=1)
    again = xm.explain(network, rows, ShapGradient(samples=100), targets=TARGETS, background=background, seed=1)
    np.testing.assert_array_equal(found["a"].values, again["a"].values)
    change = np.abs(found["prediction"] - found["baseline_prediction"]).values
    assert np.abs(found["completeness_gap"].values).max() < 0.5 * change.max()
    assert (found["a_standard_error"].values > 0).all()


def test_a_model_that_adds_up_its_streams_is_additive(rows, background):
    import keras

    keras.utils.set_random_seed(1)
    a, b = keras.Input((2,), name="a"), keras.Input((1,), name="b")
    y = keras.layers.Add(name="y")([keras.layers.Dense(1, activation="tanh")(a), keras.layers.Dense(1)(b)])
    z = keras.layers.Add(name="z")([keras.layers.Dense(1)(a), keras.layers.Dense(1, activation="tanh")(b)])
    model = keras.Model([a, b], {"y": y, "z": z})
    found = xm.explain(model, rows, ShapAdditive(players="streams"), background=background)
    exact = xm.explain(model, rows, ShapExact(players="streams"), background=background)
    np.testing.assert_allclose(found["a"].values, exact["a"].values, atol=2e-6)
    np.testing.assert_allclose(found["b"].values, exact["b"].values, atol=2e-6)


@pytest.mark.parametrize(
    ("explainer", "words"),
    [
        (ShapDeep(), r"shap\.deep needs a model of PyTorch modules that can be hooked, .*Use 'shap\.gradient'"),
        (ShapTree(), r"shap\.tree needs a fitted estimator .*Use 'shap\.permutation' or 'shapley'"),
        (ShapLinear(), r"shap\.linear needs a fitted estimator .*Use 'shap\.permutation' or 'shapley'"),
    ],
    ids=["deep", "tree", "linear"],
)
def test_what_would_be_wrong_on_a_keras_model_is_refused_with_a_way_out(explainer, words, network, rows):
    with pytest.raises(NotSupported, match=words):
        xm.explain(network, rows, explainer, background=rows)
