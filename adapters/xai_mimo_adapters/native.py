"""Functions of a framework's tensors: seen by what they hold, and adapted as models of that framework."""

import sys
from collections.abc import Callable, Sequence
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np

from xai_mimo.core.door import check_inputs, count_rows
from xai_mimo.core.errors import NotSupported
from xai_mimo.core.from_data import first_rows
from xai_mimo.core.model import Arrays, Differentiable, Model, Renamable, backend_of
from xai_mimo.core.plugins import load_plugin, plugins
from xai_mimo.core.streams import Array, Head, Stream
from xai_mimo.core.targets import Selector
from xai_mimo_adapters.functions import held_by, names_in

_NATIVE = {
    "torch": "torch",
    "jax": "jaxlib",
    "jaxlib": "jaxlib",
    "flax": "jaxlib",
    "equinox": "jaxlib",
    "tensorflow": "tensorflow",
}
"""Frameworks that differentiate functions, and the names of the adapters that take these."""
_ROWS, _LENGTH = 4, 16
"""Of rows that are made up: how many, and how long an axis of any length is."""


def frameworks_of(function: Any) -> tuple[str, ...]:
    """Frameworks that a function can be seen to compute with, by their root modules, of those that are imported."""
    roots = [root for thing in held_by(function) for root in _roots(thing)]
    if isinstance(function, FunctionType):  # what its body imports
        roots += [name.split(".")[0] for name in names_in(function.__code__)]
    return tuple(dict.fromkeys(root for root in roots if root in _NATIVE and root in sys.modules))


def natively_adapted(
    function: Callable[..., Any], *, streams: Any, heads: Any, max_memory: int | None, like: Any
) -> Model | None:
    """A function of the tensors of a framework, as a model of it; None for a function of arrays.

    Asked is the adapter of each framework that the function can be seen to compute with, as
    ``Adapter(function, streams=, heads=, max_memory=, like=)``; it refuses what does not take its tensors. A function
    that holds its gradient back, as under ``torch.no_grad``, is a model without gradients.
    """
    frameworks = frameworks_of(function)
    entries = plugins("xai_mimo.adapters") if frameworks else {}
    for root in dict.fromkeys(_NATIVE[framework] for framework in frameworks):
        adapter = load_plugin(entries[root]) if root in entries else None
        if adapter is None:
            continue
        try:
            adapted: Model = adapter(function, streams=streams, heads=heads, max_memory=max_memory, like=like)
        except NotSupported:
            continue
        return adapted if _tells_slopes(adapted, like) else Predicting(adapted)
    return None


class Predicting:
    """A model that holds its gradients back: asked for predictions alone, so that no method takes zeros for slopes."""

    def __init__(self, model: Model) -> None:
        self.model = model

    @property
    def name(self) -> str:
        """What the model is called."""
        return str(getattr(self.model, "name", ""))

    @property
    def backend(self) -> str:
        """The framework that computes."""
        return backend_of(self.model)

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The model's."""
        return self.model.streams

    @property
    def heads(self) -> tuple[Head, ...]:
        """The model's."""
        return self.model.heads

    def fingerprint(self) -> str:
        """The model's."""
        return self.model.fingerprint()

    def predict(self, inputs: Any) -> Arrays:
        """The model's."""
        return self.model.predict(inputs)

    def renamed(self, streams: Sequence[Stream]) -> "Predicting":
        """The same under other descriptions of its streams, where the model can be so described; see ``Renamable``."""
        return Predicting(self.model.renamed(streams)) if isinstance(self.model, Renamable) else self


def _tells_slopes(model: Model, like: Any) -> bool:
    """Whether a model's gradients are of some use: not all 0 where its answers differ from row to row."""
    if not isinstance(model, Differentiable):
        return True
    rows = _made_up(model.streams) if like is None else check_inputs(first_rows(like), model.streams)
    floats = [stream.name for stream in model.streams if np.dtype(stream.dtype).kind == "f"]
    outputs = model.predict(rows)
    count = count_rows(rows)
    heads = [h for h in model.heads if outputs[h.name].dtype.kind == "f" and np.ptp(_first_unit(outputs[h.name])) > 0]
    if not floats or not heads:
        return True
    first_units = [Selector(head.name, head.name, np.zeros(count, np.int64)) for head in heads]
    _, slopes = model.gradients(rows, first_units, floats)
    return any(slope.any() for slope in slopes.values())


def _first_unit(values: Array) -> Array:
    first: Array = values.reshape(len(values), -1)[:, 0]
    return first


def _made_up(streams: Sequence[Stream]) -> Arrays:
    """Rows for streams of which nothing but the declaration is known."""
    rng = np.random.default_rng(0)
    shapes = {s.name: (_ROWS, *(n or _LENGTH for n in s.shape)) for s in streams}
    return {
        s.name: rng.normal(size=shapes[s.name]).astype(s.dtype)
        if np.dtype(s.dtype).kind == "f"
        else np.zeros(shapes[s.name], s.dtype)
        for s in streams
    }


def _roots(thing: Any) -> tuple[str, ...]:
    """Root modules of what something is, or is of: of its type and all that this is derived from."""
    if isinstance(thing, ModuleType):
        return (thing.__name__.split(".")[0],)
    owner = thing.__self__ if isinstance(thing, BuiltinFunctionType) and thing.__module__ is None else thing
    modules = [kind.__module__ for kind in type(owner).__mro__]
    return tuple(str(module).split(".")[0] for module in (getattr(owner, "__module__", None), *modules) if module)
