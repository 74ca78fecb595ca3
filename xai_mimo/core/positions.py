"""Positions: the places of a stream (pixels, steps, tokens), and maps over them brought from one resolution to another.

A stream of images, sequences or tokens has axes of positions and mostly one of channels. A layer behind it has fewer
positions; what is said of those is laid over the stream's own by linear interpolation along each axis.
"""

from collections.abc import Sequence

import numpy as np

from xai_mimo.core.errors import NotSupported
from xai_mimo.core.streams import Array, Stream


def channel_axis(stream: Stream, positions: int | None = None) -> int | None:
    """Which axis of a row holds the channels.

    Args:
        stream: whose axes are named.
        positions: number of its axes that are positions, where that is known from elsewhere.
    Returns:
        The axis called "channel", else the last; None where every axis is a position.
    """
    rank = len(stream.shape)
    if rank == 0 or positions == rank:
        return None
    return stream.axes.index("channel") if "channel" in stream.axes else rank - 1


def has_positions(stream: Stream) -> bool:
    """Whether a stream has an axis of positions beside its channels, and values that have a gradient."""
    return len(stream.shape) > 1 and np.dtype(stream.dtype).kind == "f"


def interpolation(size: int, wanted: int) -> Array:
    """Weights that bring one axis from ``size`` positions to ``wanted``: ``(wanted, size)``, rows sum to 1.

    w[j, i] = triangle((c_j - i) / s) / sum over i, c_j = (j + 1/2) size / wanted - 1/2, s = max(1, size / wanted)

    Both grids cover the same extent. To more positions this is linear interpolation, the outermost values held at the
    border; to fewer it averages over the width that a new position covers.
    """
    scale = size / wanted
    centres = (np.arange(wanted) + 0.5) * scale - 0.5
    weights = np.maximum(0.0, 1.0 - np.abs(centres[:, None] - np.arange(size)) / max(1.0, scale))
    found: Array = weights / weights.sum(axis=1, keepdims=True)
    return found


def resize(maps: Array, size: Sequence[int]) -> Array:
    """Maps at another resolution, bilinear for two axes: ``(..., *positions)`` to ``(..., *size)``, float64."""
    resized = np.asarray(maps, dtype=np.float64)
    for axis, wanted in enumerate(size, start=resized.ndim - len(size)):
        if resized.shape[axis] != wanted:
            weights = interpolation(resized.shape[axis], wanted)
            resized = np.moveaxis(np.tensordot(resized, weights, axes=(axis, 1)), -1, axis)
    return resized


def positions_of(stream: Stream, shape: Sequence[int], *, axes: int, what: str) -> tuple[int, ...]:
    """Lengths of a stream's axes of positions, where they are as many as those of a map.

    Args:
        stream: that a map is laid over. shape: of one row of it.
        axes: how many axes of positions the map has.
        what: the map, for the error text.
    Raises:
        NotSupported: the stream has another number of axes of positions.
    """
    if len(shape) not in (axes, axes + 1):
        raise NotSupported(
            f"{what} has {axes} axes of positions, so it cannot be laid over input stream '{stream.name}' of shape "
            f"{tuple(shape)}. Choose a layer whose positions are those of the stream, or explain at the layer "
            "(explain(..., at='<layer>'))."
        )
    channel = channel_axis(stream, axes)
    return tuple(n for i, n in enumerate(shape) if i != channel)


def lay_over(maps: Array, stream: Stream, shape: Sequence[int], *, axes: int, what: str) -> Array:
    """Maps over a layer's positions as values of a stream whose positions these are.

    Each position's value is divided evenly among its channels, so that the sum over channels is the resized map.

    Args:
        maps: ``(..., *positions)``.
        stream, shape, axes, what: see ``positions_of``.
    Returns:
        ``(..., *shape)``, float64.
    Raises:
        NotSupported: see ``positions_of``.
    """
    resized, channel = resize(maps, positions_of(stream, shape, axes=axes, what=what)), channel_axis(stream, axes)
    if channel is None:
        return resized
    where = maps.ndim - axes + channel
    return np.repeat(np.expand_dims(resized / shape[channel], where), shape[channel], axis=where)
