"""Attention as arrays, for each layer, attention head and row, without a change to the model."""

import keras
import numpy as np
import pytest
import torch

import xai_mimo as xm
from tests.helpers.frameworks import imported

RNG = np.random.default_rng(2)
X = {"series": RNG.normal(size=(5, 6, 4)).astype("float32"), "table": RNG.normal(size=(5, 2)).astype("float32")}


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def weights_by_hand(layer, x):
    """``(row, attention_head, query, key)`` of a ``MultiHeadAttention`` of Keras, from its weights."""
    pairs = [dense.get_weights() for dense in (layer.query_dense, layer.key_dense)]
    query, key = (np.einsum("btd,dhs->bhts", x, kernel) + bias[None, :, None, :] for kernel, bias in pairs)
    return softmax(np.einsum("bhqs,bhks->bhqk", query, key) / np.sqrt(query.shape[-1]))


@pytest.fixture(scope="module")
def network():
    """Attention that was built without a word of its scores, in a model of quantile heads."""
    keras.utils.set_random_seed(4)
    streams = {name: keras.Input(x.shape[1:], name=name) for name, x in X.items()}
    steps = keras.layers.Dense(4, name="encode")(streams["series"])
    read = keras.layers.MultiHeadAttention(2, 3, name="attend")(steps, steps)
    both = keras.layers.Concatenate()([keras.layers.GlobalAveragePooling1D()(read), streams["table"]])
    return keras.Model(streams, {name: keras.layers.Dense(1, name=name)(both) for name in ("low", "middle", "high")})


def attention_of(network):
    kernel, bias = network.get_layer("encode").get_weights()
    encoded = X["series"] @ kernel + bias
    return weights_by_hand(network.get_layer("attend"), encoded)


def test_scores_of_symbolic_tensors_and_of_layers_built_without(network):
    """``return_attention_scores`` on symbolic tensors, or in the constructor. (keras#19303, #21601)

    They are read where they are computed, from a functional model that gives none, and all rows are there.
    """
    maps = xm.intercept(network, X)
    found = maps["attend/attention_weights"]
    np.testing.assert_allclose(found, attention_of(network), atol=1e-5)


def test_attention_as_numbers_for_every_quantile(network):
    """Attention as numbers and not as a plot; by quantile; of all rows and not of one batch. (pytorch-forecasting#1277,
    #951, #1044; darts#2489, #675, #849)

    Which step is attended to is one map for all heads, and is said to have no sign; what a step does to each quantile
    is an attribution, which differs.
    """
    steps = attention_of(network).mean(axis=(1, 2))
    found = xm.explain(network, X, "attention_map", rows_per_block=2)
    for head in found["head"].values:
        np.testing.assert_allclose(found["series"].sel(head=head).sum(dim="series_feature"), steps, atol=1e-5)
    assert found.attrs["signed"] == 0
    bears = xm.explain(network, X, "input_x_gradient")["series"].sum(dim="series_feature")
    assert float(abs(bears.sel(head="low") - bears.sel(head="high")).max()) > 1e-3


def encoder(hub):
    keras.utils.set_random_seed(5)
    ids, table = keras.Input((6,), dtype="int32", name="ids"), keras.Input((2,), name="table")
    tokens = hub.layers.TokenAndPositionEmbedding(9, 6, 8, name="embedding")(ids)
    for block in ("first", "second"):
        tokens = hub.layers.TransformerEncoder(16, 2, name=block)(tokens)
    both = keras.layers.Concatenate()([keras.layers.GlobalAveragePooling1D()(tokens), table])
    return keras.Model([ids, table], {name: keras.layers.Dense(1, name=name)(both) for name in ("mood", "length")})


def test_attention_of_an_encoder_and_of_cached_attention():
    """Scores of an encoder's blocks, and of attention with a cache. (keras-hub#1644, #2213)

    The attention layers lie inside blocks that the model is made of; rollout is the product of both layers by hand.
    """
    hub = imported("keras_hub")
    model, x = encoder(hub), {"ids": RNG.integers(0, 9, (3, 6)).astype("int32"), "table": X["table"][:3]}
    first, second = model.get_layer("first"), model.get_layer("second")
    read = keras.Model(model.inputs, [model.get_layer("embedding").output, first.output])
    embedded, between = read.predict(x, verbose=0)
    weights = [
        weights_by_hand(block._self_attention_layer, inputs) for block, inputs in ((first, embedded), (second, between))
    ]
    maps = xm.intercept(model, x)
    for block, expected in zip(("first", "second"), weights, strict=True):
        np.testing.assert_allclose(maps[f"{block}/self_attention_layer/attention_weights"], expected, atol=1e-5)
    edges = [(each.mean(axis=1) + np.eye(6)) / 2 for each in weights]
    found = xm.explain(model, x, "attention_rollout")
    np.testing.assert_allclose(found["ids"][0], (edges[1] @ edges[0]).mean(axis=1), atol=1e-5)
    np.testing.assert_array_equal(found["ids"][0], found["ids"][1])

    cached = hub.layers.CachedMultiHeadAttention(2, 4, name="cached")
    signal = keras.Input((6, 4), name="signal")
    model = keras.Model(signal, {"y": keras.layers.GlobalAveragePooling1D(name="y")(cached(signal, signal))})
    found = xm.intercept(model, X["series"])["cached/attention_weights"]
    np.testing.assert_allclose(found, weights_by_hand(cached, X["series"]), atol=1e-5)


@pytest.mark.all_frameworks
def test_attention_of_a_torch_transformer_in_evaluation_mode():
    """In evaluation mode a fused path is taken, and there is no attention to read. (darts#849)"""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = torch.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True).eval()
        network = torch.nn.Sequential(
            torch.nn.TransformerEncoder(layer, 1, enable_nested_tensor=False), torch.nn.Linear(4, 1)
        )
    x = torch.from_numpy(X["series"])
    attention = network[0].layers[0].self_attn
    with torch.no_grad():
        _, expected = attention(x, x, x, need_weights=True, average_attn_weights=False)
    maps = xm.intercept(network, X["series"])
    (name,) = [name for name in maps if str(name).endswith("attention_weights")]
    np.testing.assert_allclose(maps[name], expected, atol=1e-5)
