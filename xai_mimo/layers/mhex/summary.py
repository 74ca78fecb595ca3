"""What the MHEX heads of a network say of many rows: class saliency by block and fused, and key channels.

NumPy in, a Dataset out, in float64. Everything is computed from what the heads sow, without a gradient.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import keras
import numpy as np
import xarray as xr

from xai_mimo.core.positions import resize
from xai_mimo.layers.interception import layer_path
from xai_mimo.layers.keras_graph import output_places
from xai_mimo.layers.mhex.fusion import fuse, scaled, smoothed
from xai_mimo.layers.mhex.head import MHEXHead
from xai_mimo.layers.mhex.supervision import DeepSupervision, match_heads
from xai_mimo.layers.row_statistics import Figure, Figures, RowMean, count_rows, read_rows
from xai_mimo.sowing import MapLabels

Features = Literal["features", "gated_features"]
NonNegativity = Literal["map", "weights", "none"]
Units = int | str | Sequence[int] | Mapping[str, Any]


def read_saliency(
    model: keras.Model,
    inputs: Any,
    *,
    unit: Units = "predicted",
    features: Features = "features",
    nonnegativity: NonNegativity = "map",
    fusion: str | Sequence[str] = "mean",
    smoothing: float = 0.0,
    size: tuple[int, int] | None = None,
    batch_size: int = 64,
) -> xr.Dataset:
    """Where the heads of each block, and all blocks together, see the evidence for a class.

    With f the features of block l and W its equivalent matrix (see ``MHEXHead``), class c, positions p:

        M_l[p] = sum_k f_l[p, k] W_l[k, c]               signed; its mean over p is the block's logit of c
        S_l    = max(M_l, 0)                             nonnegativity="map"
               = sum_k f_l[p, k] max(W_l[k, c], 0)       "weights"
               = M_l                                     "none"
        images:  A_l = minmax(resize(S_l));              saliency = minmax(mean over l of A_l)
        tokens:  A_l = S_l / max over tokens |S_l|;      saliency = mean over l of A_l

    Resizing, to the size of the input, is bilinear where that is larger and averages areas where it is smaller; minmax
    is that of each row, (m - min) / (max - min + 1e-8). Padding tokens are exactly 0. Values are in [0, 1], but in
    [-1, 1] for tokens with "none".

    All of it is our reading of public descriptions, which name class activation maps of the equivalent matrix,
    integrated over layers, non-negativity and "controlled smoothing", and give no formula.

    Args:
        model: holds ``MHEXHead`` layers; or ``DeepSupervision``.
        inputs: rows, as the model takes them.
        unit: whose evidence: "predicted", the unit of the model's output that is largest; a number; one number per
            row; or a mapping from head to one of these.
        features: "features", ReLU(local + shortcut), for which the mean of M is the logit; or "gated_features", the
            block's output, for which it is not.
        nonnegativity, fusion: see above; fusion "product" multiplies the A_l; names of heads' layers take the mean over
            these.
        smoothing: tokens only: beta of the running mean over blocks, S_l <- beta S_{l-1} + (1 - beta) S_l, from the
            first block on.
        size: (height, width) of the maps; by default that of the model's one input of images.
        batch_size: rows that are read at once.
    Returns:
        ``saliency (head, sample, height, width)`` or ``(head, sample, token)``; ``layer_saliency (layer, head, sample,
        ...)``, the A_l; ``logit (layer, head, sample)``; ``unit (head, sample)``; and for each layer its signed map in
        its own size, ``<layer>/class_map (head, sample, <layer>_height, ...)``.
    Raises:
        ValueError: a setting is unknown, there are no heads or no rows, units do not exist, or the size must be given.
    """
    _check_settings(features, nonnegativity, smoothing)
    parts = [
        _saliency(batch, unit, nonnegativity, smoothing, size)
        for batch in _batches(model, inputs, features, batch_size)
    ]
    saliency = xr.concat(parts, "sample", data_vars="minimal", coords="minimal", compat="override", join="override")
    saliency["saliency"] = fuse(saliency["layer_saliency"], fusion)
    settings = {"features": features, "nonnegativity": nonnegativity, "smoothing": smoothing}
    saliency.attrs = {**settings, "fusion": fusion if isinstance(fusion, str) else list(fusion)}
    return saliency.assign_coords(sample=np.arange(saliency.sizes["sample"]))


def key_channels(
    model: keras.Model, inputs: Any, *, layer: str | None = None, unit: Units = "predicted", batch_size: int = 64
) -> xr.Dataset:
    """What each channel of a block adds to the block's logit: "key neurons", in our reading.

        r[k] = W_equiv[k, c] * mean over p of f[p, k];   sum over k of r[k] = logit of c (without bias)

    Args:
        model, inputs, unit, batch_size: see ``read_saliency``.
        layer: name or path of the head's layer; None where there is one only.
    Returns:
        ``contribution (head, sample, channel)``; ``mean (head, channel)`` over rows; and ``rank (head, channel)``, 0
        for the largest mean.
    Raises:
        ValueError: as ``read_saliency``, or no one such layer.
    """
    parts = []
    for batch in _batches(model, inputs, "features", batch_size):
        path = layer_path(batch.labels, layer, model, kind="MHEXHead", sows="logits")
        block = next(block for block in batch.blocks if block.path == path)
        parts.append(_contributions(batch, block, unit))
    values = np.concatenate(parts, axis=1)
    mean = values.mean(axis=1)
    return xr.Dataset(
        {
            "contribution": (("head", "sample", "channel"), values),
            "mean": (("head", "channel"), mean),
            "rank": (("head", "channel"), _ranks(mean)),
        },
        {"head": list(batch.units(unit))},
    )


def figures(model: Any, inputs: Any, labels: Any, paths: Sequence[str], batch_size: int) -> Figures:
    """What ``xai_mimo.layers.summarise`` says of MHEX heads: see ``read_saliency`` and ``key_channels``.

    Units are the predicted ones. Images are as large as the model's one input of images, else as the largest block.
    """
    saliency, layers, logits = RowMean(), RowMean(), RowMean()
    channels = {path: RowMean() for path in paths}
    for whole in _batches(model, inputs, "features", batch_size):
        batch = replace(whole, blocks=tuple(block for block in whole.blocks if block.path in paths))
        size = batch.size or max(block.features.shape[1:3] for block in batch.blocks)
        rows = _saliency(batch, "predicted", "map", 0.0, size)
        for mean, values in ((saliency, fuse(rows["layer_saliency"], "mean")), (layers, rows["layer_saliency"])):
            mean.add(values.transpose("sample", ...).values)
        logits.add(rows["logit"].transpose("sample", ...).values)
        for block in batch.blocks:
            channels[block.path].add(np.moveaxis(_contributions(batch, block, "predicted"), 1, 0))
    positions = tuple(str(axis) for axis in rows["layer_saliency"].dims[3:])
    named = saliency.figures(
        "saliency", ("head", *positions), "Where all blocks together see evidence for the predicted unit."
    )
    named |= layers.figures(
        "layer_saliency", ("layer", "head", *positions), "Where one block sees evidence for the predicted unit."
    )
    named |= logits.figures("logit", ("layer", "head"), "A block's logit of the predicted unit.")
    for path, mean in channels.items():
        dims = ("head", f"{path}_channel")
        named |= mean.figures(f"{path}_channel_contribution", dims, "What a channel adds to the block's logit.")
        named[f"{path}_channel_rank"] = Figure(
            dims, _ranks(mean.mean), "score", "Place of a channel by its mean contribution, 0 for the largest."
        )
    return Figures(named, {"layer": list(paths), "head": [str(head) for head in rows["head"].values]})


def _contributions(batch: "_Batch", block: "_Block", unit: Units) -> np.ndarray:
    """r, ``(head, B, C)``."""
    pooled = block.mean(block.features)
    return np.stack([pooled * block.weights(head, units) for head, units in batch.units(unit).items()])


def _ranks(mean: np.ndarray) -> np.ndarray:
    return np.asarray(np.argsort(np.argsort(-mean, axis=-1, kind="stable"), axis=-1))


@dataclass(frozen=True)
class _Block:
    """One head's layer on one batch.

    Attributes:
        path: of the layer.
        features: ``(B, *S, C)``, zero at masked positions.
        logits: ``(B, K)``.
        mask: ``(B, *S)``, or None.
        matrix: W_equiv, ``(C, K)``.
        starts: first column of each head.
    """

    path: str
    features: np.ndarray
    logits: np.ndarray
    mask: np.ndarray | None
    matrix: np.ndarray
    starts: Mapping[str, int]

    def weights(self, head: str, units: np.ndarray) -> np.ndarray:
        """W_equiv of each row's unit, ``(B, C)``."""
        return self.matrix[:, self.starts[head] + units].T

    def of(self, weights: np.ndarray) -> np.ndarray:
        """sum_k f[p, k] w[k], ``(B, *S)``."""
        return np.asarray(np.einsum("b...k,bk->b...", self.features, weights))

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Mean over the real positions."""
        axes = tuple(range(1, self.features.ndim - 1))
        if self.mask is None:
            return np.asarray(values.mean(axis=axes))
        count = np.maximum(self.mask.sum(axis=axes), 1.0)
        return np.asarray(values.sum(axis=axes) / count.reshape(-1, *[1] * (values.ndim - len(axes) - 1)))


@dataclass(frozen=True)
class _Batch:
    """All blocks on the same rows, the model's outputs and where these rows stand among all."""

    model: keras.Model
    outputs: Any
    blocks: tuple[_Block, ...]
    labels: Mapping[str, MapLabels]
    heads: Mapping[str, int]
    rows: slice
    total: int
    size: tuple[int, int] | None

    def units(self, unit: Units) -> dict[str, np.ndarray]:
        """The unit of each head that each row is read for, ``(B,)``."""
        by_head = dict(unit) if isinstance(unit, Mapping) else dict.fromkeys(self.heads, unit)
        if not by_head or not set(by_head) <= set(self.heads):
            raise ValueError(f"Expected units for heads out of {list(self.heads)}. Received: {list(by_head)}")
        return {head: self._units(head, by_head[head]) for head in self.heads if head in by_head}

    def _units(self, head: str, unit: Any) -> np.ndarray:
        count, width = self.rows.stop - self.rows.start, self.heads[head]
        if isinstance(unit, str):
            if unit != "predicted":
                raise ValueError(f"Expected a unit's number, numbers or 'predicted'. Received: unit={unit!r}")
            return np.asarray(self._prediction(head).argmax(axis=-1))
        values = np.asarray(unit)
        fits = values.shape in ((), (self.total,)) and values.dtype.kind in "iu"
        if not fits or (values < 0).any() or (values >= width).any():
            raise ValueError(
                f"Expected a unit from 0 to {width - 1} of head '{head}', or one for each of {self.total} rows. "
                f"Received: unit of shape {values.shape}, values {np.unique(values)[:5]}"
            )
        return np.full(count, values) if values.ndim == 0 else values[self.rows]

    def _prediction(self, head: str) -> np.ndarray:
        places = output_places(self.model)
        names = list(places) or (list(self.outputs) if isinstance(self.outputs, Mapping) else list(self.heads))
        name = match_heads(self.heads, names)[head]
        if isinstance(self.outputs, Mapping):
            return np.asarray(self.outputs[name])
        return np.asarray(keras.tree.flatten(self.outputs)[places.get(name, names.index(name))])


