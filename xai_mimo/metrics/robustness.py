"""Whether near inputs get near explanations: maps of rows that were moved a little, against the maps of the rows.

A map may only move as fast as the model does: read these with the model's own change, which the caller can measure
with the same rows, and never alone. A map that ignores its input is perfectly robust.

Perturbed rows come from ``nearby``; the caller explains them again, with the units of the rows themselves, so that a
prediction that flips does not pass for an unstable map.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import BadSetting, ShapeMismatch
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array
from xai_mimo.core.words import are_words
from xai_mimo.metrics.metric import Bounds, Need, Quantity
from xai_mimo.metrics.scene import CANNOT_AGAIN, Scene
from xai_mimo.record.words import Better, Family

Explain = Callable[[Arrays], Any]
"""Rows ``{stream: (sample, *shape)}`` -> maps ``(target, sample, player)``; the same targets each time."""


def nearby(inputs: Mapping[str, Array], scale: Mapping[str, Any], radius: float, rng: np.random.Generator) -> Arrays:
    """Rows moved by a random amount: x + radius * scale * u, u uniform in [-1, 1] for each value.

    Args:
        inputs: ``{stream: (sample, *shape)}``; streams of whole numbers or words stay as they are.
        scale: what a step of 1 is, ``{stream: number or array that fits a row}``, such as each feature's standard
            deviation; 0 keeps a feature fixed.
        radius: how far, in these steps.
        rng: of u.
    Raises:
        BadSetting: a radius that is not above 0.
    """
    if not np.isfinite(radius) or radius <= 0:
        raise BadSetting(f"the radius must be a number above 0; got {radius!r}.")
    moved = {}
    for name, x in inputs.items():
        step = radius * np.asarray(scale[name]) * rng.uniform(-1, 1, x.shape) if x.dtype.kind == "f" else 0
        moved[name] = x if are_words(x) else (x + step).astype(x.dtype)
    return moved


def max_sensitivity(
    explain: Explain,
    inputs: Arrays,
    maps: Any,
    *,
    scale: Mapping[str, Any],
    radius: float = 0.02,
    samples: int = 10,
    rng: np.random.Generator,
) -> Array:
    """How far a map moves, at most, when its row is moved a little, as a share of the map.

    sensitivity = max over draws e of ||A(x + e) - A(x)|| / ||A(x)||

    Args:
        explain: explains moved rows; see ``Explain``.
        inputs: the rows, ``{stream: (sample, *shape)}``.
        maps: their maps, ``(target, sample, player)``.
        scale, radius, rng: see ``nearby``.
        samples: draws for each row. The maximum grows with them: compare methods at equal numbers.
    Returns:
        ``(target, sample)``, at least 0, smaller is better; NaN, meaning undefined, where the map is zero.
    Raises:
        BadSetting, ShapeMismatch: settings out of range, or maps that do not fit.
    Source: Yeh et al. (2019), "On the (In)fidelity and Sensitivity of Explanations", Definition 2; divided by the
        norm of the map, as is usual, so that methods of different units can be compared.
    """
    before = np.asarray(maps, dtype=np.float64)
    size = np.linalg.norm(before, axis=2)
    moves = [change for change, _ in _moves(explain, inputs, before, scale, radius, samples, rng)]
    return np.where(size > 0, np.max(moves, axis=0) / np.where(size > 0, size, 1.0), np.nan)


def local_lipschitz(
    explain: Explain,
    inputs: Arrays,
    maps: Any,
    *,
    scale: Mapping[str, Any],
    radius: float = 0.02,
    samples: int = 10,
    rng: np.random.Generator,
) -> Array:
    """How fast a map moves, at most, per step of its row.

    lipschitz = max over draws e of ||A(x + e) - A(x)|| / ||e / scale||

    Args, Raises: as ``max_sensitivity``.
    Returns:
        ``(target, sample)``, at least 0, in the map's unit per step; smaller is smoother. NaN, meaning undefined, where
        no value of the row could move.
    Source: Alvarez-Melis and Jaakkola (2018), "On the Robustness of Interpretability Methods", Equation 2; estimated
        over random draws instead of by optimisation, and measured in steps of the features' scales (our reading).
    """
    before = np.asarray(maps, dtype=np.float64)
    rates = [
        change / np.where(way > 0, way, np.nan)
        for change, way in _moves(explain, inputs, before, scale, radius, samples, rng)
    ]
    fastest: Array = np.max(rates, axis=0)
    return fastest


def _moves(
    explain: Explain,
    inputs: Arrays,
    before: Array,
    scale: Mapping[str, Any],
    radius: float,
    samples: int,
    rng: np.random.Generator,
) -> list[tuple[Array, Array]]:
    """For each draw, how far the maps moved ``(target, sample)`` and how far the rows did ``(sample,)``, in steps."""
    if samples < 1:
        raise BadSetting(f"samples must be at least 1; got {samples}.")
    rows = count_rows(inputs)
    if before.ndim != 3 or before.shape[1] != rows:
        raise ShapeMismatch(f"robustness wants maps (target, sample, player) of {rows} rows; got {before.shape}.")
    moves = []
    for _ in range(samples):
        moved = nearby(inputs, scale, radius, rng)
        after = np.asarray(explain(moved), dtype=np.float64)
        if after.shape != before.shape:
            raise ShapeMismatch(f"the maps of moved rows have shape {after.shape}, those of the rows {before.shape}.")
        moves.append((np.linalg.norm(after - before, axis=2), _way(inputs, moved, scale)))
    return moves


def _way(inputs: Arrays, moved: Arrays, scale: Mapping[str, Any]) -> Array:
    """How far each row went, in steps: the norm over all streams, ``(sample,)``."""
    total = np.zeros(count_rows(inputs))
    for name, x in inputs.items():
        if are_words(x):
            continue
        step = np.broadcast_to(np.asarray(scale[name], dtype=np.float64), x.shape) if x.dtype.kind == "f" else 0.0
        change = moved[name].astype(np.float64) - x
        in_steps = np.where(step > 0, change / np.where(step > 0, step, 1.0), 0.0)
        total += (in_steps**2).reshape(len(x), -1).sum(axis=1)
    return np.sqrt(total)


def _scale(scene: Scene) -> dict[str, Array]:
    """A step of each feature: its standard deviation over the background; 0 for the columns of a category.

    There is no level near another: a column that only says whether a level is there cannot move a little.
    """
    scale = {
        name: np.zeros(rows.shape[1:]) if are_words(rows) else rows.std(axis=0, dtype=np.float64)
        for name, rows in scene.perturbed.background.items()
    }
    for stream in scene.perturbed.model.streams:
        rows = scene.perturbed.background[stream.name]
        for i, feature in enumerate(stream.features):
            is_grouped = any(feature in features for features in stream.groups.values())
            if is_grouped and not are_words(rows) and len(np.unique(rows[..., i])) <= 2:
                scale[stream.name][..., i] = 0.0
    return scale


def _explain_moved(scene: Scene, label: str, moved: Arrays) -> Array:
    return scene.explain_again(label, inputs=moved)


def _of_moves(
    scene: Scene, rng: np.random.Generator, measure: Callable[..., Array], radius: float, samples: int
) -> Iterator[Quantity]:
    """A measure of how every method's maps move with the rows; all methods see the same moved rows."""
    scale, entropy = _scale(scene), int(rng.integers(2**63))
    for label, maps in scene.maps.maps.items():
        if label in scene.ready:
            yield from (Quantity(method=label, target=t, values=None, note=CANNOT_AGAIN) for t in scene.maps.heads)
            continue
        values = measure(
            partial(_explain_moved, scene, label),
            scene.perturbed.inputs,
            maps,
            scale=scale,
            radius=radius,
            samples=samples,
            rng=np.random.default_rng(entropy),
        )
        scene.advance(1 / len(scene.maps.labels))
        for target, of_rows in zip(scene.maps.heads, values, strict=True):
            yield Quantity(method=label, target=target, values=of_rows)


