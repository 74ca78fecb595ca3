"""From a layer's map to an attribution: whose heads, whose streams, and whether it says what it seems to say."""

from collections.abc import Sequence

import numpy as np

from xai_mimo.core.cut import last_name, layers_called
from xai_mimo.core.errors import NotSupported
from xai_mimo.core.model import Arrays, InterceptionMap, Interceptions, Model, Splittable
from xai_mimo.core.streams import Array, pair_names
from xai_mimo.core.targets import Selector

# Relative error up to which two float32 computations of one quantity count as equal.
_SAME = 1e-3
# The map of what an activation took from the outputs on their way; it counts for the sum and has no feature.
_UNOWNED = "clip_residual"


def head_rows(layer_map: InterceptionMap, model: Model, selectors: Sequence[Selector]) -> Array:
    """The map of each target's head: ``(target, sample, ..., feature)``.

    Raises:
        NotSupported: the map has no head axis, or its heads cannot be matched to the model's.
    """
    values = _axis_first(layer_map, "head")
    names = layer_map.coords.get("head", tuple(str(i) for i in range(len(values))))
    order = match_heads(names, model, selectors, layer_map)
    return np.stack([values[order[s.head]] for s in selectors]).astype(np.float64)


def last_layer_rows(layer_map: InterceptionMap, selectors: Sequence[Selector]) -> Array:
    """A map over layers that knows no head, where its last layer left it: ``(target, sample, ..., feature)``.

    Raises:
        NotSupported: the map has no layer axis.
    """
    last = _axis_first(layer_map, "layer")[-1].astype(np.float64)
    return np.broadcast_to(last, (len(selectors), *last.shape))


def contributions(
    layer_map: InterceptionMap,
    background_map: InterceptionMap,
    model: Model,
    selectors: Sequence[Selector],
    *,
    prediction: Array,
    background: Arrays,
    unowned: tuple[Array, Array],
    from_background: bool,
) -> tuple[Array, Array]:
    """What each feature adds to each target, and what they are added to.

    Whether the layer's output is the head is checked on the numbers: f(x) - (sum of contributions) - (what no feature
    owns) must be the same for all rows and for the background.

    Args:
        layer_map, background_map: the map for the rows and for the background.
        prediction: ``(target, sample)``. background: the model's outputs there.
        unowned: parts of the outputs that no feature owns, of the rows and of the background; see ``unowned_parts``.
        from_background: subtract the mean contributions of the background.
    Returns:
        ``(target, sample, ..., feature)`` and ``(target, sample)``: the layer's bias or, from the background, the
        mean output there.
    Raises:
        NotSupported: the layer's outputs are not the model's heads.
    """
    values, there = _axis_first(layer_map, "target"), _axis_first(background_map, "target")
    owners, units = layer_map.coords["target.head"], layer_map.coords["target.unit"]
    order = match_heads(tuple(dict.fromkeys(owners)), model, selectors, layer_map)
    names = {head: list(dict.fromkeys(owners))[at] for head, at in order.items()}
    rows, biases = [], []
    for selector, predicted in zip(selectors, prediction, strict=True):
        mine = [i for i, owner in enumerate(owners) if owner == names[selector.head]]
        wide = background[selector.head].reshape(len(there[0]), -1).astype(np.float64)
        sums = np.stack([_sum(there[i]) + unowned[1][i] for i in mine], axis=1)
        bias = _bias(wide, sums, selector.head, units, mine)
        each = selector.units, np.arange(len(predicted))
        chosen = np.stack([values[i] for i in mine])[each].astype(np.float64)
        rest = np.stack([unowned[0][i] for i in mine])[each]
        _check_bias(predicted - _sum(chosen) - rest, bias[selector.units], predicted, selector.head)
        if from_background:
            chosen -= np.stack([there[i].mean(axis=0, dtype=np.float64) for i in mine])[selector.units]
            bias = wide.mean(axis=0)
        rows.append(chosen)
        biases.append(bias[selector.units])
    return np.stack(rows), np.stack(biases)


