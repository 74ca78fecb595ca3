"""The table of models and methods: what it says is what happens, and the README says the same."""

import importlib.util
import warnings
from pathlib import Path

import pytest
from rich.console import Console

import xai_mimo as xm
from tests.helpers.frameworks import needs
from tests.helpers.one_network import NETWORKS, keras_network, rows
from xai_mimo.cli import show
from xai_mimo.cli.reach import BEGIN, END, markdown, reach, write
from xai_mimo.core.errors import NotSupported, SchemaError, UnusedStreamWarning
from xai_mimo.core.model import Differentiable, Interceptable, Splittable
from xai_mimo.core.plugins import plugins

pytestmark = [
    pytest.mark.all_frameworks,
    needs("torch", "jax", "tensorflow", "onnxruntime", "sklearn", "captum", "shap", "flax"),
]
README = Path(__file__).parents[2] / "README.md"
KINDS = {
    "numpy": "a plain function of arrays",
    "torch": "PyTorch, a module",
    "jax": "JAX, a function",
    "flax": "flax or equinox, a module",
    "tensorflow": "TensorFlow: a module, a function, a saved signature",
    "onnx": "ONNX: a file, bytes, a session",
    "keras": "Keras, functional or sequential",
}
CAPABILITIES = {
    "gradients": Differentiable,
    "a model that can be cut at a layer": Splittable,
    "a model whose layers can be intercepted": Interceptable,
}


@pytest.fixture(scope="module")
def found():
    return reach()


def test_the_readme_has_the_table(found):
    text = README.read_text(encoding="utf-8")
    table = text.partition(BEGIN)[2].partition(END)[0].strip()
    assert table == markdown(found).strip(), "run: python -m xai_mimo.cli.reach README.md"


def test_nothing_is_left_out_where_everything_is_installed(found):
    assert not found.left_out
    assert set(KINDS.values()) < set(found.models)


@pytest.mark.parametrize("name", KINDS)
def test_a_yes_is_a_yes_and_a_no_a_no(found, name):
    network = keras_network() if name == "keras" else NETWORKS[name][1]()
    data, said = rows(2), found.models[KINDS[name]]
    adapted = xm.adapt(network, like=data)
    for words, capability in CAPABILITIES.items():
        assert said[words] == isinstance(adapted, capability), words
    for words, method in (("predictions alone", "occlusion"), ("gradients", "gradient")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnusedStreamWarning)
            if said[words]:
                assert set(xm.explain(adapted, data, method, targets=["hours"], check=False)) > {"table", "image"}
            else:
                with pytest.raises(NotSupported, match="needs gradients"):
                    xm.explain(adapted, data, method, targets=["hours"], check=False)


def test_each_no_has_its_reason(found):
    nos = {
        (letter, kind)
        for kind, *cells in found.lines()
        for letter, cell in zip(found.letters(), cells, strict=True)
        if cell == "no"
    }
    told = {(letter, kind) for letters, kinds, _ in found.lacks for letter in letters.split() for kind in kinds}
    assert told == nos
    why = {letters: text for letters, _, text in found.lacks}
    gradients = next(text for letters, text in why.items() if "B" in letters.split())
    assert (
        gradients == "needs gradients, and it has none. Use 'shapley' or 'occlusion', which only ask for predictions."
    )


def test_predictions_come_first_and_every_method_is_once_in_the_table(found):
    assert next(iter(found.needs)) == "predictions alone"
    listed = [name for names in found.needs.values() for name in names]
    assert sorted(listed) == sorted(plugins("xai_mimo.methods"))
    assert found.letters() == list("ABCDEFGHIJKL"[: len(found.needs)])


def test_a_method_without_its_package_is_left_out_with_the_command(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "shap" else find(name, *more))
    without = reach()
    assert without.left_out["method shap.kernel"] == "needs shap: pip install 'xai-mimo[shap]'"
    assert "shap.kernel" not in str(without.needs)
    assert "shapley" in without.needs["predictions alone"]


@pytest.mark.parametrize("columns", [80, 160])
def test_the_tables_are_readable_on_a_terminal(found, columns, monkeypatch, capsys):
    monkeypatch.setattr(show, "Console", lambda **given: Console(width=columns, force_terminal=True, color_system=None))
    show.table("Which model has it", ["model", *found.letters()], found.lines())
    show.table("What methods ask a model for", ["", "for", "methods"], found.asked())
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= columns
    for names in found.needs.values():  # no name is cut
        assert all(name in text for name in names)
    assert "…" not in text
    assert text.count(" no ") == sum(line.count("no") for line in found.lines())


def test_a_file_without_a_place_for_the_table_is_refused(tmp_path):
    path = tmp_path / "notes.md"
    path.write_text("# Notes\n")
    with pytest.raises(SchemaError, match="has no place for the table"):
        write(path)
    path.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    written = write(path).read_text(encoding="utf-8")
    assert written.startswith("before\n")
    assert written.endswith("after\n")
    assert "| PyTorch, a module | yes |" in written
    assert "old" not in written
