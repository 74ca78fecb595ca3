"""What layers sow in a comparison: means over rows with their axes, limits on size, and what is not repeated."""

import numpy as np
import pytest

from tests.helpers.pictured_model import IMAGE, SERIES, Pictured, pictured_data
from xai_mimo.comparison.exhibits import layer_maps as room
from xai_mimo.comparison.exhibits.layer_maps import layer_maps
from xai_mimo.core.streams import Stream
from xai_mimo.record.row import plain

pytestmark = pytest.mark.all_frameworks

LAGS = ("lag 5", "lag 4", "lag 3", "lag 2", "lag 1")
OWNERS = {"feature.stream": ("series",) * 3, "feature": ("wind", "rain", "sun")}
STREAMS = (IMAGE, SERIES)


def of_series(inputs):
    return inputs["series"] ** 2


@pytest.fixture
def data(rng):
    return pictured_data(rng)


def test_a_map_is_the_mean_over_rows_with_its_axes_and_labels(data):
    sows = {"temporal": (of_series, ("time", "feature"), {"time": LAGS, **OWNERS})}
    (row,), steps = layer_maps(Pictured(sows=sows), data, STREAMS, set())
    values = plain(row)
    np.testing.assert_allclose(values.pop("mean"), (data["series"] ** 2).mean(axis=0), rtol=1e-7)
    assert values == {
        "layer": "reader",
        "name": "temporal",
        "axes": ["time", "feature"],
        "coords": {"time": list(LAGS), **{k: list(v) for k, v in OWNERS.items()}},
        "rows": 12,
        "reference": "guo2019imvlstm",
        "note": "",
    }
    assert steps == {"series": LAGS}


def test_many_rows_are_read_in_blocks_with_the_same_mean(data, monkeypatch):
    sows = {"temporal": (of_series, ("time", "feature"), {})}
    whole, _ = layer_maps(Pictured(sows=sows), data, STREAMS, set())
    monkeypatch.setattr(room, "_BLOCK_BYTES", 5 * 15 * 8)
    model = Pictured(sows=sows)
    parts, _ = layer_maps(model, data, STREAMS, set())
    assert model.blocks == [1, 4, 4, 4]
    np.testing.assert_allclose(parts[0].mean, whole[0].mean, rtol=1e-7)


def test_large_maps_are_left_out_with_a_note_and_never_computed(data, monkeypatch):
    monkeypatch.setattr(room, "MOST_VALUES", 10)
    sows = {
        "large": (of_series, ("time", "feature"), {"time": LAGS}),
        "small": (lambda inputs: inputs["series"][:, 0], ("feature",), {}),
    }
    large, small = layer_maps(Pictured(sows=sows), data, STREAMS, set())[0]
    assert large.mean is None
    assert large.coords == {}
    assert "left out: a record holds up to 10 values of a map" in large.note
    assert "5 x 3" in large.note
    assert small.mean is not None


def test_all_maps_together_have_a_limit_too(data, monkeypatch):
    monkeypatch.setattr(room, "MOST_VALUES_IN_ALL", 20)
    sows = {name: (of_series, ("time", "feature"), {}) for name in ("one", "two")}
    rows, _ = layer_maps(Pictured(sows=sows), data, STREAMS, set())
    assert [r.mean is None for r in rows] == [False, True]


def test_values_that_are_not_finite_are_null_with_a_note(data):
    sows = {"broken": (lambda inputs: np.full((len(inputs["scan"]), 2), np.nan), ("head",), {})}
    (row,), _ = layer_maps(Pictured(sows=sows), data, STREAMS, set())
    assert row.mean is None
    assert row.note == "the map holds values that are NaN or infinite"


@pytest.mark.parametrize(
    ("name", "axes", "kinds", "is_repeated"),
    [
        ("attention", ("time", "head", "feature"), {"attention"}, True),
        ("attention", ("time", "head", "feature"), set(), False),
        ("temporal_attention", ("head", "time", "feature"), {"attention"}, False),
        ("contribution", ("target", "feature"), {"contribution"}, True),
        ("contribution", ("target", "feature"), {"attention"}, False),
    ],
)
def test_what_an_interception_method_shows_is_not_repeated(data, name, axes, kinds, is_repeated):
    coords = {"feature.stream": ("series",) * 3}

    sizes = {"time": 5, "head": 2, "target": 2, "feature": 3}

    def values(inputs):
        return np.ones((len(inputs["scan"]), *(sizes[axis] for axis in axes)))

    rows, _ = layer_maps(Pictured(sows={name: (values, axes, coords)}), data, STREAMS, kinds)
    assert len(rows) == (0 if is_repeated else 1)


def test_maps_over_plain_features_are_the_methods_business(data):
    coords = {"feature.stream": ("table",) * 3}
    sows = {"mean": (lambda inputs: np.ones((len(inputs["scan"]), 2, 3)), ("target", "feature"), coords)}
    flat = (Stream("table", (3,)),)
    assert layer_maps(Pictured(sows=sows), data, flat, {"attention"})[0] == ()
    assert len(layer_maps(Pictured(sows=sows), data, flat, set())[0]) == 1


def test_a_model_that_cannot_be_intercepted_has_no_maps(data, model):
    assert layer_maps(model, data, model.streams, set()) == ((), {})
