"""A fingerprint of data, so that a result tells which rows it was made from."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

_ROWS = 4096


def digest(arrays: Mapping[str, Any]) -> str:
    """SHA-256 over names, types, shapes and values; arrays that lie on disk are read piece by piece."""
    made = hashlib.sha256()
    for name, array in arrays.items():
        made.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
        for start in range(0, len(array), _ROWS):
            made.update(np.ascontiguousarray(array[start : start + _ROWS]).tobytes())
    return made.hexdigest()
