"""Permutation importance: how far predictions move when one feature is shuffled among the rows, as a control for maps.

Shuffled columns keep their own distribution: no value is replaced by one that the feature never takes, and whole
groups, series or streams are shuffled where these are the players. What a map says of the model on average should lie
in about the same order. It is one number over all rows: a map may be right row by row and differ in the mean, and where
features depend on each other shuffled rows, too, may be rows that cannot exist.

Sources: Breiman (2001), "Random Forests", Section 10 (the loss of accuracy); Fisher, Rudin and Dominici (2019), "All
Models are Wrong, but Many are Useful" (any model). That the change of the prediction stands in the place of the loss,
so that no labels are needed and every head can be asked, is our reading.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import stats

from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import BadSetting
from xai_mimo.core.method import bytes_per_row
from xai_mimo.core.model import Arrays
from xai_mimo.core.players import Masker
from xai_mimo.core.progress import Advance, silent
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, rows_of, take
from xai_mimo.metrics.metric import Bounds, Need, Quantity
from xai_mimo.metrics.scene import Scene
from xai_mimo.record.words import Better, Family

# Predictions for each explained row, of all players and shuffles together, are at most about so many.
_ASKED_PER_ROW = 500
# Values that differ by less, in shares of the largest, differ by what rounding leaves.
_ROUNDING = 1e-6


def permutation_importance(
    predict: Callable[[Arrays], Mapping[str, Array]],
    inputs: Arrays,
    selectors: Sequence[Selector],
    masker: Masker,
    *,
    shuffles: int = 5,
    rng: np.random.Generator,
    max_memory: int = 2**26,
    advance: Advance = silent,
) -> Array:
    """How far the prediction of each row moves when one player's values are those of another row.

    I[h, n, i] = mean over the shuffles s of |f_h(x[n]) - f_h(x[n] with player i from x[s(n)])|

    All heads share the predictions, and all players the shuffles. No row keeps its own value, and none is given the
    same row twice: a shuffle moves all rows along one random circle, the next one step further.

    Args:
        predict: ``{stream: (row, *shape)}`` -> ``{head: (row, *shape)}``.
        inputs: the explained rows, ``{stream: (sample, *shape)}``.
        selectors: the explained targets.
        masker: the players.
        shuffles: how many; one less than rows where there are not more.
        rng: draws the circle.
        max_memory: bytes of one batch of shuffled inputs.
        advance: told the share of the predictions just made.
    Returns:
        ``(target, sample, player)``, at least 0, in the head's unit; its mean over rows is the importance.
    Raises:
        BadSetting: less than one shuffle, or one row alone, which has none to change values with.
    """
    rows = count_rows(inputs)
    if shuffles < 1 or rows < 2:
        raise BadSetting(f"shuffling wants at least 1 shuffle and 2 rows; got {shuffles} and {rows}.")
    circle = rng.permutation(rows)
    donors = np.empty((min(shuffles, rows - 1), rows), dtype=np.int64)
    for i, of_shuffle in enumerate(donors):
        of_shuffle[circle] = np.roll(circle, i + 1)
    full = take(predict(inputs), selectors)
    shape = (masker.count, *donors.shape)
    total = int(np.prod(shape))
    moved = np.empty((len(selectors), total))
    batch = max(1, max_memory // (bytes_per_row(inputs) + masker.count))
    for start in range(0, total, batch):
        items = np.arange(start, min(total, start + batch))
        player, shuffle, row = np.unravel_index(items, shape)
        known = np.ones((len(items), masker.count), dtype=bool)
        known[np.arange(len(items)), player] = False
        own, foreign = ({n: x[i] for n, x in inputs.items()} for i in (row, donors[shuffle, row]))
        after = take(predict(masker.against_own(own, foreign, known)), rows_of(selectors, row))
        moved[:, items] = np.abs(after - full[:, row])
        advance(len(items) / total)
    return np.moveaxis(moved.reshape(len(selectors), *shape).mean(axis=2), 1, 2)


def rank_correlation_of_means(a: Any, b: Any) -> Array:
    """Spearman's coefficient over the players of two mean maps, each as magnitudes: ``(draw, player)`` to ``(draw,)``.

    Magnitudes are rounded to a millionth of the largest, and equal ones share a rank: what rounding leaves of features
    that do nothing, or of a uniform map, is no order.

    Returns:
        From -1 to 1; NaN, meaning undefined, where all values of one are alike.
    """
    ranks = []
    for magnitudes in (np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)):
        step = _ROUNDING * np.maximum(magnitudes.max(axis=1, keepdims=True), np.finfo(float).tiny / _ROUNDING)
        ranked = stats.rankdata(np.rint(magnitudes / step), axis=1)
        ranks.append(ranked - ranked.mean(axis=1, keepdims=True))
    product = (ranks[0] * ranks[1]).sum(axis=1)
    scale = np.sqrt((ranks[0] ** 2).sum(axis=1) * (ranks[1] ** 2).sum(axis=1))
    return np.where(scale > 0, product / np.where(scale > 0, scale, 1.0), np.nan)


@dataclass(frozen=True)
class PermutationAgreement:
    """``rank_correlation_of_means`` of every mean map and the permutation importance of the players, with chance, 0.

    Attributes:
        shuffles: of every player among the rows; fewer where players times shuffles would pass 500.
    """

    shuffles: int = 5

    name: ClassVar[str] = "permutation_agreement"
    family: ClassVar[Family] = "faithfulness"
    title: ClassVar[str] = "rank correlation with permutation importance"
    better: ClassVar[Better] = "larger"
    bounds: ClassVar[Bounds] = (-1.0, 1.0)
    reference: ClassVar[str] = "breiman2001random"
    needs: ClassVar[tuple[Need, ...]] = ("two features", "few features")

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all methods and targets; ``rng`` shuffles."""
        importances = self._importances(scene, rng)
        for h, target in enumerate(scene.maps.heads):
            for label, maps in scene.maps.maps.items():
                yield _agreement(label, target, np.abs(maps[h]), None if importances is None else importances[h])
            for label in scene.maps.labels:
                chance = np.zeros(scene.maps.rows)
                yield Quantity(method=label, target=target, values=chance, role="floor_random", exact=True)

    def _importances(self, scene: Scene, rng: np.random.Generator) -> Array | None:
        """``permutation_importance`` of the scene; None where there is one row alone."""
        perturbed = scene.perturbed
        if scene.maps.rows < 2:
            return None
        masker = Masker.of(perturbed.inputs, perturbed.players, perturbed.model.streams)
        return permutation_importance(
            perturbed.model.predict,
            perturbed.inputs,
            perturbed.selectors,
            masker,
            shuffles=min(self.shuffles, max(1, _ASKED_PER_ROW // masker.count)),
            rng=rng,
            advance=scene.advance,
        )


def _agreement(label: str, target: str, magnitudes: Array, moved: Array | None) -> Quantity:
    """Of one map with the importances, both ``(sample, player)``; without a value where a mean has no order."""
    if moved is None:
        return Quantity(method=label, target=target, values=None, note="one row: there is no other to shuffle with")
    for values, what in ((magnitudes, "the mean map"), (moved, "permutation importance")):
        mean = values.mean(axis=0)
        if np.isnan(rank_correlation_of_means(mean[None], mean[None]))[0]:
            note = f"undefined: {what} is the same for all features"
            return Quantity(method=label, target=target, values=None, note=note)
    return Quantity(
        method=label, target=target, values=np.concatenate([magnitudes, moved], axis=1), of_mean=_of_both_means
    )


def _of_both_means(means: Array) -> Array:
    """``rank_correlation_of_means`` of two maps side by side; chance, 0, where a resample has no order."""
    return np.nan_to_num(rank_correlation_of_means(*np.split(means, 2, axis=1)))
