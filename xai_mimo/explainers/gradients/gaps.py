"""Points of a path without a gradient, as a norm, a distance or a square root has none at 0: the path goes on."""

import numpy as np

from xai_mimo.core.streams import Array

# Steeper powers are taken for this one.
_LEAST_POWER = 0.05


def bridge(low: Array, middle: Array, high: Array) -> tuple[Array, Array, Array, Array] | None:
    """Gradients at the ends and in the middle of pieces, with others for those that are NaN or infinite.

    An infinite end takes the value with which Simpson's rule integrates a power of the distance from it, fitted to the
    two other points: (d/dt) t^p has p - 1 = log2(g(h) / g(h / 2)) and the mean g(h) / p. Where the gradient only jumps
    there p is 1, and the end takes the value of the middle. The middle takes the mean of the ends, and its piece has
    to be halved.

    Args:
        low, middle, high: ``(target, piece, *shape)``.
    Returns:
        The three, and which pieces ``(piece,)`` had no gradient in the middle. None where a value is finite at none of
        the three points: there is no gradient on a whole stretch.
    """
    has_low, has_middle, has_high = (np.isfinite(g) for g in (low, middle, high))
    if not (has_low | has_middle | has_high).all():
        return None
    wide = [
        np.where(has, g, 0.0).astype(np.float64) for has, g in ((has_low, low), (has_middle, middle), (has_high, high))
    ]
    ends = np.where(has_low & has_high, (wide[0] + wide[2]) / 2, wide[0] + wide[2])
    centre = np.where(has_middle, wide[1], ends)
    lows = np.where(has_low, wide[0], _end(centre, wide[2], has_high))
    highs = np.where(has_high, wide[2], _end(centre, wide[0], has_low))
    lost = np.logical_not(has_middle).swapaxes(0, 1).reshape(middle.shape[1], -1)
    is_open: Array = np.any(lost, axis=1)
    return lows, centre, highs, is_open


def _end(middle: Array, far: Array, has_far: Array) -> Array:
    """The value of an end without a gradient, from the middle and the far end; see ``bridge``."""
    is_power = np.asarray(has_far & (middle * far > 0) & (np.abs(far) < np.abs(middle)))
    ratio = np.divide(far, middle, out=np.ones_like(middle), where=is_power)
    power = np.maximum(1 + np.log2(ratio), _LEAST_POWER)
    end: Array = np.where(is_power, 6 * far / power - far - 4 * middle, middle)
    return end
