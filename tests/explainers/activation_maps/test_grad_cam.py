"""Class activation maps on small Keras networks, on the active backend: by hand, Captum, several streams and heads."""

import json

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.frameworks import needs
from tests.helpers.keras_weights import with_weights
from xai_mimo.core.errors import BadSetting, NotSupported, UnknownName, UnusedStreamWarning
from xai_mimo.core.positions import resize
from xai_mimo.explainers import CAM, GradCAM


@pytest.fixture(scope="module")
def images():
    """An image of 8 x 6, a pooling over 4 x 3 positions, a linear head of two units and one that is not linear."""
    import keras

    image = keras.Input((8, 6, 3), name="image")
    code = keras.layers.Conv2D(5, 2, strides=2, activation="relu", name="conv")(image)
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(code)
    bent = keras.layers.Dense(4, activation="tanh", name="bent")(keras.layers.Flatten(name="flat")(code))
    heads = {"kind": keras.layers.Dense(2, name="kind")(pooled), "size": keras.layers.Dense(1, name="size")(bent)}
    return xm.adapt(with_weights(keras.Model(image, {"kind": heads["kind"]}))), xm.adapt(
        with_weights(keras.Model(image, {"size": heads["size"]}))
    )


@pytest.fixture(scope="module")
def x():
    return {"image": np.random.default_rng(0).standard_normal((5, 8, 6, 3)).astype("float32")}


def weights_of(model, layer):
    return [np.asarray(w) for w in model.model.get_layer(layer).get_weights()]


def test_a_linear_head_by_hand(images, x):
    model, _ = images
    features = model.activations(x, "pool")["image_encoded"]
    weights, bias = weights_of(model, "kind")
    signed = np.einsum("nijk,kc->cnij", features, weights)
    assert signed.min() < 0 < signed.max()
    found = xm.explain(model, x, GradCAM(at="pool"))
    np.testing.assert_allclose(
        found["image"].sum("image_channel"), resize(np.maximum(signed, 0) / 12, (8, 6)), atol=1e-6
    )
    cam = xm.explain(model, x, CAM(at="pool"))
    np.testing.assert_allclose(cam["image"].sum("image_channel"), resize(signed, (8, 6)), atol=1e-5)
    np.testing.assert_allclose(signed.mean(axis=(2, 3)).T + bias, model.predict(x)["kind"], atol=1e-5)
    assert (found.attrs["signed"], cam.attrs["signed"]) == (0, 1)
    assert (found.attrs["reference"], cam.attrs["reference"]) == ("selvaraju2017gradcam", "zhou2016cam")


def test_cam_is_grad_cam_without_the_relu_times_the_positions(images, x):
    model, _ = images
    cam = xm.explain(model, x, "cam")
    signed = xm.explain(model, x, GradCAM(positive=False))
    np.testing.assert_allclose(cam["image"], 12 * signed["image"], atol=1e-5)
    np.testing.assert_array_equal(cam["prediction"], signed["prediction"])


def test_a_bent_head_by_hand(images, x):
    _, model = images
    features = model.activations(x, "flat")["image_encoded"].astype(np.float64)
    (w1, b1), (w2, _) = weights_of(model, "bent"), weights_of(model, "size")
    slope = 1 - np.tanh(features.reshape(5, -1) @ w1 + b1) ** 2
    gradient = ((slope * w2[:, 0]) @ w1.T).reshape(features.shape)
    maps = np.maximum(np.einsum("nk,nijk->nij", gradient.mean(axis=(1, 2)), features), 0)
    assert maps.any()
    for at in ("flat", None):
        found = xm.explain(model, x, GradCAM(at=at))
        np.testing.assert_allclose(found["image"].sum("image_channel")[0], resize(maps, (8, 6)), atol=1e-6)


def test_rows_in_pieces_give_the_same_numbers(images, x):
    _, model = images
    whole = xm.explain(model, x, "grad_cam")
    pieces = xm.explain(model, x, "grad_cam", max_memory=3000, rows_per_block=3)
    np.testing.assert_allclose(whole["image"], pieces["image"], atol=1e-6)


@needs("captum", "torch")
def test_it_equals_captum(images, x):
    import torch
    from captum.attr import LayerAttribution, LayerGradCam

    _, model = images
    kernel, bias = weights_of(model, "conv")
    (w1, b1), (w2, b2) = weights_of(model, "bent"), weights_of(model, "size")
    conv = torch.nn.Conv2d(3, 5, 2, stride=2)
    conv.weight.data, conv.bias.data = torch.tensor(kernel).permute(3, 2, 0, 1), torch.tensor(bias)
    w1, b1, w2, b2 = (torch.tensor(v) for v in (w1, b1, w2, b2))

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.relu = conv, torch.nn.ReLU()

        def forward(self, image):
            code = self.relu(self.conv(image)).permute(0, 2, 3, 1).flatten(1)
            return torch.tanh(code @ w1 + b1) @ w2 + b2

    net = Network()
    theirs = LayerGradCam(net, net.relu).attribute(
        torch.tensor(x["image"]).permute(0, 3, 1, 2), target=0, relu_attributions=True
    )
    theirs = LayerAttribution.interpolate(theirs, (8, 6), "bilinear").detach().numpy()[:, 0]
    assert theirs.any()
    found = xm.explain(model, x, GradCAM(at="flat"))
    np.testing.assert_allclose(found["image"].sum("image_channel")[0], theirs, atol=1e-6)