def unowned_parts(layer_map: InterceptionMap, maps: Interceptions) -> Array:
    """What the layer itself reports as belonging to no feature: its map ``clip_residual``, else zeros.

    Returns:
        ``(target, sample)``, targets in the order of the map ``layer_map``.
    """
    rest = maps.get(f"{layer_map.layer}/{_UNOWNED}")
    if rest is None:
        return np.zeros(_axis_first(layer_map, "target").shape[:2])
    return _axis_first(rest, "target").astype(np.float64)


def _bias(outputs: Array, sums: Array, head: str, units: Sequence[str], mine: Sequence[int]) -> Array:
    if outputs.shape != sums.shape:
        raise _not_the_head(head, f"the layer gives it {len(mine)} values, the head has {outputs.shape[1]} units")
    bias = (outputs - sums).mean(axis=0)
    _check_bias(outputs - sums, np.broadcast_to(bias, outputs.shape), outputs, head)
    return np.asarray(bias)


def _check_bias(rests: Array, bias: Array, outputs: Array, head: str) -> None:
    if (np.abs(rests - bias) > _SAME * (np.abs(outputs) + np.abs(bias)).max()).any():
        raise _not_the_head(head, "its predictions differ from the layer's outputs by more than a bias")


def _not_the_head(head: str, why: str) -> NotSupported:
    return NotSupported(
        f"there is no contribution to head '{head}': other layers, or a part of the layer that no feature owns, "
        f"stand between its map and the head ({why}). Use Interception(kind='attention_x_input'), or "
        "'integrated_gradients' at that layer."
    )


def _sum(values: Array) -> Array:
    summed: Array = values.reshape(len(values), -1).sum(axis=1, dtype=np.float64)
    return summed


def _axis_first(layer_map: InterceptionMap, axis: str) -> Array:
    """``(axis, sample, other axes)``, features last."""
    if axis not in layer_map.axes:
        raise NotSupported(
            f"map '{layer_map.name}' of layer '{layer_map.layer}' has the axes {layer_map.axes}; '{axis}' is needed "
            "to read it as an explanation of heads."
        )
    axes = ("sample", *layer_map.axes)
    others = [other for other in axes if other not in (axis, "feature")]
    order = [axis, *others, *(["feature"] if "feature" in axes and axis != "feature" else [])]
    return layer_map.values.transpose([axes.index(name) for name in order])


def _other_lengths(layer_map: InterceptionMap) -> tuple[int, ...]:
    """Lengths of the axes that a map has beside its heads and features, such as time."""
    sizes = zip(layer_map.axes, layer_map.values.shape[1:], strict=True)
    return tuple(size for axis, size in sizes if axis not in ("head", "target", "layer", "feature"))


def match_heads(
    names: Sequence[str], model: Model, selectors: Sequence[Selector], layer_map: InterceptionMap
) -> dict[str, int]:
    """``{explained head: position among the layer's heads}``: by name, or by order where no name agrees."""
    heads = [h.name for h in model.heads]
    asked = list(dict.fromkeys(s.head for s in selectors))
    pairs = pair_names(heads, names, asked)
    if pairs is not None:
        return {head: list(names).index(own) for head, own in pairs.items()}
    shared = [head for head in heads if head in names]
    advice = f", or explain those alone: targets={shared}" if shared else ""
    raise NotSupported(
        f"layer '{layer_map.layer}' has the heads {', '.join(names)}, so it says nothing of "
        f"{', '.join(h for h in asked if h not in shared)}. Give the layer's heads the names of the model's{advice}."
    )


def by_stream(values: Array, layer_map: InterceptionMap, inputs: Arrays) -> Arrays:
    """Split ``(target, sample, ..., feature)`` into the model's streams; zeros where the layer does not read one."""
    owners = np.asarray(layer_map.coords["feature.stream"])
    parts = {name: values[..., owners == name] for name in inputs}
    return {
        name: part if part.shape[-1] else np.zeros((*values.shape[:2], *inputs[name].shape[1:]))
        for name, part in parts.items()
    }


