"""Whether a map lies where the evidence is known to be: only for data with marked regions, row by row.

A region marks the positions (pixels, steps, tokens) that matter in one row; the next row has another. All scores read
magnitudes, the one reading that maps with and without a sign share.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import ndimage

from xai_mimo.core.errors import BadSetting, BadValues, ShapeMismatch
from xai_mimo.core.streams import Array
from xai_mimo.metrics.metric import Against, Bounds, Need, Quantity
from xai_mimo.metrics.scene import Scene
from xai_mimo.record.words import RANDOM, Better, Family


def mass_in_region(maps: Any, regions: Any) -> Array:
    """Share of a map's mass that lies in the region.

    mass = sum over p in region of |m_p| / sum over all p of |m_p|

    Args:
        maps: ``(sample, *positions)``.
        regions: booleans of the same shape.
    Returns:
        ``(sample,)`` from 0 to 1; the area of the region is chance. NaN, meaning undefined, where the map is zero
        everywhere, or the region empty or everything.
    Raises:
        ShapeMismatch, BadValues: arrays that do not fit.
    Source: Arras et al. (2022), "CLEVR-XAI", Section 3.3, "Relevance Mass Accuracy"; as energy-based pointing game Wang
        et al. (2020), "Score-CAM", Section 4.3.
    """
    magnitude, marked = _checked(maps, regions)
    magnitude, marked = _flat(magnitude), _flat(marked)
    total = magnitude.sum(axis=1)
    inside = np.where(marked, magnitude, 0.0).sum(axis=1)
    return np.where((total > 0) & _is_telling(marked), inside / np.where(total > 0, total, 1.0), np.nan)


def pointing_game(maps: Any, regions: Any, *, tolerance: float = 0.0) -> Array:
    """Whether a map's largest magnitude lies in the region.

    hit = share of the largest positions that lie at most ``tolerance`` away from the region

    Ties share the hit, which is what a random choice among them gives on average. So a map without any contrast, a zero
    map too, scores the area of the (widened) region: chance, and never better.

    Args:
        maps: ``(sample, *positions)``.
        regions: booleans of the same shape.
        tolerance: Euclidean distance to the region that still counts, in positions. The source allows 15 pixels of
            images with several hundred; 0 allows none.
    Returns:
        ``(sample,)`` of 0 and 1, or between them for ties; the mean is the source's accuracy. NaN, meaning undefined,
        where the region is empty, or everything once it is widened.
    Raises:
        ShapeMismatch, BadValues: arrays that do not fit. BadSetting: a negative tolerance.
    Source: Zhang et al. (2018), "Top-Down Neural Attention by Excitation Backprop", Section 4.2; how ties and maps
        without contrast count is our reading.
    """
    if not np.isfinite(tolerance) or tolerance < 0:
        raise BadSetting(f"the tolerance of the pointing game must be a distance of at least 0; got {tolerance!r}.")
    magnitude, marked = _checked(maps, regions)
    wide, magnitude = _flat(widened(marked, tolerance)), _flat(magnitude)
    largest = magnitude == magnitude.max(axis=1, keepdims=True)
    hits = (largest & wide).sum(axis=1) / largest.sum(axis=1)
    return np.where(_is_telling(wide), hits, np.nan)


def widened(regions: Array, tolerance: float) -> Array:
    """Regions ``(sample, *positions)`` with all positions at most ``tolerance`` away; an empty one stays empty."""
    if tolerance == 0:
        return regions
    near = [ndimage.distance_transform_edt(~r) <= tolerance if r.any() else r for r in regions]
    return np.stack(near)


def area(regions: Any) -> Array:
    """Share of the positions that lie in the region, ``(sample,)``: what a map without any contrast scores."""
    share: Array = _flat(np.asarray(regions)).mean(axis=1)
    return share


def _is_telling(marked: Array) -> Array:
    return np.logical_and(marked.any(axis=1), ~marked.all(axis=1))


def _flat(values: Array) -> Array:
    return values.reshape(len(values), -1)


def _checked(maps: Any, regions: Any) -> tuple[Array, Array]:
    """Magnitudes and regions."""
    magnitude, marked = np.abs(np.asarray(maps, dtype=np.float64)), np.asarray(regions)
    if magnitude.ndim < 2 or marked.shape != magnitude.shape:
        raise ShapeMismatch(
            "localisation wants maps (sample, *positions) and one boolean for each position; got "
            f"{magnitude.shape} and {marked.shape}."
        )
    if marked.dtype != np.bool_:
        raise BadValues(f"regions must be booleans, one per position; got dtype {marked.dtype}.")
    if not np.isfinite(magnitude).all():
        raise BadValues("the maps hold NaN or infinite values.")
    return magnitude, marked


@dataclass(frozen=True)
class _Marked:
    """The region of one target, as both scores want it.

    Attributes:
        target: its name.
        players: ``(sample, player)``, over all streams of the space.
        wide: stream -> ``(sample, *shape)``, widened by the tolerance, with axes of length 1 where values go together;
            the marked streams.
        shapes: of all streams, in the order of the players.
        maps: label -> ``(sample, player)``, every method's and one of random numbers.
    """

    target: str
    players: Array
    wide: Mapping[str, Array]
    shapes: Mapping[str, tuple[int, ...]]
    maps: Mapping[str, Array]

    @staticmethod
    def of(scene: Scene, target: str, rng: np.random.Generator) -> "_Marked":
        region, rows = scene.regions[target], scene.maps.rows
        shapes = {name: (rows, *d.map_shape) for name, d in scene.perturbed.masker.divisions.items()}
        whole = [np.broadcast_to(region.get(n, np.False_), shape).reshape(rows, -1) for n, shape in shapes.items()]
        players = np.concatenate(whole, axis=1)
        maps = {label: values[scene.maps.heads.index(target)] for label, values in scene.maps.maps.items()}
        maps[RANDOM] = rng.random(players.shape)
        return _Marked(
            target, players, {n: widened(m, scene.settings.tolerance) for n, m in region.items()}, shapes, maps
        )

    def pointing(self, maps: Array) -> tuple[Array, Array]:
        """Magnitudes ``(sample, player)`` summed to positions of the marked streams, and which of these are marked."""
        sizes = [int(np.prod(shape[1:], dtype=np.int64)) for shape in self.shapes.values()]
        parts = np.split(np.abs(maps), np.cumsum(sizes)[:-1], axis=1)
        summed, marks = [], []
        for (name, shape), part in zip(self.shapes.items(), parts, strict=True):
            if name not in self.wide:
                continue
            mask = self.wide[name]
            together = tuple(i for i in range(1, mask.ndim) if mask.shape[i] == 1)
            summed.append(part.reshape(shape).sum(axis=together).reshape(len(maps), -1))
            marks.append(mask.reshape(len(maps), -1))
        return np.concatenate(summed, axis=1), np.concatenate(marks, axis=1)


def _marked(scene: Scene) -> list[_Marked]:
    """The regions of all targets that have one, with the random maps that both scores share."""

    def mark() -> list[_Marked]:
        rng = scene.rng("regions")
        return [_Marked.of(scene, target, rng) for target in scene.maps.heads if target in scene.regions]

    return scene.once("regions", mark)


def _with_chance(target: str, label: str, values: Array, marks: Array) -> Iterator[Quantity]:
    """A score, and the share of what is marked over the rows that were scored."""
    if label == RANDOM:
        yield Quantity(method=label, target=target, values=values, role="control_random")
        return
    yield Quantity(method=label, target=target, values=values)
    chance = np.where(np.isnan(values), np.nan, area(marks))
    note = "no row could be scored" if np.isnan(values).all() else ""
    yield Quantity(
        method=label, target=target, values=None if note else chance, role="floor_random", note=note, exact=True
    )


@dataclass(frozen=True)
class MassInRegion:
    """``mass_in_region`` of every method and of random maps, with chance; in other spaces rows that say why not.

    Mass is counted over all streams: what lies on an unmarked stream lies outside.
    """

    name: ClassVar[str] = "mass_in_region"
    family: ClassVar[Family] = "ground_truth"
    title: ClassVar[str] = "mass in region"
    better: ClassVar[Better] = "larger"
    bounds: ClassVar[Bounds] = (0.0, 1.0)
    reference: ClassVar[str] = "arras2022clevrxai"
    needs: ClassVar[tuple[Need, ...]] = ("regions",)
    tested: ClassVar[tuple[Against, ...]] = ("controls",)

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all methods and the targets with a region."""
        if not scene.at_inputs:
            note = "the truth marks regions of the model's inputs, which this space has not"
            for target in (t for t in scene.maps.heads if t in scene.regions):
                for label in scene.maps.labels:
                    yield Quantity(method=label, target=target, values=None, note=note)
            return
        for marked in _marked(scene):
            for label, values in marked.maps.items():
                mass = mass_in_region(values, marked.players)
                yield from _with_chance(marked.target, label, mass, marked.players)


@dataclass(frozen=True)
class PointingGame:
    """``pointing_game`` of every method and of random maps, over the marked streams, with chance."""

    name: ClassVar[str] = "pointing_game"
    family: ClassVar[Family] = "ground_truth"
    title: ClassVar[str] = "pointing game"
    better: ClassVar[Better] = "larger"
    bounds: ClassVar[Bounds] = (0.0, 1.0)
    reference: ClassVar[str] = "zhang2018excitation"
    needs: ClassVar[tuple[Need, ...]] = ("regions",)
    tested: ClassVar[tuple[Against, ...]] = ("controls",)

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterator[Quantity]:
        """Measure all methods and the targets with a region; nothing where the space has no regions."""
        for marked in _marked(scene) if scene.at_inputs else []:
            for label, values in marked.maps.items():
                positions, marks = marked.pointing(values)
                yield from _with_chance(marked.target, label, pointing_game(positions, marks), marks)