def test_at_the_layer_the_map_is_not_resized(images, x):
    model, _ = images
    found = xm.explain(model, x, "cam", at="pool")
    features, (weights, _) = model.activations(x, "pool")["image_encoded"], weights_of(model, "kind")
    np.testing.assert_allclose(
        found["image_encoded"].sum("image_encoded_channel"), np.einsum("nijk,kc->cnij", features, weights), atol=1e-5
    )
    named = xm.explain(model, x, CAM(at="pool"), at="pool")
    np.testing.assert_array_equal(named["image_encoded"], found["image_encoded"])
    with pytest.raises(
        NotSupported, match=r"needs a model that can be cut.*It is the part behind 'pool': leave `at` out"
    ):
        xm.explain(model, x, GradCAM(at="conv"), at="pool")


def test_cam_refuses_a_head_of_another_form(images, x):
    with pytest.raises(NotSupported, match=r"head 'size' is not linear in the mean over positions of.*'flat' reads"):
        xm.explain(images[1], x, "cam")


@pytest.fixture(scope="module")
def tokens():
    """Sentences of six tokens, 0 is padding and masked; the head is linear in the mean over words."""
    import keras

    words = keras.Input((6,), dtype="int32", name="words")
    code = keras.layers.Embedding(7, 4, mask_zero=True, name="embed")(words)
    code = keras.layers.Dense(5, activation="tanh", name="mix")(code)
    pooled = keras.layers.GlobalAveragePooling1D(name="pool")(code)
    return xm.adapt(with_weights(keras.Model(words, keras.layers.Dense(2, name="tone")(pooled))))


def test_tokens_get_a_map_and_padding_gets_nothing(tokens):
    x = {"words": np.array([[1, 2, 0, 0, 0, 0], [3, 4, 5, 6, 1, 0]])}
    read = tokens.activations(x, "pool")
    features = next(v for v in read.values() if v.dtype.kind == "f")
    weights, bias = weights_of(tokens, "tone")
    is_word = x["words"] > 0
    share = is_word / is_word.sum(axis=1, keepdims=True)
    parts = np.einsum("npk,kc->cnp", features, weights)
    np.testing.assert_allclose((parts * share).sum(axis=2).T + bias, tokens.predict(x)["tone"], atol=1e-6)
    found = xm.explain(tokens, x, GradCAM(positive=False))
    assert found["words"].shape == (2, 2, 6)
    np.testing.assert_allclose(found["words"], parts / 6, atol=1e-6)  # the mean gradient knows no padding
    with pytest.raises(NotSupported, match="not linear in the mean over positions"):
        xm.explain(tokens, x, CAM())


@pytest.fixture(scope="module")
def machine():
    """Two cameras and a table; head "wear" reads all of them, head "heat" the first camera alone."""
    import keras

    def eye(name):
        stream = keras.Input((4, 4, 1), name=name)
        code = keras.layers.Conv2D(3, 2, activation="relu", name=f"{name}_conv")(stream)
        return stream, keras.layers.GlobalAveragePooling2D(name=f"{name}_pool")(code)

    (left, left_code), (right, right_code), table = eye("left"), eye("right"), keras.Input((2,), name="table")
    both = keras.layers.Concatenate(name="join")([left_code, right_code, table])
    heads = {"wear": keras.layers.Dense(1, name="wear")(both), "heat": keras.layers.Dense(1, name="heat")(left_code)}
    return xm.adapt(with_weights(keras.Model([left, right, table], heads)))


@pytest.fixture(scope="module")
def readings():
    rng = np.random.default_rng(4)
    return {
        "left": rng.standard_normal((6, 4, 4, 1)).astype("float32"),
        "right": rng.standard_normal((6, 4, 4, 1)).astype("float32"),
        "table": rng.standard_normal((6, 2)).astype("float32"),
    }


def test_streams_that_a_head_reads_besides_are_not_silently_zero(machine, readings):
    with pytest.raises(NotSupported, match="head 'wear' also reads 'right', and grad_cam at layer 'left_pool' says no"):
        xm.explain(machine, readings, GradCAM(at="left_pool"))
    with pytest.warns(UnusedStreamWarning, match="head 'heat' exact zeros on input stream 'right', 'table'"):
        heat = xm.explain(machine, readings, GradCAM(at="left_pool", positive=False), targets=["heat"])
    assert heat["left"].any()
    assert not heat["right"].any()
    assert not heat["table"].any()
    alone = xm.explain(machine, readings, GradCAM(at="left_pool", stream="left", positive=False))
    assert alone["left"].sel(head="wear").any()
    assert not alone["right"].any()
    assert set(json.loads(alone.attrs["unexplained"])) == {"right", "table"}
    assert "unexplained" not in heat.attrs


