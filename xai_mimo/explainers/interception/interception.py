"""What self-explaining layers say of themselves: ``intercept``, and their maps as a method beside the others."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import xarray as xr

from xai_mimo.core.attention import READ_BY, is_between_positions
from xai_mimo.core.batches import begun, example_of
from xai_mimo.core.cut import find_layer, layers_called
from xai_mimo.core.digest import digest
from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import BadSetting, NotSupported
from xai_mimo.core.explanation import describe
from xai_mimo.core.method import Attribution, Context, name_or_none, one_of
from xai_mimo.core.model import Arrays, Interceptable, InterceptionMap, Interceptions, Model, require
from xai_mimo.core.plugins import adapt
from xai_mimo.core.rows import read_rows
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, take
from xai_mimo.core.texts import tokenised
from xai_mimo.core.versions import versions
from xai_mimo.explainers.interception.from_map import (
    by_stream,
    contributions,
    head_rows,
    is_reading_streams,
    last_layer_rows,
    unowned_parts,
)

Kind = Literal["attention", "attention_x_input", "contribution", "change"]
_MAPS: dict[Kind, str] = {
    "attention": "attention",
    "attention_x_input": "context",
    "contribution": "contribution",
    "change": "change",
}
SCHEMA = "xai_mimo.interception/1"


def intercept(model: Any, x: Any, *, max_memory: int | None = None) -> xr.Dataset:
    """Every map that a model's layers sow while they read these rows, and what its attention layers attend to.

    Attention layers of a framework are read without a change to them: their maps are ``attention_weights`` (of
    self-attention) or ``cross_attention_weights``, both over ``attention_head``, ``query`` and ``key``, and
    ``attention_values``; see ``xai_mimo.core.attention``.

    Args:
        model: anything ``adapt`` takes, or an adapted model.
        x: rows, as ``explain`` takes them.
        max_memory: bytes that one pass may take; larger data go in batches.
    Returns:
        One variable ``"<layer path>/<map>"`` per map with dimensions ``sample`` and ``<layer path>_<axis>``; the
        coordinates carry head and feature names, and ``<layer path>_feature_stream`` tells each feature's stream.
    Raises:
        NotSupported: the model cannot be intercepted, or holds no layer that sows.
    """
    x = begun(x)
    adapted = adapt(model, max_memory=max_memory, like=example_of(x))
    adapted, _, inputs = read_rows(adapted, tokenised(x, adapted)[0])
    maps = _maps(adapted, inputs)
    dims = _dims(maps)
    coords: dict[str, Any] = {"sample": np.arange(count_rows(inputs))}
    for key, layer_map in maps.items():
        for dim, axis, size in zip(dims[key], layer_map.axes, layer_map.values.shape[1:], strict=True):
            coords |= _labels(dim, axis, size, layer_map.coords)
    data = {key: (("sample", *dims[key]), layer_map.values) for key, layer_map in maps.items()}
    return xr.Dataset(
        data,
        coords,
        {
            "schema": SCHEMA,
            "fingerprint": adapted.fingerprint(),
            "data_sha256": digest(inputs),
            "versions": json.dumps(versions()),
            **describe(adapted.streams, adapted.heads),
        },
    )


@dataclass(frozen=True)
class Interception:
    """A layer's own map as an explanation of the model's heads.

    Attributes:
        kind: "attention" is the layer's weight on each feature; "attention_x_input" the weighted feature, whose sign is
            that of the feature and says nothing of the direction of an effect; both are unsigned maps.
            "contribution" is what each feature adds to a head, W_u a x, in the head's unit: signed, and it sums to
            f(x) - b exactly, b being the layer's bias, reported as ``baseline_prediction``. Where the layer reports a
            part of its output that no feature owns (``clip_residual``), they sum to f(x) - b without that part, which
            is then the completeness gap. It exists only where the layer's output *is* the head; behind further layers
            it would speak of something else and is refused.
            "change" is what the layers of an identity-initialised MLP have done to each feature when they are through:
            one map for all heads, whose sign is that of the feature's move, so an unsigned one. Compared with the
            others it shows whether what was changed is what mattered.
        layer: name or path of the layer; None for the one that is explained at (``at=``), or that alone sows such a
            map.
        baseline: of "contribution". "bias" measures from features that are zero where the layer weights them (mid-range
            in an identity-initialised MLP that scales its inputs). "background" subtracts the mean contributions of the
            background rows: the sum is f(x) - mean f(background), the question that Shapley values and Integrated
            Gradients from the background answer, so compare them with this one.

    The map lives on the layer's inputs. Where these are not the model's inputs, explain at the layer
    (``explain(..., at="<layer>")``). A layer's heads are matched to the model's heads by name, or by order where no
    name agrees and their numbers do.

    Source: Ribeiro (2025), article proposing the Multi-layer Attentional Interception Layer, Section 3.
    """

    kind: Kind = "attention"
    layer: str | None = None
    baseline: Literal["bias", "background"] = "bias"

    name: ClassVar[str] = "interception"
    reference: ClassVar[str] = ""  # that of the layer, which is known when it is read
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    needs: ClassVar[tuple[type[Model], ...]] = (Interceptable,)

    def __post_init__(self) -> None:
        one_of(self.kind, get_args(Kind), "kind")
        one_of(self.baseline, ("bias", "background"), "baseline of an interception")
        name_or_none(self.layer, "layer")

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Read the map and give it the shape of an attribution."""
        maps = _maps(model, inputs)
        chosen = _choose(maps, _MAPS[self.kind], self.layer, cut_at=context.layer)
        is_reading_streams(model, inputs, chosen, maps, cut_at=context.layer)
        prediction = take(model.predict(inputs), selectors)
        context.advance(len(prediction[0]))
        if self.kind != "contribution":
            rows = last_layer_rows(chosen, selectors) if self.kind == "change" else head_rows(chosen, model, selectors)
            return Attribution(by_stream(rows, chosen, inputs), prediction, signed=False, reference=chosen.reference)
        there = _maps(model, context.background)
        background_map = _choose(there, "contribution", chosen.layer)
        rows, bias = contributions(
            chosen,
            background_map,
            model,
            selectors,
            prediction=prediction,
            background=model.predict(context.background),
            unowned=(unowned_parts(chosen, maps), unowned_parts(background_map, there)),
            from_background=self.baseline == "background",
        )
        return Attribution(by_stream(rows, chosen, inputs), prediction, bias, reference=chosen.reference)


