"""Any number of streams of any rank and type, in any form; streams that a head does not use; whole numbers."""

import keras
import numpy as np
import pandas as pd
import pytest
import torch

import xai_mimo as xm
from tests.helpers import networks_by_hand as by_hand
from tests.helpers import one_network
from xai_mimo.core.errors import NotSupported, UnusedStreamWarning
from xai_mimo.core.streams import Stream
from xai_mimo.explainers import IntegratedGradients, Shapley

once = pytest.mark.all_frameworks
is_quiet = pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning")
ROWS = by_hand.rows()
EXPECTED = by_hand.attributions(ROWS)
RNG = np.random.default_rng(8)


def normal(*shape):
    return RNG.normal(size=shape).astype("float32")


def linear(weights, x):
    """The map of a sum of products, ``{stream: (1, row, *shape)}``."""
    return {name: (weights[name] * x[name])[None] for name in x}


# M3: what comes in ------------------------------------------------------------------------------------------------


@once
@is_quiet
@pytest.mark.parametrize("method", [Shapley(2**8), "shap.kernel"], ids=lambda m: getattr(m, "name", m))
def test_a_list_of_inputs_for_methods_that_ask_for_predictions_alone(method):
    """KernelExplainer refuses a list of inputs. (shap/shap#857)"""
    found = xm.explain(by_hand.torch_model(), list(ROWS.values()), method, background=by_hand.ZEROS)
    by_hand.assert_maps(found, EXPECTED, atol=1e-4)


@once
@is_quiet
def test_a_torch_model_of_a_list_of_tensors():
    """A PyTorch model of several modalities as a list: "'list' object has no attribute 'shape'". (shap/shap#4025)"""
    found = xm.explain(by_hand.torch_model(), [torch.from_numpy(x) for x in ROWS.values()], "integrated_gradients")
    by_hand.assert_maps(found, EXPECTED)


@once
@is_quiet
@pytest.mark.parametrize(
    "give", [dict, lambda x: {n: torch.from_numpy(v) for n, v in x.items()}], ids=["arrays", "tensors"]
)
def test_a_model_of_a_mapping(give):
    """A dictionary as the one argument of a model. (captum#1196)"""

    class Network(torch.nn.Module):
        def forward(self, batch):
            return by_hand.heads(batch["a"], batch["b"], batch["c"])

    found = xm.explain(Network(), give(ROWS), "integrated_gradients")
    by_hand.assert_maps(found, EXPECTED)


@once
@is_quiet
@pytest.mark.parametrize("framework", by_hand.NATIVE)
def test_integrated_gradients_of_several_inputs(framework):
    """Integrated Gradients with several inputs, as lists and as mappings. (alibi#316, #321, #495)"""
    model = xm.adapt(by_hand.NATIVE[framework](), like=ROWS)
    for x in (ROWS, list(ROWS.values()), tuple(ROWS.values())):
        by_hand.assert_maps(xm.explain(model, x, IntegratedGradients(steps=4)), EXPECTED)


@once
def test_one_data_frame_for_several_streams():
    """Mixed columns in one table: which belong to which input is the model's matter. (shap/shap#2130)

    Levels and quantities: ``y = 3 x + 5 [level is high]``, and each has its own part of the change.
    """

    def read(number, level):
        return 3 * number[:, 0] + 5.0 * (level[:, 0] == "high")

    streams = {
        "number": Stream("number", (1,), "float64", features=("x",)),
        "level": Stream("level", (1,), "str", features=("size",)),
    }
    table = pd.DataFrame({"size": ["high", "low", "high"], "x": [1.0, 2.0, -1.0]})
    background = pd.DataFrame({"size": ["low", "high"], "x": [0.0, 0.0]})
    found = xm.explain(xm.adapt(read, streams=streams, heads={"y": 1}), table, Shapley(), background=background)
    np.testing.assert_allclose(found["number"][0, :, 0], 3 * table["x"])
    np.testing.assert_allclose(found["level"][0, :, 0], [2.5, -2.5, 2.5])


@once
@pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning")
def test_inputs_of_different_rank():
    """Several inputs of different shapes: a ValueError. (shap/shap#1331)"""
    x = one_network.rows(3)
    found = xm.explain(one_network.torch_network(), x, IntegratedGradients(steps=16), targets=one_network.TARGETS)
    for name, values in one_network.integrated(x).items():
        np.testing.assert_allclose(found[name], values, atol=2e-5, err_msg=name)


def weighted_sum(**weights):
    """A Keras model: the sum of all inputs times weights, each behind a layer of its own kind."""
    streams = {name: keras.Input(w.shape, name=name) for name, w in weights.items()}
    parts = []
    for name in weights:
        flat = keras.layers.Flatten()(streams[name])
        parts.append(keras.layers.Dense(1, use_bias=False, name=f"{name}_sum")(flat))
    model = keras.Model(streams, {"y": keras.layers.Add(name="y")(parts) if len(parts) > 1 else parts[0]})
    for name, w in weights.items():
        model.get_layer(f"{name}_sum").set_weights([w.reshape(-1, 1)])
    return model


