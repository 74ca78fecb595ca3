"""What Keras keeps a model's graph in: the functional model itself, or the one inside a Sequential."""

from typing import Any

import keras


def functional_core(model: Any) -> Any:
    """What has ``input`` and ``output``: the model, or that inside a built ``Sequential``, which has neither itself."""
    return getattr(model, "_functional", None) or model


def as_functional(model: Any) -> Any:
    """The same layers as a functional model of the same name; another kind of model as it is."""
    core = functional_core(model)
    return model if core is model else keras.Model(core.input, core.output, name=model.name)
