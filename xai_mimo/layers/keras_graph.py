"""The graph that Keras keeps of a functional or sequential model: its calls, what they are made from, its outputs.

For the layers; the Keras adapter, which must not know them, has a graph of its own that it can also run.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import keras


def functional_core(model: Any) -> Any | None:
    """The functional model behind a functional or built sequential model; None for one whose ``call`` is its own."""
    if not isinstance(model, keras.Model) or not type(model).call.__module__.startswith("keras."):
        return None
    core = getattr(model, "_functional", None) or model
    return core if hasattr(core, "_nodes_by_depth") else None


def as_functional(model: Any) -> Any:
    """The same layers as a functional model of the same name; another kind of model as it is."""
    core = functional_core(model)
    return model if core is None or core is model else keras.Model(core.input, core.output, name=model.name)


def functional_models(model: Any) -> Iterator[Any]:
    """A functional or sequential model and all that are nested in it, inner ones where they are called."""
    core = functional_core(model)
    if core is not None:
        for operation in dict.fromkeys(node.operation for node in calls(core)):
            if isinstance(operation, keras.Model):
                yield from functional_models(operation)
        yield core


def calls(core: Any) -> list[Any]:
    """Calls of layers and operations, each after those that feed it."""
    depths = sorted(core._nodes_by_depth, reverse=True)
    return [node for depth in depths for node in core._nodes_by_depth[depth] if not node.is_input]


def calls_of(core: Any, name: str) -> list[Any]:
    """Calls of the operation of this name."""
    return [node for node in calls(core) if node.operation.name == name]


def makers(core: Any) -> dict[int, Any]:
    """The call that makes each tensor, by the tensor's identity."""
    return {id(tensor): node for node in calls(core) for tensor in node.outputs}


def ancestors(tensor: Any, made_by: Mapping[int, Any]) -> dict[int, Any]:
    """A tensor and all that it is made from, by identity.

    Args:
        tensor: symbolic.
        made_by: see ``makers``.
    """
    behind: dict[int, Any] = {}
    waiting = [tensor]
    while waiting:
        tensor = waiting.pop()
        if id(tensor) not in behind:
            behind[id(tensor)] = tensor
            waiting += made_by[id(tensor)].input_tensors if id(tensor) in made_by else []
    return behind


def named_outputs(model: Any) -> dict[str, Any]:
    """Symbolic outputs by name, in the order in which they are declared; empty for a model whose call is its own.

    They are called by the keys of the mapping that they were declared with, else by the layers that make them, numbered
    where one makes several.
    """
    core = functional_core(model)
    if core is None:
        return {}
    if isinstance(core.output, Mapping):
        return {str(key): tensor for key, tensor in core.output.items()}
    names = list(core.output_names)
    labels = [n if names.count(n) == 1 else f"{n}_{names[:i].count(n)}" for i, n in enumerate(names)]
    return dict(zip(labels, core.outputs, strict=True))


def output_places(model: Any) -> dict[str, int]:
    """Where each named output stands among the flattened ones."""
    core = functional_core(model)
    flat = [] if core is None else [id(tensor) for tensor in keras.tree.flatten(core.output)]
    return {name: flat.index(id(tensor)) for name, tensor in named_outputs(model).items() if id(tensor) in flat}
