"""Paths and bytes in the place of a model: which are read, and what the others are loaded by."""

import pytest

import xai_mimo as xm
from xai_mimo.core.errors import NotSupported
from xai_mimo.core.model_files import is_file_of_model, root_of_file
from xai_mimo.core.plugins import adapt

pytestmark = pytest.mark.all_frameworks


def test_onnx_is_read_from_a_path_or_from_bytes(tmp_path):
    for file in ("net.onnx", tmp_path / "Net.ONNX", b"net.onnx.as.bytes", bytearray(b""), memoryview(b"")):
        assert is_file_of_model(file)
        assert root_of_file(file) == "onnx"
    assert not is_file_of_model(object())
    assert not is_file_of_model(["net.onnx"])


@pytest.mark.parametrize("name", ["net.keras", "net.pt2", "net.pth", "net.pkl", "net.JOBLIB", "trees.ubj", "net", ""])
def test_another_path_is_refused_with_the_call_that_loads_it(name):
    with pytest.raises(NotSupported, match=rf"^a path is no model; load it first: xai_mimo\.load_model\('{name}'\)\.$"):
        adapt(name)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        (
            "net.weights.h5",
            r"holds weights without the model that they belong to: build it, model\.load_weights\('net\.",
        ),
        (
            "net.H5",
            r"is in Keras's old format, in which code may lie hidden\. Only if you know who made it, .*'net\.H5'",
        ),
        ("net.safetensors", r"holds weights without the model .*safetensors\.torch\.load_file\('net\.safetensors'\)"),
        ("net.ckpt", r"most likely holds weights without the model .*torch\.load\('net\.ckpt', weights_only=True\)"),
        ("rows.npz", r"holds rows and no model\.$"),
        ("net.py", r"is code: give the name of the model in it, 'module:name'"),
        ("a/saved_model.pb", r"is one file of TensorFlow's; give the folder of a SavedModel"),
    ],
)
def test_what_is_not_loaded_here_is_refused_with_what_to_do(name, what, tmp_path):
    with pytest.raises(NotSupported, match=f"^a path is no model, and '{name}' {what}"):
        adapt(name)
    path = tmp_path / name.replace("/", "")
    path.write_bytes(b"x")
    with pytest.raises(NotSupported, match=f"^'.*{path.name}' {what[:20]}"):
        xm.load_model(path)


def test_an_unknown_end_is_refused_with_those_that_are_known(tmp_path):
    (tmp_path / "net.xyz").write_bytes(b"x")
    with pytest.raises(
        NotSupported, match=r"no loader takes '.*net\.xyz'; a saved model is a file that ends in .*\.keras.*'module:"
    ):
        xm.load_model(tmp_path / "net.xyz")
