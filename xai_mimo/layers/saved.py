"""Saved models that hold our layers."""

import os
import zipfile
from pathlib import Path
from typing import Any

from xai_mimo.core.errors import FileProblem


def load_model(path: str | os.PathLike[str], *, compile: bool = True) -> Any:
    """A Keras model from a ``.keras`` file, whichever of our layers it holds.

    As ``keras.models.load_model`` in safe mode, where no code in the file is run, but without having to import the
    classes first.

    Args:
        path: of the file, as ``model.save('model.keras')`` writes it.
        compile: also restore optimizer, losses and metrics. Losses tell which heads are logits; a loss or metric of
            your own, that is not registered with Keras, makes this fail, and False does without.
    Raises:
        FileProblem: no such file, no ``.keras`` file, or one that Keras cannot read; says what Keras says.
    """
    import keras

    from xai_mimo.layers import register

    register()
    if not isinstance(path, str | os.PathLike):
        raise FileProblem(
            f"expected the path of a '.keras' file; got {type(path).__name__}. Give it as text or a Path."
        )
    if Path(path).is_dir():
        raise FileProblem(f"cannot read '{path}': it is a folder. Give the name of a '.keras' file inside it.")
    if not Path(path).is_file():
        raise FileProblem(f"cannot read '{path}': there is no such file.")
    if not zipfile.is_zipfile(path):
        raise FileProblem(f"'{path}' is not a saved Keras model; write one with model.save('model.keras').")
    try:
        return keras.models.load_model(path, compile=compile, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError, ImportError) as err:
        raise FileProblem(f"'{path}' cannot be loaded as a Keras model: {str(err).splitlines()[0]}") from err
