"""Patches of positions as players of occlusion and Shapley values: by hand, the slow definition, Captum."""

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.frameworks import needs
from xai_mimo.core.errors import BadSetting, UnknownName
from xai_mimo.core.patches import players_of
from xai_mimo.core.streams import Head, Stream
from xai_mimo.explainers import Occlusion, Shapley

pytestmark = [
    pytest.mark.all_frameworks,
    pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning"),  # head z reads no table
]

STREAMS = [Stream("image", (4, 5, 2), "float64"), Stream("table", (2,), "float64")]
WEIGHTS = np.random.default_rng(8).standard_normal((4, 5, 2))


def read(image, table):
    return {
        "y": (image * WEIGHTS).sum(axis=(1, 2, 3)) + table[:, 0] * image[:, 0, 0, 0],
        "z": np.tanh(image[:, 3, 4, 1]),
    }


@pytest.fixture
def model():
    return xm.adapt(read, streams=STREAMS, heads=[Head("y", ()), Head("z", ())])


@pytest.fixture
def x(rng):
    return {"image": rng.standard_normal((3, 4, 5, 2)), "table": rng.standard_normal((3, 2))}


def test_players_by_hand():
    np.testing.assert_array_equal(
        players_of(Stream("u", (4, 5, 2)), (4, 5, 2), (2, 3))[..., 0], [[0, 0, 0, 1, 1]] * 2 + [[2, 2, 2, 3, 3]] * 2
    )
    np.testing.assert_array_equal(players_of(Stream("u", (5, 2)), (5, 2), 2)[:, 0], [0, 0, 1, 1, 2])
    assert players_of(Stream("u", (4,)), (4,), 2) is None
    np.testing.assert_array_equal(players_of(Stream("u", (4,), "int32"), (4,), {"u": 2}), [0, 0, 1, 1])
    np.testing.assert_array_equal(players_of(Stream("u", (2, 2)), (2, 2), {"u": (1, 1)}), [[0, 1], [2, 3]])
    first = Stream("u", (2, 4, 4), axes=("channel", "height", "width"))
    assert players_of(first, (2, 4, 4), 2).shape == (1, 4, 4)


def slow_losses(x, patch):
    """What head y loses when the values of one patch become zero, row by row; the table value by value."""
    patches = {}
    for n in range(3):
        for i in range(0, 4, patch[0]):
            for j in range(0, 5, patch[1]):
                gone = x["image"][n : n + 1].copy()
                gone[:, i : i + patch[0], j : j + patch[1]] = 0
                change = (
                    read(x["image"][n : n + 1], x["table"][n : n + 1])["y"] - read(gone, x["table"][n : n + 1])["y"]
                )
                patches[n, i, j] = float(change[0])
    return patches


def test_occlusion_of_patches_equals_the_slow_definition(model, x):
    found = xm.explain(model, x, Occlusion(players="patches", patch={"image": (2, 3)}), targets=["y"])
    assert found["image"].shape == (1, 3, 4, 5, 2)
    for (n, i, j), loss in slow_losses(x, (2, 3)).items():
        patch = found["image"].values[0, n, i : i + 2, j : j + 3]
        np.testing.assert_allclose(patch.sum(), loss, atol=1e-12)
        np.testing.assert_allclose(np.ptp(patch), 0, atol=1e-12)
    np.testing.assert_allclose(found["table"][0, :, 0], x["table"][:, 0] * x["image"][:, 0, 0, 0], atol=1e-12)
    np.testing.assert_array_equal(found["evaluations"], 4 + 2)


def test_patches_of_one_value_are_the_features(model, x):
    one = xm.explain(model, x, Occlusion(players="patches", patch={"image": (1, 1, 1)}))
    plain = xm.explain(model, x, "occlusion")
    np.testing.assert_array_equal(one["image"], plain["image"])


@needs("captum", "torch")
def test_occlusion_of_patches_equals_captum(model, x):
    import torch
    from captum.attr import Occlusion as Theirs

    table = x["table"]

    def forward(image):
        return torch.as_tensor(read(image.permute(0, 2, 3, 1).numpy(), table)["y"])

    theirs = Theirs(forward).attribute(
        torch.as_tensor(x["image"]).permute(0, 3, 1, 2), sliding_window_shapes=(2, 2, 5), strides=(2, 2, 5)
    )
    found = xm.explain(model, x, Occlusion(players="patches", patch={"image": (2, 5)}), targets=["y"])
    np.testing.assert_allclose(20 * found["image"][0], theirs.permute(0, 2, 3, 1).numpy(), atol=1e-10)


def test_shapley_values_of_patches_are_exact_and_complete(model, x):
    background = {"image": np.zeros((1, 4, 5, 2)), "table": np.zeros((1, 2))}
    found = xm.explain(model, x, Shapley(players="patches", patch=(2, 5)), background=background)
    np.testing.assert_allclose(found["completeness_gap"], 0, atol=1e-12)
    shared = x["table"][:, 0] * x["image"][:, 0, 0, 0] / 2
    np.testing.assert_allclose(found["table"].sel(head="y")[:, 0], shared, atol=1e-12)
    top = (x["image"] * WEIGHTS)[:, :2].sum(axis=(1, 2, 3)) + shared
    np.testing.assert_allclose(found["image"].sel(head="y")[:, :2].sum(axis=(1, 2, 3)), top, atol=1e-12)
    np.testing.assert_array_equal(found["evaluations"], 2**4)


def test_what_does_not_fit_is_refused(model, x):
    with pytest.raises(BadSetting, match=r"players='patches' and patch=\.\.\., the size of one, belong together"):
        Occlusion(players="patches")
    with pytest.raises(BadSetting, match="belong together"):
        Shapley(patch=3)
    with pytest.raises(BadSetting, match=r"whole numbers of at least 1, one for each axis of positions; got \(2, 0\)"):
        Shapley(players="patches", patch=(2, 0))
    with pytest.raises(BadSetting, match=r"got 1\.5"):
        Occlusion(players="patches", patch={"image": 1.5})
    with pytest.raises(UnknownName, match="no input stream is called 'picture'"):
        xm.explain(model, x, Occlusion(players="patches", patch={"picture": 2}))
    with pytest.raises(BadSetting, match=r"patch \(2, 2, 2, 2\) of stream 'image' wants 2 sizes"):
        xm.explain(model, x, Occlusion(players="patches", patch={"image": (2, 2, 2, 2)}))
