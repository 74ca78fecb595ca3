"""Captum's methods on any differentiable model, whatever its framework.

Captum asks each of its gradient methods' ``gradient_func`` for gradients; here that asks the adapter, in NumPy. Captum
never sees the framework behind it, nor does its own way apply, which divides the answer into a tensor for each row and
so takes longer than many a model. It explains one target at a time, so the heads are a loop here;
``integrated_gradients`` of this package shares the passes and is the faster one.

Methods that hook torch modules (DeepLift, GuidedBackprop, LRP) are left out on purpose: behind this bridge, as on a
Keras model on torch, there is no module to hook, and they would silently return a plain gradient.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from xai_mimo.core.baselines import Baseline, resolve_baseline
from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import MissingDependency
from xai_mimo.core.method import Attribution, Context, bytes_per_row, one_of, whole
from xai_mimo.core.model import Arrays, Differentiable, Model, require, require_floats
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, rows_of, take, take_mean

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
        attr = _captum()
        block = context.chunk(_COPIES * bytes_per_row(inputs))

        def attribute(selector: Selector, rows: Any, baseline: Any, units: Any) -> Any:
            captum = attr.IntegratedGradients(_forward(able, selector))
            captum.gradient_func = _gradients(able, selector)
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
            values=_explain(able, inputs, selectors, baselines, attribute, block=block, context=context),
            prediction=take(model.predict(inputs), selectors),
            baseline_prediction=take_mean(model.predict(baselines), selectors),
        )


def _captum() -> Any:
    try:
        import captum.attr
    except ImportError as err:
        raise MissingDependency("the Captum bridge needs captum: pip install 'xai-mimo[captum]'") from err
    return captum.attr


def _explain(
    model: Differentiable,
    inputs: Arrays,
    selectors: Sequence[Selector],
    baselines: Arrays,
    attribute: Callable[[Selector, Any, Any, Any], Any],
    *,
    block: int,
    context: Context,
) -> Arrays:
    """Run Captum for every target, baseline and block of rows.

    Args:
        attribute: ``(target, rows, baseline, units) -> one tensor per stream``.
        block: rows that go at once.
    Returns:
        ``{stream: (target, sample, *shape)}`` in float64, averaged over the baselines.
    """
    rows, count = len(selectors[0].units), count_rows(baselines)
    values = {name: np.zeros((len(selectors), *x.shape)) for name, x in inputs.items()}
    for start in range(0, rows, block):
        part = slice(start, min(start + block, rows))
        tensors = _tensors({name: x[part] for name, x in inputs.items()})
        for t, selector in enumerate(rows_of(selectors, part)):
            for b in range(count):
                baseline = _tensors({name: x[b : b + 1] for name, x in baselines.items()})
                found = attribute(selector, tensors, baseline, _units(selector))
                for name, value in zip(inputs, found, strict=True):
                    values[name][t, part] += value.detach().numpy() / count
            context.advance((part.stop - part.start) / len(selectors))
    return values


def _tensors(arrays: Arrays) -> Any:
    """One tensor per stream."""
    import torch

    return tuple(torch.from_numpy(np.require(_wide(x), requirements=["C", "W"])) for x in arrays.values())


def _units(selector: Selector) -> Any:
    import torch

    return torch.from_numpy(np.require(selector.units, requirements=["C", "W"]))


def _forward(model: Model, selector: Selector) -> Callable[..., Any]:
    """One target of the model as Captum calls it: ``(*streams, units) -> (sample,)``.

    Captum repeats ``units`` together with the rows, so that each path point keeps the unit of its row.
    """
    import torch

    def forward(*arguments: Any) -> Any:
        *streams, units = arguments
        return torch.from_numpy(take(model.predict(_arrays(model, streams)), [_at(selector, units)])[0])

    return forward


def _gradients(model: Differentiable, selector: Selector) -> Callable[..., Any]:
    """What Captum asks for gradients, in the place of its ``compute_gradients``, whose arguments it takes.

    Returns:
        ``(forward_fn, streams, no target, units) -> one gradient per stream``.
    """
    import torch

    def gradients(
        forward_fn: Any, inputs: Any, target_ind: None = None, additional_forward_args: Any = None
    ) -> tuple[Any, ...]:
        (units,) = additional_forward_args
        _, slopes = model.gradients(_arrays(model, inputs), [_at(selector, units)])
        return tuple(
            torch.from_numpy(np.require(_wide(slopes[stream.name][0]), requirements=["C", "W"]))
            for stream in model.streams
        )

    return gradients


def _arrays(model: Model, streams: Any) -> Arrays:
    return {stream.name: x.detach().numpy() for stream, x in zip(model.streams, streams, strict=True)}


def _at(selector: Selector, units: Any) -> Selector:
    return selector._replace(units=units.numpy())


def _wide(x: Array) -> Array:
    """Half precision widened, because the path between two rows and the sum over it need the digits."""
    return x if x.dtype in (np.float32, np.float64) else x.astype(np.float32)
