"""FLINT's formulas written slowly with NumPy, and small predictors to try it on."""

import keras
import numpy as np
from keras import layers

from xai_mimo.layers import FLINT, InterpreterHead

HEADS = {"kind": 3, "alarm": 1, "load": 2}
KINDS = {"kind": "multiclass", "alarm": "binary", "load": "regression"}
LOSSES = {"kind": "sparse_categorical_crossentropy", "alarm": "binary_crossentropy", "load": "mse"}


def entropy(values):
    """E(v) of one vector, entry by entry."""
    grown = [np.exp(v - max(values)) for v in values]
    shares = [g / sum(grown) for g in grown]
    return -sum(p * np.log(p) for p in shares if p > 0)


def softmax(values):
    grown = np.exp(values - values.max(axis=-1, keepdims=True))
    return grown / grown.sum(axis=-1, keepdims=True)


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def numpy_of(variables):
    return [keras.ops.convert_to_numpy(v).copy() for v in variables]


def mixed_predictor(seed=0):
    """A softmax head, a sigmoid head and a head of two quantities over four numbers; batch norm and dropout inside."""
    inputs = keras.Input((4,), name="u")
    hidden = layers.Dense(8, activation="tanh", kernel_initializer=_glorot(seed), name="first")(inputs)
    hidden = layers.BatchNormalization(name="norm")(hidden)
    hidden = layers.Dropout(0.3, seed=seed, name="tap")(hidden)
    kind = layers.Dense(3, activation="softmax", kernel_initializer=_glorot(seed + 1), name="kind")(hidden)
    alarm = layers.Dense(1, activation="sigmoid", kernel_initializer=_glorot(seed + 2), name="alarm")(hidden)
    load = layers.Dense(2, kernel_initializer=_glorot(seed + 3), name="load")(hidden)
    return keras.Model(inputs, {"kind": kind, "alarm": alarm, "load": load}, name="f")


def mixed_data(rng, rows=20):
    x = rng.normal(size=(rows, 4)).astype("float32")
    y = {"kind": rng.integers(3, size=rows), "alarm": rng.integers(2, size=(rows, 1)), "load": x[:, :2] - x[:, 2:]}
    return x, y


def mixed_flint(*, predictor=None, dropout=0.0, **settings):
    """A FLINT over it, with the weights of its interpreter spread so that every head has an answer of its own."""
    interpreter = InterpreterHead(HEADS, dropout=dropout, kernel_initializer=_glorot(9), name="interpreter")
    settings = {"kinds": {"load": "regression"}, "seed": 4, "interpreter": interpreter} | settings
    return FLINT(predictor or mixed_predictor(), ["tap"], 5, **settings)


def compiled(model, **settings):
    """Compiled with the losses of the mixed predictor and plain SGD."""
    model.compile(keras.optimizers.SGD(0.05), loss=dict(LOSSES), **settings)
    return model


def _glorot(seed):
    return keras.initializers.GlorotUniform(seed=seed)
