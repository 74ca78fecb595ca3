"""The tables of a comparison: their columns, what is explained of them, and a record that stays as it is."""

import dataclasses
import re

import numpy as np
import pytest
import xarray as xr

import xai_mimo as xm
from tests.helpers.pictured_record import pictured_record
from tests.helpers.records import make_record
from xai_mimo.comparison.result import Comparison
from xai_mimo.core.errors import SchemaError, UnknownName
from xai_mimo.record.check import check
from xai_mimo.record.json_file import from_json
from xai_mimo.record.results import TaskRow

pytestmark = pytest.mark.all_frameworks

TABLES = ("scores", "differences", "shares", "features", "curves", "gaps", "examples", "verdicts")


@pytest.fixture(scope="module")
def result() -> Comparison:
    return Comparison(xr.Dataset(), check(pictured_record()))


@pytest.mark.parametrize("table", TABLES)
def test_every_column_of_a_table_is_explained(result, table):
    text = getattr(Comparison, table).__doc__.split("Columns:", 1)[1]
    entries = [line.split(":", 1)[0] for line in text.splitlines() if re.match(r" {12}\S[^:]*:", line)]
    explained = [name.strip() for entry in entries for name in entry.split(",")]
    assert list(getattr(result, table).columns) == explained


@pytest.mark.parametrize("table", TABLES)
def test_a_table_without_rows_keeps_its_columns(result, table):
    record = dataclasses.replace(result.record, **{table: ()})
    empty = getattr(Comparison(xr.Dataset(), record), table)
    assert len(empty) == 0
    assert {"head", "method"} <= set(empty.columns)


@pytest.mark.parametrize("table", ["scores", "differences", "shares", "features", "verdicts"])
def test_a_table_holds_the_rows_of_the_record(result, table):
    rows = result.to_dict()[table]
    shown = getattr(result, table)
    assert len(shown) == len(rows)
    for column, value in rows[-1].items():
        assert shown[column].iloc[-1] == value or value is None


def test_a_curve_becomes_a_row_for_each_point(result):
    curve = result.record.curves[1]
    points = result.curves.query("method == @curve.method and head == @curve.head and kind == @curve.kind")
    np.testing.assert_array_equal(points["fraction"], curve.fraction)
    np.testing.assert_array_equal(points["mean"], curve.mean)
    np.testing.assert_array_equal(points["high"], curve.high)


def test_gaps_have_a_column_for_each_quantile(result):
    gap = result.record.gaps[0]
    assert result.gaps.iloc[0]["quantile_0.99"] == gap.relative_quantiles["0.99"]
    assert result.gaps.iloc[0]["share_within"] == gap.share_within


def test_an_example_has_a_line_for_each_method_and_stream(result):
    lines = result.examples.query("row == 77")
    assert len(lines) == 3 * 3
    line = lines.iloc[0]
    np.testing.assert_array_equal(line["values"], result.record.examples[1].values[line["method"]][line["stream"]])
    assert line["inputs"].shape == line["values"].shape


def test_task_scores_are_added_to_a_new_comparison(result):
    row = TaskRow(model="m", head="risk", metric="auc", estimate=0.5, low=None, high=None, seeds=1, note="one seed")
    scored = result.with_task([row])
    assert scored.record.task == (row,)
    assert scored.to_dict()["task"][0]["metric"] == "auc"
    assert scored.to_dict() | {"task": result.to_dict()["task"]} == result.to_dict()


def test_the_dictionary_may_be_changed_and_the_record_stays(result):
    values, before = result.to_dict(), result.to_dict()
    values["scores"].clear()
    values["examples"][0]["values"].clear()
    assert result.to_dict() == before


def test_a_comparison_prints_its_verdicts_with_their_uses():
    record = make_record(1, head_names=("risk",), methods=2)
    words = {"verdict": "doubtful", "order": "supported", "shares": "misleading"}
    record["verdicts"] = [{**row, **words, "sign": None} for row in record["verdicts"]]
    lines = repr(Comparison(xr.Dataset(), check(record))).splitlines()
    assert lines[0] == "Comparison: 2 methods, 1 head, 256 rows, in the space at:mail"
    assert lines[2].split() == ["head", "method", "verdict", "order", "shares", "sign"]
    assert lines[4].split() == ["risk", "integrated_gradients", "doubtful", "supported", "misleading", "–"]
    assert "order: which inputs matter more than which" in lines[-1]


def test_a_comparison_of_older_records_prints_one_word_and_control_codes_stay_text():
    record = make_record(1, head_names=("\x1b[31m\nrisk",), methods=1, uses=False)
    text = repr(Comparison(xr.Dataset(), check(record)))
    assert text.splitlines()[2].split() == ["head", "method", "verdict"]
    assert "\\x1b[31m risk" in text
    assert "\x1b" not in text
    record["verdicts"] = []
    assert repr(Comparison(xr.Dataset(), check(record))).endswith("at:mail: no verdicts")


