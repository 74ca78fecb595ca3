"""Before the final sigmoid or softmax: a graph with one step more for each such head, and nothing taken out of it.

The step runs a shallow copy of the layer that makes the head, with the same weights and no activation; the layer itself
is neither changed nor called another way. Where the activation is a layer or an operation of its own, what it reads is
what is wanted, and no step is needed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import keras

from xai_mimo.core.head_kinds import activation_name
from xai_mimo_adapters.keras_adapter.graph import Graph, Key, Step

LINKS = ("sigmoid", "softmax")
_ACTIVATION_LAST = ("keras.src.layers.core.", "keras.src.layers.convolutional.")
"""Where the layers of Keras stand whose ``call`` ends in ``self.activation``."""
_MOVES_VALUES = (keras.layers.Reshape, keras.layers.Flatten, keras.layers.Permute)


@dataclass(frozen=True)
class Without:
    """An operation of a graph: what a layer gives before its activation.

    Attributes:
        name: of the layer. layer: the copy of it.
    """

    name: str
    layer: keras.Layer

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The layer's answer in inference mode, without its activation."""
        return self.layer(*args, **{**kwargs, "training": False})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """See ``call``."""
        return self.call(*args, **kwargs)


def before_links(
    graph: Graph, heads: Mapping[str, Key], hands_on: Callable[[Step], bool]
) -> tuple[Graph, dict[str, Key], dict[str, str]]:
    """A graph that also makes what the final sigmoid or softmax of heads reads.

    Args:
        graph: of the model.
        heads: names and tensors of the heads that are asked for.
        hands_on: whether a step gives the values that it reads.
    Returns:
        The graph; for each head that ends in such an activation the tensor before it, and where that is in words.
    """
    made_by = {key: step for step in graph.steps for key in step.outputs}
    steps, tensors = list(graph.steps), dict(graph.tensors)
    keys, words = {}, {}
    for name, key in heads.items():
        moved: list[Step] = []
        last = key
        while last in made_by and (hands_on(made_by[last]) or _moves_values(made_by[last])):
            if _moves_values(made_by[last]):
                moved.append(made_by[last])
            last = made_by[last].inputs[0]
        found = _before(made_by[last], last) if last in made_by else None
        if found is None:
            continue
        before, step, words[name] = found
        if step is not None and before not in tensors:
            steps.append(step)
            tensors[before] = tensors[last]
        for move in reversed(moved):
            before = _moved(move, before, steps, tensors)
        keys[name] = before
    return replace(graph, steps=tuple(steps), tensors=tensors), keys, words


def _before(step: Step, key: Key) -> tuple[Key, Step | None, str] | None:
    """The tensor before a step's activation, the step that makes it where there is none yet, and words for it."""
    link, layer = activation_name(step.operation), step.operation
    if link not in LINKS or len(step.outputs) != 1:
        return None
    if not isinstance(layer, keras.Layer):
        return (step.inputs[0], None, f"before the final operation {link}") if _is_last_axis(layer) else None
    words = f"before the final {link} of layer '{layer.name}'"
    if isinstance(layer, keras.layers.Activation | keras.layers.Softmax):
        return (step.inputs[0], None, words) if _is_last_axis(layer) and len(step.inputs) == 1 else None
    bare = _without_activation(layer)
    if bare is None:
        return None
    before = f"{key[0]} before {link}", key[1]
    return before, replace(step, operation=Without(str(layer.name), bare), outputs=(before,)), words


def _without_activation(layer: keras.Layer) -> keras.Layer | None:
    """The layer with its own weights and no activation; None where it is not known that this comes last."""
    inner = getattr(layer, "layer", None)
    if isinstance(layer, keras.layers.TimeDistributed) and isinstance(inner, keras.Layer):
        bare = _without_activation(inner)
        return None if bare is None else _with(layer, "layer", bare)
    if "activation" not in vars(layer) or not type(layer).call.__module__.startswith(_ACTIVATION_LAST):
        return None
    return _with(layer, "activation", keras.activations.linear)


def _with(layer: keras.Layer, attribute: str, value: Any) -> keras.Layer:
    """A shallow copy with another attribute. ``copy.copy`` would save and load the layer, weights and all."""
    other = object.__new__(type(layer))
    vars(other).update(vars(layer), **{attribute: value})
    return other


def _is_last_axis(operation: Any) -> bool:
    return getattr(operation, "axis", -1) in (-1, None)


def _moves_values(step: Step) -> bool:
    """Whether a step gives the values that it reads in other places."""
    operation = step.operation
    is_operation = not isinstance(operation, keras.Layer) and type(operation).__name__ in (
        "Reshape",
        "Squeeze",
        "ExpandDims",
        "Transpose",
    )
    return len(step.inputs) == 1 and len(step.outputs) == 1 and (is_operation or isinstance(operation, _MOVES_VALUES))


def _moved(step: Step, before: Key, steps: list[Step], tensors: dict[Key, keras.KerasTensor]) -> Key:
    """A step that moves values, run once more on others; returns what it makes of them."""
    (read,) = step.names
    made = f"{before[0]} moved", step.outputs[0][1]
    if made not in tensors:
        again = Again(str(step.operation.name), step.operation)
        steps.append(replace(step, operation=again, names={read: before}, inputs=(before,), outputs=(made,)))
        tensors[made] = tensors[step.outputs[0]]
    return made


@dataclass(frozen=True)
class Again:
    """An operation of a graph: one of the model's, run once more on other values.

    Attributes:
        name: of the operation. operation: itself.
    """

    name: str
    operation: Any

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """What the operation gives."""
        return self.operation(*args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """See ``call``."""
        return self.call(*args, **kwargs)
