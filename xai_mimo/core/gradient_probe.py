"""Whether a model's gradients say how its answers change: compared with differences of them, at a few rows.

A gradient may differ on purpose (gradient reversal, a straight-through estimator), so a difference is a warning.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from xai_mimo.core.errors import GradientWarning, NotSupported
from xai_mimo.core.model import Arrays, Differentiable, described
from xai_mimo.core.precision import precision_of, rounding_of
from xai_mimo.core.probes import Probe
from xai_mimo.core.rounding import relative_rounding
from xai_mimo.core.streams import Array, Head
from xai_mimo.core.targets import AnyTarget, Selector, expand, rows_of, select, take

_DIRECTIONS = 2
"""Random ones, along which each row is moved."""
_POWER, _LARGER = 0.4, 4.0
"""The small step is this power of the relative rounding, as a share of each feature's range; the other is so many
times larger. Smaller ones drown in rounding, and larger ones meet kinks."""
_FAR = (0.3, 1.0)
"""Steps that show whether an output changes at all where its gradient is 0."""
_NARROWEST = 0.1
"""A feature's range is taken to be at least this share of the stream's largest value."""
_ROUNDINGS = 4
_SINGLE = float(np.finfo(np.float32).eps)
"""No model is trusted to round more finely: what it computes in may be narrower than what it returns."""
_SMALLEST = float(np.finfo(np.float32).tiny)
"""No model answers in numbers smaller than this."""
_CONVERGED = 0.2
"""Slopes at both steps agree to this share of the larger: then they are slopes, and no jumps or kinks."""
_DIFFERENT = 0.3
"""A gradient farther from both slopes than this share of the largest of the three contradicts them."""
_FEWEST, _SYSTEMATIC = 3, 0.6
"""As many slopes contradict the gradient, and this share of those that converged."""
_HALVINGS = 5
"""So often is the way between two answers searched, each time in six parts, for a place that has a gradient."""


def targets_with_gradients(
    targets: Sequence[AnyTarget] | None, heads: Sequence[Head], outputs: Arrays
) -> tuple[Sequence[AnyTarget] | None, str]:
    """The targets that a method can explain which follows gradients, and a sentence on what is left out, or "".

    Args:
        targets: as users name them; None for every head, of which those of whole numbers are left out.
        heads: of the model.
        outputs: a few of its answers.
    Raises:
        NotSupported: a head of whole numbers or truth values was named, or there are no others.
    """
    dtypes = {head.name: np.asarray(outputs[head.name]).dtype for head in heads}
    whole = {name: dtype for name, dtype in dtypes.items() if dtype.kind != "f"}
    named = [target.head for target in expand(targets, heads) if target.head in whole]
    if not named:
        return targets, ""
    text = (
        f"head '{named[0]}' gives whole numbers or truth values ({whole[named[0]]}), which have no gradient. Explain "
        "the scores it was made from: put them out as a head of their own; or use 'shapley', which asks for "
        "predictions alone."
    )
    if targets is not None or len(whole) == len(heads):
        raise NotSupported(text)
    others = " and ".join(f"'{name}'" for name in whole)
    also = f" (left out are {others})" if len(whole) > 1 else ""
    return [head.name for head in heads if head.name not in whole], f"left out: {text}{also}"


def gradient_warnings(
    model: Differentiable, probe: Probe, targets: Sequence[AnyTarget] | None, labels: Arrays
) -> list[GradientWarning]:
    """What is to be said of the gradients of each target.

    Args:
        model: that was probed.
        probe: rows, and its answers to them.
        targets: as users name them. labels: ``{head: (sample, ...)}`` of all data, where a target needs them.
    Returns:
        A warning for each target whose gradient is 0 while its output changes, or is not that of its output.
    """
    rows = {stream.name: probe.rows[stream.name] for stream in model.streams}  # without what the rows hold besides
    floats = [name for name, x in rows.items() if x.dtype.kind == "f" and x.size]
    if not floats:
        return []
    numbers = np.maximum(probe.numbers, 0)  # a row that is none of the data is made of the first
    selectors = select(targets, model.heads, probe.outputs, {head: y[numbers] for head, y in labels.items()})
    _, gradients = model.gradients(probe.rows, selectors, floats)
    way = _Way.random(probe.rows, floats)
    rounding = _rounding(model, {s.head: probe.outputs[s.head] for s in selectors})
    small = rounding**_POWER
    try:
        values = way.ask(model, selectors, (small, _LARGER * small))
    except Exception:  # a step has left what the model is made for: an error of rows that are not the user's
        return []
    by_gradient, kinds = way.slopes(gradients), {head.name: head.kind for head in model.heads}
    said = []
    for t, selector in enumerate(selectors):
        least = _SMALLEST if kinds[selector.head] in ("regression", "quantile") else 1.0  # 1 - p rounds as 1 does
        noise = _ROUNDINGS * rounding * max(float(np.abs(values[t]).max()), least)
        if any(gradients[name][t].any() for name in floats):
            text = _of_slopes(by_gradient[t], values[t], small, noise)
        else:
            text = _of_zeros(model, probe, selector, way, noise)
        if text:
            said.append(GradientWarning(f"the gradient of head '{selector.name}' of {described(model)} {text}"))
    return said


def _rounding(model: Differentiable, outputs: Arrays) -> float:
    """How finely a model computes: as it says itself, or else as its answers look (whole numbers look coarse)."""
    precision = precision_of(model)
    return max(
        _SINGLE,
        rounding_of(precision) if precision else max(relative_rounding(np.asarray(y)) for y in outputs.values()),
    )


@dataclass(frozen=True)
class _Way:
    """Rows, and a few directions to move each of them in.

    Attributes:
        rows: ``{stream: (row, *shape)}``.
        directions: ``{stream: (direction, row, *shape)}``, of the streams that are moved.
    """

    rows: Arrays
    directions: Arrays

    @staticmethod
    def random(rows: Arrays, floats: Sequence[str]) -> "_Way":
        """Directions of the size of each feature's range."""
        rng = np.random.default_rng(0)
        return _Way(rows, {n: rng.standard_normal((_DIRECTIONS, *rows[n].shape)) * _range(rows[n]) for n in floats})

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(next(iter(self.rows.values())))

    def at(self, name: str, step: float) -> Array:
        """A stream's rows after a step along every direction: ``(direction * row, *shape)``."""
        x = self.rows[name]
        moved = x + step * self.directions[name] if name in self.directions else np.stack([x] * _DIRECTIONS)
        return moved.reshape(-1, *x.shape[1:]).astype(x.dtype)

    def ask(self, model: Differentiable, selectors: Sequence[Selector], sizes: tuple[float, float]) -> Array:
        """Answers at ``-large, -small, 0, small, large`` steps: ``(target, step, direction * row)``, of one call."""
        small, large = sizes
        steps = (-large, -small, 0.0, small, large)
        outputs = model.predict({n: np.concatenate([self.at(n, step) for step in steps]) for n in self.rows})
        index = np.tile(np.arange(self.count), len(steps) * _DIRECTIONS)
        values: Array = take(outputs, rows_of(selectors, index)).reshape(len(selectors), len(steps), -1)
        return values

    def slopes(self, gradients: Arrays) -> Array:
        """Slopes along the directions by gradients ``(target, row, *shape)``: ``(target, direction * row)``."""
        each = [
            np.einsum(
                "tri,dri->tdr",
                gradients[n].reshape(*gradients[n].shape[:2], -1).astype(np.float64),
                d.reshape(*d.shape[:2], -1),
            )
            for n, d in self.directions.items()
        ]
        total: Array = np.sum(each, axis=0)
        return total.reshape(len(total), -1)


