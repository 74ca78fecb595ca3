"""Integrated gradients to a tolerance: pieces of the path are halved where their own completeness gap is too large.

Completeness holds on every piece [a, b] of a path, so a piece has its own gap: its attributions minus f(b) - f(a). That
costs one forward pass and tells *where* a quadrature rule fails: at the kinks of a ReLU network, while everything
between two kinks is exact at once. All heads share the passes, so a piece is halved when any head needs it.
"""

from dataclasses import dataclass

import numpy as np

from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array
from xai_mimo.explainers.paths import Paths, gauss_legendre

# Few nodes on many pieces beat many nodes on few: kinks must be enclosed, and smooth parts are done after one piece.
_NODES = 3
_FIRST_PIECES = 4
# Below this width the points of a float32 path coincide.
_NARROWEST = 2.0**-16
# A target whose change is small beside its attributions (they cancel) is held to this share of their absolute sum.
_CANCELLED = 0.1
# The gap of a piece is a difference of sums of rounded numbers; so many roundings of the output are let pass.
_ROUNDINGS = 32


@dataclass(frozen=True)
class Pieces:
    """Pieces of paths with the targets at their ends.

    Attributes:
        path, start, stop: ``(piece,)``; all pieces of a path stand together.
        low, high: ``(target, piece)``, targets at start and stop.
    """

    path: Array
    start: Array
    stop: Array
    low: Array
    high: Array

    def __len__(self) -> int:
        return len(self.path)

    def pick(self, index: Array | slice) -> "Pieces":
        """Some of the pieces."""
        return Pieces(self.path[index], self.start[index], self.stop[index], self.low[:, index], self.high[:, index])


@dataclass(frozen=True)
class Integrated:
    """What bisection found.

    Attributes:
        values: ``{stream: (target, sample, *shape)}``.
        allowed: ``(target, sample)``, the largest gap that counts as reached.
        evaluations: ``(sample,)``, gradient evaluations spent on the row.
    """

    values: Arrays
    allowed: Array
    evaluations: Array


class _Ledger:
    """What each path may still spend: its allowance, the share of it used up by accepted pieces, its evaluations."""

    def __init__(self, targets: int, paths: int, tolerance: float, rounding: Array) -> None:
        self.tolerance = tolerance
        self.rounding = rounding
        self.allowed = np.zeros((targets, paths))
        self.spent = np.zeros((targets, paths))
        self.evaluations = np.zeros(paths, dtype=np.int64)

    def set_allowance(self, path: Array, change: Array, mass: Array) -> None:
        """Fix the allowance of paths from the change of their targets and the absolute sum of their attributions."""
        self.allowed[:, path] = self.tolerance * np.maximum(np.abs(change), _CANCELLED * mass) + self.rounding[:, path]


