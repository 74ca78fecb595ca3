"""Paths and bytes in the place of a model: which are read, and what the others are loaded by."""

import pytest

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


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("net.keras", r"xai_mimo\.load_model\('net\.keras'\)\.$"),
        ("net.h5", r"keras\.models\.load_model\('net\.h5'\)\.$"),
        ("net.pth", r"load_state_dict\(torch\.load\('net\.pth', weights_only=True\)\), or torch\.jit\.load"),
        ("net.pt2", r"torch\.export\.load\('net\.pt2'\)\.module\(\)\.$"),
        ("net.safetensors", r"safetensors\.torch\.load_file\('net\.safetensors'\)\)\.$"),
        ("net.pkl", r"pickle\.load\(file\)\. The file can run code when it is read.*This package never does\.$"),
        ("net.JOBLIB", r"joblib\.load\('net\.JOBLIB'\)\. The file can run code"),
        ("trees.ubj", r"xgboost\.Booster\(model_file='trees\.ubj'\)\.$"),
        ("trees.txt", r"lightgbm\.Booster\(model_file='trees\.txt'\)\.$"),
        ("trees.cbm", r"catboost\.CatBoost\(\)\.load_model\('trees\.cbm'\)\.$"),
        ("", r"xai_mimo\.load_model\(''\) for a '\.keras' file, or the loader of the framework that wrote it\.$"),
    ],
)
def test_another_path_is_refused_with_the_call_that_loads_it(name, call):
    with pytest.raises(NotSupported, match=f"^a path is no model; load it first: .*{call}"):
        adapt(name)


def test_a_folder_of_tensorflow_is_told_by_what_is_in_it(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(NotSupported, match=r"load it first: tf\.saved_model\.load\('.*'\)\.$"):
        adapt(tmp_path)
