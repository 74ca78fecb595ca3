"""A digest of a fitted estimator, made by walking what it holds; nothing is pickled, so no code of its own runs."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from xai_mimo_adapters.sklearn_adapter.boosters import library_of, read_booster

_DEPTH = 24


def fingerprint(model: Any) -> str:
    """SHA-256 over the settings and all fitted values of an estimator and of those inside it.

    Of functions the name and compiled code are seen; random states are not, since no prediction reads them. What a
    compiled class outside scikit-learn holds is not seen, but for models of XGBoost, LightGBM and CatBoost, which write
    what they hold themselves.
    """
    digest = hashlib.sha256()
    _walk(model, digest.update, frozenset(), _DEPTH)
    return digest.hexdigest()


def _walk(thing: Any, put: Callable[[bytes], Any], above: frozenset[int], depth: int) -> None:
    """Feed a value and what it holds; what holds itself is fed once."""
    kind = type(thing)
    put(f"<{kind.__module__}.{kind.__qualname__}".encode())
    if id(thing) in above or depth < 0:
        return
    above |= {id(thing)}

    def inside(part: Any) -> None:
        _walk(part, put, above, depth - 1)

    if isinstance(thing, str | bytes | bool | int | float | complex | None):
        put(repr(thing).encode())
    elif isinstance(thing, np.random.RandomState | np.random.Generator | np.random.BitGenerator):
        return
    elif isinstance(thing, np.ndarray | np.generic):
        _walk_array(np.asarray(thing), put, inside)
    elif library_of(thing) and not hasattr(thing, "steps"):
        put(read_booster(thing, None).content())
    elif isinstance(thing, Mapping):
        for key, value in thing.items():
            inside(key)
            inside(value)
    elif isinstance(thing, list | tuple):
        for part in thing:
            inside(part)
    elif isinstance(thing, set | frozenset):
        for word in sorted(map(repr, thing)):
            put(word.encode())
    elif isinstance(thing, type):
        put(thing.__qualname__.encode())
    elif callable(thing) and hasattr(thing, "__code__"):
        put(thing.__qualname__.encode())
        _walk_code(thing.__code__, put)
    elif hasattr(thing, "to_numpy"):
        _walk_array(np.asarray(thing.to_numpy()), put, inside)
    else:
        inside(_held(thing))


def _walk_code(code: Any, put: Callable[[bytes], Any]) -> None:
    """Feed compiled code, its names and constants, and the code inside it."""
    put(code.co_code + " ".join(code.co_names).encode())
    for constant in code.co_consts:
        if hasattr(constant, "co_code"):
            _walk_code(constant, put)
        else:
            put(repr(constant).encode())


def _walk_array(array: Any, put: Callable[[bytes], Any], inside: Callable[[Any], None]) -> None:
    put(f"{array.dtype.str}{array.shape}".encode())
    if array.dtype.names is not None:  # field by field: what lies between fields is no value
        for name in array.dtype.names:
            put(name.encode() + np.ascontiguousarray(array[name]).tobytes())
    elif array.dtype == object:
        for part in array.ravel():
            inside(part)
    else:
        put(np.ascontiguousarray(array).tobytes())


def _held(thing: Any) -> Any:
    """What an object holds: its attributes by name, or the state that a compiled class of scikit-learn tells."""
    if hasattr(thing, "__dict__") and not callable(thing):
        return dict(sorted(vars(thing).items()))
    if type(thing).__module__.split(".")[0] != "sklearn":
        return None
    try:
        return thing.__getstate__()
    except TypeError:  # a compiled class that says it cannot tell
        return None
