"""Maps over positions that layers sow: scaled and fused as written slowly, on a toy and on Keras networks."""

from dataclasses import replace

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.mapped import Mapped, rows_for
from xai_mimo.core.errors import BadSetting, NotSupported, UnknownName
from xai_mimo.core.positions import resize
from xai_mimo.core.streams import Head, Stream
from xai_mimo.explainers import PositionMaps


@pytest.fixture
def pictures(rng):
    return Mapped({"net/low": rng.standard_normal((4, 4, 6, 3)), "net/high": rng.standard_normal((4, 2, 3, 3))})


def minmax(m):
    return (m - m.min()) / (m.max() - m.min() + 1e-8)


@pytest.mark.all_frameworks
@pytest.mark.parametrize("nonnegativity", ["map", "none"])
@pytest.mark.parametrize("fusion", ["mean", "product"])
def test_images_are_fused_as_written_slowly(pictures, nonnegativity, fusion):
    found = xm.explain(pictures, rows_for(pictures), PositionMaps(nonnegativity=nonnegativity, fusion=fusion))
    for t, column in enumerate((0, 1, 2)):
        for n in range(4):
            layers = []
            for maps in pictures.maps.values():
                m = maps[n, :, :, column]
                layers.append(minmax(resize(np.maximum(m, 0) if nonnegativity == "map" else m, (4, 6))))
            slow = minmax(sum(layers) / 2 if fusion == "mean" else layers[0] * layers[1])
            np.testing.assert_allclose(found["image"][t, n].sum("image_channel"), slow, atol=1e-12)
    assert list(found["head"].values) == ["y:0", "y:1", "z"]
    assert (found.attrs["signed"], found.attrs["reference"]) == (0, "sun2025multihead")


@pytest.mark.all_frameworks
def test_the_unit_follows_the_row(pictures):
    found = xm.explain(
        pictures, rows_for(pictures), PositionMaps(), targets=[("y", "label")], labels={"y": [0, 1, 1, 0]}
    )
    each = [xm.explain(pictures, rows_for(pictures), PositionMaps(), targets=[("y", unit)]) for unit in (0, 1)]
    for n, unit in enumerate([0, 1, 1, 0]):
        np.testing.assert_array_equal(found["image"][0, n], each[unit]["image"][0, n])


@pytest.mark.all_frameworks
def test_one_layer_gives_its_own_signed_map(pictures):
    method = PositionMaps(["low"], nonnegativity="none", fusion="sum")
    found = xm.explain(pictures, rows_for(pictures), method, rows_per_block=3)
    np.testing.assert_allclose(found["image"].sum("image_channel")[2], pictures.maps["net/low"][..., 2], atol=1e-12)
    assert found.attrs["signed"] == 1
    pieces = xm.explain(pictures, rows_for(pictures), method, max_memory=5000)
    np.testing.assert_array_equal(found["image"], pieces["image"])


@pytest.mark.all_frameworks
def test_tokens_are_scaled_by_their_maximum(rng):
    maps = {"a": rng.standard_normal((4, 5, 3)), "b": rng.standard_normal((4, 5, 3))}
    maps["a"][:, 3:], maps["b"][:, 3:] = 0, 0  # padding
    model = Mapped(maps, streams=(Stream("words", (None,), "int32"),))
    x = {"words": np.repeat(np.arange(4)[:, None], 5, axis=1)}
    found = xm.explain(model, x, "position_maps", targets=["z"])
    positive = [np.maximum(m[..., 2], 0) for m in maps.values()]
    slow = sum(p / (p.max(axis=1, keepdims=True) + 1e-8) for p in positive) / 2
    np.testing.assert_allclose(found["words"][0], slow, atol=1e-12)
    np.testing.assert_array_equal(found["words"][..., 3:], 0)


@pytest.mark.all_frameworks
def test_what_cannot_be_read_is_told(pictures, rng):
    x = rows_for(pictures)
    with pytest.raises(
        UnknownName, match=r"no layer that sows 'class_map' is called 'middle'; there are: net/low, net/"
    ):
        xm.explain(pictures, x, PositionMaps(["middle"]))
    with pytest.raises(BadSetting, match="layers must be a list of names, or None for all; got 'low'"):
        PositionMaps("low")
    with pytest.raises(BadSetting, match="fusion 'max' is not one of mean, product, sum"):
        PositionMaps(fusion="max")
    with pytest.raises(BadSetting, match="nonnegativity 'weights' is not one of map, none"):
        PositionMaps(nonnegativity="weights")
    with pytest.raises(NotSupported, match=r"no layer of this model says anything of positions.*'grad_cam'"):
        xm.explain(replace(pictures, maps={}), x, "position_maps")
    with pytest.raises(NotSupported, match="layer 'net/low' has the heads y, q, so it says nothing of z"):
        xm.explain(replace(pictures, names=("y", "q")), x, "position_maps")
    wider = replace(pictures, heads=(Head("y", (4,)), Head("z", (1,))))
    with pytest.raises(NotSupported, match="has maps for 2 units of head 'y', and the model's head has 4"):
        xm.explain(wider, x, "position_maps")
    two = replace(pictures, streams=(*pictures.streams, Stream("table", (2,))))
    with pytest.raises(NotSupported, match=r"reads streams that cannot be told.*Say so: stream='image'"):
        xm.explain(two, rows_for(two), "position_maps")
    named = xm.explain(two, rows_for(two), PositionMaps(stream="image"))
    assert named["image"].any()
    assert not named["table"].any()
    with pytest.raises(UnknownName, match="no input stream is called 'picture'"):
        xm.explain(two, rows_for(two), PositionMaps(stream="picture"))
    with pytest.raises(
        NotSupported, match=r"map 'class_map' of layer 'words' has 5 tokens besides a prefix of 0: no grid"
    ):
        xm.explain(replace(pictures, maps={"words": rng.standard_normal((4, 5, 3))}), x, "position_maps")


