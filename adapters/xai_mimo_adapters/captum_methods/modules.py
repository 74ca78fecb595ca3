"""Captum's methods that change how modules of PyTorch pass gradients on: DeepLift, guided gradients.

They run on models that are made of torch modules (``Hookable``), and only where what they hook is all that there is to
hook: a ReLU that is a function, a module that is called twice, a layer without a rule are refused by name.
"""

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from xai_mimo.core.baselines import Baseline, resolve_baseline
from xai_mimo.core.completeness import balance
from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import IncompleteWarning, NotSupported
from xai_mimo.core.method import Attribution, Context
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.precision import precision_of
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.targets import Selector, take, take_mean
from xai_mimo_adapters.captum_methods.hooked import NEEDS, PACKAGES, Opened, captum_attr, opened, tensors
from xai_mimo_adapters.captum_methods.refusals import check_all_ruled, check_calls, check_relus

_GAP = {"float16": 0.05, "bfloat16": 0.3}
"""The largest relative completeness gap that rounding makes, of half precision; of others 0.01."""
_EPS = {"float16": 1e-4, "bfloat16": 1e-4}
"""Below which a change is none, of half precision, which does not know Captum's 1e-10."""


@dataclass(frozen=True)
class CaptumDeepLift:
    """Captum's ``DeepLift``: differences from a baseline, passed back through the network by the Rescale rule.

    C[i] = (x[i] - b[i]) m[i],  sum over i of C[i] = f(x) - f(b)

    where the multipliers m are the gradient with the slope of each ReLU, ELU, LeakyReLU, Sigmoid, Tanh or Softplus
    replaced by (change of what it gives) / (change of what it reads), and MaxPool likewise. A model that computes
    something else that is not linear is refused, as is Captum's rule for Softmax, which does not sum to the change:
    explain the head on="logit".

    Attributes:
        baseline: see ``core.baselines``; a set of baselines is averaged over.

    Warns:
        IncompleteWarning: the attributions do not sum to the change: something was passed with a plain gradient.
    Source: Shrikumar et al. (2017), "Learning Important Features Through Propagating Activation Differences", Section
    3.5.1 (the Rescale rule); Ancona et al. (2018), "Towards better understanding of gradient-based attribution
    methods for deep neural networks".
    """

    baseline: Baseline = "zero"

    name: ClassVar[str] = "captum.DeepLift"
    reference: ClassVar[str] = "shrikumar2017deeplift"
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    needs: ClassVar[tuple[type[Model], ...]] = NEEDS
    packages: ClassVar[tuple[str, ...]] = PACKAGES

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Explain each target and baseline with a Captum run of its own."""
        return _rescaled(model, inputs, selectors, context, baseline=self.baseline, name=self.name)


@dataclass(frozen=True)
class CaptumDeepLiftShap:
    """Captum's ``DeepLiftShap``: the mean of DeepLift's attributions over background rows, near to Shapley values.

    Attributes:
        baseline: see ``core.baselines``; "background" takes every background row.

    Warns:
        IncompleteWarning: as ``CaptumDeepLift``, whose rules and refusals it shares.
    Source: Lundberg and Lee (2017), "A Unified Approach to Interpreting Model Predictions", Section 4.2.
    """

    baseline: Baseline = "background"

    name: ClassVar[str] = "captum.DeepLiftShap"
    reference: ClassVar[str] = "lundberg2017unified"
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    needs: ClassVar[tuple[type[Model], ...]] = NEEDS
    packages: ClassVar[tuple[str, ...]] = PACKAGES

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Explain each target with Captum runs over as many baselines as memory holds."""
        return _rescaled(model, inputs, selectors, context, baseline=self.baseline, name=self.name)


@dataclass(frozen=True)
class CaptumGuidedBackprop:
    """Captum's ``GuidedBackprop``: the gradient, where each ReLU lets pass what is positive both ways alone.

    What comes back shows which features drive units up; it depends on the weights of upper layers little (Adebayo et
    al., 2018, "Sanity Checks for Saliency Maps").

    Source: Springenberg et al. (2015), "Striving for Simplicity: The All Convolutional Net", Section 3.4.
    """

    name: ClassVar[str] = "captum.GuidedBackprop"
    reference: ClassVar[str] = "springenberg2015striving"
    speaks_of: ClassVar[SpeaksOf] = "sensitivity"
    needs: ClassVar[tuple[type[Model], ...]] = NEEDS
    packages: ClassVar[tuple[str, ...]] = PACKAGES

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """One Captum run for each target."""
        return _guided(model, inputs, selectors, context, name=self.name, kind="GuidedBackprop")


@dataclass(frozen=True)
class CaptumDeconvolution:
    """Captum's ``Deconvolution``: the gradient, where each ReLU lets pass what is positive on the way back alone.

    Source: Zeiler and Fergus (2014), "Visualizing and Understanding Convolutional Networks", Section 2.1.
    """

    name: ClassVar[str] = "captum.Deconvolution"
    reference: ClassVar[str] = "zeiler2014visualizing"
    speaks_of: ClassVar[SpeaksOf] = "sensitivity"
    needs: ClassVar[tuple[type[Model], ...]] = NEEDS
    packages: ClassVar[tuple[str, ...]] = PACKAGES

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """One Captum run for each target."""
        return _guided(model, inputs, selectors, context, name=self.name, kind="Deconvolution")


