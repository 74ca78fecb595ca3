"""How far two explanations of the same rows agree.

Every function takes two maps ``(sample, feature)`` and returns one value per row, ``(sample,)``. Features are ranked by
the magnitude of their attribution, the one order that maps with and without a sign share; only the sign family reads
signs.

Ties. Where a map gives several features the same magnitude it does not say which comes first. The agreement at k and
the pairwise rank agreement are therefore the exact expected value over all ways to break ties, at random and
independently in the two maps. A constant map thus scores what chance scores (k / features, 1 / 2), never more.
Spearman's and Kendall's coefficients have their own treatment of ties (average ranks, tau-b) and are undefined where a
map is constant: those rows are NaN here, and ``statistics`` leaves them out, counts them and says so.

A high agreement does not make a map right: Neely et al. (2022), "A Song of (Dis)agreement", advise against using rank
correlation to validate attention. Show it beside a floor, a ceiling and a measure of faithfulness.

Source: Krishna et al. (2024), "The Disagreement Problem in Explainable Machine Learning", TMLR, Section 3.2. The
treatment of ties is our reading; the paper has none.
"""

from typing import Any

import numpy as np
from scipy import stats

from xai_mimo.core.errors import BadSetting, BadValues, ShapeMismatch
from xai_mimo.core.streams import Array

# Up to here all pairs of features, row-parallel, are faster than SciPy's sort of one row at a time.
_PAIRWISE_FEATURES = 400


def feature_agreement(a: Any, b: Any, k: int) -> Array:
    """Share of the k most important features that two maps have in common.

    FA = |top_k(a) & top_k(b)| / k

    Args:
        a, b: maps ``(sample, feature)``.
        k: from 1 to the number of features.
    Returns:
        ``(sample,)`` from 0 to 1; k / features for a map without any order.
    Raises:
        ShapeMismatch, BadValues: maps that do not fit. BadSetting: k out of range.
    Source: Krishna et al. (2024), Section 3.2, "Feature Agreement".
    """
    a, b = _pair(a, b)
    _check_k(k, a.shape[1])
    found: Array = (_chance_in_top(a, k) * _chance_in_top(b, k)).sum(axis=1) / k
    return found


def rank_agreement(a: Any, b: Any, k: int) -> Array:
    """Share of the k most important features that have the same rank in both maps.

    RA = |{i: rank_a(i) = rank_b(i) <= k}| / k

    Args, Returns, Raises: as ``feature_agreement``; never above it.
    Source: Krishna et al. (2024), Section 3.2, "Rank Agreement".
    """
    a, b = _pair(a, b)
    _check_k(k, a.shape[1])
    found: Array = _chance_of_same_rank(a, b, k).sum(axis=1) / k
    return found


def sign_agreement(a: Any, b: Any, k: int, *, signed: tuple[bool, bool]) -> Array:
    """Share of the k most important features that two maps have in common, with the same sign.

    SA = |{i in top_k(a) & top_k(b): sign(a_i) = sign(b_i)}| / k

    Args:
        a, b, k: as in ``feature_agreement``.
        signed: whether each of the two maps has a sign; attention has none.
    Returns:
        ``(sample,)`` from 0 to 1. Zero is a sign of its own: it agrees with zero only.
    Raises:
        BadSetting: a map has no sign.
    Source: Krishna et al. (2024), Section 3.2, "Sign Agreement".
    """
    a, b = _pair(a, b)
    _check_k(k, a.shape[1])
    same = _same_sign(a, b, signed, "sign agreement")
    found: Array = (_chance_in_top(a, k) * _chance_in_top(b, k) * same).sum(axis=1) / k
    return found


def signed_rank_agreement(a: Any, b: Any, k: int, *, signed: tuple[bool, bool]) -> Array:
    """Share of the k most important features that have the same rank and the same sign in both maps.

    SRA = |{i: rank_a(i) = rank_b(i) <= k, sign(a_i) = sign(b_i)}| / k

    Args, Returns, Raises: as ``sign_agreement``.
    Source: Krishna et al. (2024), Section 3.2, "Signed Rank Agreement".
    """
    a, b = _pair(a, b)
    _check_k(k, a.shape[1])
    same = _same_sign(a, b, signed, "signed rank agreement")
    found: Array = (_chance_of_same_rank(a, b, k) * same).sum(axis=1) / k
    return found


def spearman(a: Any, b: Any) -> Array:
    """Spearman's rank correlation of the magnitudes, ties at average rank.

    rho = Pearson correlation of the ranks of |a| and |b|

    Returns:
        ``(sample,)`` from -1 to 1; NaN, meaning undefined, where a map is constant in magnitude.
    Source: Krishna et al. (2024), Section 3.2, "Rank Correlation".
    """
    a, b = _pair(a, b)
    ranks = [stats.rankdata(np.abs(m), axis=1) for m in (a, b)]
    u, v = (r - r.mean(axis=1, keepdims=True) for r in ranks)
    scale = np.sqrt((u**2).sum(axis=1) * (v**2).sum(axis=1))
    defined = scale > 0
    return np.where(defined, (u * v).sum(axis=1) / np.where(defined, scale, 1.0), np.nan)


