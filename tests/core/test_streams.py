"""Inputs at the door: every form that is taken gives the same arrays, and what is refused says why."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from xai_mimo.core.door import check_inputs, count_rows
from xai_mimo.core.errors import BadValues, DuplicateName, EmptyData, ShapeMismatch, UnknownName
from xai_mimo.core.streams import Head, Stream, name_values, pair_names

pytestmark = pytest.mark.all_frameworks

TABLE = Stream("table", (2,), features=("air", "process"))
SERIES = Stream("series", (None, 3))
TOKENS = Stream("tokens", (4,), dtype="int32")


def rows(n=5):
    return {"table": np.ones((n, 2), "float32"), "series": np.zeros((n, 7, 3), "float32")}


def test_a_mapping_a_list_and_a_tuple_give_the_same_arrays():
    data = rows()
    for given_ in (data, dict(reversed(data.items())), list(data.values()), tuple(data.values())):
        out = check_inputs(given_, (TABLE, SERIES))
        assert list(out) == ["table", "series"]
        assert out["series"].shape == (5, 7, 3)


def test_one_array_is_enough_for_one_stream():
    assert check_inputs(np.ones((3, 2)), (TABLE,))["table"].dtype == np.float32


def test_arrays_of_the_right_dtype_are_not_copied():
    x = np.ones((3, 2), "float32")
    assert check_inputs(x, (TABLE,))["table"] is x


@pytest.mark.parametrize(
    ("bad", "error", "text"),
    [
        ({"table": np.ones((5, 2))}, UnknownName, "input stream 'series' is missing"),
        ({**rows(), "tabel": 0}, UnknownName, "no input stream is called 'tabel'.*Did you mean 'table'"),
        ([np.ones((5, 2))], ShapeMismatch, "expected 2 values, one per input stream"),
        (np.ones((5, 2)), ShapeMismatch, "expected a mapping or a list"),
        ({**rows(), "table": np.ones((5, 3))}, ShapeMismatch, r"'table' wants \(batch, 2\); got \(5, 3\)"),
        ({**rows(), "table": np.ones(2)}, ShapeMismatch, r"add the batch axis: x\[None\]"),
        ({**rows(), "series": np.ones((5, 3))}, ShapeMismatch, r"wants \(batch, any, 3\)"),
        (
            {**rows(), "table": np.ones((4, 2))},
            ShapeMismatch,
            "same number of rows; got {'table': 4, 'series': 5}",
        ),
        (rows(0), EmptyData, "there are no rows"),
        ({**rows(), "table": [["a", "b"]] * 5}, BadValues, "Encode text and categories"),
        ({**rows(), "table": [[1, 2], [3]]}, ShapeMismatch, "not a regular array"),
        ({**rows(), "table": np.full((5, 2), 1e300)}, BadValues, "too large for the model's dtype float32"),
    ],
)
def test_bad_inputs_are_refused_in_words(bad, error, text):
    with pytest.raises(error, match=text):
        check_inputs(bad, (TABLE, SERIES))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_counted_and_located(value):
    data = rows()
    data["table"] = data["table"].copy()
    data["table"][3, 1] = value
    with pytest.raises(
        BadValues, match=r"'table' holds 1 values that are NaN or infinite, the first at index \(3, 1\)"
    ):
        check_inputs(data, (TABLE, SERIES))


def test_integer_streams_take_whole_numbers_only():
    assert check_inputs(np.ones((2, 4)), (TOKENS,))["tokens"].dtype == np.int32
    with pytest.raises(BadValues, match="got fractions"):
        check_inputs(np.full((2, 4), 0.5), (TOKENS,))
    with pytest.raises(BadValues, match="do not fit into int32"):
        check_inputs(np.full((2, 4), 2**40), (TOKENS,))


def test_a_data_frame_is_read_by_its_column_names():
    frame = pd.DataFrame({"process": [1.0, 2.0], "air": [3.0, 4.0]})
    np.testing.assert_array_equal(check_inputs(frame, (TABLE,))["table"], [[3, 1], [4, 2]])
    with pytest.raises(UnknownName, match=r"no column .* is called 'air'"):
        check_inputs(frame.rename(columns={"air": "aire"}), (TABLE,))
    with pytest.raises(UnknownName, match="not its features: torque"):
        check_inputs(frame.assign(torque=1.0), (TABLE,))


@given(hnp.arrays(st.sampled_from([np.float16, np.float32, np.float64, np.int8, np.int64, np.bool_]), (3, 2)))
def test_any_finite_numbers_come_through_as_float32_with_their_values(x):
    assume(x.dtype.kind != "f" or (np.abs(x, dtype=np.float64) < 3e38).all())
    out = check_inputs(x, (TABLE,))["table"]
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, x.astype(np.float32))


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: Stream("", (1,)), DuplicateName, "needs a name"),
        (lambda: Stream("head", (1,)), DuplicateName, "'head' cannot name an input stream"),
        (lambda: Stream("a", (2,), features=("x",)), ShapeMismatch, "2 features on its last axis but 1"),
        (lambda: Stream("a", (2,), features=("x", "x")), DuplicateName, "called 'x'"),
        (lambda: Stream("a", (2,), axes=("time", "feature")), ShapeMismatch, "2 axis names"),
        (lambda: Head("h", (2,), units=("a", "a")), DuplicateName, "called 'a'"),
        (lambda: Head("h", (2,), units=("a",)), ShapeMismatch, "2 units but 1 unit names"),
        (lambda: Head("h", kind="softmax"), BadValues, "expected regression, binary"),
    ],
)
def test_streams_and_heads_check_themselves(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_dimensions_carry_the_name_of_the_stream():
    assert SERIES.dims == ("series_time", "series_feature")
    assert Stream("image", (8, 8, 3)).axes == ("height", "width", "channel")
    assert Stream("scalar", ()).dims == ()


def test_name_values_names_outputs_too():
    assert name_values([1, 2], ["a", "b"], "head") == {"a": 1, "b": 2}
    with pytest.raises(UnknownName, match="no head is called 'c'"):
        name_values({"a": 1, "c": 2}, ["a", "b"], "head")


def test_rows_are_counted_by_any_of_the_arrays():
    assert count_rows({"u": np.zeros((4, 2)), "v": np.zeros((4, 3))}) == 4


@pytest.mark.parametrize(
    ("names", "others", "asked", "pairs"),
    [
        (["a", "b"], ["b", "a"], None, {"a": "a", "b": "b"}),
        (["a", "b"], ["x", "y"], None, {"a": "x", "b": "y"}),
        (["a", "b"], ["x", "y"], ["b"], {"b": "y"}),
        (["a", "b"], ["a", "y"], ["a"], {"a": "a"}),
        (["a", "b"], ["a", "y"], None, None),
        (["a", "b"], ["x"], None, None),
    ],
)
def test_names_are_paired_by_name_or_by_place(names, others, asked, pairs):
    assert pair_names(names, others, asked) == pairs
