"""Whether a map lies where the evidence is known to be: only for data with marked regions, row by row.

A region marks the positions (pixels, steps, tokens) that matter in one row; the next row has another. All scores read
magnitudes, the one reading that maps with and without a sign share.
"""

from typing import Any

import numpy as np
from scipy import ndimage

from xai_mimo.core.errors import BadSetting, BadValues, ShapeMismatch
from xai_mimo.core.streams import Array


def mass_in_region(maps: Any, regions: Any) -> Array:
    """Share of a map's mass that lies in the region.

    mass = sum over p in region of |m_p| / sum over all p of |m_p|

    Args:
        maps: ``(sample, *positions)``.
        regions: booleans of the same shape.
    Returns:
        ``(sample,)`` from 0 to 1; the area of the region is chance. NaN, meaning undefined, where the map is zero
        everywhere, or the region empty or everything.
    Raises:
        ShapeMismatch, BadValues: arrays that do not fit.
    Source: Arras et al. (2022), "CLEVR-XAI", Section 3.3, "Relevance Mass Accuracy"; as energy-based pointing game Wang
        et al. (2020), "Score-CAM", Section 4.3.
    """
    magnitude, marked = _checked(maps, regions)
    magnitude, marked = _flat(magnitude), _flat(marked)
    total = magnitude.sum(axis=1)
    inside = np.where(marked, magnitude, 0.0).sum(axis=1)
    return np.where((total > 0) & _is_telling(marked), inside / np.where(total > 0, total, 1.0), np.nan)


def pointing_game(maps: Any, regions: Any, *, tolerance: float = 0.0) -> Array:
    """Whether a map's largest magnitude lies in the region.

    hit = share of the largest positions that lie at most ``tolerance`` away from the region

    Ties share the hit, which is what a random choice among them gives on average. So a map without any contrast, a zero
    map too, scores the area of the (widened) region: chance, and never better.

    Args:
        maps: ``(sample, *positions)``.
        regions: booleans of the same shape.
        tolerance: Euclidean distance to the region that still counts, in positions. The source allows 15 pixels of
            images with several hundred; 0 allows none.
    Returns:
        ``(sample,)`` of 0 and 1, or between them for ties; the mean is the source's accuracy. NaN, meaning undefined,
        where the region is empty, or everything once it is widened.
    Raises:
        ShapeMismatch, BadValues: arrays that do not fit. BadSetting: a negative tolerance.
    Source: Zhang et al. (2018), "Top-Down Neural Attention by Excitation Backprop", Section 4.2; how ties and maps
        without contrast count is our reading.
    """
    if not np.isfinite(tolerance) or tolerance < 0:
        raise BadSetting(f"the tolerance of the pointing game must be a distance of at least 0; got {tolerance!r}.")
    magnitude, marked = _checked(maps, regions)
    wide, magnitude = _flat(widened(marked, tolerance)), _flat(magnitude)
    largest = magnitude == magnitude.max(axis=1, keepdims=True)
    hits = (largest & wide).sum(axis=1) / largest.sum(axis=1)
    return np.where(_is_telling(wide), hits, np.nan)


def widened(regions: Array, tolerance: float) -> Array:
    """Regions ``(sample, *positions)`` with all positions at most ``tolerance`` away; an empty one stays empty."""
    if tolerance == 0:
        return regions
    near = [ndimage.distance_transform_edt(~r) <= tolerance if r.any() else r for r in regions]
    return np.stack(near)


def area(regions: Any) -> Array:
    """Share of the positions that lie in the region, ``(sample,)``: what a map without any contrast scores."""
    share: Array = _flat(np.asarray(regions)).mean(axis=1)
    return share


def _is_telling(marked: Array) -> Array:
    return np.logical_and(marked.any(axis=1), ~marked.all(axis=1))


def _flat(values: Array) -> Array:
    return values.reshape(len(values), -1)


def _checked(maps: Any, regions: Any) -> tuple[Array, Array]:
    """Magnitudes and regions."""
    magnitude, marked = np.abs(np.asarray(maps, dtype=np.float64)), np.asarray(regions)
    if magnitude.ndim < 2 or marked.shape != magnitude.shape:
        raise ShapeMismatch(
            "localisation wants maps (sample, *positions) and one boolean for each position; got "
            f"{magnitude.shape} and {marked.shape}."
        )
    if marked.dtype != np.bool_:
        raise BadValues(f"regions must be booleans, one per position; got dtype {marked.dtype}.")
    if not np.isfinite(magnitude).all():
        raise BadValues("the maps hold NaN or infinite values.")
    return magnitude, marked