def test_the_frame_of_verdicts_has_a_word_for_each_use(result):
    row, shown = result.record.verdicts[1], result.verdicts.iloc[1]
    assert [shown[use] for use in ("verdict", "order", "shares", "sign")] == [
        row.verdict,
        row.order,
        row.shares,
        row.sign,
    ]
    assert list(result.verdicts["sign"].isna()) == [v.sign is None for v in result.record.verdicts]
    older = Comparison(xr.Dataset(), check(make_record(1, uses=False))).verdicts
    assert list(older["order"]) == [None] * 3


def task(head, **changes):
    return {
        "model": "m",
        "head": head,
        "metric": "auc",
        "estimate": 0.5,
        "low": 0.25,
        "high": 0.75,
        "seeds": 3,
    } | changes


def test_task_scores_are_taken_as_mappings_and_in_numbers_of_numpy(result, tmp_path):
    head = result.record.targets[0].name
    numpy_s = task(head, estimate=np.float32(0.5), low=np.float64(0.25), high=np.array(0.75), seeds=np.int64(3))
    scored = result.with_task(iter([numpy_s, TaskRow(**task(head, seeds=np.int16(3)))]))
    assert scored.record.task == (TaskRow(**task(head)),) * 2
    assert [type(scored.record.task[0].estimate), type(scored.record.task[0].seeds)] == [float, int]
    scored.to_json(tmp_path / "record.json")
    assert from_json(tmp_path / "record.json") == scored.record
    assert "auc" in scored.report(tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("rows", "error", "text"),
    [
        (lambda h: task(h), SchemaError, r"takes a list of rows; got one dict\. Give a list"),
        (lambda h: TaskRow(**task(h)), SchemaError, r"takes a list of rows; got one TaskRow\. Give a list"),
        (lambda h: 3, SchemaError, r"takes a list of rows; got one int\. Give a list"),
        (lambda h: [3], SchemaError, r"row 0 of with_task is a int: 3; expected a TaskRow, or a mapping with .*seeds"),
        (
            lambda h: [task(h, estimate="1.0")],
            SchemaError,
            r"TaskRow.estimate must be a number or None; got '1\.0' \(str\)",
        ),
        (lambda h: [task(h, estimate=[3])], SchemaError, r"TaskRow.estimate must be a number or None; got \(3,\)"),
        (lambda h: [task(h, estimate=None)], SchemaError, "estimate is null without a note"),
        (
            lambda h: [task(h, seeds=2.5)],
            SchemaError,
            r"TaskRow.seeds must be a whole number of at least 0; got 2\.5 \(float\)",
        ),
        (
            lambda h: [task(h, seeds=True)],
            SchemaError,
            r"TaskRow.seeds must be a whole number of at least 0; got True \(bool\)",
        ),
        (lambda h: [task("no such")], UnknownName, "no head of the record is called 'no such'; there are: "),
        (lambda h: [task(h) | {"seed": 1}], UnknownName, "no key of a task row is called 'seed'.*Did you mean 'seeds'"),
        (
            lambda h: [{"head": h}],
            SchemaError,
            "row 0 of with_task lacks model, metric, estimate, low, high, seeds; got head",
        ),
    ],
)
def test_task_scores_that_could_not_be_written_are_refused(result, rows, error, text):
    with pytest.raises(error, match=text):
        result.with_task(rows(result.record.targets[0].name))


def test_a_comparison_is_read_back_from_its_record(tmp_path, rng):
    model = xm.adapt(lambda u, v: {"y": u.sum(1) * v[:, 0]}, streams={"u": 2, "v": 1}, heads={"y": 1})
    x = {"u": rng.normal(size=(20, 2)), "v": rng.normal(size=(20, 1))}
    made = xm.compare(model, x, ["shapley", "occlusion"], metrics=["gini", "symmetric_gain"], rows=15)
    text = made.to_json(tmp_path / "record.json")
    xm.save(made.explanations, tmp_path / "maps.nc")
    for source in (text, tmp_path / "record.json", str(tmp_path / "record.json")):
        again = xm.Comparison.from_json(source)
        assert again.to_dict() == made.to_dict()
        assert again.to_json() == text
        assert not again.explanations
        assert repr(again) == repr(made)
    whole = xm.Comparison.from_json(text, xm.load(tmp_path / "maps.nc"))
    xr.testing.assert_equal(whole.explanations, made.explanations)
    other = xm.compare(model, {**x, "v": x["v"] + 1}, ["shapley", "occlusion"], metrics=["gini"], rows=15)
    with pytest.raises(SchemaError, match="not those of the comparison: the rows of these are"):
        xm.Comparison.from_json(text, other.explanations)
    with pytest.raises(
        SchemaError, match=r"the methods of these are \['occlusion'\], and the\s+record's \['shapley', 'occlu"
    ):
        xm.Comparison.from_json(text, made.explanations.sel(explainer=["occlusion"]))
    with pytest.raises(SchemaError, match=r"the methods of these are \[\]"):
        xm.Comparison.from_json(text, xm.explain(model, x, "shapley"))
    with pytest.raises(SchemaError, match="the model of these are other"):
        xm.Comparison.from_json(text, made.explanations.assign_attrs(fingerprint="other"))
    with pytest.raises(SchemaError, match="is not JSON"):
        xm.Comparison.from_json("{")
