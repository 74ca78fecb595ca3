"""Data as people have it: the plain array's numbers, or our own words."""

import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from xai_mimo.core.baselines import check_background, mean_row, resolve_baseline
from xai_mimo.core.declare import named_by_columns
from xai_mimo.core.door import check_inputs
from xai_mimo.core.errors import (
    BadValues,
    DuplicateName,
    EmptyData,
    PrecisionWarning,
    ShapeMismatch,
    UnknownName,
)
from xai_mimo.core.streams import Stream
from xai_mimo.core.tables import column_labels, read_array

pytestmark = pytest.mark.all_frameworks

PLAIN = np.array([[2.0, 1.0, 3.0], [5.0, 0.0, 7.0]])
NAMED = (Stream("x", (3,), features=("p", "q", "r")),)
UNNAMED = (Stream("x", (3,)),)
FRAME = pd.DataFrame(PLAIN, columns=list("pqr"))


class PolarsLike:
    """What polars offers of a frame: names, columns by name, and no index."""

    def __init__(self, columns):
        self._columns = columns
        self.columns = list(columns)

    def __getitem__(self, name):
        return np.asarray(self._columns[name])

    def to_numpy(self):
        raise AssertionError("whoever reads a table whole loses its columns")


class ArrowLike:
    """What an Arrow table offers: its names and schema, and columns as a list."""

    schema = "schema"

    def __init__(self, columns):
        self._columns = columns
        self.column_names = list(columns)
        self.columns = list(columns.values())

    def __getitem__(self, name):
        return self._columns[name]


def read(values, streams=NAMED):
    return check_inputs({"x": values} if isinstance(values, list) else values, streams)["x"]


SAME = {
    "reversed rows twice": np.ascontiguousarray(PLAIN[::-1])[::-1],
    "reversed columns": np.ascontiguousarray(PLAIN[:, ::-1])[:, ::-1],
    "nothing masked": np.ma.masked_array(PLAIN, mask=False),
    "tensor with grad": torch.tensor(PLAIN, requires_grad=True),
    "list of tensors with grad": [torch.tensor(row, requires_grad=True) for row in PLAIN],
    "bfloat16 tensor": torch.tensor(PLAIN).bfloat16(),
    "sparse tensor": torch.tensor(PLAIN).to_sparse(),
    "sparse matrix": sparse.csr_matrix(PLAIN),
    "sparse array": sparse.coo_array(PLAIN),
    "objects": PLAIN.astype(object),
    "decimals": [[Decimal(int(v)) for v in row] for row in PLAIN],
    "truth values beside numbers": [[2, True, 3.0], [5, False, 7]],
    "frame": FRAME,
    "frame of truth values beside numbers": FRAME.assign(q=FRAME.q > 0),
    "frame of nullable dtypes": FRAME.convert_dtypes(),
    "frame of objects": FRAME.astype(object),
    "frame of sparse columns": FRAME.astype(pd.SparseDtype("float64", 0.0)),
    "frame of categories of numbers": FRAME.astype("category"),
    "frame in another order": FRAME[["r", "p", "q"]],
    "polars": PolarsLike({"r": PLAIN[:, 2], "p": PLAIN[:, 0], "q": PLAIN[:, 1]}),
    "arrow": ArrowLike({"r": PLAIN[:, 2], "p": PLAIN[:, 0], "q": PLAIN[:, 1]}),
    "named fields": np.array([(3.0, 2, True), (7.0, 5, False)], dtype=[("r", "f8"), ("p", "i4"), ("q", "?")]),
}


@pytest.mark.parametrize("values", SAME.values(), ids=SAME)
def test_the_numbers_are_those_of_the_plain_array(values):
    array = read(values)
    np.testing.assert_array_equal(array, PLAIN)
    assert array.dtype == np.float32
    assert all(step > 0 for step in array.strides)


def test_an_array_that_fits_is_not_copied():
    plain = PLAIN.astype("float32")
    assert read(plain) is plain


