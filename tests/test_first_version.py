"""Files that version 0.1.0 wrote load with this version and say the same; ``data/first_version/make.py`` made them.

Numbers are compared to 1e-4 of their size: they were written by JAX on a CPU in float32, and another backend or
processor adds the same terms in another order. Measured on all three backends, they agree to 1e-5 or better; a weight
at the wrong place shows in the first digits.
"""

import importlib.metadata
import json
import re
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import xarray as xr

import xai_mimo as xm
from xai_mimo.layers import (  # noqa: F401  # Keras finds a class in a file once it has been imported
    FLINT,
    IMVLSTM,
    MAIL,
    DeepSupervision,
    IdentityMLP,
    IMVFullCell,
    IMVTensorCell,
    InterpreterHead,
    MHEXHead,
    MIMOAttentionLayer,
    MixtureEM,
    MixtureMean,
    MixtureNLL,
    small_encoder,
)
from xai_mimo.record import json_file
from xai_mimo.record.check import to_dict
from xai_mimo.reports import latex
from xai_mimo.reports.page import page as html

HERE = Path(__file__).parent / "data" / "first_version"
MODELS = sorted(path.stem for path in HERE.glob("*.keras"))
RECORDS = sorted(path.stem for path in HERE.glob("*.json"))
DATASETS = sorted(path.stem for path in HERE.glob("*.nc"))
# Keras says so of an optimizer that was saved before its first step, such as that of FLINT's interpreter.
pytestmark = pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module")
def numbers():
    with np.load(HERE / "numbers.npz") as kept:
        return dict(kept)


def part(numbers, prefix):
    return {key.removeprefix(prefix): values for key, values in numbers.items() if key.startswith(prefix)}


def load(name):
    model = keras.saving.load_model(HERE / f"{name}.keras")
    if keras.backend.backend() == "torch":
        model.jit_compile = False  # written as True by JAX; PyTorch would want a C++ compiler for it
    return model


def only(values):
    """A single value by itself, several by name."""
    return values if len(values) > 1 else next(iter(values.values()))


def assert_close(found, wanted):
    assert set(found) == set(wanted)
    for key in wanted:
        np.testing.assert_allclose(found[key], wanted[key], **CLOSE, err_msg=key)


def test_the_samples_are_there():
    assert (len(MODELS), len(RECORDS), len(DATASETS)) == (20, 6, 4)


def test_every_class_that_a_file_names_is_registered_under_its_name():
    configs = [zipfile.ZipFile(HERE / f"{name}.keras").read("config.json").decode() for name in MODELS]
    named = {found for config in configs for found in re.findall(r'"registered_name": "(xai_mimo>\w+)"', config)}
    assert len(named) == 15
    assert {name for name in named if keras.saving.get_registered_object(name) is None} == set()


@pytest.mark.parametrize("name", [name for name in MODELS if name != "demo_model"])
def test_a_model_predicts_as_it_did(name, numbers):
    outputs = keras.tree.flatten(load(name).predict(only(part(numbers, f"{name}/input/")), verbose=0))
    assert_close({str(i): values for i, values in enumerate(outputs)}, part(numbers, f"{name}/output/"))


@pytest.mark.parametrize(
    "name", [name for name in MODELS if name not in ("demo_model", "imv_cells", "mhex_supervised")]
)
def test_the_layers_of_a_model_say_what_they_said(name, numbers):
    maps, stored = xm.intercept(load(name), part(numbers, f"{name}/input/")), part(numbers, f"{name}/map/")
    sown = [key for key in maps.data_vars if not key.endswith(("/attention_weights", "/attention_values"))]
    assert_close({key: maps[key].values for key in sown}, stored)  # attention of Keras's own layers is read since


@pytest.mark.parametrize("name", ["flint", "imv_em", "imv_full", "mhex_supervised"])
def test_a_compiled_model_has_its_losses(name, numbers):
    x, y = only(part(numbers, f"{name}/input/")), only(part(numbers, f"{name}/label/"))
    found = load(name).evaluate(x, y, return_dict=True, verbose=0)
    np.testing.assert_allclose(found["loss"], numbers[f"{name}/loss"], **CLOSE)


def test_training_goes_on_where_it_stopped(numbers):
    model = load("imv_full")
    x, y = numbers["imv_full/input/series"], numbers["imv_full/label/"]
    assert int(model.optimizer.iterations) == 1
    model.fit(x, y, batch_size=len(x), verbose=0)
    assert int(model.optimizer.iterations) == 2
    assert model.evaluate(x, y, verbose=0) < numbers["imv_full/loss"]


