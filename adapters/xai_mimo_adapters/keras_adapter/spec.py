"""What a Keras model says of itself: names, shapes, kinds of heads, and a fingerprint."""

import hashlib
import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from xai_mimo.core.declare import annotate_heads, annotate_streams, declared_streams, unique
from xai_mimo.core.errors import NotSupported, ShapeMismatch
from xai_mimo.core.head_kinds import activation_name, head_nature, losses_of_heads
from xai_mimo.core.streams import Head, HeadKind, Stream, check_unique
from xai_mimo_adapters.keras_adapter.compiled import compiled_for
from xai_mimo_adapters.keras_adapter.from_rows import streams_of_rows
from xai_mimo_adapters.keras_adapter.graph import Graph, Key, Step, functional_core, stream_of
from xai_mimo_adapters.keras_adapter.makers import noting_makers
from xai_mimo_adapters.keras_adapter.named_graph import NamedGraph

Tensors = dict[str, Any]
_PROBE_LENGTH = 16


@dataclass(frozen=True)
class Spec:
    """A model's streams and heads, and how to call it.

    Attributes:
        streams: the model's own name of each input -> the stream, under the name the user chose.
        heads: the model's own name of each output -> the head, likewise.
        call: own name -> tensor to own name -> tensor, in inference mode.
    """

    streams: Mapping[str, Stream]
    heads: Mapping[str, Head]
    call: Callable[[Tensors], Tensors]


def read_functional(model: Any, graph: Graph, streams: Any, heads: Any) -> tuple[Spec, NamedGraph]:
    """Read a functional or sequential model.

    Inputs are called by the keys of the mapping they were declared with, else by the names of their ``keras.Input``.
    Outputs are called by their keys, else by the layers that make them; where one layer makes several they are called
    ``layer_0``, ``layer_1``, ....
    """
    _check_stateless(model)
    core: Any = functional_core(model)  # there is one, as there is a graph
    inputs = _struct_names(core.input, _own_names(core.inputs))
    outputs = _struct_names(core.output, list(core.output_names))
    flat_inputs = [name for name, _ in sorted(inputs, key=lambda pair: pair[1])]

    def call(tensors: Tensors) -> Tensors:
        structure = keras.tree.pack_sequence_as(core.input, [tensors[name] for name in flat_inputs])
        flat = keras.tree.flatten(model(structure, training=False))
        return {name: flat[i] for name, i in outputs}

    head_keys = {name: graph.outputs[i] for name, i in outputs}
    read_streams = annotate_streams(tuple(stream_of(name, core.inputs[i]) for name, i in inputs), streams)
    losses = losses_of_heads(getattr(model, "loss", None), _flat(outputs))
    read_heads = annotate_heads(_functional_heads(graph, head_keys, losses), heads)
    spec = Spec(
        {name: stream for (name, _), stream in zip(inputs, read_streams, strict=True)},
        dict(zip(head_keys, read_heads, strict=True)),
        call,
    )
    by_key = {graph.inputs[i]: stream for (_, i), stream in zip(inputs, read_streams, strict=True)}
    keys = {head.name: key for head, key in zip(read_heads, head_keys.values(), strict=True)}
    return spec, NamedGraph(graph, by_key, keys)


