"""Integrated gradients to a tolerance: pieces of the path are halved where their own completeness gap is too large.

Completeness holds on every piece [a, b] of a path, so a piece has its own gap: its attributions minus f(b) - f(a). It
tells *where* a quadrature rule fails: at the kinks of a ReLU network, while all between two kinks is almost exact at
once. The rule is Simpson's, whose ends and middle become ends of the halves: halving a piece costs two evaluations, and
values and gradients come from the same pass. All heads share the passes, so a piece is halved when any head needs it.

What lies between the points of the first pieces shows in neither gap. So further values, which cost no gradients, are
held against the curve through the points (``between``), and pieces in which they leave it are halved down to them.
"""

from dataclasses import dataclass, replace

import numpy as np

from xai_mimo.core.completeness import balance, scale
from xai_mimo.core.model import Arrays
from xai_mimo.core.slices import slices
from xai_mimo.core.streams import Array
from xai_mimo.explainers.gradients.between import look_between
from xai_mimo.explainers.gradients.gaps import bridge
from xai_mimo.explainers.gradients.paths import Paths, starts_of
from xai_mimo.explainers.passes import add_axes

# Fewer miss kinks that lie together between two points, with gaps that happen to cancel. More cost smooth models more
# than the values between them, which see what is narrower.
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
# Of pieces that have to be halved, as a share of what a path is allowed.
_TOO_MUCH = 2.0
# The allowance was estimated wrongly if the attributions in the end allow less than this share of it.
_MILD = 0.25


