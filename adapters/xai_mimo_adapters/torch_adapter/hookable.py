"""A network as one module for other libraries to hook: its streams side by side in, all units of its heads out.

The submodules are the user's own, so hooks fire; whatever a library leaves on them is taken away again.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from xai_mimo.core.errors import NotSupported, ShapeMismatch
from xai_mimo_adapters.torch_adapter.calls import on
from xai_mimo_adapters.torch_adapter.network import TorchNetwork
from xai_mimo_adapters.torch_adapter.reading import differentiating

_LOCK = threading.RLock()
"""One thread at a time: the hooks of two would see each other's passes."""


class HookableNetwork(TorchNetwork):
    """A network that runs module by module in Python; see ``Hookable``."""

    @contextmanager
    def hookable(self) -> Iterator[torch.nn.Module]:
        """This network as one module, while the context lasts; see ``Hookable.hookable``.

        Streams may lie on any device, and the answer lies where the first one does. Another thread that asks for the
        same waits.

        Raises:
            NotSupported: maps were replaced, which belong to rows.
        """
        if self._maps:
            raise NotSupported(
                f"maps of '{self.name}' were replaced, each for certain rows, and hooks know no rows. Explain the "
                "model as it is."
            )
        modules = self._callee.modules
        with (
            _LOCK,
            self._reading(),
            differentiating(modules, self._callee.device),
            _put_back(modules),
        ):
            yield SideBySide(self._answer, self._submodules(), [stream.name for stream in self.streams])

    def _submodules(self) -> dict[str, torch.nn.Module]:
        """Modules that hooks may be put on, by path; those of a model that is a single layer are that layer."""
        root = self._callee.function
        children = dict(root.named_children()) if isinstance(root, torch.nn.Module) else {}
        return children or {type(root).__name__: root}

    def _answer(self, streams: Sequence[torch.Tensor]) -> torch.Tensor:
        device = self._callee.device
        given = {own: x.to(device).clone() for own, x in zip(self._by_own, streams, strict=True)}
        rows = len(streams[0])
        for own, stream in self._held.items():
            held = on(device, {own: self._held_row[stream.name]})[own]
            given[own] = held.repeat(rows, *(1,) * (held.ndim - 1))
        outputs = self._in_dtype(given)
        heads = [outputs[own].reshape(rows, -1) for own in self._outputs.values()]
        # No columns of each stream: so that a stream which a head does not read has a gradient, and it is zero.
        nothing = [x.reshape(rows, -1)[:, :0] for x in given.values() if x.is_floating_point()]
        return torch.cat([*heads, *nothing], dim=1).to(streams[0].device)


class SideBySide(torch.nn.Module):  # type: ignore[misc] # torch is untyped here
    """A network from its streams, in order, to all units of all heads, in order: ``(sample, unit)``.

    Args:
        answer: from the tensors of the streams to the units. modules: that hooks may be put on, by name.
        streams: names, for error texts.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[torch.Tensor]], torch.Tensor],
        modules: Mapping[str, torch.nn.Module],
        streams: Sequence[str],
    ) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.__dict__["_xai_mimo"] = answer, tuple(streams)
        self.training = False

    def forward(self, *streams: torch.Tensor) -> torch.Tensor:
        """All units of all heads side by side, ``(sample, unit)``."""
        answer, names = self.__dict__["_xai_mimo"]
        if len(streams) != len(names):
            raise ShapeMismatch(f"expected one tensor for each of the streams {', '.join(names)}; got {len(streams)}.")
        return answer(streams)


@contextmanager
def _put_back(modules: Sequence[torch.nn.Module]) -> Iterator[None]:
    """Hooks and attributes that are put on modules meanwhile are taken away, and those that are gone come back."""
    attributes = [dict(vars(module)) for module in modules]
    hooks = [{name: set(held) for name, held in before.items() if _is_table(name, held)} for before in attributes]
    weights = [
        (weight, weight.data, weight.requires_grad, weight.grad)
        for module in modules
        for weight in (*module.parameters(recurse=False), *module.buffers(recurse=False))
        if weight.is_leaf
    ]
    try:
        yield
    finally:
        for module, before, own in zip(modules, attributes, hooks, strict=True):
            now = vars(module)
            for name in [name for name in now if name not in before]:
                del now[name]
            now.update({name: value for name, value in before.items() if name != "training"})
            for name, keys in own.items():
                for key in [key for key in now[name] if key not in keys]:
                    del now[name][key]
        for weight, data, requires_grad, grad in weights:
            if weight.data.data_ptr() != data.data_ptr():
                weight.data = data
            weight.requires_grad_(requires_grad)
            weight.grad = grad


def _is_table(name: str, held: Any) -> bool:
    """Whether an attribute of a module is a table of hooks, or of weights, which libraries hang their tensors into."""
    is_table = "hooks" in name or name in ("_parameters", "_buffers", "_modules")
    return name.startswith("_") and is_table and isinstance(held, dict)
