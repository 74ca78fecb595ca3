"""Saved models that hold our layers."""

import hashlib
import os
from pathlib import Path
from typing import Any

import keras

from xai_mimo.core.archives import ZIP, but_seems, members, start_of
from xai_mimo.core.errors import FileProblem
from xai_mimo.core.paths import as_path, written_whole
from xai_mimo.core.trust import refuse_untrusted


def save_model(model: Any, path: str | os.PathLike[str]) -> str:
    """Write a Keras model as ``.keras``, in one step: a crash leaves the old file or the new.

    Args:
        model: the model. path: where to, in a folder that is there.
    Returns:
        The file's SHA-256, by which figures know the network that they were made from.
    Raises:
        FileProblem: it cannot be written.
    """
    with written_whole(as_path(path), suffix=".keras") as beside:
        model.save(beside)
        digest = digest_of_file(beside)  # what was written here, not what others may have put in its place
    return digest  # noqa: RET504


def digest_of_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file: 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_model(path: str | os.PathLike[str], *, trust: bool = False, compile: bool = True) -> Any:
    """A Keras model from a ``.keras`` file, whichever of our layers it holds; ``xai_mimo.load_model`` is the door.

    As ``keras.models.load_model`` in safe mode, where no code in the file is run, but without having to import the
    classes first.

    Args:
        path: of the file, as ``model.save('model.keras')`` writes it.
        trust: also load a model with code in it, such as a Lambda layer; it runs when the model is loaded and called.
        compile: also restore optimizer, losses and metrics. Losses tell which heads are logits; a loss or metric of
            your own, that is not registered with Keras, makes this fail, and False does without.
    Raises:
        FileProblem: no such file, no ``.keras`` file, or one that Keras cannot read; says what Keras says.
        NotTrusted: it holds code.
    """
    path = as_path(path, "a '.keras' file")
    if path.is_dir():
        raise FileProblem(f"cannot read '{path}': it is a folder. Give the name of a '.keras' file inside it.")
    if not path.is_file():
        raise FileProblem(f"cannot read '{path}': there is no such file.")
    if not start_of(path).startswith(ZIP):  # not HDF5, in which Keras runs code, with an archive behind
        raise FileProblem(
            f"'{path}' is not a saved Keras model{but_seems(path)}; write one with model.save('model.keras')."
        )
    members(path, "a saved Keras model")
    try:
        return keras.models.load_model(path, compile=compile, safe_mode=not trust)
    except Exception as err:  # of a damaged file: anything, from BadZipFile to the backend's own errors
        if not trust and "safe_mode" in str(err):  # what Keras says wherever it would have to run code of the file
            raise refuse_untrusted(
                path,
                "holds code, such as a Lambda layer, which can do all that you may do when the model is loaded or run",
                "A registered layer in its place needs none.",
            ) from err
        reason = next(iter(str(err).splitlines()), type(err).__name__)
        raise FileProblem(f"'{path}' cannot be loaded as a Keras model: {reason}") from err
