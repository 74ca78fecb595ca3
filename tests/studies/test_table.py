"""CSV columns as streams and heads, and cells that cannot be learnt from named by row and column."""

import numpy as np
import pytest

from xai_mimo.core.errors import BadValues, EmptyData, FileProblem, UnknownName
from xai_mimo.studies import StudySettings, read_table

pytestmark = pytest.mark.all_frameworks

ROWS = ["heat,spin,kind,broken,life,mode"] + [
    f"{300 + i},{i % 3},{'LMH'[i % 3]},{i % 2},{i * 0.5},m{i % 4}" for i in range(12)
]


@pytest.fixture
def read(tmp_path):
    def read(rows=ROWS, **changes):
        path = tmp_path / "machines.csv"
        path.write_text("\n".join(rows) + "\n" if rows else "", encoding="utf-8-sig")
        settings = {
            "title": "t",
            "csv": path,
            "streams": {
                "thermal": {"columns": ["heat"], "unit": "K"},
                "other": {"columns": ["spin", "kind"], "categorical": ["kind"]},
            },
            "heads": {
                "broken": {"column": "broken", "kind": "binary", "truth": {"thermal": ["heat"], "other": ["kind"]}},
                "life": {"column": "life", "kind": "regression"},
                "mode": {"column": "mode", "kind": "multiclass"},
            },
        }
        return read_table(StudySettings.model_validate({**settings, **changes}))

    return read


def edited(row, column, value):
    rows = list(ROWS)
    cells = rows[row].split(",")
    cells[ROWS[0].split(",").index(column)] = value
    rows[row] = ",".join(cells)
    return rows


def test_columns_become_streams_and_heads(read):
    data = read()
    assert [(s.name, s.features, s.unit) for s in data.streams] == [
        ("thermal", ("heat",), "K"),
        ("other", ("spin", "kind=H", "kind=L", "kind=M"), ""),
    ]
    np.testing.assert_array_equal(data.inputs["other"][:3], [[0, 0, 1, 0], [1, 0, 0, 1], [2, 1, 0, 0]])
    assert [(h.name, h.kind, h.units) for h in data.heads] == [
        ("broken", "binary", ("0",)),
        ("life", "regression", ("0",)),
        ("mode", "multiclass", ("m0", "m1", "m2", "m3")),
    ]
    np.testing.assert_array_equal(data.labels["mode"][:5], [0, 1, 2, 3, 0])
    np.testing.assert_array_equal(data.labels["life"][:3], [0, 0.5, 1])


def test_a_true_categorical_column_stands_for_all_of_its_levels(read):
    assert read().truth == {"broken": {"thermal": ("heat",), "other": ("kind=H", "kind=L", "kind=M")}}


def test_a_categorical_column_is_one_variable(read):
    thermal, other = read().streams
    assert thermal.groups == {}
    assert other.groups == {"kind": ("kind=H", "kind=L", "kind=M")}
    assert other.variables == ("spin", "kind")


def test_a_missing_column_is_named_with_the_nearest_one(read):
    streams = {"thermal": {"columns": ["haet"]}}
    heads = {"broken": {"column": "broken", "kind": "binary"}}
    with pytest.raises(UnknownName, match=r"no column of 'machines.csv' is called 'haet'.*Did you mean 'heat'\?"):
        read(streams=streams, heads=heads)


def test_text_in_a_numeric_column_is_named_with_column_row_and_value(read):
    with pytest.raises(
        BadValues, match=r"column 'heat' of 'machines.csv' holds 'warm' in row 5; expected finite numbers"
    ):
        read(edited(5, "heat", "warm"))


def test_an_undeclared_categorical_column_is_told_where_to_declare_it(read):
    streams = {"thermal": {"columns": ["heat"]}, "other": {"columns": ["spin", "kind"]}}
    with pytest.raises(BadValues, match=r"column 'kind'.* holds 'L' in row 1.*under 'categorical'"):
        read(streams=streams, heads={"life": {"column": "life", "kind": "regression"}})


@pytest.mark.parametrize("value", ["", "NaN"])
def test_empty_cells_are_counted_and_the_first_is_named(read, value):
    with pytest.raises(
        BadValues, match=r"column 'spin' of 'machines.csv' has 1 empty or NaN cells, the first in row 2"
    ):
        read(edited(2, "spin", value))


def test_infinity_is_no_number_to_learn_from(read):
    with pytest.raises(BadValues, match=r"column 'heat' .* holds 'inf' in row 3"):
        read(edited(3, "heat", "inf"))


def test_a_binary_head_takes_zeros_and_ones_only(read):
    with pytest.raises(BadValues, match=r"holds 2 in row 4, but head 'broken' is binary; expected 0 and 1"):
        read(edited(4, "broken", "2"))


def test_a_constant_head_is_refused(read):
    rows = [ROWS[0]] + [",".join([*r.split(",")[:3], "0", *r.split(",")[4:]]) for r in ROWS[1:]]
    with pytest.raises(BadValues, match=r"head 'broken': column 'broken' .* is the same in every row"):
        read(rows)


def test_an_identifier_is_no_category(read):
    rows = [ROWS[0]] + [f"{i},{i},id{i},{i % 2},{i},m{i % 4}" for i in range(60)]
    with pytest.raises(BadValues, match=r"has 60 levels; .*Is it an identifier"):
        read(rows)


def test_a_table_without_rows_is_refused(read):
    with pytest.raises(EmptyData, match="has a header but no rows"):
        read(ROWS[:1])


def test_an_empty_file_is_refused(tmp_path, read):
    with pytest.raises(EmptyData, match="is empty; expected a header line and rows"):
        read([])


def test_a_table_that_is_not_there_is_named(read, tmp_path):
    with pytest.raises(FileProblem, match=r"cannot read table '.*none.csv': No such file"):
        read(csv=tmp_path / "none.csv")


def test_a_file_that_is_no_table_is_refused(read, tmp_path):
    (tmp_path / "x.csv").write_bytes(b"\x89PNG\xff\xfe\x00\x01")
    with pytest.raises(FileProblem, match="is not a CSV table in UTF-8"):
        read(csv=tmp_path / "x.csv")


@pytest.mark.parametrize("digits", [400, 5000])
def test_a_number_that_no_float_holds_is_named_with_its_row(read, digits):
    with pytest.raises(BadValues, match=r"column 'heat' of 'machines\.csv' holds '9{80}\.\.\.' in row 3; expected fin"):
        read(edited(3, "heat", "9" * digits))
    with pytest.raises(BadValues, match="column 'life'"):
        read(edited(3, "life", "9" * digits))


def test_two_columns_of_one_name_are_refused(read):
    rows = [ROWS[0].replace("spin", " heat"), *ROWS[1:]]
    with pytest.raises(BadValues, match=r"table '.*machines\.csv' has two columns called 'heat'; rename one"):
        read(rows)


@pytest.mark.parametrize("name", ["a\0.csv", "x" * 300])
def test_a_table_that_is_no_path_is_refused(read, name):
    with pytest.raises(FileProblem, match="is no path"):
        read(csv=name)