def read_other(model: Any, streams: Any, heads: Any, like: Any = None) -> Spec:
    """Read a model whose ``call`` is its own: streams as declared, or as rows describe them; heads by running one row
    of zeros.

    Heads are called by the keys of the mapping it returns, else ``output_0``, ``output_1``, ... or ``output``.
    """
    if not model.built:
        raise NotSupported(
            f"model '{model.name}' has no weights yet. Call it on data, fit it or load its weights before "
            "explaining; or give rows, xai_mimo.adapt(model, like=x), by which its first call creates them."
        )
    _check_stateless(model)
    if streams is None and like is None:
        raise NotSupported(
            f"the inputs of model '{model.name}' ({type(model).__name__}) cannot be read off, because its call is its "
            "own code. Name them, shapes without the batch axis: xai_mimo.adapt(model, streams={'sensors': (12,), "
            "'tokens': Stream('tokens', (20,), dtype='int32')}); or give rows to read them off: "
            "xai_mimo.adapt(model, like=x)."
        )
    declared = streams_of_rows(model, like) if streams is None else declared_streams(streams)
    names = tuple(s.name for s in declared)
    check_unique(names, "input stream")
    ask = _own_call(model, names)
    asked = ("answer", tuple((s.name, s.shape, s.dtype) for s in declared))
    if asked not in compiled_for(model).notes:
        zeros = {s.name: keras.ops.zeros((1, *[n or _PROBE_LENGTH for n in s.shape]), s.dtype) for s in declared}
        with noting_makers() as makers:
            answer = _try_on_zeros(ask, zeros, model.name)
        flat = keras.tree.flatten(answer)
        shapes = [tuple(t.shape[1:]) for t in flat]
        activations = ["" if (layer := makers.of(t)) is None else activation_name(layer) for t in flat]
        # Looked up again: the first call of a layer may have set attributes of it.
        compiled_for(model).notes[asked] = _struct_names(answer, _default_outputs(answer)), shapes, activations
    outputs, shapes, activations = compiled_for(model).notes[asked]
    losses = losses_of_heads(getattr(model, "loss", None), _flat(outputs))
    read = tuple(head_of(name, shapes[i], *_nature(shapes[i], activations[i], losses.get(name))) for name, i in outputs)

    def call(tensors: Tensors) -> Tensors:
        flat = keras.tree.flatten(ask(tensors))
        return {name: flat[i] for name, i in outputs}

    read_heads = annotate_heads(read, heads)
    return Spec(
        {stream.name: stream for stream in declared},
        {name: head for (name, _), head in zip(outputs, read_heads, strict=True)},
        call,
    )


def _try_on_zeros(ask: Callable[[Tensors], Any], zeros: Tensors, model: str) -> Any:
    """What a subclassed model returns for one row of zeros; its state is not touched."""
    try:
        with keras.StatelessScope():
            return ask(zeros)
    except (ValueError, TypeError, KeyError, RuntimeError) as err:
        shapes = ", ".join(f"{name} {tuple(x.shape[1:])}" for name, x in zeros.items())
        raise ShapeMismatch(
            f"model '{model}' does not take the declared streams ({shapes}; axes of any length are tried with "
            f"{_PROBE_LENGTH}): {type(err).__name__}: {err}"
        ) from err


def _own_names(inputs: Sequence[Any]) -> list[str]:
    """What a model's inputs are called; a name that Keras counted through the process ("keras_tensor_7") is none."""
    several = len(inputs) > 1
    return [
        (f"input_{i}" if several else "input") if re.fullmatch(r"keras_tensor(_\d+)?", t.name) else t.name
        for i, t in enumerate(inputs)
    ]


def _default_outputs(made: Any) -> list[str]:
    count = len(keras.tree.flatten(made))
    return ["output"] if count == 1 else [f"output_{i}" for i in range(count)]


def _own_call(model: Any, names: tuple[str, ...]) -> Callable[[Tensors], Any]:
    """How a subclassed model wants its inputs: by keyword, as the structure it was built with, or as a mapping."""
    parameters = inspect.signature(model.call).parameters
    if len(names) > 1 and all(name in parameters for name in names):
        return lambda x: model(**{name: x[name] for name in names}, training=False)
    layout = (model.get_build_config() or {}).get("input_shape")
    if isinstance(layout, list) or (isinstance(layout, tuple) and layout and isinstance(layout[0], tuple | list)):
        pack = type(layout)
        return lambda x: model(pack(x[name] for name in names), training=False)
    if isinstance(layout, Mapping) or len(names) > 1:
        return lambda x: model({name: x[name] for name in names}, training=False)
    return lambda x: model(x[names[0]], training=False)


