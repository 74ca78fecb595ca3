"""The table of models and methods: what it says is what happens, and the README says the same."""

import warnings
from pathlib import Path

import pytest

import xai_mimo as xm
from tests.helpers.frameworks import needs
from tests.helpers.one_network import NETWORKS, keras_network, rows
from xai_mimo.cli.reach import BEGIN, END, markdown, reach, write
from xai_mimo.core.errors import NotSupported, SchemaError, UnusedStreamWarning
from xai_mimo.core.model import Differentiable, Interceptable, Splittable

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
