"""Saliency by block and fused, key channels: the formulas written slowly, on maps that are known."""

import keras
import numpy as np
import pytest
from keras import layers

from tests.helpers.keras_weights import with_weights
from tests.helpers.mhex_by_hand import maps_of, randomize
from xai_mimo.core.positions import resize
from xai_mimo.layers import MHEXHead, key_channels, read_saliency
from xai_mimo.layers.interception import read_maps
from xai_mimo.layers.mhex.fusion import scaled, smoothed

HEADS = {"kind": 3, "load": 2}
TEXT = np.array([[1, 2, 3, 4, 0, 0], [5, 6, 7, 1, 2, 3], [4, 4, 0, 0, 0, 0]], "int32")


def outputs(x):
    pooled = (layers.GlobalAveragePooling2D() if len(x.shape) == 4 else layers.GlobalAveragePooling1D())(x)
    return {name: layers.Dense(width, name=name)(pooled) for name, width in HEADS.items()}


@pytest.fixture(scope="module")
def image_model():
    """Two blocks, the second at half the size."""
    image = keras.Input((4, 6, 2), name="image")
    x = MHEXHead(heads=HEADS, name="first")([layers.Conv2D(4, 1)(image), layers.Conv2D(4, 3, padding="same")(image)])
    small = layers.AveragePooling2D(2)(x)
    x = MHEXHead(heads=HEADS, name="second", use_bias=True)([layers.Conv2D(4, 1)(small), small])
    model = with_weights(keras.Model(image, outputs(x)))
    for i, name in enumerate(("first", "second")):
        randomize(model.get_layer(name), i)
    return model


@pytest.fixture(scope="module")
def text_model():
    text = keras.Input((6,), dtype="int32", name="text")
    x = layers.Embedding(9, 4, mask_zero=True)(text)
    for i in (1, 2):
        x = MHEXHead(heads=HEADS, name=f"block_{i}")([layers.Dense(4, name=f"branch_{i}")(x), x])
    model = with_weights(keras.Model(text, outputs(x)))
    for i in (1, 2):
        randomize(model.get_layer(f"block_{i}"), i)
    return model


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(4).normal(size=(3, 4, 6, 2)).astype("float32")


def sown(model, x):
    """Maps by "<layer>/<map>", all of them."""
    return read_maps(model, x, names=("logits", "class_map", "features", "gated_features"))


def column(head, unit):
    return {"kind": 0, "load": 3}[head] + unit


def minmax(values):
    return (values - values.min()) / (values.max() - values.min() + 1e-8)


def test_image_saliency_is_the_formula_written_slowly(image_model, images):
    predicted, maps, _ = sown(image_model, images)
    found = read_saliency(image_model, images)
    assert dict(found["saliency"].sizes) == {"head": 2, "sample": 3, "height": 4, "width": 6}
    for head in HEADS:
        for row in range(3):
            unit = predicted[head][row].argmax()
            assert found["unit"].sel(head=head)[row] == unit
            fused = np.zeros((4, 6))
            for layer in ("first", "second"):
                signed = maps[f"{layer}/class_map"][row, ..., column(head, unit)]
                own = found[f"{layer}/class_map"].sel(head=head).values[row]
                np.testing.assert_allclose(own, signed, atol=1e-5)
                one = minmax(resize(np.maximum(own, 0), (4, 6)))
                np.testing.assert_allclose(found["layer_saliency"].sel(layer=layer, head=head)[row], one, atol=1e-9)
                logit = maps[f"{layer}/logits"][row, column(head, unit)]
                np.testing.assert_allclose(found["logit"].sel(layer=layer, head=head)[row], logit, atol=1e-6)
                fused += one / 2
            np.testing.assert_allclose(found["saliency"].sel(head=head)[row], minmax(fused), atol=1e-9)


