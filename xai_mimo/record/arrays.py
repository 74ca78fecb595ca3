"""Arrays as the record holds them: rounded, and images in coarser blocks where they are large."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from xai_mimo.core.positions import IMAGE, is_image
from xai_mimo.core.streams import Array

DIGITS = 8
"""Significant digits of nested values: more than float32 has, so that nothing that was computed is lost."""


def rounded(values: Array) -> Any:
    """Nested lists of numbers with 8 significant digits; one number for an array without axes."""
    array = np.asarray(values, dtype=np.float64)
    rounded = [float(f"{value:.{DIGITS}g}") for value in array.ravel().tolist()]
    return np.reshape(rounded, array.shape).tolist()


def coarsen(values: Array, axes: Sequence[str], most: int, how: Literal["sum", "mean"]) -> tuple[Array, int]:
    """An image in square blocks of pixels, so many to a side that at most ``most`` values are left.

    Attributions are summed within a block, so that what they sum to stays; inputs are averaged. Blocks at the end of
    an axis that is no multiple of the side are smaller.

    Args:
        values: with one axis for each word of ``axes``.
        axes: words; without both "height" and "width" the values come back as they are, however many.
        most: number of values.
        how: "sum" or "mean".
    Returns:
        The blocks and the side of one, 1 where nothing had to be done.
    """
    if not is_image(axes):
        return values, 1
    side, blocks = 1, np.asarray(values, dtype=np.float64)
    while blocks.size > most and side < max(values.shape):
        side += 1
        blocks = in_blocks(values, axes, side, how)
    return blocks, side


def in_blocks(values: Array, axes: Sequence[str], side: int, how: Literal["sum", "mean"]) -> Array:
    """An image in blocks of ``side`` x ``side`` pixels, see ``coarsen``; an axis of length 1 stays."""
    blocks = np.asarray(values, dtype=np.float64)
    for axis in (axes.index(word) for word in IMAGE):
        starts = np.arange(0, blocks.shape[axis], side)
        blocks = np.add.reduceat(blocks, starts, axis=axis)
        if how == "mean":
            counts = np.diff([*starts, values.shape[axis]])
            blocks = blocks / counts.reshape([-1 if i == axis else 1 for i in range(blocks.ndim)])
    return blocks