@pytest.mark.parametrize("method", ["integrated_gradients", "input_x_gradient", "occlusion"])
def test_an_image_and_a_vector(method):
    """Image and vector as inputs: Deep and Gradient fail. (shap/shap#1001)"""
    weights = {"image": normal(3, 4, 2), "vector": normal(5)}
    x = {"image": normal(2, 3, 4, 2), "vector": normal(2, 5)}
    by_hand.assert_maps(xm.explain(weighted_sum(**weights), x, method), linear(weights, x))


def test_a_sequence_and_static_inputs():
    """A sequence and static inputs, as a list. (shap/shap#739)"""
    weights = {"series": normal(6, 3), "static": normal(2)}
    x = {"series": normal(2, 6, 3), "static": normal(2, 2)}
    found = xm.explain(weighted_sum(**weights), list(x.values()), "integrated_gradients")
    by_hand.assert_maps(found, linear(weights, x))


def test_a_convolutional_network_of_several_inputs():
    """A convolutional architecture with several inputs. (shap/shap#559)

    A convolution of one pixel and the mean over pixels: each pixel has its value times the weights, over their number.
    """
    left, right = keras.Input((4, 4, 2), name="left"), keras.Input((2, 3, 1), name="right")
    kernels = {"left": normal(2), "right": normal(1)}
    means = []
    for stream in (left, right):
        conv = keras.layers.Conv2D(1, 1, use_bias=False, name=f"{stream.name}_conv")
        means.append(keras.layers.GlobalAveragePooling2D()(conv(stream)))
    model = keras.Model([left, right], {"sum": keras.layers.Add(name="sum")(means)})
    for name, kernel in kernels.items():
        model.get_layer(f"{name}_conv").set_weights([kernel.reshape(1, 1, -1, 1)])
    x = {"left": normal(2, 4, 4, 2), "right": normal(2, 2, 3, 1)}
    expected = {"left": (x["left"] * kernels["left"] / 16)[None], "right": (x["right"] * kernels["right"] / 6)[None]}
    by_hand.assert_maps(xm.explain(model, x, "integrated_gradients"), expected)


@once
@pytest.mark.parametrize("method", [Shapley(2**12), "shap.kernel"], ids=lambda m: getattr(m, "name", m))
def test_series_for_methods_that_ask_for_predictions_alone(method):
    """Series ``(row, time, feature)`` in KernelExplainer. (shap/shap#1401, #444)"""
    weights, x = normal(3, 2), normal(2, 3, 2)
    model = xm.adapt(lambda series: (series * weights).sum(axis=(1, 2)), streams={"series": (3, 2)}, heads={"y": 1})
    found = xm.explain(model, {"series": x}, method, background={"series": np.zeros((1, 3, 2), "float32")})
    by_hand.assert_maps(found, linear({"series": weights}, {"series": x}), atol=1e-4)


# M3 and M5: whole numbers -----------------------------------------------------------------------------------------

TABLE = np.array([[0.0, 1.0], [2.0, -1.0], [0.5, 3.0], [-2.0, 4.0]], dtype="float32")


def wide_and_deep():
    """``y = 2 n_0 - n_1 + TABLE[id] . (1, 1)``: a wide linear part, and a deep one that embeds ids."""
    number, ids = keras.Input((2,), name="number"), keras.Input((3,), dtype="int32", name="ids")
    wide = keras.layers.Dense(1, use_bias=False, name="wide")(number)
    embedded = keras.layers.Embedding(4, 2, name="embedding")(ids)
    deep = keras.layers.Dense(1, use_bias=False, name="deep")(keras.layers.Flatten(name="flat")(embedded))
    model = keras.Model([number, ids], {"y": keras.layers.Add(name="y")([wide, deep])})
    model.get_layer("embedding").set_weights([TABLE])
    model.get_layer("wide").set_weights([np.array([[2.0], [-1.0]])])
    model.get_layer("deep").set_weights([np.ones((6, 1))])
    return model


MIXED = {"number": np.array([[1.0, 2.0], [0.5, -1.0]], "float32"), "ids": np.array([[0, 1, 2], [3, 3, 1]], "int32")}


def test_wide_and_deep():
    """A wide and deep Keras model of mixed inputs; text and a vector. (shap/shap#964, #1735)

    Everything is added up, so an id's Shapley value is what its row of the table is more than that of the background.
    """
    background = {"number": np.zeros((1, 2), "float32"), "ids": np.zeros((1, 3), "int32")}
    found = xm.explain(wide_and_deep(), MIXED, Shapley(2**5), background=background)
    np.testing.assert_allclose(found["number"][0], MIXED["number"] * [2, -1], atol=1e-5)
    np.testing.assert_allclose(found["ids"][0], TABLE.sum(axis=1)[MIXED["ids"]] - TABLE[0].sum(), atol=1e-5)


