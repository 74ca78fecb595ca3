"""The one SHA-256 of data: a result and its record tell by it which rows they were made from."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

# Of one piece that is read and hashed; a row larger than that is a piece of its own.
_BYTES = 2**24


def digest(arrays: Mapping[str, Any]) -> str:
    """SHA-256 over names, dtypes, shapes and values of arrays, in the order given.

    The same arrays give the same digest wherever they are hashed: an explanation's ``attrs["data_sha256"]`` and the
    ``record["data"]["sha256"]`` of a comparison tie a saved map to its report.

    Args:
        arrays: ``{name: (row, *shape)}``; arrays that lie on disk are read piece by piece, and nothing is copied whole.
    Returns:
        64 hexadecimal digits.
    """
    sha = hashlib.sha256()
    for name, array in arrays.items():
        sha.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
        row = array.dtype.itemsize * int(np.prod(array.shape[1:], dtype=np.int64))
        rows = max(1, _BYTES // max(1, row))
        for start in range(0, len(array), rows):
            sha.update(np.ascontiguousarray(array[start : start + rows]).tobytes())
    return sha.hexdigest()


def digest_of_facts(facts: Mapping[str, Any]) -> str:
    """SHA-256 of plain values, whatever the order of their names; arrays take part by their own ``digest``.

    Returns:
        64 hexadecimal digits.
    """
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
