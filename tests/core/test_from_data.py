"""Streams as the data describes them, and the first rows of data of every form."""

import numpy as np
import pandas as pd
import pytest

from xai_mimo.core.errors import BadValues, EmptyData, NotSupported, ShapeMismatch
from xai_mimo.core.from_data import first_rows, streams_from

pytestmark = pytest.mark.all_frameworks
TABLE = np.arange(12.0).reshape(6, 2)
IMAGE = np.zeros((6, 3, 3, 1), dtype="float32")


def facts(streams):
    return [(s.name, s.shape, s.dtype) for s in streams]


def test_a_mapping_names_its_streams():
    streams = streams_from({"table": TABLE, "image": IMAGE, "id": np.arange(6)})
    assert facts(streams) == [("table", (2,), "float64"), ("image", (3, 3, 1), "float32"), ("id", (), "int64")]


@pytest.mark.parametrize(
    ("parameters", "names"),
    [(("vitals", "scan"), ["vitals", "scan"]), ((), ["input_0", "input_1"]), (("sample", "x"), ["sample_in", "x"])],
)
def test_a_list_goes_by_the_names_of_the_parameters(parameters, names):
    assert [s.name for s in streams_from([TABLE, IMAGE], parameters=parameters)] == names


def test_one_thing_is_called_like_the_one_parameter():
    assert streams_from(TABLE, parameters=("vitals",))[0].name == "vitals"
    assert streams_from(TABLE)[0].name == "input"
    assert facts(streams_from([[1, 2], [3, 4]])) == [("input", (2,), "int64")]


def test_columns_name_features():
    frame = pd.DataFrame(TABLE, columns=["age", "bp"])
    assert streams_from({"vitals": frame})[0].features == ("age", "bp")


def test_floats_are_of_the_dtype_that_is_asked_for_and_others_stay():
    streams = streams_from({"a": TABLE, "b": TABLE.astype("float16"), "n": np.arange(6)}, float_dtype="float32")
    assert [s.dtype for s in streams] == ["float32", "float32", "int64"]
    assert streams_from(TABLE.astype("float16"))[0].dtype == "float32"


def test_first_rows_keep_the_form():
    assert len(first_rows(TABLE, 2)) == 2
    assert {name: len(x) for name, x in first_rows({"a": TABLE, "b": IMAGE}, 3).items()} == {"a": 3, "b": 3}
    assert first_rows(pd.DataFrame(TABLE), 2).shape == (2, 2)
    assert [len(x) for x in first_rows([TABLE, IMAGE], 5)] == [5, 5]
    assert first_rows([[1, 2], [3, 4], [5, 6]], 2) == [[1, 2], [3, 4]]


class Batches:
    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


def test_a_loader_is_read_by_its_first_batch_if_it_starts_anew():
    loader = Batches([{"a": TABLE}, {"a": TABLE[:1]}])
    assert facts(streams_from(loader)) == [("a", (2,), "float64")] == facts(streams_from(loader))
    with pytest.raises(EmptyData, match="Batches gave no batch"):
        streams_from(Batches([]))
    with pytest.raises(NotSupported, match=r"a generator can be read once.*streams="):
        streams_from(x for x in [TABLE])


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        ({}, EmptyData, "mapping of input streams is empty"),
        ({3: TABLE}, BadValues, "names as keys; got 3"),
        ({"a": 1.0}, ShapeMismatch, "'a' is one number"),
        ({"a": None}, BadValues, "'a' is None"),
        ({"a": ["x", "y"]}, BadValues, "'a' holds text"),
    ],
)
def test_what_describes_no_streams_is_refused(data, error, words):
    with pytest.raises(error, match=words):
        streams_from(data)