def integrate(
    paths: Paths, prediction: Array, baseline: Array, *, tolerance: float, max_evaluations: int, rounding: Array
) -> Integrated:
    """Integrate along all paths to the tolerance.

    Args:
        prediction: ``(target, sample)``. baseline: ``(target, path)``.
        tolerance, max_evaluations: see ``IntegratedGradients``.
        rounding: ``(target, path)``, size of one rounding of the outputs.
    """
    targets, count = baseline.shape
    ledger = _Ledger(targets, count, tolerance, _ROUNDINGS * rounding)
    total = {n: np.zeros((targets, *x.shape)) for n, x in paths.inputs.items()}
    live, is_first = _first_pieces(paths, prediction, baseline), True
    while len(live):
        failed = []
        for group in _whole_paths(live.path, max(1, paths.at_once // _NODES)):
            part = live.pick(group)
            found = paths.integrals(part.path, part.start, part.stop, gauss_legendre(_NODES))
            np.add.at(ledger.evaluations, part.path, _NODES)
            if is_first:
                _set_allowance(ledger, part, found)
            is_failed = _failed(part, found, ledger, max_evaluations)
            keep = ~is_failed
            paths.add(total, part.path[keep], {n: v[:, keep] for n, v in found.items()})
            failed.append(part.pick(is_failed))
        live, is_first = _halves(paths, failed), False
    return Integrated(total, paths.mean_over_baselines(ledger.allowed), _per_row(ledger.evaluations, paths))


def _per_row(values: Array, paths: Paths) -> Array:
    summed: Array = values.reshape(paths.rows, paths.per_row).sum(axis=1)
    return summed


def _first_pieces(paths: Paths, prediction: Array, baseline: Array) -> Pieces:
    """Every path in equal pieces, with the targets at the cuts."""
    count, cuts = baseline.shape[1], np.arange(1, _FIRST_PIECES) / _FIRST_PIECES
    path = np.repeat(np.arange(count), len(cuts))
    inner = paths.values(path, np.tile(cuts, count)).reshape(len(baseline), count, len(cuts))
    ends = np.concatenate(
        [baseline[:, :, None], inner, np.repeat(prediction, paths.per_row, axis=1)[:, :, None]], axis=2
    )
    at = np.tile(np.arange(_FIRST_PIECES) / _FIRST_PIECES, count)
    return Pieces(
        np.repeat(np.arange(count), _FIRST_PIECES),
        at,
        at + 1 / _FIRST_PIECES,
        ends[:, :, :-1].reshape(len(baseline), -1),
        ends[:, :, 1:].reshape(len(baseline), -1),
    )


def _whole_paths(path: Array, at_most: int) -> list[slice]:
    """Slices of about ``at_most`` pieces that never divide a path."""
    starts = np.flatnonzero(np.r_[True, path[1:] != path[:-1]])
    chosen = [0]
    for start, stop in zip(starts, [*starts[1:], len(path)], strict=True):
        if stop - chosen[-1] > at_most and start > chosen[-1]:
            chosen.append(int(start))
    return [slice(a, b) for a, b in zip(chosen, [*chosen[1:], len(path)], strict=True)]


def _set_allowance(ledger: _Ledger, part: Pieces, found: Arrays) -> None:
    path, starts = np.unique(part.path, return_index=True)
    change = np.add.reduceat(part.high - part.low, starts, axis=1)
    mass = np.zeros_like(change)
    for values in found.values():
        whole = np.add.reduceat(values, starts, axis=1)
        mass += np.abs(whole).reshape(*whole.shape[:2], -1).sum(axis=2)
    ledger.set_allowance(path, change, mass)


def _failed(part: Pieces, found: Arrays, ledger: _Ledger, max_evaluations: int) -> Array:
    """Which pieces must be halved; books the gaps of the others.

    A path is done when what its accepted pieces spent and the gaps of its live pieces together keep within its
    allowance, for every head. Else the pieces with a gap below an even share of half of what is left are accepted.
    """
    summed = sum(v.reshape(*v.shape[:2], -1).sum(axis=2) for v in found.values())
    gap = np.abs(summed - (part.high - part.low))
    share = gap / np.maximum(ledger.allowed[:, part.path], np.finfo(np.float64).tiny)
    path, starts, inverse, pieces = np.unique(part.path, return_index=True, return_inverse=True, return_counts=True)
    is_done = (ledger.spent[:, path] + np.add.reduceat(share, starts, axis=1) <= 1).all(axis=0)
    fair = 0.5 * (1 - ledger.spent[:, part.path]) / pieces[inverse]
    is_failed = ~is_done[inverse] & (share > np.maximum(fair, 0)).any(axis=0)
    is_failed &= part.stop - part.start > _NARROWEST
    is_failed &= _affordable(part.path, is_failed, share.max(axis=0), ledger.evaluations, max_evaluations)
    np.add.at(ledger.spent, (slice(None), part.path[~is_failed]), share[:, ~is_failed])
    return is_failed


def _affordable(path: Array, is_failed: Array, share: Array, used: Array, max_evaluations: int) -> Array:
    """Which pieces may be halved within the evaluations left: the worst of each path first."""
    order = np.lexsort((-np.where(is_failed, share, -1.0), path))
    starts = np.flatnonzero(np.r_[True, path[1:] != path[:-1]])
    rank = np.empty(len(path), dtype=np.int64)
    rank[order] = np.arange(len(path)) - np.repeat(starts, np.diff(np.r_[starts, len(path)]))
    within: Array = rank < (max_evaluations - used[path]) // (2 * _NODES)
    return within


def _halves(paths: Paths, failed: list[Pieces]) -> Pieces:
    """Both halves of every failed piece, with the targets in the middle."""
    path = np.concatenate([p.path for p in failed])
    start, stop = np.concatenate([p.start for p in failed]), np.concatenate([p.stop for p in failed])
    low, high = np.concatenate([p.low for p in failed], 1), np.concatenate([p.high for p in failed], 1)
    middle = (start + stop) / 2
    at_middle = paths.values(path, middle)

    def both(left: Array, right: Array) -> Array:
        return np.stack([left, right], axis=-1).reshape(*left.shape[:-1], -1)

    return Pieces(
        np.repeat(path, 2), both(start, middle), both(middle, stop), both(low, at_middle), both(at_middle, high)
    )
