"""Stream shares straight from a layer's attention, for models that cannot be cut at that layer.

Behind encoders of a subclassed model nothing can be explained at the layer's inputs; but where the layer's streams
carry the names of the model's, how its attention divides between them can still be read.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from xai_mimo.core.cut import layers_called
from xai_mimo.core.errors import NotSupported
from xai_mimo.core.explanation import describe, settings_of, to_dataset
from xai_mimo.core.method import Attribution, Method
from xai_mimo.core.model import Arrays, Interceptable, InterceptionMap, Model
from xai_mimo.core.speaks_of import speaks_of
from xai_mimo.core.targets import Selector, take
from xai_mimo.core.versions import versions
from xai_mimo.explainers.interception.from_map import head_rows


def layer_shares(
    model: Model, inputs: Arrays, selectors: Sequence[Selector], method: Method, *, seed: int
) -> xr.Dataset:
    """An interception method's explanation with whole streams as players.

    A[h, n, s] = sum over the layer's features of stream s (and over steps) of attention of head h

    Args:
        model: that can be intercepted.
        inputs: the explained rows.
        selectors: the explained targets.
        method: the interception method; only its kind "attention" can be read this way.
        seed: of the method, as the record has it; nothing is drawn here.
    Raises:
        NotSupported: another kind, or no one attention map with a stream for each feature.
    """
    if getattr(method, "kind", "attention") != "attention":
        raise NotSupported(
            f"{method.name} of kind '{getattr(method, 'kind', '')}' needs a model that can be cut at the layer; build "
            "it as a functional model, or use the kind 'attention'."
        )
    attention = _attention(model, inputs, getattr(method, "layer", None))
    rows = np.abs(head_rows(attention, model, selectors))
    owners = np.asarray(attention.coords["feature.stream"])
    summed = rows.reshape(*rows.shape[:2], -1, rows.shape[-1]).sum(axis=2)
    values = {s.name: summed[..., owners == s.name].sum(axis=-1) for s in model.streams}
    attrs: dict[str, Any] = {
        "method": method.name,
        "settings": json.dumps(settings_of(method), sort_keys=True),
        "reference": attention.reference,
        "speaks_of": speaks_of(method),
        "seed": seed,
        "versions": json.dumps(versions()),
        "fingerprint": model.fingerprint(),
        "space": "streams",
        "reads": json.dumps({s.name: [s.name] for s in model.streams}),
        **describe(model.streams, model.heads),
    }
    attribution = Attribution(values, take(model.predict(inputs), selectors), signed=False)
    samples = np.arange(len(selectors[0].units))
    return to_dataset(attribution, streams=model.streams, selectors=selectors, samples=samples, attrs=attrs)


def _attention(model: Model, inputs: Arrays, layer: str | None) -> InterceptionMap:
    maps = model.intercept(inputs) if isinstance(model, Interceptable) else {}
    fitting = [m for m in maps.values() if m.name == "attention" and "feature.stream" in m.coords]
    if layer is not None:
        fits = layers_called(layer, [m.layer for m in fitting])
        fitting = [m for m in fitting if m.layer in fits]
    if len(fitting) != 1:
        raise NotSupported(
            f"stream shares need one attention map that tells the stream of each feature; there are {len(fitting)} "
            f"among {', '.join(maps) or 'no maps'}."
        )
    return fitting[0]
