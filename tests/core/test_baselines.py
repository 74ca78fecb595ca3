"""Baselines by name, by row and by set, the background that is drawn, and what is refused."""

import numpy as np
import pytest

from xai_mimo.core.baselines import choose_background, mean_row, resolve_baseline
from xai_mimo.core.errors import BadSetting, ShapeMismatch, UnknownName
from xai_mimo.core.streams import Stream

pytestmark = pytest.mark.all_frameworks

STREAMS = (Stream("a", (2,)), Stream("b", (3, 1)))


@pytest.fixture
def background(rng):
    return {"a": rng.normal(size=(6, 2)).astype("float32"), "b": rng.normal(size=(6, 3, 1)).astype("float32")}


def test_zero_mean_and_background(background):
    assert not resolve_baseline("zero", STREAMS, background)["b"].any()
    mean = resolve_baseline("mean", STREAMS, background)
    np.testing.assert_allclose(mean["a"][0], background["a"].mean(axis=0), rtol=1e-6)
    assert mean["a"].shape == (1, 2)
    np.testing.assert_array_equal(resolve_baseline("background", STREAMS, background)["a"], background["a"])


def test_a_row_gets_a_batch_axis_and_a_set_keeps_its_own(background):
    row = resolve_baseline({"a": [1, 2], "b": np.ones((3, 1))}, STREAMS, background)
    assert row["a"].shape == (1, 2)
    assert row["b"].shape == (1, 3, 1)
    assert resolve_baseline([np.ones((4, 2)), np.ones((4, 3, 1))], STREAMS, background)["a"].shape == (4, 2)
    one = (Stream("a", (2,)),)
    assert resolve_baseline(np.ones(2), one, {"a": background["a"]})["a"].shape == (1, 2)


@pytest.mark.parametrize(
    ("baseline", "error", "text"),
    [
        ("zeros", BadSetting, "not one of zero, mean, background"),
        ({"a": [1, 2]}, UnknownName, "input stream 'b' is missing"),
        ({"a": [1, 2, 3], "b": np.ones((3, 1))}, ShapeMismatch, "'a' wants"),
        (3.0, BadSetting, "needs one row per stream"),
    ],
)
def test_bad_baselines_are_refused_in_words(background, baseline, error, text):
    with pytest.raises(error, match=text):
        resolve_baseline(baseline, STREAMS, background)


def test_the_background_is_drawn_without_replacement_and_only_from_the_seed(background):
    first = choose_background(background, 4, np.random.default_rng(3))
    again = choose_background(background, 4, np.random.default_rng(3))
    np.testing.assert_array_equal(first["a"], again["a"])
    assert len(np.unique(first["a"], axis=0)) == 4
    assert choose_background(background, 10, np.random.default_rng(0))["a"] is background["a"]


def test_the_mean_row_has_the_rows_dtypes_and_is_taken_in_float64():
    narrow = np.full((3000, 2), 60_000, dtype="float16")  # their sum is no float16
    mean = mean_row({"a": narrow, "ids": np.array([[1], [2], [2]], dtype="int32")})
    assert {name: (m.dtype.name, m.shape) for name, m in mean.items()} == {
        "a": ("float16", (1, 2)),
        "ids": ("int32", (1, 1)),
    }
    np.testing.assert_array_equal(mean["a"], narrow[:1])
    np.testing.assert_array_equal(mean["ids"], [[2]])
