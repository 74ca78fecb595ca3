"""Copies of modules with shuffled weights, for tests of whether a map depends on them."""

import copy
from collections.abc import Sequence

import numpy as np
import torch

from xai_mimo.core.errors import NotSupported
from xai_mimo.core.streams import unknown


def shuffled(model: torch.nn.Module, rng: np.random.Generator, layers: Sequence[str] | None = None) -> torch.nn.Module:
    """A copy of a module, the values of each parameter of some submodules in a random order.

    Args:
        model: which stays as it is. rng: of the orders.
        layers: paths of submodules, whose own submodules are meant too; None for all.
    Raises:
        UnknownName: no such submodule. NotSupported: the module cannot be copied.
    """
    for layer in layers or ():
        if layer not in dict(model.named_modules()) or not layer:
            raise unknown(layer, (path for path, _ in model.named_modules() if path), "layer")
    try:
        twin = copy.deepcopy(model)
    except (RuntimeError, TypeError, NotImplementedError) as err:
        raise NotSupported(
            f"a {type(model).__name__} cannot be copied, so there is none with random weights: {err} Build such a "
            "model anew, and compare with it by hand."
        ) from err
    chosen = [twin] if layers is None else [twin.get_submodule(layer) for layer in layers]
    parameters = dict.fromkeys(p for module in chosen for p in module.parameters())
    with torch.no_grad():
        for parameter in parameters:
            order = torch.from_numpy(rng.permutation(parameter.numel())).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].reshape(parameter.shape))
    return twin
