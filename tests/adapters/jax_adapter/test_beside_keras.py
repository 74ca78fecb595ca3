"""The same network in Keras on JAX, in flax and as a function: the same numbers, whoever reads it."""

import keras
import numpy as np
import pytest

if keras.config.backend() != "jax":
    pytest.skip("Keras on JAX beside JAX without Keras", allow_module_level=True)

import jax
import jax.numpy as jnp
from flax import nnx

import xai_mimo as xm
from xai_mimo.core.targets import Selector

ROWS = {
    "table": np.random.default_rng(0).normal(size=(6, 3)).astype("float32"),
    "series": np.random.default_rng(1).normal(size=(6, 4, 2)).astype("float32"),
}


def in_keras():
    table, series = keras.Input((3,), name="table"), keras.Input((4, 2), name="series")
    code = keras.layers.Dense(5, activation="tanh", name="code")(table)
    steps = keras.layers.GlobalAveragePooling1D()(keras.layers.Dense(5, activation="gelu", name="steps")(series))
    both = keras.layers.Multiply()([code, steps])
    kind = keras.layers.Dense(3, activation="softmax", name="kind")(both)
    risk = keras.layers.Dense(1, activation="sigmoid", name="risk")(code)
    return keras.Model({"table": table, "series": series}, {"kind": kind, "risk": risk})


class InFlax(nnx.Module):
    def __init__(self, weights):
        for name, (kernel, bias) in weights.items():
            dense = nnx.Linear(*kernel.shape, rngs=nnx.Rngs(0))
            dense.kernel[...], dense.bias[...] = kernel, bias
            setattr(self, name, dense)

    def __call__(self, table, series):
        code = nnx.tanh(self.code(table))
        both = code * nnx.gelu(self.steps(series), approximate=False).mean(axis=1)
        return {"kind": nnx.softmax(self.kind(both)), "risk": nnx.sigmoid(self.risk(code))}


@pytest.fixture(scope="module")
def models():
    model = in_keras()
    weights = {name: model.get_layer(name).get_weights() for name in ("code", "steps", "kind", "risk")}

    def dense(name, x):
        return x @ weights[name][0] + weights[name][1]

    @jax.jit
    def function(table, series):
        code = jnp.tanh(dense("code", table))
        both = code * jax.nn.gelu(dense("steps", series), approximate=False).mean(axis=1)
        return {"kind": jax.nn.softmax(dense("kind", both)), "risk": jax.nn.sigmoid(dense("risk", code))}

    return xm.adapt(model), xm.adapt(InFlax(weights), like=ROWS), xm.adapt(function, like=ROWS)


def test_predictions_and_kinds_are_the_same(models):
    ours, *others = models
    for other in others:
        assert {(h.name, h.kind, h.kind_from, h.unit) for h in other.heads} == {
            (h.name, h.kind, h.kind_from, h.unit) for h in ours.heads
        }
        for name, values in ours.predict(ROWS).items():
            np.testing.assert_allclose(other.predict(ROWS)[name], values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("on", ["output", "logit"])
def test_gradients_are_the_same(models, on):
    targets = [("kind", 0), ("risk", 0), ("kind", 2)]
    selectors = [Selector(f"{head}:{unit}", head, np.full(6, unit)) for head, unit in targets]
    cut = models if on == "output" else [model.before_link(["kind", "risk"])[0] for model in models]
    ours, *others = (model.gradients(ROWS, selectors) for model in cut)
    for other in others:
        for name, values in (ours[0] | ours[1]).items():
            np.testing.assert_allclose((other[0] | other[1])[name], values, rtol=1e-4, atol=1e-6)
