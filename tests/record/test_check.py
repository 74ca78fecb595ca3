"""A record that is wrong is refused with the place and the reason; a right one comes back as it was."""

import pytest

from tests.helpers.pictured_record import pictured_record
from tests.helpers.records import make_record
from xai_mimo.core.errors import SchemaError
from xai_mimo.record.check import check, from_dict, to_dict
from xai_mimo.record.row import plain

pytestmark = pytest.mark.all_frameworks


def _set(path, value):
    def change(record):
        *way, last = path
        for step in way:
            record = record[step]
        record[last] = value

    return change


def _drop(key):
    def change(record):
        del record[key]

    return change


CASES = {
    "another version": (
        _set(["schema"], "xai_mimo.comparison/2"),
        r"reads .*comparison/1.*got 'xai_mimo.comparison/2'",
    ),
    "no version": (_drop("schema"), "got None"),
    "missing table": (_drop("scores"), "scores: Field required"),
    "missing key": (lambda r: r["model"].pop("fingerprint"), r"model\.fingerprint: Field required"),
    "number in quotes": (
        _set(["scores", 0, "estimate"], "0.5"),
        r"scores\.0\.estimate: Input should be a valid number",
    ),
    "null without note": (_set(["scores", 0, "low"], None), r"scores\.0: .*low is null without a note"),
    "a role unheard of": (_set(["scores", 0, "role"], "best"), r"scores\.0\.role: Input should be 'value'"),
    "infinite": (_set(["gaps", 0, "tolerance"], float("inf")), r"gaps\.0\.tolerance: Input should be a finite number"),
    "a head unheard of": (_set(["verdicts", 1, "head"], "x"), r"verdicts\[1\] is about head 'x'.*known: heat"),
    "a difference of a head unheard of": (_set(["differences", 0, "head"], "x"), r"differences\[0\] is about head 'x'"),
    "a method unheard of": (_set(["shares", 2, "method"], "lime"), r"shares\[2\] is about method 'lime'"),
    "a metric unheard of": (_set(["scores", 0, "metric"], "x"), r"scores\[0\] is about metric 'x', which .*; known: "),
    "a difference of a metric unheard of": (
        _set(["differences", 0, "metric"], "x"),
        r"differences\[0\] is about metric 'x'",
    ),
    "fewer than no rows": (
        _set(["scores", 0, "rows"], -1),
        r"scores\.0: .*Score.rows must be a whole number of at least 0; got -1",
    ),
    "fewer than no rows of data": (_set(["data", "rows"], -1), r"DataRow.rows must be a whole number of at least 0"),
    "fewer than no seeds": (_set(["task", 0, "seeds"], -3), r"TaskRow.seeds must be a whole number of at least 0"),
    "one label twice": (_set(["methods", 1, "label"], "attention"), "methods must have different names.*attention"),
    "curve lengths": (_set(["curves", 0, "mean"], [0.0]), r"curves\.0: .*equally long"),
    "curve null": (_set(["curves", 0, "low"], [None] * 11), r"curves\.0: .*a point is null without a note"),
    "example text": (
        _set(["examples", 0, "inputs"], {"thermal": ["a"]}),
        r"examples\.0: .*inputs\.thermal must be finite numbers",
    ),
    "no methods": (_set(["methods"], []), "methods: there must be at least one"),
}


def _map(**changes):
    found = {
        "layer": "imv",
        "name": "temporal_attention",
        "axes": ["time", "feature"],
        "coords": {"time": ["lag 2", "lag 1"], "feature": ["a"], "feature.stream": ["u"]},
        "mean": [[0.75], [0.25]],
        "rows": 3,
        "reference": "",
        "note": "",
    }
    return found | changes


def _stream_map(**changes):
    found = {
        "method": "attention",
        "head": "heat dissipation failure",
        "stream": "u",
        "axes": ["time", "feature"],
        "coords": {},
        "mean": [[0.5], [-0.25]],
        "mean_abs": [[0.5], [0.5]],
        "total": 1.0,
        "note": "",
    }
    return found | changes


