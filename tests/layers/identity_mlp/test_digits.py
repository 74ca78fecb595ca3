"""What identity initialisation does to a network that reads digits: 8 x 8 pixels scaled to [-1, 1], 10 classes.

The bounds are those of our own measurements with several seeds, with room; no figure of the paper is reproduced.
"""

import functools

import keras
import numpy as np
import pytest

from xai_mimo.layers import IdentityMLP, read_layers

pytestmark = [pytest.mark.slow, pytest.mark.all_frameworks]
MAPS = ("contribution", "direct_contribution", "change")


@functools.cache
def digits():
    """Training and test rows and labels, 70 to 30, each class as often in both."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    return train_test_split((x / 8 - 1).astype("float32"), y, test_size=0.3, stratify=y, random_state=0)


@functools.cache
def network(depth, initializer=None):
    """A trained model and what its layers say of the test rows."""
    x, x_test, y, y_test = digits()
    keras.utils.set_random_seed(0)
    inputs = keras.Input((64,))
    model = keras.Model(inputs, IdentityMLP(10, depth, initializer=initializer)(inputs))
    model.compile(
        keras.optimizers.SGD(0.1 / depth, momentum=0.9), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    model.fit(x, y, batch_size=64, epochs=40, verbose=0)
    return model, read_layers(model, x_test, y_test, maps=MAPS)


def accuracy_without(pixels, model):
    """Accuracy with these pixels of each test row ``(rows, 10)`` replaced by their training mean."""
    x, x_test, _, y_test = digits()
    changed = x_test.copy()
    np.put_along_axis(changed, pixels, x.mean(axis=0)[pixels], axis=1)
    return (model.predict(changed, verbose=0).argmax(axis=1) == y_test).mean()


def test_network_of_ten_layers_is_accurate_and_readable_from_the_first():
    accuracy = network(10)[1].accuracy["head_0"]
    assert accuracy[-1] >= 0.95
    assert accuracy[0] >= 0.80
    assert network(10, "orthogonal")[1].accuracy["head_0"][0] <= 0.30


def test_weights_stay_near_the_identity_and_nearer_with_depth():
    near, far = network(20)[1].deviation.mean(), network(5)[1].deviation.mean()
    assert near < 0.6 * far
    assert far < 0.5
    assert network(10, "orthogonal")[1].deviation.mean() > 1.3


@pytest.mark.parametrize("name", ["contribution", "direct_contribution"])
def test_contributions_find_the_pixels_that_matter(name, rng):
    model, found = network(10)
    predicted = model.predict(digits()[1], verbose=0).argmax(axis=1)
    values = found.maps[name][np.arange(len(predicted)), predicted]
    assert accuracy_without(np.argsort(-values, axis=1)[:, :10], model) <= 0.50
    drawn = np.argsort(rng.random(values.shape), axis=1)[:, :10]
    assert accuracy_without(drawn, model) >= 0.85


def test_change_of_the_features_does_not_find_them(rng):
    """Told as it is: deleting what the layers changed most hurts less than deleting pixels at random."""
    model, found = network(10)
    changed = np.abs(found.maps["change"][:, -1])
    drawn = np.argsort(rng.random(changed.shape), axis=1)[:, :10]
    assert accuracy_without(np.argsort(-changed, axis=1)[:, :10], model) > accuracy_without(drawn, model)


def test_last_layer_leaves_the_features_alone():
    model, _ = network(10)
    layer = model.layers[-1]
    kernel, bias = (keras.ops.convert_to_numpy(w) for w in (layer.kernel, layer.bias))
    np.testing.assert_array_equal(kernel[-1][:, :64], np.eye(74)[:, :64])
    np.testing.assert_array_equal(bias[-1][:64], 0)
