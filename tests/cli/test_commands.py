"""The commands end to end, on whatever backend the suite runs."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from xai_mimo.cli.main import app
from xai_mimo.datasets import predictive_maintenance
from xai_mimo.record import json_file

QUICK = ["--rows", "300", "--epochs", "2", "--explain", "12", "--heads", "HDF,OSF"]


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        return CliRunner().invoke(app, [str(a) for a in arguments])

    return run


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo")
    return out, CliRunner().invoke(app, ["demo", "--out", str(out), *QUICK])


def test_the_demo_writes_a_report_and_names_it(demo):
    out, done = demo
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == f"report: {out / 'report.html'}"
    assert (out / "report.html").read_text(encoding="utf-8").startswith("<!")
    assert (out / "model.keras").is_file()


def test_the_demo_records_what_it_did(demo):
    out, _ = demo
    record = json_file.from_json(out / "comparison.json")
    assert [h["name"] for h in record["model"]["heads"]] == ["HDF", "OSF"]
    assert {m["name"] for m in record["methods"]} == {"interception", "integrated_gradients", "shapley"}
    assert record["space"]["name"] == "inputs"
    assert record["data"]["explained_rows"] == 12
    assert record["truth"]["HDF"] == {"thermal": ["air", "process"], "mechanical": ["speed"]}
    assert {t["metric"] for t in record["task"]} == {"average_precision", "auroc"}
    assert record["command"] == "xai-mimo demo --seed 0"
    assert {head["unit"] for head in record["model"]["heads"]} == {"log-odds"}


def test_a_saved_model_and_rows_give_a_report_with_the_files_names(demo, run, tmp_path):
    out, _ = demo
    done = run("report", out / "model.keras", out / "data.npz", "--out", tmp_path, "--rows", 6, "--heads", "HDF")
    assert done.exit_code == 0, done.output
    record = json_file.from_json(tmp_path / "comparison.json")
    assert record["data"]["explained_rows"] == 6
    assert [t["name"] for t in record["targets"]] == ["HDF"]
    assert record["model"]["streams"][1]["features"] == ["air", "process"]
    assert (tmp_path / "report.html").is_file()


def test_a_report_is_drawn_again_from_its_record_alone(demo, run, tmp_path):
    out, _ = demo
    done = run("report", out / "comparison.json", "--out", tmp_path)
    assert done.exit_code == 0, done.output
    again = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert again == (out / "report.html").read_text(encoding="utf-8")


def study_file(folder, rows=160):
    data = predictive_maintenance(rows, seed=1, positives=0.25)
    kinds = np.array(list("LMH"))[data.inputs["product"].argmax(axis=1)]
    luck = np.random.default_rng(0).standard_normal(rows)
    lines = ["kind,speed,torque,wear,PWF,left,luck"]
    for i in range(rows):
        speed, torque = data.inputs["mechanical"][i]
        wear = data.inputs["wear"][i, 0]
        lines.append(f"{kinds[i]},{speed},{torque},{wear},{data.labels['PWF'][i]},{253 - wear},{luck[i]}")
    (folder / "machines.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "study.toml").write_text(
        """
title = "Machines"
csv = "machines.csv"
[streams.mechanical]
columns = ["speed", "torque"]
[streams.tool]
columns = ["wear", "kind"]
categorical = ["kind"]
[heads.PWF]
column = "PWF"
kind = "binary"
truth = { mechanical = ["speed", "torque"] }
[heads.left]
column = "left"
kind = "regression"
[heads.luck]
column = "luck"
kind = "regression"
[training]
scorings = ["local"]
seeds = [1]
epochs = 2
[explaining]
methods = ["interception", "input_x_gradient"]
rows = 8
negatives = 2
""",
        encoding="utf-8",
    )
    return folder / "study.toml"


def test_a_study_of_a_table_trains_scores_and_reports_and_goes_on_where_it_stopped(run, tmp_path):
    path, out = study_file(tmp_path), tmp_path / "out"
    first = run("study", path, "--out", out)
    assert first.exit_code == 0, first.output
    assert first.stdout.splitlines()[-1] == f"report: {out / 'report.html'}"
    study = json.loads((out / "study.json").read_text(encoding="utf-8"))
    figures = {(r["network"], r["head"], r["metric"], r["method"]): r for r in study["rows"]}
    assert figures["baseline", "PWF", "average_precision", ""]["seeds"] == 1
    assert figures["mail_local", "left", "rmse", ""]["estimate"] > 0
    assert 0 <= figures["mail_local", "PWF", "auroc", "interception"]["estimate"] <= 1
    assert ("baseline", "PWF", "auroc", "interception") not in figures
    assert ("baseline", "PWF", "auroc", "input_x_gradient") in figures
    for name in ("report.html", "study.md", "study.csv", "explained.npz", "comparison.json"):
        assert (out / name).is_file(), name
    assert "What each map may be used for" in (out / "study.md").read_text(encoding="utf-8")
    record = json_file.from_json(out / "comparison.json")
    assert {t["model"] for t in record["task"]} == {"baseline", "mail_local"}
    held_out = next(t for t in record["task"] if (t["model"], t["head"], t["metric"]) == ("mail_local", "luck", "r2"))
    for verdict in (v for v in record["verdicts"] if v["head"] == "luck"):
        assert verdict["verdict"] == "undecided"
        assert f"(R2 {held_out['estimate']:.2g}, where guessing gives 0" in verdict["text"]
    assert {r["feature"] for r in record["features"] if r["stream"] == "tool"} == {"wear", "kind"}
    assert {level for e in record["examples"] for level in e["levels"]["tool"].values()} <= set("LMH")

    networks = {p: p.stat().st_mtime_ns for p in (out / "networks").iterdir()}
    assert len(networks) == 4
    (out / "networks" / "mail_local-seed1.json").unlink()
    again = run("study", path, "--out", out)
    assert again.exit_code == 0, again.output
    trained = {p.name for p, t in networks.items() if p.stat().st_mtime_ns != t}
    assert trained == {"mail_local-seed1.json", "mail_local-seed1.keras"}
    repeated = json.loads((out / "study.json").read_text(encoding="utf-8"))
    assert repeated["rows"] == study["rows"]


def test_the_installed_command_runs_in_a_process_of_its_own(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "from xai_mimo.cli.main import main; main()", "study", str(tmp_path / "none.toml")],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"error: cannot read study '{tmp_path / 'none.toml'}': No such file or directory")


def test_the_doctor_lists_packages_and_plugins_and_finds_this_place_usable(run):
    done = run("doctor")
    assert done.exit_code == 0, done.output
    assert "keras" in done.stdout
    assert "xai_mimo.methods" in done.stdout
    assert done.stdout.splitlines()[-1] == "ready: `xai-mimo demo` makes a report."
