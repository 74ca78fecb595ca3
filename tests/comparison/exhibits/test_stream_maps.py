"""Pictures of streams with places, in ``compare`` and on their own."""

import numpy as np
import pytest

from tests.helpers.pictured_model import IMAGE, SERIES, Pictured, pictured_data
from xai_mimo.comparison.compare import compare
from xai_mimo.comparison.exhibits import examples, stream_maps
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.positions import has_positions
from xai_mimo.core.streams import Stream
from xai_mimo.record.check import check

pytestmark = [
    pytest.mark.all_frameworks,
    pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning"),
]

FAST = Settings(resamples=200, steps=2, ceilings=False)
METHODS = ("gradient", "input_x_gradient")
LAGS = ("lag 5", "lag 4", "lag 3", "lag 2", "lag 1")


@pytest.fixture
def data(rng):
    return pictured_data(rng)


@pytest.fixture
def result(data):
    return compare(Pictured(), data, METHODS, settings=FAST, truth={"up": {"series": ["rain"]}})


def the_map(result, method, head, stream):
    (row,) = (
        r for r in result.record["stream_maps"] if (r["method"], r["head"], r["stream"]) == (method, head, stream)
    )
    return row


def test_maps_of_a_series_keep_steps_and_features(result, data):
    check(result.to_dict())
    row = the_map(result, "input_x_gradient", "up", "series")
    values = data["series"] * Pictured.weights["series"][0]
    assert row["axes"] == ["time", "feature"]
    assert row["coords"] == {"feature": ["wind", "rain", "sun"]}
    np.testing.assert_allclose(row["mean"], values.mean(axis=0), rtol=1e-7)
    np.testing.assert_allclose(row["mean_abs"], np.abs(values).mean(axis=0), rtol=1e-7)


def test_channels_of_an_image_are_summed_and_the_total_is_of_all_streams(result, data):
    row = the_map(result, "input_x_gradient", "up", "scan")
    image, series = data["scan"] * Pictured.weights["scan"], data["series"] * Pictured.weights["series"][0]
    assert row["axes"] == ["height", "width"]
    np.testing.assert_allclose(row["mean"], image.mean(axis=0).sum(axis=-1), rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(row["mean_abs"], np.abs(image).mean(axis=0).sum(axis=-1), rtol=1e-7)
    total = np.abs(image).sum(axis=(1, 2, 3)) + np.abs(series).sum(axis=(1, 2))
    assert row["total"] == pytest.approx(total.mean())


def test_features_of_streams_with_positions_are_summed_over_the_positions(result, data):
    rows = {(r["stream"], r["feature"]): r for r in result.record["features"] if r["head"] == "up"}
    assert list(rows) == [("scan", "0"), ("scan", "1"), ("series", "wind"), ("series", "rain"), ("series", "sun")]
    picked = next(
        r
        for r in result.record["features"]
        if (r["head"], r["method"], r["stream"], r["feature"]) == ("up", "input_x_gradient", "scan", "0")
    )
    channel = (data["scan"] * Pictured.weights["scan"])[..., 0]
    assert picked["mean"] == pytest.approx(channel.sum(axis=(1, 2)).mean())
    assert picked["mean_abs"] == pytest.approx(np.abs(channel).sum(axis=(1, 2)).mean())
    assert picked["low"] < picked["mean_abs"] < picked["high"]


def test_true_features_are_told_in_the_space_of_the_comparison(result):
    assert result.record["true_features"] == {"up": {"series": ["rain"]}}


def test_steps_carry_the_labels_of_the_layer_that_reads_them(data):
    coords = {"feature.stream": ("series",) * 3, "time": LAGS}
    sows = {"temporal": (lambda inputs: inputs["series"], ("time", "feature"), coords)}
    result = compare(Pictured(sows=sows), data, ["gradient"], settings=FAST)
    assert the_map(result, "gradient", "up", "series")["coords"]["time"] == list(LAGS)
    assert [m["name"] for m in result.record["maps"]] == ["temporal"]
    assert "guo2019imvlstm" in result.record["references"]


def test_large_images_are_made_coarser_and_large_series_left_out(data, monkeypatch):
    monkeypatch.setattr(stream_maps, "MOST_VALUES", 8 * 12)
    result = compare(Pictured(), data, METHODS, settings=FAST)
    check(result.to_dict())
    image, series = (the_map(result, "gradient", "up", s) for s in ("scan", "series"))
    assert np.shape(image["mean"]) == (2, 3)
    assert image["note"] == "summed over blocks of 2 x 2 pixels"
    np.testing.assert_allclose(image["mean"], [[0.0, 1.0, 0.0], [0.0, 1.5, 0.0]])
    assert series["mean"] is None
    assert "left out: 5 x 3 values are more than the 6" in series["note"]


def test_examples_of_large_streams_are_coarser_too(data, monkeypatch):
    monkeypatch.setattr(examples, "MOST_VALUES_OF_A_STREAM", 12)
    result = compare(Pictured(), data, METHODS, settings=FAST)
    check(result.to_dict())
    row = result.record["examples"][0]
    assert np.shape(row["inputs"]["scan"]) == (2, 3, 2)
    np.testing.assert_allclose(
        row["inputs"]["scan"][0][0], data["scan"][row["row"], :2, :2].mean(axis=(0, 1)), rtol=1e-6
    )
    np.testing.assert_allclose(row["values"]["gradient"]["scan"][0][1], [2.0, -1.0])
    assert "series" not in row["inputs"]
    assert "series" not in row["values"]["gradient"]
    assert "'scan' is shown in blocks of 2 x 2 pixels" in row["note"]
    assert "'series' (5 x 3 values) is too large" in row["note"]


def test_a_square_image_stays_small_in_the_record(rng):
    class Wide(Pictured):
        streams = (Stream("scan", (28, 28, 1), dtype="float64"), SERIES)
        weights = {**Pictured.weights, "scan": rng.standard_normal((28, 28, 1))}

    wide = {"scan": rng.standard_normal((12, 28, 28, 1)), "series": rng.standard_normal((12, 5, 3))}
    result = compare(Wide(), wide, ["gradient"], targets=["up"], settings=FAST)
    assert [r["feature"] for r in result.record["features"] if r["stream"] == "scan"] == ["(all places)"]
    assert len(result.to_json()) < 150_000


def test_places_are_axes_beside_features_or_words_for_positions():
    assert has_positions(IMAGE)
    assert has_positions(Stream("t", (9,), axes=("time",)))
    assert not has_positions(Stream("t", (9,)))
