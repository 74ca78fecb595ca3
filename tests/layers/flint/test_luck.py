"""FLINT post hoc with nothing set but the number of attributes: faithful, none dead, whatever the network and seed.

Before attributes were standardised, fidelity post hoc was 0.20 to 0.99 over these networks and seeds, with 1 to 11 of
12 attributes alive; by design, where they are on demand only, it is 0.44 to 0.99 with 2 to 10. The same as a table: ``benchmarks/flint_post_hoc.py``.
"""

import functools

import keras
import pytest
from keras import layers

from xai_mimo.layers import FLINT

pytestmark = pytest.mark.slow
ATTRIBUTES, SEEDS = 12, (0, 1)


@functools.cache
def digits():
    """Training rows, 500 test rows and labels of the training rows."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    x, x_test, y, _ = train_test_split(
        (x / 16).astype("float32").reshape(-1, 8, 8, 1), y, test_size=500, stratify=y, random_state=0
    )
    return x, x_test, y


def convolution(filters, **settings):
    return layers.Conv2D(filters, 3, padding="same", activation="relu", **settings)


def dense(**settings):
    return layers.Dense(64, activation="relu", **settings)


NETWORKS = {
    "deep": lambda: [convolution(16), layers.MaxPooling2D(), convolution(32, name="tap"), layers.Flatten(), dense()],
    "small": lambda: [convolution(16, name="tap"), layers.MaxPooling2D(), layers.Flatten(), dense()],
    "mlp": lambda: [layers.Flatten(), dense(), dense(name="tap")],
}


def predictor(network):
    head = layers.Dense(10, activation="softmax", name="digit")
    return keras.Sequential([keras.Input((8, 8, 1)), *NETWORKS[network](), head])


def assert_faithful(model):
    """At rows that were not trained on, and without a warning, which would be an error here."""
    assert float(model.interpret(digits()[1])["fidelity"][0]) >= 0.95
    attributes = model.interpret(digits()[0])["attributes"].values
    assert (attributes >= 0).all()
    assert (attributes > 0).any(axis=0).sum() == ATTRIBUTES


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("network", NETWORKS)
def test_post_hoc_is_faithful_whatever_the_network_and_seed(network, seed):
    x, _, y = digits()
    keras.utils.set_random_seed(seed)
    f = predictor(network)
    f.compile("adam", "sparse_categorical_crossentropy")
    f.fit(x, y, batch_size=32, epochs=15, verbose=0)
    model = FLINT(f, ["tap"], num_attributes=ATTRIBUTES, post_hoc=True)
    model.compile("adam")
    model.fit(x, batch_size=32, epochs=40, verbose=0)
    assert_faithful(model)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("network", ["deep", "small"])
def test_by_design_is_as_faithful_with_standardised_attributes(network, seed):
    x, _, y = digits()
    keras.utils.set_random_seed(seed)
    model = FLINT(predictor(network), ["tap"], num_attributes=ATTRIBUTES, standardise=True)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=32, epochs=40, verbose=0)
    assert_faithful(model)
