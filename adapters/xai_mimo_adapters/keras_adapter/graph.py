"""Functional Keras models as a flat list of steps: what feeds what, running a part of it, and what a row of it takes.

Nested functional and sequential models are written out in place, so that a layer inside them can be named and cut at.
Nothing of the user's model is cloned or added to: a part is run by calling the model's own layers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from xai_mimo.core.cut import find_layer, layers_called
from xai_mimo.core.errors import NotSupported
from xai_mimo.core.streams import Array, Stream, unknown
from xai_mimo_adapters.keras_adapter.carried import CarryArguments, CarryMask

Key = tuple[str, int]
"""A tensor of the graph: the call path of the nested model that holds it, and the identity of its symbolic tensor."""


@dataclass(frozen=True)
class Step:
    """One call of one operation.

    Attributes:
        operation: the layer or Keras operation.
        arguments: its symbolic arguments, as Keras recorded them.
        names: symbolic tensor identity -> key, for the tensors among the arguments.
        inputs: keys of the tensors it reads, in order.
        outputs: keys of the tensors it makes.
    """

    operation: Any
    arguments: Any
    names: Mapping[int, Key]
    inputs: tuple[Key, ...]
    outputs: tuple[Key, ...]

    @property
    def path(self) -> str:
        """The layer's path, or its name where Keras gave it no path, as it does to layers without weights."""
        return str(getattr(self.operation, "path", None) or self.operation.name)


@dataclass(frozen=True)
class Graph:
    """All steps of a functional model, each after those that feed it."""

    steps: tuple[Step, ...]
    inputs: tuple[Key, ...]
    outputs: tuple[Key, ...]
    tensors: Mapping[Key, keras.KerasTensor]


def stream_of(name: str, tensor: keras.KerasTensor) -> Stream:
    """A stream as its symbolic tensor describes it; bfloat16, which NumPy lacks, is taken in as float32."""
    return Stream(name, tuple(tensor.shape[1:]), dtype="float32" if tensor.dtype == "bfloat16" else tensor.dtype)


def functional_core(model: Any) -> Any | None:
    """The functional model behind a functional or sequential model; None for one whose ``call`` is its own."""
    if not type(model).call.__module__.startswith("keras."):
        return None
    core = getattr(model, "_functional", None) or model
    return core if hasattr(core, "_nodes_by_depth") else None


def read_graph(model: Any) -> Graph | None:
    """The flat graph of a functional or sequential model, in its own order of inputs; None for other models."""
    core = functional_core(model)
    if core is None:
        return None
    tensors: dict[Key, keras.KerasTensor] = {}
    inputs = [("", id(t)) for t in core.inputs]
    tensors.update(zip(inputs, core.inputs, strict=True))
    steps: list[Step] = []
    outputs = _write_out(core, "", dict(zip(map(id, core.inputs), inputs, strict=True)), steps, tensors)
    return Graph(tuple(steps), tuple(inputs), tuple(outputs), tensors)


def _write_out(
    core: Any, scope: str, names: dict[int, Key], steps: list[Step], tensors: dict[Key, keras.KerasTensor]
) -> list[Key]:
    """Append the steps of one functional model; ``names`` gives the keys of its inputs. Returns its outputs' keys."""
    for depth in sorted(core._nodes_by_depth, reverse=True):
        for node in core._nodes_by_depth[depth]:
            if node.is_input or not all(id(t) in names for t in node.input_tensors):
                continue
            inner = _nested(node)
            if inner is not None:
                call = node.operation._inbound_nodes.index(node)
                path = f"{scope}/{node.operation.name}@{call}"
                given = _carrying(node, path, names, steps, tensors)
                bound = dict(zip(map(id, inner.inputs), given, strict=True))
                made = _write_out(inner, path, bound, steps, tensors)
                names.update(zip(map(id, node.outputs), made, strict=True))
                continue
            outputs = [(scope, id(t)) for t in node.outputs]
            tensors.update(zip(outputs, node.outputs, strict=True))
            read = {id(t): names[id(t)] for t in node.input_tensors}
            inputs = tuple(dict.fromkeys(names[id(t)] for t in node.input_tensors))
            steps.append(Step(node.operation, node.arguments, read, inputs, tuple(outputs)))
            names.update(zip(map(id, node.outputs), outputs, strict=True))
    return [names[id(t)] for t in core.outputs]


def _carrying(
    node: Any, path: str, names: Mapping[int, Key], steps: list[Step], tensors: dict[Key, keras.KerasTensor]
) -> list[Key]:
    """What a nested model is given, as it begins: carrying the masks that it was called with."""
    keys = []
    for tensor, mask in zip(_given(node), _masks(node), strict=True):
        key = names[id(tensor)]
        if mask is not None:
            read = {id(tensor): key, id(mask): names[id(mask)]}
            key = f"{path} mask", id(tensor)
            tensors[key] = tensor
            arguments = CarryArguments.of(tensor, mask)
            steps.append(Step(CarryMask(node.operation.name), arguments, read, tuple(read.values()), (key,)))
        keys.append(key)
    return keys


def _nested(node: Any) -> Any | None:
    """The functional model that a node calls, if writing it out computes the same as calling it."""
    inner = functional_core(node.operation) if isinstance(node.operation, keras.Model) else None
    if inner is None or len(node.arguments.args) != 1:
        return None
    others = {name: value for name, value in node.arguments.kwargs.items() if name != "mask"}
    if any(isinstance(v, keras.KerasTensor) for v in keras.tree.flatten(others)):
        return None
    given, tensors = node.arguments.args[0], _given(node)
    wants_dict, gives_dict = isinstance(inner.input, dict), isinstance(given, dict)
    same_keys = wants_dict == gives_dict and (not wants_dict or set(given) == set(inner.input))
    fits = (
        len(inner.inputs) == len(tensors) == len(_masks(node))
        and all(isinstance(t, keras.KerasTensor) for t in tensors)
        and all(len(a.shape) == len(b.shape) and a.dtype == b.dtype for a, b in zip(inner.inputs, tensors, strict=True))
    )
    return inner if same_keys and fits else None


