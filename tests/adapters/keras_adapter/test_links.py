"""Keras heads before their final sigmoid or softmax: the model written twice, with and without the activation."""

import keras
import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.keras_weights import with_weights
from xai_mimo.core.targets import Selector
from xai_mimo.testing import check_adapter

WORDS = {
    "risk": "before the final sigmoid of layer 'risk'",
    "mode": "before the final softmax of layer 'mode'",
    "tag": "before the final softmax of layer 'tag'",
    "seen": "before the final sigmoid of layer 'seen'",
}
LINKED = list(WORDS)

long_where_compiled = (lambda test: test) if keras.config.backend() == "torch" else pytest.mark.slow
"""What takes longer to compile than it teaches."""


def network(*, bare):
    """Five heads: a layer with an activation, an activation that is a layer, one at each step, one before a change of
    shape, and a head that reads the probability of another; ``bare`` leaves the activations out but for the last."""
    sigmoid, softmax = ("linear", "linear") if bare else ("sigmoid", "softmax")
    table, series = keras.Input((3,), name="table"), keras.Input((4, 2), name="series")
    both = keras.layers.Concatenate(name="both")([table, keras.layers.Flatten(name="flat")(series)])
    code = keras.layers.Dense(5, activation="tanh", name="code")(both)
    risk = keras.layers.Dense(1, activation=sigmoid, name="risk")(code)
    scores = keras.layers.Dense(3, name="scores")(code)
    mode = keras.layers.Activation(softmax, name="mode")(scores)
    tag = keras.layers.TimeDistributed(keras.layers.Dense(3, activation=softmax), name="tag")(series)
    seen = keras.layers.Reshape((2, 2), name="grid")(keras.layers.Dense(4, activation=sigmoid, name="seen")(table))
    probability = keras.layers.Activation("sigmoid", name="again")(risk) if bare else risk
    hours = keras.layers.Dense(1, name="hours")(probability)
    return with_weights(
        keras.Model([table, series], {"risk": risk, "mode": mode, "tag": tag, "seen": seen, "hours": hours}, name="m")
    )


@pytest.fixture(scope="module")
def linked():
    return network(bare=False)


@pytest.fixture(scope="module")
def adapted(linked):
    return xm.adapt(linked)


@pytest.fixture(scope="module")
def before(adapted):
    return adapted.before_link([head.name for head in adapted.heads])


@pytest.fixture(scope="module")
def written_out():
    return xm.adapt(network(bare=True))


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(3)
    return {
        "table": rng.normal(size=(5, 3)).astype(np.float32),
        "series": rng.normal(size=(5, 4, 2)).astype(np.float32),
    }


def test_every_such_head_is_cut_and_says_where(before):
    model, words = before
    assert words == WORDS
    units = {head.name: head.unit for head in model.heads}
    assert units == {"risk": "log-odds", "mode": "logit", "tag": "logit", "seen": "log-odds", "hours": ""}


def test_the_heads_are_those_of_the_model_written_without_activations(before, written_out, rows):
    ours, expected = before[0].predict(rows), written_out.predict(rows)
    assert list(ours) == list(expected)
    for name in expected:
        np.testing.assert_allclose(ours[name], expected[name], rtol=1e-5, atol=1e-6)


def test_gradients_too_also_of_a_head_that_reads_the_probability(before, written_out, rows):
    selectors = [Selector(name, name, np.zeros(5, np.int64)) for name in (*LINKED, "hours")]
    ours, expected = before[0].gradients(rows, selectors)[1], written_out.gradients(rows, selectors)[1]
    for name in expected:
        np.testing.assert_allclose(ours[name], expected[name], rtol=1e-4, atol=1e-6)


def test_only_heads_that_are_asked_for_are_cut(adapted, written_out, rows):
    model, words = adapted.before_link(["risk"])
    assert list(words) == ["risk"]
    ours = model.predict(rows)
    np.testing.assert_allclose(ours["risk"], written_out.predict(rows)["risk"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours["mode"], adapted.predict(rows)["mode"], rtol=1e-6)


def test_the_model_is_as_it_was_and_shares_nothing_that_was_compiled(linked, adapted, before, rows):
    probabilities = adapted.predict(rows)["risk"]
    logits = before[0].predict(rows)["risk"]
    np.testing.assert_array_equal(adapted.predict(rows)["risk"], probabilities)
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), probabilities, rtol=1e-5)
    assert linked.get_layer("risk").activation is keras.activations.sigmoid
    assert before[0].fingerprint() != adapted.fingerprint()


def test_the_part_behind_a_layer_ends_before_the_activations_too(before, rows):
    model = before[0]
    whole = model.predict(rows)
    for layer in ("code", "mode", "risk"):
        part = model.tail(layer).predict(model.activations(rows, layer))
        np.testing.assert_allclose(part["risk"], whole["risk"], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(part["mode"], whole["mode"], rtol=1e-5, atol=1e-6)


@long_where_compiled
def test_a_copy_with_random_weights_ends_there_too(before, rng):
    copied = before[0].randomised(rng)
    assert {head.name: head.unit for head in copied.heads} == {head.name: head.unit for head in before[0].heads}


@long_where_compiled
def test_a_layer_that_is_changed_later_is_seen(rows):
    model = network(bare=False)
    cut, _ = xm.adapt(model).before_link(["risk"])
    once = cut.predict(rows)["risk"]
    model.get_layer("code").activation = keras.activations.linear
    code = xm.adapt(model).before_link(["risk"])[0].predict(rows)["risk"]
    np.testing.assert_allclose(cut.predict(rows)["risk"], code, rtol=1e-5)
    assert np.abs(code - once).max() > 1e-3


def test_a_layer_whose_activation_comes_first_is_not_cut():
    x = keras.Input((4, 2), name="x")
    model = with_weights(keras.Model(x, keras.layers.LSTM(1, activation="sigmoid", name="risk")(x)))
    adapted = xm.adapt(model)
    assert adapted.heads[0].kind == "binary"
    assert adapted.before_link(["risk"]) == (adapted, {})


@long_where_compiled
def test_it_keeps_the_contract(before, rows, linked):
    check_adapter(
        before[0],
        rows,
        state=lambda: {"variables": [keras.ops.convert_to_numpy(v) for v in linked.variables]},
        layers=["code"],
    )


@long_where_compiled
def test_explanations_add_up_to_the_logit(linked, rows, written_out):
    explanation = xm.explain(linked, rows, on="logit", targets=["risk", "mode"])
    assert explanation.attrs["on"] == "logit"
    expected = written_out.predict(rows)
    np.testing.assert_allclose(explanation["prediction"].values[0], expected["risk"][:, 0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(explanation["prediction"].values[1], expected["mode"].max(axis=1), rtol=1e-5, atol=1e-6)
    assert np.abs(explanation["completeness_gap"]).max() < 1e-4
