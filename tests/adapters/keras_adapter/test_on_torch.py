"""What only PyTorch has: modes of modules, and ``torch.inference_mode()``."""

import threading

import keras
import numpy as np
import pytest

from xai_mimo.core.errors import NotSupported
from xai_mimo.core.plugins import adapt
from xai_mimo.core.targets import select

pytestmark = pytest.mark.skipif(keras.config.backend() != "torch", reason="of PyTorch")


def model_of(*layers):
    x = h = keras.Input((3,), name="x")
    for layer in layers:
        h = layer(h)
    return keras.Model(x, keras.layers.Dense(1, name="y")(h))


def gradients(model, x):
    adapted = adapt(model)
    return adapted.gradients(x, select(None, adapted.heads, adapted.predict(x)))[1]["x"][0]


def test_threads_that_overlap_put_the_mode_back(rng):
    started, may_end = ({name: threading.Event() for name in ("first", "second")} for _ in range(2))

    class Slow(keras.layers.Layer):
        def call(self, x):
            name = threading.current_thread().name
            if name in started:
                started[name].set()
                may_end[name].wait(30)
            return x

    model = model_of(Slow(), keras.layers.Dropout(0.5))
    model.train()
    x = rng.normal(size=(2, 3))
    threads = {name: threading.Thread(target=lambda: adapt(model).predict(x), name=name) for name in started}
    for name, thread in threads.items():
        thread.start()
        assert started[name].wait(30)
    may_end["first"].set()
    threads["first"].join()
    assert not any(module.training for module in model.modules())  # the second still reads
    may_end["second"].set()
    threads["second"].join()
    assert all(module.training for module in model.modules())


def test_gradients_inside_inference_mode_are_those_outside(rng):
    import torch

    model, x = model_of(keras.layers.Dense(4, activation="tanh")), rng.normal(size=(5, 3)).astype("float32")
    expected = gradients(model, x)
    assert np.abs(expected).max() > 1e-3
    with torch.inference_mode():
        np.testing.assert_array_equal(gradients(model, x), expected)


def test_a_model_that_was_built_inside_inference_mode_has_gradients_too(rng):
    import torch

    with torch.inference_mode():
        model = model_of(keras.layers.Dense(4, activation="tanh", name="h"))
    x = rng.normal(size=(5, 3)).astype("float32")
    (w, b), (v, _) = model.get_layer("h").get_weights(), model.get_layer("y").get_weights()
    expected = ((1 - np.tanh(x @ w + b) ** 2) * v[:, 0]) @ w.T
    for mode in (torch.inference_mode, torch.enable_grad):
        with mode():
            np.testing.assert_allclose(gradients(model, x), expected, atol=1e-5)


def test_a_constant_that_was_made_inside_inference_mode_is_refused_by_name(rng):
    import torch

    class Scaled(keras.layers.Layer):
        def call(self, x):
            return x * self.scale

    layer = Scaled()
    with torch.inference_mode():
        layer.scale = torch.full((3,), 2.0)
    with pytest.raises(NotSupported, match=r"constant that was made inside torch\.inference_mode"):
        gradients(model_of(layer), rng.normal(size=(5, 3)).astype("float32"))
