"""Captum's methods that walk from a baseline to the row: along a straight path, or to random points of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal, get_args

from xai_mimo.core.baselines import Baseline, resolve_baseline
from xai_mimo.core.method import Attribution, Context, one_of, whole
from xai_mimo.core.model import Arrays, Differentiable, Model
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.targets import Selector, take, take_mean
from xai_mimo_adapters.captum_methods.bridge import Plan, differentiable, explain_targets
from xai_mimo_adapters.captum_methods.stdevs import check_stdevs, resolve_stdevs

Rule = Literal["gausslegendre", "riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid"]


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
        able, plan = differentiable(model, self.name), self.plan(model, context)
        values, _ = explain_targets(plan, able, inputs, selectors, context)
        return Attribution(
            values=values,
            prediction=take(model.predict(inputs), selectors),
            baseline_prediction=take_mean(model.predict(plan.baselines), selectors),
        )

    def plan(self, model: Model, context: Context) -> Plan:
        """How Captum is to be run."""
        attribute = partial(_integrate, steps=int(self.steps), rule=self.rule)
        baselines = resolve_baseline(self.baseline, model.streams, context.background)
        return Plan("IntegratedGradients", attribute, baselines)


def _integrate(
    method: Any, streams: Any, baseline: Any, units: Any, room: int, steps: int, rule: str, **tunnel: Any
) -> Any:
    return method.attribute(
        streams,
        baselines=baseline,
        additional_forward_args=(units,),
        n_steps=steps,
        method=rule,
        internal_batch_size=max(room, len(units) * tunnel.get("nt_samples_batch_size", 1)),
        **tunnel,
    )


@dataclass(frozen=True)
class CaptumGradientShap:
    """Captum's ``GradientShap``: gradients at random points between the row and random baselines, times their distance.

    A = mean over draws of (x + e - b) * df/dx at a random point between b and x + e,  e ~ N(0, stdevs^2)

    Captum draws the baseline row of each stream apart: with several streams the baselines are rows that the background
    does not hold, the streams of one row beside those of another. So it estimates another quantity than
    ``expected_gradients`` and ``shapley`` of this package, whose baselines are whole rows, and the two differ, however
    many samples are drawn, where a target depends on what streams do together.

    Attributes:
        samples: draws per row (Captum's ``n_samples``); a row's draws are held at once.
        stdevs: of the noise added to the row, in the unit of the inputs: a number for all streams or ``{stream:
            number}``, those left out without noise.
        baseline: rows that are drawn from, see ``core.baselines``.

    Without noise ``baseline_prediction`` is the mean of the target over the baselines that were drawn for the row, so
    that the completeness gap is the mean of Captum's own convergence delta: it shrinks as samples grow. With noise the
    sum belongs to other rows than the one explained, and no gap is reported.

    Source: Erion et al. (2021), "Improving performance of deep learning models with axiomatic attribution priors and
    expected gradients"; Lundberg and Lee (2017), "A Unified Approach to Interpreting Model Predictions".
    """

    samples: int = 5
    stdevs: float | Mapping[str, float] = 0.0
    baseline: Baseline = "background"

    name: ClassVar[str] = "captum.GradientShap"
    reference: ClassVar[str] = "erion2021improving"
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    needs: ClassVar[tuple[type[Model], ...]] = (Differentiable,)
    packages: ClassVar[tuple[str, ...]] = ("captum", "torch")

    def __post_init__(self) -> None:
        whole(self.samples, "samples")
        check_stdevs(self.stdevs)

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Explain each target with its own Captum run; every target meets the same draws."""
        able, plan = differentiable(model, self.name), self.plan(model, context, with_delta=True)
        values, delta = explain_targets(plan, able, inputs, selectors, context)
        prediction = take(model.predict(inputs), selectors)
        total = sum(v.reshape(*prediction.shape, -1).sum(axis=-1) for v in values.values())
        is_exact = not any(resolve_stdevs(self.stdevs, model.streams))
        return Attribution(values, prediction, prediction - total + delta if is_exact else None)

    def plan(self, model: Model, context: Context, *, with_delta: bool = False) -> Plan:
        """How Captum is to be run."""
        stdevs = resolve_stdevs(self.stdevs, model.streams)
        attribute = partial(_draw, samples=int(self.samples), noise=stdevs, with_delta=with_delta)
        baselines = resolve_baseline(self.baseline, model.streams, context.background)
        return Plan("GradientShap", attribute, baselines, are_drawn=True, points=int(self.samples), is_random=True)


def _draw(
    method: Any,
    streams: Any,
    baselines: Any,
    units: Any,
    room: int,
    samples: int,
    noise: tuple[float, ...],
    *,
    with_delta: bool,
    **tunnel: Any,
) -> Any:
    own = {"n_samples": samples, "return_convergence_delta": with_delta}
    # Inside a NoiseTunnel the noise is the tunnel's.
    options = tunnel or {"stdevs": noise}
    found = method.attribute(streams, baselines=baselines, additional_forward_args=(units,), **own, **options)
    return (*found[0], found[1]) if with_delta else found
