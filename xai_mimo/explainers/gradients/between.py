"""Values between the points of a path's first pieces, which tell of structure that gradients at the points miss."""

import numpy as np

from xai_mimo.core.streams import Array
from xai_mimo.explainers.gradients.paths import Paths, starts_of

_PARTS = 4
"""Every interval between two points is looked at in so many parts."""
_FINE_PARTS = 8
"""The same where a target seems not to change at all."""


def look_between(
    paths: Paths, path: Array, start: Array, width: Array, nodes: Array, speed: Array, allowed: Array
) -> tuple[Array, Array]:
    """How narrow the pieces have to be so that their points meet what stands out between them.

    Values are held against the cubic through the values and derivatives at both ends of their interval (Hermite's).

    Args:
        path, start, width: ``(piece,)``; all pieces of a path stand together.
        nodes, speed: ``(target, piece, 3)``, values and derivatives by t at the start, in the middle and at the end.
        allowed: ``(target, path)``, how far values may lie off, for each of these paths in order.
    Returns:
        ``(piece,)``, 1, no limit, where nothing stands out; and how far values lie off, ``(target, piece)``.
    """
    starts, widest, off_by = starts_of(path), np.ones(len(path)), np.zeros(nodes.shape[:2])
    pieces = np.diff(np.r_[starts, len(path)])
    highest = np.maximum.reduceat(nodes.max(axis=2), starts, axis=1)
    lowest = np.minimum.reduceat(nodes.min(axis=2), starts, axis=1)
    is_still = (highest - lowest <= allowed).any(axis=0)
    moves = np.repeat(_moves(paths, path[starts]), pieces)
    for parts, chosen in ((_PARTS, ~is_still), (_FINE_PARTS, is_still)):
        some = np.flatnonzero(moves & np.repeat(chosen, pieces))
        if len(some):
            off_by[:, some] = _off_by(
                paths, path[some], start[some], width[some], nodes[:, some], speed[:, some], parts
            )
            beyond = np.greater(off_by, np.repeat(allowed, pieces, axis=1))
            stand_out = some[np.any(beyond, axis=0)[some]]
            widest[stand_out] = width[stand_out] / parts
    return widest, off_by


def _moves(paths: Paths, path: Array) -> Array:
    """Whether a path has two ends: ``(path,)``."""
    moves = np.zeros(len(path), dtype=bool)
    for span in paths.spans(path).values():
        moves |= span.reshape(len(path), -1).any(axis=1)
    return moves


def _off_by(paths: Paths, path: Array, start: Array, width: Array, nodes: Array, speed: Array, parts: int) -> Array:
    """The largest distance of the values in a piece from the curve through its points: ``(target, piece)``."""
    u = np.arange(1, parts) / parts
    value_low, value_high = (1 + 2 * u) * (1 - u) ** 2, u**2 * (3 - 2 * u)
    speed_low, speed_high = u * (1 - u) ** 2, u**2 * (u - 1)
    half, off_by = width / 2, np.zeros(nodes.shape[:2])
    for side in (0, 1):
        t = start[:, None] + half[:, None] * (side + u)
        values = paths.values(np.repeat(path, len(u)), t.ravel()).reshape(len(nodes), len(path), len(u))
        curve = nodes[:, :, side, None] * value_low + nodes[:, :, side + 1, None] * value_high
        curve += half[:, None] * (speed[:, :, side, None] * speed_low + speed[:, :, side + 1, None] * speed_high)
        off_by = np.maximum(off_by, np.abs(values - curve).max(axis=2))
    return off_by
