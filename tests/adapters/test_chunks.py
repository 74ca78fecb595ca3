"""Rows in chunks of few sizes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xai_mimo_adapters.chunks import MAX_ROWS, border_dtype, even_slices, padded_rows, put, row_slices, rows_that_fit

pytestmark = pytest.mark.all_frameworks


ROWS, AT_MOST = st.integers(1, 20_000), st.sampled_from([1, 3, 16, 100, 128, 1000, 8192, 20_000])


@settings(deadline=None)
@given(rows=ROWS, at_most=AT_MOST)
def test_slices_cover_every_row_once_and_in_order(rows, at_most):
    slices = list(row_slices(rows, at_most))
    assert [s.start for s, _ in slices] == [0, *(s.stop for s, _ in slices[:-1])]
    assert slices[-1][0].stop == rows


@settings(deadline=None)
@given(rows=ROWS, size=AT_MOST)
def test_even_slices_cover_every_row_once_and_only_the_last_is_shorter(rows, size):
    slices = list(even_slices(rows, size))
    np.testing.assert_array_equal(np.concatenate([np.arange(rows)[part] for part in slices]), np.arange(rows))
    assert all(part.stop - part.start == size for part in slices[:-1])


@settings(deadline=None)
@given(rows=ROWS, at_most=AT_MOST)
def test_sizes_fit_and_waste_little(rows, at_most):
    slices = list(row_slices(rows, at_most))
    for part, size in slices:
        assert part.stop - part.start <= size <= at_most
    assert sum(size for _, size in slices) <= max(rows * 3 / 2, rows + 16)


@pytest.mark.parametrize("at_most", [1, 16, 100, 8192])
def test_few_sizes_serve_any_number_of_rows(at_most):
    sizes = {size for rows in range(1, 3000, 7) for _, size in row_slices(rows, at_most)}
    assert len(sizes) <= 5


def test_padding_repeats_the_last_row_and_is_cut_off_again():
    x = np.arange(6.0).reshape(3, 2)
    padded = padded_rows({"x": x}, slice(1, 3), 4)["x"]
    np.testing.assert_array_equal(padded, x[[1, 2, 2, 2]])
    made = {}
    put(made, {"x": padded}, slice(1, 3), total=3)
    np.testing.assert_array_equal(made["x"][1:], x[1:])


def test_rows_may_lie_on_a_later_axis():
    made = {}
    values = np.arange(24.0).reshape(2, 4, 3)
    put(made, {"x": values[:, :2]}, slice(0, 2), total=4, axis=1)
    put(made, {"x": values[:, 2:]}, slice(2, 4), total=4, axis=1)
    np.testing.assert_array_equal(made["x"], values)


def test_one_row_always_fits_and_chunks_have_a_ceiling():
    assert rows_that_fit(10**12, 1) == 1
    assert rows_that_fit(1, 10**12) == MAX_ROWS
    assert rows_that_fit(100, 1000) == 10


@pytest.mark.parametrize(
    ("given_dtype", "expected"),
    [("float16", "float32"), ("float32", "float32"), ("float64", "float64"), ("int32", "int32"), ("bool", "bool")],
)
def test_only_narrow_floats_change_at_the_border(given_dtype, expected):
    assert border_dtype(np.zeros(1, given_dtype)) == np.dtype(expected)
