"""Whether a map depends on what the model has learned: maps of the model against maps of it with random weights.

An explanation that stays as it is when the weights are drawn anew says something of the data, or of the architecture,
and nothing of the model. The caller makes the models, as an adapter that is ``Randomisable`` does, and explains them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
from scipy import stats

from xai_mimo.core.errors import BadSetting, EmptyData, ShapeMismatch
from xai_mimo.core.model import Model, Randomisable, require
from xai_mimo.core.streams import Array
from xai_mimo.metrics.agreement import spearman
from xai_mimo.metrics.metric import Bounds, Need, Quantity
from xai_mimo.metrics.scene import CANNOT_AGAIN, Scene
from xai_mimo.record.words import Better, Family

Ranks = Literal["magnitude", "signed"]


def parameter_randomisation(
    explain: Callable[[Model], Any], maps: Any, models: Sequence[Model], *, ranks: Ranks = "magnitude"
) -> Array:
    """How alike the maps of a model and of models with random weights are.

    similarity = Spearman's rank correlation of A and A', over the players of a row

    Args:
        explain: a model -> the maps of the same targets and rows, ``(target, sample, player)``.
        maps: those of the model itself.
        models: it with random weights: more and more of its layers, or several draws of all of them.
        ranks: of magnitudes, which maps with and without a sign share, or of signed values. The source shows
            both: signs alone may change at random while the picture stays.
    Returns:
        ``(model, target, sample)`` from -1 to 1. Near 0 is what a map that explains the model scores; near 1 it does
        not depend on the weights. NaN, meaning undefined, where a map is constant.
    Raises:
        BadSetting, EmptyData, ShapeMismatch: unknown ranks, no models, or maps that do not fit.
    Source: Adebayo et al. (2018), "Sanity Checks for Saliency Maps", Section 3.
    """
    if ranks not in ("magnitude", "signed"):
        raise BadSetting(f"ranks {ranks!r} is not one of magnitude, signed.")
    if not models:
        raise EmptyData("there is no model with random weights to compare with.")
    before = np.asarray(maps, dtype=np.float64)
    if before.ndim != 3:
        raise ShapeMismatch(f"randomisation wants maps (target, sample, player); got {before.shape}.")
    return np.stack([_similarity(before, np.asarray(explain(model), dtype=np.float64), ranks) for model in models])


def _similarity(before: Array, after: Array, ranks: Ranks) -> Array:
    """``(target, sample)``."""
    if after.shape != before.shape:
        raise ShapeMismatch(f"the maps of a random model have shape {after.shape}, those of the model {before.shape}.")
    if ranks == "signed":  # ``spearman`` ranks magnitudes; ranks have the order of the values and no sign
        before, after = (stats.rankdata(m, axis=2) for m in (before, after))
    return np.stack([spearman(one, other) for one, other in zip(before, after, strict=True)])


def _explain_model(scene: Scene, label: str, model: Model) -> Array:
    return scene.explain_again(label, model=model)


@dataclass(frozen=True)
class ParameterRandomisation:
    """``parameter_randomisation`` of every method, the mean over models with random weights.

    It explains all rows anew for every such model, so it runs only when named. A map that does not depend on what was
    learned scores near 1, whatever the other metrics say of it.

    Attributes:
        models: how many, all their weights random.
        ranks: see ``parameter_randomisation``.
    """

    models: int = 3
    ranks: Ranks = "magnitude"

    name: ClassVar[str] = "parameter_randomisation"
    family: ClassVar[Family] = "randomisation"
    title: ClassVar[str] = "similarity to maps of random weights"
    better: ClassVar[Better] = "smaller"
    bounds: ClassVar[Bounds] = (-1.0, 1.0)
    reference: ClassVar[str] = "adebayo2018sanity"
    needs: ClassVar[tuple[Need, ...]] = ("random weights", "two features")
    by_default: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.models < 1:
            raise BadSetting(f"parameter randomisation needs at least 1 model with random weights; got {self.models}.")

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all methods and targets."""
        whole = require(scene.whole, Randomisable, self.name)
        are_all_ready = set(scene.maps.labels) <= set(scene.ready)
        models = [] if are_all_ready else [whole.randomised(rng) for _ in range(self.models)]
        for label, maps in scene.maps.maps.items():
            if label in scene.ready:
                yield from (Quantity(method=label, target=t, values=None, note=CANNOT_AGAIN) for t in scene.maps.heads)
                continue
            alike = parameter_randomisation(partial(_explain_model, scene, label), maps, models, ranks=self.ranks)
            scene.advance(1 / len(scene.maps.labels))
            for target, values in zip(scene.maps.heads, alike.mean(axis=0), strict=True):
                yield Quantity(method=label, target=target, values=values, note=f"weights {whole.randomisation}")