def test_token_saliency_is_the_formula_written_slowly_and_zero_at_padding(text_model):
    _, maps, _ = sown(text_model, TEXT)
    found = read_saliency(text_model, TEXT, unit={"kind": 1, "load": [0, 1, 1]}, smoothing=0.25)
    for head, units in (("kind", [1, 1, 1]), ("load", [0, 1, 1])):
        for row, unit in enumerate(units):
            first, second = (np.maximum(maps[f"block_{i}/class_map"][row, :, column(head, unit)], 0) for i in (1, 2))
            second = 0.25 * first + 0.75 * second
            expected = (first / (first.max() + 1e-8) + second / (second.max() + 1e-8)) / 2
            np.testing.assert_allclose(found["saliency"].sel(head=head)[row], expected, atol=1e-5)
    np.testing.assert_array_equal(found["saliency"].values[:, TEXT == 0], 0.0)
    np.testing.assert_array_equal(found["layer_saliency"].values[..., TEXT == 0], 0.0)


@pytest.mark.parametrize("features", ["features", "gated_features"])
@pytest.mark.parametrize("nonnegativity", ["map", "weights", "none"])
@pytest.mark.parametrize("fusion", ["mean", "product", "second", ["first"]])
def test_every_mode_gives_maps_of_input_size_between_zero_and_one(features, nonnegativity, fusion, image_model, images):
    settings = {"features": features, "nonnegativity": nonnegativity, "fusion": fusion}
    found = read_saliency(image_model, images, **settings)
    assert found.attrs == settings | {"smoothing": 0.0}
    for name in ("saliency", "layer_saliency"):
        assert found[name].shape[-2:] == (4, 6)
        assert found[name].min() >= 0
        assert found[name].max() <= 1
    layers_of = found["layer_saliency"]
    if fusion == "product":
        fused = layers_of[0] * layers_of[1]
    else:
        chosen = {"mean": ["first", "second"], "second": ["second"]}.get(str(fusion), ["first"])
        fused = layers_of.sel(layer=chosen).mean("layer")
    np.testing.assert_allclose(found["saliency"], scaled(fused.values), atol=1e-12)


def test_modes_differ_as_they_say(image_model, images):
    _, maps, _ = sown(image_model, images)
    matrix = keras.ops.convert_to_numpy(image_model.get_layer("first").equivalent_matrix())
    for features in ("features", "gated_features"):
        values = maps[f"first/{features}"]
        signed = read_saliency(image_model, images, unit=1, features=features, nonnegativity="none")
        np.testing.assert_allclose(signed["first/class_map"].sel(head="load"), values @ matrix[:, 4], atol=1e-4)
        clamped = read_saliency(image_model, images, unit=1, features=features, nonnegativity="weights")
        expected = scaled(values @ np.maximum(matrix[:, 4], 0))
        np.testing.assert_allclose(clamped["layer_saliency"].sel(layer="first", head="load"), expected, atol=1e-4)


def test_signed_token_maps_are_kept_signed(text_model):
    found = read_saliency(text_model, TEXT, nonnegativity="none")["layer_saliency"]
    assert found.min() < 0
    np.testing.assert_allclose(np.abs(found).max("token"), 1, atol=1e-4)


def test_batches_and_single_heads_make_no_difference(image_model, images):
    whole, parts = (read_saliency(image_model, images, batch_size=n) for n in (64, 2))
    for name in whole.data_vars:
        np.testing.assert_allclose(parts[name], whole[name], atol=1e-6)
    alone = read_saliency(image_model, images, unit={"load": 1})
    assert list(alone["head"].values) == ["load"]
    assert (alone["unit"] == 1).all()


def test_another_size_can_be_asked_for(image_model, images):
    found = read_saliency(image_model, images, size=(8, 3))
    assert found["saliency"].shape[-2:] == (8, 3)


def test_key_channels_sum_to_the_logit(image_model, images, text_model):
    _, maps, _ = sown(image_model, images)
    found = key_channels(image_model, images, layer="first", unit={"kind": 2})
    np.testing.assert_allclose(found["contribution"].sum("channel")[0], maps["first/logits"][:, 2], atol=1e-5)
    matrix = keras.ops.convert_to_numpy(image_model.get_layer("first").equivalent_matrix())
    slow = maps["first/features"].mean(axis=(1, 2)) * matrix[:, 2]
    np.testing.assert_allclose(found["contribution"][0], slow, atol=1e-5)
    order = np.argsort(-slow.mean(axis=0))
    np.testing.assert_array_equal(np.argsort(found["rank"].values[0]), order)
    _, maps, _ = sown(text_model, TEXT)
    found = key_channels(text_model, TEXT, layer="block_2", unit=0)
    np.testing.assert_allclose(found["contribution"].sum("channel")[0], maps["block_2/logits"][:, 0], atol=1e-5)


