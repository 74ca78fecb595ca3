"""The part of a module behind a cut, run by the module itself: its own call, one submodule's inputs replaced."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as tree

from xai_mimo.core.errors import NotSupported
from xai_mimo_adapters.torch_adapter.calls import Call, Tensors
from xai_mimo_adapters.torch_adapter.cut import Cut


def tail_call(call: Call, module: torch.nn.Module, cut: Cut, rows: Mapping[str, Any]) -> Call:
    """The model as a call of what a module reads.

    The tensors that the module is called with are replaced for it and for all that reads them later, such as a residual
    connection. Inputs of the model that reach no head beside the module take the values of one row, which reach none.

    Args:
        call: the model. module: that is cut at. cut: how. rows: one row of the model's inputs or more, by own name.
    """

    def tail(given: Tensors) -> Tensors:
        some = next(iter(given.values()))
        raw = {own: given[own] if own in given else _repeated(row, some) for own, row in rows.items()}
        swapping = _Swapping()
        is_graph_wanted = torch.is_grad_enabled()

        def replace(leaves: list[Any]) -> list[Any]:
            for key, places in cut.places.items():
                swapping.swap(leaves[places[0]], given[key])
            torch.set_grad_enabled(is_graph_wanted)
            return [swapping.swapped(leaf) for leaf in leaves]

        before = any(raw[own].requires_grad for own in cut.beside)
        with torch.set_grad_enabled(is_graph_wanted and before), _on_entry(module, replace) as entered, swapping:
            outputs = call(raw)
        _check_entered(entered, cut)
        return outputs

    return tail


def read_call(call: Call, module: torch.nn.Module, cut: Cut) -> Call:
    """The model as a call that gives what a module reads, by the own names of the cut."""

    def read(given: Tensors) -> Tensors:
        found: Tensors = {}

        def take(leaves: list[Any]) -> list[Any]:
            found.update({key: leaves[places[0]].detach() for key, places in cut.places.items()})
            raise _Enough

        with _on_entry(module, take) as entered, suppress(_Enough):
            call(given)
        _check_entered(entered, cut)
        return found

    return read


class _Enough(BaseException):
    """What was wanted of a pass is known."""


class _Swapping(TorchFunctionMode):
    """Hands operations other tensors in the place of some."""

    def __init__(self) -> None:
        super().__init__()
        self._others: dict[int, torch.Tensor] = {}
        self._kept: list[torch.Tensor] = []

    def swap(self, tensor: torch.Tensor, other: torch.Tensor) -> None:
        """From now on, this one for that one."""
        self._others[id(tensor)] = other
        self._kept.append(tensor)  # so that its identity is not given to another

    def swapped(self, value: Any) -> Any:
        return self._others.get(id(value), value) if isinstance(value, torch.Tensor) else value

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self._others:
            args, kwargs = tree.tree_map(self.swapped, (tuple(args), dict(kwargs or {})))
        return func(*args, **(kwargs or {}))


@contextmanager
def _on_entry(module: torch.nn.Module, act: Callable[[list[Any]], list[Any]]) -> Iterator[list[bool]]:
    """Change what a module is called with, in this thread; the hook is taken away again. Yields a mark a call."""
    thread, entered = threading.get_ident(), []

    def hook(_: torch.nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        if threading.get_ident() != thread:
            return None
        entered.append(True)
        leaves, spec = tree.tree_flatten((args, kwargs))
        changed: tuple[Any, Any] = tree.tree_unflatten(act(leaves), spec)
        return changed

    handle = module.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield entered
    finally:
        handle.remove()


def _check_entered(entered: list[bool], cut: Cut) -> None:
    if len(entered) != 1:
        raise NotSupported(
            f"layer '{cut.path}' was called once when the model was adapted, and {len(entered)} times now: which "
            "modules run depends on the values of the rows. Explain at a layer that every row passes once."
        )


def _repeated(row: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return row[:1].repeat(like.shape[0], *(1,) * (row.ndim - 1))
