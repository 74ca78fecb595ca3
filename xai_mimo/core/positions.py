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

    Both grids cover the same extent, [0, size] in old positions, of which a new one covers s = size / wanted.

        to more    w[j, i] = max(0, 1 - |c_j - i|),  c_j = (j + 1/2) s - 1/2, held within [0, size - 1]
        to fewer   w[j, i] = length of the overlap of [j s, (j + 1) s] and [i, i + 1], / s

    To more positions this is linear interpolation, the outermost values held at the border; to fewer it is the mean
    over what a new position covers, so that no old position is dropped, and the mean of the map stays exactly.
    """
    scale = size / wanted
    old, new = np.arange(size), np.arange(wanted)[:, None]
    if wanted > size:
        centres = np.clip((new + 0.5) * scale - 0.5, 0, size - 1)
        weights = np.maximum(0.0, 1.0 - np.abs(centres - old))
    else:
        weights = np.maximum(0.0, np.minimum((new + 1) * scale, old + 1) - np.maximum(new * scale, old)) / scale
    return np.asarray(weights)


def resize(maps: Array, size: Sequence[int]) -> Array:
    """Maps at another resolution, ``(..., *positions)`` to ``(..., *size)``: ``interpolation`` of each axis, float64.

    For two axes: bilinear to a larger size, means over areas to a smaller one.
    """
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
