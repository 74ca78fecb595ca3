"""Truth as regions: which positions of a stream matter in each row, as a user marks them, and the scores against it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xai_mimo.comparison.score_rows import Quantity, score, scored
from xai_mimo.comparison.spaces import Space
from xai_mimo.comparison.truth import check_truth
from xai_mimo.core.errors import BadSetting, BadValues, ShapeMismatch
from xai_mimo.core.positions import position_axes
from xai_mimo.core.streams import Array, Stream, count_rows, unknown
from xai_mimo.metrics.aligned_maps import AlignedMaps
from xai_mimo.metrics.localisation import mass_in_region, pointing_game, widened
from xai_mimo.metrics.statistics import Interval
from xai_mimo.record.rows import RANDOM

Regions = dict[str, dict[str, Array]]
"""``{head: {stream: (sample, *shape)}}``: booleans, with axes of length 1 where one mark holds for all values."""


def split_truth(
    truth: Mapping[str, Any] | None, heads: Sequence[str], streams: Sequence[Stream], rows: int
) -> tuple[dict[str, Any] | None, Regions]:
    """Part the heads whose truth is given as regions from those whose truth is named features.

    A region is an array of booleans for all rows, ``(sample, *positions)`` over the axes of the stream that are
    positions (time, height, width, token, step) or ``(sample, *shape)`` over all its values. Beside it, a head's other
    streams may be named with their true features, which then are true in every row.

    Args:
        truth: as the user wrote it. heads: names of heads and targets. streams: the model's. rows: of the data.
    Returns:
        The rest of the truth, None where there is none; and the regions.
    Raises:
        UnknownName, ShapeMismatch, BadValues, BadSetting: as ``check_truth``, and regions that do not fit.
    """
    if truth is None:
        return None, {}
    by_name = {s.name: s for s in streams}
    regions: Regions = {}
    for head, given in truth.items():
        if not isinstance(given, Mapping) or not any(_is_region(value) for value in given.values()):
            continue
        if head not in heads:
            raise unknown(head, heads, "head")
        marked = {}
        for name, value in given.items():
            if name not in by_name:
                raise unknown(name, by_name, "input stream")
            stream = by_name[name]
            marked[name] = _region(value, stream, rows) if _is_region(value) else _features(value, stream, head, rows)
        regions[head] = marked
    rest = {head: given for head, given in truth.items() if head not in regions}
    return (rest if rest or not regions else None), regions


def rows_of_regions(regions: Regions, picked: Array) -> Regions:
    """The regions of the explained rows."""
    return {head: {name: mask[picked] for name, mask in given.items()} for head, given in regions.items()}


def _is_region(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim > 1


def _region(value: Array, stream: Stream, rows: int) -> Array:
    positions = position_axes(stream) or list(range(len(stream.shape)))
    if value.ndim == 1 + len(stream.shape):
        positions = list(range(len(stream.shape)))
    wanted = tuple(stream.shape[i] for i in positions)
    fits = value.ndim == 1 + len(positions) and all(
        n in (None, got) for n, got in zip(wanted, value.shape[1:], strict=True)
    )
    if not fits or len(value) != rows:
        shape = ", ".join("any" if n is None else str(n) for n in wanted)
        raise ShapeMismatch(
            f"the region of stream '{stream.name}' wants one boolean for each position of each row, ({rows}, {shape}); "
            f"got {value.shape}."
        )
    if value.dtype != np.bool_:
        raise BadValues(f"the region of stream '{stream.name}' must hold booleans; got dtype {value.dtype}.")
    axes = [1 + i for i in range(len(stream.shape)) if i not in positions]
    return np.expand_dims(value, axes)


def _features(value: Any, stream: Stream, head: str, rows: int) -> Array:
    if not stream.shape or stream.shape[-1] is None:
        raise BadSetting(f"stream '{stream.name}' has no named features; mark its region instead.")
    named = check_truth({head: {stream.name: value}}, [head], [stream])[head].get(stream.name, ())
    mask = np.isin(stream.features, named)
    return np.broadcast_to(mask, (rows, *(1,) * (len(stream.shape) - 1), len(mask)))


@dataclass(frozen=True)
class _Marked:
    """The region of one target, as both scores want it.

    Attributes:
        players: ``(sample, player)``, over all streams of the space.
        positions: stream -> ``(sample, *shape)`` with axes of length 1 where values go together; the marked streams.
        shapes: of all streams, in the order of the players.
    """

    players: Array
    positions: Mapping[str, Array]
    shapes: Mapping[str, tuple[int, ...]]

    @staticmethod
    def of(given: Mapping[str, Array], inputs: Mapping[str, Array], tolerance: float) -> "_Marked":
        shapes = {name: x.shape for name, x in inputs.items()}
        rows = count_rows(inputs)
        whole = [np.broadcast_to(given.get(n, np.False_), shape).reshape(rows, -1) for n, shape in shapes.items()]
        return _Marked(np.concatenate(whole, axis=1), {n: widened(m, tolerance) for n, m in given.items()}, shapes)

    def pointing(self, maps: Array) -> tuple[Array, Array]:
        """Magnitudes ``(sample, player)`` summed to positions of the marked streams, and which of these are marked."""
        sizes = [int(np.prod(shape[1:], dtype=np.int64)) for shape in self.shapes.values()]
        parts = np.split(np.abs(maps), np.cumsum(sizes)[:-1], axis=1)
        summed, marks = [], []
        for (name, shape), part in zip(self.shapes.items(), parts, strict=True):
            if name not in self.positions:
                continue
            mask = self.positions[name]
            together = tuple(i for i in range(1, mask.ndim) if mask.shape[i] == 1)
            summed.append(part.reshape(shape).sum(axis=together).reshape(len(maps), -1))
            marks.append(mask.reshape(len(maps), -1))
        return np.concatenate(summed, axis=1), np.concatenate(marks, axis=1)


def region_scores(
    panel: AlignedMaps,
    regions: Regions,
    targets: Mapping[str, str],
    inputs: Mapping[str, Array],
    space: Space,
    *,
    tolerance: float,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """Rows of the record for the targets whose truth is a region: mass in the region and the pointing game.

    Mass is counted over all streams, so what lies on an unmarked stream lies outside; the pointing game looks at the
    marked streams. Beside each score stands chance, the share of what is marked, and a map of random numbers.

    Args:
        panel: the maps.
        regions: of the explained rows.
        targets: name of the target -> head; the truth may name either, the target's own entry wins.
        inputs: the explained rows, ``{stream: (sample, *shape)}``.
        space: regions speak of the model's inputs; elsewhere the rows say that they cannot be scored.
        tolerance: of the pointing game.
        rng: of the random map.
    """
    rows: list[dict[str, Any]] = []
    found: list[Quantity] = []
    for h, (target, head) in enumerate(targets.items()):
        given = regions.get(target, regions.get(head))
        if given is None:
            continue
        if space.name != "inputs":
            note = "the truth marks regions of the model's inputs, which this space has not"
            nothing = Interval(None, None, None, 0, note)
            rows += [score(target, "ground_truth", "mass_in_region", label, nothing) for label in panel.labels]
            continue
        marked = _Marked.of(given, inputs, tolerance)
        maps = {label: values[h] for label, values in panel.maps.items()}
        maps[RANDOM] = rng.random(marked.players.shape)
        for label, values in maps.items():
            positions, marks = marked.pointing(values)
            scores = {
                "mass_in_region": (mass_in_region(values, marked.players), marked.players),
                "pointing_game": (pointing_game(positions, marks), marks),
            }
            for metric, (each, mask) in scores.items():
                role = "control_random" if label == RANDOM else "value"
                labels = {"head": target, "family": "ground_truth", "metric": metric, "method": label, "role": role}
                found.append(Quantity(labels, each))
                if label != RANDOM:
                    rows.append(_chance(target, metric, label, each, mask))
    return [*scored(found, panel.counts), *rows]


def _chance(target: str, metric: str, label: str, each: Array, mask: Array) -> dict[str, Any]:
    """The share of what is marked, over the rows that were scored."""
    told = ~np.isnan(each)
    if not told.any():
        nothing = Interval(None, None, None, 0, "no row could be scored")
        return score(target, "ground_truth", metric, label, nothing, role="floor_random")
    interval = Interval(float(mask[told].mean()), None, None, int(told.sum()), "chance, exact: no interval")
    return score(target, "ground_truth", metric, label, interval, role="floor_random")


def region_rows(regions: Regions) -> dict[str, dict[str, float]] | None:
    """The record's ``regions``: the mean area of each, ``{head: {stream: share}}``."""
    return {head: {n: float(m.mean()) for n, m in given.items()} for head, given in regions.items()} or None
