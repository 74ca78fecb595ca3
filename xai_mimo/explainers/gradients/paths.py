"""Straight paths from baselines to rows, values and gradients at points of them, integrals along them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import NotFinite
from xai_mimo.core.method import Context
from xai_mimo.core.model import Arrays, Differentiable, Model
from xai_mimo.core.precision import precision_of
from xai_mimo.core.slices import slices
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, rows_of, take
from xai_mimo.explainers.gradients.not_finite import check_values, no_gradient
from xai_mimo.explainers.passes import add_axes, differentiable, points_at_once


def gauss_legendre(nodes: int) -> tuple[Array, Array]:
    """Nodes and weights on [0, 1]; weights sum to 1; exact for polynomials of degree ``2 nodes - 1``."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    return (x + 1) / 2, w / 2


def starts_of(ascending: Array) -> Array:
    """Where each run of equal values begins."""
    return np.flatnonzero(np.r_[True, ascending[1:] != ascending[:-1]])


@dataclass(frozen=True)
class Paths:
    """One path for each row and baseline: path ``p`` leads from baseline ``p % B`` to row ``p // B``.

    Attributes:
        model: differentiable.
        inputs: the rows. baselines: ``{stream: (baseline, *shape)}``.
        selectors: targets of the rows.
        at_once: points that one call may hold.
        row_number: the number of a row in the data, for error texts.
    """

    model: Differentiable
    inputs: Arrays
    baselines: Arrays
    selectors: Sequence[Selector]
    at_once: int
    row_number: Callable[[int], int]

    @staticmethod
    def between(
        model: Model, inputs: Arrays, baselines: Arrays, selectors: Sequence[Selector], context: Context, *, method: str
    ) -> "Paths":
        """Paths for a gradient method; refuses models without gradients."""
        able = differentiable(model, method)
        at_once = points_at_once(inputs, len(selectors), context)
        return Paths(able, inputs, baselines, selectors, at_once, context.row_number)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.selectors[0].units)

    @property
    def per_row(self) -> int:
        """Number of baselines, so of paths per row."""
        return count_rows(self.baselines)

    def points(self, path: Array, t: Array) -> Arrays:
        """The points at ``t`` in [0, 1] of the given paths, in the model's dtypes."""
        points = {}
        for name, x in self.inputs.items():
            wide = np.result_type(x.dtype, np.float32)
            end, start = x[path // self.per_row].astype(wide), self.baselines[name][path % self.per_row].astype(wide)
            t_wide = add_axes(t.astype(wide), end)
            # Both ends are met exactly.
            points[name] = ((1 - t_wide) * start + t_wide * end).astype(x.dtype, copy=False)
        return points

    def spans(self, path: Array) -> Arrays:
        """Row minus baseline of paths: ``{stream: (path, *shape)}`` in float64."""
        return {
            name: x[path // self.per_row].astype(np.float64) - self.baselines[name][path % self.per_row]
            for name, x in self.inputs.items()
        }

    def targets(self, path: Array) -> list[Selector]:
        """The targets of the paths' rows."""
        return rows_of(self.selectors, path // self.per_row)

    def values_and_gradients(self, path: Array, t: Array) -> tuple[Array, Arrays]:
        """The targets at points, ``(target, point)`` in float64, and their gradients.

        Gradients are ``{stream: (target, point, *shape)}`` in the model's dtypes; 0 instead of NaN or infinity for what
        a path does not change.

        Raises:
            NotFinite: the model answers NaN or infinity at a point.
        """
        values = np.empty((len(self.selectors), len(path)))
        gradients: Arrays = {}
        for part in slices(len(path), self.at_once):
            targets = self.targets(path[part])
            outputs, slopes = self.model.gradients(self.points(path[part], t[part]), targets)
            values[:, part] = take(outputs, targets)
            self._check(values[:, part], path[part], t[part])
            for name, g in slopes.items():
                if name not in gradients:
                    gradients[name] = np.empty((len(g), len(path), *g.shape[2:]), g.dtype)
                gradients[name][:, part] = g if np.isfinite(g).all() else self._where_moving(name, g, path[part])
        return values, gradients

    def values(self, path: Array, t: Array) -> Array:
        """The targets at points, ``(target, point)`` in float64, without gradients; see ``values_and_gradients``."""
        values = np.empty((len(self.selectors), len(path)))
        for part in slices(len(path), self.at_once):
            outputs = self.model.predict(self.points(path[part], t[part]))
            values[:, part] = take(outputs, self.targets(path[part]))
            self._check(values[:, part], path[part], t[part])
        return values

    def where(self, path: int, t: float) -> str:
        """A point in words, for error texts."""
        row = f"row {self.row_number(path // self.per_row)}"
        of = "its baseline" if self.per_row == 1 else f"baseline {path % self.per_row}"
        if t in (0, 1):
            return row if t == 1 else f"{of} of {row}" if self.per_row > 1 else f"the baseline of {row}"
        return f"{t:.3g} of the way from {of} to {row}"

    def no_gradient(self, stream: str, path: Array, t: Array, slope: Array) -> NotFinite:
        """The error for gradients ``(target, point, *shape)`` of a stream that are NaN or infinite around a point."""
        lost = ~np.isfinite(slope).reshape(*slope.shape[:2], -1).all(axis=2)
        target, point = (int(i) for i in np.argwhere(lost)[0])
        value = slope[target, point][~np.isfinite(slope[target, point])].ravel()[0]
        where, head = self.where(int(path[point]), float(t[point])), self.selectors[target].name
        return no_gradient(head, stream, where, float(value), precision=precision_of(self.model))

    def _check(self, values: Array, path: Array, t: Array) -> None:
        check_values(values, self.selectors, lambda point: self.where(int(path[point]), float(t[point])))

    def _where_moving(self, name: str, slope: Array, path: Array) -> Array:
        """Gradients ``(target, point, *shape)`` with 0 for NaN or infinity where row and baseline are equal."""
        rows, baselines = self.inputs[name][path // self.per_row], self.baselines[name][path % self.per_row]
        mended: Array = np.where((rows == baselines) & ~np.isfinite(slope), slope.dtype.type(0), slope)
        return mended

    def baseline_values(self, outputs: Arrays) -> Array:
        """The targets at the baselines: ``(target, path)``, from the outputs of the baselines."""
        return np.stack(
            [
                np.asarray(outputs[s.head], dtype=np.float64).reshape(self.per_row, -1)[:, s.units].T.reshape(-1)
                for s in self.selectors
            ]
        )

    def integrals(self, path: Array, rule: tuple[Array, Array]) -> Arrays:
        """Attributions on whole paths: A_i = (x_i - b_i) * integral of df/dx_i, by the nodes and weights of ``rule``.

        Returns:
            ``{stream: (target, path, *shape)}`` in float64.
        """
        nodes, weights = rule
        integrals = {n: np.zeros((len(self.selectors), len(path), *x.shape[1:])) for n, x in self.inputs.items()}
        for part in slices(len(path), max(1, self.at_once // len(nodes))):
            for some in slices(len(nodes), self.at_once):
                count, shared = part.stop - part.start, weights[some]
                every, t = np.repeat(path[part], len(shared)), np.tile(nodes[some], count)
                _, gradients = self.values_and_gradients(every, t)
                for name, g in gradients.items():
                    if not np.isfinite(g).all():
                        raise self.no_gradient(name, every, t, g)
                    by_node = g.reshape(len(g), count, len(shared), *g.shape[2:])
                    integrals[name][:, part] += np.einsum("tnk...,k->tn...", by_node, shared)
        for name, span in self.spans(path).items():
            integrals[name] *= span
        return integrals

    def add(self, total: Arrays, path: Array, values: Arrays) -> None:
        """Add the paths' attributions to their rows, averaged over the baselines, in place.

        Args:
            path: ``(piece,)``, in ascending order.
        """
        row = path // self.per_row
        if len(row):
            starts = starts_of(row)
            for name, value in values.items():
                total[name][:, row[starts]] += np.add.reduceat(value, starts, axis=1) / self.per_row

    def mean_over_baselines(self, values: Array) -> Array:
        """``(target, path)`` -> ``(target, sample)``."""
        mean: Array = values.reshape(len(values), self.rows, self.per_row).mean(axis=2)
        return mean
