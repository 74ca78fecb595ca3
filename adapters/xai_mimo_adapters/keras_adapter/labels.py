"""Gives the maps that layers sow the names of the model, as far as its graph shows them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import keras

from xai_mimo.core.model import InterceptionMap
from xai_mimo.core.streams import Stream
from xai_mimo_adapters.keras_adapter.cut import Cut, call_names
from xai_mimo_adapters.keras_adapter.graph import Graph, Key, Step, needed


@dataclass(frozen=True)
class Renaming:
    """What the axes of one layer's maps are called in the model.

    Attributes:
        streams: the tail's streams that the layer reads, in the order it reads them.
        keys: the layer's own names of them, where it was called with a mapping; else () and their order counts.
        heads: the layer's outputs, in flattened order -> the model's head; () where they are not one to one.
        is_mapping: whether the layer returns a mapping, whose flattened order is that of its sorted keys.
    """

    streams: tuple[Stream, ...]
    keys: tuple[str, ...]
    heads: tuple[str, ...]
    is_mapping: bool


def renaming_of(graph: Graph, step: Step, cut: Cut, heads: Mapping[str, Key]) -> Renaming:
    """Read off what a layer's streams and outputs are called in the model.

    Args:
        graph: of the model.
        step: the call of the layer.
        cut: the model cut at the layer.
        heads: the model's heads by name, with their tensors.
    """
    args = step.arguments.args
    names = call_names(step) if args and isinstance(args[0], Mapping) else {}
    with keras.StatelessScope():
        args, kwargs = step.arguments.convert(lambda x: x)
        made = step.operation.compute_output_spec(*args, **kwargs)
    read = cut.streams[: cut.read]
    return Renaming(read, tuple(names.values()), _one_to_one(graph, step, heads), isinstance(made, Mapping))


def _one_to_one(graph: Graph, step: Step, heads: Mapping[str, Key]) -> tuple[str, ...]:
    """The head that each output of a step reaches, if each reaches exactly one and no head is reached by two."""
    reached: list[list[str]] = [[] for _ in step.outputs]
    for name, key in heads.items():
        steps, _ = needed(graph, step.outputs, (key,))
        read = {key, *(k for s in steps for k in s.inputs)}
        for i, output in enumerate(step.outputs):
            if output in read:
                reached[i].append(name)
    found = [names[0] for names in reached if len(names) == 1]
    return tuple(found) if len(set(found)) == len(step.outputs) else ()


def relabelled(found: InterceptionMap, names: Renaming) -> InterceptionMap:
    """A map with the model's names on its feature, head and target axes; what cannot be matched stays as it was."""
    coords = dict(found.coords)
    coords.update(_features(coords, names))
    coords.update(_heads(coords, names))
    return replace(found, coords=coords)


def _features(coords: Mapping[str, tuple[str, ...]], names: Renaming) -> dict[str, tuple[str, ...]]:
    """New labels of features and of the streams they belong to, if the layer's streams are the tail's."""
    owners = coords.get("feature.stream", ())
    own = names.keys or tuple(dict.fromkeys(owners))
    if not owners or len(own) != len(names.streams) or not set(owners) <= set(own):
        return _streams_only(coords, names)
    streams = dict(zip(own, names.streams, strict=True))
    if any(stream.shape[-1:] != (owners.count(name),) for name, stream in streams.items()):
        return {}
    labels = coords.get("feature", ("",) * len(owners))
    places = [owners[:i].count(name) for i, name in enumerate(owners)]
    renamed = [
        _feature(streams[name], place) if label in ("", str(i), str(place), f"{name}.{place}") else label
        for i, (name, place, label) in enumerate(zip(owners, places, labels, strict=True))
    ]
    if len(set(renamed)) < len(renamed):
        renamed = [f"{streams[name].name}.{streams[name].features[k]}" for name, k in zip(owners, places, strict=True)]
    made = {"feature.stream": tuple(streams[name].name for name in owners), "feature": tuple(renamed)}
    return made | _streams_only(coords, names)


def _feature(stream: Stream, place: int) -> str:
    """A feature's name; one that is only a number gets the stream's name in front."""
    name = stream.features[place]
    return f"{stream.name}.{name}" if name == str(place) else name


def _streams_only(coords: Mapping[str, tuple[str, ...]], names: Renaming) -> dict[str, tuple[str, ...]]:
    """New labels of an axis of whole streams."""
    given = coords.get("stream", ())
    own = names.keys or given
    if not given or len(own) != len(names.streams) or not set(given) <= set(own):
        return {}
    by_name = {name: stream.name for name, stream in zip(own, names.streams, strict=True)}
    return {"stream": tuple(by_name[name] for name in given)}


def _heads(coords: Mapping[str, tuple[str, ...]], names: Renaming) -> dict[str, tuple[str, ...]]:
    axes = [axis for axis in coords if axis == "head" or axis.endswith(".head")]
    own = list(dict.fromkeys(name for axis in axes[:1] for name in coords[axis]))
    if not names.heads or len(own) != len(names.heads):
        return {}
    order: list[Any] = keras.tree.flatten({name: name for name in own}) if names.is_mapping else own
    model = dict(zip(order, names.heads, strict=True))
    return {axis: tuple(model[name] for name in coords[axis]) for axis in axes if set(coords[axis]) <= set(model)}
