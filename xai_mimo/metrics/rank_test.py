"""Whether some features stand higher than the others by more than chance: the exact rank-sum test, with ties.

What is uncertain about the order of a mean map is which features it puts first, and more rows say nothing of that: with
a hundred times as many, a map of noise is the same noise, known exactly. So the test asks over features.
"""

from typing import Any

import numpy as np
from scipy import stats

from xai_mimo.core.errors import BadSetting, BadValues, ShapeMismatch
from xai_mimo.core.streams import Array

# Additions of the exact count, a fifth of a second; beyond, the normal distribution is near, and on the safe side.
_ADDITIONS = 1e8


def rank_sum_p(values: Any, chosen: Any) -> float:
    """Two-sided p-value of the rank sum R of the chosen values, if any others of as many were as likely to be chosen.

    p = share of all choices of n among N values whose |R - n (N + 1) / 2| is at least the observed one

    Tied values share their mean rank. No choice is drawn: their sums are counted one value at a time, as long as that
    takes at most 10^8 additions (2 N^2 n^2, n the smaller of both parts: 7 of 1000, 50 of 140); beyond, R is taken as
    normal, with the variance that the ties leave.

    Args:
        values: ``(feature,)``.
        chosen: ``(feature,)`` booleans; at least one value chosen and one not.
    Returns:
        Above 0, up to 1. Few values have no small p-value: for 2 of 5 chosen it is at best .2, since two of the ten
        choices (the two highest and the two lowest) are as far from the middle.
    Raises:
        ShapeMismatch, BadValues: arrays that do not fit. BadSetting: nothing or everything is chosen.
    Source: Wilcoxon (1945), "Individual Comparisons by Ranking Methods"; Mann and Whitney (1947). Without ties equal to
        ``scipy.stats.mannwhitneyu(method="exact")``.
    """
    v, mask = np.asarray(values, dtype=np.float64), np.asarray(chosen)
    if v.ndim != 1 or mask.shape != v.shape:
        raise ShapeMismatch(f"a rank test wants one boolean for each value; got {v.shape} and {mask.shape}.")
    if mask.dtype != np.bool_ or not np.isfinite(v).all():
        raise BadValues("a rank test wants finite values and booleans that choose some of them.")
    if mask.all() or not mask.any():
        raise BadSetting(f"{int(mask.sum())} of {mask.size} values are chosen: a rank test wants some, and some not.")
    # Both parts are as far from the middle; the smaller one has fewer sums.
    part = mask if 2 * mask.sum() <= mask.size else ~mask
    doubled = np.rint(2 * stats.rankdata(v)).astype(np.int64)  # whole numbers, ties too
    size, n = v.size, int(part.sum())
    middle = n * (size + 1)
    off = abs(int(doubled[part].sum()) - middle)
    if n > 1 and 2.0 * size**2 * n**2 > _ADDITIONS:
        deviation = np.sqrt(n * (size - n) / (size - 1) * doubled.var())
        return float(2 * stats.norm.sf(off / deviation)) if deviation > 0 else 1.0
    shares = _shares_of_sums(doubled, n)
    is_as_far = np.abs(np.arange(shares.size) - middle) >= off
    return float(min(1.0, shares[is_as_far].sum()))


def _shares_of_sums(numbers: Array, n: int) -> Array:
    """How likely n of these whole numbers have each sum, if all choices are as likely, ``(sum,)``."""
    if n == 1:
        alone: Array = np.bincount(numbers) / numbers.size
        return alone
    top = int(np.sort(numbers)[-n:].sum())
    likely = np.zeros((n + 1, top + 1))  # (how many are chosen so far, their sum)
    likely[0, 0] = 1.0
    for seen, number in enumerate(numbers.tolist()):
        # Of those that are left each is as likely to be among the ones that are still to choose.
        takes = np.clip((n - np.arange(n + 1)) / (numbers.size - seen), 0.0, 1.0)[:, None]
        taken = (likely * takes)[:-1, : top + 1 - number]
        likely *= 1 - takes
        likely[1:, number:] += taken
    shares: Array = likely[n]
    return shares