def _saliency(
    batch: _Batch, unit: Units, nonnegativity: str, smoothing: float, size: tuple[int, int] | None
) -> xr.Dataset:
    """One batch, without the fused map."""
    units = batch.units(unit)
    signed, kept, logits = {}, [], []
    for block in batch.blocks:
        weights = np.stack([block.weights(head, chosen) for head, chosen in units.items()])
        maps = np.stack([block.of(w) for w in weights])
        signed[block.path] = maps
        logits.append([block.logits[np.arange(len(u)), block.starts[head] + u] for head, u in units.items()])
        if nonnegativity == "weights":
            maps = np.stack([block.of(np.maximum(w, 0.0)) for w in weights])
        kept.append(np.maximum(maps, 0.0) if nonnegativity == "map" else maps)
    images = kept[0].ndim == 4
    if images:
        size_of_maps = size or batch.size
        if size_of_maps is None or smoothing:
            raise ValueError(
                "Expected `smoothing` with tokens only, and for images a model with one input of images, or `size`. "
                f"Received: smoothing={smoothing}, size={size}"
            )
        layers = np.stack([scaled(resize(maps, size_of_maps)) for maps in kept])
    else:
        layers = np.stack([maps / (np.abs(maps).max(-1, keepdims=True) + 1e-8) for maps in smoothed(kept, smoothing)])
    axes = ("height", "width") if images else ("token",)
    data: dict[str, Any] = {
        "layer_saliency": (("layer", "head", "sample", *axes), layers),
        "logit": (("layer", "head", "sample"), np.asarray(logits)),
        "unit": (("head", "sample"), np.stack(list(units.values()))),
    }
    for path, maps in signed.items():
        own = tuple(f"{path}_{axis}" for axis in axes) if images else axes
        data[f"{path}/class_map"] = (("head", "sample", *own), maps)
    return xr.Dataset(data, {"layer": [block.path for block in batch.blocks], "head": list(units)})


