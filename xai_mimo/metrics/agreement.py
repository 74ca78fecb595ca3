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
correlation to validate attention. Show it with a floor, a ceiling and a measure of faithfulness.

Source: Krishna et al. (2024), "The Disagreement Problem in Explainable Machine Learning", TMLR, Section 3.2. The
treatment of ties is our reading; the paper has none.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from xai_mimo.core.errors import BadSetting, BadValues, ShapeMismatch
from xai_mimo.core.streams import Array

# Up to here all pairs of features, row-parallel, are faster than SciPy's sort of one row at a time.
_PAIRWISE_FEATURES = 400


@dataclass(frozen=True)
class Ranked:
    """A map whose features were put in order once, to be held against many others.

    Every function of this file takes it in the place of a map; sorting is most of what they cost.

    Attributes:
        values: the map, ``(sample, feature)``.
        before: how many features are strictly more important than each, ``(sample, feature)``.
        tied: how many are as important as each, itself included, likewise.
    """

    values: Array
    before: Array
    tied: Array

    @staticmethod
    def of(a: Any) -> "Ranked":
        """Sort a map by magnitude.

        Raises:
            ShapeMismatch: not ``(sample, feature)``, or empty. BadValues: NaN or infinite attributions.
        """
        values = np.asarray(a, dtype=np.float64)
        if values.ndim != 2 or 0 in values.shape:
            raise ShapeMismatch(
                "agreement wants maps (sample, feature) with at least one row and one feature; got "
                f"{values.shape}. Flatten the streams with core.explanation.features_of."
            )
        if not np.isfinite(values).all():
            raise BadValues("a map holds NaN or infinite attributions; agreement is not defined for them.")
        descending = -np.abs(values)
        order = np.argsort(descending, axis=1)
        descending = np.take_along_axis(descending, order, axis=1)
        place = np.arange(values.shape[1], dtype=np.int32)
        new = np.ones(values.shape, dtype=bool)
        new[:, 1:] = descending[:, 1:] != descending[:, :-1]
        first = np.maximum.accumulate(np.where(new, place, 0), axis=1)
        ends = np.concatenate([new[:, 1:], np.ones((len(new), 1), dtype=bool)], axis=1)
        last = np.minimum.accumulate(np.where(ends, place, place[-1])[:, ::-1], axis=1)[:, ::-1]
        before, tied = np.empty_like(first), np.empty_like(first)
        np.put_along_axis(before, order, first, axis=1)
        np.put_along_axis(tied, order, last - first + 1, axis=1)
        return Ranked(values, before, tied)

    def in_top(self, where: tuple[Array, ...], k: int) -> Array:
        """The chance that these features, ``(row, feature)``, are among the k most important, ties broken at random."""
        chance: Array = np.minimum((k - self.before[where]) / self.tied[where], 1.0)
        return chance

    @property
    def untied_pairs(self) -> Array:
        """How many pairs of features are not tied, ``(sample,)``."""
        features = self.values.shape[1]
        untied: Array = (features * (features - 1) - (self.tied - 1).sum(axis=1, dtype=np.float64)) / 2
        return untied


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
    a, b, both = _tops(a, b, k)
    return _mean_of_top(a.in_top(both, k) * b.in_top(both, k), both, a, k)


def rank_agreement(a: Any, b: Any, k: int) -> Array:
    """Share of the k most important features that have the same rank in both maps.

    RA = |{i: rank_a(i) = rank_b(i) <= k}| / k

    Args, Returns, Raises: as ``feature_agreement``; never above it.
    Source: Krishna et al. (2024), Section 3.2, "Rank Agreement".
    """
    a, b, both = _tops(a, b, k)
    return _mean_of_top(_chance_of_same_rank(a, b, both, k), both, a, k)


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
    a, b, both = _tops(a, b, k)
    same = _same_sign(a, b, both, signed, "sign agreement")
    return _mean_of_top(a.in_top(both, k) * b.in_top(both, k) * same, both, a, k)


def signed_rank_agreement(a: Any, b: Any, k: int, *, signed: tuple[bool, bool]) -> Array:
    """Share of the k most important features that have the same rank and the same sign in both maps.

    SRA = |{i: rank_a(i) = rank_b(i) <= k, sign(a_i) = sign(b_i)}| / k

    Args, Returns, Raises: as ``sign_agreement``.
    Source: Krishna et al. (2024), Section 3.2, "Signed Rank Agreement".
    """
    a, b, both = _tops(a, b, k)
    same = _same_sign(a, b, both, signed, "signed rank agreement")
    return _mean_of_top(_chance_of_same_rank(a, b, both, k) * same, both, a, k)


def spearman(a: Any, b: Any) -> Array:
    """Spearman's rank correlation of the magnitudes, ties at average rank.

    rho = Pearson correlation of the ranks of |a| and |b|

    Returns:
        ``(sample,)`` from -1 to 1; NaN, meaning undefined, where a map is constant in magnitude.
    Source: Krishna et al. (2024), Section 3.2, "Rank Correlation".
    """
    ranks = [m.before + (m.tied + 1) / 2 for m in _pair(a, b)]
    u, v = (r - r.mean(axis=1, keepdims=True) for r in ranks)
    scale = np.sqrt((u**2).sum(axis=1) * (v**2).sum(axis=1))
    defined = scale > 0
    return np.where(defined, (u * v).sum(axis=1) / np.where(defined, scale, 1.0), np.nan)


