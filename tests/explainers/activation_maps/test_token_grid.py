"""Maps of patch tokens over images: the same numbers as a convolution's, by hand with a prefix, and what is refused."""

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.keras_weights import with_weights
from tests.helpers.mapped import Mapped, rows_for
from xai_mimo.core.errors import BadSetting, NotSupported
from xai_mimo.core.positions import resize
from xai_mimo.core.streams import Stream
from xai_mimo.explainers import CAM, GradCAM, PositionMaps
from xai_mimo.explainers.activation_maps.token_grid import TokenGrid


def patches_of(image):
    """An image of 8 x 6 as 4 x 3 patches of five channels."""
    import keras

    return keras.layers.Conv2D(5, 2, strides=2, activation="tanh", name="patch")(image)


@pytest.fixture(scope="module")
def x():
    return {"image": np.random.default_rng(0).standard_normal((5, 8, 6, 3)).astype("float32")}


@pytest.fixture(scope="module")
def transformer():
    """Twelve patch tokens behind one of the class; head "first" reads every token, head "mean" the patches' mean."""
    import keras

    image = keras.Input((8, 6, 3), name="image")
    code = keras.layers.Reshape((12, 5), name="tokens")(patches_of(image))
    code = keras.layers.ZeroPadding1D((1, 0), name="class_token")(code)
    code = keras.layers.Dense(4, activation="tanh", name="mix")(code)
    every = keras.layers.Dense(1, name="first")(keras.layers.Flatten(name="flat")(code))
    pooled = keras.layers.GlobalAveragePooling1D(name="pool")(keras.layers.Cropping1D((1, 0), name="crop")(code))
    mean = keras.layers.Dense(1, name="mean")(pooled)
    whole = keras.layers.Dense(1, name="whole")(keras.layers.GlobalAveragePooling1D(name="all")(code))
    return {
        h: xm.adapt(with_weights(keras.Model(image, {h: y}), seed=5))
        for h, y in zip(("first", "mean", "whole"), (every, mean, whole), strict=True)
    }


def tokens_and_weights(model, x, layer, head):
    read = next(iter(model.activations(x, layer).values()))
    return np.asarray(read, np.float64), np.asarray(model.model.get_layer(head).get_weights()[0], np.float64)[:, 0]


def test_tokens_give_the_map_of_the_convolution_they_come_from(x):
    import keras

    image = keras.Input((8, 6, 3), name="image")
    code = patches_of(image)
    pooled = {
        "picture": keras.layers.GlobalAveragePooling2D(name="pool")(code),
        "tokens": keras.layers.GlobalAveragePooling1D(name="pool")(keras.layers.Reshape((12, 5))(code)),
    }
    picture, tokens = (
        xm.adapt(with_weights(keras.Model(image, keras.layers.Dense(2, name="kind")(p)))) for p in pooled.values()
    )
    for ours, theirs in ((GradCAM(), GradCAM()), (CAM(grid=[4, 3]), CAM())):
        of_tokens, of_picture = xm.explain(tokens, x, ours), xm.explain(picture, x, theirs)
        assert of_picture["image"].any()
        np.testing.assert_allclose(of_tokens["image"], of_picture["image"], atol=1e-6)


def test_grad_cam_with_a_prefix_by_hand(transformer, x):
    """y = b + sum over p, k of W[p, k] A_k(p): the gradient is W, the mean is over the patches alone."""
    model = transformer["first"]
    read, weights = tokens_and_weights(model, x, "flat", "first")
    of_channels = weights.reshape(13, 4)[1:].mean(axis=0)
    maps = (read[:, 1:] @ of_channels).reshape(5, 4, 3)
    assert maps.min() < 0 < maps.max()
    found = xm.explain(model, x, GradCAM(at="flat", prefix_tokens=1))
    np.testing.assert_allclose(found["image"].sum("image_channel")[0], resize(np.maximum(maps, 0), (8, 6)), atol=1e-6)
    turned = xm.explain(model, x, GradCAM(at="flat", positive=False, prefix_tokens=1, grid=(2, 6)))
    np.testing.assert_allclose(
        turned["image"].sum("image_channel")[0], resize(maps.reshape(5, 2, 6), (8, 6)), atol=1e-6
    )


def test_cam_with_a_prefix_by_hand(transformer, x):
    model = transformer["mean"]
    read, weights = tokens_and_weights(model, x, "crop", "mean")
    maps = (read[:, 1:] @ weights).reshape(5, 4, 3)
    found = xm.explain(model, x, CAM(at="crop", prefix_tokens=1))
    np.testing.assert_allclose(found["image"].sum("image_channel")[0], resize(maps, (8, 6)), atol=1e-5)
    bias = model.model.get_layer("mean").get_weights()[1]
    np.testing.assert_allclose(maps.mean(axis=(1, 2)) + bias, model.predict(x)["mean"][:, 0], atol=1e-5)
    there = xm.explain(model, x, CAM(prefix_tokens=1), at="crop")
    values = next(iter(v for name, v in there.data_vars.items() if "encoded" in name)).values.sum(axis=-1)[0]
    np.testing.assert_array_equal(values[:, 0], 0.0)
    np.testing.assert_allclose(values[:, 1:], maps.reshape(5, 12), atol=1e-5)


