"""Truth as regions, from the user's arrays to the record's scores, on a model whose evidence is a bright patch."""

import numpy as np
import pytest

import xai_mimo as xm
from xai_mimo.comparison.exhibits import examples
from xai_mimo.comparison.regions import split_truth
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.errors import BadSetting, BadValues, ShapeMismatch, UnknownName
from xai_mimo.core.streams import Head, Stream
from xai_mimo.explainers import Occlusion

pytestmark = [
    pytest.mark.all_frameworks,
    pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning"),  # "kind" reads the image alone
]

ROWS, FAST = 12, Settings(ceilings=False, resamples=200, steps=3, controls=1)
STREAMS = (Stream("image", (4, 5, 2)), Stream("table", (3,), features=("a", "b", "c")))


@pytest.fixture(scope="module")
def patches():
    """Images that are dark but for a patch of 2 x 2; its brightness is the logit of class 1."""
    rng = np.random.default_rng(5)
    images, regions = np.zeros((ROWS, 4, 5, 2), np.float32), np.zeros((ROWS, 4, 5), dtype=bool)
    for n in range(ROWS):
        top, left = rng.integers(0, 3), rng.integers(0, 4)
        images[n, top : top + 2, left : left + 2] = rng.uniform(1, 2, (2, 2, 2))
        regions[n, top : top + 2, left : left + 2] = True
    return {"image": images, "table": rng.standard_normal((ROWS, 3)).astype(np.float32)}, regions


def read(image, table):
    logit = image.sum(axis=(1, 2, 3))
    return {"kind": np.stack([np.zeros_like(logit), logit], axis=1), "size": logit + table[:, 0]}


@pytest.fixture(scope="module")
def model():
    heads = [Head("kind", (2,), "multiclass", unit="logit"), Head("size", ())]
    return xm.adapt(read, streams=list(STREAMS), heads=heads)


@pytest.fixture(scope="module")
def result(model, patches):
    x, regions = patches
    wrong = Occlusion(baseline={"image": x["image"][0] * 0 + 1, "table": np.zeros(3)})
    return xm.compare(
        model,
        x,
        {"right": "occlusion", "wrong": wrong},
        truth={"kind": {"image": regions}, "size": {"image": regions, "table": ["a"]}},
        labels={"kind": np.ones(ROWS, dtype=int)},
        background={"image": np.zeros((1, 4, 5, 2)), "table": np.zeros((1, 3))},
        settings=FAST,
    )


def estimate(result, metric, method, role="value", head="kind"):
    scores = result.scores
    found = scores[
        (scores.metric == metric) & (scores.method == method) & (scores.role == role) & (scores["head"] == head)
    ]
    assert len(found) == 1
    return found.iloc[0]


def test_a_map_of_the_evidence_lies_in_the_regions(result):
    assert estimate(result, "mass_in_region", "right").estimate == 1
    assert estimate(result, "pointing_game", "right").estimate == 1
    # 20 positions of two channels, and a table of three values outside: 8 of 43
    np.testing.assert_allclose(estimate(result, "mass_in_region", "right", "floor_random").estimate, 8 / 43)
    np.testing.assert_allclose(estimate(result, "pointing_game", "right", "floor_random").estimate, 4 / 20)
    assert estimate(result, "mass_in_region", "wrong").estimate < 0.5
    for metric in ("mass_in_region", "pointing_game"):
        assert estimate(result, metric, "random", "control_random").estimate < 0.5
        assert estimate(result, metric, "right").low is not None


def test_regions_and_named_features_go_together(result, patches):
    regions = patches[1]
    found = estimate(result, "mass_in_region", "right", head="size")
    assert found.estimate == 1
    assert result.record["regions"]["size"] == {"image": regions.mean(), "table": pytest.approx(1 / 3)}
    floor = estimate(result, "pointing_game", "right", "floor_random", "size")
    np.testing.assert_allclose(floor.estimate, 5 / 23)
    assert result.record["truth"] is None


def test_examples_hold_what_is_marked_in_their_row(result, patches):
    for example in result.record["examples"]:
        marked = patches[1][example["row"]]
        np.testing.assert_array_equal(np.squeeze(example["region"]["image"]), marked)
        assert np.shape(example["region"]["image"]) == (4, 5, 1)
        named = {"table": [1.0, 0.0, 0.0]} if example["head"] == "size" else {}
        assert {k: v for k, v in example["region"].items() if k != "image"} == named


def test_large_images_have_the_share_of_each_block_that_is_marked(monkeypatch, model, patches):
    monkeypatch.setattr(examples, "MOST_VALUES_OF_A_STREAM", 12)  # 2 x 3 blocks of 2 x 2 pixels, two channels
    x, regions = patches
    found = xm.compare(model, x, ["occlusion"], truth={"size": {"image": regions}}, settings=FAST)
    for example in found.record["examples"]:
        if example["head"] != "size":
            assert example["region"] == {}
            continue
        assert np.shape(example["values"]["occlusion"]["image"]) == (2, 3, 2)
        mask = regions[example["row"]].astype(float)
        slow = [[mask[i : i + 2, j : j + 2].mean() for j in (0, 2, 4)] for i in (0, 2)]
        np.testing.assert_allclose(np.squeeze(example["region"]["image"]), slow)


def test_verdicts_read_the_regions(result):
    kind = {v["method"]: v for v in result.record["verdicts"] if v["head"] == "kind"}
    assert any(
        "100 % of its mass lies in the marked regions, better than the 19 % of chance" in e
        for e in kind["right"]["evidence"]
    )
    assert any("largest value lies in the marked regions in 100 % of the rows" in e for e in kind["right"]["evidence"])