def _maps(model: Model, inputs: Arrays) -> Interceptions:
    maps = require(model, Interceptable, for_="'interception'").intercept(inputs)
    if not maps:
        raise NotSupported(
            "this model holds no self-explaining layer (none sows a map) and no attention layer of its framework that "
            "can be read (such as keras.layers.MultiHeadAttention or torch.nn.MultiheadAttention; not one that is "
            "mapped over steps by TimeDistributed or a recurrent layer, or whose batch is not that of the rows). Build "
            "it with one, e.g. xai_mimo.layers.MAIL, or use another method, e.g. 'integrated_gradients' or 'shapley'."
        )
    return maps


def _choose(maps: Interceptions, name: str, layer: str | None, *, cut_at: str | None = None) -> InterceptionMap:
    """The one map of this name, of the layer with this name or path; by default that of the layer explained at."""
    by_layer = {m.layer: m for m in maps.values() if m.name == name}
    if not by_layer:
        is_over_positions = any(m.name == "class_map" for m in maps.values())
        mend = " Maps over positions are read by the method 'position_maps'." if is_over_positions else ""
        if any(is_between_positions(m) for m in maps.values()):
            mend += f" Attention from position to position is read by the methods {READ_BY}."
        sown = {m.name for m in maps.values()}
        kinds = [kind for kind, own in _MAPS.items() if own in sown]
        if kinds:
            mend += (
                " Ask for what the layers have: " + " or ".join(f"Interception(kind='{kind}')" for kind in kinds) + "."
            )
        raise NotSupported(f"no layer sows a map '{name}'; there are: {', '.join(maps)}.{mend}")
    if layer is None:
        here = [] if cut_at is None else layers_called(cut_at, by_layer)
        if len(here) == 1:
            return by_layer[here[0]]
        if len(by_layer) > 1:
            raise BadSetting(
                f"several layers sow '{name}' ({', '.join(by_layer)}); name one: Interception(layer=...), or explain "
                "at it, at='<layer>'."
            )
        return next(iter(by_layer.values()))
    return by_layer[find_layer(layer, by_layer, f"layer that sows '{name}'")]


def _dims(maps: Interceptions) -> dict[str, tuple[str, ...]]:
    """Dimension names of each map: shared by the maps of a layer whose axes have the same length and labels."""
    owner: dict[str, tuple[int, Any]] = {}
    dims = {}
    for key, layer_map in maps.items():
        names = []
        for axis, size in zip(layer_map.axes, layer_map.values.shape[1:], strict=True):
            meaning = (size, layer_map.coords.get(axis))
            dim = f"{layer_map.layer}_{axis}"
            names.append(dim if owner.setdefault(dim, meaning) == meaning else f"{key}_{axis}")
        dims[key] = tuple(names)
    return dims


def _labels(dim: str, axis: str, size: int, coords: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Coordinates of one dimension; every one has an index, so that it can be renamed and stored."""
    labels = {k.split(".", 1)[1]: list(v) for k, v in coords.items() if k.startswith(f"{axis}.")}
    if axis in coords:
        ticks: Array | list[str] = list(coords[axis])
    elif labels:
        ticks = [":".join(parts) for parts in zip(*labels.values(), strict=True)]
    else:
        ticks = np.arange(size)
    return {dim: ticks, **{f"{dim}_{label}": (dim, values) for label, values in labels.items()}}