def test_cam_refuses_a_head_that_reads_the_prefix(transformer, x):
    with pytest.raises(NotSupported, match="head 'whole' is not linear in the mean over positions"):
        xm.explain(transformer["whole"], x, CAM(at="all", prefix_tokens=1))


def test_tokens_without_a_grid_are_refused(transformer, x):
    with pytest.raises(
        NotSupported,
        match=r"what layer 'flat' reads has 13 tokens besides a prefix of 0: no grid with the aspect of the 8 x 6 image "
        r"'image'.*prefix_tokens=1.*grid=\(rows, columns\)",
    ):
        xm.explain(transformer["first"], x, GradCAM(at="flat"))
    with pytest.raises(BadSetting, match=r"has 12 patches besides 1 prefix tokens; grid=\(4, 4\) wants 16"):
        xm.explain(transformer["first"], x, GradCAM(at="flat", prefix_tokens=1, grid=(4, 4)))
    with pytest.raises(BadSetting, match="what layer 'flat' reads has 13 tokens, so 13 of them cannot be a prefix"):
        xm.explain(transformer["first"], x, GradCAM(at="flat", prefix_tokens=13))
    with pytest.raises(BadSetting, match="for rows of tokens, and what layer 'tokens' reads has 2 axes of positions"):
        xm.explain(transformer["first"], x, GradCAM(at="tokens", prefix_tokens=1))


@pytest.mark.all_frameworks
@pytest.mark.parametrize("nonnegativity", ["map", "none"])
def test_position_maps_of_tokens_are_those_of_the_picture(rng, nonnegativity):
    maps = rng.standard_normal((4, 2, 3, 3))
    tokens = maps.reshape(4, 6, 3)
    prefixed = np.concatenate([100 + rng.standard_normal((4, 1, 3)), tokens], axis=1)
    picture = Mapped({"net": maps})
    wanted = xm.explain(picture, rows_for(picture), PositionMaps(nonnegativity=nonnegativity))
    for given, more in ((tokens, {}), (prefixed, {"prefix_tokens": 1}), (tokens, {"grid": (2, 3)})):
        model = Mapped({"net": given})
        found = xm.explain(model, rows_for(model), PositionMaps(nonnegativity=nonnegativity, **more))
        np.testing.assert_allclose(found["image"], wanted["image"], atol=1e-12)
        assert found.attrs["signed"] == wanted.attrs["signed"] == 0


@pytest.mark.all_frameworks
def test_a_prefix_of_a_text_is_left_out(rng):
    text = (Stream("words", (6,), dtype="int32", axes=("token",)),)
    maps = rng.standard_normal((4, 7, 3))
    plain, prefixed = Mapped({"net": maps[:, 1:]}, streams=text), Mapped({"net": maps}, streams=text)
    found = xm.explain(prefixed, rows_for(prefixed), PositionMaps(prefix_tokens=1))
    np.testing.assert_array_equal(found["words"], xm.explain(plain, rows_for(plain), PositionMaps())["words"])
    with pytest.raises(BadSetting, match=r"grid=\(2, 3\) is for tokens of an image.*'words', whose axes are token"):
        xm.explain(plain, rows_for(plain), PositionMaps(grid=(2, 3)))


@pytest.mark.all_frameworks
@pytest.mark.parametrize(
    ("tokens", "size", "sides"),
    [(196, (224, 224), (14, 14)), (72, (128, 256), (6, 12)), (6, (4, 6), (2, 3)), (1, (8, 8), (1, 1))],
)
def test_a_grid_has_the_aspect_of_the_image(tokens, size, sides):
    laid, axes = TokenGrid().lay(
        np.arange(tokens, dtype=float), Stream("image", (*size, 3)), (*size, 3), axes=1, what="m"
    )
    assert axes == 2
    np.testing.assert_array_equal(laid, np.arange(tokens).reshape(sides))


@pytest.mark.all_frameworks
@pytest.mark.parametrize(("tokens", "size"), [(197, (224, 224)), (200, (224, 224)), (16, (64, 32)), (1, (8, 4))])
def test_another_aspect_is_never_guessed(tokens, size):
    with pytest.raises(NotSupported, match=rf"m has {tokens} tokens besides a prefix of 0"):
        TokenGrid().lay(np.zeros(tokens), Stream("image", (*size, 3)), (*size, 3), axes=1, what="m")


@pytest.mark.all_frameworks
@pytest.mark.parametrize("method", [GradCAM, CAM, PositionMaps])
def test_bad_settings_are_refused(method):
    with pytest.raises(BadSetting, match="prefix_tokens must be a whole number of at least 0; got -1"):
        method(prefix_tokens=-1)
    for grid in ((14,), (0, 3), "ab", (2.5, 2)):
        with pytest.raises(BadSetting, match="grid must be rows and columns of patches"):
            method(grid=grid)
