"""Copies of functional Keras models with shuffled weights, for tests of whether a map depends on them."""

from collections.abc import Sequence

import keras
import numpy as np

from xai_mimo.core.streams import unknown


def shuffled(model: keras.Model, rng: np.random.Generator, layers: Sequence[str] | None = None) -> keras.Model:
    """A copy of a model, the values of each trainable tensor of some layers in a random order.

    Args:
        model: functional or sequential.
        rng: of the orders.
        layers: names or paths, also of nested models and of the layers inside them; None for all.
    Raises:
        UnknownName: no such layer.
    """
    copy = keras.models.clone_model(model, clone_function=_thawed, recursive=True)
    copy.set_weights(model.get_weights())
    for layer in _chosen(copy, layers):
        for weight in layer.trainable_weights:
            values = keras.ops.convert_to_numpy(weight)
            weight.assign(rng.permutation(values.ravel()).reshape(values.shape))
    return copy


def _thawed(layer: keras.Layer) -> keras.Layer:
    """A copy whose weights can be told from what is none, such as a moving mean, also where the layer is frozen."""
    return type(layer).from_config({**layer.get_config(), "trainable": True})


def _chosen(model: keras.Model, layers: Sequence[str] | None) -> list[keras.Layer]:
    if layers is None:
        return [model]
    every = list(model._flatten_layers(include_self=False))
    found = []
    for name in layers:
        fits = [layer for layer in every if name in (layer.name, layer.path)]
        if not fits:
            raise unknown(name, [layer.name for layer in every], "layer")
        found += fits
    return found
