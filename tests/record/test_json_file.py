"""The record as JSON: a round trip keeps every digit, and what is no JSON of ours is refused."""

import json

import pytest

from tests.helpers.records import AWKWARD, HOSTILE, make_record
from xai_mimo.core.errors import FileProblem, SchemaError
from xai_mimo.record import json_file
from xai_mimo.record.check import from_dict

pytestmark = pytest.mark.all_frameworks


@pytest.mark.parametrize("heads", [1, 12])
def test_text_and_record_are_the_same_after_a_round_trip(heads, tmp_path):
    record = make_record(heads, silent_head=True, method_names=(HOSTILE, AWKWARD, "schön"))
    text = json_file.to_json(record)
    assert json_file.from_json(text) == from_dict(record)
    assert json_file.to_json(json_file.from_json(text)) == text
    assert json_file.from_json(str(json_file.write(record, tmp_path / "r.json"))) == from_dict(record)


def test_every_digit_is_kept():
    record = make_record(1)
    record["shares"][0]["mean"] = 0.1 + 0.2
    assert json_file.from_json(json_file.to_json(record)).shares[0].mean == 0.1 + 0.2


def test_lists_of_numbers_stand_in_one_line_and_texts_are_left_alone():
    record = make_record(1)
    record["title"] = "[\n 1,\n 2\n]"
    record["examples"][0]["inputs"] = {"thermal": [[1.5, -2e-07], [3.0, 4.0]]}
    text = json_file.to_json(record)
    assert "[1.5, -2e-07],\n" in text
    assert json_file.from_json(text) == from_dict(record)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_not_finite_is_refused(word):
    record = make_record(1)
    record["shares"][0]["mean"] = float(word)
    with pytest.raises(SchemaError, match=r"shares\.0\.mean: Input should be a finite number"):
        json_file.to_json(record)
    with pytest.raises(SchemaError, match=f"holds {word}; every number must be finite"):
        json_file.from_json(json.dumps(record))


def test_what_is_not_json_is_refused(tmp_path):
    with pytest.raises(SchemaError, match="the text given is not JSON"):
        json_file.from_json('{"schema": ')
    binary = tmp_path / "model.keras"
    binary.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(SchemaError, match=r"model\.keras is not JSON: it is not text in UTF-8"):
        json_file.from_json(binary)
    with pytest.raises(FileProblem, match=r"cannot read .*missing\.json: No such file"):
        json_file.from_json(tmp_path / "missing.json")


def test_a_key_given_twice_is_refused():
    with pytest.raises(SchemaError, match="names 'seed' twice"):
        json_file.from_json('{"schema": "xai_mimo.comparison/1", "seed": 1, "seed": 2}')
