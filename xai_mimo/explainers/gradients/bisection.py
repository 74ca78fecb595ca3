"""Integrated gradients to a tolerance: pieces of the path are halved where their own completeness gap is too large.

Completeness holds on every piece [a, b] of a path, so a piece has its own gap: its attributions minus f(b) - f(a). It
tells *where* a quadrature rule fails: at the kinks of a ReLU network, while all between two kinks is almost exact at
once. The rule is Simpson's, whose ends and middle become ends of the halves: halving a piece costs two evaluations, and
values and gradients come from the same pass. All heads share the passes, so a piece is halved when any head needs it.
"""

from dataclasses import dataclass

import numpy as np

from xai_mimo.core.completeness import scale
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array
from xai_mimo.explainers.gradients.paths import Paths, starts_of
from xai_mimo.explainers.passes import add_axes, slices

# Fewer miss kinks that lie together between two points, with gaps that happen to cancel.
_FIRST_PIECES = 8
FEWEST_EVALUATIONS = 2 * _FIRST_PIECES + 1
"""Ends and middles of the first pieces, which every path takes."""
# Pieces are not halved below this width, nor below so many roundings of the inputs: then points of a path coincide.
_NARROWEST = 2.0**-20
_POINTS_APART = 64
# The gap aimed at, as a share of the one allowed: the scale is estimated from the first pieces.
_MARGIN = 0.8
# A gap of so many roundings of the outputs is no fault of the quadrature: halving the piece would not close it.
_ROUNDINGS = 8


@dataclass(frozen=True)
class Pieces:
    """Pieces of paths with targets and gradients at their ends.

    Attributes:
        path, start, stop: ``(piece,)``; all pieces of a path stand together.
        low, high: ``(target, piece)``, targets at start and stop.
        slope_low, slope_high: ``{stream: (target, piece, *shape)}``, gradients at start and stop.
    """

    path: Array
    start: Array
    stop: Array
    low: Array
    high: Array
    slope_low: Arrays
    slope_high: Arrays

    def __len__(self) -> int:
        return len(self.path)

    def pick(self, part: slice) -> "Pieces":
        """Some of the pieces."""
        low, high = ({n: g[:, part] for n, g in slope.items()} for slope in (self.slope_low, self.slope_high))
        ends = self.low[:, part], self.high[:, part]
        return Pieces(self.path[part], self.start[part], self.stop[part], *ends, low, high)


@dataclass(frozen=True)
class Integrated:
    """What bisection found.

    Attributes:
        values: ``{stream: (target, sample, *shape)}``.
        evaluations: ``(sample,)``, gradient evaluations spent on the row.
    """

    values: Arrays
    evaluations: Array


@dataclass(frozen=True)
class _Ledger:
    """What each path may spend: arrays that are written to as the work goes on.

    Attributes:
        allowed: ``(2, target, path)``, largest sum of gaps, and of errors of the attributions.
        spent: ``(target, path)``, share of that used up by accepted pieces.
        evaluations: ``(path,)``.
        rounding: ``(target, 1)``, relative rounding of each target's outputs.
        limit: evaluations that a path may take.
    """

    allowed: Array
    spent: Array
    evaluations: Array
    rounding: Array
    limit: int

    @staticmethod
    def of(paths: Paths, rounding: Array, limit: int) -> "_Ledger":
        targets, count = len(paths.selectors), paths.rows * paths.per_row
        return _Ledger(
            np.zeros((2, targets, count)),
            np.zeros((targets, count)),
            np.zeros(count, dtype=np.int64),
            rounding[:, None],
            limit,
        )


