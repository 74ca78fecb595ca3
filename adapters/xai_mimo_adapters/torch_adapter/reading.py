"""What is switched while a model is read and put back afterwards, also after an error: modes, fast paths, random state,
cuDNN."""

import contextlib
import threading
from collections.abc import Iterator, Sequence

import torch

_RECURRENT = frozenset({"RNN", "LSTM", "GRU"})

_LOCK = threading.Lock()
_PASSES = [0, True]
"""How many passes are reading, and whether attention may take its fast path when the last of them ends."""
_MODES: dict[torch.nn.Module, tuple[int, bool]] = {}
"""Of the modules that are being read: by how many passes, and the mode to put back when the last of them ends."""


@contextlib.contextmanager
def reading(modules: Sequence[torch.nn.Module], device: torch.device) -> Iterator[None]:
    """Every module in evaluation mode, outside ``torch.inference_mode()``; modes and random states are put back.

    What a module keeps of a call (a table of positions, say) could not be differentiated through later, had the call
    been in inference mode.

    Args:
        modules: all that take part, submodules too. device: where they are.
    """
    with _evaluating(modules), _without_fast_path(), torch.inference_mode(False), _random_state(modules, device):
        yield


@contextlib.contextmanager
def _without_fast_path() -> Iterator[None]:
    """Transformers as they are differentiated: the fast path drops padded steps, from outputs too, where all rows of a
    call are shorter, and calls no submodules."""
    with _LOCK:
        if not _PASSES[0]:
            _PASSES[1] = torch.backends.mha.get_fastpath_enabled()
            torch.backends.mha.set_fastpath_enabled(False)
        _PASSES[0] += 1
    try:
        yield
    finally:
        with _LOCK:
            _PASSES[0] -= 1
            if not _PASSES[0]:
                torch.backends.mha.set_fastpath_enabled(_PASSES[1])


@contextlib.contextmanager
def _evaluating(modules: Sequence[torch.nn.Module]) -> Iterator[None]:
    """Modes by the flag alone: a ``train`` of the user's own may do more. Put back by whoever reads a module last."""
    with _LOCK:
        for module in modules:  # all before any is switched: a compiled module shows the mode of the one inside it
            count, training = _MODES.get(module, (0, bool(module.training)))
            _MODES[module] = count + 1, training
        for module in modules:
            module.training = False
    try:
        yield
    finally:
        with _LOCK:
            for module in modules:
                count, training = _MODES.pop(module)
                if count > 1:
                    _MODES[module] = count - 1, training
                else:
                    module.training = training


@contextlib.contextmanager
def _random_state(modules: Sequence[torch.nn.Module], device: torch.device) -> Iterator[None]:
    if device.type == "mps":
        state = torch.mps.get_rng_state()
        with torch.random.fork_rng(devices=[]):
            try:
                yield
            finally:
                torch.mps.set_rng_state(state)
        return
    on = {x.device for module in modules for x in (*module.parameters(recurse=False), *module.buffers(recurse=False))}
    devices = sorted({d.index or 0 for d in (*on, device) if d.type == "cuda"})
    with torch.random.fork_rng(devices=devices):
        yield


@contextlib.contextmanager
def differentiating(modules: Sequence[torch.nn.Module], device: torch.device) -> Iterator[None]:
    """Gradients on, whatever the caller switched off; cuDNN off for recurrent networks, whose backward pass it has in
    training mode alone."""
    is_recurrent = device.type == "cuda" and any(kind_of(module) in _RECURRENT for module in modules)
    without_cudnn = torch.backends.cudnn.flags(enabled=False) if is_recurrent else contextlib.nullcontext()
    with torch.enable_grad(), without_cudnn:
        yield


def kind_of(module: torch.nn.Module) -> str:
    """A module's class by name; a scripted one tells that of its source."""
    return str(getattr(module, "original_name", type(module).__name__))
