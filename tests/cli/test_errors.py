"""What a user reads when something is wrong: one line that says what, and an exit code."""

import importlib.util

import keras
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from xai_mimo.cli import backend, doctor
from xai_mimo.cli.backend import installed, use_backend
from xai_mimo.cli.guard import guarded
from xai_mimo.cli.main import app
from xai_mimo.core.errors import BadSetting, MissingDependency

pytestmark = pytest.mark.all_frameworks


@pytest.fixture
def fails(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def fails(*arguments, code=2):
        done = CliRunner().invoke(app, [str(a) for a in arguments])
        assert done.exit_code == code, done.output
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1, done.stderr
        return done.stderr

    return fails


@pytest.fixture
def rows(tmp_path):
    np.savez(tmp_path / "rows.npz", a=np.zeros((3, 2), np.float32))
    return tmp_path / "rows.npz"


@pytest.fixture
def model(tmp_path):
    inputs = {"a": keras.Input((2,), name="a")}
    net = keras.Model(inputs, {"y": keras.layers.Dense(1, name="y")(inputs["a"])})
    net.save(tmp_path / "net.keras")
    return tmp_path / "net.keras"


def test_a_file_that_is_not_a_model(fails, rows, tmp_path):
    (tmp_path / "model.keras").write_text("not a model")
    assert "is not a saved Keras model; write one with model.save" in fails("report", tmp_path / "model.keras", rows)


def test_an_archive_that_is_not_a_model(fails, rows, tmp_path):
    rows.rename(tmp_path / "model.keras")
    np.savez(rows, a=np.zeros((3, 2)))
    assert "cannot be loaded as a Keras model" in fails(
        "report", tmp_path / "model.keras", rows, "--out", tmp_path / "r"
    )


def test_a_model_with_code_in_it_is_refused(fails, rows, tmp_path):
    inputs = keras.Input((2,), name="a")
    net = keras.Model({"a": inputs}, {"y": keras.layers.Lambda(lambda x: x * 2)(inputs)})
    net.save(tmp_path / "code.keras")
    text = fails("report", tmp_path / "code.keras", rows, "--out", tmp_path / "r")
    assert "holds code, such as a Lambda layer, which can do all that you may do" in text
    assert "or --trust on the command line" in text
    assert not (tmp_path / "r").exists()


def test_a_model_that_is_not_there(fails, rows, tmp_path):
    text = fails("report", tmp_path / "none.keras", rows, "--out", tmp_path / "r")
    assert text == f"error: cannot read '{tmp_path / 'none.keras'}': there is no such file.\n"
    assert not (tmp_path / "r").exists()


def test_a_model_without_rows(fails, model):
    assert f"'{model}' needs rows beside it" in fails("report", model)


def test_files_in_each_others_place(fails, model, rows):
    text = fails("report", rows, model)
    assert f"the model comes first and the rows second: xai-mimo report {model} {rows}" in text
    assert f"'{rows}' holds rows, and the model comes before them" in fails("report", rows)
    assert f"'{model}' is a model; rows come second" in fails("report", model, model)
    assert f"'{rows}' and '{rows}' both hold rows" in fails("report", rows, rows)


def test_files_of_another_kind(fails, model, tmp_path):
    table = tmp_path / "machines.csv"
    table.write_text("a,b\n1,2\n")
    assert f"'{table}' holds rows, and the model comes before them" in fails("report", table)
    (tmp_path / "notes.md").write_text("notes")
    text = fails("report", tmp_path / "notes.md")
    assert "is neither a comparison (.json) nor a saved model (.keras, .onnx, ...)" in text
    text = fails("report", model, tmp_path / "notes.md")
    assert f"is not an .npz file; write one with numpy.savez('{tmp_path / 'notes.npz'}', stream=array, ...)" in text
    assert "Tables end in .csv, .parquet, .feather." in text
    assert "it is a folder; give the name of an .npz file inside it" in fails("report", model, tmp_path)
    text = fails("study", table)
    assert "is a table; a study is a TOML file beside it that says csv = 'machines.csv'" in text


def test_rows_that_would_have_to_be_unpickled(fails, model, tmp_path):
    np.savez(tmp_path / "bad.npz", a=np.array([{"x": 1}, None], dtype=object))
    text = fails("report", model, tmp_path / "bad.npz", "--out", tmp_path / "r")
    assert "array 'a' of" in text
    assert "holds Python objects, which would have to be unpickled and could run code" in text


def test_rows_that_are_no_archive(fails, model, tmp_path):
    np.save(tmp_path / "one.npy", np.zeros(3))
    assert "is not an .npz file" in fails("report", model, tmp_path / "one.npy", "--out", tmp_path / "r")


def test_rows_that_are_not_there(fails, model, tmp_path):
    assert "there is no such file" in fails("report", model, tmp_path / "none.npz", "--out", tmp_path / "r")


def test_a_stream_with_another_name(fails, model, tmp_path):
    np.savez(tmp_path / "other.npz", b=np.zeros((3, 2)))
    assert "no input stream is called 'b'; there are: a" in fails(
        "report", model, tmp_path / "other.npz", "--out", tmp_path
    )


def test_labels_of_a_head_that_the_model_does_not_have(fails, model, tmp_path):
    np.savez(tmp_path / "other.npz", **{"a": np.zeros((3, 2)), "label:z": np.zeros(3)})
    assert "no head of the model is called 'z'" in fails("report", model, tmp_path / "other.npz", "--out", tmp_path)


def test_rows_with_nan(fails, model, tmp_path):
    np.savez(tmp_path / "nan.npz", a=np.array([[np.nan, 1.0]]))
    assert "holds 1 values that are NaN or infinite" in fails("report", model, tmp_path / "nan.npz", "--out", tmp_path)


def test_an_output_folder_in_whose_place_a_file_stands(fails, tmp_path):
    (tmp_path / "taken").write_text("")
    text = fails("demo", "--out", tmp_path / "taken")
    assert f"output folder '{tmp_path / 'taken'}' cannot be made: a file stands in its place" in text


def test_a_folder_below_a_file(fails, tmp_path):
    (tmp_path / "taken").write_text("")
    assert "cannot make the folder" in fails("demo", "--out", tmp_path / "taken" / "below")


def test_a_record_that_is_none(fails, tmp_path):
    (tmp_path / "comparison.json").write_text("{")
    assert "is not JSON" in fails("report", tmp_path / "comparison.json", "--out", tmp_path)


def test_a_head_that_the_demo_does_not_have(fails, tmp_path):
    assert "Did you mean 'HDF'?" in fails("demo", "--heads", "HDX", "--out", tmp_path)


def test_no_head_at_all(fails, tmp_path):
    assert "--heads ',' names no head" in fails("demo", "--heads", ",", "--out", tmp_path)


def test_a_head_that_the_study_does_not_have(fails, tmp_path):
    assert "no head of the study is called 'HFD'" in fails("study", "ai4i2020", "--heads", "HFD", "--out", tmp_path)


def test_a_bad_study_file(fails, tmp_path):
    (tmp_path / "s.toml").write_text('title = "t"\ncsv = "x.csv"\nstreams = 3\n')
    assert "key 'streams': Input should be" in fails("study", tmp_path / "s.toml")


def test_a_backend_that_does_not_exist(fails):
    assert "backend 'numpy' is not one of jax, torch, tensorflow" in fails("doctor", "--backend", "numpy")


def test_a_defect_becomes_one_line_with_advice_and_exit_code_1(capsys):
    @guarded
    def broken(*, debug):
        raise ZeroDivisionError("division by\nzero")

    with pytest.raises(typer.Exit) as caught:
        broken(debug=False)
    assert caught.value.exit_code == 1
    assert capsys.readouterr().err == (
        "unexpected ZeroDivisionError: division by -- run again with --debug for the traceback, and with `xai-mimo "
        "doctor` to check the installation.\n"
    )


def test_code_that_ends_the_program_does_not_do_so_in_silence(capsys):
    @guarded
    def ending(*, debug):
        raise SystemExit(0)

    with pytest.raises(typer.Exit) as caught:
        ending(debug=False)
    assert caught.value.exit_code == 1
    assert capsys.readouterr().err == "unexpected SystemExit(0): code of the model ended the program.\n"


def test_debug_adds_the_traceback(capsys):
    @guarded
    def broken(*, debug):
        raise BadSetting("no good")

    with pytest.raises(typer.Exit) as caught:
        broken(debug=True)
    assert caught.value.exit_code == 2
    text = capsys.readouterr().err
    assert text.startswith("Traceback")
    assert text.endswith("error: no good\n")


def test_an_interruption_is_130(capsys):
    @guarded
    def long():
        raise KeyboardInterrupt

    with pytest.raises(typer.Exit) as caught:
        long()
    assert caught.value.exit_code == 130
    assert capsys.readouterr().err == "interrupted; what was finished is kept.\n"


def test_the_lightest_backend_installed_is_the_default(monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jax" else object())
    assert installed() == ["torch", "tensorflow"]


def test_without_any_backend_the_error_gives_the_install_command(monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"no Keras backend is installed: pip install 'xai-mimo\[jax\]'"):
        use_backend(None)
    with pytest.raises(MissingDependency, match=r"'torch' is not installed: .*installed: none"):
        use_backend("torch")


def test_a_backend_is_not_changed_behind_keras(monkeypatch):
    other = "torch" if keras.backend.backend() != "torch" else "jax"
    monkeypatch.setattr(backend, "installed", lambda: [*backend.BACKENDS])
    with pytest.raises(BadSetting, match=f"Keras runs on {keras.backend.backend()} already"):
        use_backend(other)


def test_the_doctor_says_why_a_plugin_does_not_load(monkeypatch):
    class Broken:
        name, value, group = "mine", "nowhere.at_all:Thing", "xai_mimo.methods"

        def load(self):
            raise ModuleNotFoundError("No module named 'nowhere'")

    monkeypatch.setattr(doctor, "plugins", lambda group: {"mine": Broken()} if group == "xai_mimo.methods" else {})
    states = doctor.plugin_states()
    assert states == [
        (
            "xai_mimo.methods",
            "mine",
            "nowhere.at_all:Thing",
            "plugin 'mine' (nowhere.at_all:Thing) cannot be loaded and is left out: ModuleNotFoundError: No module "
            "named 'nowhere'",
        )
    ]
    assert not doctor.usable(states)
