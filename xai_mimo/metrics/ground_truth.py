"""Explanations against features that are known to matter: only for data whose rules are known."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from xai_mimo.core.errors import BadSetting, BadValues, ShapeMismatch
from xai_mimo.core.streams import Array


@dataclass(frozen=True)
class TrueFeatures:
    """What is known of one head.

    Attributes:
        mask: ``(player,)`` booleans; None where the head cannot be scored.
        note: why it cannot be scored, or how the truth had to be read; "" when there is nothing to say.
        is_null: whether the head is known to depend on no input at all.
    """

    mask: Array | None
    note: str = ""
    is_null: bool = False


def share_on_truth(a: Any, truth: Any) -> Array:
    """Share of the map's mass that lies on the true features.

    share = sum_{i in truth} |a_i| / sum_i |a_i|

    Args:
        a: map ``(sample, feature)``.
        truth: ``(feature,)`` booleans; at least one feature true and one not.
    Returns:
        ``(sample,)`` from 0 to 1; (true features) / features is chance. NaN, meaning undefined, in rows that are all
        zero.
    Raises:
        ShapeMismatch, BadValues: arrays that do not fit. BadSetting: nothing or everything is true.
    Source: Arras et al. (2022), "CLEVR-XAI", Section 3.3, "Relevance Mass Accuracy".
    """
    a, truth = _checked(a, truth)
    total = np.abs(a).sum(axis=1)
    on_truth = np.abs(a[:, truth]).sum(axis=1)
    return np.where(total > 0, on_truth / np.where(total > 0, total, 1.0), np.nan)


def auroc(a: Any, truth: Any) -> Array:
    """Chance that a true feature has a larger magnitude than one that is not; ties count one half.

    AUROC = (R - n (n + 1) / 2) / (n m): R the sum of the ranks of |a| over the n true features, m the others

    Args, Raises: as ``share_on_truth``.
    Returns:
        ``(sample,)`` from 0 to 1; 1/2 is chance, and what a constant map scores.
    Source: Mann and Whitney (1947); for explanations Hooker et al. (2019) and Agarwal et al. (2022), "OpenXAI".
    """
    a, truth = _checked(a, truth)
    n, m = int(truth.sum()), int((~truth).sum())
    ranks = stats.rankdata(np.abs(a), axis=1)
    found: Array = (ranks[:, truth].sum(axis=1) - n * (n + 1) / 2) / (n * m)
    return found


def _checked(a: Any, truth: Any) -> tuple[Array, Array]:
    a, truth = np.asarray(a, dtype=np.float64), np.asarray(truth)
    if a.ndim != 2 or truth.shape != a.shape[1:]:
        raise ShapeMismatch(
            f"ground truth wants a map (sample, feature) and one boolean per feature; got {a.shape} and {truth.shape}."
        )
    if truth.dtype != np.bool_:
        raise BadValues(f"the truth must be booleans, one per feature; got dtype {truth.dtype}.")
    if not np.isfinite(a).all():
        raise BadValues("the map holds NaN or infinite attributions.")
    if truth.all() or not truth.any():
        raise BadSetting(
            f"{int(truth.sum())} of {truth.size} features are true: a map can only be scored where some features "
            "matter and some do not. Leave this head out of the truth."
        )
    return a, truth
