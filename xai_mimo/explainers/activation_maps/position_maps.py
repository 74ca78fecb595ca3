"""Layers that say of every position how it speaks for each unit: their maps, fused, as a method beside the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np

from xai_mimo.core.cut import find_layer
from xai_mimo.core.errors import BadSetting, NotSupported
from xai_mimo.core.method import Attribution, Context, name_or_none, one_of
from xai_mimo.core.model import Arrays, Interceptable, InterceptionMap, Model, Splittable
from xai_mimo.core.positions import is_image, lay_over, positions_of, resize
from xai_mimo.core.slices import slices
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.streams import Array, Stream, unknown
from xai_mimo.core.targets import Selector, rows_of, take
from xai_mimo.explainers.activation_maps.token_grid import TokenGrid
from xai_mimo.explainers.interception.from_map import match_heads

Fusion = Literal["mean", "product", "sum"]
NonNegativity = Literal["map", "none"]
_MAP = "class_map"
_TINY = 1e-8


@dataclass(frozen=True)
class PositionMaps:
    """The maps that layers sow over positions, one for each unit of each head, brought to the input and fused.

        S_l = ReLU(M_l)                                              M_l: the signed map of layer l for the target
        images: minmax(mean over l of minmax(resize(S_l)))           minmax(m) = (m - min m) / (max m - min m + 1e-8)
        tokens, sequences: mean over l of resize(S_l) / (max S_l + 1e-8)

    No gradient and no perturbation: one forward pass serves all targets. A stream whose layers sow no map gets zeros
    and is listed in the result's attribute ``unexplained``.

    Attributes:
        layers: names or paths of the layers to fuse; None for all that sow such a map.
        nonnegativity: "map" rectifies each layer's map first (the formulas above); "none" leaves its sign.
        fusion: "mean" or "product" of the scaled maps; "sum" adds the maps as they are, in the unit of the layers'
            logits, so that one layer with ``nonnegativity="none"`` gives its own signed map.
        stream: the input stream that all maps are of, where that cannot be read off the model.
        prefix_tokens: where maps are over tokens, how many of them stand before the first position of the stream, such
            as one for the class; they get no position.
        grid: where tokens are patches of an image, their rows and columns, in reading order; None for the grid that has
            the aspect of the image. Maps of patches are then those of an image in the formulas above.

    The layers' heads are matched to the model's by name, or by order where no name agrees and their numbers do.

    Source: B. Sun and P. Liò (2025), "Multi-Head Explainer", arXiv:2501.01311, as publicly described: maps refined per
    layer and integrated over layers, with a non-negativity constraint. How they are scaled and fused is our reading.
    """

    layers: Sequence[str] | None = None
    nonnegativity: NonNegativity = "map"
    fusion: Fusion = "mean"
    stream: str | None = None
    prefix_tokens: int = 0
    grid: Sequence[int] | None = None

    name: ClassVar[str] = "position_maps"
    reference: ClassVar[str] = ""  # that of the layers, which is known when they are read
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    needs: ClassVar[tuple[type[Model], ...]] = (Interceptable,)

    def __post_init__(self) -> None:
        one_of(self.fusion, get_args(Fusion), "fusion")
        one_of(self.nonnegativity, get_args(NonNegativity), "nonnegativity")
        name_or_none(self.stream, "stream")
        are_names = isinstance(self.layers, list | tuple) and all(isinstance(n, str) for n in self.layers)
        if self.layers is not None and not (are_names and self.layers):
            raise BadSetting(f"layers must be a list of names, or None for all; got {self.layers!r}.")
        TokenGrid.of(self.prefix_tokens, self.grid)

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Read the maps block by block, as many rows at a time as memory allows."""
        one = self._read(model, {name: x[:1] for name, x in inputs.items()})
        owners = {layer: _stream_of(model, layer, self.stream) for layer in one}
        values = {name: np.zeros((len(selectors), *x.shape)) for name, x in inputs.items()}
        size = sum(m.values.nbytes for m in one.values()) + sum(8 * v[:, 0].size for v in values.values())
        for part in slices(len(selectors[0].units), context.chunk(3 * size)):
            maps, chosen = self._read(model, {name: x[part] for name, x in inputs.items()}), rows_of(selectors, part)
            for stream in dict.fromkeys(owners.values()):
                mine = [class_map for layer, class_map in maps.items() if owners[layer] == stream]
                values[stream.name][:, part] = self._fused(mine, model, chosen, stream, inputs[stream.name].shape[1:])
            context.advance(part.stop - part.start)
        references = dict.fromkeys(class_map.reference for class_map in one.values())
        pictures = [len(class_map.axes) > 2 or is_image(owners[layer].axes) for layer, class_map in one.items()]
        signed = self.nonnegativity == "none" and (self.fusion == "sum" or not all(pictures))
        mapped = {stream.name for stream in owners.values()}
        return Attribution(
            values,
            take(model.predict(inputs), selectors),
            signed=signed,
            reference=next(iter(references)),
            unexplained=tuple(name for name in inputs if name not in mapped),
        )

    def _read(self, model: Model, rows: Arrays) -> dict[str, InterceptionMap]:
        """The chosen layers' maps by path."""
        maps = model.intercept(rows) if isinstance(model, Interceptable) else {}
        class_maps = {m.layer: m for m in maps.values() if m.name == _MAP and "target" in m.axes and len(m.axes) > 1}
        if not class_maps:
            raise NotSupported(
                f"no layer of this model says anything of positions: none sows a map '{_MAP}' over positions and "
                f"targets, as xai_mimo.layers.MHEXHead does (there are: {', '.join(maps) or 'no maps'}). Use another "
                "method, e.g. 'grad_cam'."
            )
        return (
            class_maps if self.layers is None else {path: class_maps[path] for path in _paths(self.layers, class_maps)}
        )

    def _fused(
        self,
        maps: Sequence[InterceptionMap],
        model: Model,
        selectors: Sequence[Selector],
        stream: Stream,
        shape: Sequence[int],
    ) -> Array:
        """One map over a stream from those of its layers: ``(target, row, *shape)``."""
        layers, tokens = [], TokenGrid.of(self.prefix_tokens, self.grid)
        for class_map in maps:
            axes, what = len(class_map.axes) - 1, f"map '{_MAP}' of layer '{class_map.layer}'"
            rows = tokens.patches(_of_targets(class_map, model, selectors), 2, axes=axes, what=what)
            rows, axes = tokens.lay(rows, stream, shape, axes=axes, what=what)
            size = positions_of(stream, shape, axes=axes, what=what)
            rows = resize(np.maximum(rows, 0.0) if self.nonnegativity == "map" else rows, size)
            layers.append(rows if self.fusion == "sum" else _scaled(rows, axes))
        fused = np.prod(layers, axis=0) if self.fusion == "product" else np.sum(layers, axis=0)
        fused = fused / len(layers) if self.fusion == "mean" else fused
        fused = _scaled(fused, axes) if axes > 1 and self.fusion != "sum" else fused
        return lay_over(fused, stream, shape, axes=axes, what=what)