@dataclass(frozen=True)
class Pieces:
    """Pieces of paths with targets and gradients at their ends.

    Attributes:
        path, start, stop: ``(piece,)``; all pieces of a path stand together.
        low, high: ``(target, piece)``, targets at start and stop.
        slope_low, slope_high: ``{stream: (target, piece, *shape)}``, gradients at start and stop.
        widest: ``(piece,)``; wider pieces are halved whatever their gap.
    """

    path: Array
    start: Array
    stop: Array
    low: Array
    high: Array
    slope_low: Arrays
    slope_high: Arrays
    widest: Array

    def __len__(self) -> int:
        return len(self.path)

    def pick(self, part: slice) -> "Pieces":
        """Some of the pieces."""
        low, high = ({n: g[:, part] for n, g in slope.items()} for slope in (self.slope_low, self.slope_high))
        ends = self.low[:, part], self.high[:, part]
        return Pieces(self.path[part], self.start[part], self.stop[part], *ends, low, high, self.widest[part])


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
        is_judged: ``(path,)``, whether ``allowed`` is known from an integration before.
        rounding: ``(target, 1)``, relative rounding of each target's outputs.
        coarse: the same as a share of all that is attributed, of a model in half precision: what it sums up is rounded
            too, and may be larger than its outputs; else 0.
        limit: evaluations that a path may take.
    """

    allowed: Array
    spent: Array
    evaluations: Array
    is_judged: Array
    rounding: Array
    coarse: float
    limit: int

    def noise(self, path: Array, size: Array, tolerance: float) -> Array:
        """Gaps on these paths that are no fault of the quadrature: ``(target, path)``, of targets of this size."""
        mass = self.allowed[1][:, path] / (_MARGIN * tolerance)
        noise: Array = np.maximum(_ROUNDINGS * self.rounding * size, 2 * self.coarse * mass)
        return noise

    @staticmethod
    def of(paths: Paths, rounding: Array, coarse: float, limit: int) -> "_Ledger":
        targets, count = len(paths.selectors), paths.rows * paths.per_row
        return _Ledger(
            np.full((2, targets, count), np.inf),
            np.zeros((targets, count)),
            np.zeros(count, dtype=np.int64),
            np.zeros(count, dtype=bool),
            rounding[:, None],
            coarse,
            limit,
        )


def integrate(
    paths: Paths, change: Array, *, tolerance: float, max_evaluations: int, rounding: Array, coarse: float = 0.0
) -> Integrated:
    """Integrate along all paths to the tolerance.

    Args:
        change: ``(target, sample)``, of the targets from the baselines, on the mean, to the row.
        tolerance, max_evaluations: see ``IntegratedGradients``.
        rounding: ``(target,)``, relative rounding of the outputs. coarse: that of half precision, else 0.
    """
    ledger = _Ledger.of(paths, rounding, coarse, max_evaluations)
    total = {n: np.zeros((len(paths.selectors), *x.shape)) for n, x in paths.inputs.items()}
    _integrate_rows(paths, np.arange(paths.rows), total, ledger, tolerance)
    again = _judged_too_mildly(paths, change, total, ledger, tolerance)
    if len(again):
        for values in total.values():
            values[:, again] = 0.0
        path = _paths_of(paths, again)
        ledger.spent[:, path], ledger.is_judged[path] = 0.0, True
        _integrate_rows(paths, again, total, ledger, tolerance)
    return Integrated(total, ledger.evaluations.reshape(paths.rows, paths.per_row).sum(axis=1))


def _integrate_rows(paths: Paths, rows: Array, total: Arrays, ledger: _Ledger, tolerance: float) -> None:
    """Integrate along the paths of some rows, and add what they give to the total."""
    at_once = max(1, paths.at_once // 2)
    for part in slices(len(rows), max(1, at_once // (_FIRST_PIECES * paths.per_row))):
        pending, is_first = [_first_pieces(paths, _paths_of(paths, rows[part]), ledger)], True
        while pending:
            live = pending.pop()
            value, slope = _at_middles(paths, live, ledger)
            whole, middle, is_open = _bridged(paths, live, slope)
            parts = _simpson(paths, whole, middle)
            if is_first:
                _set_allowance(paths, live, parts, ledger, tolerance)
                live = _look(paths, live, whole, value, middle, ledger, tolerance)
            share = _errors(paths, whole, parts, middle, ledger, tolerance)
            must = is_open | (live.stop - live.start > live.widest)
            share = np.where(must, np.maximum(share, _TOO_MUCH), share)
            is_failed = _failed(live, share, ledger, _narrowest(paths))
            paths.add(total, live.path[~is_failed], {n: v[:, ~is_failed] for n, v in parts.items()})
            halves = _halves(live, value, slope, np.flatnonzero(is_failed))
            # Depth first, so that few pieces are held at a time.
            pending += [halves.pick(part) for part in _whole_paths(halves.path, at_once)]
            is_first = False


def _paths_of(paths: Paths, rows: Array) -> Array:
    every: Array = (rows[:, None] * paths.per_row + np.arange(paths.per_row)).ravel()
    return every


def _judged_too_mildly(paths: Paths, change: Array, total: Arrays, ledger: _Ledger, tolerance: float) -> Array:
    """Rows of which the first pieces promised far larger attributions than there are: ``(row,)``.

    A point on the flank of a narrow peak stands for a whole piece then. What may be spent on them is put right.
    """
    sums = balance(total, change)
    allowed = _MARGIN * tolerance * np.stack([sums.scale, sums.mass])
    first = ledger.allowed.reshape(2, len(change), paths.rows, paths.per_row)
    promised = first.min(axis=3)
    is_off = (allowed < _MILD * promised).any(axis=0) & (allowed[1] > _ROUNDINGS * ledger.rounding * promised[1])
    can_go_on = ledger.evaluations.reshape(paths.rows, -1).max(axis=1) + FEWEST_EVALUATIONS <= ledger.limit
    again: Array = np.flatnonzero(is_off.any(axis=0) & can_go_on)
    first[:, :, again] = np.minimum(first[:, :, again], allowed[:, :, again, None])
    return again


def _bridged(paths: Paths, live: Pieces, slope: Arrays) -> tuple[Pieces, Arrays, Array]:
    """The pieces and their middles with gradients wherever there are some nearby; which had none in the middle."""
    ends, is_open = (live.slope_low, live.slope_high), np.zeros(len(live), dtype=bool)
    if all(np.isfinite(g).all() for arrays in (*ends, slope) for g in arrays.values()):
        return live, slope, is_open
    lows, highs, middles = {}, {}, {}
    for name, middle in slope.items():
        bridged = bridge(live.slope_low[name], middle, live.slope_high[name])
        if bridged is None:
            raise paths.no_gradient(name, live.path, (live.start + live.stop) / 2, middle)
        lows[name], middles[name], highs[name], is_lost = bridged
        is_open |= is_lost
    return replace(live, slope_low=lows, slope_high=highs), middles, is_open


def _look(
    paths: Paths, live: Pieces, whole: Pieces, value: Array, slope: Arrays, ledger: _Ledger, tolerance: float
) -> Pieces:
    """The first pieces of some paths, those to be halved in which a value between their points stands out.

    Args:
        live, whole: the pieces, as the model gave them and with gradients everywhere.
        value, slope: targets and gradients in their middles.
    """
    starts = starts_of(live.path)
    path = live.path[starts]
    nodes = np.stack([live.low, value, live.high], axis=2)
    speed = np.stack([_speed(paths, live, s) for s in (whole.slope_low, slope, whole.slope_high)], axis=2)
    noise = ledger.noise(path, np.maximum.reduceat(np.abs(nodes).max(axis=2), starts, axis=1), tolerance)
    allowed = np.maximum(ledger.allowed[0][:, path], noise)
    widest, off_by = look_between(paths, live.path, live.start, live.stop - live.start, nodes, speed, allowed)
    height = np.maximum.reduceat(off_by, starts, axis=1)
    # What was hidden is attributed too: where nothing else was seen, it gives the scale.
    hidden = _MARGIN * tolerance * np.stack([scale(0 * height, height), height])
    is_new = (height > allowed) & ~ledger.is_judged[path]
    ledger.allowed[:, :, path] = np.maximum(ledger.allowed[:, :, path], np.where(is_new, hidden, 0.0))
    return replace(live, widest=widest)


def _speed(paths: Paths, live: Pieces, slope: Arrays) -> Array:
    """The targets' derivatives along the path, by t: ``(target, piece)``."""
    speed = np.zeros_like(live.low)
    for name, span in paths.spans(live.path).items():
        speed += (slope[name] * span).reshape(*speed.shape, -1).sum(axis=2)
    return speed


def _first_pieces(paths: Paths, path: Array, ledger: _Ledger) -> Pieces:
    """Paths in equal pieces."""
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
        np.ones(_FIRST_PIECES * len(path)),
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
    ledger.allowed[:, :, path] = np.minimum(ledger.allowed[:, :, path], _MARGIN * tolerance * of_path)


def _errors(paths: Paths, live: Pieces, parts: Arrays, slope: Arrays, ledger: _Ledger, tolerance: float) -> Array:
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
    with np.errstate(over="ignore"):
        share: Array = np.maximum(gap / allowed[0], spread_out / allowed[1])
    noise = ledger.noise(live.path, np.maximum(np.abs(live.low), np.abs(live.high)), tolerance)
    return np.where(gap <= noise, 0.0, share)


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
        np.repeat(live.widest[failed], 2),
    )


def _absolute(values: Array) -> Array:
    """Absolute sum over all axes behind target and piece."""
    summed: Array = np.abs(values).reshape(*values.shape[:2], -1).sum(axis=2)
    return summed
