"""Means of gradients over random points around or towards a row, with their standard errors."""

from collections.abc import Callable, Sequence

import numpy as np

from xai_mimo.core.method import Context
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.precision import precision_of
from xai_mimo.core.slices import slices
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, rows_of
from xai_mimo.explainers.gradients.not_finite import Where, check_gradients
from xai_mimo.explainers.passes import differentiable, points_at_once, zeros

Draw = Callable[[int], tuple[Arrays, Arrays | None]]
"""``draw(count)``: that many random points of every row, ``{stream: (count, sample, *shape)}``, and factors for their
gradients or None. Successive calls must give what one call for all would."""


def mean_gradient(
    model: Model,
    inputs: Arrays,
    selectors: Sequence[Selector],
    context: Context,
    *,
    samples: int,
    draw: Draw,
    method: str,
    points: str,
) -> tuple[Arrays, Arrays | None]:
    """Average ``factor * gradient`` over random points, as many points in one call as memory allows.

    Args:
        points: what they are to a row, for error texts.
    Returns:
        The means and their standard errors, ``{stream: (target, sample, *shape)}``; no errors from a single sample.
    Raises:
        NotFinite: a gradient is NaN or infinite, and its factor not 0.
    """
    machine = differentiable(model, method)
    rows = len(selectors[0].units)
    at_once = points_at_once(inputs, len(selectors), context)
    mean, squares = zeros(inputs, selectors), zeros(inputs, selectors)

    def words(start: int) -> Where:
        return lambda point: f"{points} row {context.row_number((start + point) % rows)}"

    for group in slices(samples, max(1, at_once // rows)):
        count = group.stop - group.start
        drawn, factors = draw(count)
        flat = {name: p.reshape(count * rows, *p.shape[2:]) for name, p in drawn.items()}
        every = rows_of(selectors, np.tile(np.arange(rows), count))
        for part in slices(rows, at_once) if count == 1 else [slice(0, count * rows)]:
            _, gradients = machine.gradients({n: x[part] for n, x in flat.items()}, rows_of(every, part))
            where = part if count == 1 else slice(0, rows)
            if factors is not None:
                gradients = {n: _where_used(g, factors[n][:, where]) for n, g in gradients.items()}
            check_gradients(gradients, selectors, words(part.start), precision=precision_of(model))
            for name, gradient in gradients.items():
                new = gradient.reshape(len(gradient), count, -1, *gradient.shape[2:]).astype(np.float64)
                if factors is not None:
                    new *= factors[name][:, where]
                _merge(mean[name][:, where], squares[name][:, where], new, before=group.start)
        context.advance(rows * count / samples)
    if samples == 1:
        return mean, None
    return mean, {name: np.sqrt(s / (samples - 1) / samples) for name, s in squares.items()}


def _where_used(gradient: Array, factors: Array) -> Array:
    """Gradients ``(target, point, *shape)`` with 0 for NaN or infinity where their factor is 0."""
    if np.isfinite(gradient).all():
        return gradient
    is_used = factors.reshape(-1, *factors.shape[2:]) != 0
    used: Array = np.where(is_used | np.isfinite(gradient), gradient, gradient.dtype.type(0))
    return used


def _merge(mean: Array, squares: Array, new: Array, *, before: int) -> None:
    """Add samples (second axis) to a running mean and sum of squared deviations, in place.

    Source: Chan, Golub and LeVeque (1983), "Algorithms for Computing the Sample Variance", Equation 2.1.
    """
    count = new.shape[1]
    fresh = new.mean(axis=1)
    new -= fresh[:, None]
    np.square(new, out=new)
    change, total = fresh - mean, before + count
    squares += new.sum(axis=1) + change**2 * (before * count / total)
    mean += change * (count / total)
