"""Rows in chunks of few fixed sizes, so that memory stays bounded and nothing is compiled twice."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from xai_mimo.core.errors import NotSupported
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array

MAX_ROWS = 8192
"""More rows at once are not faster on any backend and only cost memory."""


_SIZES = (16, 128, 1024, 8192)
"""Every size is a compilation, which costs more than the rows that padding adds: few sizes, a factor 8 apart."""
_PIECES = 6
"""A remainder of more pieces than this of the next smaller size is padded to the larger one."""


def row_slices(rows: int, at_most: int) -> Iterator[tuple[slice, int]]:
    """Slices that cover the rows in order, each with the padded size it is computed at.

    Sizes are 16, 128, 1024 and 8192, as far as they fit, and the largest power of two up to ``at_most``. Beyond 16 rows
    padding adds less than half.
    """
    largest = 1 << (max(1, at_most).bit_length() - 1)
    sizes = [*(s for s in _SIZES if s < largest), largest]
    start = 0
    while start < rows:
        left = rows - start
        size = sizes[0]
        for smaller, larger in itertools.pairwise(sizes):
            if left > min(_PIECES * smaller, larger - smaller // 2):
                size = larger
        taken = min(left, size)
        yield slice(start, start + taken), size
        start += taken


def even_slices(rows: int, size: int) -> Iterator[slice]:
    """Slices of this size that cover the rows in order, the last one shorter: for what compiles nothing."""
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def padded_rows(arrays: Arrays, rows: slice, size: int) -> Arrays:
    """These rows of every array, the last one repeated up to ``size`` rows (real data cannot give NaN)."""
    short = size - (rows.stop - rows.start)
    return {
        name: np.concatenate([x[rows], np.repeat(x[rows.stop - 1 : rows.stop], short, axis=0)]) if short else x[rows]
        for name, x in arrays.items()
    }


def put(into: Arrays, part: Arrays, rows: slice, total: int, axis: int = 0) -> None:
    """Write a chunk's results in their place, without the padding; floats narrower than float32 become float32."""
    count, lead = rows.stop - rows.start, (slice(None),) * axis
    for name, values in part.items():
        if name not in into:
            shape = (*values.shape[:axis], total, *values.shape[axis + 1 :])
            into[name] = np.empty(shape, border_dtype(values))
        into[name][(*lead, rows)] = values[(*lead, slice(count))]


def border_dtype(values: Array) -> np.dtype:
    """What leaves an adapter: float64 and integers as they are, every other float as float32."""
    narrow = values.dtype.itemsize < 4 and values.dtype.kind not in "iub"
    return np.dtype(np.float32) if narrow else values.dtype


def rows_that_fit(bytes_per_row: int, max_memory: int) -> int:
    """How many rows go at once: at least one, at most ``MAX_ROWS``."""
    return int(max(1, min(MAX_ROWS, max_memory // max(1, bytes_per_row))))


def check_float(head: str, dtype: str) -> None:
    """Raise ``NotSupported`` for a head of whole numbers or truth values, which has no gradient."""
    if "float" not in dtype:
        raise NotSupported(
            f"head '{head}' gives {dtype}, which has no gradient. Explain the scores it was made from: put them "
            "out as a head of their own."
        )


def split_floats(inputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The streams that can be differentiated, and those of whole numbers or truth values; arrays or tensors."""
    is_float = {name: "float" in str(getattr(x.dtype, "name", x.dtype)) for name, x in inputs.items()}
    return {n: x for n, x in inputs.items() if is_float[n]}, {n: x for n, x in inputs.items() if not is_float[n]}
