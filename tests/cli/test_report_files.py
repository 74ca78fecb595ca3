"""``xai-mimo report`` on each kind of file: the report is made, or what stands against it is said and nothing is left."""

import importlib.util

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.helpers.evil import evil_pickle
from tests.helpers.frameworks import needs
from tests.helpers.saved_models import COLUMNS, RUNS_CODE, SAFE, estimator, pickle_file, rows, skops_file
from xai_mimo.cli.main import app
from xai_mimo.record import json_file

pytestmark = [pytest.mark.all_frameworks, needs("sklearn", "skops")]


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return CliRunner().invoke(app, ["report", *map(str, arguments), "--rows", "4", "--out", "out/new"])

    return run


@pytest.fixture
def table(tmp_path):
    frame = pd.DataFrame(rows(20), columns=COLUMNS)
    frame.to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path / "rows.csv"


def record(folder):
    return json_file.from_json(folder / "out" / "new" / "comparison.json")


def refused(done, folder, text, code=2):
    assert done.exit_code == code, done.output
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: ")
    assert text in done.stderr
    assert not (folder / "out").exists()
    return done.stderr


def test_a_function_of_a_module_in_the_current_folder_and_a_table(run, table, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.path", ["/nowhere", *__import__("sys").path])
    (tmp_path / "functions_here.py").write_text("def risk(table):\n    return table[:, 0] * table[:, 1]\n")
    done = run("functions_here:risk", table)
    assert done.exit_code == 0, done.output
    made = record(tmp_path)
    assert made["title"] == "functions_here:risk on rows.csv"
    assert made["command"] == "xai-mimo report functions_here:risk rows.csv --seed 0"
    assert tuple(made["model"]["streams"][0]["features"]) == COLUMNS
    assert (tmp_path / "out" / "new" / "report.html").is_file()


def test_labels_stand_in_columns_of_the_table(run, table, tmp_path):
    frame = pd.read_csv(table)
    frame["label:output_0"] = estimator().predict(frame.to_numpy("float32"))[:, 0]
    frame.to_csv(table, index=False)
    done = run(skops_file(tmp_path), table, "--heads", "output_0")
    assert done.exit_code == 0, done.output
    made = record(tmp_path)
    assert {(t["head"], t["metric"]) for t in made["task"]} >= {("output_0", "r2")}
    assert tuple(made["model"]["streams"][0]["features"]) == COLUMNS


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*SAFE, *RUNS_CODE])
def test_every_kind_of_file_gives_a_report(kind, run, table, tmp_path):
    package, make = (SAFE | RUNS_CODE)[kind]
    assert importlib.util.find_spec(package), package
    path = make(tmp_path)
    np.savez(tmp_path / "rows.npz", table=rows(20))
    for data in (table, tmp_path / "rows.npz"):
        done = run(path, data, *(["--trust"] if kind in RUNS_CODE else []))
        assert done.exit_code == 0, done.output
        assert done.stdout.splitlines()[-1] == f"report: {tmp_path / 'out' / 'new' / 'report.html'}"
        made = record(tmp_path)
        assert made["title"] == f"{path.name} on {data.name}"
        assert ("--trust" in made["command"]) == (kind in RUNS_CODE)
        assert made["data"]["explained_rows"] == 4


def test_a_pickle_is_refused_with_its_risk_and_read_after_trust(run, table, tmp_path):
    path = pickle_file(tmp_path)
    text = refused(run(path, table), tmp_path, "is a pickle, and reading it runs whatever its author put into it")
    assert "or --trust on the command line" in text
    done = run(path, table, "--trust", "--heads", "output_1")
    assert done.exit_code == 0, done.output
    assert record(tmp_path)["command"] == "xai-mimo report model.pkl rows.csv --trust --seed 0"


@pytest.mark.parametrize(
    "name", ["evil.pkl", "evil.joblib", "evil.pt", "evil.keras", "evil.onnx", "evil.pt2", "evil.skops"]
)
def test_nothing_of_a_pickle_runs_without_trust(name, run, table, tmp_path):
    (tmp_path / name).write_bytes(evil_pickle(tmp_path / "it-ran"))
    refused(run(name, table), tmp_path, name)
    assert not (tmp_path / "it-ran").exists()


def test_a_file_that_is_not_there_leaves_no_folder(run, table, tmp_path):
    refused(run("nope.keras", table), tmp_path, "cannot read 'nope.keras': there is no such file.")
    refused(run("nope:f", table), tmp_path, "no module 'nope' can be imported, and there is no file 'nope:f'")
    refused(run(skops_file(tmp_path), "nope.csv"), tmp_path, "cannot read 'nope.csv': there is no such file.")


def test_rows_that_do_not_fit_leave_no_folder(run, table, tmp_path):
    path = skops_file(tmp_path)
    refused(run(path, table, "--heads", "none"), tmp_path, "no head")
    (tmp_path / "gap.csv").write_text("a,b,c,d\n1,2,,4\n1,2,3,4\n")
    refused(run(path, "gap.csv"), tmp_path, "NaN")
    (tmp_path / "labels.csv").write_text("label:y\n1\n")
    refused(
        run(path, "labels.csv"), tmp_path, "table 'labels.csv' holds labels alone; expected a column for each feature"
    )
    (tmp_path / "empty.csv").write_text("")
    refused(run(path, "empty.csv"), tmp_path, "table 'empty.csv' is empty")
    (tmp_path / "twice.csv").write_text("a,b\n1,2\n")
    refused(run(path, "twice.csv"), tmp_path, "")


def test_a_folder_with_something_in_it_stays(run, table, tmp_path):
    (tmp_path / "out" / "new").mkdir(parents=True)
    (tmp_path / "out" / "new" / "mine.txt").write_text("mine")
    done = run(skops_file(tmp_path), table, "--heads", "none")
    assert done.exit_code == 2
    assert (tmp_path / "out" / "new" / "mine.txt").read_text() == "mine"


def test_tables_that_pyarrow_reads_ask_for_it(run, tmp_path, monkeypatch):
    path = skops_file(tmp_path)

    def missing(path):
        raise ImportError("no pyarrow")

    monkeypatch.setattr("xai_mimo.studies.frames._BINARY", {".parquet": missing})
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    refused(run(path, "rows.parquet"), tmp_path, "'.parquet' files are read by pyarrow: pip install pyarrow")
    monkeypatch.setattr("xai_mimo.studies.frames._BINARY", {".parquet": lambda path: pd.read_csv("gap.csv")})
    refused(run(path, "rows.parquet"), tmp_path, "")


def test_names_are_shown_without_control_codes(run, table, tmp_path):
    name = "evil\x1b[2J\nred.pkl"
    (tmp_path / name).write_bytes(evil_pickle(tmp_path / "it-ran"))
    text = refused(run(name, table), tmp_path, r"evil\x1b[2J red.pkl' is a pickle")
    assert "\x1b" not in text
    text = refused(run("no\x1b[31m.keras", table), tmp_path, r"cannot read 'no\x1b[31m.keras'")
    assert "\x1b" not in text


def test_the_two_files_in_each_others_place(run, table, tmp_path):
    path = skops_file(tmp_path)
    refused(run(table, path), tmp_path, f"the model comes first and the rows second: xai-mimo report {path} {table}")
