"""Regions of a head and mean survival times as targets: values and gradients by hand, and what is refused."""

import numpy as np
import pytest

import xai_mimo as xm
from xai_mimo.core.door import check_inputs
from xai_mimo.core.errors import BadSetting, DuplicateName, ShapeMismatch, UnknownName
from xai_mimo.core.reread import reread
from xai_mimo.core.streams import Head, Stream
from xai_mimo.core.sums import Sums, split_sums
from xai_mimo.core.targets import Selector, Target
from xai_mimo.testing import check_adapter

pytestmark = pytest.mark.all_frameworks

KERNEL = np.random.default_rng(8).normal(size=(5, 3, 4, 2))  # input, height, width, class
MASK = Head("mask", (3, 4, 2), units=("rust", "crack"), unit="share")
CORNER = np.zeros((3, 4), bool)
CORNER[:2, :2] = True


class Segmenter:
    """mask = x K, an image of two classes; gradients by hand. Counts its passes backwards."""

    streams = (Stream("x", (5,), dtype="float64"),)
    heads = (MASK, Head("count"))
    asked = 0

    def fingerprint(self):
        return "cd" * 8

    def predict(self, inputs):
        x = check_inputs(inputs, self.streams)["x"]
        return {"mask": np.einsum("ni,ihwc->nhwc", x, KERNEL), "count": x.sum(axis=1, keepdims=True)}

    def gradients(self, inputs, selectors, streams=None):
        Segmenter.asked = max(Segmenter.asked, len(selectors))
        x = check_inputs(inputs, self.streams)["x"]
        flat = KERNEL.reshape(5, -1)
        slopes = [flat.T[s.units] if s.head == "mask" else np.ones_like(x) for s in selectors]
        return self.predict(inputs), {"x": np.stack(slopes)}


@pytest.fixture(scope="module")
def rows():
    return {"x": np.random.default_rng(1).normal(size=(6, 5))}


@pytest.mark.parametrize(
    ("target", "units"),
    [
        (Target("mask", 1, region=CORNER), [1, 3, 9, 11]),
        (Target("mask", "rust", region=CORNER), [0, 2, 8, 10]),
        (Target("mask", 0, region=(slice(0, 2), slice(0, 2))), [0, 2, 8, 10]),
        (Target("mask", region=(slice(None), 3, slice(None))), [6, 7, 14, 15, 22, 23]),
        (Target("mask", region=np.ones((3, 4, 2), bool)), list(range(24))),
    ],
)
def test_a_region_is_the_mean_of_its_units(rows, target, units):
    explanation = xm.explain(Segmenter(), rows, targets=[target], background={"x": np.zeros((1, 5))})
    slope = KERNEL.reshape(5, -1)[:, units].mean(axis=1)
    assert explanation["head"].values.tolist() == ["mask:region"]
    np.testing.assert_allclose(explanation["prediction"].values[0], rows["x"] @ slope, atol=1e-12)
    np.testing.assert_allclose(explanation["x"].values[0], rows["x"] * slope, atol=1e-9)


def test_regions_stand_beside_other_targets_by_their_names(rows):
    targets = [Target("mask", 1, region=CORNER, name="corner"), "count", ("mask", (0, 0, 0))]
    explanation = xm.explain(Segmenter(), rows, "occlusion", targets=targets, background={"x": np.zeros((1, 5))})
    assert explanation["head"].values.tolist() == ["mask:corner", "count", "mask"]
    np.testing.assert_allclose(explanation["x"].values[1], rows["x"], atol=1e-12)
    np.testing.assert_allclose(explanation["x"].values[2], rows["x"] * KERNEL[:, 0, 0, 0], atol=1e-12)


def test_it_keeps_the_contract_and_asks_for_few_units_at_once(rows):
    _, sums = split_sums([Target("mask", region=np.ones((3, 4, 2), bool))], Segmenter.heads)
    model = reread(Segmenter(), Sums(sums))
    Segmenter.asked = 0
    selectors = [Selector("all", "mask:region", np.zeros(6, np.int64)), Selector("c", "count", np.zeros(6, np.int64))]
    gradients = model.gradients(rows, selectors)[1]["x"]
    np.testing.assert_allclose(gradients[0], np.tile(KERNEL.reshape(5, -1).mean(axis=1), (6, 1)), atol=1e-12)
    np.testing.assert_array_equal(gradients[1], np.ones((6, 5)))
    assert Segmenter.asked == 16
    check_adapter(model, rows)


def test_a_comparison_takes_regions_too(rows):
    many = {"x": np.random.default_rng(2).normal(size=(20, 5))}
    result = xm.compare(
        Segmenter(),
        many,
        ["integrated_gradients", "occlusion"],
        targets=[Target("mask", 1, region=CORNER, name="corner")],
        metrics=["deletion_area"],
    )
    assert [t.name for t in result.record.targets] == ["mask:corner"]
    assert result.record.model.heads[-1].unit == "share"


def test_the_mean_of_a_survival_curve_is_the_area_under_it():
    def curve(x):
        return np.clip(np.stack([x[:, 0], x[:, 1], x[:, 2]], axis=1), 0, 1)

    head = Head("alive", (3,), "survival", units=("10", "20", "40"))
    model = xm.adapt(curve, {"x": Stream("x", (3,), "float64")}, [head])
    rows = {"x": np.array([[0.9, 0.5, 0.1], [1.0, 1.0, 1.0]])}
    explanation = xm.explain(model, rows, "occlusion", targets=[("alive", "mean")], background={"x": np.zeros((1, 3))})
    areas = [10 * (1 + 0.9) / 2 + 10 * (0.9 + 0.5) / 2 + 20 * (0.5 + 0.1) / 2, 40.0]
    np.testing.assert_allclose(explanation["prediction"].values[0], areas)
    np.testing.assert_allclose(explanation["x"].values[0], rows["x"] * [10.0, 15.0, 10.0])


def test_what_is_no_region_is_refused(rows):
    heads = Segmenter.heads
    with pytest.raises(
        ShapeMismatch, match=r"truth values of its shape \(3, 4, 2\), or a slice .*; got bool of shape \(4, 3\)"
    ):
        split_sums([Target("mask", region=np.ones((4, 3), bool))], heads)
    with pytest.raises(ShapeMismatch, match=r"got int64 of shape \(3, 4\)"):
        split_sums([Target("mask", region=np.ones((3, 4), np.int64))], heads)
    with pytest.raises(ShapeMismatch, match="got 1 slices"):
        split_sums([Target("mask", region=slice(0, 2))], heads)
    with pytest.raises(BadSetting, match="the region 'hole' of head 'mask' holds no unit"):
        split_sums([Target("mask", region=np.zeros((3, 4), bool), name="hole")], heads)
    with pytest.raises(UnknownName, match="no class of head 'mask' is called 'cracks'"):
        split_sums([Target("mask", "cracks", region=CORNER)], heads)
    with pytest.raises(UnknownName, match="no head is called 'masks'"):
        split_sums([Target("masks", region=CORNER)], heads)
    with pytest.raises(DuplicateName, match="two heads are called 'mask:region'"):
        split_sums([Target("mask", 0, region=CORNER), Target("mask", 1, region=CORNER)], heads)


def test_times_must_be_numbers_that_grow():
    with pytest.raises(BadSetting, match=r"its units \(early, late\) are no numbers"):
        split_sums([("alive", "mean")], [Head("alive", (2,), "survival", units=("early", "late"))])
    with pytest.raises(BadSetting, match="the times of head 'alive' do not grow: 20, 10"):
        split_sums([("alive", "mean")], [Head("alive", (2,), "survival", units=("20", "10"))])
