"""Captum's class activation maps, laid over an input stream as ``grad_cam`` of this package lays its own."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from xai_mimo.core.cam_cut import CamCut, cam_cut
from xai_mimo.core.errors import NotSupported
from xai_mimo.core.method import Attribution, Context, flag, name_or_none, one_of
from xai_mimo.core.model import Arrays, Hookable, Model, Splittable, require
from xai_mimo.core.positions import channel_axis, lay_over
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.targets import Selector, take
from xai_mimo_adapters.captum_methods.hooked import NEEDS, PACKAGES, Opened, captum_attr, opened
from xai_mimo_adapters.captum_methods.refusals import check_calls, check_relus

Interpolation = Literal["nearest", "linear"]
_MODES = {"nearest": ("nearest",) * 3, "linear": ("linear", "bilinear", "trilinear")}


@dataclass(frozen=True)
class CaptumLayerGradCam:
    """Captum's ``LayerGradCam`` of what a layer reads: where its channels speak for a target.

    w_k = mean over positions p of dy / dA_k(p),  M(p) = ReLU(sum over k of w_k A_k(p))

    The map is brought to the positions of the input stream by (bi)linear interpolation and divided evenly among its
    channels, as in ``grad_cam``, which has the same numbers, on every framework and for channels on any axis. Captum
    takes the first axis for the channels: layers that read them elsewhere are refused.

    Attributes:
        at: path of the layer whose inputs are read; None for the last that reads positions.
        positive: False leaves the ReLU out.
        stream: the input stream to explain, where heads read several; the others get zeros.

    Source: Selvaraju et al. (2017), "Grad-CAM", Section 3, Equations 1 and 2.
    """

    at: str | None = None
    positive: bool = True
    stream: str | None = None

    name: ClassVar[str] = "captum.LayerGradCam"
    reference: ClassVar[str] = "selvaraju2017gradcam"
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    needs: ClassVar[tuple[type[Model], ...]] = (Splittable, *NEEDS)
    packages: ClassVar[tuple[str, ...]] = PACKAGES

    def __post_init__(self) -> None:
        name_or_none(self.at, "at")
        name_or_none(self.stream, "stream")
        flag(self.positive, "positive")

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """One Captum run for each target."""
        require(model, Hookable, for_=self.name)
        attr, cut = captum_attr(), _cut(model, inputs, context, at=self.at, stream=self.stream, name=self.name)

        def attribute(ready: Opened, layer: Any, rows: tuple[Any, ...], units: Any) -> Any:
            found = attr.LayerGradCam(ready.module, layer).attribute(
                rows, target=units, attribute_to_layer_input=True, relu_attributions=self.positive
            )
            maps = (found[0] if isinstance(found, tuple) else found).detach().double().numpy()[:, 0]
            shape = inputs[cut.stream.name].shape[1:]
            return lay_over(maps, cut.stream, shape, axes=maps.ndim - 1, what=cut.reads)

        return _mapped(model, inputs, selectors, context, cut, attribute, guided=False, signed=not self.positive)


@dataclass(frozen=True)
class CaptumGuidedGradCam:
    """Captum's ``GuidedGradCam``: guided gradients of the pixels, times the class activation map of a layer there.

    Attributes:
        at, stream: as in ``CaptumLayerGradCam``. The stream has its channels first, and the layer's axes of positions.
        interpolation: how the map is brought to the stream's positions.

    Source: Selvaraju et al. (2017), "Grad-CAM", Section 3.2.
    """

    at: str | None = None
    stream: str | None = None
    interpolation: Interpolation = "nearest"

    name: ClassVar[str] = "captum.GuidedGradCam"
    reference: ClassVar[str] = "selvaraju2017gradcam"
    speaks_of: ClassVar[SpeaksOf] = "sensitivity"
    needs: ClassVar[tuple[type[Model], ...]] = (Splittable, *NEEDS)
    packages: ClassVar[tuple[str, ...]] = PACKAGES

    def __post_init__(self) -> None:
        name_or_none(self.at, "at")
        name_or_none(self.stream, "stream")
        one_of(self.interpolation, get_args(Interpolation), "interpolation")

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """One Captum run for each target."""
        require(model, Hookable, for_=self.name)
        attr, cut = captum_attr(), _cut(model, inputs, context, at=self.at, stream=self.stream, name=self.name)
        positions, place = len(cut.source.shape) - 1, list(inputs).index(cut.stream.name)
        if channel_axis(cut.stream, positions) != 0 or len(cut.stream.shape) != positions + 1:
            raise NotSupported(
                f"{self.name} multiplies a map over {positions} axes of positions with the stream, channels first; "
                f"input stream '{cut.stream.name}' has the axes {cut.stream.axes}. Take 'captum.GuidedBackprop' and "
                "'grad_cam', each for itself."
            )
        mode = _MODES[self.interpolation][positions - 1]

        def attribute(ready: Opened, layer: Any, rows: tuple[Any, ...], units: Any) -> Any:
            with warnings.catch_warnings():  # of the other streams, over which no map can be laid
                warnings.filterwarnings("ignore", message="Couldn't appropriately interpolate")
                found = attr.GuidedGradCam(ready.module, layer).attribute(
                    rows, target=units, interpolate_mode=mode, attribute_to_layer_input=True
                )
            return found[place].detach().double().numpy()

        return _mapped(model, inputs, selectors, context, cut, attribute, guided=True, signed=True)


def _cut(model: Model, inputs: Arrays, context: Context, *, at: str | None, stream: str | None, name: str) -> CamCut:
    """Where the map is read; its channels are on the first axis.

    Raises:
        NotSupported: they are not, or see ``cam_cut``.
    """
    cut = cam_cut(model, inputs, context, at=at, stream=stream, method=name)
    if channel_axis(cut.source) != 0:
        raise NotSupported(
            f"{name} takes the first axis of what a layer reads for its channels, and layer '{cut.layer}' reads "
            f"'{cut.source.name}' {cut.source.shape} with the axes {cut.source.axes}: the mean would be one over "
            "channels. Take 'grad_cam', which goes by the axes."
        )
    return cut


def _mapped(
    model: Model,
    inputs: Arrays,
    selectors: Sequence[Selector],
    context: Context,
    cut: CamCut,
    attribute: Any,
    *,
    guided: bool,
    signed: bool,
) -> Attribution:
    """Maps of one stream, zeros for the others.

    Args:
        attribute: ``(opened model, layer, a tensor for each stream, unit of each row) -> (row, *shape)``.
        guided: whether ReLUs are hooked too.
    """
    import torch

    def hooked(module: Any) -> bool:
        return guided and isinstance(module, torch.nn.ReLU)

    names, own = list(inputs), cut.stream.name
    with opened(model, inputs, selectors, context, name=cut.method, hooked=hooked, layer=cut.layer) as ready:
        if guided:
            check_relus(ready, hooked)
            check_calls(ready, hooked, once=False)
        layer = ready.module.get_submodule(cut.layer)
        (call,) = ready.seen.calls_of(layer)
        if not call.is_plain:
            raise NotSupported(
                f"{cut.method} reads layers that are called with one tensor by place, and '{cut.layer}' is called with "
                "more. Take 'grad_cam'."
            )
        reached = {head for head in ready.heads if ready.seen.readers(head, call.reads[0])}

        def of_rows(rows: tuple[Any, ...], units: Any, part: slice, selector: Selector) -> Sequence[Any]:
            some = {name: x[part] for name, x in inputs.items()}
            cut.check_others(cut.gradients(cut.at.enter(some), [selector])[1], [selector])
            values = [np.zeros(x.shape) for x in some.values()]
            if selector.head in reached:
                values[names.index(own)] = attribute(ready, layer, rows, units)
            return values

        values = ready.explain(of_rows, context, ready.rows_at_once(context))
    return Attribution(values, take(model.predict(inputs), selectors), signed=signed, unexplained=cut.unexplained)
