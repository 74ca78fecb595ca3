"""Models of PyTorch from files: exported programs run no code here, TorchScript and pickled modules only where trusted.

``torch.load`` of a whole module is unpickling, and a TorchScript archive is a program. What of these a file holds is
seen from the names in the archive and in its pickles, which are read and not run.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from xai_mimo.core.archives import ZIP, but_seems, content, globals_of, members, start_of
from xai_mimo.core.errors import FileProblem, NotSupported
from xai_mimo.core.loading import unreadable
from xai_mimo.core.trust import refuse_untrusted
from xai_mimo_adapters.torch_adapter.exported import is_exported, load_exported

_WHAT = "a file of PyTorch"
_WAY_OUT = "An exported program runs none: torch.export.save(torch.export.export(module, rows), 'model.pt2')."
_OF_WEIGHTS = ("torch._utils._rebuild_", "torch.serialization._get_layout")
_PLAIN = frozenset({"collections.OrderedDict", "torch.Size", "torch.device", "_codecs.encode"})


def load_pt(path: Path, *, trust: bool = False) -> Any:
    """What ``torch.save``, ``torch.jit.save`` or ``torch.export.save`` wrote.

    Args:
        path: of the file. trust: that it may run code.
    Raises:
        NotTrusted: it is TorchScript or pickled, and ``trust`` is not given. NotSupported: it holds weights alone.
        FileProblem: it is something else, or damaged.
    """
    start = start_of(path)
    if not start.startswith(ZIP):
        if not start.startswith(b"\x80"):
            raise FileProblem(f"'{path}' is not {_WHAT}{but_seems(path)}.")
        return _unpickled(path, trust)
    names = members(path, _WHAT)
    if is_exported(names):
        return load_exported(path, trust=trust)
    if any(name.endswith("/constants.pkl") for name in names):
        return _scripted(path, trust)
    pickles = [name for name in names if name.endswith("/data.pkl")]
    if not pickles:
        raise FileProblem(f"'{path}' is not {_WHAT}: there is no model in the archive.")
    if all(_is_of_weights(name) for pickle in pickles for name in globals_of(content(path, pickle))):
        raise _weights_alone(path)
    return _unpickled(path, trust)


def _scripted(path: Path, trust: bool) -> Any:
    if not trust:
        raise refuse_untrusted(
            path,
            "is a TorchScript archive: it holds a program, which can read and write your files when it is called",
            _WAY_OUT,
        )
    try:
        return torch.jit.load(str(path), map_location="cpu")
    except Exception as err:  # RuntimeError, and whatever the program raises
        raise unreadable(path, err, "a TorchScript model") from err


def _unpickled(path: Path, trust: bool) -> Any:
    if not trust:
        raise refuse_untrusted(
            path,
            "was written by torch.save and is a pickle: reading it runs whatever its author put into it, with all that "
            "you may do",
            _WAY_OUT,
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of code that was other when the module was pickled
            found = torch.load(path, map_location="cpu", weights_only=False)
    except Exception as err:  # whatever the code in the file raises
        raise FileProblem(
            f"'{path}' cannot be unpickled: {type(err).__name__}: {err}. If it is a model, its classes must be found "
            "under the names that they had; the modules that define them must be importable."
        ) from err
    if isinstance(found, Mapping | torch.Tensor):
        raise _weights_alone(path)
    return found


def _is_of_weights(name: str) -> bool:
    return name in _PLAIN or name.startswith(_OF_WEIGHTS) or (name.startswith("torch.") and name.endswith("Storage"))


def _weights_alone(path: Path) -> NotSupported:
    return NotSupported(
        f"'{path}' holds weights without the module that they belong to (a state dict). Make the module, "
        f"module.load_state_dict(torch.load({str(path)!r}, weights_only=True)), and explain it in Python, or put these "
        "lines into a module of yours and give the name of the result, 'package.module:name'."
    )