def test_whole_numbers_are_explained_at_their_embedding():
    """Floats beside whole numbers: Integrated Gradients crash, embeddings need a layer's. (captum#836, #282, #439, #448)"""
    with pytest.raises(NotSupported, match=r"'ids' holds integers \(int32\), which have none. Explain at .*at='flat'"):
        xm.explain(wide_and_deep(), MIXED, "integrated_gradients")
    found = xm.explain(wide_and_deep(), MIXED, "integrated_gradients", at="flat")
    np.testing.assert_allclose(found["number"][0], MIXED["number"] * [2, -1], atol=1e-5)
    tokens = xm.by_token(found)
    (name,) = [name for name in tokens.data_vars if str(name).startswith(("ids", "embedding"))]
    np.testing.assert_allclose(tokens[name][0], TABLE.sum(axis=1)[MIXED["ids"]], atol=1e-5)
    np.testing.assert_array_equal(tokens[f"{name}_word"], MIXED["ids"].astype(str))


class Modalities(torch.nn.Module):
    """``y = w . image + TABLE[id] . (1, 1) + 2 n_0 - n_1``, and a head of the numbers alone."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding.from_pretrained(torch.from_numpy(TABLE))
        self.weights = torch.nn.Parameter(torch.from_numpy(np.arange(8, dtype="float32").reshape(2, 2, 2)))

    def forward(self, image, ids, number):
        numbers = 2 * number[:, 0] - number[:, 1]
        seen = (image * self.weights).sum(dim=(1, 2, 3))
        return {"all": seen + self.embedding(ids).sum(dim=(1, 2)) + numbers, "numbers": numbers}


@once
@is_quiet
def test_a_network_of_image_text_and_numbers():
    """A multimodal network; still asked for eight years later. (shap/shap#891)"""
    x = {"image": normal(2, 2, 2, 2), "ids": MIXED["ids"].astype("int64"), "number": MIXED["number"]}
    background = {name: np.zeros_like(values[:1]) for name, values in x.items()}
    found = xm.explain(Modalities(), x, Shapley(players="streams"), background=background)
    image = (x["image"] * np.arange(8).reshape(2, 2, 2)).sum(axis=(1, 2, 3))
    text, numbers = TABLE.sum(axis=1)[x["ids"]].sum(axis=1) - 3 * TABLE[0].sum(), MIXED["number"] @ [2, -1]
    for name, values in {"image": image, "ids": text, "number": numbers}.items():
        shares = found[name].sum(dim=found[name].dims[2:]) if found[name].ndim > 2 else found[name]
        np.testing.assert_allclose(shares[0], values, atol=1e-4, err_msg=name)
        np.testing.assert_allclose(shares[1], numbers if name == "number" else 0 * numbers, atol=1e-5, err_msg=name)


@once
@is_quiet
def test_embeddings_beside_other_inputs_of_other_shapes():
    """Several inputs, some embedded, of different shapes, crash Integrated Gradients. (captum#1312, #550, #928)"""
    x = {"image": normal(2, 2, 2, 2), "ids": MIXED["ids"].astype("int64"), "number": MIXED["number"]}
    network = Modalities()
    model = xm.adapt(network, like=x, held=["ids"])
    found = xm.explain(model, x, "integrated_gradients")
    np.testing.assert_allclose(found["image"][0], x["image"] * np.arange(8).reshape(2, 2, 2), atol=1e-5)
    np.testing.assert_allclose(found["number"][0], MIXED["number"] * [2, -1], atol=1e-5)
    np.testing.assert_allclose(found["number"][1], MIXED["number"] * [2, -1], atol=1e-5)
    assert "ids" not in found.data_vars


@once
@pytest.mark.parametrize("framework", ["torch", "jax", "tensorflow"])
@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "captum.IntegratedGradients"])
def test_an_unused_input_has_zeros_and_is_named(framework, method):
    """An input that the output does not use: ``allow_unused`` errors; zeros are wanted. (captum#732, #1080, #1141, #1493)"""
    model = by_hand.NATIVE[framework]()
    with pytest.warns(UnusedStreamWarning, match=r"'third' exact zeros on input stream 'a'"):
        found = xm.explain(model, ROWS, method, targets=["third"])
    for name in ("a", "c"):
        np.testing.assert_array_equal(found[name], np.zeros((1, *ROWS[name].shape)))
    np.testing.assert_allclose(found["b"][0], 2 * ROWS["b"] if method == "gradient" else ROWS["b"] ** 2, atol=1e-4)
