"""Streams whose values are words: what the door takes for them, and what stands behind it."""

import numpy as np
import pandas as pd
import pytest

from tests.helpers.frameworks import imported
from xai_mimo.core.baselines import resolve_baseline
from xai_mimo.core.digest import digest
from xai_mimo.core.door import check_inputs
from xai_mimo.core.errors import BadSetting, BadValues, NotSupported, ShapeMismatch, UnknownName
from xai_mimo.core.model import require_floats
from xai_mimo.core.players import Masker
from xai_mimo.core.streams import Stream

pytestmark = pytest.mark.all_frameworks

WARDS = Stream("wards", (2,), dtype="str", features=("ward", "floor"))
MIXED = Stream("table", (2,), dtype="object", features=("ward", "age"))
NOTE = Stream("note", (), dtype="str")


def test_words_of_every_form_become_objects():
    frame = pd.DataFrame({"ward": ["er", "icu"], "floor": pd.Categorical(["up", "down"])})
    expected = np.array([["er", "up"], ["icu", "down"]], dtype=object)
    for rows in (frame, frame.iloc[:, ::-1], frame.to_numpy(), expected.astype(str), expected.tolist()):
        read = check_inputs(rows if not isinstance(rows, list) else {"wards": rows}, [WARDS])["wards"]
        assert read.dtype == object
        assert all(type(word) is str for word in read.ravel())
        np.testing.assert_array_equal(read, expected)


def test_numbers_stay_numbers_beside_words():
    for rows in (pd.DataFrame({"age": [3, 4], "ward": ["er", "icu"]}), {"table": [["er", 3], ["icu", 4]]}):
        read = check_inputs(rows, [MIXED])["table"]
        assert read.tolist() == [["er", 3], ["icu", 4]]


def test_a_list_of_words_is_the_rows_of_the_one_stream_that_holds_them():
    assert check_inputs(["no pain", "fever"], [NOTE])["note"].tolist() == ["no pain", "fever"]
    assert check_inputs(pd.Series(["no pain"]), [NOTE])["note"].shape == (1,)


@pytest.mark.parametrize("dtype", [str, object, "str", "object"])
def test_a_stream_of_words_is_declared_by_its_dtype(dtype):
    stream = Stream("a", (1,), dtype=dtype)
    assert stream.holds_words
    assert stream.dtype in ("str", "object")
    assert not stream.is_integer
    assert not Stream("a", (1,)).holds_words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, r"input stream 'wards' holds 3 at index \(1, 1\); expected a word in every place.*x\.astype\(str\)"),
        (None, r"'wards' holds a missing value \(None\), the first at index \(1, 1\)"),
        (float("nan"), r"'wards' holds a missing value \(nan\)"),
        (["a"], r"'wards' holds a list at index \(1, 1\)"),
    ],
)
def test_what_is_no_word_is_refused_by_name(value, text):
    rows = np.array([["er", "up"], ["icu", "down"]], dtype=object)
    rows[1, 1] = value
    with pytest.raises(BadValues, match=text):
        check_inputs(rows, [WARDS])


def test_columns_are_named_in_refusals():
    with pytest.raises(BadValues, match="input stream 'wards', column 'floor' holds 2 in row 0; expected a word"):
        check_inputs(pd.DataFrame({"ward": ["er"], "floor": [2]}), [WARDS])
    with pytest.raises(BadValues, match=r"stream 'a', column '0' holds text \('er' in row 0\); expected numbers"):
        check_inputs(pd.DataFrame({"0": ["er"]}), [Stream("a", (1,))])
    with pytest.raises(ShapeMismatch, match="wards"):
        check_inputs([["er"]], [WARDS])


def test_one_frame_holds_the_columns_of_several_streams():
    vitals = Stream("vitals", (2,), features=("age", "bp"))
    frame = pd.DataFrame({"floor": ["up"], "bp": [1.5], "ward": ["er"], "age": [3]})
    read = check_inputs(frame, [vitals, WARDS])
    assert read["vitals"].tolist() == [[3.0, 1.5]]
    assert read["wards"].tolist() == [["er", "up"]]


def test_columns_that_the_model_does_not_read_may_be_there():
    vitals = Stream("vitals", (1,), features=("age",), ignored=["name"])
    frame = pd.DataFrame({"name": [None], "age": [3], "ward": ["er"], "floor": ["up"]})
    assert check_inputs(frame, [vitals, WARDS])["vitals"].tolist() == [[3.0]]
    assert check_inputs(frame[["name", "age"]], [vitals])["vitals"].tolist() == [[3.0]]
    wards = Stream("wards", (2,), dtype="str", features=("ward", "floor"), ignored=("name", "age"))
    assert check_inputs(frame.iloc[:, ::-1], [wards])["wards"].tolist() == [["er", "up"]]
    with pytest.raises(UnknownName, match="columns that are not its features: ward, floor"):
        check_inputs(frame, [vitals])
    with pytest.raises(UnknownName, match="streams vitals, wards has columns that are not its features: bp"):
        check_inputs(frame.assign(bp=1.0), [vitals, WARDS])
    assert vitals.plain()["ignored"] == ("name",)
    assert "ignored" not in WARDS.plain()


def test_a_frame_of_another_library_is_split_alike():
    polars = imported("polars")
    frame = polars.DataFrame({"floor": ["up"], "age": [3], "ward": ["er"]})
    read = check_inputs(frame, [Stream("vitals", (1,), features=("age",)), WARDS])
    assert read["wards"].tolist() == [["er", "up"]]
    assert read["vitals"].tolist() == [[3.0]]


def test_a_replaced_word_is_kept_whole():
    masker = Masker.of({"wards": np.array([["er", "up"]], dtype=object)}, "features")
    long = {"wards": np.array([["a much longer word", "b"], ["c", "d"]], dtype=object)}
    mixed = masker.against_each({"wards": np.array([["er", "up"]], dtype=object)}, long, np.array([[False, True]]))
    assert mixed["wards"].tolist() == [["a much longer word", "up"], ["c", "up"]]


def test_a_digest_is_of_the_words_and_not_of_their_places_in_memory():
    one, other = (np.array([["".join(["e", "r"]), 3]], dtype=object) for _ in range(2))
    assert digest({"a": one}) == digest({"a": other})
    assert digest({"a": one}) != digest({"a": np.array([["er", 4]], dtype=object)})
    assert digest({"a": one}) != digest({"a": np.array([["er", "3"]], dtype=object)})


def test_words_have_no_zero_and_no_mean():
    streams = (Stream("vitals", (1,), dtype="float64"), WARDS)
    background = {"vitals": np.array([[2.0], [4.0]]), "wards": np.array([["er", "up"], ["icu", "up"]], dtype=object)}
    zero = resolve_baseline("zero", streams, background)
    assert zero["vitals"].tolist() == [[0.0], [0.0]]
    assert zero["wards"].tolist() == background["wards"].tolist()
    with pytest.raises(
        BadSetting, match=r"input stream 'wards' holds words, which have no mean.*baseline='background'"
    ):
        resolve_baseline("mean", streams, background)


def test_words_have_no_gradient():
    class Model:
        name, streams, heads = "ward", (WARDS,), ()

    with pytest.raises(NotSupported, match=r"input stream 'wards' holds words \(str\), which have none"):
        require_floats(Model(), "saliency")
