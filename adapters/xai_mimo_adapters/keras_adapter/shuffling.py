"""Copies of functional Keras models with shuffled weights, for tests of whether a map depends on them."""

from collections.abc import Sequence
from typing import Any

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
    copy = _in_order(keras.models.clone_model(model, clone_function=_thawed, recursive=True), model)
    copy.set_weights(model.get_weights())
    for layer in _chosen(copy, layers):
        for weight in layer.trainable_weights:
            values = keras.ops.convert_to_numpy(weight)
            weight.assign(rng.permutation(values.ravel()).reshape(values.shape))
    return copy


def _in_order(copy: keras.Model, model: keras.Model) -> keras.Model:
    """The copy with its mappings of streams and heads in the model's order: on PyTorch Keras sorts them by name."""
    inputs, outputs = getattr(copy, "_inputs_struct", None), getattr(copy, "_outputs_struct", None)
    if not isinstance(inputs, dict) and not isinstance(outputs, dict):  # Sequential models have neither
        return copy
    return keras.Model(_as(inputs, model._inputs_struct), _as(outputs, model._outputs_struct), name=copy.name)


def _as(tensors: Any, order: Any) -> Any:
    return {name: tensors[name] for name in order} if isinstance(tensors, dict) else tensors


def _thawed(layer: keras.Operation) -> keras.Operation:
    """A copy whose weights can be told from what is none, such as a moving mean, also where the layer is frozen."""
    config = layer.get_config()
    # Operations that are no layers, and layers that never have weights, do not take it.
    return type(layer).from_config({**config, "trainable": True} if "trainable" in config else config)


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
