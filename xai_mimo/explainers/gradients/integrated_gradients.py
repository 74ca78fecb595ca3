"""Integrated Gradients, to a tolerance or with a fixed number of nodes; all heads share the passes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xai_mimo.core.baselines import Baseline, resolve_baseline
from xai_mimo.core.completeness import balance
from xai_mimo.core.errors import BadSetting
from xai_mimo.core.method import Attribution, Context, positive, whole
from xai_mimo.core.model import Arrays, Differentiable, Model
from xai_mimo.core.precision import precision_of, rounding_of
from xai_mimo.core.slices import slices
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, take
from xai_mimo.explainers.gradients.bisection import FEWEST_EVALUATIONS, integrate
from xai_mimo.explainers.gradients.not_finite import check_values
from xai_mimo.explainers.gradients.paths import Paths, gauss_legendre
from xai_mimo.explainers.passes import zeros

# A gap of up to so many roundings of the outputs may come from them: a difference of two values, each the last of a
# chain of rounded sums.
_ROUNDINGS = 32
_COARSE_ROUNDINGS = 8
"""The same where a model computes in half precision, as a share of all that is attributed."""
_OWN_ANSWER = "That is the model's own answer, which no method can explain: leave such rows out."


@dataclass(frozen=True)
class IntegratedGradients:
    """Gradients integrated along the straight path from a baseline.

    A_i = (x_i - b_i) * integral over t in [0, 1] of df/dx_i (b + t (x - b))

    The attributions of a row sum to f(x) - f(b), in the head's unit. What is left of that equation, the completeness
    gap, is always in the result.

    A model has no gradient at single points, such as a norm, a distance or a square root at 0; a path goes through them
    (with ``steps`` it avoids its ends by itself). Where its answer is infinite there is nothing to integrate, and an
    error names the head and the row.

    What no point meets cannot be seen. With ``steps`` None the value, without its gradient, is also looked at at every
    64th of the path, and where a target seems not to change at all at every 128th. A peak or plateau that is narrower
    than that, and from which the value comes back, may be missed in a row that is called converged.

    Attributes:
        tolerance: the largest completeness gap that counts as reached, relative to ``max(|f(x) - f(b)|, 0.1 * S)``,
            where S is the sum of the absolute attributions of the row (which keeps the criterion meaningful where
            positive and negative attributions cancel). It holds for each target of each row; with several baselines,
            for the mean over them. The absolute errors of the attributions, which may cancel in the gap, are estimated
            and kept below ``tolerance * S`` as well.
        steps: None to halve pieces of the path until the tolerance is reached; a number for so many Gauss-Legendre
            nodes on the whole path, whatever the gap.
        baseline: "zero", "mean", "background" (averaged over the background's rows), or values per stream: one row, or
            a set of rows to average over.
        max_evaluations: gradient evaluations that one path may take, at least 17. Rows that miss the tolerance are
            marked in the variable ``converged``, and a warning tells their number; among them, those whose gap is no
            larger than the rounding of the model's own outputs are marked in ``rounding_limited``. A model in half
            precision (attribute ``precision`` of the result) seldom reaches a tolerance below a hundredth, and is not
            asked again and again for what it cannot give.

    Source: Sundararajan et al. (2017), "Axiomatic Attribution for Deep Networks", Section 3; bisection by the gap of
    each piece is ours.
    """

    tolerance: float = 1e-3
    steps: int | None = None
    baseline: Baseline = "zero"
    max_evaluations: int = 1024

    name: ClassVar[str] = "integrated_gradients"
    reference: ClassVar[str] = "sundararajan2017axiomatic"
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    needs: ClassVar[tuple[type[Model], ...]] = (Differentiable,)

    def __post_init__(self) -> None:
        positive(self.tolerance, "tolerance")
        whole(self.max_evaluations, "max_evaluations")
        if self.max_evaluations < FEWEST_EVALUATIONS:
            raise BadSetting(
                f"max_evaluations must be at least {FEWEST_EVALUATIONS}, which every path takes; got "
                f"{self.max_evaluations}."
            )
        if self.steps is not None:
            whole(self.steps, "steps")
        if isinstance(self.baseline, str) and self.baseline not in ("zero", "mean", "background"):
            raise BadSetting(f"baseline {self.baseline!r} is not one of zero, mean, background, or values per stream.")

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Integrate for all targets at once."""
        baselines = resolve_baseline(self.baseline, model.streams, context.background)
        paths = Paths.between(model, inputs, baselines, selectors, context, method=self.name)
        outputs, base_outputs = model.predict(inputs), model.predict(baselines)
        prediction, baseline = take(outputs, selectors), paths.baseline_values(base_outputs)
        self._check_ends(paths, prediction, baseline)
        before = paths.mean_over_baselines(baseline)
        if self.steps is not None:
            values, diagnostics = self._fixed(paths, self.steps)
        else:
            rounding, coarse = _rounding(outputs, selectors), rounding_of(precision_of(model))
            integrated = integrate(
                paths,
                prediction - before,
                tolerance=self.tolerance,
                max_evaluations=self.max_evaluations,
                rounding=rounding,
                coarse=coarse,
            )
            values = integrated.values
            count = np.repeat(integrated.evaluations[None], len(selectors), axis=0)
            diagnostics = {"evaluations": count, **self._verdict(values, prediction, before, rounding, coarse)}
        context.advance(paths.rows)
        return Attribution(values, prediction, before, diagnostics=diagnostics)

    def _check_ends(self, paths: Paths, prediction: Array, baseline: Array) -> None:
        """Refuse rows and baselines for which the model has no finite answer."""
        end = f"so it has no change from there that could be explained. Take another baseline than {self.baseline!r}"
        if not isinstance(self.baseline, str):
            end = "so it has no change from there that could be explained. Take another baseline"
        mend = f"That is the model's own answer, {end}, at which the model has one."
        check_values(baseline, paths.selectors, lambda path: paths.where(path, 0), mend=mend)
        check_values(prediction, paths.selectors, lambda row: paths.where(row * paths.per_row, 1), mend=_OWN_ANSWER)

    def _fixed(self, paths: Paths, steps: int) -> tuple[Arrays, dict[str, Array]]:
        total, rule = zeros(paths.inputs, paths.selectors), gauss_legendre(steps)
        every = np.arange(paths.rows * paths.per_row)
        for part in slices(len(every), max(1, paths.at_once // steps)):
            paths.add(total, every[part], paths.integrals(every[part], rule))
        count = np.full((len(paths.selectors), paths.rows), steps * paths.per_row)
        return total, {"evaluations": count}

    def _verdict(
        self, values: Arrays, prediction: Array, before: Array, rounding: Array, coarse: float
    ) -> dict[str, Array]:
        """Which rows reached the tolerance, and which could not for the rounding of the outputs."""
        sums = balance(values, prediction - before)
        gap = np.abs(sums.gap)
        least = _ROUNDINGS * rounding[:, None] * np.maximum(np.abs(prediction), np.abs(before))
        by_rounding = gap <= np.maximum(least, _COARSE_ROUNDINGS * coarse * sums.mass)
        # Where nothing is attributed, as in a row that equals its baseline, there is no scale but the rounding.
        converged = (gap <= self.tolerance * sums.scale) | (by_rounding & (sums.mass <= least))
        return {"converged": converged, "rounding_limited": ~converged & by_rounding}


def _rounding(outputs: Arrays, selectors: Sequence[Selector]) -> Array:
    """Relative rounding of each target's outputs: ``(target,)``."""
    return np.array([np.finfo(outputs[s.head].dtype).eps for s in selectors], dtype=np.float64)