@dataclass(frozen=True)
class MaxSensitivity:
    """``max_sensitivity`` of every method; explains all rows anew ``samples`` times, so it runs only when named.

    Attributes:
        radius: how far rows are moved, in standard deviations of each feature over the background.
        samples: how often.
    """

    radius: float = 0.02
    samples: int = 10

    name: ClassVar[str] = "max_sensitivity"
    family: ClassVar[Family] = "robustness"
    title: ClassVar[str] = "maximal sensitivity"
    better: ClassVar[Better] = "smaller"
    bounds: ClassVar[Bounds] = (0.0, None)
    reference: ClassVar[str] = "yeh2019infidelity"
    needs: ClassVar[tuple[Need, ...]] = ("real values",)
    by_default: ClassVar[bool] = False

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all methods and targets."""
        return _of_moves(scene, rng, max_sensitivity, self.radius, self.samples)


@dataclass(frozen=True)
class LocalLipschitz:
    """``local_lipschitz`` of every method; explains all rows anew ``samples`` times, so it runs only when named.

    Attributes: as ``MaxSensitivity``.
    """

    radius: float = 0.02
    samples: int = 10

    name: ClassVar[str] = "local_lipschitz"
    family: ClassVar[Family] = "robustness"
    title: ClassVar[str] = "local Lipschitz constant"
    better: ClassVar[Better] = "smaller"
    bounds: ClassVar[Bounds] = (0.0, None)
    reference: ClassVar[str] = "alvarezmelis2018robustness"
    needs: ClassVar[tuple[Need, ...]] = ("real values",)
    by_default: ClassVar[bool] = False

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all methods and targets."""
        return _of_moves(scene, rng, local_lipschitz, self.radius, self.samples)