def _scaled(values: Array, axes: int) -> Array:
    """Maps ``(target, row, *positions)`` brought to [0, 1]; signed maps of sequences to [-1, 1]."""
    flat = values.reshape(*values.shape[:2], -1)
    if axes == 1:
        scaled: Array = flat / (np.abs(flat).max(axis=2, keepdims=True) + _TINY)
    else:
        low = flat.min(axis=2, keepdims=True)
        scaled = (flat - low) / (flat.max(axis=2, keepdims=True) - low + _TINY)
    return scaled.reshape(values.shape)


def _of_targets(class_map: InterceptionMap, model: Model, selectors: Sequence[Selector]) -> Array:
    """The map of each target: ``(target, row, *positions)`` in float64."""
    values = np.moveaxis(class_map.values, 1 + class_map.axes.index("target"), 1)
    owners = class_map.coords["target.head"]
    names = list(dict.fromkeys(owners))
    order = match_heads(names, model, selectors, class_map)
    sizes = {head.name: head.size for head in model.heads}
    rows = []
    for selector in selectors:
        mine = [i for i, owner in enumerate(owners) if owner == names[order[selector.head]]]
        if len(mine) != sizes[selector.head]:
            raise NotSupported(
                f"layer '{class_map.layer}' has maps for {len(mine)} units of head '{selector.head}', and the "
                f"model's head has {sizes[selector.head]}. Give the layer as many units."
            )
        rows.append(values[np.arange(len(values)), np.array(mine)[selector.units]])
    return np.stack(rows).astype(np.float64)


def _paths(layers: Sequence[str], class_maps: Mapping[str, InterceptionMap]) -> list[str]:
    """Paths of the layers that were named."""
    return list(dict.fromkeys(find_layer(layer, class_maps, f"layer that sows '{_MAP}'") for layer in layers))


def _stream_of(model: Model, layer: str, stream: str | None) -> Stream:
    """The input stream that a layer's positions are those of."""
    by_name = {s.name: s for s in model.streams}
    if stream is not None and stream not in by_name:
        raise unknown(stream, by_name, "input stream")
    if stream is None and len(by_name) > 1:
        read = _reads(model, layer, by_name)
        if len(read) != 1:
            raise NotSupported(
                f"layer '{layer}' reads {', '.join(read) or 'streams that cannot be told'}, so it cannot be told whose "
                f"positions its map is over. Say so: stream='{next(iter(by_name))}'."
            )
        stream = read[0]
    return by_name[stream or next(iter(by_name))]


def _reads(model: Model, layer: str, raw: Mapping[str, Stream]) -> list[str]:
    """The model's streams that a layer depends on; those that pass beside it stand under their own names."""
    if not isinstance(model, Splittable):
        return []
    try:
        owners = model.layer_streams(layer)
    except NotSupported:  # the layer is called several times
        return []
    computed = [owner for name, sources in owners.items() if name not in raw for owner in sources]
    return list(dict.fromkeys(computed))