@pytest.fixture(scope="module")
def network():
    """A picture with two MHEX blocks beside a table; the head reads both."""
    import keras

    from xai_mimo.layers.mhex.head import MHEXHead

    image, table = keras.Input((8, 8, 1), name="image"), keras.Input((2,), name="table")
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="stem")(image)
    for block in (1, 2):
        branch = keras.layers.Conv2D(4, 3, padding="same", name=f"branch{block}")(x)
        x = keras.layers.ReLU()(MHEXHead(heads={"kind": 3}, name=f"mhex{block}")([branch, x]))
        x = keras.layers.MaxPooling2D()(x)
    both = keras.layers.Concatenate()([keras.layers.GlobalAveragePooling2D(name="pool")(x), table])
    net = keras.Model([image, table], {"kind": keras.layers.Dense(3, name="kind")(both)})
    rng = np.random.default_rng(3)
    for variable in net.weights:
        variable.assign(0.5 * rng.standard_normal(variable.shape))
    return xm.adapt(net)


def test_other_methods_name_the_one_that_reads_positions(network):
    x = {"image": np.zeros((2, 8, 8, 1)), "table": np.zeros((2, 2))}
    with pytest.raises(NotSupported, match=r"no layer sows a map 'attention'.*read by the method 'position_maps'"):
        xm.explain(network, x, "interception")
    with pytest.raises(NotSupported, match=r"position by position.*Put 'position_maps' in its place"):
        xm.compare(network, x, ["interception", "integrated_gradients"])


def test_the_maps_are_those_of_the_layers_own_reading():
    import keras

    from xai_mimo.layers.mhex.head import MHEXHead
    from xai_mimo.layers.mhex.summary import read_saliency

    image = keras.Input((9, 6, 1), name="image")
    code = keras.layers.Conv2D(3, 3, padding="same", activation="relu")(image)
    code = MHEXHead(heads={"kind": 2}, name="low")([keras.layers.Conv2D(3, 3, padding="same")(code), code])
    code = keras.layers.AveragePooling2D((2, 3), padding="same")(code)
    code = MHEXHead(heads={"kind": 2}, name="high")([keras.layers.Conv2D(3, 3, padding="same")(code), code])
    pooled = keras.layers.GlobalAveragePooling2D()(code)
    net = keras.Model(image, {"kind": keras.layers.Dense(2, activation="softmax", name="kind")(pooled)})
    x = np.random.default_rng(2).standard_normal((4, 9, 6, 1)).astype("float32")
    for nonnegativity, fusion in (("map", "mean"), ("none", "product")):
        theirs = read_saliency(net, x, nonnegativity=nonnegativity, fusion=fusion)["saliency"][0]
        ours = xm.explain(net, x, PositionMaps(nonnegativity=nonnegativity, fusion=fusion))["image"][0]
        np.testing.assert_allclose(ours.sum("image_channel"), theirs, atol=1e-5)


@pytest.mark.parametrize(("layer", "stream"), [((8, 8), (4, 4)), ((8, 8), (3, 5)), ((4, 4), (8, 8))])
def test_both_readers_bring_a_map_to_the_stream_alike(layer, stream, rng):
    import keras

    from xai_mimo.layers import MHEXHead, read_saliency

    image = keras.Input((*stream, 1), name="image")
    at_layer = keras.layers.Resizing(*layer, interpolation="nearest")(image)
    head = MHEXHead(heads={"kind": 2}, name="head")([keras.layers.Conv2D(1, 1)(at_layer), at_layer])
    pooled = keras.layers.GlobalAveragePooling2D()(head)
    net = keras.Model(image, {"kind": keras.layers.Dense(2, activation="softmax", name="kind")(pooled)})
    x = rng.standard_normal((3, *stream, 1)).astype("float32")
    theirs = read_saliency(net, x, nonnegativity="none")
    ours = xm.explain(net, x, PositionMaps(nonnegativity="none"))["image"][0].sum("image_channel")
    np.testing.assert_allclose(ours, theirs["saliency"][0], atol=1e-5)
    signed = theirs["head/class_map"][0].values
    np.testing.assert_allclose(ours, np.stack([minmax(resize(m, stream)) for m in signed]), atol=1e-5)


def test_mhex_heads_are_read(network):
    rng = np.random.default_rng(0)
    x = {"image": rng.standard_normal((5, 8, 8, 1)), "table": rng.standard_normal((5, 2))}
    found = xm.explain(network, x, "position_maps")
    assert not found["table"].any()
    assert found.attrs["unexplained"] == '["table"]'
    assert found["image"].min() >= 0
    np.testing.assert_allclose(found["image"].max(("image_height", "image_width")), 1, atol=1e-5)
    maps, one = xm.intercept(network, x), PositionMaps(["mhex2"], nonnegativity="none", fusion="sum")
    signed = xm.explain(network, x, one, targets=[("kind", 1)])
    resized = resize(maps["mhex2/class_map"].values[..., 1], (8, 8))
    np.testing.assert_allclose(signed["image"][0].sum("image_channel"), resized, atol=1e-5)
    np.testing.assert_allclose(
        signed["image"][0].mean(("image_height", "image_width")).sum("image_channel"),
        maps["mhex2/logits"][:, 1],
        atol=1e-5,
    )
