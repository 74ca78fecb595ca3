"""Straight paths from baselines to rows, and integrals of gradients along pieces of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xai_mimo.core.method import Context
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, rows_of, take
from xai_mimo.explainers.differentiable import differentiable, points_at_once, slices, spread


def gauss_legendre(nodes: int) -> tuple[Array, Array]:
    """Nodes and weights on [0, 1]; weights sum to 1; exact for polynomials of degree ``2 nodes - 1``."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    return (x + 1) / 2, w / 2


@dataclass(frozen=True)
class Paths:
    """One path for each row and baseline: path ``p`` leads from baseline ``p % B`` to row ``p // B``.

    Attributes:
        model: differentiable.
        inputs: the rows. baselines: ``{stream: (baseline, *shape)}``.
        selectors: targets of the rows.
        at_once: points that one call may hold.
    """

    model: Model
    inputs: Arrays
    baselines: Arrays
    selectors: Sequence[Selector]
    at_once: int

    @staticmethod
    def between(
        model: Model, inputs: Arrays, baselines: Arrays, selectors: Sequence[Selector], context: Context, *, method: str
    ) -> "Paths":
        """Paths for a gradient method; refuses models without gradients."""
        differentiable(model, method)
        return Paths(model, inputs, baselines, selectors, points_at_once(inputs, len(selectors), context))

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.selectors[0].units)

    @property
    def per_row(self) -> int:
        """Number of baselines, so of paths per row."""
        return len(next(iter(self.baselines.values())))

    def points(self, path: Array, t: Array) -> Arrays:
        """The points at ``t`` in [0, 1] of the given paths, in the model's dtypes."""
        found = {}
        for name, x in self.inputs.items():
            wide = np.result_type(x.dtype, np.float32)
            end, start = x[path // self.per_row].astype(wide), self.baselines[name][path % self.per_row].astype(wide)
            found[name] = (start + spread(t.astype(wide), end) * (end - start)).astype(x.dtype, copy=False)
        return found

    def targets(self, path: Array) -> list[Selector]:
        """The targets of the paths' rows."""
        return rows_of(self.selectors, path // self.per_row)

    def values(self, path: Array, t: Array) -> Array:
        """The targets at points: ``(target, point)`` in float64."""
        found = np.empty((len(self.selectors), len(path)))
        for part in slices(len(path), self.at_once):
            outputs = self.model.predict(self.points(path[part], t[part]))
            found[:, part] = take(outputs, self.targets(path[part]))
        return found

    def baseline_values(self, outputs: Arrays) -> Array:
        """The targets at the baselines: ``(target, path)``, from the outputs of the baselines."""
        return np.stack(
            [
                np.asarray(outputs[s.head], dtype=np.float64).reshape(self.per_row, -1)[:, s.units].T.reshape(-1)
                for s in self.selectors
            ]
        )

    def integrals(self, path: Array, start: Array, stop: Array, rule: tuple[Array, Array]) -> Arrays:
        """Attributions on pieces [start, stop] of paths.

        A_i = (x_i - b_i) * integral of df/dx_i over the piece, by the nodes and weights of ``rule``.

        Returns:
            ``{stream: (target, piece, *shape)}`` in float64.
        """
        nodes, weights = rule
        found = {n: np.zeros((len(self.selectors), len(path), *x.shape[1:])) for n, x in self.inputs.items()}
        for part in slices(len(path), max(1, self.at_once // len(nodes))):
            for some in slices(len(nodes), self.at_once):
                gradients = self._gradients(path[part], start[part], stop[part], nodes[some])
                for name, g in gradients.items():
                    found[name][:, part] += np.einsum("tnk...,k->tn...", g, weights[some])
        for name, values in found.items():
            x, b = self.inputs[name][path // self.per_row], self.baselines[name][path % self.per_row]
            values *= spread(stop - start, x) * (x.astype(np.float64) - b)
        return found

    def _gradients(self, path: Array, start: Array, stop: Array, nodes: Array) -> Arrays:
        """Gradients at the nodes of pieces: ``{stream: (target, piece, node, *shape)}``, in the model's dtypes."""
        t = (start[:, None] + (stop - start)[:, None] * nodes).reshape(-1)
        every = np.repeat(path, len(nodes))
        _, found = self.model.gradients(self.points(every, t), self.targets(every))  # type: ignore[attr-defined]
        return {name: g.reshape(len(g), len(path), len(nodes), *g.shape[2:]) for name, g in found.items()}

    def add(self, total: Arrays, path: Array, values: Arrays) -> None:
        """Add the pieces' attributions to their rows, averaged over the baselines, in place."""
        for name, value in values.items():
            np.add.at(total[name], (slice(None), path // self.per_row), value / self.per_row)

    def mean_over_baselines(self, values: Array) -> Array:
        """``(target, path)`` -> ``(target, sample)``."""
        return values.reshape(len(values), self.rows, self.per_row).mean(axis=2)