def kendall(a: Any, b: Any) -> Array:
    """Kendall's tau-b of the magnitudes.

    tau_b = (C - D) / sqrt((P - T_a) (P - T_b)): C concordant and D discordant pairs, P all pairs, T those tied in a map

    Returns:
        ``(sample,)`` from -1 to 1; NaN, meaning undefined, where a map is constant in magnitude.
    Source: Kendall (1945), "The Treatment of Ties in Ranking Problems"; used for attention by Jain and Wallace (2019),
        "Attention is not Explanation", Section 4.
    """
    a, b = _pair(a, b)
    untied = np.sqrt(_untied_pairs(a) * _untied_pairs(b))
    defined = untied > 0
    return np.where(defined, _concordance(a, b) / np.where(defined, untied, 1.0), np.nan)


def pairwise_rank_agreement(a: Any, b: Any) -> Array:
    """Share of all pairs of features that two maps put in the same order.

    PRA = |{i < j: (|a_i| - |a_j|) (|b_i| - |b_j|) > 0}| / P; a pair that is tied in a map counts 1/2

    Equal to (1 + tau_a) / 2 with Kendall's tau-a.

    Returns:
        ``(sample,)`` from 0 to 1; 1/2 is chance, and what a constant map scores.
    Raises:
        BadSetting: a single feature, which makes no pair.
    Source: Krishna et al. (2024), Section 3.2, "Pairwise Rank Agreement".
    """
    a, b = _pair(a, b)
    features = a.shape[1]
    if features < 2:
        raise BadSetting("pairwise rank agreement needs at least 2 features; got 1.")
    found: Array = (1.0 + _concordance(a, b) / (features * (features - 1) / 2)) / 2
    return found


def _pair(a: Any, b: Any) -> tuple[Array, Array]:
    one, other = (np.asarray(m, dtype=np.float64) for m in (a, b))
    if one.ndim != 2 or one.shape != other.shape or 0 in one.shape:
        raise ShapeMismatch(
            f"agreement wants two maps (sample, feature) of the same shape with at least one row and one feature; "
            f"got {one.shape} and {other.shape}. Flatten the streams with core.explanation.features_of."
        )
    for m in (one, other):
        if not np.isfinite(m).all():
            raise BadValues("a map holds NaN or infinite attributions; agreement is not defined for them.")
    return one, other


def _check_k(k: int, features: int) -> None:
    if not 1 <= int(k) <= features or int(k) != k:
        raise BadSetting(f"k must be a whole number from 1 to the number of features, {features}; got {k!r}.")


def _same_sign(a: Array, b: Array, signed: tuple[bool, bool], what: str) -> Array:
    for has_sign, which in zip(signed, ("first", "second"), strict=True):
        if not has_sign:
            raise BadSetting(
                f"{what} compares signs, but the {which} map has none (attention says how much, not in which "
                "direction). Use feature or rank agreement, or a signed map such as the layer's contributions."
            )
    found: Array = np.sign(a) == np.sign(b)
    return found


def _tie_groups(a: Array) -> tuple[Array, Array]:
    """For each feature: how many are strictly more important, and how many (itself included) are as important."""
    before = stats.rankdata(-np.abs(a), method="min", axis=1) - 1
    upto = stats.rankdata(-np.abs(a), method="max", axis=1)
    return before, upto - before


def _chance_in_top(a: Array, k: int) -> Array:
    before, tied = _tie_groups(a)
    return np.clip((k - before) / tied, 0.0, 1.0)


def _chance_of_same_rank(a: Array, b: Array, k: int) -> Array:
    # A feature takes each rank of its tie group with equal chance: count the ranks <= k that both groups hold.
    (before_a, tied_a), (before_b, tied_b) = _tie_groups(a), _tie_groups(b)
    first = np.maximum(before_a, before_b)
    last = np.minimum(np.minimum(before_a + tied_a, before_b + tied_b), k)
    found: Array = np.maximum(last - first, 0.0) / (tied_a * tied_b)
    return found


def _untied_pairs(a: Array) -> Array:
    _, tied = _tie_groups(a)
    features = a.shape[1]
    found: Array = (features * (features - 1) - (tied - 1).sum(axis=1)) / 2
    return found


def _concordance(a: Array, b: Array) -> Array:
    """Concordant minus discordant pairs of each row."""
    a, b = np.abs(a), np.abs(b)
    if a.shape[1] <= _PAIRWISE_FEATURES:
        total = np.zeros(len(a))
        for j in range(1, a.shape[1]):
            total += (np.sign(a[:, :j] - a[:, j, None]) * np.sign(b[:, :j] - b[:, j, None])).sum(axis=1)
        return total
    scale = np.sqrt(_untied_pairs(a) * _untied_pairs(b))
    # SciPy warns nothing and returns NaN for a constant row; such a row has no concordant pair.
    tau = np.array([stats.kendalltau(u, v).statistic for u, v in zip(a, b, strict=True)])
    found: Array = np.rint(np.where(scale > 0, tau, 0.0) * scale)
    return found
