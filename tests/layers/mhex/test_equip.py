"""Finding residual sums and putting heads in their place, in networks of several styles."""

import keras
import numpy as np
import pytest
from keras import layers

from xai_mimo.layers import MHEXHead, add_mhex, residual_sums, small_encoder, small_resnet

TEXT = np.array([[1, 2, 3, 4, 0, 0], [5, 6, 7, 1, 2, 3]], "int32")


def dense_block(x, name, *, shortcut_first=False, plus=False):
    """ReLU(x W) + x, as an Add layer in either order or as the operator."""
    branch = layers.Dense(x.shape[-1], "relu", name=f"{name}_dense")(x)
    if plus:
        return branch + x
    return layers.Add(name=f"{name}_add")([x, branch] if shortcut_first else [branch, x])


def scores(inputs, x, name="net"):
    return keras.Model(inputs, layers.Dense(2, "softmax", name="y")(layers.GlobalAveragePooling1D()(x)), name=name)


def simple(**style):
    inputs = keras.Input((4, 3), name="x")
    return scores(inputs, dense_block(inputs, "block", **style))


def heads_of(model):
    return [layer for layer in model.inference()._flatten_layers() if isinstance(layer, MHEXHead)]


def by_hand(model, x, kernel):
    """The equipped simple network with this gate kernel."""
    w = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    dense, (out, bias) = next(v for k, v in w.items() if k != "y"), w["y"]
    branch = np.maximum(x @ dense[0] + dense[1], 0)
    gate = 1 / (1 + np.exp(-(branch + x).mean(axis=1) @ kernel))
    logits = (branch * gate[:, None] + x).mean(axis=1) @ out + bias
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("style", [{}, {"shortcut_first": True}, {"plus": True}], ids=["add", "swapped", "operator"])
def test_branch_and_shortcut_are_told_apart_and_weights_kept(style, rng):
    model = simple(**style)
    x = rng.normal(size=(5, 4, 3)).astype("float32")
    before = model.predict(x, verbose=0)
    net = add_mhex(model).inference()
    (head,) = [layer for layer in net.layers if isinstance(layer, MHEXHead)]
    kernel = rng.normal(size=(3, 3)).astype("float32")
    head.gate_kernel.assign(kernel)
    np.testing.assert_allclose(net.predict(x, verbose=0), by_hand(model, x, kernel), atol=1e-5)
    np.testing.assert_array_equal(model.predict(x, verbose=0), before)
    assert not any(isinstance(layer, MHEXHead) for layer in model.layers)