TEXT = FRAME.astype(object).assign(q=["red", "blue"])
REFUSED = {
    "masked": (np.ma.masked_array(PLAIN, mask=[[0, 0, 0], [1, 0, 0]]), r"masked array with 1 masked.* index \(1, 0\)"),
    "masked rows in a list": ([np.ma.masked_array(PLAIN[0], [0, 1, 0]), PLAIN[1]], "masked array with 1 masked values"),
    "missing in a nullable column": (FRAME.convert_dtypes().assign(q=pd.array([None, 1])), "column 'q' .*NA.* row 0"),
    "missing in a column of objects": (FRAME.astype(object).assign(q=[1, None]), "column 'q' .*missing.* row 1"),
    "NaN in a frame": (FRAME.assign(r=[1.0, np.nan]), "column 'r' holds 1 values that are missing.* row 1"),
    "text in a frame": (TEXT, r"column 'q' holds text \('red' in row 0\).*get_dummies"),
    "text of numbers": ([["1.5", "2", "3"]] * 2, r"text \('1.5'\).*astype\(float\)"),
    "categories of text": (TEXT.assign(q=TEXT.q.astype("category")), "column 'q' holds text"),
    "dates": (FRAME.assign(p=pd.to_datetime(["2020-01-01", "2020-01-02"])), "column 'p' .*hours since a start"),
    "complex": (PLAIN + 1j, "real and imaginary parts"),
    "None": (None, "'x' is None; expected an array of numbers"),
    "a set": ({1.0, 2.0}, "no order"),
    "arrays as objects": (pd.Series([[1, 2, 3], [4, 5, 6]]), "holds a list in row 0; expected a number in every place"),
    "a number too large": ([[10**400, 1, 2]], "no float can hold"),
    "a path": ("rows.csv", r"a path is no data: got 'rows\.csv' in the place of the rows\. .*pandas\.read_csv"),
    "a path of a stream": (
        {"x": "rows.csv"},
        r"a path is no data: got 'rows\.csv' in the place of the rows of input stream 'x'\. .*pandas\.read_csv",
    ),
}