def _rescaled(
    model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context, *, baseline: Baseline, name: str
) -> Attribution:
    attr, rules = captum_attr(), _rescale_rules()
    baselines = resolve_baseline(baseline, model.streams, context.background)

    def ruled(module: Any) -> bool:
        return type(module) in rules and not module._backward_hooks

    with opened(model, inputs, selectors, context, name=name, hooked=ruled) as ready:
        check_calls(ready, ruled)
        check_all_ruled(ready, ruled, rules)
        _check_pools(ready)
        at_once = ready.rows_at_once(context, copies=2)
        groups = _groups(count_rows(baselines), at_once)
        precision = precision_of(model)

        def attribute(rows: tuple[Any, ...], units: Any, *_: Any) -> Sequence[Any]:
            total: list[Any] = [0.0] * len(rows)
            for group in groups:
                several = group.stop - group.start > 1
                captum = (attr.DeepLiftShap if several else attr.DeepLift)(ready.module)
                captum.eps = _EPS.get(precision, captum.eps)
                some = tensors({stream: x[group] for stream, x in baselines.items()})
                if not several:
                    some = tuple(x.detach().expand(len(units), *x.shape[1:]).clone().requires_grad_() for x in some)
                found = captum.attribute(rows, some, target=units)
                share = (group.stop - group.start) / count_rows(baselines)
                total = [sum_ + share * value.detach().double() for sum_, value in zip(total, found, strict=True)]
            return total

        values = ready.explain(attribute, context, max(1, at_once // max(g.stop - g.start for g in groups)))
    prediction = take(model.predict(inputs), selectors)
    at_baseline = take_mean(model.predict(baselines), selectors)
    _check_gap(values, prediction - at_baseline, selectors, name=name, allowed=_GAP.get(precision, 0.01))
    return Attribution(values, prediction, baseline_prediction=at_baseline)


def _rescale_rules() -> tuple[type, ...]:
    """The modules for which Captum's DeepLift has a rule; the one for softmax is none that sums to the change."""
    import torch
    from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR

    return tuple(kind for kind in SUPPORTED_NON_LINEAR if kind is not torch.nn.Softmax)


def _check_pools(ready: Opened) -> None:
    """Refuse max pooling with windows that overlap, of which Captum keeps one where several share their maximum."""
    for call in ready.seen.calls:
        if not type(call.module).__name__.startswith("MaxPool"):
            continue
        size, stride, dilation = (_each(call.module, name) for name in ("kernel_size", "stride", "dilation"))
        if any(s < k for s, k in zip(stride, size, strict=True)) or set(dilation) != {1}:
            raise NotSupported(
                f"{ready.name} has a rule for max pooling whose windows do not overlap, and those of '{call.path}' do "
                f"(kernel_size {size}, stride {stride}, dilation {dilation}): attributions would be lost. Take "
                "'integrated_gradients' or 'expected_gradients'."
            )


def _each(module: Any, name: str) -> tuple[int, ...]:
    value, axes = getattr(module, name), int(type(module).__name__[-2])
    return tuple(value) if isinstance(value, list | tuple) else (int(value),) * axes


def _groups(count: int, at_once: int) -> list[slice]:
    """Baselines in parts of nearly equal size, as many at a time as memory holds."""
    parts = -(-count // max(1, at_once))
    edges = np.linspace(0, count, parts + 1).round().astype(int)
    return [slice(int(a), int(b)) for a, b in itertools.pairwise(edges)]


def _check_gap(values: Arrays, change: Any, selectors: Sequence[Selector], *, name: str, allowed: float) -> None:
    """Warn where attributions do not sum to the change of their target."""
    sums = balance(values, change)
    relative = np.abs(sums.gap) / np.where(sums.scale == 0, 1.0, sums.scale)
    tiny = 1e-6 * (1 + np.abs(change).max(initial=0.0))
    wrong = (relative > allowed) & (np.abs(sums.gap) > tiny)
    if wrong.any():
        largest = np.where(wrong, relative, 0.0)
        selector = selectors[int(np.argmax(largest.max(axis=1)))]
        warnings.warn(
            f"{name}: attributions do not sum to what their target changed by in {int(wrong.sum())} of {wrong.size} "
            f"cases; the largest gap is {100 * largest.max():.0f} % (target '{selector.name}'). Something was passed "
            "with a plain gradient: a threshold that is written as a mask, or a gradient that is held back. Hold the "
            "numbers against 'integrated_gradients'.",
            IncompleteWarning,
            stacklevel=4,
        )


def _guided(
    model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context, *, name: str, kind: str
) -> Attribution:
    import torch

    attr = captum_attr()

    def hooked(module: Any) -> bool:
        return isinstance(module, torch.nn.ReLU)

    with opened(model, inputs, selectors, context, name=name, hooked=hooked) as ready:
        check_relus(ready, hooked)
        check_calls(ready, hooked, once=kind == "Deconvolution")

        def attribute(rows: tuple[Any, ...], units: Any, *_: Any) -> Sequence[Any]:
            found: Sequence[Any] = getattr(attr, kind)(ready.module).attribute(rows, target=units)
            return found

        values = ready.explain(attribute, context, ready.rows_at_once(context))
    return Attribution(values, take(model.predict(inputs), selectors))
