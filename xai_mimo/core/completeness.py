"""Completeness: whether attributions sum to what the target changed by, and on which scale that is judged.

The functions of explanations are for those who read them; those of arrays for methods that watch their own gap.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr

from xai_mimo.core.errors import SchemaError
from xai_mimo.core.streams import Array, described_names

CANCELLED = 0.1
"""Where attributions cancel, the target's change is small beside them and says nothing of what a gap weighs: then gaps
are judged by this share of the sum of the absolute attributions."""


def completeness_gap(explanation: xr.Dataset) -> xr.DataArray:
    """How far the attributions are from summing to the change of the target.

    gap[h, n] = sum over streams and features of A[h, n] - (f_h(x[n]) - f_h(b[n]))

    Args:
        explanation: with the variables ``prediction`` and ``baseline_prediction``; several methods may be joined.
    Returns:
        Signed gap, ``([explainer,] head, sample)``, in the head's unit; 0 is best, no bound. NaN for a joined method
        without a baseline.
    Raises:
        SchemaError: the explanation has no baseline, so there is nothing to sum to.
    Source: Sundararajan et al. (2017), "Axiomatic Attribution for Deep Networks", Proposition 1.
    """
    return _balance_of(explanation, "completeness_gap")


def relative_gap(explanation: xr.Dataset) -> xr.DataArray:
    """The completeness gap on the scale of what was to be explained.

    r[h, n] = |gap[h, n]| / max(|f_h(x[n]) - f_h(b[n])|, 0.1 S[h, n]), S the sum of the absolute attributions of the row

    The scale is the one by which Integrated Gradients decides that a row has converged.

    Args:
        explanation: as ``completeness_gap`` takes it.
    Returns:
        ``([explainer,] head, sample)``, without unit, from 0 to infinity; 0 is best, and where nothing is attributed
        and nothing moved there is no gap either. NaN for a joined method without a baseline.
    Raises:
        SchemaError: as ``completeness_gap``.
    """
    return _balance_of(explanation, "relative_gap")


class Balance(NamedTuple):
    """What the attributions of rows sum to, held against the change of the target.

    Attributes:
        gap: ``(target, sample)``, signed, in the head's unit.
        mass: ``(target, sample)``, the sum of the absolute attributions.
        scale: ``(target, sample)``, what the gap is judged by.
    """

    gap: Array
    mass: Array
    scale: Array


def balance(values: Mapping[str, Array], change: Array) -> Balance:
    """The completeness gap of attributions, and its scale.

    Args:
        values: ``{stream: (target, sample, ...)}``.
        change: ``(target, sample)``, f(x) - f(b). A leading axis of methods may come first in both.
    """
    flat = [np.asarray(v, dtype=np.float64).reshape(*change.shape, -1) for v in values.values()]
    total, mass = np.zeros((2, *change.shape))
    for part in flat:
        total += part.sum(axis=-1)
        mass += np.abs(part).sum(axis=-1)
    return Balance(total - change, mass, scale(change, mass))


def scale(change: Array, mass: Array) -> Array:
    """What gaps are judged by: max(|change|, 0.1 S), S the sum of the absolute attributions (``mass``)."""
    return np.maximum(np.abs(change), CANCELLED * mass)


def _balance_of(explanation: xr.Dataset, name: str) -> xr.DataArray:
    for variable in ("prediction", "baseline_prediction"):
        if variable not in explanation:
            raise SchemaError(
                f"the explanation has no variable '{variable}', so its attributions have nothing to sum to. Methods "
                "that start from a baseline have one, e.g. 'integrated_gradients' or 'shapley'."
            )
    lead = [d for d in ("explainer", "head", "sample") if d in explanation.dims]
    change = (explanation["prediction"] - explanation["baseline_prediction"]).transpose(*lead)
    values = {s: explanation[s].transpose(*lead, ...).values for s in described_names(explanation.attrs)}
    sums = balance(values, change.values)
    relative = np.abs(sums.gap) / np.where(sums.scale == 0, 1.0, sums.scale)
    return change.copy(data=sums.gap if name == "completeness_gap" else relative).rename(name)
