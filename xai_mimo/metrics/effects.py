"""Whether the mass of a map lies where the effect is: how much each feature counts, not only which comes first.

A map may put the right feature first and three quarters of its mass on features that do nothing. Along the map's own
order the removal curves say what each step moves; beside it stands the mass that the map gives the same step:

    effect(b) ~ |change of the deletion curve over step b| + |change of the insertion curve over step b|
    mass(b)   ~ sum of |a_i| over the features of step b

Both are shares of their sum in each row. A step is one feature where a row has no more than some ten, else a group of
features of neighbouring rank; within a group the effect is laid to features as the map's mass is, to its benefit. For a
model that is a sum of functions of single features the effect is that of the feature alone; where features act
together, deletion sees it early and insertion late, and the mean of both lies near Shapley's value.

These measures are ours. They are nearest to Bhatt et al. (2020), "Evaluating and Aggregating Feature-based Model
Explanations", where faithfulness is the correlation of attributions with the change that removal brings.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from xai_mimo.core.streams import Array
from xai_mimo.metrics.aligned_maps import AlignedMaps
from xai_mimo.metrics.complexity import shares
from xai_mimo.metrics.metric import Bounds, Quantity
from xai_mimo.metrics.removal import Curves, curves_of
from xai_mimo.metrics.scene import Scene
from xai_mimo.record.words import Better, Family

_LITTLE = 0.25
"""The effect of an idle input, as a part of its mass."""


def effects(curves: Curves, target: int) -> Array:
    """The share of all movement that each step of an order brings.

    Returns:
        ``(sample, step)``, steps between the points of the curves; NaN in rows where nothing moves.
    """
    moved = sum(np.abs(np.diff(part[target], axis=-1)) for part in (curves.deletion, curves.insertion))
    return shares(np.asarray(moved))


def masses(a: Array, curves: Curves) -> Array:
    """The share of a map's mass that lies on each step of its own order.

    Args:
        a: one target's map, ``(sample, player)``.
    Returns:
        ``(sample, step)``; NaN in rows that are all zero.
    """
    descending = np.sort(shares(a), axis=1)[:, ::-1]
    of_steps: Array = np.add.reduceat(descending, curves.counts[:-1], axis=1)
    return of_steps


def overlap(masses: Array, effects: Array) -> Array:
    """How much of the mass lies where the effect is.

    sum over steps of min(mass, effect)

    Args:
        masses, effects: shares, ``(sample, step)``.
    Returns:
        ``(sample,)`` from 0 to 1, where mass and effect are divided alike; 0 where the map is zero and something moves;
        NaN, meaning undefined, where nothing moves.
    """
    common = np.minimum(np.nan_to_num(masses), effects)
    return np.asarray(common.sum(axis=1))


def effect_of_players(a: Array, curves: Curves, target: int) -> Array:
    """The share of all movement that each player brings, ``(sample, player)``; NaN as in ``effects``.

    Players of one step share what it moves as they share its mass, or evenly where it has none.
    """
    step = np.searchsorted(curves.counts, curves.ranks[target], side="right") - 1
    mass, sizes = masses(a, curves), np.diff(curves.counts)
    of_step = np.take_along_axis(mass, step, axis=1)
    part = np.where(of_step > 0, shares(a) / np.where(of_step > 0, of_step, 1.0), 1.0 / sizes[step])
    of_players: Array = part * np.take_along_axis(effects(curves, target), step, axis=1)
    return of_players


def idle_mass(mass: Array, effect: Array, size: Array) -> Array:
    """The mass of inputs that hardly move anything, beyond what a uniform map gives them.

    mass - size for an input whose mean effect is less than a quarter of its mean mass, else 0

    Args:
        mass, effect: shares, ``(sample, input)``; undefined rows are NaN.
        size: each input's share in the number of players.
    Returns:
        ``(sample, input)``, below 1; large where an input has much mass and little effect.
    """
    idle = np.nanmean(effect, axis=0) < _LITTLE * np.nanmean(mass, axis=0)
    return np.where(idle, mass - size, 0.0 * mass)


@dataclass(frozen=True)
class EffectOverlap:
    """``overlap`` of every method's mass with the effect along its order, and along random orders of the same mass."""

    name: ClassVar[str] = "effect_overlap"
    family: ClassVar[Family] = "faithfulness"
    title: ClassVar[str] = "mass where the effect is"
    better: ClassVar[Better] = "larger"
    bounds: ClassVar[Bounds] = (0.0, 1.0)
    reference: ClassVar[str] = "bhatt2020evaluating"
    tested: ClassVar[bool] = True

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all methods and targets."""
        curves, controls = curves_of(scene)
        for label, maps in scene.maps.maps.items():
            for t, target in enumerate(scene.maps.heads):
                mass = masses(maps[t], curves[label])
                yield Quantity(method=label, target=target, values=overlap(mass, effects(curves[label], t)))
                # The same values in a random order are the map permuted within its row.
                permuted = np.mean([overlap(mass, effects(c, t)) for c in controls], axis=0)
                yield Quantity(method=label, target=target, values=permuted, role="floor_permuted")


@dataclass(frozen=True)
class IdleMass:
    """The largest ``idle_mass`` of one feature or one stream, in every method's map."""

    name: ClassVar[str] = "idle_mass"
    family: ClassVar[Family] = "faithfulness"
    title: ClassVar[str] = "mass of one input without effect"
    better: ClassVar[Better] = "smaller"
    bounds: ClassVar[Bounds] = (None, 1.0)
    reference: ClassVar[str] = "bhatt2020evaluating"

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all methods and targets."""
        curves, _ = curves_of(scene)
        inputs = Inputs.of(scene.maps)
        for label, maps in scene.maps.maps.items():
            for t, target in enumerate(scene.maps.heads):
                effect = effect_of_players(maps[t], curves[label], t)
                values, note = largest_idle_mass(shares(maps[t]), effect, inputs)
                yield Quantity(method=label, target=target, values=values, note=note)


@dataclass(frozen=True)
class Inputs:
    """Single features and whole streams, whose values are summed up.

    Attributes:
        names: of the features, then of the streams; those of one feature too.
        sizes: ``(input,)``, the share that each has in the number of players.
        feature_of: ``(player,)``, the number of each player's feature.
        stream_of: ``(feature,)``, the number of each feature's stream.
    """

    names: tuple[str, ...]
    sizes: Array
    feature_of: Array
    stream_of: Array

    @staticmethod
    def of(maps: AlignedMaps) -> "Inputs":
        """Those of a comparison's maps."""
        streams = list(dict.fromkeys(stream for stream, _ in maps.features))
        sizes = Counter(stream for stream, _ in maps.features)
        features = [stream if sizes[stream] == 1 else f"{stream}.{name}" for stream, name in maps.features]
        stream_of = np.array([streams.index(stream) for stream, _ in maps.features])
        inputs = Inputs((*features, *(f"stream {s}" for s in streams)), np.empty(0), maps.feature_of, stream_of)
        return replace(inputs, sizes=inputs.sums(np.full((1, len(maps.players)), 1 / len(maps.players)))[0])

    def sums(self, of_players: Array) -> Array:
        """``(sample, player)`` summed to ``(sample, input)``."""
        of_features = _summed(of_players, self.feature_of)
        return np.concatenate([of_features, _summed(of_features, self.stream_of)], axis=1)