def _given(node: Any) -> list[Any]:
    return list(keras.tree.flatten(node.arguments.args[0]))


def _masks(node: Any) -> list[Any]:
    """The masks that a model was called with, one for each tensor that it was given, None where there is none."""
    mask = node.arguments.kwargs.get("mask")
    return [None] * len(_given(node)) if mask is None else list(keras.tree.flatten(mask))


def needed(graph: Graph, given: Iterable[Key], wanted: Iterable[Key]) -> tuple[list[Step], list[Key]]:
    """The steps that make the wanted tensors from the given ones, and the model inputs they need besides."""
    known, missing, chosen = set(given), set(wanted), []
    for step in reversed(graph.steps):
        if not known.issuperset(step.outputs) and missing.intersection(step.outputs) - known:
            chosen.append(step)
            missing.update(step.inputs)
    return chosen[::-1], [key for key in graph.inputs if key in missing and key not in known]


def run_steps(
    steps: Sequence[Step], values: Mapping[Key, Any], before: Callable[[int, dict[Key, Any]], None] | None = None
) -> dict[Key, Any]:
    """Run steps in inference mode on tensors; returns the given values and all that the steps made.

    Args:
        steps: in order. values: what they are given.
        before: told the place of each step, and all values there are, when the step is about to run; it may put
            others in their place.
    """
    values = dict(values)
    for place, step in enumerate(steps):
        if before is not None:
            before(place, values)
        args, kwargs = step.arguments.fill_in({local: values[key] for local, key in step.names.items()})
        if isinstance(step.operation, keras.Layer):
            kwargs = {**kwargs, "training": False}
        made = keras.tree.flatten(step.operation(*args, **kwargs))
        for key, tensor in zip(step.outputs, made, strict=True):
            values.setdefault(key, tensor)
    return values


def ancestors(graph: Graph, key: Key) -> tuple[Key, ...]:
    """The model inputs that a tensor depends on, in the model's order."""
    return tuple(needed(graph, (), (key,))[1])


def find_step(graph: Graph, layer: str, sowing: Callable[[], Sequence[str]]) -> Step:
    """The one call of a layer, by its name or its path.

    Args:
        graph: of the model.
        layer: name ("mail") or path ("model/mail").
        sowing: asked for the paths of layers that sow maps, which the error for an unknown layer lists first.
    Raises:
        UnknownName: no such layer. BadSetting: the name fits several layers. NotSupported: the layer is called several
            times, so it has no one set of inputs.
    """
    layers = [step for step in graph.steps if isinstance(step.operation, keras.Layer)]
    paths = [s.path for s in layers]
    if not layers_called(layer, paths):
        names = [s.operation.name if paths.count(s.path) == 1 else s.path for s in layers]
        first = set(sowing())
        ranked = sorted(zip(names, paths, strict=True), key=lambda pair: pair[1] not in first)
        raise unknown(layer, dict.fromkeys(name for name, _ in ranked), "layer")
    path = find_layer(layer, paths)
    calls = [s for s in layers if s.path == path]
    if len(calls) > 1:
        raise NotSupported(
            f"layer '{layer}' is called {len(calls)} times in this model, so it has no one set of inputs. "
            "Explain at a layer that is called once."
        )
    return calls[0]


def cuttable_layers(graph: Graph) -> dict[tuple[Key, ...], str]:
    """The layers that ``find_step`` finds, by what they make: those called once, by name; by path where a name fits
    several."""
    layers = [step for step in graph.steps if isinstance(step.operation, keras.Layer)]
    paths, names = [s.path for s in layers], [str(s.operation.name) for s in layers]
    return {
        step.outputs: name if names.count(name) == 1 else path
        for step, path, name in zip(layers, paths, names, strict=True)
        if paths.count(path) == 1
    }


def values_of_steps(graph: Graph, steps: Iterable[Step], arrays: Mapping[str, Array]) -> int:
    """Values that one row takes in the outputs of these steps and inside their layers.

    Axes of unknown length count as the longest axis of the rows given.
    """
    longest = max((n for x in arrays.values() for n in x.shape[1:]), default=1)
    total = 0
    for step in steps:
        shapes = [[longest if n is None else int(n) for n in graph.tensors[key].shape[1:]] for key in step.outputs]
        total += sum(_product(shape) for shape in shapes)
        if isinstance(step.operation, keras.Layer):
            total += max(_product(shape[:-1]) for shape in shapes) * _inside(step.operation.weights)
    return total


def values_of_model(model: keras.Model, streams: Sequence[Stream], arrays: Mapping[str, Array]) -> int:
    """The same for a model whose graph cannot be read: every weight is taken to act at every position of the inputs."""
    positions = max(_product(x.shape[1:-1]) for x in arrays.values())
    return positions * _inside(model.weights) + sum(stream.size for stream in streams)


def _inside(weights: Iterable[Any]) -> int:
    """Values at one position between a layer's input and its output: what each of its kernels gives.

    A kernel's last axis but one is the one that is summed over, also where kernels are stacked.
    """
    return sum(_product(w.shape) // max(1, int(w.shape[-2])) for w in weights if len(w.shape) > 1)


def _product(shape: Iterable[int]) -> int:
    return int(np.prod(list(shape), dtype=np.int64))