def integrate(paths: Paths, *, tolerance: float, max_evaluations: int, rounding: Array) -> Integrated:
    """Integrate along all paths to the tolerance.

    Args:
        tolerance, max_evaluations: see ``IntegratedGradients``.
        rounding: ``(target,)``, relative rounding of the outputs.
    """
    ledger = _Ledger.of(paths, rounding, max_evaluations)
    total = {n: np.zeros((len(paths.selectors), *x.shape)) for n, x in paths.inputs.items()}
    at_once = max(1, paths.at_once // 2)
    for rows in slices(paths.rows, max(1, at_once // (_FIRST_PIECES * paths.per_row))):
        pending, is_first = [_first_pieces(paths, rows, ledger)], True
        while pending:
            live = pending.pop()
            value, slope = _at_middles(paths, live, ledger)
            parts = _simpson(paths, live, slope)
            if is_first:
                _set_allowance(paths, live, parts, ledger, tolerance)
            is_failed = _failed(live, _errors(paths, live, parts, slope, ledger), ledger, _narrowest(paths))
            paths.add(total, live.path[~is_failed], {n: v[:, ~is_failed] for n, v in parts.items()})
            halves = _halves(live, value, slope, np.flatnonzero(is_failed))
            # Depth first, so that few pieces are held at a time.
            pending += [halves.pick(part) for part in _whole_paths(halves.path, at_once)]
            is_first = False
    return Integrated(total, ledger.evaluations.reshape(paths.rows, paths.per_row).sum(axis=1))


def _first_pieces(paths: Paths, rows: slice, ledger: _Ledger) -> Pieces:
    """The paths of some rows in equal pieces."""
    path = np.arange(rows.start * paths.per_row, rows.stop * paths.per_row)
    cuts = np.arange(_FIRST_PIECES + 1) / _FIRST_PIECES
    value, slope = paths.values_and_gradients(np.repeat(path, len(cuts)), np.tile(cuts, len(path)))
    ledger.evaluations[path] += len(cuts)

    def without(values: Array, cut: int) -> Array:
        shape = values.shape
        kept = np.delete(values.reshape(shape[0], len(path), len(cuts), *shape[2:]), cut, axis=2)
        return kept.reshape(shape[0], _FIRST_PIECES * len(path), *shape[2:])

    return Pieces(
        np.repeat(path, _FIRST_PIECES),
        np.tile(cuts[:-1], len(path)),
        np.tile(cuts[1:], len(path)),
        without(value, -1),
        without(value, 0),
        {n: without(g, -1) for n, g in slope.items()},
        {n: without(g, 0) for n, g in slope.items()},
    )


def _at_middles(paths: Paths, live: Pieces, ledger: _Ledger) -> tuple[Array, Arrays]:
    """Targets and gradients in the middle of every piece."""
    np.add.at(ledger.evaluations, live.path, 1)
    return paths.values_and_gradients(live.path, (live.start + live.stop) / 2)


def _simpson(paths: Paths, live: Pieces, slope: Arrays) -> Arrays:
    """Attributions on the pieces by Simpson's rule, ``{stream: (target, piece, *shape)}`` in float64."""
    parts = {}
    for name, span in paths.spans(live.path).items():
        mean = live.slope_low[name].astype(np.float64) + live.slope_high[name] + 4.0 * slope[name]
        parts[name] = mean * (add_axes((live.stop - live.start) / 6, span) * span)
    return parts


def _set_allowance(paths: Paths, live: Pieces, parts: Arrays, ledger: _Ledger, tolerance: float) -> None:
    """Fix what the paths of a row may spend, from the row's change and attributions, averaged over its baselines."""
    path, starts = np.unique(live.path), starts_of(live.path // paths.per_row)
    change = np.abs(np.add.reduceat(live.high - live.low, starts, axis=1)) / paths.per_row
    mass = np.zeros_like(change)
    for values in parts.values():
        mass += _absolute(np.add.reduceat(values, starts, axis=1)) / paths.per_row
    of_path = np.repeat(np.stack([scale(change, mass), mass]), paths.per_row, axis=2)
    ledger.allowed[:, :, path] = _MARGIN * tolerance * of_path


def _errors(paths: Paths, live: Pieces, parts: Arrays, slope: Arrays, ledger: _Ledger) -> Array:
    """Errors of the pieces as shares of what their paths are allowed: ``(target, piece)``.

    The gap is the *sum* of the errors of the attributions, which may cancel. A kink within a piece turns the gradient
    by a fixed vector, to which the errors are in proportion, and which second differences lay bare, for they are small
    where the gradient is smooth: c_i = (x_i - b_i) (g_i(start) - 2 g_i(middle) + g_i(stop)). So the absolute errors sum
    to gap * sum |c_i| / |sum c_i|; Simpson's rule cannot miss a kink by more than width / 3 * sum |c_i|.
    """
    gap, turn, turned = live.low - live.high, np.zeros_like(live.low), np.zeros_like(live.low)
    for name, span in paths.spans(live.path).items():
        ends = live.slope_low[name].astype(np.float64) + live.slope_high[name]
        bend = (ends - 2.0 * slope[name]) * span
        turn += bend.reshape(*turn.shape, -1).sum(axis=2)
        turned += _absolute(bend)
        gap = gap + parts[name].reshape(*turn.shape, -1).sum(axis=2)
    gap, least = np.abs(gap), np.finfo(np.float64).tiny
    spread_out = np.minimum(gap * (turned / np.maximum(np.abs(turn), least)), (live.stop - live.start) * turned / 3)
    allowed = np.maximum(ledger.allowed[:, :, live.path], least)
    share: Array = np.maximum(gap / allowed[0], spread_out / allowed[1])
    by_rounding = gap <= _ROUNDINGS * ledger.rounding * np.maximum(np.abs(live.low), np.abs(live.high))
    return np.where(by_rounding, 0.0, share)


def _failed(live: Pieces, share: Array, ledger: _Ledger, narrowest: float) -> Array:
    """Which pieces are halved; books the errors of those that are accepted.

    A path is done when its accepted pieces and its live ones together keep within its allowance, for every head. Else
    the pieces below an even share of what is left are accepted.
    """
    starts = starts_of(live.path)
    pieces = np.diff(np.r_[starts, len(live)])
    left = 1 - ledger.spent[:, live.path]
    is_done = np.repeat((np.add.reduceat(share, starts, axis=1) <= left[:, starts]).all(axis=0), pieces)
    is_poor = ~is_done & (share > np.maximum(left, 0) / np.repeat(pieces, pieces)).any(axis=0)
    good = np.flatnonzero(~is_poor)
    # Pieces that are given up are not booked: the rest of their path is still worth the effort.
    for spent, used in zip(ledger.spent, share, strict=True):
        np.add.at(spent, live.path[good], used[good])
    is_wide = live.stop - live.start > narrowest
    failed: Array = is_poor & is_wide & _affordable(live.path, is_poor & is_wide, share.max(axis=0), ledger)
    return failed


def _affordable(path: Array, is_failed: Array, share: Array, ledger: _Ledger) -> Array:
    """Which pieces may be halved within the evaluations left: the worst of each path first."""
    order = np.lexsort((-np.where(is_failed, share, -1.0), path))
    starts = starts_of(path)
    rank = np.empty(len(path), dtype=np.int64)
    rank[order] = np.arange(len(path)) - np.repeat(starts, np.diff(np.r_[starts, len(path)]))
    within: Array = rank < (ledger.limit - ledger.evaluations[path]) // 2
    return within


def _narrowest(paths: Paths) -> float:
    """Below this width a piece is not halved."""
    coarsest = max(float(np.finfo(x.dtype).eps) for x in paths.inputs.values())
    return max(_NARROWEST, _POINTS_APART * coarsest)


def _whole_paths(path: Array, at_most: int) -> list[slice]:
    """Slices of about ``at_most`` pieces that never divide a path."""
    if not len(path):
        return []
    chosen, starts = [0], starts_of(path)
    for start, stop in zip(starts, [*starts[1:], len(path)], strict=True):
        if stop - chosen[-1] > at_most and start > chosen[-1]:
            chosen.append(int(start))
    return [slice(a, b) for a, b in zip(chosen, [*chosen[1:], len(path)], strict=True)]


def _halves(live: Pieces, value: Array, slope: Arrays, failed: Array) -> Pieces:
    """Both halves of every failed piece; the middles become ends."""
    start, stop = live.start[failed], live.stop[failed]
    middle = (start + stop) / 2

    def both(left: Array, right: Array, axis: int = 1) -> Array:
        shape = left.shape
        return np.stack([left, right], axis=axis + 1).reshape(*shape[:axis], 2 * shape[axis], *shape[axis + 1 :])

    picked = {n: g[:, failed] for n, g in slope.items()}
    return Pieces(
        np.repeat(live.path[failed], 2),
        both(start, middle, 0),
        both(middle, stop, 0),
        both(live.low[:, failed], value[:, failed]),
        both(value[:, failed], live.high[:, failed]),
        {n: both(g[:, failed], picked[n]) for n, g in live.slope_low.items()},
        {n: both(picked[n], g[:, failed]) for n, g in live.slope_high.items()},
    )


def _absolute(values: Array) -> Array:
    """Absolute sum over all axes behind target and piece."""
    summed: Array = np.abs(values).reshape(*values.shape[:2], -1).sum(axis=2)
    return summed