def test_the_stream_chooses_the_layer(machine, readings):
    right = xm.explain(machine, readings, GradCAM(stream="right"), targets=["wear"])
    named = xm.explain(machine, readings, GradCAM(at="right_pool", stream="right"), targets=["wear"])
    np.testing.assert_array_equal(right["right"], named["right"])
    assert right["right"].any()
    assert not right["left"].any()


def test_what_cannot_be_mapped_is_told(machine, readings, images, x):
    with pytest.raises(
        NotSupported, match=r"behind layer 'join' is read 'left_encoded' \(3,\) made of left, .*no positions"
    ):
        xm.explain(machine, readings, GradCAM(at="join"))
    with pytest.raises(NotSupported, match="no positions that are computed from input stream 'right' alone"):
        xm.explain(machine, readings, GradCAM(at="heat", stream="right"))
    with pytest.raises(UnknownName, match=r"no input stream is called 'lef'.*Did you mean 'left'"):
        xm.explain(machine, readings, GradCAM(stream="lef"))
    with pytest.raises(UnknownName, match="no layer is called 'pol'"):
        xm.explain(images[0], x, GradCAM(at="pol"))


def test_a_way_around_the_layer_is_refused(x):
    import keras

    image = keras.Input((8, 6, 3), name="image")
    stem = keras.layers.Conv2D(3, 3, padding="same", activation="relu", name="stem")(image)
    branch = keras.layers.Conv2D(3, 3, padding="same", activation="relu", name="branch")(stem)
    summed = keras.layers.Add(name="sum")([stem, keras.layers.Conv2D(3, 3, padding="same", name="last")(branch)])
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(summed)
    model = xm.adapt(with_weights(keras.Model(image, keras.layers.Dense(1, name="y")(pooled))))
    with pytest.raises(NotSupported, match=r"also reads 'image', on a way around layer 'last'.*where all ways"):
        xm.explain(model, x, GradCAM(at="last"))
    with pytest.raises(BadSetting, match=r"layer 'sum' reads positions of 'stem', 'last'.*name the layer that joins"):
        xm.explain(model, x, GradCAM(at="sum"))
    assert xm.explain(model, x, GradCAM(at="pool"))["image"].any()
    assert xm.explain(model, x, GradCAM(at="branch"))["image"].shape == (1, 5, 8, 6, 3)


def test_a_series_and_a_model_without_layers():
    import keras

    series = keras.Input((12, 2), name="series")
    code = keras.layers.Conv1D(4, 3, strides=3, activation="relu", name="conv")(series)
    peak = keras.layers.GlobalMaxPooling1D(name="peak")(code)
    model = xm.adapt(with_weights(keras.Model(series, keras.layers.Dense(1, name="y")(peak))))
    rows = {"series": np.random.default_rng(2).standard_normal((3, 12, 2)).astype("float32")}
    found = xm.explain(model, rows, GradCAM(positive=False))
    features, (weights, _) = model.activations(rows, "peak")["series_encoded"], weights_of(model, "y")
    slow = np.einsum("npk,k->np", features, weights[:, 0]) / 4  # each channel has one peak among four positions
    np.testing.assert_allclose(found["series"].sum("series_feature")[0], resize(slow, (12,)), atol=1e-6)
    flat = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
    with pytest.raises(NotSupported, match=r"found no layer that reads positions\. .* For the columns of a table take"):
        xm.explain(flat, np.zeros((2, 5)), "grad_cam")
    with pytest.raises(
        NotSupported,
        match=r"grad_cam needs a model that can be cut at a layer, and model '.*' cannot be cut. Build it as a functional",
    ):
        xm.explain(xm.adapt(lambda u: u, streams={"u": (5,)}, heads={"y": (5,)}), np.zeros((2, 5)), "grad_cam")


def test_a_table_has_no_map_and_other_methods_are_named():
    import keras

    table = keras.Input((5,), name="table")
    model = keras.Model(table, keras.layers.Dense(1, name="y")(keras.layers.Dense(4, name="code")(table)))
    for at in (None, "code", "y"):
        with pytest.raises(
            NotSupported, match=r"reads no positions at all \('table'\).*take 'integrated_gradients', 's"
        ):
            xm.explain(model, np.ones((2, 5)), GradCAM(at=at))


def test_the_layer_behind_is_named_where_the_output_was_meant(images, x):
    with pytest.raises(NotSupported, match="what 'conv' puts out is read by the layer behind it, perhaps at='flat'"):
        xm.explain(images[1], x, GradCAM(at="conv"))
    assert bool((xm.explain(images[1], x, GradCAM(at="flat"))["image"] >= 0).all())
