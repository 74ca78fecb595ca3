"""Keras's own attention layers, read without a change to them; Keras's ``return_attention_scores`` is the oracle."""

import threading

import keras
import numpy as np
import pytest
from keras import layers
from xai_mimo_adapters.keras_adapter import attention

import xai_mimo as xm
from xai_mimo.core.errors import NotSupported
from xai_mimo.explainers import AttentionRollout

_PATCHED = (
    (layers.MultiHeadAttention, ("call", "_compute_attention")),
    (layers.GroupQueryAttention, ("call", "_compute_attention")),
    (layers.Attention, ("call", "_apply_scores")),
    (layers.TimeDistributed, ("call",)),
    (layers.RNN, ("inner_loop",)),
)


def methods_now():
    return [vars(kind)[name] for kind, names in _PATCHED for name in names]


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(3).normal(size=(4, 6, 3)).astype("float32")


@pytest.fixture(scope="module")
def network():
    """Self-attention of four kinds and one cross-attention, in one functional model with a nested one."""
    keras.utils.set_random_seed(5)
    x = keras.Input((6, 3), name="series")
    h = layers.Dense(8)(x)
    h = h + layers.MultiHeadAttention(2, 4, value_dim=3, dropout=0.1, name="heads")(h, h, use_causal_mask=True)
    h = h + layers.GroupQueryAttention(4, 4, 2, name="groups")(h, h)
    h = h + layers.Attention(name="plain")([h, h])
    inner = keras.Input((6, 8))
    nested = keras.Model(inner, layers.AdditiveAttention(name="additive")([inner, inner]), name="nested")
    h = h + nested(h)
    short = h[:, :4]
    h = layers.MultiHeadAttention(2, 4, name="cross")(short, h)
    h = layers.Flatten()(h)
    return keras.Model(x, [layers.Dense(1, name="risk")(h), layers.Dense(3, activation="softmax", name="kind")(h)])


@pytest.fixture(scope="module")
def maps(network, rows):
    return xm.intercept(network, rows)


def own_scores(network, name, rows):
    """What Keras itself returns for a layer of the network, from what the layer reads."""
    layer = network.get_layer(name) if name != "additive" else network.get_layer("nested").get_layer(name)
    first, *more = (t for t in layer._inbound_nodes[0].input_tensors)
    if name == "additive":
        read = keras.Model(network.input, network.get_layer("nested")._inbound_nodes[0].input_tensors[0])(rows)
        return layer([read, read], return_attention_scores=True)[1]
    read = keras.Model(network.input, [first, more[0] if more else first])(rows)
    if name == "plain":
        return layer(list(read), return_attention_scores=True)[1]
    causal = {"use_causal_mask": True} if name == "heads" else {}
    return layer(*read, return_attention_scores=True, **causal)[1]


@pytest.mark.parametrize("name", ["heads", "groups", "plain", "additive", "cross"])
def test_weights_are_those_that_keras_returns(network, maps, rows, name):
    expected = keras.ops.convert_to_numpy(own_scores(network, name, rows))
    expected = expected[:, None] if expected.ndim == 3 else expected
    weights = maps[f"{name}/{'cross_' if name == 'cross' else ''}attention_weights"]
    assert weights.dims == ("sample", *(f"{name}_{axis}" for axis in ("attention_head", "query", "key")))
    np.testing.assert_allclose(weights, expected, atol=1e-5)
    np.testing.assert_allclose(weights.sum(f"{name}_key"), 1, atol=1e-6)


def test_a_key_that_is_masked_has_weight_zero(maps):
    later = np.triu(np.ones((6, 6), bool), 1)
    assert (maps["heads/attention_weights"].values[..., later] == 0).all()


