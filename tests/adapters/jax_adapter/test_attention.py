"""Attention of flax's own layers, read without a change to them."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import xai_mimo as xm

pytestmark = pytest.mark.all_frameworks

X = {
    "series": np.random.default_rng(0).normal(size=(5, 4, 6)).astype("float32"),
    "other": np.random.default_rng(1).normal(size=(5, 3, 6)).astype("float32"),
}


class Linen(nn.Module):
    @nn.compact
    def __call__(self, series, other, deterministic: bool = False):
        h = nn.MultiHeadDotProductAttention(2, dropout_rate=0.5, name="own")(series, deterministic=deterministic)
        h = nn.MultiHeadAttention(num_heads=3, name="cross")(h, other)
        return nn.softmax(nn.Dense(2, name="risk")(h.mean(axis=1)))


class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.own = nnx.MultiHeadAttention(2, 6, dropout_rate=0.5, decode=False, rngs=rngs)
        self.cross = nnx.MultiHeadAttention(3, 6, decode=False, rngs=rngs)
        self.risk = nnx.Linear(6, 2, rngs=rngs)

    def __call__(self, series, other):
        return nnx.softmax(self.risk(self.cross(self.own(series), other).mean(axis=1)))


@pytest.fixture(scope="module")
def linen():
    module = Linen()
    return module.bind(jax.jit(functools.partial(module.init, deterministic=True))(jax.random.key(0), **X))


@pytest.fixture(scope="module")
def of_nnx():
    return Nnx(nnx.Rngs(0))


def projected(p, x):
    return np.einsum("bte,ehs->bths", x, p["kernel"]) + p["bias"]


def by_hand(p, queries, keys):
    """Weights softmax(q k / sqrt(size)), products of what heads make of each key, and the output; slowly."""
    q, k, v = projected(p["query"], queries), projected(p["key"], keys), projected(p["value"], keys)
    z = np.einsum("bqhs,bkhs->bhqk", q, k) / np.sqrt(q.shape[-1])
    weights = np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)
    vectors = np.einsum("bkhs,hse->bkhe", v, p["out"]["kernel"])
    output = np.einsum("bhqk,bkhe->bqe", weights, vectors) + p["out"]["bias"]
    return weights, np.einsum("bkhe,bkge->bkhg", vectors, vectors), output


def weights_of(model, layer):
    if isinstance(model, nn.Module):
        return jax.tree.map(np.asarray, model.variables["params"][layer])
    part = getattr(model, layer)
    return {
        n: {w: np.asarray(getattr(getattr(part, n), w)[...]) for w in ("kernel", "bias")}
        for n in ("query", "key", "value", "out")
    }


@pytest.mark.parametrize("which", ["linen", "of_nnx"])
def test_weights_and_products_are_those_of_the_formula(which, request):
    model = request.getfixturevalue(which)
    adapted = xm.adapt(model, like=X)
    maps = adapted.intercept(X)
    keys = [
        "own/attention_weights",
        "own/attention_values",
        "cross/cross_attention_weights",
        "cross/cross_attention_values",
    ]
    assert list(maps) == keys
    weights, products, h = by_hand(weights_of(model, "own"), X["series"], X["series"])
    of_others, of_their_values, _ = by_hand(weights_of(model, "cross"), h, X["other"])
    for key, expected in zip(keys, (weights, products, of_others, of_their_values), strict=True):
        np.testing.assert_allclose(maps[key].values, expected, rtol=2e-4, atol=1e-6)
    assert maps[keys[0]].axes == ("attention_head", "query", "key")
    np.testing.assert_allclose(maps[keys[2]].values.sum(axis=-1), 1.0, rtol=1e-5)


def test_reading_leaves_the_modules_as_they_are(linen, of_nnx):
    before = {"linen": linen.variables, "attention": of_nnx.own.attention_fn, "query": of_nnx.own.query}
    outputs = {}
    for name, model in (("linen", linen), ("nnx", of_nnx)):
        adapted = xm.adapt(model, like=X)
        outputs[name] = adapted.predict(X)["output"]
        adapted.intercept(X)
        np.testing.assert_array_equal(adapted.predict(X)["output"], outputs[name])
    assert of_nnx.own.attention_fn is before["attention"]
    assert of_nnx.own.query is before["query"]
    assert type(of_nnx.own.query) is nnx.LinearGeneral
    assert nn.MultiHeadDotProductAttention(2).attention_fn is nn.dot_product_attention


class Scanned(nn.Module):
    @nn.compact
    def __call__(self, series):
        class Block(nn.Module):
            @nn.compact
            def __call__(self, h, _):
                return h + nn.MultiHeadDotProductAttention(2)(h), None

        scan = nn.scan(Block, variable_axes={"params": 0}, split_rngs={"params": True}, length=2)
        return scan()(series, None)[0].mean(axis=(1, 2))


def test_layers_that_are_scanned_over_are_not_read_and_do_no_harm():
    module = Scanned()
    x = X["series"]
    assert xm.adapt(module.bind(jax.jit(module.init)(jax.random.key(0), x)), like=x).intercept(x) == {}


def test_an_attention_function_of_the_users_own_is_left_alone():
    def uniform(query, key, value, **_):
        return jnp.broadcast_to(value.mean(axis=1, keepdims=True), query.shape)

    module = nn.MultiHeadDotProductAttention(2, attention_fn=lambda query, key, value: uniform(query, key, value))
    x = X["series"]
    assert xm.adapt(module.bind(jax.jit(module.init)(jax.random.key(0), x)), like=x).intercept(x) == {}


def test_the_attention_of_a_transformer_is_a_method():
    x = X["series"]

    class Block(nnx.Module):
        def __init__(self, rngs):
            self.attention = nnx.MultiHeadAttention(2, 6, decode=False, rngs=rngs)

        def __call__(self, series):
            return (series + self.attention(series)).mean(axis=(1, 2))

    explanation = xm.explain(Block(nnx.Rngs(0)), x, method="attention_rollout")
    assert explanation.sizes["sample"] == 5
    assert (explanation["series"] > 0).all()