def _of_slopes(by_gradient: Array, values: Array, small: float, noise: float) -> str:
    """What to say of gradients, "" unless most of the output's slopes contradict them.

    At a kink the gradient is the slope on one side or lies between; where the slopes at two steps differ, they are not
    those of the row itself, and say nothing.

    Args:
        by_gradient: ``(probe,)``, slopes by the gradient. values: ``(step, probe)``, see ``_Way.ask``.
        small: the small step. noise: changes of the output below it are rounding.
    """
    far_back, back, here, ahead, far_ahead = values
    large = _LARGER * small
    near = np.stack([here - back, ahead - here]) / small
    far = np.stack([here - far_back, far_ahead - here]) / large
    size = np.maximum(np.abs(near), np.abs(far))
    has_converged = (np.abs(near - far) <= np.maximum(_CONVERGED * size, noise / large)).all(axis=0)
    low, high = np.minimum(near, far).min(axis=0), np.maximum(near, far).max(axis=0)
    outside = np.maximum(low - by_gradient, by_gradient - high)
    largest = np.maximum(size.max(axis=0), np.abs(by_gradient))
    is_measured = has_converged & (largest > noise / small / _DIFFERENT)
    contradicts = is_measured & (outside > _DIFFERENT * largest)
    if contradicts.sum() < max(_FEWEST, _SYSTEMATIC * is_measured.sum()):
        return ""
    place = int(np.where(contradicts, outside, -np.inf).argmax())
    change = (far_ahead[place] - far_back[place]) / 2
    return (
        f"is not that of its output: for a small step it says {large * by_gradient[place]:.3g}, and the output changes "
        f"by {change:.3g}. So it is for {int(contradicts.sum())} of {int(is_measured.sum())} steps that were tried. "
        "That is right where a layer has a gradient of its own on purpose (gradient reversal, a straight-through "
        "estimator, a gradient held back); methods that follow gradients then do not explain the output: use "
        "'shapley' or 'occlusion', which ask for predictions alone."
    )