def test_after_the_fact_flint_still_leaves_its_predictor_alone(numbers):
    model, x = load("flint_post_hoc"), numbers["flint_post_hoc/input/table"]
    model.fit(x, batch_size=len(x), verbose=0)
    np.testing.assert_allclose(model.predict(x, verbose=0), numbers["flint_post_hoc/output/0"], **CLOSE)


def test_an_explanation_of_a_model_is_the_stored_one(numbers):
    found = xm.explain(load("mail_local"), part(numbers, "mail_local/input/"), "interception")
    stored = xm.load(HERE / "interception.nc")
    xr.testing.assert_allclose(found, stored, **CLOSE)
    facts = ("schema", "method", "settings", "streams")
    assert {key: found.attrs[key] for key in facts} == {key: stored.attrs[key] for key in facts}
    heads = json.loads(stored.attrs["heads"])
    assert _only_stored(json.loads(found.attrs["heads"]), heads) == heads


@pytest.mark.all_frameworks
@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_has_its_values_and_can_be_written_again(name, numbers, tmp_path):
    stored = xm.load(HERE / f"{name}.nc")
    for key, values in part(numbers, f"{name}.nc/").items():
        np.testing.assert_array_equal(stored[key].values, values, err_msg=key)
    xr.testing.assert_identical(xm.load(xm.save(stored, tmp_path / "again.nc")), stored)


@pytest.mark.all_frameworks
def test_explanations_keep_their_names_and_are_read_as_such():
    single, joined = xm.load(HERE / "shapley.nc"), xm.load(HERE / "joined.nc")
    assert single.attrs["method"] == "shapley"
    assert list(single["head"].values) == ["risk", "life"]
    assert list(joined["explainer"].values) == ["interception", "shapley"]
    assert list(joined["wear_feature"].values) == ["tool", "bearing", "belt"]
    np.testing.assert_allclose(xm.stream_shares(joined).sum("stream"), 1.0)


def _only_stored(values, stored):
    """The values without keys that the layout was given since."""
    if isinstance(stored, dict):
        return {key: _only_stored(values[key], inner) for key, inner in stored.items()}
    if isinstance(stored, list):
        return [_only_stored(*pair) for pair in zip(values, stored, strict=True)]
    return values


@pytest.mark.all_frameworks
@pytest.mark.parametrize("name", RECORDS)
def test_a_record_is_read_whole_and_gives_its_report_and_tables(name, tmp_path):
    path = HERE / f"{name}.json"
    read = json_file.from_json(path)
    stored = json.loads(path.read_text(encoding="utf-8"))
    record = to_dict(read)
    assert _only_stored(record, stored) == stored
    assert not any(record[key] for key in record.keys() - stored.keys())  # what came later is empty
    page = html.write(read, tmp_path / "report.html").read_text(encoding="utf-8")
    tables = latex.write(read, tmp_path / "tables.tex").read_text(encoding="utf-8")
    assert record["title"] in page
    assert "\\begin{tabular}" in tables
    for method in record["methods"]:
        assert method["label"] in page
        assert method["label"].replace("_", r"\_") in tables


@pytest.mark.all_frameworks
def test_the_records_fill_every_part():
    records = [to_dict(json_file.from_json(HERE / f"{name}.json")) for name in RECORDS]
    assert {key for key in records[0] if not any(record[key] for record in records)} == {"seed", "metrics"}
    examples = [example for record in records for example in record["examples"]]
    assert all(any(example[key] for example in examples) for key in ("words", "region", "label", "values"))
    roles = {"value", "floor_random", "floor_permuted", "ceiling", "control_random"}
    assert {score["role"] for record in records for score in record["scores"]} == roles


def test_the_command_line_reports_on_the_network_and_rows_of_the_demo(tmp_path, monkeypatch):
    (command,) = importlib.metadata.entry_points(group="console_scripts", name="xai-mimo")
    given = ["report", HERE / "demo_model.keras", HERE / "demo_data.npz", "--out", tmp_path, "--rows", 4]
    monkeypatch.setattr(sys, "argv", ["xai-mimo", *map(str, given)])
    with pytest.raises(SystemExit) as ended:
        command.load()()
    assert ended.value.code == 0
    record = to_dict(json_file.from_json(tmp_path / "comparison.json"))
    assert record["model"]["streams"][1]["features"] == ["air", "process"]
    assert (tmp_path / "report.html").is_file()
