"""Masks: which tensors of a graph are nothing else, and those that travel on tensors, beside the graph.

Keras has both. A layer that is called with one tensor has the mask among its recorded arguments; every other layer
takes it off the tensors that it is given, where the layer before has put it, and may take it away from them
(``MultiHeadAttention`` does). So a part of a model is the same function only with the masks that its inputs carry.
"""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from xai_mimo_adapters.keras_adapter.carried import mask_of
from xai_mimo_adapters.keras_adapter.graph import Graph, Key, Step, needed, run_steps

_PROBE_LENGTH = 16

Carried = Mapping[tuple[int, Key], tuple[int, str]]
"""Place of a step among the graph's, and a tensor that it reads -> rank and dtype of the mask that the tensor carries
when the step is about to run; tensors that carry none are left out."""


def only_masks(graph: Graph) -> set[Key]:
    """The tensors of truth values that no layer reads as anything but a mask."""
    as_mask: set[Key] = set()
    as_value = set(graph.outputs)
    for step in reversed(graph.steps):
        makes_masks = all(
            key in as_mask and key not in as_value and graph.tensors[key].dtype == "bool" for key in step.outputs
        )
        masks = set(step.inputs) if makes_masks else _mask_arguments(step)
        as_mask |= masks
        as_value.update(set(step.inputs) - masks)
    return {key for key in as_mask - as_value if graph.tensors[key].dtype == "bool"}


def held_masks(graph: Graph, read: tuple[Key, ...]) -> tuple[Key, ...]:
    """Masks that the part behind a cut is given, and does not make itself of what is perturbed there.

    Args:
        graph: of the model. read: what the layer at the cut reads, which may be masks too.
    """
    masks = only_masks(graph)
    made_behind = _descendants(graph, [key for key in read if key not in masks])
    steps, _ = needed(graph, read, graph.outputs)
    candidates = tuple(
        dict.fromkeys(key for step in steps for key in step.inputs if key in masks and key not in made_behind)
    )
    steps, _ = needed(graph, (*read, *candidates), graph.outputs)
    still_read = {key for step in steps for key in step.inputs}
    return tuple(key for key in candidates if key in still_read)


def carried_masks(graph: Graph) -> Carried:
    """The masks that tensors carry through the whole graph, found by running it once without numbers."""
    carried: dict[tuple[int, Key], tuple[int, str]] = {}
    if not any(_may_make_mask(step) for step in graph.steps):
        return carried

    def note(place: int, values: Mapping[Key, Any]) -> None:
        for key in graph.steps[place].inputs:
            mask = mask_of(values[key])
            if mask is not None:
                carried[place, key] = len(mask.shape), keras.backend.standardize_dtype(mask.dtype)

    class Run(keras.Operation):
        def call(self, *tensors: Any) -> list[Any]:
            values = run_steps(graph.steps, dict(zip(graph.inputs, tensors, strict=True)), before=note)
            return [values[key] for key in graph.outputs]

    Run().compute_output_spec(*(_one_row(graph.tensors[key]) for key in graph.inputs))
    return carried


def _one_row(tensor: keras.KerasTensor) -> keras.KerasTensor:
    return keras.KerasTensor((1, *(n or _PROBE_LENGTH for n in tensor.shape[1:])), dtype=tensor.dtype)


def _descendants(graph: Graph, keys: list[Key]) -> set[Key]:
    made: set[Key] = set()
    for step in graph.steps:
        if any(key in made or key in keys for key in step.inputs):
            made.update(step.outputs)
    return made


def _mask_arguments(step: Step) -> set[Key]:
    """The tensors that a step takes under the name of a mask, and under no other."""
    masks: set[Key] = set()
    others: set[Key] = set()
    for name, value in _named_arguments(step):
        keys = {step.names[id(t)] for t in keras.tree.flatten(value) if isinstance(t, keras.KerasTensor)}
        (masks if name == "mask" or name.endswith("_mask") else others).update(keys)
    return masks - others


def _named_arguments(step: Step) -> Iterator[tuple[str, Any]]:
    names = list(inspect.signature(step.operation.call).parameters)
    for i, value in enumerate(step.arguments.args):
        yield names[i] if i < len(names) else "", value
    yield from step.arguments.kwargs.items()


def _may_make_mask(step: Step) -> bool:
    """Whether a step can put a mask on a tensor that came without: few layers do, and then the graph is worth a run."""
    if _mask_arguments(step):
        return True
    if not isinstance(step.operation, keras.Layer):
        return False
    return any(
        isinstance(layer, keras.layers.Masking)
        or getattr(layer, "mask_zero", False)
        or (
            not type(layer).__module__.startswith("keras.") and type(layer).compute_mask is not keras.Layer.compute_mask
        )
        for layer in step.operation._flatten_layers()
    )