def _struct_names(struct: Any, defaults: list[str]) -> list[tuple[str, int]]:
    """``(name, place in the flattened structure)``, in a mapping's own order rather than the sorted one of Keras."""
    if isinstance(struct, Mapping) and not any(keras.tree.is_nested(v) for v in struct.values()):
        order = keras.tree.flatten({key: key for key in struct})
        return [(str(key), order.index(key)) for key in struct]
    return list(zip(unique(defaults), range(len(defaults)), strict=True))


def head_of(
    name: str, shape: tuple[int | None, ...], kind: HeadKind = "regression", unit: str = "", kind_from: str = ""
) -> Head:
    """A head of known shape.

    Raises:
        NotSupported: an axis has no fixed length, so that its units cannot be counted.
    """
    if any(n is None for n in shape):
        raise NotSupported(
            f"head '{name}' has shape {shape}: an axis of unknown length has no countable units. Give the inputs fixed "
            "lengths, or pool that axis before the output."
        )
    return Head(name, tuple(int(n) for n in shape if n is not None), kind, unit=unit, kind_from=kind_from)


def _flat(outputs: Sequence[tuple[str, int]]) -> list[str]:
    """Names of outputs in the flattened order, in which Keras takes a list of losses: of a mapping the sorted one."""
    return [name for name, _ in sorted(outputs, key=lambda pair: pair[1])]


def _functional_heads(graph: Graph, keys: Mapping[str, Key], losses: Mapping[str, Any]) -> tuple[Head, ...]:
    """Heads with their kinds: from the last activation, else from the compiled loss."""
    made_by = {key: step for step in graph.steps for key in step.outputs}
    heads = []
    for name, key in keys.items():
        shape = tuple(graph.tensors[key].shape[1:])
        while key in made_by and hands_on(made_by[key]):
            key = made_by[key].inputs[0]
        activation = activation_name(made_by[key].operation) if key in made_by else ""
        heads.append(head_of(name, shape, *_nature(shape, activation, losses.get(name))))
    return tuple(heads)


def hands_on(step: Step) -> bool:
    """Whether a step gives the values that it reads, perhaps in another dtype."""
    operation = step.operation
    is_linear = isinstance(operation, keras.layers.Activation) and activation_name(operation) == "linear"
    is_cast = not isinstance(operation, keras.Layer) and type(operation).__name__ == "Cast"
    return len(step.inputs) == 1 and (
        is_linear or is_cast or isinstance(operation, keras.layers.Identity | keras.layers.Dropout)
    )


def _check_stateless(model: Any) -> None:
    """Refuse a model that remembers: every other explanation would begin where the one before stopped.

    Raises:
        NotSupported: a layer is stateful.
    """
    for layer in model._flatten_layers():
        if getattr(layer, "stateful", False) is True:
            raise NotSupported(
                f"layer '{layer.name}' of model '{model.name}' is stateful, so what a row gives depends on what was "
                "asked before it. Rebuild the model with stateful=False and the same weights "
                "(new.set_weights(model.get_weights())); then it reads each row from the start."
            )


def _nature(shape: tuple[int | None, ...], activation: str, loss: Any) -> tuple[HeadKind, str, str]:
    """A head's kind, its unit and what tells them; a quantity where neither activation nor loss does."""
    units = int(np.prod([n or 1 for n in shape], dtype=np.int64))
    nature = head_nature(activation, units, loss)
    return ("regression", "", "") if nature is None else (nature.kind, nature.unit, nature.kind_from)


def fingerprint(model: Any, part: str = "") -> str:
    """SHA-256 over the model's class, configuration, weights and the part of it that is meant."""
    digest = hashlib.sha256(f"{type(model).__module__}.{type(model).__qualname__}|{part}|".encode())
    digest.update(json.dumps(_config(model), sort_keys=True, default=str).encode())
    for weight in model.weights:
        digest.update(f"{weight.shape}{weight.dtype}".encode())
        digest.update(np.ascontiguousarray(keras.ops.convert_to_numpy(weight)).tobytes())
    return digest.hexdigest()


def _config(model: Any) -> Any:
    """The model's configuration; what a subclassed model gives when it has not written one."""
    try:
        return model.get_config()
    except NotImplementedError:
        return {"name": model.name}
