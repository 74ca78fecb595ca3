"""Captum's methods that walk a path from a baseline."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from xai_mimo.core.baselines import Baseline, resolve_baseline
from xai_mimo.core.method import Attribution, Context, bytes_per_row, one_of, whole
from xai_mimo.core.model import Arrays, Differentiable, Model, require, require_floats
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.targets import Selector, take, take_mean
from xai_mimo_adapters.captum_methods.bridge import captum_attr, explain_targets, forward, gradients

Rule = Literal["gausslegendre", "riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid"]
# A path point lives as scaled input, gradient, weighted gradient and its copy inside the model.
_COPIES = 4


@dataclass(frozen=True)
class CaptumIntegratedGradients:
    """Captum's ``IntegratedGradients``, one run per target and baseline.

    Attributes:
        steps: path points per row.
        rule: Captum's ``method``, the quadrature rule of the path.
        baseline: see ``core.baselines``; a set of baselines is averaged over.

    Captum keeps the weights of the rule in float32, so float64 models get about seven digits.

    Source: Sundararajan et al. (2017), "Axiomatic Attribution for Deep Networks", Section 3; Kokhlikyan et al. (2020),
    "Captum: A unified and generic model interpretability library for PyTorch".
    """

    steps: int = 50
    rule: Rule = "gausslegendre"
    baseline: Baseline = "zero"

    name: ClassVar[str] = "captum.IntegratedGradients"
    reference: ClassVar[str] = "sundararajan2017axiomatic"
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    needs: ClassVar[tuple[type[Model], ...]] = (Differentiable,)
    packages: ClassVar[tuple[str, ...]] = ("captum", "torch")

    def __post_init__(self) -> None:
        whole(self.steps, "steps")
        one_of(self.rule, get_args(Rule), "rule")

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Explain each target with its own Captum run, in blocks of path points that fit the memory allowed."""
        # Refused here, before Captum turns what has no gradient into zeros or an error of its own.
        able = require(model, Differentiable, for_=self.name)
        require_floats(model, for_=self.name)
        attr = captum_attr()
        block = context.chunk(_COPIES * bytes_per_row(inputs))

        def attribute(selector: Selector, rows: Any, baseline: Any, units: Any) -> Any:
            captum = attr.IntegratedGradients(forward(able, selector))
            captum.gradient_func = gradients(able, selector)
            return captum.attribute(
                rows,
                baselines=baseline,
                additional_forward_args=(units,),
                n_steps=self.steps,
                method=self.rule,
                internal_batch_size=max(block, len(units)),
            )

        baselines = resolve_baseline(self.baseline, model.streams, context.background)
        return Attribution(
            values=explain_targets(able, inputs, selectors, baselines, attribute, block=block, context=context),
            prediction=take(model.predict(inputs), selectors),
            baseline_prediction=take_mean(model.predict(baselines), selectors),
        )
