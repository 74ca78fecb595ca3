"""Whether a model's gradients say how its answers change: compared with differences of them, at a few rows.

A gradient may differ on purpose (gradient reversal, a straight-through estimator), so a difference is a warning.
"""

from collections.abc import Sequence

import numpy as np

from xai_mimo.core.errors import GradientWarning, NotSupported
from xai_mimo.core.model import Arrays, Differentiable, described
from xai_mimo.core.precision import precision_of, rounding_of
from xai_mimo.core.probes import Probe
from xai_mimo.core.rounding import relative_rounding
from xai_mimo.core.streams import Array, Head
from xai_mimo.core.targets import AnyTarget, expand, rows_of, select, take

_STEPS = (0.3, 0.03, 0.003)
"""As shares of each feature's range: a kink near the row spoils the largest, rounding the smallest."""
_ROWS = 2
_NARROWEST = 0.1
"""A feature's range is taken to be at least this share of the stream's largest value."""
_ROUNDINGS = 64
_SMALLEST = float(np.finfo(np.float32).tiny)
"""No model answers in numbers smaller than this."""
_DIFFERENT = 0.5
"""Gradient and difference are apart by more than this share of the larger, at every step."""


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
    floats = [name for name, x in probe.rows.items() if x.dtype.kind == "f" and x.size]
    if not floats:
        return []
    numbers = np.maximum(probe.numbers, 0)  # a row that is none of the data is made of the first
    selectors = select(targets, model.heads, probe.outputs, {head: y[numbers] for head, y in labels.items()})
    _, gradients = model.gradients(probe.rows, selectors, floats)
    few = {name: x[:_ROWS] for name, x in probe.rows.items()}
    plus, minus = _moved(few, {name: _range(probe.rows[name]) for name in floats})
    try:
        outputs = model.predict({name: np.concatenate([plus[name], minus[name]]) for name in few})
    except Exception:  # a step has left what the model is made for: an error of rows that are not the user's
        return []
    repeated = rows_of(selectors, np.tile(np.arange(_ROWS), 2 * len(_STEPS)))
    up, down = np.split(take(outputs, repeated), 2, axis=1)
    along = [
        np.einsum(
            "tsri,sri->tsr",
            gradients[n][:, None, :_ROWS].reshape(len(selectors), 1, _ROWS, -1).astype(np.float64),
            (plus[n].astype(np.float64) - minus[n]).reshape(len(_STEPS), _ROWS, -1),
        )
        for n in floats
    ]
    by_gradient, changes = np.sum(along, axis=0), (up - down).reshape(len(selectors), len(_STEPS), _ROWS)
    values = take(probe.outputs, selectors)
    if len(floats) < len(probe.rows):
        values = values[:, :1]  # rows differ in whole numbers too, by which there is no gradient
    said = []
    for t, selector in enumerate(selectors):
        is_zero = not any(gradients[n][t].any() for n in floats)
        largest = max(float(np.abs(values[t]).max()), _SMALLEST)
        rounding = max(relative_rounding(np.r_[up[t], down[t]]), rounding_of(precision_of(model)))
        noise = _ROUNDINGS * rounding * largest
        text = (
            _of_zeros(max(float(np.ptp(values[t])), float(np.nanmax(np.abs(changes[t]), initial=0.0))), noise)
            if is_zero
            else _of_difference(by_gradient[t], changes[t], noise)
        )
        if text:
            said.append(GradientWarning(f"the gradient of head '{selector.name}' of {described(model)} {text}"))
    return said


def _of_zeros(change: float, noise: float) -> str:
    """What to say of a gradient that is 0 everywhere, "" where the output does not change either."""
    if change <= noise:
        return ""
    return (
        f"is 0 while its output changes (by {change:.3g} at the rows that were tried): it rounds, counts, takes the "
        "largest or holds a gradient back. Methods that follow gradients see nothing there; use 'shapley' or "
        "'occlusion', which ask for predictions alone."
    )


def _of_difference(by_gradient: Array, changes: Array, noise: float) -> str:
    """What to say of gradients, "" where they agree with the changes of the output at some step.

    Args:
        by_gradient, changes: ``(step, row)``, the change of the output by its gradient, and by its values.
        noise: changes below it are rounding.
    """
    largest = np.maximum(np.abs(changes), np.abs(by_gradient)).sum(axis=1)
    apart = np.abs(changes - by_gradient).sum(axis=1) / np.maximum(largest, np.finfo(np.float64).tiny)
    apart = np.where(largest > noise, apart, np.nan)
    if np.isnan(apart).all() or np.nanmin(apart) <= _DIFFERENT:
        return ""
    step = int(np.nanargmin(apart))
    row = int(np.abs(changes[step] - by_gradient[step]).argmax())
    return (
        f"is not that of its output: for a small step it says {by_gradient[step, row]:.3g}, and the output changes by "
        f"{changes[step, row]:.3g}. That is right where a layer has a gradient of its own on purpose (gradient "
        "reversal, a straight-through estimator); methods that follow gradients then do not explain the output: use "
        "'shapley' or 'occlusion', which ask for predictions alone."
    )


def _range(x: Array) -> Array:
    """How far each feature reaches over the rows: ``(*shape)``; never 0."""
    wide = x.astype(np.float64)
    reach: Array = np.maximum(np.ptp(wide, axis=0), _NARROWEST * float(np.abs(wide).max()) or 1.0)
    return reach


def _moved(few: Arrays, ranges: Arrays) -> tuple[Arrays, Arrays]:
    """The rows moved there and back along a random direction: ``{stream: (step * row, *shape)}``, by every step."""
    rng = np.random.default_rng(0)
    steps, plus, minus = np.repeat(_STEPS, _ROWS), {}, {}
    for name, x in few.items():
        repeated = np.concatenate([x] * len(_STEPS))
        plus[name] = minus[name] = repeated
        if name in ranges:
            direction = np.concatenate([rng.standard_normal(x.shape) * ranges[name]] * len(_STEPS))
            shift = direction * steps.reshape(-1, *[1] * (x.ndim - 1))
            plus[name], minus[name] = (repeated + shift).astype(x.dtype), (repeated - shift).astype(x.dtype)
    return plus, minus
