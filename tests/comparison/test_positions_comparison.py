"""Maps of positions beside each other in ``compare``: a small trained network whose evidence is a bright patch."""

import numpy as np
import pytest

import xai_mimo as xm
from xai_mimo.comparison.settings import Settings
from xai_mimo.explainers import GradCAM, IntegratedGradients, Occlusion, PositionMaps

FAST = Settings(ceilings=False, resamples=200, steps=3, controls=1)


@pytest.fixture(scope="module")
def patches():
    """Noise with a patch of 3 x 3, bright for class 1 and dark for class 0, somewhere in it."""
    rng = np.random.default_rng(1)
    images, regions = 0.2 * rng.standard_normal((24, 9, 9, 1)), np.zeros((24, 9, 9), dtype=bool)
    labels = rng.integers(0, 2, 24)
    for n in range(24):
        top, left = rng.integers(0, 7, 2)
        images[n, top : top + 3, left : left + 3] += 2.0 * labels[n] - 1.0
        regions[n, top : top + 3, left : left + 3] = True
    return images.astype("float32"), regions, labels


@pytest.fixture(scope="module")
def model():
    """Filters worked out by hand: one answers to bright places, one to dark ones; a head of two classes and one number."""
    import keras

    from xai_mimo.layers.mhex.head import MHEXHead

    image = keras.Input((9, 9, 1), name="image")
    code = keras.layers.Conv2D(2, 3, padding="same", activation="relu", name="see")(image)
    code = MHEXHead(heads={"kind": 2, "light": 1}, name="mhex")([code, code])
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(code)
    heads = {
        "kind": keras.layers.Dense(2, activation="softmax", name="kind")(pooled),
        "light": keras.layers.Dense(1, name="light")(pooled),
    }
    net = keras.Model(image, heads)
    see = np.ones((3, 3, 1, 2), "float32") / 9
    see[..., 1] *= -1
    net.get_layer("see").set_weights([see, np.full(2, -0.3, "float32")])
    net.get_layer("mhex").set_weights([np.eye(2), np.array([[-4.0, 4, 1], [4, -4, -1]])])
    net.get_layer("kind").set_weights([np.array([[-40.0, 40], [40, -40]]), np.zeros(2)])
    net.get_layer("light").set_weights([np.array([[1.0], [-1]]), np.zeros(1)])
    return xm.adapt(net)


@pytest.fixture(scope="module")
def result(model, patches):
    images, regions, labels = patches
    methods = {
        "grad_cam": GradCAM(at="pool"),
        "integrated_gradients": IntegratedGradients(tolerance=0.05),
        "patches": Occlusion(players="patches", patch=3),
        "position_maps": PositionMaps(),
    }
    truth = {head: {"image": regions} for head in ("kind", "light")}
    return xm.compare(model, {"image": images}, methods, truth=truth, labels={"kind": labels}, settings=FAST)


def values(result, metric, head, role="value"):
    rows = result.scores[(result.scores.metric == metric) & (result.scores["head"] == head)]
    return dict(zip(*(rows[rows.role == role][c] for c in ("method", "estimate")), strict=True))


def test_the_network_classifies(model, patches):
    images, _, labels = patches
    np.testing.assert_array_equal(model.predict(images)["kind"].argmax(axis=1), labels)


def test_every_method_finds_the_evidence(result):
    """Half of the rows are dark: there a rectified map of "light" is zero, its mass undefined and its pointing chance."""
    chance = values(result, "mass_in_region", "kind", "floor_random")["grad_cam"]
    np.testing.assert_allclose(chance, 1 / 9)
    for head in ("kind", "light"):
        for metric in ("mass_in_region", "pointing_game"):
            random = values(result, metric, head, "control_random")["random"]
            found = values(result, metric, head)
            assert set(found) == {"grad_cam", "integrated_gradients", "patches", "position_maps"}
            for method, value in found.items():
                assert value > max(random, 2 * chance), (head, metric, method)


def test_classes_have_drops_and_numbers_have_none(result):
    for metric in ("average_drop", "signed_average_drop", "deletion_accuracy"):
        assert set(values(result, metric, "kind")) == {"grad_cam", "integrated_gradients", "patches", "position_maps"}
        assert values(result, metric, "light") == {}
    random = values(result, "deletion_accuracy", "kind", "control_random")["random"]
    assert all(value < random for value in values(result, "deletion_accuracy", "kind").values())
    random = values(result, "average_drop", "kind", "control_random")["random"]
    for method in ("integrated_gradients", "patches"):  # maps that are sharp at the edges of the patch
        assert values(result, "average_drop", "kind")[method] < random


def test_the_record_cites_the_methods(result):
    assert {"selvaraju2017gradcam", "zeiler2014visualizing"} <= set(result.record["references"])


def test_at_the_pooling_grad_cam_reads_what_the_layer_reads(model, patches):
    images = patches[0][:6]
    there = xm.compare(model, {"image": images}, ["grad_cam", "cam"], at="pool", targets=["light"], settings=FAST)
    maps = there.explanations["image_encoded"]
    np.testing.assert_allclose(
        maps.sel(explainer="cam").sum("image_encoded_channel").mean(maps.dims[3:5])[0],
        model.predict(images)["light"][:, 0],
        atol=1e-5,
    )


def test_what_a_method_says_nothing_of_is_in_the_record(patches):
    import keras

    image, table = keras.Input((9, 9, 1), name="image"), keras.Input((2,), name="table")
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(keras.layers.Conv2D(2, 3, name="see")(image))
    joined = keras.layers.Concatenate()([pooled, table])
    net = keras.Model([image, table], keras.layers.Dense(1, name="size")(joined))
    x = {"image": patches[0][:6], "table": np.ones((6, 2), "float32")}
    found = xm.compare(net, x, [GradCAM(stream="image", positive=False), Occlusion()], settings=FAST).record
    assert [m["unexplained"] for m in found["methods"]] == [["table"], []]
    notes = {(s["method"], s["stream"]): s["note"] for s in found["shares"]}
    assert "grad_cam says nothing of table" in notes["grad_cam", "table"]
    assert not any("says nothing" in note for key, note in notes.items() if key != ("grad_cam", "table"))
