"""Expected gradients: Integrated Gradients averaged over a background, one random path point per sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xai_mimo.core.door import count_rows
from xai_mimo.core.method import Attribution, Context, whole
from xai_mimo.core.model import Arrays, Differentiable, Model
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.targets import Selector, take, take_mean
from xai_mimo.explainers.gradients.sampling import mean_gradient
from xai_mimo.explainers.passes import add_axes, differentiable


@dataclass(frozen=True)
class ExpectedGradients:
    """Integrated Gradients with the whole background as baselines, by Monte Carlo.

    A_i = E over b ~ background, t ~ U[0, 1] of (x_i - b_i) * df/dx_i (b + t (x - b))

    The sum over features tends to f(x) - mean f(b); what is missing at a finite number of samples is the completeness
    gap. Standard errors are those of the mean over the samples: standard deviation / sqrt(samples). Where samples are
    few an interval of 95 % takes Student's t: value +- ``scipy.stats.t(draws - 1).ppf(0.975)`` standard errors, with
    the result's ``draws``.

    Attributes:
        samples: random baselines and path points per row.

    Source: Erion et al. (2021), "Improving performance of deep learning models with axiomatic attribution priors and
    expected gradients", Equation 1.
    """

    samples: int = 200

    name: ClassVar[str] = "expected_gradients"
    reference: ClassVar[str] = "erion2021improving"
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    needs: ClassVar[tuple[type[Model], ...]] = (Differentiable,)

    def __post_init__(self) -> None:
        whole(self.samples, "samples")

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Draw baselines and path points for all rows, and average; all targets share them."""
        differentiable(model, self.name)
        rows, depth = len(selectors[0].units), count_rows(context.background)
        choosing, placing = context.rng.spawn(2)

        def draw(count: int) -> tuple[Arrays, Arrays]:
            index, t = choosing.integers(depth, size=(count, rows)), placing.random((count, rows))
            points, factors = {}, {}
            for name, x in inputs.items():
                wide = np.result_type(x.dtype, np.float32)
                baseline = context.background[name].astype(wide)[index]
                factors[name] = x.astype(wide) - baseline
                points[name] = (baseline + add_axes(t.astype(wide), baseline) * factors[name]).astype(
                    x.dtype, copy=False
                )
            return points, factors

        points = "a point between the background and"
        values, error = mean_gradient(
            model, inputs, selectors, context, samples=self.samples, draw=draw, method=self.name, points=points
        )
        prediction = take(model.predict(inputs), selectors)
        return Attribution(
            values=values,
            prediction=prediction,
            baseline_prediction=take_mean(model.predict(context.background), selectors),
            standard_error=error,
            draws=None if error is None else np.full(prediction.shape, self.samples),
        )