@pytest.mark.parametrize(("values", "text"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_number_is_refused_by_its_place_and_with_its_mend(values, text):
    with pytest.raises(BadValues, match=text):
        read(values)


def test_columns_of_one_name_are_refused():
    with pytest.raises(DuplicateName, match="two columns of the data frame for stream 'x' are called 'p'"):
        read(FRAME.set_axis(["p", "p", "r"], axis=1))
    with pytest.raises(DuplicateName, match="called '1'"):
        read(FRAME.set_axis([1, "1", "r"], axis=1), UNNAMED)


def test_columns_are_missing_or_unknown_by_name():
    with pytest.raises(UnknownName, match=r"no column of the data frame for stream 'x' is called 'q'.*p, qq, r"):
        read(FRAME.rename(columns={"q": "qq"}))
    with pytest.raises(UnknownName, match="columns that are not its features: s"):
        read(FRAME.assign(s=1.0))


def test_whole_numbers_as_labels_are_names_and_no_places():
    frame = pd.DataFrame(PLAIN)
    np.testing.assert_array_equal(read(frame[[2, 0, 1]], UNNAMED), PLAIN)
    np.testing.assert_array_equal(read(frame.set_axis([1, 2, 3], axis=1), UNNAMED), PLAIN)
    with pytest.raises(UnknownName, match="columns 7, 5, 6: whole numbers in no order"):
        read(frame.set_axis([7, 5, 6], axis=1), UNNAMED)


def test_column_names_become_feature_names_where_there_are_none():
    assert named_by_columns(UNNAMED, FRAME)[0].features == ("p", "q", "r")
    assert named_by_columns(UNNAMED, {"x": FRAME[["r", "p", "q"]]})[0].features == ("r", "p", "q")
    assert named_by_columns(NAMED, FRAME[["r", "p", "q"]]) == NAMED
    assert named_by_columns(UNNAMED, PLAIN) == UNNAMED
    assert named_by_columns(UNNAMED, pd.DataFrame(PLAIN)[[2, 0, 1]]) == UNNAMED
    assert column_labels(PLAIN) is None


def test_batches_of_a_loader_are_all_rows():
    rows = torch.tensor(PLAIN)
    for loader in (
        torch.utils.data.DataLoader(rows, batch_size=1),
        torch.utils.data.DataLoader(torch.utils.data.TensorDataset(rows), batch_size=2),
        (PLAIN[i : i + 1] for i in range(2)),
        ({"x": PLAIN[i : i + 1]} for i in range(2)),
    ):
        np.testing.assert_array_equal(read(loader), PLAIN)


class Endless:
    def __iter__(self):
        while True:
            yield PLAIN

    def cardinality(self):
        return -1


def test_loaders_that_give_no_rows_are_refused_in_words():
    labelled = torch.utils.data.TensorDataset(torch.tensor(PLAIN), torch.tensor([1, 0]))
    with pytest.raises(ShapeMismatch, match=r"each batch of the DataLoader holds 2 values.*\(x for x, y in loader\)"):
        read(torch.utils.data.DataLoader(labelled, batch_size=2))
    with pytest.raises(EmptyData, match="gave no batch"):
        read(iter(()))
    with pytest.raises(BadValues, match="never ends"):
        read(Endless())
    with pytest.raises(BadValues, match=r"is a TensorDataset, which is no array of numbers.*numpy.stack"):
        read(labelled)
    with pytest.raises(ShapeMismatch, match="differ in shape"):
        check_inputs(iter([np.ones((1, 2, 3)), np.ones((1, 4, 3))]), (Stream("x", (None, 3)),))


def test_one_feature_wants_its_axis():
    with pytest.raises(ShapeMismatch, match=r"rows of one feature, add its axis: x\[:, None\]"):
        check_inputs(pd.Series([1.0, 2.0]), (Stream("x", (1,)),))


def test_truth_values_are_0_or_1():
    stream = (Stream("x", (3,), dtype="bool"),)
    np.testing.assert_array_equal(read(PLAIN * 0 + [1, 0, 1], stream), [[True, False, True]] * 2)
    with pytest.raises(BadValues, match=r"holds truth values; got 2\.0, which is neither 0 nor 1"):
        read(PLAIN, stream)


def test_digits_that_the_dtype_cannot_hold_are_named():
    seconds = 1.6e9 + np.array([[850.0], [636.0], [511.0]])
    with pytest.warns(PrecisionWarning, match="read as float32, which moves values of feature '0' by up to"):
        check_inputs(seconds, (Stream("x", (1,)),))
    for quiet in (
        seconds.astype("float32"),
        seconds - 1.6e9,
        np.full((3, 1), 0.1) * (1 + 1e-15 * np.arange(3)[:, None]),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_inputs(quiet, (Stream("x", (1,)),))
    np.testing.assert_array_equal(check_inputs(seconds, (Stream("x", (1,), dtype="float64"),))["x"], seconds)


def test_the_mean_of_truth_values_is_the_majority_and_of_whole_numbers_the_nearest():
    rows = {"b": np.array([[1, 1], [0, 1], [0, 1], [0, 0]], bool), "i": np.array([[3, 9], [0, 9], [0, 9], [0, 10]])}
    mean = mean_row(rows)
    np.testing.assert_array_equal(mean["b"], [[False, True]])
    np.testing.assert_array_equal(mean["i"], [[1, 9]])
    assert mean["b"].dtype == bool


@pytest.mark.parametrize(
    "one", [FRAME[["r", "p", "q"]].iloc[:1], FRAME[["r", "p", "q"]].iloc[0], torch.tensor(PLAIN[0])]
)
def test_a_baseline_is_put_right_by_name(one):
    rows = resolve_baseline({"x": one}, NAMED, {"x": PLAIN})
    np.testing.assert_array_equal(rows["x"], PLAIN[:1])
    np.testing.assert_array_equal(resolve_baseline(one, NAMED, {"x": PLAIN})["x"], PLAIN[:1])


def test_errors_say_that_the_background_or_the_baseline_is_meant():
    with pytest.raises(ShapeMismatch, match=r"in the background, input stream 'x' wants \(batch, 3\)"):
        check_background(PLAIN[:, :2], NAMED)
    with pytest.raises(BadValues, match="the baseline of input stream 'x' holds text"):
        resolve_baseline({"x": ["a", "b", "c"]}, NAMED, {"x": PLAIN})


def test_words_are_taken_where_words_may_be():
    assert read_array(pd.Series(["a", "b"]), "labels", takes_words=True).tolist() == ["a", "b"]
    with pytest.raises(BadValues, match="labels holds text"):
        read_array(pd.Series(["a", "b"]), "labels")


def test_frames_of_streams_whose_rows_are_in_another_order_are_refused():
    streams = (Stream("a", (1,)), Stream("b", (1,)))
    a = pd.DataFrame({"p": [1.0, 2.0, 3.0]}, index=[7, 8, 9])
    b = pd.DataFrame({"q": [10.0, 20.0, 30.0]}, index=[7, 8, 9])
    np.testing.assert_array_equal(check_inputs({"a": a, "b": b}, streams)["b"][:, 0], [10, 20, 30])
    with pytest.raises(
        BadValues, match=r"rows of input stream 'b' have the same index as those of .* 'a'.*loc\[x.index"
    ):
        check_inputs({"a": a, "b": b.iloc[::-1]}, streams)
    check_inputs({"a": a, "b": b.iloc[::-1].loc[a.index]}, streams)
    check_inputs({"a": a, "b": b.iloc[::-1].reset_index(drop=True)}, streams)  # numbered anew: by place
    check_inputs({"a": a, "b": b.iloc[::-1].to_numpy()}, streams)


def test_row_labels_that_cannot_be_sorted_are_compared():
    index = [(1, "a"), "b", 3]
    a, b = pd.DataFrame({"p": [1.0, 2.0, 3.0]}, index=index), pd.DataFrame({"p": [1.0, 2.0, 3.0]}, index=index[::-1])
    with pytest.raises(BadValues, match="in another order"):
        check_inputs([a, b], (Stream("a", (1,)), Stream("b", (1,))))