PICTURES = {
    "axes": ("maps", _map(axes=["time"]), r"maps\.0.*the axes \['time'\] do not fit values of shape \(2, 1\)"),
    "labels": ("maps", _map(coords={"time": ["1"]}), r"1 labels of 'time' do not fit"),
    "labels of no axis": ("maps", _map(coords={"head.unit": ["1"]}), r"1 labels of 'head.unit' do not fit"),
    "irregular": ("maps", _map(mean=[[1.0], []]), r"must be a regular array; holds parts of the shapes"),
    "a map left out": ("maps", _map(mean=None), "mean is null without a note"),
    "magnitude": ("stream_maps", _stream_map(mean_abs=[0.5, 0.5]), r"do not fit values of shape \(2,\)"),
    "a head": ("stream_maps", _stream_map(head="x"), r"stream_maps\[0\] is about head 'x'"),
    "a method": ("stream_maps", _stream_map(method="x"), r"stream_maps\[0\] is about method 'x'"),
}


@pytest.mark.parametrize("case", PICTURES)
def test_a_wrong_picture_is_refused(case):
    table, row, message = PICTURES[case]
    with pytest.raises(SchemaError, match=message):
        check(make_record(1) | {table: [row]})


def test_pictures_are_taken_with_and_without_values():
    nothing = {"mean": None, "coords": {}, "note": "left out"}
    record = make_record(1) | {
        "maps": [_map(), _map(**nothing)],
        "stream_maps": [_stream_map(), _stream_map(mean_abs=None, **nothing)],
    }
    read = check(record)
    assert [plain(row) for row in read.maps] == record["maps"]
    assert [plain(row) for row in read.stream_maps] == record["stream_maps"]


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_record_is_refused_with_the_place_and_the_reason(case):
    record = make_record(2)
    change, message = CASES[case]
    change(record)
    with pytest.raises(SchemaError, match=message):
        check(record)


def test_a_record_from_before_metrics_had_a_table_is_read():
    record = make_record(2) | {"metrics": []}
    assert check(record).scores[0].metric == record["scores"][0]["metric"]


def test_what_is_not_a_mapping_is_refused():
    with pytest.raises(SchemaError, match=r"got list\. Pass Comparison.to_dict\(\)"):
        check([1, 2])


def test_many_errors_are_counted_and_five_shown():
    record = make_record(1)
    for row in record["shares"][:8]:
        row["mean"] = "x"
    with pytest.raises(SchemaError, match=r"shares\.4\.mean: .* \(and 3 more\)"):
        check(record)


@pytest.mark.parametrize("options", [{}, {"rows": 1}, {"silent_head": True}, {"truth": False, "examples": False}])
def test_a_right_record_comes_back_with_what_came_later_added(options):
    record = make_record(2, **options)
    again = to_dict(check(record))
    assert {key: _without_defaults(again[key], record[key]) for key in record} == record
    added = {key: again[key] for key in again if key not in record}
    assert added == {"settings": {}, "maps": [], "stream_maps": [], "regions": None}


def _without_defaults(values, like):
    """The values without keys that ``like`` does not have."""
    if isinstance(like, dict):
        return {key: _without_defaults(values[key], part) for key, part in like.items()}
    if isinstance(like, list):
        return [_without_defaults(value, part) for value, part in zip(values, like, strict=True)]
    return values


def test_plain_values_of_a_record_are_read_as_the_same_record():
    record = check(pictured_record())
    assert from_dict(to_dict(record)) == record
    assert check(record) is record


def test_keys_beyond_the_layout_are_ignored():
    record = make_record(1)
    record["more"] = {"a": 1}
    record["scores"][0]["more"] = 2
    assert check(record) == check(make_record(1))


def test_what_json_cannot_hold_is_refused():
    record = make_record(1)
    record["settings"] = {"axes": {1, 2}}
    with pytest.raises(SchemaError, match=r"holds what JSON cannot: .*set"):
        check(record)
