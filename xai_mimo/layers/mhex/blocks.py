"""Where the residual blocks of a functional Keras model are: its sums, and which input of each is the shortcut."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from xai_mimo.layers.keras_graph import ancestors, calls, calls_of, functional_models, makers


@dataclass(frozen=True)
class ResidualSum:
    """A sum of two tensors, one of which came past the block.

    Attributes:
        name: of the ``Add`` layer or of the operation behind ``+``.
        local: which input is the residual branch, 0 or 1; the other is the shortcut.
        layers: names of the layers on the residual branch.
        has_attention: whether one of them is an attention layer.
        operation: the layer or operation.
    """

    name: str
    local: int
    layers: tuple[str, ...]
    has_attention: bool
    operation: Any


def residual_sums(model: keras.Model) -> list[ResidualSum]:
    """The residual sums of a functional model and of those nested in it, from input to output.

    A sum counts if its two inputs have one shape ``(batch, positions..., channels)`` and a common origin. The input
    with fewer layers of its own since then, layers with weights counted, is the shortcut: none where it is passed on
    as it is, a projection where the block changes the shape. Sums whose longer branch only looks up positions or
    tokens (``...Embedding``) do not count, nor do those where the branches are equally long.
    """
    sums = []
    for core in functional_models(model):
        made_by = makers(core)
        for node in calls(core):
            local = _local_input(node, made_by) if _is_sum(node) else None
            if local is not None:
                sums.append(_described(node, local, made_by))
    return sums


def _is_sum(node: Any) -> bool:
    """Whether it adds two feature maps of equal shape."""
    operation, tensors = node.operation, node.input_tensors
    if type(operation).__name__ != "Add" or not type(operation).__module__.startswith("keras."):
        return False
    return len(tensors) == 2 and len(tensors[0].shape) >= 3 and tuple(tensors[0].shape) == tuple(tensors[1].shape)


def _local_input(node: Any, made_by: Mapping[int, Any]) -> int | None:
    """Which input is the residual branch; None if neither is."""
    behind = [ancestors(tensor, made_by) for tensor in node.input_tensors]
    if not behind[0].keys() & behind[1].keys():
        return None
    own = [_own_layers(behind[i], behind[1 - i], made_by) for i in (0, 1)]
    if len(own[0]) == len(own[1]):
        return None
    local = int(len(own[1]) > len(own[0]))
    looks_up = all(type(layer).__name__.endswith("Embedding") for layer in own[local])
    return None if looks_up else local


def _own_layers(mine: dict[int, Any], other: Mapping[int, Any], made_by: Mapping[int, Any]) -> list[Any]:
    """Layers with weights that only one branch passes through."""
    passed = dict.fromkeys(made_by[key].operation for key in reversed(mine) if key not in other and key in made_by)
    return [operation for operation in passed if getattr(operation, "weights", None)]


def _described(node: Any, local: int, made_by: Mapping[int, Any]) -> ResidualSum:
    branch, shortcut = (ancestors(node.input_tensors[i], made_by) for i in (local, 1 - local))
    own = _own_layers(branch, shortcut, made_by)
    return ResidualSum(
        name=node.operation.name,
        local=local,
        layers=tuple(layer.name for layer in own),
        has_attention=any("Attention" in type(layer).__name__ for layer in own),
        operation=node.operation,
    )


def choose(model: keras.Model, blocks: Sequence[str] | Mapping[str, int] | None) -> dict[Any, int | None]:
    """The operations to equip, each with its local input; None for a layer that is a whole block.

    Args:
        model: functional.
        blocks: see ``add_mhex``.
    Raises:
        ValueError: no such block, one that cannot be equipped, or no residual sum at all.
    """
    sums = residual_sums(model)
    if blocks is None:
        chosen = [one for one in sums if not one.has_attention]
        if not chosen:
            raise ValueError(_nothing_found(model, sums))
        return {one.operation: one.local for one in chosen}
    if isinstance(blocks, str) or not len(blocks):
        raise ValueError(f"Expected `blocks` to be names of sums or blocks, one or more. Received: blocks={blocks!r}")
    branches = blocks if isinstance(blocks, Mapping) else dict.fromkeys(blocks)
    return dict(_named(model, name, local, sums) for name, local in branches.items())


def _named(model: Any, name: str, local: int | None, sums: Iterable[ResidualSum]) -> tuple[Any, int | None]:
    """One block that the user named."""
    nodes = [node for core in functional_models(model) for node in calls_of(core, name)]
    if len(nodes) != 1:
        raise ValueError(
            f"Expected `blocks` to name operations that model '{model.name}' calls once, such as its residual sums "
            f"{[one.name for one in sums]}. Received: '{name}', which it calls {len(nodes)} times"
        )
    node, known = nodes[0], {one.operation: one.local for one in sums}
    if _is_sum(node):
        local = known.get(node.operation) if local is None else local
        if local not in (0, 1):
            raise ValueError(
                f"Expected a sum whose shortcut can be told from its residual branch. Received: '{name}', whose inputs "
                f"are equally long or unrelated. Say which input is the branch: blocks={{'{name}': 0}} or 1"
            )
        return node.operation, local
    shapes = [tuple(t.shape) for t in (*node.input_tensors[:1], *node.outputs)]
    if len(shapes) != 2 or shapes[0] != shapes[1] or len(shapes[0]) < 3:
        raise ValueError(
            f"Expected a residual sum or a block that keeps its input's shape. Received: '{name}' "
            f"({type(node.operation).__name__}) with the shapes {shapes}"
        )
    return node.operation, None


def _nothing_found(model: Any, sums: Sequence[ResidualSum]) -> str:
    nodes = [node for core in functional_models(model) for node in calls(core)]
    whole = [
        node.operation.name
        for node in nodes
        if "Encoder" in type(node.operation).__name__ or "Block" in type(node.operation).__name__
    ]
    if sums:
        return (
            f"Expected a residual sum behind layers other than attention in model '{model.name}'. Received: only "
            f"{[one.name for one in sums]}; name those you want with `blocks`"
        )
    if not nodes:
        return (
            f"Expected a functional Keras model. Received: model '{model.name}' of class {type(model).__name__}, whose "
            "call is its own code. Put `MHEXHead` in place of its residual sums there, and train it as "
            "`DeepSupervision(model)`"
        )
    mend = (
        f"Its layers {whole} may hold sums inside their own call, which cannot be seen from here: name them, "
        f"blocks={whole}, to have each equipped as one block (branch = output - input)"
        if whole
        else "Put `MHEXHead` into the model by hand, `MHEXHead(...)([local, shortcut])`"
    )
    return (
        f"Expected a residual sum (an Add of a branch and its shortcut) in model '{model.name}'. Received: none. {mend}"
    )
