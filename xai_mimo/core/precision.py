"""What is lost when data is read in a narrower dtype than it has."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from xai_mimo.core.errors import PrecisionWarning

# Rounding that moves a feature by more than this share of its spread is worth a word.
_LOST = 1e-3
# A spread below so many roundings of float64 is the rounding of whoever made the data.
_NOISE = 2**12


def warn_of_lost_digits(
    array: np.ndarray[Any, Any], cast: np.ndarray[Any, Any], features: Sequence[str], what: str
) -> None:
    """Warn where rounding moves a feature by more than a thousandth of its spread over the rows.

    Seconds since 1970, say, lie 128 apart in float32: rows of one hour become alike.

    Args:
        array: ``(row, *shape)``, as it was given.
        cast: the same in a narrower float dtype.
        features: names along the last axis, perhaps none.
        what: the data is, for the text.
    Warns:
        PrecisionWarning: once, for the first such feature.
    """
    if len(array) < 2:
        return
    axes = tuple(range(max(1, array.ndim - 1)))
    low, high = (np.asarray(end(array, axis=axes), dtype=np.float64).ravel() for end in (np.min, np.max))
    largest, spread = np.maximum(np.abs(low), np.abs(high)), high - low
    # Cheap bounds first; what was exact in the narrower dtype all along loses nothing.
    is_spread = spread > _NOISE * np.finfo(np.float64).eps * largest
    rounding = np.finfo(cast.dtype).eps * largest
    for feature in np.flatnonzero(is_spread & (rounding > _LOST * spread)).tolist():
        pick = (..., feature) if array.ndim > 1 else ...
        lost = float(np.max(np.abs(array[pick] - cast[pick].astype(np.float64))))
        if lost > _LOST * spread[feature]:
            name = f" of feature '{features[feature]}'" if features else ""
            warnings.warn(
                f"{what} is read as {cast.dtype}, which moves values{name} by up to {lost:.3g} where they spread over "
                f"{spread[feature]:.3g}. Subtract an offset from the data that the model is trained on; for a "
                "function, declare the stream with dtype='float64'.",
                PrecisionWarning,
                stacklevel=2,
            )
            return


def precision_of(model: Any) -> str:
    """The narrowest dtype that an adapted model computes in, "" where it does not tell."""
    precision = getattr(model, "precision", "")
    return precision if isinstance(precision, str) else ""


def is_half(precision: str) -> bool:
    """Whether a dtype holds three decimal digits at most."""
    return precision in _HALF


def rounding_of(precision: str) -> float:
    """Relative rounding of outputs that are computed in half precision, 0 of others: half the distance of 1 to the next
    larger number."""
    return _HALF.get(precision, 0.0)


_HALF = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
