"""Layers of an identity-initialised MLP on a small part of MNIST, where the files are at hand."""

import functools
import os
from pathlib import Path

import keras
import numpy as np
import pytest

from xai_mimo.datasets import mnist
from xai_mimo.layers import IdentityMLP, read_layers

here = Path(os.environ.get("XAI_MIMO_DATA", "")) / "mnist"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.all_frameworks,
    pytest.mark.skipif(not here.is_dir(), reason="the published files are not on this machine"),
]


@functools.cache
def images():
    """3000 to train on and 1000 to test."""
    return mnist(here).take(slice(0, 3000)), mnist(here, split="test").take(slice(0, 1000))


def accuracies(initializer):
    """Accuracy of each of five layers on the test images, and the mean deviation."""
    train, test = images()
    keras.utils.set_random_seed(0)
    inputs = keras.Input((28, 28, 1))
    layer = IdentityMLP(10, 5, class_activation="linear", initializer=initializer)
    model = keras.Model(inputs, layer(inputs))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.02, momentum=0.9), loss)
    model.fit(train.inputs["image"], train.labels["digit"], batch_size=64, epochs=3, verbose=0)
    found = read_layers(model, test.inputs["image"], test.labels["digit"])
    return found.accuracy["head_0"], found.deviation.mean()


def test_first_layer_reads_digits_only_after_identity_initialisation():
    accuracy, deviation = accuracies(None)
    assert accuracy[-1] >= 0.8
    assert accuracy[0] >= 0.7
    assert deviation < 0.2
    elsewhere, far = accuracies("orthogonal")
    assert elsewhere[-1] >= 0.8
    assert np.max(elsewhere[:3]) <= 0.3
    assert far > 1.3
