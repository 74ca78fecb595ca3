"""Arrays in the record: rounding that float32 survives, and images reduced with their sum kept."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xai_mimo.record.arrays import coarsen, rounded

pytestmark = pytest.mark.all_frameworks


def test_float32_survives_the_rounding(rng):
    values = rng.standard_normal((5, 4)).astype("float32") * 1e-3
    back = np.asarray(json.loads(json.dumps(rounded(values))), dtype="float32")
    np.testing.assert_array_equal(back, values)


def test_a_number_without_axes_stays_a_number():
    assert rounded(np.float64(1 / 3)) == 0.33333333


def test_blocks_of_two_by_hand():
    image = np.arange(15.0).reshape(3, 5, 1)
    summed, side = coarsen(image, ("height", "width", "channel"), 6, "sum")
    assert side == 2
    np.testing.assert_array_equal(summed[..., 0], [[0 + 1 + 5 + 6, 2 + 3 + 7 + 8, 4 + 9], [10 + 11, 12 + 13, 14]])
    mean, _ = coarsen(image, ("height", "width", "channel"), 6, "mean")
    np.testing.assert_array_equal(mean[..., 0], [[3.0, 5.0, 6.5], [10.5, 12.5, 14.0]])


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 3), st.integers(1, 200))
def test_blocks_fit_and_keep_the_sum(height, width, channels, most):
    image = np.random.default_rng(height * width).integers(-9, 9, (channels, height, width)).astype(float)
    blocks, side = coarsen(image, ("channel", "height", "width"), most, "sum")
    assert blocks.size <= max(most, channels)
    np.testing.assert_array_equal(blocks.sum(axis=(1, 2)), image.sum(axis=(1, 2)))
    if side > 1:
        smaller, other = -(-height // (side - 1)), -(-width // (side - 1))
        assert channels * smaller * other > most  # no coarser than it has to be


def test_what_is_no_image_is_left_alone():
    series = np.ones((50, 3))
    values, side = coarsen(series, ("time", "feature"), 10, "sum")
    assert values is series
    assert side == 1