@pytest.mark.parametrize("name", ["heads", "groups"])
def test_values_are_inner_products_of_what_heads_make_of_a_key(network, maps, rows, name):
    layer = network.get_layer(name)
    read = keras.Model(network.input, layer._inbound_nodes[0].input_tensors[0])(rows)
    x = keras.ops.convert_to_numpy(read).astype(np.float64)
    kernel, bias = (keras.ops.convert_to_numpy(w).astype(np.float64) for w in layer._value_dense.weights)
    out = keras.ops.convert_to_numpy(layer._output_dense.kernel).astype(np.float64)
    heads, groups = len(out), kernel.shape[1]
    vectors = np.stack(
        [(x @ kernel[:, h * groups // heads] + bias[h * groups // heads]) @ out[h] for h in range(heads)]
    )
    expected = np.einsum("hbke,gbke->bkhg", vectors, vectors)
    np.testing.assert_allclose(maps[f"{name}/attention_values"], expected, rtol=1e-4, atol=1e-5)


def test_reading_changes_no_answer_and_leaves_nothing_behind(network, rows):
    adapted = xm.adapt(network)
    methods, answers, print_before = methods_now(), adapted.predict(rows), adapted.fingerprint()
    held = [dict(vars(layer)) for layer in network._flatten_layers()]
    xm.intercept(adapted, rows)
    assert methods_now() == methods
    for before, layer in zip(held, network._flatten_layers(), strict=True):
        assert before.keys() == vars(layer).keys()
    for name, y in adapted.predict(rows).items():
        np.testing.assert_array_equal(y, answers[name])
    assert adapted.fingerprint() == print_before
    assert not attention._reading.get()
    assert not attention._is_self.get()


def test_rollout_is_the_product_of_what_keras_returns(network, rows):
    first, second = (keras.ops.convert_to_numpy(own_scores(network, name, rows)) for name in ("heads", "groups"))
    raw = [each.astype(np.float64).mean(axis=1) + np.eye(6) for each in (first, second)]
    low, high = (each / each.sum(axis=2, keepdims=True) for each in raw)
    rollout = AttentionRollout(layers=["heads", "groups"], query=-1)
    ours = xm.explain(network, rows, method=rollout, check=False)["series"].sum("series_feature")
    np.testing.assert_allclose(ours[0], (high @ low)[:, -1], rtol=1e-5)


class Broken(layers.Layer):
    def call(self, x):
        if x.shape[0] is not None and attention._reading.get():
            raise RuntimeError("broken layer")
        return x


def test_methods_are_put_back_after_an_error(rows):
    x = keras.Input((6, 3), name="series")
    h = Broken()(layers.MultiHeadAttention(1, 2)(x, x))
    model = keras.Model(x, layers.Dense(1, name="y")(layers.Flatten()(h)))
    methods = methods_now()
    with pytest.raises(Exception, match="broken layer"):
        xm.intercept(model, rows)
    assert methods_now() == methods
    assert not attention._reading.get()


def test_threads_that_do_not_read_see_the_layers_as_they_are(rows):
    rows, layer = keras.ops.convert_to_tensor(rows), layers.MultiHeadAttention(1, 2)
    layer(rows, rows)
    seen = []

    def other():
        seen.append(attention._reading.get())
        layer(rows, rows)

    with attention.collecting({}) as maps:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert seen == [False]
        assert not maps
        with attention.collecting({}):
            pass
        layer(rows, rows)
        assert len(maps) == 2


def test_a_layer_with_flash_attention_is_read_and_keeps_it(rows):
    rows, layer = keras.ops.convert_to_tensor(rows), layers.MultiHeadAttention(2, 4, name="flash")
    layer(rows, rows)
    _, expected = layer(rows, rows, return_attention_scores=True)
    layer._flash_attention = True
    with attention.collecting({}) as maps:
        layer(rows, rows)
    assert layer._flash_attention is True
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(maps[f"{layer.path}/attention_weights"]),
        keras.ops.convert_to_numpy(expected),
        atol=1e-6,
    )


def test_axes_that_are_not_attended_over_stand_in_front(rows):
    grid = np.random.default_rng(0).normal(size=(2, 5, 3, 4, 6)).astype("float32")
    layer = layers.MultiHeadAttention(2, 4, attention_axes=(2, 3))
    labels = {}
    with attention.collecting(labels) as maps:
        _, expected = layer(grid, grid, return_attention_scores=True)
    (key,) = maps
    assert labels[key].axes == ("outer", "attention_head", "query", "key")
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(maps[key]), keras.ops.convert_to_numpy(expected).reshape(2, 5, 2, 12, 12)
    )


def test_a_model_whose_only_attention_is_mapped_over_steps_is_refused_in_words(rows):
    x = keras.Input((2, 6, 3), name="series")
    inner = keras.Input((6, 3))
    block = keras.Model(inner, layers.MultiHeadAttention(1, 2)(inner, inner))
    h = layers.Flatten()(layers.TimeDistributed(block)(x))
    model = keras.Model(x, layers.Dense(1, name="y")(h))
    with pytest.raises(NotSupported, match=r"no attention layer .* mapped over steps by TimeDistributed"):
        xm.intercept(model, np.stack([rows, rows], axis=1))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.inner = layers.MultiHeadAttention(2, 4, name="inner")
        self.out = layers.Dense(1)

    def call(self, x):
        return self.out(self.inner(self.inner(x, x), x)[:, 0])


def test_a_subclassed_model_and_a_layer_called_twice(rows):
    model = Subclassed()
    model(rows)
    maps = xm.intercept(xm.adapt(model, streams={"series": (6, 3)}, heads={"y": (1,)}), rows)
    assert [key.rsplit("/", 1)[1] for key in maps] == [
        "attention_weights",
        "attention_values",
        "cross_attention_weights",
        "cross_attention_values",
    ]
