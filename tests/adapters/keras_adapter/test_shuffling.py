"""Copies with random weights are the same network: the same streams and heads in the same order, functions included."""

import keras
import numpy as np
import pytest

import xai_mimo as xm


def network():
    """Streams and heads in an order that is not the alphabet's, and functions of keras.ops among the layers."""
    keras.utils.set_random_seed(3)
    warm, air = keras.Input((3,), name="warm"), keras.Input((2,), name="air")
    joined = keras.ops.concatenate([warm, air], axis=-1) * 2.0
    hidden = keras.layers.Dense(4, activation="tanh", name="hidden")(joined)
    heads = {name: keras.layers.Dense(1, name=name)(hidden) for name in ("wear", "heat")}
    return keras.Model({"warm": warm, "air": air}, heads)


@pytest.fixture
def rows(rng):
    return {
        "warm": rng.standard_normal((5, 3)).astype("float32"),
        "air": rng.standard_normal((5, 2)).astype("float32"),
    }


def test_a_copy_with_no_layer_shuffled_answers_as_the_model_head_by_head(rows, rng):
    model = xm.adapt(network())
    copy = model.randomised(rng, layers=[])
    assert [h.name for h in copy.heads] == ["wear", "heat"] == list(copy.predict(rows))
    assert [s.name for s in copy.streams] == ["warm", "air"]
    for head, values in model.predict(rows).items():
        np.testing.assert_allclose(copy.predict(rows)[head], values, rtol=1e-6)


def test_heads_renamed_by_position_stay_where_they_were(rows, rng):
    model = xm.adapt(network(), heads={"a": 1, "b": 1})
    copy = model.randomised(rng, layers=[])
    for head, values in model.predict(rows).items():
        np.testing.assert_allclose(copy.predict(rows)[head], values, rtol=1e-6)


def test_shuffling_one_head_leaves_the_other_as_it_was(rows, rng):
    model = xm.adapt(network())
    copy = model.randomised(rng, layers=["heat"]).predict(rows)
    np.testing.assert_allclose(copy["wear"], model.predict(rows)["wear"], rtol=1e-6)
    assert np.abs(copy["heat"] - model.predict(rows)["heat"]).max() > 1e-3