def test_classes_are_dropped_and_deleted(result):
    assert estimate(result, "average_drop", "right").estimate < 1
    assert estimate(result, "average_drop", "wrong").estimate > 4
    assert estimate(result, "signed_average_drop", "random", "control_random").estimate < 50
    assert "read as logits" in estimate(result, "average_drop", "right").note
    deleted = estimate(result, "deletion_accuracy", "right")
    assert deleted.k == 2  # a tenth of the 20 positions
    assert not result.scores[(result.scores["head"] == "size") & (result.scores.metric == "average_drop")].size
    assert {"zhang2018excitation", "chattopadhay2018gradcampp", "arras2022clevrxai"} <= set(result.record["references"])


def test_the_channels_of_a_position_are_summed_before_pointing():
    def sum_of_two(image):
        return {"y": image[:, 0, 0, 0] * 3 + image[:, 0, 0, 1] * 3 + image[:, 1, 1, 0] * 4}

    regions = np.zeros((3, 2, 2), dtype=bool)
    regions[:, 0, 0] = True
    model = xm.adapt(sum_of_two, streams=[Stream("image", (2, 2, 2))], heads=[Head("y", ())])
    images = np.ones((3, 2, 2, 2), np.float32)
    found = xm.compare(model, images, ["occlusion"], truth={"y": {"image": regions}}, settings=FAST)
    assert estimate(found, "pointing_game", "occlusion", head="y").estimate == 1
    np.testing.assert_allclose(estimate(found, "mass_in_region", "occlusion", head="y").estimate, 0.6)


def test_a_report_shows_them(result, tmp_path):
    page = result.report(tmp_path / "report.html").read_text()
    for words in ("pointing game", "mass in region", "signed average drop", "deletion accuracy"):
        assert words in page


def test_taking_all_evidence_away_loses_the_class(model, patches):
    x, _ = patches
    loses = xm.compare(
        model,
        x,
        ["occlusion"],
        targets=[("kind", 1)],
        labels={"kind": np.ones(ROWS, dtype=int)},
        background={"image": np.full((1, 4, 5, 2), -1.0), "table": np.zeros((1, 3))},
        settings=Settings(ceilings=False, resamples=200, steps=3, controls=1, deleted=0.5),
    )
    assert estimate(loses, "deletion_accuracy", "occlusion").estimate == 0
    own = xm.compare(model, x, ["occlusion"], targets=[("kind", 1)], settings=FAST)
    assert "against the class predicted before" in estimate(own, "deletion_accuracy", "occlusion").note


def test_picked_rows_keep_their_own_regions(model, patches):
    x, regions = patches
    some = xm.compare(model, x, ["occlusion"], truth={"kind": {"image": regions}}, rows=5, settings=FAST)
    assert estimate(some, "mass_in_region", "occlusion").estimate == 1
    assert estimate(some, "mass_in_region", "occlusion").rows == 5


def test_the_tolerance_widens_the_regions(model, patches):
    x, regions = patches
    strict, wide = (
        xm.compare(
            model,
            x,
            ["occlusion"],
            truth={"kind": {"image": np.roll(regions, 1, axis=2)}},
            settings=Settings(ceilings=False, resamples=200, steps=3, controls=1, tolerance=tolerance),
        )
        for tolerance in (0.0, 1.0)
    )
    assert estimate(strict, "pointing_game", "occlusion").estimate < 1
    assert estimate(wide, "pointing_game", "occlusion").estimate == 1


def test_other_spaces_say_that_they_have_no_regions(model, patches):
    x, regions = patches
    shares = xm.compare(model, x, ["occlusion"], truth={"kind": {"image": regions}}, space="streams", settings=FAST)
    row = estimate(shares, "mass_in_region", "occlusion")
    assert row.estimate is None or np.isnan(row.estimate)
    assert "regions of the model's inputs, which this space has not" in row.note
    json = shares.to_json()
    assert "NaN" not in json


def test_regions_that_do_not_fit_are_refused(patches):
    regions = patches[1]

    def split(given, head="kind"):
        return split_truth({head: given}, ["kind", "size"], STREAMS, ROWS)

    with pytest.raises(ShapeMismatch, match=r"for each position of each row, \(12, 4, 5\); got \(12, 5, 4\)"):
        split({"image": regions.transpose(0, 2, 1)})
    with pytest.raises(ShapeMismatch, match=r"got \(3, 4, 5\)"):
        split({"image": regions[:3]})
    with pytest.raises(BadValues, match="region of stream 'image' must hold booleans; got dtype int64"):
        split({"image": regions.astype(np.int64)})
    with pytest.raises(UnknownName, match="no input stream is called 'picture'"):
        split({"picture": regions})
    with pytest.raises(UnknownName, match="no head is called 'colour'"):
        split({"image": regions}, head="colour")
    with pytest.raises(UnknownName, match="no feature of stream 'table' is called 'd'"):
        split({"image": regions, "table": ["d"]})
    with pytest.raises(BadSetting, match="tolerance must be a distance of at least 0; got -1"):
        Settings(tolerance=-1)
    with pytest.raises(BadSetting, match="deleted must be a share above 0 and below 1; got 1"):
        Settings(deleted=1)


def test_a_region_may_mark_single_values_and_truth_without_regions_is_left_alone(patches):
    marked = np.zeros((ROWS, 4, 5, 2), dtype=bool)
    rest, found = split_truth({"kind": {"image": marked}, "size": ["table"]}, ["kind", "size"], STREAMS, ROWS)
    assert found["kind"]["image"].shape == marked.shape
    assert rest == {"size": ["table"]}
    assert split_truth(None, ["kind"], STREAMS, ROWS) == (None, {})
    assert split_truth({}, ["kind"], STREAMS, ROWS) == ({}, {})
