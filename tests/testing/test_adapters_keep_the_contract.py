"""Every adapter keeps the contract: Keras models of each kind on the active backend, their parts, plain functions."""

import contextlib
import functools

import keras
import numpy as np
import pytest

from tests.helpers.keras_weights import with_weights
from xai_mimo import adapt
from xai_mimo.layers import MAIL
from xai_mimo.sowing import sow
from xai_mimo.testing import check_adapter


@keras.saving.register_keras_serializable("tests.contract")
class Gate(keras.layers.Layer):
    """Weighs its features and sows the weights; raises while it is armed."""

    armed = False

    def call(self, x):
        if self.armed:
            raise RuntimeError("the gate broke")
        weight = keras.ops.softmax(x)
        sow(self, "attention", weight, axes=("feature",), coords={})
        return weight * x


class Counted(keras.layers.Layer):
    """Counts how often it runs; on backends that compile, how often it is traced."""

    passes = 0

    def call(self, x):
        Counted.passes += 1
        return x


@contextlib.contextmanager
def armed(gate):
    gate.armed = True
    try:
        yield
    finally:
        gate.armed = False


def machine():
    """Two streams, two heads; what acts differently in training, what counts, what sows and what can fail."""
    u, v = keras.Input((4,), name="u"), keras.Input((3,), name="v")
    both = keras.layers.Concatenate(name="join")([u, v])
    code = keras.layers.BatchNormalization(name="norm")(keras.layers.Dense(6, activation="tanh", name="code")(both))
    code = keras.layers.Dropout(0.5, name="drop")(Counted(name="counted")(code))
    level = keras.layers.Dense(1, name="level")(Gate(name="gate")(code))
    kind = keras.layers.Dense(3, activation="softmax", name="kind")(u)
    model = with_weights(keras.Model({"u": u, "v": v}, {"kind": kind, "level": level}, name="machine"))
    norm = model.get_layer("norm")
    norm.moving_mean.assign(0.1 * np.arange(6))
    norm.moving_variance.assign(0.5 + 0.1 * np.arange(6))
    return model


def state(model):
    """All that reading a Keras model must leave: weights, flags, and on PyTorch modes and gradients."""
    kept = {
        "variables": [keras.ops.convert_to_numpy(v) for v in model.variables],
        "trainable": [layer.trainable for layer in model._flatten_layers()],
    }
    if keras.config.backend() == "torch":
        kept |= {
            "modes": [m.training for m in model.modules()],
            "requires_grad": [p.requires_grad for p in model.parameters()],
            "gradients": [p.grad is None for p in model.parameters()],
        }
    return kept


def rows(streams, count=5, seed=1):
    rng = np.random.default_rng(seed)
    return {
        s.name: rng.integers(0, 7, (count, *s.shape)) if s.is_integer else rng.standard_normal((count, *s.shape))
        for s in streams
    }


def check(model, **options):
    adapter = adapt(model)
    options = {
        "state": lambda: state(model),
        "limited": lambda memory: adapt(model, max_memory=memory),
        "change_weights": lambda: model.set_weights([0.9 * w + 0.05 for w in model.get_weights()]),
        **options,
    }
    check_adapter(adapter, rows(adapter.streams), **options)


def test_a_functional_keras_model():
    model = machine()
    if keras.config.backend() == "torch":
        model.train()
        model.get_layer("norm").eval()
    model.get_layer("code").trainable = False
    passes = (lambda: Counted.passes) if keras.config.backend() == "torch" else None  # the others compile
    check(model, broken=lambda: armed(model.get_layer("gate")), passes=passes)


def test_the_part_of_a_keras_model_behind_a_layer():
    model = machine()
    whole = adapt(model)
    tail = whole.tail("gate")
    check_adapter(
        tail,
        rows(tail.streams),
        state=lambda: state(model),
        broken=lambda: armed(model.get_layer("gate")),
        limited=lambda memory: adapt(model, max_memory=memory).tail("gate"),
        change_weights=lambda: model.set_weights([0.9 * w + 0.05 for w in model.get_weights()]),
    )


def test_a_functional_keras_model_with_heads_in_an_order_of_its_own():
    u = keras.Input((4,), name="u")
    check(with_weights(keras.Model(u, {name: keras.layers.Dense(1, name=name)(u) for name in ("wear", "heat")})))


def test_a_keras_model_with_a_layer_that_explains_itself():
    u, v = keras.Input((4,), name="u"), keras.Input((3,), name="v")
    coded = keras.layers.Dense(5, activation="tanh", name="code")(u)
    layer = MAIL(heads={"kind": 2, "level": 1}, name="mail")
    check(with_weights(keras.Model([u, v], layer([coded, v]))))


def test_a_sequential_keras_model():
    check(
        with_weights(
            keras.Sequential([keras.Input((5,)), keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(2)])
        )
    )


def test_a_keras_model_of_pictures():
    image = keras.Input((4, 4, 2), name="image")
    code = keras.layers.Conv2D(3, 2, activation="tanh", name="conv")(image)
    kind = keras.layers.Dense(2, name="kind")(keras.layers.GlobalAveragePooling2D(name="pool")(code))
    check(with_weights(keras.Model(image, kind)))


def test_a_keras_model_with_a_stream_of_tokens():
    words, age = keras.Input((6,), dtype="int32", name="words"), keras.Input((1,), name="age")
    code = keras.layers.GlobalAveragePooling1D(name="pool")(keras.layers.Embedding(7, 4, name="embed")(words))
    tone = keras.layers.Dense(2, activation="tanh", name="tone")(keras.layers.Concatenate(name="join")([code, age]))
    check(with_weights(keras.Model([words, age], tone)))


def test_a_keras_model_whose_call_is_its_own():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.code, self.top = keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(2)

        def call(self, x):
            return self.top(self.code(x))

    model = Own()
    model(np.zeros((1, 3), "float32"))
    with_weights(model)
    adapter = adapt(model, streams={"x": 3}, heads={"y": 2})
    check_adapter(
        adapter,
        rows(adapter.streams),
        state=lambda: state(model),
        limited=lambda memory: adapt(model, streams={"x": 3}, heads={"y": 2}, max_memory=memory),
        change_weights=lambda: model.set_weights([0.9 * w + 0.05 for w in model.get_weights()]),
    )


def linear(u, v, bias=0.0):
    return {"level": u.sum(axis=1) - v[:, 0] + bias, "kind": np.tanh(u)}


class Callable:
    """An object that is called like a function."""

    def __call__(self, u, v):
        return linear(u, v)


@pytest.mark.all_frameworks
@pytest.mark.parametrize(
    "function",
    [
        linear,
        functools.partial(linear, bias=1.0),
        Callable(),
        lambda one, other: (one.sum(axis=1, keepdims=True) - other[:, :1], np.tanh(one)),
    ],
    ids=["function", "partial", "object", "by position"],
)
def test_a_plain_function(function):
    declared = {"streams": {"u": ["air", "oil", "gap"], "v": 2}, "heads": {"level": 1, "kind": 3}}
    adapter = adapt(function, **declared)
    check_adapter(adapter, rows(adapter.streams), limited=lambda memory: adapt(function, **declared, max_memory=memory))
