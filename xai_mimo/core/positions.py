"""Positions of a stream (pixels, steps, tokens): which axes they are, and maps over them at another resolution.

A stream of images, sequences or tokens has axes of positions and mostly one of channels. A layer behind it has fewer
positions; what is said of those is laid over the stream's own by linear interpolation along each axis.
"""

from collections.abc import Collection, Sequence

import numpy as np

from xai_mimo.core.errors import NotSupported
from xai_mimo.core.streams import Array, Stream

IMAGE = ("height", "width")
"""Words for the rows and the columns of pixels."""

POSITIONS = frozenset({"time", "height", "width", "token", "step"})
"""Words for axes along which values have positions, not names."""

ALL_POSITIONS = "(all places)"
"""What the one feature is called that all positions of a stream share. Results that were saved have this text."""


def is_image(axes: Collection[str]) -> bool:
    """Whether axes, by their words, hold rows and columns of pixels."""
    return set(IMAGE) <= set(axes)


def has_positions(stream: Stream) -> bool:
    """Whether the values of a stream have positions, so that a map of it is a picture and not a list."""
    return len(stream.axes) > 1 or bool(POSITIONS & set(stream.axes))


def position_axes(stream: Stream, *, is_text: bool = False) -> list[int]:
    """The axes of a row that are called by a word for positions.

    Args:
        stream: whose axes are named.
        is_text: whether it holds words, whose first axis is one of positions whatever it is called.
    """
    return [i for i, axis in enumerate(stream.axes) if axis in POSITIONS or (i == 0 and is_text)]


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


def has_channels(stream: Stream) -> bool:
    """Whether a stream has an axis of channels, and at least one of positions."""
    return len(stream.shape) > 1


def interpolation(size: int, new_size: int) -> Array:
    """Weights that bring one axis from ``size`` positions to ``new_size``: ``(new_size, size)``, rows sum to 1.

    Both grids cover the same extent, [0, size] in old positions, of which a new one covers s = size / new_size.

        to more    w[j, i] = max(0, 1 - |c_j - i|),  c_j = (j + 1/2) s - 1/2, held within [0, size - 1]
        to fewer   w[j, i] = length of the overlap of [j s, (j + 1) s] and [i, i + 1], / s

    To more positions this is linear interpolation, the outermost values held at the border; to fewer it is the mean
    over what a new position covers, so that no old position is dropped, and the mean of the map stays exactly.
    """
    scale = size / new_size
    old, new = np.arange(size), np.arange(new_size)[:, None]
    if new_size > size:
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
    for axis, new_size in enumerate(size, start=resized.ndim - len(size)):
        if resized.shape[axis] != new_size:
            weights = interpolation(resized.shape[axis], new_size)
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
    axis = maps.ndim - axes + channel
    return np.repeat(np.expand_dims(resized / shape[channel], axis), shape[channel], axis=axis)
