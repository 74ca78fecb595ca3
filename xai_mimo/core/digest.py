"""The one SHA-256 of data: a result and its record tell by it which rows they were made from."""

import hashlib
import json
from collections.abc import Iterator, Mapping
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
            sha.update(_bytes(np.asarray(array[start : start + rows])))
    return sha.hexdigest()


def _bytes(piece: np.ndarray[Any, Any]) -> bytes:
    """The values of a piece; of words and what stands beside them what they are, not where they lie in memory."""
    if piece.dtype == object:
        return json.dumps(piece.tolist()).encode()
    return np.ascontiguousarray(piece).tobytes()


def digest_of_variables(variables: Mapping[Any, Any], texts: Mapping[str, str] | None = None) -> str:
    """SHA-256 over names, dimensions, types and values of a dataset's variables, in the order of their names.

    The same before a dataset is written as netCDF or Zarr and after it is read: texts may change their type on the way,
    and the order of bytes may. Dates are left out, since a file may keep them in another unit.

    Args:
        variables: ``{name: variable}``; those that lie on disk are read piece by piece.
        texts: that take part too.
    Returns:
        64 hexadecimal digits.
    """
    sha = hashlib.sha256(json.dumps(texts or {}, sort_keys=True).encode())
    for name, variable in sorted((str(name), variable) for name, variable in variables.items()):
        kind = "text" if variable.dtype.kind in "OUST" else variable.dtype.newbyteorder("<").str
        sha.update(json.dumps([name, list(map(str, variable.dims)), list(variable.shape), kind]).encode())
        if variable.dtype.kind in "mM":
            continue
        for piece in _pieces(variable):
            is_text = kind == "text"
            sha.update(json.dumps(piece.tolist()).encode() if is_text else piece.astype(kind, copy=False).tobytes())
    return sha.hexdigest()


def _pieces(variable: Any) -> Iterator[np.ndarray[Any, Any]]:
    if not variable.ndim:
        yield np.asarray(variable.values)
        return
    row = variable.dtype.itemsize * int(np.prod(variable.shape[1:], dtype=np.int64))
    rows = max(1, _BYTES // max(1, row))
    for start in range(0, variable.shape[0], rows):
        yield np.asarray(variable[start : start + rows].values)


def digest_of_facts(facts: Mapping[str, Any]) -> str:
    """SHA-256 of plain values, whatever the order of their names; arrays take part by their own ``digest``.

    Returns:
        64 hexadecimal digits.
    """
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
