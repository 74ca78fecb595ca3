"""Captum's plain gradients."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from xai_mimo.core.method import Attribution, Context, flag
from xai_mimo.core.model import Arrays, Differentiable, Model
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.targets import Selector, take
from xai_mimo_adapters.captum_methods.bridge import Plan, differentiable, explain_targets, watched


@dataclass(frozen=True)
class CaptumSaliency:
    """Captum's ``Saliency``: the gradient of the target, |df/dx|, in the head's unit per input unit.

    Attributes:
        abs: Captum's own default. The map then has no sign: it says how strongly the target reacts and not in which
            direction. False keeps the sign, and then this is ``gradient`` of this package.

    Source: Simonyan et al. (2014), "Deep Inside Convolutional Networks", Section 3.
    """

    abs: bool = True

    name: ClassVar[str] = "captum.Saliency"
    reference: ClassVar[str] = "simonyan2014deep"
    speaks_of: ClassVar[SpeaksOf] = "sensitivity"
    needs: ClassVar[tuple[type[Model], ...]] = (Differentiable,)
    packages: ClassVar[tuple[str, ...]] = ("captum", "torch")

    def __post_init__(self) -> None:
        flag(self.abs, "abs")

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Explain each target with its own Captum run."""
        able = differentiable(model, self.name)
        values, _ = explain_targets(self.plan(model, context), able, inputs, selectors, context)
        return Attribution(values, take(model.predict(inputs), selectors), signed=not self.abs)

    def plan(self, model: Model, context: Context) -> Plan:
        """How Captum is to be run."""

        def attribute(method: Any, streams: Any, baselines: None, units: Any, room: int, **tunnel: Any) -> Any:
            return method.attribute(watched(streams), abs=bool(self.abs), additional_forward_args=(units,), **tunnel)

        return Plan("Saliency", attribute)


@dataclass(frozen=True)
class CaptumInputXGradient:
    """Captum's ``InputXGradient``: the linear part of the target, x * df/dx.

    It sums to f(x) - f(0) only for models that are linear in x, so no completeness gap is reported.

    Source: Shrikumar et al. (2016), "Not Just a Black Box", Section 2.
    """

    name: ClassVar[str] = "captum.InputXGradient"
    reference: ClassVar[str] = "shrikumar2016not"
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    needs: ClassVar[tuple[type[Model], ...]] = (Differentiable,)
    packages: ClassVar[tuple[str, ...]] = ("captum", "torch")

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Explain each target with its own Captum run."""
        able = differentiable(model, self.name)
        values, _ = explain_targets(self.plan(model, context), able, inputs, selectors, context)
        return Attribution(values, take(model.predict(inputs), selectors))

    def plan(self, model: Model, context: Context) -> Plan:
        """How Captum is to be run."""

        def attribute(method: Any, streams: Any, baselines: None, units: Any, room: int, **tunnel: Any) -> Any:
            return method.attribute(watched(streams), additional_forward_args=(units,), **tunnel)

        return Plan("InputXGradient", attribute)