def test_resizing_by_hand_and_as_keras_does(rng):
    np.testing.assert_allclose(resize(np.array([[0.0, 1.0]]), (1, 4))[0], [0, 0.25, 0.75, 1])
    np.testing.assert_allclose(resize(np.array([[0.0], [2.0]]), (1, 1)), [[1.0]])
    maps = rng.normal(size=(2, 3, 5)).astype("float32")
    theirs = keras.ops.image.resize(maps[..., None], (7, 11), interpolation="bilinear", antialias=False)
    np.testing.assert_allclose(resize(maps, (7, 11)), keras.ops.convert_to_numpy(theirs)[..., 0], atol=1e-5)


def test_a_constant_map_is_scaled_to_zero_and_smoothing_runs_over_blocks():
    np.testing.assert_array_equal(scaled(np.full((2, 3, 3), 5.0)), 0)
    maps = [np.array([1.0]), np.array([3.0]), np.array([0.0])]
    np.testing.assert_allclose(np.concatenate(smoothed(maps, 0.5)), [1, 2, 1])
    np.testing.assert_array_equal(np.concatenate(smoothed(maps, 0.0)), [1, 3, 0])


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (
            {"features": "relu"},
            "Expected `features` to be one of 'features', 'gated_features'. Received: features='relu'",
        ),
        ({"nonnegativity": "abs"}, "Expected `nonnegativity` to be one of 'map', 'weights', 'none'"),
        (
            {"fusion": "sum"},
            r"Expected `fusion` to be 'mean', 'product' or names of layers out of \['first', 'second'\]",
        ),
        ({"fusion": []}, r"Received: fusion=\[\]"),
        ({"smoothing": 1.0}, r"Expected `smoothing` to be in \[0, 1\). Received: smoothing=1.0"),
        ({"smoothing": 0.5}, "Expected `smoothing` with tokens only"),
        ({"unit": 2}, "Expected a unit from 0 to 1 of head 'load', or one for each of 3 rows"),
        ({"unit": [0, 1]}, r"Received: unit of shape \(2,\)"),
        ({"unit": "largest"}, "Expected a unit's number, numbers or 'predicted'. Received: unit='largest'"),
        ({"unit": {"other": 0}}, r"Expected units for heads out of \['kind', 'load'\]. Received: \['other'\]"),
    ],
)
def test_settings_are_checked(settings, text, image_model, images):
    with pytest.raises(ValueError, match=text):
        read_saliency(image_model, images, **settings)


def test_models_and_rows_are_checked(image_model, images):
    with pytest.raises(ValueError, match=r"Expected at least one row. Received: inputs with 0 rows"):
        read_saliency(image_model, images[:0])
    plain = keras.Sequential([keras.Input((3,)), layers.Dense(2)], name="plain")
    with pytest.raises(
        ValueError, match=r"Expected a model that holds MHEXHead layers. Received: 'plain', without one"
    ):
        read_saliency(plain, np.ones((1, 3)))
    with pytest.raises(ValueError, match=r"one MHEXHead.*Name one with `layer`"):
        key_channels(image_model, images)


def test_a_layer_called_twice_is_two_layers(images):
    image = keras.Input((4, 6, 2), name="image")
    head = MHEXHead(3, name="head")
    x = head([layers.Conv2D(2, 1)(image), image])
    x = head([layers.Conv2D(2, 1)(x), x])
    model = keras.Model(image, layers.Dense(3, name="kind")(layers.GlobalAveragePooling2D()(x)))
    found = read_saliency(model, images)
    assert list(found["layer"].values) == ["head", "head@1"]
    _, maps, _ = maps_of(model, images)
    assert found["head@1/class_map"].shape == (1, 3, 4, 6)
    assert "class_map" in maps