def _batches(model: keras.Model, inputs: Any, features: str, batch_size: int) -> Iterator[_Batch]:
    images = [values.shape[1:3] for values in map(np.asarray, keras.tree.flatten(inputs)) if values.ndim == 4]
    network = model.inference() if isinstance(model, DeepSupervision) else model
    layers = {layer.path: layer for layer in network._flatten_layers() if isinstance(layer, MHEXHead)}
    for batch in read_rows(network, inputs, batch_size, ("logits", "mask", features)):
        paths = [label.layer for label in batch.labels.values() if label.name == "logits"]
        if not paths:
            raise ValueError(f"Expected a model that holds MHEXHead layers. Received: '{model.name}', without one")
        heads = layers[paths[0].split("@")[0]].heads
        blocks = tuple(_block(path, batch.maps, layers[path.split("@")[0]], features) for path in paths)
        size, total = images[0] if len(images) == 1 else None, count_rows(inputs)
        yield _Batch(network, batch.outputs, blocks, batch.labels, heads, batch.rows, total, size)


def _block(path: str, maps: Mapping[str, np.ndarray], layer: MHEXHead, features: str) -> _Block:
    mask = maps.get(f"{path}/mask")
    starts = dict(zip(layer.heads, np.cumsum([0, *layer.heads.values()]).tolist(), strict=False))
    return _Block(
        path,
        maps[f"{path}/{features}"],
        maps[f"{path}/logits"],
        mask,
        np.asarray(keras.ops.convert_to_numpy(layer.equivalent_matrix()), "float64"),
        starts,
    )


def _check_settings(features: str, nonnegativity: str, smoothing: float) -> None:
    for name, value, choices in (("features", features, Features), ("nonnegativity", nonnegativity, NonNegativity)):
        if value not in get_args(choices):
            raise ValueError(
                f"Expected `{name}` to be one of {', '.join(map(repr, get_args(choices)))}. Received: {name}={value!r}"
            )
    if not 0 <= smoothing < 1:
        raise ValueError(f"Expected `smoothing` to be in [0, 1). Received: smoothing={smoothing}")
