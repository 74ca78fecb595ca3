"""Maps of several blocks made one: scaling to [0, 1], smoothing over blocks, fusion.

Plain NumPy, the same on every backend. All formulas are our reading; see ``read_saliency``.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr

_EPSILON = 1e-8


def scaled(maps: np.ndarray) -> np.ndarray:
    """(m - min) / (max - min + 1e-8) over the last two axes: in [0, 1], and 0 where a map is constant."""
    low, high = maps.min(axis=(-2, -1), keepdims=True), maps.max(axis=(-2, -1), keepdims=True)
    return np.asarray((maps - low) / (high - low + _EPSILON))


def smoothed(maps: Sequence[np.ndarray], beta: float) -> list[np.ndarray]:
    """Running mean over blocks: S_l <- beta S_{l-1} + (1 - beta) S_l, with S_1 as it is."""
    averaged: list[np.ndarray] = []
    for values in maps:
        averaged.append(beta * averaged[-1] + (1 - beta) * values if averaged else values)
    return averaged


def fuse(maps: xr.DataArray, fusion: str | Sequence[str]) -> xr.DataArray:
    """One map of those of all layers.

    Args:
        maps: ``(layer, head, sample, height, width)`` or ``(layer, head, sample, token)``, each scaled.
        fusion: "mean", "product", or names of the layers to take the mean of.
    Raises:
        ValueError: it is none of these.
    """
    names = [str(name) for name in maps["layer"].values]
    chosen = [fusion] if isinstance(fusion, str) and fusion not in ("mean", "product") else fusion
    if not isinstance(chosen, str) and (not chosen or not set(chosen) <= set(names)):
        raise ValueError(
            f"Expected `fusion` to be 'mean', 'product' or names of layers out of {names}. Received: fusion={fusion!r}"
        )
    if chosen == "product":
        fused = maps.prod("layer")
    else:
        fused = (maps if isinstance(chosen, str) else maps.sel(layer=list(chosen))).mean("layer")
    return fused.copy(data=scaled(fused.values)) if "height" in maps.dims else fused
