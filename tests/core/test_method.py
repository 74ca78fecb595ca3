"""What methods share: checks of settings, chunks that fit into memory, means over baselines."""

import numpy as np
import pytest

from xai_mimo.core.errors import BadSetting
from xai_mimo.core.method import Context, bytes_per_row, positive, whole
from xai_mimo.core.targets import Selector, take, take_mean

pytestmark = pytest.mark.all_frameworks


@pytest.mark.parametrize("value", [0, -1, 2.5, float("nan"), float("inf"), True])
def test_whole_refuses_what_is_not_a_number_of_things(value):
    with pytest.raises(BadSetting, match=r"steps must be a whole number of at least 1; got "):
        whole(value, "steps")


@pytest.mark.parametrize("value", [2.0, np.float32(2)])
def test_whole_refuses_a_float_that_range_would_refuse(value):
    with pytest.raises(
        BadSetting, match=r"steps must be a whole number of at least 1; got .*2\.0.*, a float.*Give 2\."
    ):
        whole(value, "steps")


@pytest.mark.parametrize("value", [0, -0.5, float("nan"), float("inf")])
def test_positive_refuses_zero_and_what_is_not_finite(value):
    with pytest.raises(BadSetting, match="tolerance must be a number above 0"):
        positive(value, "tolerance")


def test_whole_and_positive_accept_what_they_should():
    whole(1, "steps")
    whole(50, "steps")
    whole(np.int64(50), "steps")
    positive(1e-3, "tolerance")


def test_a_chunk_holds_at_least_one_item_and_at_most_what_fits(rng):
    context = Context(rng, background={}, max_memory=1000)
    assert context.chunk(100) == 10
    assert context.chunk(10_000) == 1
    assert context.chunk(1, at_most=7) == 7


def test_bytes_per_row_counts_every_stream():
    assert bytes_per_row({"a": np.zeros((5, 3), "float32"), "b": np.zeros((5, 2, 2))}) == 12 + 32


def test_take_mean_is_the_mean_of_take_for_each_unit(rng):
    outputs = {"mode": rng.normal(size=(6, 3)), "risk": rng.normal(size=6)}
    units = np.array([2, 0, 1, 1])
    chosen = [Selector("mode", "mode", units), Selector("risk", "risk", np.zeros(4, dtype=np.int64))]
    slow = [[take(outputs, [s._replace(units=np.full(6, unit))]).mean() for unit in s.units] for s in chosen]
    np.testing.assert_allclose(take_mean(outputs, chosen), slow, rtol=1e-12)
