"""The settings of a study: a good file is read, a bad one refused in one line that names the key."""

import pytest

from xai_mimo.core.errors import BadSetting, FileProblem
from xai_mimo.studies import load_settings, shipped

pytestmark = pytest.mark.all_frameworks

GOOD = """
title = "t"
csv = "table.csv"
[streams.a]
columns = ["x", "kind"]
categorical = ["kind"]
[heads.y]
column = "y"
kind = "binary"
truth = { a = ["x"] }
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "study.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_good_study_is_read_and_its_table_lies_beside_it(write, tmp_path):
    settings = load_settings(write(GOOD))
    assert settings.csv == tmp_path / "table.csv"
    assert settings.streams["a"].columns == ("x", "kind")
    assert settings.training.scorings == ("local",)
    assert settings.report_scoring == "local"


def test_the_shipped_study_is_found_by_name():
    assert shipped() == ["ai4i2020"]
    settings = load_settings("ai4i2020")
    assert settings.dataset == "ai4i2020"
    assert settings.report_scoring == "local"
    assert set(settings.training.scorings) == {"dense", "stream", "local", "additive", "static"}
    assert len(settings.training.seeds) >= 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("title", "titel"), r"no key of the top level is called 'titel'.*Did you mean 'title'\?"),
        (('columns = ["x", "kind"]', "columns = []"), r"key 'streams\.a\.columns': .*at least 1 item.*got \[\]"),
        (('kind = "binary"', 'kind = "yesno"'), r"key 'heads\.y\.kind': Input should be 'binary'.*got 'yesno'"),
        (('column = "y"\n', ""), r"key 'heads\.y\.column' is missing"),
        (('categorical = ["kind"]', 'categorical = ["sort"]'), r"'streams\.a': categorical names 'sort'"),
        (('{ a = ["x"] }', '{ b = ["x"] }'), r"heads\.y\.truth names the stream 'b', which is not declared"),
        (('{ a = ["x"] }', '{ a = ["z"] }'), r"heads\.y\.truth names 'z', no column of stream 'a'"),
        (('csv = "table.csv"', ""), r"a study needs either csv = '<file>' or dataset = 'ai4i2020'"),
        (('csv = "table.csv"', 'csv = "table.csv"\ndataset = "ai4i2020"'), "a study needs either csv"),
        (('title = "t"', "title = t"), r"is not valid TOML: .*line 2"),
        (("[heads.y]", "[training]\nepochs = 0\n[heads.y]"), r"key 'training\.epochs': .*greater than 0; got 0"),
        (("[heads.y]", "[training]\nepoch = 9\n[heads.y]"), r"no key of \[training\] is called 'epoch'.*mean 'epochs'"),
        (("[heads.y]", '[explaining]\nreport = "dense"\n[heads.y]'), r"explaining\.report = 'dense' is not one of"),
        (("[streams.a]", '[streams."a b"]'), r"key 'streams\.a b\.\[key\]'"),
        (("[streams.a]", '[streams."a\\u0000"]'), "key 'streams.*the name .* holds .* at place 1"),
        (("[heads.y]", '[heads."\\u001b[31m"]'), "key 'heads.*the name .* holds .* at place 0"),
        (('csv = "table.csv"', 'csv = "a\\u0000.csv"'), "key 'csv': .* is no path: it holds the character NUL"),
        (("[heads.y]", "[training]\nlearning_rate = inf\n[heads.y]"), "learning_rate': .*finite number; got inf"),
        (("[heads.y]", f"[training]\nbatch = {'9' * 400}\n[heads.y]"), r"batch': .*less than .*; got 9{80}\.\.\."),
        (("[heads.y]", "[training]\nseeds = [4294967296]\n[heads.y]"), "seeds.0': .*less than 4294967296"),
        (("[heads.y]", f"[training]\nepochs = {'9' * 5000}\n[heads.y]"), "holds a number too large"),
        (("[heads.y]", f"[training]\nepochs = {'[' * 500}\n[heads.y]"), "lists too deep to be a study"),
        (("[heads.y]", f"[training]\nepochs = {'{a=' * 500}\n[heads.y]"), "lists too deep to be a study"),
    ],
)
def test_a_bad_study_is_refused_in_one_line_that_names_the_key(write, change, message):
    with pytest.raises(BadSetting, match=message) as caught:
        load_settings(write(GOOD.replace(*change)))
    assert "\n" not in str(caught.value)
    assert "study.toml" in str(caught.value)


def test_a_file_that_is_not_there_names_the_shipped_studies(tmp_path):
    with pytest.raises(FileProblem, match=r"cannot read study .*No such file.*Shipped studies: ai4i2020"):
        load_settings(tmp_path / "none.toml")


def test_a_binary_file_is_refused(tmp_path):
    (tmp_path / "s.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileProblem, match="is not UTF-8 text"):
        load_settings(tmp_path / "s.toml")


@pytest.mark.parametrize("source", [3, None, b"s.toml", ["s.toml"], "a\0b", "a\ud800"])
def test_what_is_no_path_is_refused(source):
    with pytest.raises(FileProblem, match=r"is no path|expected the path of a study"):
        load_settings(source)
