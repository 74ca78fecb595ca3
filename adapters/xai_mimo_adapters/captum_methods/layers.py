"""Captum's methods that explain what a layer reads along a path of the model's own inputs.

They are asked for in the space of the layer, ``explain(..., at="<layer>")``, and need the model before it was cut.
Captum's other methods of layers are its methods of inputs on the part behind the cut: ``captum.IntegratedGradients``
with ``at`` is its ``LayerIntegratedGradients``.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from xai_mimo.core.baselines import Baseline, resolve_baseline
from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import NotSupported
from xai_mimo.core.method import Attribution, Context, Whole, whole
from xai_mimo.core.model import Arrays, Hookable, Model, Splittable, require
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.targets import Selector, rows_of, take, take_mean
from xai_mimo_adapters.captum_methods.hooked import NEEDS, PACKAGES, Opened, captum_attr, opened, tensors


@dataclass(frozen=True)
class CaptumLayerConductance:
    """Captum's ``LayerConductance`` of what a layer reads: what flows through each unit as the inputs leave a baseline.

    C[j] = integral over a from 0 to 1 of  df/dh_j  dh_j/da  da,  h = h(b + a (x - b))

    They sum to f(x) - f(b) as far as heads read nothing beside the layer, and as the steps are many: Captum takes the
    slope at the start of each. The path is one of the model's own inputs, which hold floats; where heads read inputs
    beside the layer, nothing is said of those.

    Attributes:
        steps: path points per row.
        baseline: of the model's own inputs, see ``core.baselines``; a set of baselines is averaged over.

    Source: Dhamdhere et al. (2019), "How Important is a Neuron?", Section 2, Equation 2.
    """

    steps: int = 50
    baseline: Baseline = "zero"

    name: ClassVar[str] = "captum.LayerConductance"
    reference: ClassVar[str] = "dhamdhere2019important"
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    needs: ClassVar[tuple[type[Model], ...]] = (Splittable, *NEEDS)
    packages: ClassVar[tuple[str, ...]] = PACKAGES

    def __post_init__(self) -> None:
        whole(self.steps, "steps")

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """One Captum run for each target and baseline."""
        return _along_the_path(self, "LayerConductance", model, inputs, selectors, context, is_complete=True)


@dataclass(frozen=True)
class CaptumInternalInfluence:
    """Captum's ``InternalInfluence`` of what a layer reads: the mean gradient as the inputs leave a baseline.

    I[j] = integral over a from 0 to 1 of  df/dh_j  da,  at h = h(b + a (x - b))

    Attributes:
        steps, baseline: as in ``CaptumLayerConductance``.

    Source: Leino et al. (2018), "Influence-Directed Explanations for Deep Convolutional Networks", Section 2.
    """

    steps: int = 50
    baseline: Baseline = "zero"

    name: ClassVar[str] = "captum.InternalInfluence"
    reference: ClassVar[str] = "leino2018influence"
    speaks_of: ClassVar[SpeaksOf] = "sensitivity"
    needs: ClassVar[tuple[type[Model], ...]] = (Splittable, *NEEDS)
    packages: ClassVar[tuple[str, ...]] = PACKAGES

    def __post_init__(self) -> None:
        whole(self.steps, "steps")

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """One Captum run for each target and baseline."""
        return _along_the_path(self, "InternalInfluence", model, inputs, selectors, context, is_complete=False)


def _along_the_path(
    method: CaptumLayerConductance | CaptumInternalInfluence,
    kind: str,
    model: Model,
    inputs: Arrays,
    selectors: Sequence[Selector],
    context: Context,
    *,
    is_complete: bool,
) -> Attribution:
    before, layer = _before(model, context, method.name)
    stream, beside = _read_stream(before, model, layer, method.name)
    attr = captum_attr()
    baselines = resolve_baseline(method.baseline, before.model.streams, before.background)
    values = {name: np.zeros((len(selectors), *x.shape)) for name, x in inputs.items()}
    own = replace(context, background=before.background)
    with opened(before.model, before.inputs, selectors, own, name=method.name, hooked=_none, layer=layer) as ready:
        module, reached = _module(ready, layer)
        explainer = getattr(attr, kind)(ready.module, module)
        at_once = ready.rows_at_once(context, copies=int(method.steps) + 1)
        edges = [*range(0, count_rows(inputs), at_once), count_rows(inputs)]
        for part in itertools.starmap(slice, itertools.pairwise(edges)):
            rows = tensors({name: x[part] for name, x in before.inputs.items()})
            for t, selector in enumerate(rows_of(selectors, part)):
                for b in range(count_rows(baselines) if selector.head in reached else 0):
                    baseline = tensors({name: x[b : b + 1] for name, x in baselines.items()})
                    found = explainer.attribute(
                        rows,
                        baselines=baseline,
                        target=ready.units(selector),
                        n_steps=int(method.steps),
                        attribute_to_layer_input=True,
                    )
                    one = found[0] if isinstance(found, tuple) else found
                    values[stream][t, part] += one.detach().double().numpy() / count_rows(baselines)
                context.advance((part.stop - part.start) / len(selectors))
    return Attribution(
        values,
        take(model.predict(inputs), selectors),
        baseline_prediction=take_mean(before.model.predict(baselines), selectors)
        if is_complete and not beside
        else None,
        unexplained=beside,
    )


def _none(module: Any) -> bool:
    del module
    return False


def _before(model: Model, context: Context, name: str) -> tuple[Whole, str]:
    """The model before it was cut, and where.

    Raises:
        NotSupported: it was not cut, or its own inputs are not known or cannot be a path.
    """
    if context.layer is None:
        raise NotSupported(
            f"{name} explains what a layer reads: say which, xai_mimo.explain(model, x, '{name}', at='<layer>'). For "
            "the model's own inputs take 'captum.IntegratedGradients'."
        )
    if context.whole is None:
        raise NotSupported(
            f"{name} walks along a path of the model's own inputs, which are not at hand here: it is run by "
            "xai_mimo.explain alone. Take 'captum.IntegratedGradients', which walks at the layer."
        )
    require(context.whole.model, Hookable, for_=name)
    for stream in context.whole.model.streams:
        if stream.held or np.dtype(stream.dtype).kind != "f":
            raise NotSupported(
                f"{name} walks along a path of the model's own inputs, and input stream '{stream.name}' "
                f"({stream.dtype}) has none. Take 'captum.IntegratedGradients', which walks at the layer."
            )
    return context.whole, context.layer


def _read_stream(before: Whole, model: Model, layer: str, name: str) -> tuple[str, tuple[str, ...]]:
    """The stream of the part that the layer reads, and those that heads read beside it.

    Raises:
        NotSupported: the layer reads several.
    """
    owners = require(before.model, Splittable, for_=name).layer_streams(layer)
    computed = [stream.name for stream in model.streams if owners[stream.name] != (stream.name,)]
    names = [stream.name for stream in model.streams]
    read = computed or names
    if len(read) != 1:
        raise NotSupported(
            f"{name} explains a layer that reads one computed tensor, and '{layer}' reads {', '.join(read)}. Name the "
            "layer that joins them, or take 'captum.IntegratedGradients' there."
        )
    return read[0], tuple(each for each in names if each != read[0])


def _module(ready: Opened, layer: str) -> tuple[Any, set[str]]:
    """The layer, and the heads that read it."""
    module = ready.module.get_submodule(layer)
    (call,) = ready.seen.calls_of(module)
    if not call.is_plain:
        raise NotSupported(
            f"{ready.name} explains layers that are called with one tensor by place, and '{layer}' is called with "
            "more. Take 'captum.IntegratedGradients' there."
        )
    return module, {head for head in ready.heads if ready.seen.readers(head, call.reads[0])}
