"""How much memory a row takes in a model, measured on the model itself."""

from collections.abc import Iterable, Mapping

import torch

from xai_mimo_adapters.torch_adapter.calls import Call

_LEAST = 4
"""A row is taken to need so many times the memory of its inputs and outputs besides, seen or not."""


def bytes_of_a_row(call: Call, given: Mapping[str, torch.Tensor], weights: Iterable[torch.Tensor]) -> int:
    """What one row adds to what a forward pass keeps for the backward one.

    Args:
        call: the model. given: a few rows of its inputs; those that are differentiated by require gradients.
        weights: the model's own tensors, which rows share.
    """
    shared = {_address(tensor) for tensor in weights}
    kept: dict[int, int] = {}

    def count(tensor: torch.Tensor) -> None:
        # Nothing is handed back: what an operation gave and keeps would hold the operation, and both never end.
        if _address(tensor) not in shared:
            kept[_address(tensor)] = tensor.untyped_storage().nbytes()

    with torch.autograd.graph.saved_tensors_hooks(count, lambda nothing: nothing):
        outputs = call(dict(given))
    there: int = sum(x.nbytes for x in (*given.values(), *outputs.values()))
    rows = max(1, int(next(iter(given.values())).shape[0]))
    return (sum(kept.values()) + _LEAST * there) // rows


def _address(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage().data_ptr()) if tensor.layout == torch.strided else 0
