import copy
import dataclasses
import json
import pickle

import numpy as np
import pytest

from tests.helpers.pictured_record import pictured_record
from tests.helpers.records import make_record
from xai_mimo.core.errors import SchemaError
from xai_mimo.record.check import check
from xai_mimo.record.describe import row_types
from xai_mimo.record.maps import Example
from xai_mimo.record.results import Score, TaskRow, Verdict
from xai_mimo.record.row import plain
from xai_mimo.record.rows import Record

pytestmark = pytest.mark.all_frameworks

ROWS = row_types()


@pytest.fixture(scope="module")
def record() -> Record:
    return check(pictured_record())


def _score(**changes):
    facts = {"head": "y", "family": "complexity", "metric": "m", "method": "a", "rows": 3}
    return Score(**(facts | {"estimate": 1.0, "low": 0.5, "high": 1.5} | changes))


def test_nothing_of_a_record_can_be_changed(record):
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.title = "another"
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.scores[0].estimate = 1.0
    with pytest.raises(TypeError, match="does not support item assignment"):
        record.versions["numpy"] = "0"
    with pytest.raises(TypeError, match="does not support item assignment"):
        record.examples[0].values["attention"]["weather"] = ()
    with pytest.raises(AttributeError, match="append"):
        record.scores.append(record.scores[0])


def test_what_a_row_is_made_of_cannot_be_changed_behind_its_back():
    evidence, values = ["one"], {"a": {"u": [[1.0], [2.0]]}}
    verdict = Verdict(head="y", method="a", verdict="doubtful", text="", evidence=evidence)
    example = Example(row=0, head="y", prediction=0.0, label=None, inputs={}, values=values)
    evidence.append("two")
    values["a"]["u"][0][0] = 9.0
    assert verdict.evidence == ("one",)
    assert example.values["a"]["u"] == ((1.0,), (2.0,))


def test_a_record_can_be_pickled_and_copied(record):
    assert pickle.loads(pickle.dumps(record)) == record
    assert copy.deepcopy(record) == record


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_row_made_in_code_refuses_a_number_that_is_not_finite(value):
    with pytest.raises(SchemaError, match=rf"Score.estimate must be finite; is {value}"):
        _score(estimate=value)
    with pytest.raises(SchemaError, match=r"Example.values must be finite"):
        Example(row=0, head="y", prediction=0.0, label=None, inputs={}, values={"a": {"u": [[1.0, value]]}})


def test_numbers_of_numpy_become_those_of_python():
    score = _score(estimate=np.float32(0.5), rows=np.int64(3), low=np.float64(0.25), k=np.uint8(2))
    assert [type(v) for v in (score.estimate, score.rows, score.low, score.k)] == [float, int, float, int]
    example = Example(
        row=0, head="y", prediction=0.0, label=None, inputs={}, values={"a": {"u": np.eye(2, dtype="f4")}}
    )
    assert example.values["a"]["u"] == ((1.0, 0.0), (0.0, 1.0))
    for row in (score, example):
        assert json.loads(json.dumps(plain(row), allow_nan=False)) == plain(row)
    with pytest.raises(SchemaError, match=r"Score.estimate must be finite; is nan"):
        _score(estimate=np.float32("nan"))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"estimate": "1.0"}, r"Score.estimate must be a number or None; got '1\.0' \(str\)\. Convert it"),
        ({"estimate": True}, r"Score.estimate must be a number or None; got True"),
        ({"rows": 3.0}, r"Score.rows must be a whole number of at least 0; got 3\.0 \(float\)"),
        ({"head": 3}, r"Score.head must be text; got 3 \(int\)"),
        ({"role": "best"}, r"Score.role must be one of 'value', .*; got 'best'"),
    ],
)
def test_a_value_of_another_type_is_refused_in_a_row_made_in_code(changes, text):
    with pytest.raises(SchemaError, match=text):
        _score(**changes)


def test_the_parts_of_a_row_are_of_their_types_too(record):
    with pytest.raises(SchemaError, match=r"Verdict.evidence must be a list, each text; got \('one', 2\)"):
        dataclasses.replace(record.verdicts[0], evidence=("one", 2))
    with pytest.raises(SchemaError, match=r"Record.task must be a list, each a TaskRow; got \(3,\)"):
        dataclasses.replace(record, task=[3])
    with pytest.raises(SchemaError, match=r"Record.versions must be a mapping of names, each to text"):
        dataclasses.replace(record, versions={"numpy": 2})


def test_null_stands_with_a_note_in_a_row_made_in_code():
    with pytest.raises(SchemaError, match="low, high is null without a note"):
        _score(low=None, high=None)
    assert _score(low=None, high=None, note="one row").low is None


def test_a_record_with_other_rows_is_checked_again(record):
    stranger = dataclasses.replace(record.verdicts[0], head="x")
    with pytest.raises(SchemaError, match=r"verdicts\[0\] is about head 'x', which the record does not declare"):
        dataclasses.replace(record, verdicts=(stranger,))


def test_tables_are_read_by_name_as_version_0_1_0_gave_them():
    values = make_record(1)
    record = check(values)
    assert record["scores"] == values["scores"]
    assert record["data"]["rows"] == 2560
    with pytest.raises(KeyError, match="scroes"):
        record["scroes"]


def test_the_task_rows_of_the_study_fit_into_a_record(record):
    row = TaskRow(model="m", head="risk", metric="auc", estimate=0.5, low=None, high=None, seeds=1)
    assert dataclasses.replace(record, task=(row,)).task == (row,)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_every_attribute_of_a_row_is_explained(row):
    text = row.__doc__.split("Attributes:", 1)[1]
    explained = [
        line.split(":")[0].strip() for line in text.splitlines() if line.startswith(" " * 8) and line[8] != " "
    ]
    assert explained == [f.name for f in dataclasses.fields(row)]
