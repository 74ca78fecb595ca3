"""Where a functional model is cut: the streams that a layer reads, and what they are called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras

from xai_mimo.core.streams import Stream
from xai_mimo_adapters.keras_graph import Graph, Key, Step, ancestors, needed
from xai_mimo_adapters.keras_reading import stream_of, unique


@dataclass(frozen=True)
class Cut:
    """The inputs of one layer, as the streams of the model's tail.

    Attributes:
        streams: what the layer reads, in the order it reads it, then model inputs that reach the heads beside the layer.
        keys: their tensors in the graph.
        sources: ``{stream of the tail: model streams it depends on}``.
        read: how many of the streams the layer itself reads.
    """

    streams: tuple[Stream, ...]
    keys: tuple[Key, ...]
    sources: Mapping[str, tuple[str, ...]]
    read: int


def cut_at(graph: Graph, step: Step, inputs: Mapping[Key, Stream]) -> Cut:
    """Cut a model before one layer.

    A tail stream that is a model input keeps its name and description. One that is computed takes, first that applies:
    its key in the mapping that the layer was called with; the name of the only model input it depends on, if no other
    stream of the tail depends on that input; the name of the layer that makes it. Names that meet are numbered.

    Args:
        graph: of the model.
        step: the call of the layer.
        inputs: the model's streams by their tensors.
    """
    _, beside = needed(graph, step.inputs, graph.outputs)
    keys = (*step.inputs, *beside)
    sources = [tuple(inputs[k].name for k in ancestors(graph, key)) for key in keys]
    keywords = _keywords(step)
    names = []
    for i, key in enumerate(keys):
        others = {name for j, found in enumerate(sources) if j != i for name in found}
        if key in inputs:
            names.append(inputs[key].name)
        elif key in keywords:
            names.append(keywords[key])
        elif len(sources[i]) == 1 and sources[i][0] not in others:
            names.append(sources[i][0])
        else:
            names.append(_maker(graph, key))
    streams = tuple(
        replace(inputs[key], name=name) if key in inputs else stream_of(name, graph.tensors[key])
        for key, name in zip(keys, unique(names), strict=True)
    )
    by_name = {stream.name: found for stream, found in zip(streams, sources, strict=True)}
    return Cut(streams, keys, by_name, len(step.inputs))


def _keywords(step: Step) -> dict[Key, str]:
    """Names that the layer's caller gave its inputs by passing a mapping."""
    args = step.arguments.args
    if len(args) != 1 or not isinstance(args[0], Mapping):
        return {}
    return {step.names[id(t)]: str(k) for k, t in args[0].items() if isinstance(t, keras.KerasTensor)}


def _maker(graph: Graph, key: Key) -> str:
    return next((str(s.operation.name) for s in graph.steps if key in s.outputs), "input")


def where_floats_begin(graph: Graph, inputs: Mapping[Key, Stream]) -> str | None:
    """Path of the first layer at which a tail has no integer stream; None if there is none."""
    for step in graph.steps:
        reads_floats = all("float" in str(graph.tensors[key].dtype) for key in step.inputs)
        is_once = sum(s.operation is step.operation for s in graph.steps) == 1
        if not (isinstance(step.operation, keras.Layer) and step.inputs and reads_floats and is_once):
            continue
        cut = cut_at(graph, step, inputs)
        if not any(stream.is_integer for stream in cut.streams):
            return str(step.operation.path)
    return None


def width(graph: Graph, keys: Sequence[Key], arrays: Mapping[str, Any]) -> int:
    """Values of one row in these tensors; axes of unknown length count as the longest axis of the rows given."""
    longest = max((n for x in arrays.values() for n in x.shape[1:]), default=1)
    total = 0
    for key in keys:
        values = 1
        for n in graph.tensors[key].shape[1:]:
            values *= longest if n is None else int(n)
        total += values
    return total
