"""Windows over series: which rows they hold, where they may not cross a gap or a split."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xai_mimo.core.errors import BadSetting, BadValues, EmptyData, ShapeMismatch, UnknownName
from xai_mimo.datasets import Scaling, Series, split, windows
from xai_mimo.datasets.milling import predictive_maintenance

pytestmark = pytest.mark.all_frameworks

HOUR = np.timedelta64(1, "h")


def hours(*ticks):
    return np.datetime64("2020-01-01T00") + np.asarray(ticks) * HOUR


def series(ticks=range(8), **changes):
    """Row t holds 10 t and 10 t + 1; the second value of row 5 was filled in."""
    time = hours(*ticks)
    values = 10.0 * np.arange(len(time))[:, None] + [0.0, 1.0]
    measured = np.ones(values.shape, bool)
    measured[5:6, 1] = False
    parts = {
        "name": "toy",
        "time": time,
        "step": HOUR,
        "values": values,
        "variables": ("a", "b"),
        "units": ("K", "m"),
        "measured": measured,
        "source": "",
    }
    return Series(**{**parts, **changes})


def test_windows_hold_the_rows_before_their_labels():
    data = windows(series(), {"next": ("a", 1), "later": ("b", 3)}, steps=2)
    np.testing.assert_array_equal(data.inputs["series"][0], [[0, 1], [10, 11]])
    np.testing.assert_array_equal(data.labels["next"], [20, 30, 40, 50])
    np.testing.assert_array_equal(data.labels["later"], [41, 51, 61, 71])
    np.testing.assert_array_equal(data.span, [[0, 4], [1, 5], [2, 6], [3, 7]])
    np.testing.assert_array_equal(data.measured["later"], [True, False, True, True])
    assert data.measured["next"].all()
    assert [(h.name, h.kind, h.unit) for h in data.heads] == [("next", "regression", "K"), ("later", "regression", "m")]
    assert data.streams[0].axes == ("time", "feature")
    assert data.streams[0].features == ("a", "b")


def test_windows_divide_the_variables_into_named_streams():
    data = windows(series(), {"y": ("a", 1)}, steps=2, streams={"u": ["b"], "v": ["a"]})
    np.testing.assert_array_equal(data.inputs["u"][:, 0, 0] - data.inputs["v"][:, 0, 0], np.ones(len(data)))
    assert data.units == {"u": ("m",), "v": ("K",)}
    assert [s.unit for s in data.streams] == ["m", "K"]


def test_no_window_crosses_a_gap():
    with_gap = series(ticks=(0, 1, 2, 3, 170, 171, 172, 173))
    data = windows(with_gap, {"next": ("a", 1)}, steps=2)
    np.testing.assert_array_equal(data.span, [[0, 2], [1, 3], [4, 6], [5, 7]])


@given(
    st.lists(st.integers(1, 3), min_size=3, max_size=25),
    st.integers(1, 4),
    st.integers(1, 3),
)
def test_windows_are_all_stretches_without_a_gap_and_no_others(distances, steps, horizon):
    ticks = np.cumsum(distances)
    n = len(ticks)
    whole = [
        t
        for t in range(n)
        if t + steps + horizon <= n and all(distances[i] == 1 for i in range(t + 1, t + steps + horizon))
    ]
    toy = series(ticks=ticks, values=np.arange(2.0 * n).reshape(n, 2), measured=np.ones((n, 2), bool))
    if not whole:
        with pytest.raises(EmptyData):
            windows(toy, {"y": ("a", horizon)}, steps=steps)
        return
    data = windows(toy, {"y": ("a", horizon)}, steps=steps)
    np.testing.assert_array_equal(data.span[:, 0], whole)
    for i, t in enumerate(whole):
        np.testing.assert_array_equal(data.inputs["series"][i], toy.values[t : t + steps])
        assert data.labels["y"][i] == toy.values[t + steps - 1 + horizon, 0]


def test_a_split_leaves_out_windows_across_its_borders():
    data = windows(
        series(ticks=range(12), values=np.zeros((12, 2)), measured=np.ones((12, 2), bool)), {"y": ("a", 1)}, steps=2
    )
    train, validation, test = split(data, (5, 3))
    np.testing.assert_array_equal(train.span, [[0, 2], [1, 3], [2, 4]])
    np.testing.assert_array_equal(validation.span, [[5, 7]])
    np.testing.assert_array_equal(test.span, [[8, 10], [9, 11]])


def test_data_without_windows_cannot_be_split():
    with pytest.raises(BadSetting, match="does not say which rows of a series"):
        split(predictive_maintenance(4), (2,))


def test_a_part_too_short_for_a_window_is_named():
    data = windows(series(), {"y": ("a", 1)}, steps=2)
    with pytest.raises(EmptyData, match=r"part 1 of 'toy', rows 4 to 5 of 8, holds no whole window"):
        split(data, (4, 2))


@pytest.mark.parametrize(
    ("heads", "steps", "error", "text"),
    [
        ({}, 2, BadSetting, "no heads"),
        ({"y": ("a", 1)}, 0, BadSetting, "steps must be a whole number of at least 1; got 0"),
        ({"y": ("a", 0)}, 2, BadSetting, "horizon of 'y' must be a whole number of at least 1; got 0"),
        ({"y": ("c", 1)}, 2, UnknownName, "no variable of series 'toy' is called 'c'"),
        ({"y": ("a", 1)}, 8, EmptyData, r"no stretch of 9 rows without a gap \(8 to read, the furthest head 1 ahead\)"),
    ],
)
def test_impossible_windows_are_refused(heads, steps, error, text):
    with pytest.raises(error, match=text):
        windows(series(), heads, steps=steps)


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"values": np.zeros((8, 3))}, ShapeMismatch, r"'values' of series 'toy' wants \(8, 2\) values; got \(8, 3\)"),
        ({"measured": np.ones((7, 2), bool)}, ShapeMismatch, "'measured' of series 'toy'"),
        ({"units": ("K",)}, ShapeMismatch, "2 variables but 1 units"),
        ({"values": np.full((8, 2), np.nan)}, BadValues, "variable 'a' of series 'toy' is not finite at row 0"),
        ({"time": hours(0, 1, 2, 2, 4, 5, 6, 7)}, BadValues, "rows 2 and the next of series 'toy' lie less than"),
    ],
)
def test_a_series_whose_parts_do_not_fit_is_refused(changes, error, text):
    with pytest.raises(error, match=text):
        series(**changes)


def test_taken_rows_and_heads_keep_their_marks():
    data = windows(series(), {"next": ("a", 1), "later": ("b", 3)}, steps=2)
    part = data.take([1]).only(["later"])
    np.testing.assert_array_equal(part.measured["later"], [False])
    np.testing.assert_array_equal(part.span, [[1, 5]])
    assert set(part.measured) == {"later"}


def test_marks_of_another_length_are_refused():
    data = windows(series(), {"y": ("a", 1)}, steps=2)
    with pytest.raises(ShapeMismatch, match=r"'measured y' of data set 'toy' wants \(1,\) values; got \(2,\)"):
        type(data)(**{**fields(data.take([0])), "measured": {"y": np.ones(2, bool)}})
    with pytest.raises(ShapeMismatch, match=r"'span' of data set 'toy' wants \(1, 2\) values; got \(2, 2\)"):
        type(data)(**{**fields(data.take([0])), "span": np.zeros((2, 2), int)})


def fields(data):
    names = ("name", "inputs", "labels", "streams", "heads", "truth", "units", "ties", "source", "measured", "span")
    return {name: getattr(data, name) for name in names}


def test_scaling_learns_from_the_training_rows_alone(rng):
    values = rng.normal(5.0, 3.0, (40, 2))
    values[20:] += 100.0
    toy = series(ticks=range(40), values=values, measured=np.ones((40, 2), bool))
    train, test = split(windows(toy, {"y": ("a", 1)}, steps=3), (20,))
    scaling = Scaling.of(train)
    scaled = scaling.apply(train)
    flat = scaled.inputs["series"].reshape(-1, 2)
    np.testing.assert_allclose(flat.mean(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(flat.std(axis=0), 1.0, atol=1e-6)
    assert scaled.inputs["series"].dtype == np.float32
    assert scaling.apply(test).inputs["series"].mean() > 20.0
    np.testing.assert_allclose(scaling.undo(scaling.apply(test).labels)["y"], test.labels["y"])


def test_a_constant_feature_is_shifted_and_not_blown_up():
    values = np.column_stack([np.full(8, 0.1), np.arange(8.0)])
    data = windows(series(values=values), {"y": ("b", 1)}, steps=2)
    scaled = Scaling.of(data).apply(data)
    np.testing.assert_allclose(scaled.inputs["series"][..., 0], 0.0, atol=1e-12)


def test_only_heads_that_were_learned_from_can_be_scaled_back():
    scaling = Scaling.of(windows(series(), {"y": ("a", 1)}, steps=2))
    with pytest.raises(UnknownName, match="no scaled head is called 'z'"):
        scaling.undo({"z": np.zeros(3)})


def test_labels_that_are_classes_are_left_as_they_are():
    data = predictive_maintenance(20)
    assert Scaling.of(data).apply(data).labels["HDF"].dtype == data.labels["HDF"].dtype
