"""Whether a map depends on what the model has learned: maps of the model against maps of it with random weights.

An explanation that stays as it is when the weights are drawn anew says something of the data, or of the architecture,
and nothing of the model. The caller makes the models, as an adapter that is ``Randomisable`` does, and explains them.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from scipy import stats

from xai_mimo.core.errors import BadSetting, EmptyData, ShapeMismatch
from xai_mimo.core.model import Model
from xai_mimo.core.streams import Array
from xai_mimo.metrics.agreement import spearman

Reading = Literal["magnitude", "signed"]


def parameter_randomisation(
    explain: Callable[[Model], Any], maps: Any, models: Sequence[Model], *, reading: Reading = "magnitude"
) -> Array:
    """How alike the maps of a model and of models with random weights are.

    similarity = Spearman's rank correlation of A and A', over the players of a row

    Args:
        explain: a model -> the maps of the same targets and rows, ``(target, sample, player)``.
        maps: those of the model itself.
        models: it with random weights: more and more of its layers, or several draws of all of them.
        reading: ranks of magnitudes, which maps with and without a sign share, or of signed values. The source shows
            both: signs alone may change at random while the picture stays.
    Returns:
        ``(model, target, sample)`` from -1 to 1. Near 0 is what a map that explains the model scores; near 1 it does
        not depend on the weights. NaN, meaning undefined, where a map is constant.
    Raises:
        BadSetting, EmptyData, ShapeMismatch: an unknown reading, no models, or maps that do not fit.
    Source: Adebayo et al. (2018), "Sanity Checks for Saliency Maps", Section 3.
    """
    if reading not in ("magnitude", "signed"):
        raise BadSetting(f"reading {reading!r} is not one of magnitude, signed.")
    if not models:
        raise EmptyData("there is no model with random weights to compare with.")
    before = np.asarray(maps, dtype=np.float64)
    if before.ndim != 3:
        raise ShapeMismatch(f"randomisation wants maps (target, sample, player); got {before.shape}.")
    return np.stack([_similarity(before, np.asarray(explain(model), dtype=np.float64), reading) for model in models])


def _similarity(before: Array, after: Array, reading: Reading) -> Array:
    """``(target, sample)``."""
    if after.shape != before.shape:
        raise ShapeMismatch(f"the maps of a random model have shape {after.shape}, those of the model {before.shape}.")
    if reading == "signed":  # ``spearman`` ranks magnitudes; ranks have the order of the values and no sign
        before, after = (stats.rankdata(m, axis=2) for m in (before, after))
    return np.stack([spearman(one, other) for one, other in zip(before, after, strict=True)])
