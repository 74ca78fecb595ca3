"""Models that are given as a file: which of them an adapter reads itself, and by what the others are loaded."""

import os
from pathlib import Path
from typing import Any

from xai_mimo.core.errors import NotSupported

_PICKLED = "The file can run code when it is read: load it only if you know who wrote it. This package never does."
_LOADERS: dict[tuple[str, ...], str] = {
    (".keras",): "xai_mimo.load_model({path})",
    (".h5", ".hdf5"): "keras.models.load_model({path})",
    (".pt2",): "torch.export.load({path}).module()",
    (".pt", ".pth", ".ckpt", ".bin"): (
        "make the torch module, and then module.load_state_dict(torch.load({path}, weights_only=True)), or "
        "torch.jit.load({path}) for a scripted one"
    ),
    (".safetensors",): "make the module, and then module.load_state_dict(safetensors.torch.load_file({path}))",
    (".pkl", ".pickle"): "with open({path}, 'rb') as file: model = pickle.load(file). " + _PICKLED,
    (".joblib",): "joblib.load({path}). " + _PICKLED,
    (".json", ".ubj"): "xgboost.Booster(model_file={path})",
    (".txt",): "lightgbm.Booster(model_file={path})",
    (".cbm",): "catboost.CatBoost().load_model({path})",
}
"""By the end of a path, the call that loads it."""


def is_file_of_model(model: Any) -> bool:
    """Whether something given in the place of a model is a path, or the bytes of a file."""
    return isinstance(model, str | os.PathLike | bytes | bytearray | memoryview)


def root_of_file(file: Any) -> str:
    """The name of the adapter that reads such a file: bytes, and paths that end in ``.onnx``, are of "onnx".

    Raises:
        NotSupported: nobody here reads it; the message names the call that does.
    """
    if not isinstance(file, str | os.PathLike):
        return "onnx"
    path = os.fsdecode(file)
    suffix = Path(path).suffix.lower()
    if suffix == ".onnx":
        return "onnx"
    raise NotSupported(f"a path is no model; load it first: {_loader(path, suffix)}")


def _loader(path: str, suffix: str) -> str:
    if (Path(path) / "saved_model.pb").is_file():
        return f"tf.saved_model.load({path!r})."
    for suffixes, call in _LOADERS.items():
        if suffix in suffixes:
            return call.format(path=repr(path)).removesuffix(".") + "."
    return f"xai_mimo.load_model({path!r}) for a '.keras' file, or the loader of the framework that wrote it."