def is_reading_streams(
    model: Model, inputs: Arrays, layer_map: InterceptionMap, maps: Interceptions, *, cut_at: str | None
) -> None:
    """Make sure that the map's features are the model's own streams.

    Args:
        cut_at: where the model is the part behind a cut, the layer that reads its streams; else None.
    Raises:
        NotSupported: they are not, or it cannot be told.
    """
    owners = layer_map.coords.get("feature.stream")
    if owners is None:
        raise NotSupported(
            f"map '{layer_map.name}' of layer '{layer_map.layer}' does not tell the streams of its features, so it "
            "cannot be laid beside other explanations; read it with xai_mimo.intercept."
        )
    name = last_name(layer_map.layer)
    for stream in dict.fromkeys(owners):
        if stream not in inputs:
            raise _other_space(layer_map, stream, name)
        _check_axes(layer_map, stream, owners.count(stream), inputs[stream].shape[1:], name)
    if cut_at is not None and layers_called(cut_at, [layer_map.layer]):
        return
    if not isinstance(model, Splittable):  # only the numbers can tell what the layer read
        _compare_context(inputs, maps, layer_map, name)
        return
    try:
        read = model.layer_streams(layer_map.layer)
    except NotSupported:  # the layer is called several times
        _compare_context(inputs, maps, layer_map, name)
        return
    for stream in dict.fromkeys(owners):
        if stream not in read:
            raise _other_space(layer_map, stream, name)


def _check_axes(layer_map: InterceptionMap, stream: str, count: int, shape: tuple[int, ...], name: str) -> None:
    """Refuse a map whose entries are not the stream's values, nor its variables (entries of its last axis)."""
    others = _other_lengths(layer_map)
    if shape == (*others, count) or (not others and shape[-1:] == (count,)):
        return
    if shape[: len(others) + 1] == (*others, count):
        raise NotSupported(
            f"map '{layer_map.name}' of layer '{layer_map.layer}' has one entry for several values of stream "
            f"'{stream}', {(*others, count)} for {shape}, so it cannot be laid beside explanations of single values; "
            "read it with xai_mimo.intercept."
        )
    raise _other_space(layer_map, stream, name)


def _compare_context(inputs: Arrays, maps: Interceptions, layer_map: InterceptionMap, name: str) -> None:
    """Refuse unless context = gain * attention * x holds for the model's inputs x, so that they are what was read."""
    try:
        attention, context = maps[f"{layer_map.layer}/attention"], maps[f"{layer_map.layer}/context"]
    except KeyError as err:
        raise NotSupported(
            f"whether layer '{layer_map.layer}' reads the model's inputs cannot be told: the model cannot be cut "
            "there, and the layer sows no weighted inputs ('context') to compare with. Build the model as a "
            "functional one (keras.Model(inputs, outputs)), or read the maps as they are with xai_mimo.intercept."
        ) from err
    owners = list(dict.fromkeys(layer_map.coords["feature.stream"]))
    x = np.concatenate([inputs[s] for s in owners], axis=-1).astype(np.float64)
    weighted, sown = _axis_first(attention, "head") * x, _axis_first(context, "head").astype(np.float64)
    gain = (weighted * sown).sum() / max((weighted**2).sum(), np.finfo(np.float64).tiny)
    if np.abs(gain * weighted - sown).max() > _SAME * np.abs(sown).max():
        raise _other_space(layer_map, owners[0], name)


def _other_space(layer_map: InterceptionMap, stream: str, name: str) -> NotSupported:
    return NotSupported(
        f"layer '{layer_map.layer}' does not read the model's inputs: its stream '{stream}' is computed by layers "
        f"before it. Explain at the layer, explain(..., at='{name}'), or read the maps as they are with "
        "xai_mimo.intercept."
    )