def concordance(a: Any, b: Any) -> Array:
    """Concordant minus discordant pairs of features, ``(sample,)``: what ``kendall`` and the pairwise agreement share.

    C - D = sum over i < j of sign(|a_i| - |a_j|) sign(|b_i| - |b_j|)

    Source: Kendall (1945), "The Treatment of Ties in Ranking Problems".
    """
    a, b = _pair(a, b)
    one, other = np.abs(a.values), np.abs(b.values)
    if one.shape[1] <= _PAIRWISE_FEATURES:
        total = np.zeros(len(one))
        for j in range(1, one.shape[1]):
            total += (np.sign(one[:, :j] - one[:, j, None]) * np.sign(other[:, :j] - other[:, j, None])).sum(axis=1)
        return total
    scale = np.sqrt(a.untied_pairs * b.untied_pairs)
    # SciPy warns nothing and returns NaN for a constant row; such a row has no concordant pair.
    tau = np.array([stats.kendalltau(u, v).statistic for u, v in zip(one, other, strict=True)])
    difference: Array = np.rint(np.where(scale > 0, tau, 0.0) * scale)
    return difference


def kendall(a: Any, b: Any, *, pairs: Array | None = None) -> Array:
    """Kendall's tau-b of the magnitudes.

    tau_b = (C - D) / sqrt((P - T_a) (P - T_b)): C concordant and D discordant pairs, P all pairs, T those tied in a map

    Args:
        a, b: maps ``(sample, feature)``.
        pairs: their ``concordance``, where it is known already.
    Returns:
        ``(sample,)`` from -1 to 1; NaN, meaning undefined, where a map is constant in magnitude.
    Source: Kendall (1945), "The Treatment of Ties in Ranking Problems"; used for attention by Jain and Wallace (2019),
        "Attention is not Explanation", Section 4.
    """
    a, b = _pair(a, b)
    untied = np.sqrt(a.untied_pairs * b.untied_pairs)
    defined = untied > 0
    return np.where(defined, _known(pairs, a, b) / np.where(defined, untied, 1.0), np.nan)


def pairwise_rank_agreement(a: Any, b: Any, *, pairs: Array | None = None) -> Array:
    """Share of all pairs of features that two maps put in the same order.

    PRA = |{i < j: (|a_i| - |a_j|) (|b_i| - |b_j|) > 0}| / P; a pair that is tied in a map counts 1/2

    Equal to (1 + tau_a) / 2 with Kendall's tau-a.

    Args:
        a, b, pairs: as in ``kendall``.
    Returns:
        ``(sample,)`` from 0 to 1; 1/2 is chance, and what a constant map scores.
    Raises:
        BadSetting: a single feature, which makes no pair.
    Source: Krishna et al. (2024), Section 3.2, "Pairwise Rank Agreement".
    """
    a, b = _pair(a, b)
    features = a.values.shape[1]
    if features < 2:
        raise BadSetting("pairwise rank agreement needs at least 2 features; got 1.")
    share: Array = (1.0 + _known(pairs, a, b) / (features * (features - 1) / 2)) / 2
    return share


def _known(pairs: Array | None, a: Ranked, b: Ranked) -> Array:
    return concordance(a, b) if pairs is None else pairs


def _pair(a: Any, b: Any) -> tuple[Ranked, Ranked]:
    one, other = (m if isinstance(m, Ranked) else Ranked.of(m) for m in (a, b))
    if one.values.shape != other.values.shape:
        raise ShapeMismatch(
            f"agreement wants two maps (sample, feature) of the same shape; got {one.values.shape} and "
            f"{other.values.shape}."
        )
    return one, other


def _tops(a: Any, b: Any, k: int) -> tuple[Ranked, Ranked, tuple[Array, ...]]:
    """Two maps, and where the features are, ``(row, feature)``, that may be among the top k of both."""
    one, other = _pair(a, b)
    _check_k(k, one.values.shape[1])
    return one, other, np.nonzero((one.before < k) & (other.before < k))


def _mean_of_top(values: Array, where: tuple[Array, ...], a: Ranked, k: int) -> Array:
    return np.bincount(where[0], values, minlength=len(a.values)) / k


def _check_k(k: int, features: int) -> None:
    if not 1 <= int(k) <= features or int(k) != k:
        raise BadSetting(f"k must be a whole number from 1 to the number of features, {features}; got {k!r}.")


def _same_sign(a: Ranked, b: Ranked, where: tuple[Array, ...], signed: tuple[bool, bool], what: str) -> Array:
    for has_sign, which in zip(signed, ("first", "second"), strict=True):
        if not has_sign:
            raise BadSetting(
                f"{what} compares signs, but the {which} map has none (attention says how much, not in which "
                "direction). Use feature or rank agreement, or a signed map such as the layer's contributions."
            )
    same: Array = np.sign(a.values[where]) == np.sign(b.values[where])
    return same


def _chance_of_same_rank(a: Ranked, b: Ranked, where: tuple[Array, ...], k: int) -> Array:
    # A feature takes each rank of its tie group with equal chance: count the ranks <= k that both groups hold.
    starts, sizes = ([m.before[where] for m in (a, b)], [m.tied[where].astype(np.float64) for m in (a, b)])
    last = np.minimum(np.minimum(starts[0] + sizes[0], starts[1] + sizes[1]), k)
    chance: Array = np.maximum(last - np.maximum(*starts), 0.0) / (sizes[0] * sizes[1])
    return chance
