"""``load_model``: the one door for models that are kept in files, whichever framework wrote them.

Loaders are plugins of the group ``xai_mimo.loaders``: a function ``(path, *, trust) -> model`` under the end of a
file's name without its dot, or under the name of a file by which a folder is known. A loader looks at what a file holds
and not at what it is called, runs nothing of it unless ``trust`` is True (``core.trust``), and says ``FileProblem`` of
what it cannot read.
"""

import importlib
import importlib.util
import inspect
import os
import re
from pathlib import Path
from typing import Any

from xai_mimo.core.archives import start_of
from xai_mimo.core.errors import BadSetting, FileProblem, NotSupported, UnknownName, XaiMimoError
from xai_mimo.core.model_files import instead_of_loading
from xai_mimo.core.paths import as_path
from xai_mimo.core.plugins import load_plugin, plugins

_NAMED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def load_model(path: str | os.PathLike[str], *, trust: bool = False, **options: Any) -> Any:
    """A model from a file, whichever framework wrote it, as ``explain`` takes it.

    Files that cannot run code are read as they are: ``.keras`` in Keras's safe mode, whichever of our layers it holds,
    without having to import the classes first; ``.onnx``; ``.pt2`` of ``torch.export``; ``.skops`` whose types skops
    trusts; model files of XGBoost, LightGBM and CatBoost; folders of TensorFlow's SavedModel. Files that run code when
    they are read (``.pkl``, ``.joblib``, ``.pt`` and ``.pth``, a ``.keras`` file with a Lambda layer) are refused
    unless ``trust`` is True. Files of weights alone are refused with what to do.

    Args:
        path: of the file or folder; or ``"module:name"``, the name of a model or function in a module that can be
            imported, which runs the code of that module as every import does.
        trust: True says that you know who made the file, and that it may run code.
        options: of the loader; for ``.keras`` files ``compile=False`` leaves out optimizer, losses and metrics. Losses
            tell which heads are logits; a loss or metric of your own, that is not registered with Keras, makes loading
            fail, and False does without.
    Raises:
        FileProblem: no such file, it is not what its name says, or cannot be read; says why. NotTrusted: it would run
            code; says which. NotSupported: nobody here reads such files. UnknownName: no such module, or nothing of
            this name in it. MissingDependency: the package that reads it is not installed.
        BadSetting: the loader has no such option.
    """
    if not isinstance(trust, bool):
        raise BadSetting(f"trust must be True or False; got {trust!r}.")
    if is_named_object(path):
        return _named_object(str(path))
    path = as_path(path, "a saved model")
    kind = kind_of(path)
    entries = plugins("xai_mimo.loaders")
    if kind not in entries:
        raise instead_of_loading(path, tuple(entries))
    loader = load_plugin(entries[kind])
    if loader is None:
        raise NotSupported(f"the loader of '.{kind}' files is installed but cannot be loaded; see the warning above.")
    _check_options(loader, options, kind)
    try:
        return loader(path, trust=trust, **options)
    except (XaiMimoError, MemoryError):
        raise
    except Exception as err:  # of a damaged file: anything, from BadZipFile to the framework's own errors
        raise unreadable(path, err) from err


def kind_of(path: Path) -> str:
    """The key of the loader of a file or folder, e.g. "keras"; the end of its name where there is no such loader.

    Raises:
        FileProblem: there is no such file, or it cannot be read; a folder that holds no model.
    """
    try:
        is_folder = path.is_dir()
        found = is_folder or path.is_file()
    except OSError:  # a folder on the way that may not be entered
        is_folder, found = False, True
    if not found:
        raise FileProblem(f"cannot read '{path}': there is no such file.")
    if not is_folder:
        start_of(path)
        return path.suffix.lower().removeprefix(".")
    for name in plugins("xai_mimo.loaders"):
        if "." in name and (path / name).is_file():
            return name
    raise FileProblem(
        f"cannot read '{path}': it is a folder without a saved model in it (a SavedModel has a file saved_model.pb). "
        "Give the name of a file inside it."
    )


def names_a_model(path: str) -> bool:
    """Whether a name says that ``load_model`` takes it, whatever lies behind it; false for what ends in ".json"."""
    end = Path(path).suffix.lower().removeprefix(".")
    return is_named_object(path) or Path(path).is_dir() or (end != "json" and end in plugins("xai_mimo.loaders"))


def unreadable(path: Path, err: BaseException, what: str = "a model") -> FileProblem:
    """What is said of a file that its own library cannot read: in its words, which are one line and not too many."""
    said = " ".join(str(err).split()) or type(err).__name__
    return FileProblem(f"'{path}' cannot be loaded as {what}: {said if len(said) < 300 else said[:300] + '...'}")


def is_named_object(path: object) -> bool:
    """Whether ``"module:name"`` is meant, and not a file of that name that is there."""
    return isinstance(path, str) and _NAMED.fullmatch(path) is not None and not os.path.exists(path)


def _named_object(name: str) -> Any:
    """What a module has under a name; importing it runs its code, as the user asked."""
    module, _, attributes = name.partition(":")
    if not _is_there(module):
        raise UnknownName(
            f"no module '{module}' can be imported, and there is no file '{name}'. A module is found from the current "
            "folder and where packages are installed; give 'package.module:name' or the path of a file."
        )
    try:
        found = importlib.import_module(module)
    except XaiMimoError:
        raise
    except (Exception, SystemExit) as err:  # whatever code of the user's raises while it is imported
        raise FileProblem(f"module '{module}' cannot be imported: {type(err).__name__}: {err}") from err
    for attribute in attributes.split("."):
        if not hasattr(found, attribute):
            raise UnknownName(f"module '{module}' has no '{attributes}'; name a model or a function in it.")
        found = getattr(found, attribute)
    return found


def _is_there(module: str) -> bool:
    importlib.invalidate_caches()
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError as err:  # a package on the way
        if err.name and not module.startswith(err.name):
            raise FileProblem(f"module '{module}' cannot be imported: {type(err).__name__}: {err}") from err
        return False
    except (Exception, SystemExit) as err:  # a package on the way is imported, and its code raises
        raise FileProblem(f"module '{module}' cannot be imported: {type(err).__name__}: {err}") from err


def _check_options(loader: Any, options: dict[str, Any], kind: str) -> None:
    own = [name for name in inspect.signature(loader).parameters if name not in ("path", "trust")]
    for option in options:
        if option not in own:
            raise BadSetting(
                f"load_model has no option '{option}' for '.{kind}' files; there are: {', '.join(['trust', *own])}."
            )