def _summed(values: Array, owner: Array) -> Array:
    """``(sample, part)`` summed to ``(sample, owner)``."""
    rows, owners = len(values), int(owner.max()) + 1
    index = np.arange(rows)[:, None] * owners + owner
    return np.bincount(index.ravel(), values.ravel(), minlength=rows * owners).reshape(rows, owners)


def largest_idle_mass(mass: Array, effect: Array, inputs: Inputs) -> tuple[Array | None, str]:
    """The values of the input with the most idle mass, in the mean over rows, and who it is.

    Args:
        mass, effect: shares, ``(sample, player)``; undefined rows are NaN.
    Returns:
        ``(sample,)``, or None with the reason.
    """
    own, moved = inputs.sums(mass), inputs.sums(effect)
    undefined = np.isnan(own + moved).any(axis=1)
    if undefined.all():
        return None, "the map is zero, or nothing moves"
    own[undefined], moved[undefined] = np.nan, np.nan
    values = idle_mass(own, moved, inputs.sizes)
    i = int(np.nanmean(values, axis=0).argmax())
    if not np.nanmax(values[:, i]) > 0:
        return values[:, i], "no input has mass without effect"
    shares_of = f"{100 * np.nanmean(own[:, i]):.0f} % of the mass, {100 * np.nanmean(moved[:, i]):.0f} % of the effect"
    return values[:, i], f"{inputs.names[i]}: {shares_of}"
