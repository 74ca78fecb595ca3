"""Captum's ``NoiseTunnel``: a gradient method on noisy copies of the row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, get_args

from xai_mimo.core.errors import BadSetting
from xai_mimo.core.method import Attribution, Context, one_of, whole
from xai_mimo.core.model import Arrays, Differentiable, Model
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.targets import Selector, take
from xai_mimo_adapters.captum_methods.bridge import Plan, captum_attr, differentiable, explain_targets
from xai_mimo_adapters.captum_methods.gradients import CaptumInputXGradient, CaptumSaliency
from xai_mimo_adapters.captum_methods.path import CaptumGradientShap, CaptumIntegratedGradients
from xai_mimo_adapters.captum_methods.stdevs import check_stdevs, resolve_stdevs

Inside = CaptumSaliency | CaptumInputXGradient | CaptumIntegratedGradients | CaptumGradientShap
NoiseType = Literal["smoothgrad", "smoothgrad_sq", "vargrad"]

_INSIDE: Mapping[str, type[Inside]] = {kind.name: kind for kind in get_args(Inside)}


class _OfTheMethodInside:
    """What the maps speak of is what those of the method inside do; of the class, what those of the default do."""

    def __get__(self, tunnel: Any, owner: type) -> SpeaksOf:
        return CaptumSaliency.speaks_of if tunnel is None else tunnel.method.speaks_of


@dataclass(frozen=True)
class CaptumNoiseTunnel:
    """Captum's ``NoiseTunnel`` around one of its gradient methods.

    Of a method A and noise e ~ N(0, stdevs^2):

    smoothgrad     mean of A(x + e)
    smoothgrad_sq  mean of A(x + e)^2, which has no sign, in the square of the unit
    vargrad        mean of A(x + e)^2 - (mean of A(x + e))^2, the scatter of A around x, likewise

    The map says what holds around the row and not at it: it sums to nothing at x, and no completeness gap is reported.

    Attributes:
        inside: the method, by its name: captum.Saliency, captum.InputXGradient, captum.IntegratedGradients or
            captum.GradientShap.
        settings: of the method inside, such as ``{"steps": 20}``; those left out are its defaults. ``Saliency`` takes
            magnitudes by default, before they are averaged: ``{"abs": False}`` is what the source does.
        kind: Captum's ``nt_type``.
        samples: noisy copies of each row (Captum's ``nt_samples``).
        stdevs: of the noise, in the unit of the inputs: a number for all streams, 1.0 as Captum has it, or ``{stream:
            number}``, those left out without noise. Streams of different units need one each; ``smoothgrad`` of this
            package takes them from the data.

    Source: Smilkov et al. (2017), "SmoothGrad: removing noise by adding noise", Section 3; Adebayo et al. (2018),
    "Local Explanation Methods for Deep Neural Networks Lack Sensitivity to Parameter Values" (VarGrad).
    """

    inside: str = "captum.Saliency"
    settings: Mapping[str, Any] = field(default_factory=dict)
    kind: NoiseType = "smoothgrad"
    samples: int = 5
    stdevs: float | Mapping[str, float] = 1.0

    name: ClassVar[str] = "captum.NoiseTunnel"
    reference: ClassVar[str] = "smilkov2017smoothgrad"
    speaks_of: ClassVar[Any] = _OfTheMethodInside()
    needs: ClassVar[tuple[type[Model], ...]] = (Differentiable,)
    packages: ClassVar[tuple[str, ...]] = ("captum", "torch")

    def __post_init__(self) -> None:
        one_of(self.inside, _INSIDE, "inside")
        one_of(self.kind, get_args(NoiseType), "kind")
        whole(self.samples, "samples")
        check_stdevs(self.stdevs)
        known = [setting.name for setting in fields(_INSIDE[self.inside])]
        if not isinstance(self.settings, Mapping) or set(self.settings) - set(known):
            raise BadSetting(
                f"settings are those of {self.inside}, {{{', '.join(f'{s!r}: ...' for s in known)}}}; got "
                f"{self.settings!r}."
            )
        inside = self.method  # refuses values that the method inside does not take
        if isinstance(inside, CaptumGradientShap) and inside.stdevs != CaptumGradientShap.stdevs:
            raise BadSetting(
                f"the noise is the tunnel's, stdevs={self.stdevs!r}; leave stdevs out of the settings of {self.inside}."
            )

    @property
    def method(self) -> Inside:
        """The method inside."""
        return _INSIDE[self.inside](**self.settings)

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Explain each target with its own Captum run; every target meets the same noise."""
        able, inside = differentiable(model, self.name), self.method
        values, _ = explain_targets(self.plan(model, context), able, inputs, selectors, context)
        signed = self.kind == "smoothgrad" and not (isinstance(inside, CaptumSaliency) and inside.abs)
        return Attribution(values, take(model.predict(inputs), selectors), signed=signed)

    def plan(self, model: Model, context: Context) -> Plan:
        """The plan of the method inside, on noisy copies of the rows, as many at a time as there is room for."""
        plan, stdevs = self.method.plan(model, context), resolve_stdevs(self.stdevs, model.streams)

        def attribute(method: Any, streams: Any, baselines: Any, units: Any, room: int) -> Any:
            copies = min(int(self.samples), max(1, room // (len(units) * plan.points)))
            options: dict[str, Any] = {
                "nt_type": self.kind,
                "nt_samples": int(self.samples),
                "nt_samples_batch_size": copies,
            }
            # Else the tunnel takes a set of baselines for one baseline of each row.
            options |= {"stdevs": stdevs, "draw_baseline_from_distrib": plan.are_drawn}
            return plan.attribute(captum_attr().NoiseTunnel(method), streams, baselines, units, room, **options)

        return replace(plan, attribute=attribute, is_random=True)