def _of_zeros(model: Differentiable, probe: Probe, selector: Selector, way: _Way, noise: float) -> str:
    """What to say of a gradient that is 0 in all rows: "" where the output does not change, or is only saturated.

    A saturated output has a gradient on its way from one value to the other; one that rounds or counts jumps.
    """
    floats = list(way.directions)
    pair = _farthest_answers(model, probe, selector, way)
    if pair is None or pair.change <= noise:
        return ""
    start, end = pair.start, pair.end
    same = rows_of([selector], np.full(way.count, pair.row))
    shares = np.arange(1, way.count + 1) / (way.count + 1)
    for _ in range(_HALVINGS):
        points = {n: _between(start[n], end[n], shares) if n in floats else x for n, x in pair.others(way).items()}
        try:
            outputs, gradients = model.gradients(points, same, floats)
        except Exception:  # as in ``gradient_warnings``
            return ""
        if any(np.asarray(gradients[n]).any() for n in floats):
            return ""
        values = np.r_[pair.first, take(outputs, same)[0], pair.last]
        jump = int(np.abs(np.diff(values)).argmax())
        ends = {n: np.concatenate([start[n][None], points[n], end[n][None]]) for n in floats}
        start, end = ({n: x[place] for n, x in ends.items()} for place in (jump, jump + 1))
        pair = replace(pair, first=float(values[jump]), last=float(values[jump + 1]))
    return (
        f"is 0 while its output changes (by {pair.whole:.3g} at the rows that were tried): it rounds, counts, takes "
        "the largest or holds a gradient back. Methods that follow gradients see nothing there; use 'shapley' or "
        "'occlusion', which ask for predictions alone."
    )


@dataclass(frozen=True)
class _Pair:
    """Two points with different answers, from a row on.

    Attributes:
        row: number of the row, whose unit is looked at.
        start, end: ``{stream: shape}``, of the streams that are moved.
        first, last: answers at the two ends of what is searched. whole: how far the answers were apart at first.
    """

    row: int
    start: Arrays
    end: Arrays
    first: float
    last: float
    whole: float

    @property
    def change(self) -> float:
        """How far the answers are apart."""
        return abs(self.last - self.first)

    def others(self, way: _Way) -> Arrays:
        """The row, repeated: streams that are not moved stay as they are."""
        return {n: x[[self.row] * way.count] for n, x in way.rows.items()}


def _farthest_answers(model: Differentiable, probe: Probe, selector: Selector, way: _Way) -> _Pair | None:
    """The row and the point, another row or a far step, whose answers are farthest apart; None where a step fails."""
    floats, count = list(way.directions), way.count
    try:
        stepped = way.ask(model, [selector], _FAR)[0]
    except Exception:  # as in ``gradient_warnings``
        return None
    here = stepped[2, :count]
    answers = stepped.reshape(-1, count)
    points = {n: np.concatenate([way.at(n, s) for s in (-_FAR[1], -_FAR[0], 0.0, *_FAR)]) for n in floats}
    points = {n: x.reshape(-1, count, *x.shape[1:]) for n, x in points.items()}
    if len(floats) == len(way.rows):  # else rows differ in whole numbers too, by which there is no gradient
        both = np.divmod(np.arange(count**2), count)
        of_rows = take({h: y[both[0]] for h, y in probe.outputs.items()}, rows_of([selector], both[1]))[0]
        answers = np.concatenate([answers, of_rows.reshape(count, count)])
        points = {n: np.concatenate([x, np.stack([way.rows[n]] * count, axis=1)]) for n, x in points.items()}
    place, row = np.unravel_index(int(np.abs(answers - here).argmax()), answers.shape)
    first, last = float(here[row]), float(answers[place, row])
    ends = {n: x[place, row] for n, x in points.items()}
    return _Pair(int(row), {n: way.rows[n][row] for n in floats}, ends, first, last, abs(last - first))


def _between(start: Array, end: Array, shares: Array) -> Array:
    """Points on the line between two, ``(share, *shape)``."""
    line: Array = start + (end.astype(np.float64) - start) * shares.reshape(-1, *[1] * start.ndim)
    return line.astype(start.dtype)


def _range(x: Array) -> Array:
    """How far each feature reaches over the rows: ``(*shape)``; never 0."""
    wide = x.astype(np.float64)
    reach: Array = np.maximum(np.ptp(wide, axis=0), _NARROWEST * float(np.abs(wide).max()) or 1.0)
    return reach
