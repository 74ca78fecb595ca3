"""Where a functional model is cut: the streams that a layer reads, and what they are called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np

from xai_mimo.core.declare import unique
from xai_mimo.core.streams import Stream
from xai_mimo_adapters.keras_adapter.carried import CarryMask
from xai_mimo_adapters.keras_adapter.graph import Graph, Key, Step, ancestors, cuttable_layers, needed, stream_of
from xai_mimo_adapters.keras_adapter.masks import held_masks

# Value i of what these give depends on value i of what they read, and on nothing else.
_PER_VALUE = (
    keras.layers.Normalization,
    keras.layers.Rescaling,
    keras.layers.BatchNormalization,
    keras.layers.Dropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.AlphaDropout,
    keras.layers.Identity,
    CarryMask,
)


@dataclass(frozen=True)
class Cut:
    """The inputs of one layer, as the streams of the model's tail.

    Attributes:
        streams: what the layer reads, in its own order, then model inputs that reach the heads beside the layer.
        keys: their tensors in the graph.
        sources: ``{stream of the tail: model streams it depends on}``.
        read: how many of the streams the layer itself reads.
        held: masks that the part behind the cut is given beside its streams; their axes may have any length.
        held_keys: their tensors in the graph.
    """

    streams: tuple[Stream, ...]
    keys: tuple[Key, ...]
    sources: Mapping[str, tuple[str, ...]]
    read: int
    held: tuple[Stream, ...] = ()
    held_keys: tuple[Key, ...] = ()


def cut_at(graph: Graph, step: Step, inputs: Mapping[Key, Stream]) -> Cut:
    """Cut a model before one layer.

    A tail stream that is a model input keeps its name and description. One that is computed is called, by the first of
    these that applies: the key it has in the mapping that the layer was called with, or the layer's ``stream_names``;
    the one model input it depends on, if no other stream of the tail depends on that input; the layer that makes it.
    Where that is the name of a model input, ``_encoded`` is put behind it, so that an equal name always means the raw
    input. Names that meet are numbered. Features keep their names and groups where only layers that treat each value
    by itself (standardisation, dropout) stand between the model input and the cut. Truth values that are read as
    nothing but a mask are no streams: they say which steps a row has, and are held.

    Args:
        graph: of the model.
        step: the call of the layer.
        inputs: the model's streams by their tensors.
    """
    called_with = _in_call_order(step)
    held = held_masks(graph, called_with)
    read = tuple(key for key in called_with if key not in held)
    if not read:  # a layer that reads masks alone
        read, held = called_with, tuple(key for key in held if key not in called_with)
    _, beside = needed(graph, (*read, *held), graph.outputs)
    keys = (*read, *beside)
    sources = [tuple(inputs[k].name for k in ancestors(graph, key)) for key in keys]
    raw = {stream.name for stream in inputs.values()}
    names = []
    for i, key in enumerate(keys):
        others = {name for j, found in enumerate(sources) if j != i for name in found}
        name = call_names(step).get(key)
        if key in inputs:
            name = inputs[key].name
        elif name is None:
            alone = len(sources[i]) == 1 and sources[i][0] not in others
            name = sources[i][0] if alone else _maker(graph, key)
        names.append(f"{name}_encoded" if key not in inputs and name in raw else name)
    streams = tuple(_described(graph, key, name, inputs) for key, name in zip(keys, unique(names), strict=True))
    by_name = {stream.name: found for stream, found in zip(streams, sources, strict=True)}
    return Cut(streams, keys, by_name, len(read), _held_streams(graph, held, names), held)


def _held_streams(graph: Graph, keys: tuple[Key, ...], names: Sequence[str]) -> tuple[Stream, ...]:
    """Masks as the part behind a cut reads them, under names that no stream has."""
    wanted = unique([*names, *(f"mask by {_maker(graph, key)}" for key in keys)])[len(names) :]
    return tuple(held_stream(name, len(graph.tensors[key].shape)) for name, key in zip(wanted, keys, strict=True))


def held_stream(name: str, rank: int, dtype: str = "bool") -> Stream:
    """A mask whose axes may have any length; ``rank`` counts the axis of rows."""
    return Stream(name, (None,) * (rank - 1), dtype=dtype)


def _in_call_order(step: Step) -> tuple[Key, ...]:
    """What a layer reads, a mapping in its own order rather than the sorted one of Keras."""
    named = call_names(step)
    return tuple(dict.fromkeys([*named, *step.inputs]))


def call_names(step: Step) -> dict[Key, str]:
    """Names of a layer's inputs: keys of the mapping it was called with, else the layer's own ``stream_names``."""
    args = step.arguments.args
    if len(args) != 1:
        return {}
    given = args[0]
    if isinstance(given, Mapping):
        return {step.names[id(t)]: str(k) for k, t in given.items() if isinstance(t, keras.KerasTensor)}
    names = getattr(step.operation, "stream_names", None) or ()
    tensors = [t for t in keras.tree.flatten(given) if isinstance(t, keras.KerasTensor)]
    if len(names) != len(tensors):
        return {}
    return {step.names[id(t)]: str(name) for t, name in zip(tensors, names, strict=True)}


def _described(graph: Graph, key: Key, name: str, inputs: Mapping[Key, Stream]) -> Stream:
    """The stream of a tensor: the model input itself, its features under another name, or what Keras knows of it."""
    if key in inputs:
        return inputs[key]
    plain, origin = stream_of(name, graph.tensors[key]), _origin(graph, key)
    if origin not in inputs or inputs[origin].shape != plain.shape:
        return plain
    return replace(plain, axes=inputs[origin].axes, features=inputs[origin].features, groups=inputs[origin].groups)


def _origin(graph: Graph, key: Key) -> Key:
    """Where a tensor comes from, going back through layers that treat each value by itself."""
    makers = {made: step for step in graph.steps for made in step.outputs}
    while key in makers and isinstance(makers[key].operation, _PER_VALUE) and len(makers[key].inputs) == 1:
        key = makers[key].inputs[0]
    return key


def _maker(graph: Graph, key: Key) -> str:
    return next((str(s.operation.name) for s in graph.steps if key in s.outputs), "input")


def where_floats_begin(graph: Graph, inputs: Mapping[Key, Stream]) -> str | None:
    """The first layer at which every stream of the tail holds floats, as ``at=`` takes it; None if there is none."""
    names = cuttable_layers(graph)
    for step in graph.steps:
        name = names.get(step.outputs)
        if name is None or not any("float" in str(graph.tensors[key].dtype) for key in step.inputs):
            continue
        if all(np.dtype(stream.dtype).kind == "f" for stream in cut_at(graph, step, inputs).streams):
            return name
    return None