@pytest.mark.slow
def test_small_resnet_gets_the_parameters_that_arithmetic_says():
    model = small_resnet((20, 20, 1), 10)
    assert [found.name for found in residual_sums(model)] == ["block_1_add", "block_2_add", "block_3_add"]
    assert residual_sums(model)[1].layers == ("block_2_a_conv", "block_2_a_norm", "block_2_b_conv", "block_2_b_norm")
    net = add_mhex(model, kinds="multiclass").inference()
    counts = [sum(int(np.prod(w.shape)) for w in m.trainable_weights) for m in (model, net)]
    assert counts == [77_754, 84_250]
    assert [layer.name for layer in net.layers if isinstance(layer, MHEXHead)] == [f"block_{i}_mhex" for i in (1, 2, 3)]
    for layer in model.layers:
        copies = net.get_layer(layer.name).get_weights() if layer.weights else []
        for ours, theirs in zip(copies, layer.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_encoder_is_equipped_behind_its_feed_forward_part_and_by_name_behind_attention():
    model = small_encoder(9, 6, 2, blocks=2, width=8, attention_heads=2)
    found = {s.name: s.has_attention for s in residual_sums(model)}
    assert found == {f"block_{i}{part}_add": part != "" for i in (1, 2) for part in ("_attention", "")}
    assert [h.name for h in heads_of(add_mhex(model, kinds="binary"))] == ["block_1_mhex", "block_2_mhex"]
    named = add_mhex(model, ["block_2_attention_add"], kinds="binary")
    assert [head.name for head in heads_of(named)] == ["block_2_attention_mhex"]


def test_padding_does_not_reach_the_real_tokens_of_an_equipped_encoder():
    model = small_encoder(9, 6, 2, blocks=1, width=8, attention_heads=2)
    net = add_mhex(model, kinds="binary").inference()
    longer = small_encoder(9, 8, 2, blocks=1, width=8, attention_heads=2)
    wide = add_mhex(longer, kinds="binary").inference()
    for layer in wide.layers:
        values = net.get_layer(layer.name).get_weights()
        if layer.name == "positions":
            values = [np.concatenate([values[0], np.ones((2, 8))])]
        layer.set_weights(values)
    padded = np.pad(TEXT, ((0, 0), (0, 2)))
    np.testing.assert_allclose(wide.predict(padded, verbose=0), net.predict(TEXT, verbose=0), atol=1e-5)


def test_sums_in_nested_models_are_found():
    inner_in = keras.Input((4, 3))
    inner = keras.Model(inner_in, dense_block(dense_block(inner_in, "first"), "second"), name="trunk")
    inputs = keras.Input((4, 3), name="x")
    outer = scores(inputs, inner(inputs))
    model = add_mhex(outer)
    with pytest.raises(ValueError, match=r"Received: \['first_add', 'second_add'\], which are in a model nested in it"):
        add_mhex(outer, mask="x")
    assert {head.name for head in heads_of(model)} == {"first_mhex", "second_mhex"}
    assert heads_of(model)[0].heads == {"y": 2}


def test_a_sequential_model_is_equipped_as_the_graph_it_holds(rng):
    trunk_in = keras.Input((4, 3))
    trunk = keras.Model(trunk_in, dense_block(trunk_in, "block"), name="trunk")
    pooled = layers.GlobalAveragePooling1D()
    model = keras.Sequential([keras.Input((4, 3)), trunk, pooled, layers.Dense(2, "softmax", name="y")], name="whole")
    equipped = add_mhex(model)
    assert equipped.kinds == {"y": "multiclass"}
    assert equipped.network.name == "whole"
    equipped.network.get_layer("trunk").get_layer("block_mhex").gate_kernel.assign(np.zeros((3, 3)))
    x = rng.normal(size=(5, 4, 3)).astype("float32")
    features = trunk.predict(x, verbose=0)
    gated = features - (features - x) / 2  # a gate of one half takes half of the branch away
    expected = keras.ops.convert_to_numpy(model.layers[-1](gated.mean(axis=1)))
    np.testing.assert_allclose(equipped.predict(x, verbose=0), expected, atol=1e-6)


def test_sums_that_are_no_residuals_do_not_count():
    words, inputs = keras.Input((4,), dtype="int32"), keras.Input((4, 3), name="x")
    tokens = layers.Embedding(7, 3, name="tokens")(words)
    kinds = layers.Embedding(2, 3, name="token_kinds")(words)
    x = layers.Add(name="embeddings")([tokens, kinds])
    x = layers.Add(name="fusion")([x, inputs])
    equal = [layers.Dense(3, name=f"path_{i}")(x) for i in (1, 2)]
    model = scores([words, inputs], dense_block(layers.Add(name="paths")(equal), "block"))
    assert [found.name for found in residual_sums(model)] == ["block_add"]
    with pytest.raises(
        ValueError, match=r"'paths', whose inputs are equally long or unrelated.*blocks={'paths': 0} or 1"
    ):
        add_mhex(model, ["paths"])
    chosen = heads_of(add_mhex(model, {"paths": 1}))[0]
    assert chosen.name == "paths_mhex"
    assert chosen.input[0]._keras_history.operation.name == "path_2"


@keras.saving.register_keras_serializable(package="xai_mimo_tests")
class TransformerEncoder(layers.Layer):
    """A block whose residual sum is inside its call, as libraries of models have them."""

    def build(self, x_shape, padding_mask_shape=None):
        self.kernel = self.add_weight(shape=(x_shape[-1], x_shape[-1]), name="kernel")

    def call(self, x, padding_mask=None):
        return x + keras.ops.tanh(keras.ops.matmul(x, self.kernel))

    def compute_output_shape(self, x_shape, padding_mask_shape=None):
        return x_shape


def test_a_block_whose_sum_is_inside_is_refused_with_advice_and_equipped_from_outside_by_name(rng):
    inputs, mask = keras.Input((4, 3), name="x"), keras.Input((4,), dtype="bool", name="mask")
    model = scores([inputs, mask], TransformerEncoder(name="encoder")(inputs, padding_mask=mask), name="bert")
    text = r"in model 'bert'. Received: none. Its layers \['encoder'\] may hold sums inside .* blocks=\['encoder'\]"
    with pytest.raises(ValueError, match=text):
        add_mhex(model)
    net = add_mhex(model, ["encoder"], mask="mask").inference()
    x, real = rng.normal(size=(2, 4, 3)).astype("float32"), np.array([[1, 1, 1, 0], [1, 1, 1, 1]], bool)
    kernel, (out, bias) = net.get_layer("encoder").get_weights()[0], net.get_layer("y").get_weights()
    branch = np.tanh(x @ kernel)
    pooled = ((branch + x) * real[..., None]).sum(axis=1) / real.sum(axis=1, keepdims=True)
    gate = 1 / (1 + np.exp(-pooled @ net.get_layer("encoder_mhex").get_weights()[0]))
    logits = (branch * gate[:, None] + x).mean(axis=1) @ out + bias
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(net.predict([x, real], verbose=0), expected, atol=1e-5)
    with pytest.raises(ValueError, match=r"Expected `mask` to name an input of the model, one of \['x', 'mask'\]"):
        add_mhex(model, ["encoder"], mask="padding")


def test_heads_have_the_precision_of_the_sums_that_they_replace():
    inputs = keras.Input((4, 3), name="x")
    x = layers.Add(dtype="mixed_bfloat16", name="block_add")([layers.Dense(3)(inputs), inputs])
    (head,) = heads_of(add_mhex(scores(inputs, x)))
    assert (head.compute_dtype, head.variable_dtype) == ("bfloat16", "float32")


def test_outputs_in_a_mapping_keep_their_names():
    inputs = keras.Input((4, 3), name="x")
    pooled = layers.GlobalAveragePooling1D()(dense_block(inputs, "block"))
    outputs = {"risk": layers.Dense(1, "sigmoid")(pooled), "kind": layers.Dense(4, "softmax")(pooled)}
    model = add_mhex(keras.Model(inputs, outputs))
    assert heads_of(model)[0].heads == {"risk": 1, "kind": 4}
    assert model.kinds == {"risk": "binary", "kind": "multiclass"}
    only = add_mhex(keras.Model(inputs, outputs), heads={"kind": 4})
    assert heads_of(only)[0].heads == only.heads == {"kind": 4}


def attention_only():
    inputs = keras.Input((4, 3), name="x")
    x = layers.Add(name="sum")([layers.MultiHeadAttention(1, 3)(inputs, inputs), inputs])
    return scores(inputs, x)


def outputs_per_token():
    inputs = keras.Input((4, 3), name="x")
    return keras.Model(inputs, layers.Dense(2, "softmax", name="tags")(dense_block(inputs, "block")))


class OwnCode(keras.Model):
    def call(self, x):
        return x


@pytest.mark.parametrize(
    ("make", "blocks", "text"),
    [
        (
            attention_only,
            None,
            r"behind layers other than attention in model 'net'. Received: only \['sum'\]; name those",
        ),
        (
            lambda: OwnCode(name="own"),
            None,
            "Expected a functional Keras model. Received: model 'own' of class OwnCode",
        ),
        (
            lambda: scores(x := keras.Input((4, 3)), layers.Dense(3)(x)),
            None,
            "Received: none. Put `MHEXHead` into the model",
        ),
        (simple, [], r"Expected `blocks` to be names of sums or blocks, one or more. Received: blocks=\[\]"),
        (simple, "block_add", "Received: blocks='block_add'"),
        (simple, ["other"], r"its residual sums \['block_add'\]. Received: 'other', which it calls 0 times"),
        (simple, ["y"], r"a block that keeps its input's shape. Received: 'y' \(Dense\) with the shapes"),
        (outputs_per_token, None, r"Expected outputs of shape \(batch, units\). Received: {'tags': \(4, 2\)}"),
    ],
)
def test_models_that_cannot_be_equipped_are_refused_with_advice(make, blocks, text):
    with pytest.raises(ValueError, match=text):
        add_mhex(make(), blocks)


@pytest.mark.slow
def test_resnet50_of_keras_is_equipped_in_all_its_blocks(rng, tmp_path):
    model = keras.applications.ResNet50(weights=None, classes=3, input_shape=(32, 32, 3))
    sums = residual_sums(model)
    assert len(sums) == 16
    equipped = add_mhex(model)
    heads = heads_of(equipped)
    channels = [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 3
    assert [head.class_kernel.shape for head in heads] == [(c, 3) for c in channels]
    assert equipped.count_params() - model.count_params() == sum(c * c + 3 * c for c in channels)
    assert heads[0].name == "conv2_block1_mhex"
    for head in heads:
        shortcut = head.input[1]._keras_history.operation.name
        assert shortcut.endswith(("_out", "_0_bn"))
    x = rng.uniform(0, 1, (2, 32, 32, 3)).astype("float32")
    equipped.inference().save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), equipped.predict(x, verbose=0), rtol=1e-5)
    version_2 = keras.applications.ResNet50V2(weights=None, classes=3, input_shape=(32, 32, 3))
    assert len(residual_sums(version_2)) == 16
