"""Models that are given as a file: which of them an adapter reads itself, and what is done with the others."""

import os
from pathlib import Path
from typing import Any

from xai_mimo.core.errors import NotSupported

_WEIGHTS = "holds weights without the model that they belong to"
_NO_LOADER: dict[tuple[str, ...], str] = {
    (".weights.h5",): (
        f"{_WEIGHTS}: build it, model.load_weights({{path}}), and keep all of it with model.save('model.keras')"
    ),
    (".h5", ".hdf5"): (
        "is in Keras's old format, in which code may lie hidden. Only if you know who made it, load it yourself, "
        "model = keras.models.load_model({path}), and keep it with model.save('model.keras')"
    ),
    (".safetensors",): (
        f"{_WEIGHTS}: make the module, module.load_state_dict(safetensors.torch.load_file({{path}})), and explain it "
        "in Python or through a module of yours, 'package.module:name'"
    ),
    (".ckpt", ".bin"): (
        "most likely holds weights without the model that they belong to: make the module, "
        "module.load_state_dict(torch.load({path}, weights_only=True)), and explain it in Python or through a module "
        "of yours, 'package.module:name'"
    ),
    (".npz", ".csv", ".parquet", ".feather"): "holds rows and no model",
    (".pb",): "is one file of TensorFlow's; give the folder of a SavedModel, in which it is called saved_model.pb",
    (".py",): "is code: give the name of the model in it, 'module:name', for a module that can be imported",
}
"""By the end of a path, what the file is and what to do with it; a sentence without its subject and its full stop."""


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
    if Path(path).suffix.lower() == ".onnx":
        return "onnx"
    without = _without_loader(path)
    if without:
        raise NotSupported(f"a path is no model, and '{path}' {without}.")
    raise NotSupported(f"a path is no model; load it first: xai_mimo.load_model({path!r}).")


def instead_of_loading(path: Path, known: tuple[str, ...]) -> NotSupported:
    """The refusal of a file that no loader takes.

    Args:
        path: of the file. known: keys of the loaders that there are.
    """
    without = _without_loader(str(path))
    if without:
        return NotSupported(f"'{path}' {without}.")
    ends = ", ".join(sorted(f".{name}" for name in known if "." not in name))
    return NotSupported(
        f"no loader takes '{path}'; a saved model is a file that ends in {ends}, or the folder of a SavedModel. What "
        "another framework wrote can be loaded in a module of yours, and named as 'module:name'."
    )


def _without_loader(path: str) -> str:
    """What is said of a kind of file that is not loaded here on purpose; "" for others."""
    for ends, text in _NO_LOADER.items():
        if path.lower().endswith(ends):
            return text.format(path=repr(path))
    return ""
