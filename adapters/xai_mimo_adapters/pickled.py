"""Models that were pickled, by ``pickle`` or by joblib: read only where the caller trusts who made the file.

A pickle is a program. Nothing here looks into one to tell a good one from a bad one: nobody can.
"""

import pickle
from pathlib import Path
from typing import Any

from xai_mimo.core.errors import FileProblem, MissingDependency
from xai_mimo.core.trust import refuse_untrusted

_RISK = "is a pickle, and reading it runs whatever its author put into it, with all that you may do"
_WAY_OUT = "scikit-learn's estimators can be kept in a file that runs nothing: skops.io.dump(model, 'model.skops')."


def load_pickle(path: Path, *, trust: bool = False) -> Any:
    """What a pickle holds.

    Args:
        path: of the file. trust: that it may run code.
    Raises:
        NotTrusted: without ``trust``. FileProblem: it cannot be unpickled, or a package that it needs is missing.
    """
    if not trust:
        raise refuse_untrusted(path, _RISK, _WAY_OUT)
    try:
        with path.open("rb") as file:
            return pickle.load(file)
    except Exception as err:  # whatever the code in the file raises
        raise _unreadable(path, err) from err


def load_joblib(path: Path, *, trust: bool = False) -> Any:
    """What joblib wrote, compressed or not.

    Args:
        path: of the file. trust: that it may run code.
    Raises:
        NotTrusted: without ``trust``. FileProblem: it cannot be unpickled, or a package that it needs is missing.
    """
    if not trust:
        raise refuse_untrusted(path, _RISK, _WAY_OUT)
    try:
        import joblib
    except ImportError as missing:
        raise MissingDependency("'.joblib' files are read by joblib: pip install joblib") from missing
    try:
        return joblib.load(path)
    except Exception as err:  # whatever the code in the file raises
        raise _unreadable(path, err) from err


def _unreadable(path: Path, err: Exception) -> FileProblem:
    mend = "install what it needs, in the version that wrote it" if isinstance(err, ImportError) else "write it again"
    return FileProblem(f"'{path}' cannot be unpickled: {type(err).__name__}: {err}. If it is a model, {mend}.")
