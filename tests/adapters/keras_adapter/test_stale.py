"""What was compiled is compared with the model where no attribute of a layer tells that it has changed."""

import gc
import weakref

import keras
import numpy as np
import pytest
from xai_mimo_adapters.keras_adapter import compiled

import xai_mimo as xm
from xai_mimo.core.targets import select

COMPILES = keras.config.backend() != "torch"
FACTOR = 1.0


class Box:
    """Something that a layer holds."""

    def __init__(self, k):
        self.k = k


class Boxed(keras.layers.Layer):
    """Reads an object that it holds, an array in it, and a global."""

    def __init__(self, box, **more):
        super().__init__(**more)
        self.box = box

    def call(self, x):
        return x * keras.ops.convert_to_tensor(self.box.k, x.dtype) * FACTOR


def boxed_model(box):
    x = keras.Input((2,), name="x")
    h = keras.layers.Dense(3, kernel_initializer="ones", name="hidden")(x)
    return keras.Model(x, keras.layers.Dense(1, kernel_initializer="ones", name="y")(Boxed(box, name="boxed")(h)))


@pytest.fixture
def x(rng):
    return rng.normal(size=(20, 2)).astype("float32") + 3


def answer(model, x):
    return keras.ops.convert_to_numpy(model(x, training=False))


def in_the_box(box, monkeypatch):
    box.k = 7.0


def in_an_array(box, monkeypatch):
    box.k = np.full(3, 7.0, "float32")


def in_a_global(box, monkeypatch):
    monkeypatch.setitem(globals(), "FACTOR", 7.0)


def by_a_part_of_a_per_cent(box, monkeypatch):
    box.k = 1.01


CHANGES = [in_the_box, in_an_array, in_a_global, by_a_part_of_a_per_cent]


@pytest.mark.parametrize("change", CHANGES, ids=lambda each: each.__name__)
@pytest.mark.parametrize("at", [None, "boxed", "y"])
def test_a_new_explanation_is_of_the_model_as_it_is(change, at, x, monkeypatch):
    box = Box(1.0)
    model = boxed_model(box)
    before = xm.explain(model, x, "input_x_gradient", at=at)
    change(box, monkeypatch)
    after = xm.explain(model, x, "input_x_gradient", at=at)
    compiled._OF_MODELS.clear()
    anew = xm.explain(model, x, "input_x_gradient", at=at)
    name = next(iter(anew.data_vars))
    np.testing.assert_allclose(after[name], anew[name], rtol=1e-5)
    assert np.abs(after[name] - before[name]).max() > 1e-3


@pytest.mark.parametrize("ask", ["predict", "gradients", "intercept", "tail", "activations"])
def test_whatever_a_new_adapter_is_asked_first(ask, x):
    box = Box(1.0)
    model = boxed_model(box)

    def asked():
        adapted = xm.adapt(model)
        if ask == "predict":
            return adapted.predict(x)["y"]
        if ask == "gradients":
            return adapted.gradients(x, select(None, adapted.heads, {"y": np.zeros((len(x), 1))}))[1]["x"]
        if ask == "intercept":
            adapted.intercept(x)
            return adapted.predict(x)["y"]
        if ask == "tail":
            return next(iter(adapted.tail("boxed").predict(x @ np.ones((2, 3))).values()))
        return next(iter(adapted.activations(x, "y").values()))

    before = asked()
    box.k = 7.0
    np.testing.assert_allclose(asked(), 7 * before, rtol=1e-5)


def test_an_adapter_finds_out_once_and_for_all_parts(x):
    box = Box(1.0)
    model = boxed_model(box)
    xm.explain(model, x, "input_x_gradient")
    traces = xm.adapt(model).traces
    for _ in range(3):
        xm.explain(model, x, "input_x_gradient")
    assert xm.adapt(model).traces == traces
    box.k = 7.0
    adapted, tail = xm.adapt(model), xm.adapt(model).tail("boxed")
    np.testing.assert_allclose(adapted.predict(x)["y"], answer(model, x), rtol=1e-5)
    np.testing.assert_allclose(tail.predict(x @ np.ones((2, 3)))["y"], answer(model, x), rtol=1e-5)


@pytest.mark.skipif(not COMPILES, reason="PyTorch compiles nothing")
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_rounding_of_a_precision_is_no_change(policy, rng):
    if policy == "float64" and keras.config.backend() == "jax":
        pytest.skip("JAX has float64 by a setting of the process alone")
    x = keras.Input((64,), name="x", dtype="float64" if policy == "float64" else "float32")
    h = keras.layers.Dense(64, activation="tanh", dtype=policy)(x)
    h = keras.layers.LayerNormalization(dtype=policy)(keras.layers.Dense(64, activation="gelu", dtype=policy)(h))
    model = keras.Model(x, keras.layers.Dense(5, activation="softmax", dtype=policy, name="y")(h))
    for _ in range(4):
        xm.adapt(model).predict(rng.normal(size=(9, 64)))
    assert xm.adapt(model).traces == 1


@pytest.mark.skipif(not COMPILES, reason="PyTorch compiles nothing")
def test_answers_that_are_no_numbers_are_no_change(x):
    inputs = keras.Input((2,), name="x")
    model = keras.Model(inputs, keras.layers.Lambda(lambda t: keras.ops.log(-keras.ops.abs(t)), name="y")(inputs))
    for _ in range(3):
        assert np.isnan(xm.adapt(model).predict(x)["y"]).all()
    assert xm.adapt(model).traces == 1


@pytest.mark.skipif(not COMPILES, reason="PyTorch compiles nothing")
def test_recurrent_loops_and_branches_are_compared_and_not_compiled_again(rng):
    x = keras.Input((5, 2), name="x")
    box = Box(1.0)
    h = keras.layers.GRU(3)(keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True))(x))
    model = keras.Model(x, keras.layers.Dense(1, name="y")(Boxed(box)(keras.layers.LayerNormalization()(h))))
    rows = rng.normal(size=(4, 5, 2)).astype("float32")
    for _ in range(3):
        xm.explain(model, rows, "gradient")
    first = xm.adapt(model).traces
    xm.explain(model, rows, "gradient")
    assert xm.adapt(model).traces == first
    box.k = 3.0
    np.testing.assert_allclose(xm.adapt(model).predict(rows)["y"], answer(model, rows), rtol=1e-4, atol=1e-5)


def test_models_that_were_compared_are_freed(x):
    gc.collect()
    known = len(compiled._OF_MODELS)
    box = Box(1.0)
    model = boxed_model(box)
    for k in (1.0, 1.0, 7.0):
        box.k = k
        xm.explain(model, x, "gradient", at="boxed")
    alive = weakref.ref(model)
    del model
    gc.collect()
    assert alive() is None
    assert len(compiled._OF_MODELS) == known
