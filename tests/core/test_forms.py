"""Rows in one thing for several streams, and arrays that name their own axes: the numbers of the plain arrays."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
import xarray as xr

import xai_mimo as xm
from xai_mimo.core.door import check_inputs
from xai_mimo.core.errors import BadValues, DuplicateName, ShapeMismatch, UnknownName
from xai_mimo.core.from_data import first_rows, streams_from
from xai_mimo.core.streams import Stream

pytestmark = pytest.mark.all_frameworks

THERMAL, AGE, SERIES = np.arange(8.0).reshape(4, 2), np.array([3, 1, 4, 1]), np.arange(24.0).reshape(4, 2, 3)
STREAMS = (
    Stream("thermal", (2,), features=("air", "process")),
    Stream("age", (), dtype="int64"),
    Stream("wear", (1,)),
)
WHOLE = pd.DataFrame({"wear": AGE * 0.5, "process": THERMAL[:, 1], "age": AGE, "air": THERMAL[:, 0]})


def expected(arrays):
    np.testing.assert_array_equal(arrays["thermal"], THERMAL)
    np.testing.assert_array_equal(arrays["age"], AGE)
    np.testing.assert_array_equal(arrays["wear"], AGE[:, None] * 0.5)


FRAMES = {
    "pandas": WHOLE,
    "polars": pl.from_pandas(WHOLE),
    "named fields": np.array([tuple(row) for row in WHOLE.to_numpy()], dtype=[(n, "f8") for n in WHOLE]),
    "rows that are mappings": [
        {"thermal": t, "age": a, "wear": [a * 0.5]} for t, a in zip(THERMAL.tolist(), AGE.tolist(), strict=True)
    ],
}


@pytest.mark.parametrize("whole", FRAMES.values(), ids=FRAMES)
def test_one_thing_is_split_among_the_streams(whole):
    expected(check_inputs(whole, STREAMS))


class ArrowLike:
    """What an Arrow table offers: names and schema, columns by name, and some of them by ``select``."""

    schema = "schema"

    def __init__(self, columns):
        self._columns, self.column_names, self.columns = columns, list(columns), list(columns.values())

    def __getitem__(self, name):
        return self._columns[name]

    def select(self, names):
        return ArrowLike({name: self._columns[name] for name in names})


def test_rows_that_are_mappings_describe_their_streams():
    streams = streams_from(FRAMES["rows that are mappings"])
    assert [(s.name, s.shape, s.dtype) for s in streams] == [
        ("thermal", (2,), "float64"),
        ("age", (), "int64"),
        ("wear", (1,), "float64"),
    ]
    with pytest.raises(BadValues, match="'b' holds a missing value"):
        streams_from([{"a": 1.0, "b": 2.0}, {"a": 1.0}])


def test_an_arrow_table_is_split_by_its_own_words():
    expected(check_inputs(ArrowLike({name: WHOLE[name].to_numpy() for name in WHOLE}), STREAMS))


def test_explain_takes_one_frame_for_several_streams():
    model = xm.adapt(
        lambda thermal, wear: thermal[:, 0] + 2 * wear[:, 0],
        streams={"thermal": ["air", "process"], "wear": 1},
        heads={"y": 1},
    )
    for frame in (WHOLE.drop(columns="age"), pl.from_pandas(WHOLE).drop("age")):
        maps = xm.explain(model, frame, "occlusion")
        np.testing.assert_allclose(maps["wear"].values[0, :, 0], WHOLE["wear"] * 2)
        np.testing.assert_allclose(maps["thermal"].values[0, :, 0], WHOLE["air"])


def test_columns_that_are_missing_and_those_that_are_too_many_are_both_listed():
    odd = WHOLE.rename(columns={"process": "proces", "age": "years"})
    with pytest.raises(
        UnknownName,
        match=r"no column of the data frame for input streams thermal, age, wear is called 'process'.*Did you mean "
        r"'proces'\? It lacks process, age, and has columns that are not its features: proces, years\.",
    ):
        check_inputs(odd, STREAMS)
    one = pd.DataFrame({"a": [1.0], "air": [2.0]})
    with pytest.raises(
        UnknownName, match=r"is called 'process'.* It lacks process, and has columns that are not .*: a"
    ):
        check_inputs(one, STREAMS[:1])
    with pytest.raises(
        UnknownName, match=r"that are not its features: x\. Leave them out: frame\.drop\(columns=\['x'\]"
    ):
        check_inputs(WHOLE.assign(x=1.0), STREAMS)


def test_a_frame_that_cannot_be_split_says_why():
    both = (STREAMS[0], Stream("other", (2,), features=("air", "x")))
    with pytest.raises(DuplicateName, match="streams 'thermal' and 'other' both have a feature 'air'"):
        check_inputs(WHOLE, both)
    with pytest.raises(ShapeMismatch, match="split among input streams by the names of their features; those of 'x'"):
        check_inputs(WHOLE, (STREAMS[0], Stream("x", (2,))))


def test_rows_of_one_stream_may_be_a_list():
    table = (Stream("x", (2,)),)
    for rows in (THERMAL.tolist(), [*THERMAL], [torch.tensor(row) for row in THERMAL], [tuple(r) for r in THERMAL]):
        np.testing.assert_array_equal(check_inputs(rows, table)["x"], THERMAL)
        np.testing.assert_array_equal(check_inputs(rows[:1], table)["x"], THERMAL[:1])
    np.testing.assert_array_equal(check_inputs([THERMAL], table)["x"], THERMAL)  # one array, of one stream
    np.testing.assert_array_equal(check_inputs([3, 1], (STREAMS[1],))["age"], [3, 1])
    with pytest.raises(ShapeMismatch, match="'x' is not a regular array"):
        check_inputs([[1, 2], [3]], table)


def test_named_axes_are_put_in_order():
    streams = (Stream("s", (2, 3), axes=("time", "feature"), features=("p", "q", "r")),)
    named = xr.DataArray(SERIES, dims=("sample", "time", "feature"), coords={"feature": ["p", "q", "r"]})
    for values in (
        named,
        named.transpose("feature", "sample", "time"),
        named.isel(feature=[2, 0, 1]),
        named.rename(sample="row").transpose("time", "feature", "row"),
        named.rename(time="t"),
    ):
        np.testing.assert_array_equal(check_inputs(values, streams)["s"], SERIES)
        np.testing.assert_array_equal(check_inputs(xr.Dataset({"s": values}), streams)["s"], SERIES)
    with pytest.raises(UnknownName, match="no column of the data frame for stream 's' is called 'r'"):
        check_inputs(named.assign_coords(feature=["p", "q", "x"]), streams)


def test_a_dataset_describes_its_streams():
    table = xr.DataArray(THERMAL.T, dims=("sensor", "sample"), coords={"sensor": ["air", "process"]})
    data = xr.Dataset({"thermal": table, "age": ("sample", AGE)})
    assert streams_from(data) == (
        Stream("thermal", (2,), "float64", axes=("sensor",), features=("air", "process")),
        Stream("age", (), "int64"),
    )
    wide = xr.DataArray(np.zeros((6, 9)), dims=("sensor", "sample"))
    assert dict(first_rows(wide).sizes) == {"sensor": 6, "sample": 4}
    maps = xm.explain(lambda thermal, age: thermal[:, 0] * 2 + age, data, "occlusion")
    np.testing.assert_allclose(maps["thermal"].sel(head="output", thermal_sensor="air"), THERMAL[:, 0] * 2)
    named = xm.explain(xm.adapt(lambda x: x.sum(axis=1), streams={"x": 2}, heads={"y": 1}), table, "occlusion")
    assert named["x_feature"].values.tolist() == ["air", "process"]


NULLS = pl.DataFrame({"air": [1.0, None], "process": [1.0, 2.0]})


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (NULLS, "'thermal', column 'air' holds 1 values that are missing, NaN or infinite, the first in row 1"),
        (NULLS.with_columns(air=pl.Series([None, 3])), "column 'air' holds 1 values that are missing"),
        (NULLS.with_columns(air=pl.Series([True, None])), r"column 'air' holds a missing value \(None\).* row 1"),
        (NULLS.with_columns(air=pl.Series(["a", None])), r"column 'air' holds text \('a' in row 0\)"),
        (NULLS.lazy(), r"is a LazyFrame, which is no array of numbers\. Collect it first: x\.collect\(\)"),
    ],
)
def test_polars_with_nulls_is_refused_by_column_and_row(frame, text):
    with pytest.raises(BadValues, match=text):
        check_inputs(frame, STREAMS[:1])
