"""What was compiled for Keras models, kept while a model lives and is as it was: nothing is compiled twice.

One table, weak in its models, holds for each of them the engines of its parts: of the whole, of each tail, of what
reads up to a layer. Adapters are made anew at every call and cost milliseconds; whichever of them asks for a part gets
the same engine, so ``explain(model, x)`` compiles as little the second time as with an adapted model.

Who holds what, so that a model that is dropped is freed with all that was compiled for it:

- an adapter holds the model, as its user does; the table does not hold the adapter;
- an engine holds compiled functions and the model's variables. It never holds the model, a layer or a tensor of its
  graph, from which the model could be reached (a layer knows the calls it is in, and these whom they call). The Python
  code of a network is lent to its engine for one call at a time (``Lent``), for the case that it is to be compiled;
- marks (``marks.py``) refer to things of the model weakly.

A model whose marks have changed gets new engines at the next call. Weights are arguments and leave no mark: training
on is seen and compiles nothing. Marks do not tell all (``marks.py``): an adapter that comes to a part that was compiled
for another adapter has it compared once with the model as it is, and new engines made for the whole model where they
differ. So ``explain(model, x)`` tells of the model as it is; an adapter that is kept looks at the marks alone.
"""

import contextlib
import importlib
import threading
import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Protocol

import keras

from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array
from xai_mimo.sowing import MapLabels
from xai_mimo_adapters.keras_adapter.marks import Marks

Call = Callable[[dict[str, Any]], dict[str, Any]]
"""A network: from the tensors of its inputs to those of its outputs, by name."""
_ENGINES = {
    "jax": ("xai_mimo_adapters.keras_adapter.on_jax", "JaxEngine"),
    "tensorflow": ("xai_mimo_adapters.keras_adapter.on_tensorflow", "TensorFlowEngine"),
    "torch": ("xai_mimo_adapters.keras_adapter.on_torch", "TorchEngine"),
}

_TOLERANCES = {"bfloat16": 5e-2, "float16": 2e-2, "float64": 1e-6}
_OF_SINGLE = 1e-3
"""Run eagerly and compiled, a network of single precision may be apart by this share of its answers."""


class Engine(Protocol):
    """One network on one backend, for one chunk of rows at a time.

    Attributes:
        traces: how often Python ran the network to compile it.
        labels: what the sown maps mean, known after the first ``maps``.
        fixed_shapes: whether every number of rows is a compilation.
    """

    traces: int
    labels: dict[str, MapLabels]
    fixed_shapes: bool

    def reading(self, model: Any) -> contextlib.AbstractContextManager[None]:
        """What the model needs around the calls of one pass."""

    def is_current(self, call: Call, inputs: Arrays, tolerance: float) -> bool:
        """Whether the network still is what it was when it was first compiled, or nothing was compiled.

        What is compiled later is younger, so a change since anything was compiled is one since the first.

        Args:
            call: the network. inputs: rows to try it with, where it has to be run.
            tolerance: how far answers to one row may be apart, as a share of their size.
        """

    def forward(self, call: Call, inputs: Arrays) -> Arrays:
        """Outputs ``{head: (row, ...)}``."""

    def maps(self, call: Call, inputs: Arrays) -> Arrays:
        """Sown maps by key, each ``(row, *axes)``."""

    def gradients(self, call: Call, inputs: Arrays, heads: Sequence[str], units: Array) -> tuple[Arrays, Arrays]:
        """Outputs, and ``{stream: (target, row, ...)}`` of the streams that hold floats, one target per head given.

        Args:
            call: the network. inputs: one chunk. heads: the head of each target.
            units: ``(target, row)`` flat unit of each row.
        """


class Compiled:
    """The engines of one model as it is now.

    Args:
        model: a Keras model.
        before: what was compiled for it when it was another; its traces are counted on.
    """

    def __init__(self, model: keras.Model, before: "Compiled | None" = None) -> None:
        self.notes: dict[Hashable, Any] = {}  # plain values that running the model has told
        self._marks = Marks(model)
        self._variables = list(model.variables)  # in one order: toggling trainable flags reorders the model's lists
        self._engines: dict[Hashable, Engine] = {}
        self._traces: dict[Hashable, int] = {} if before is None else before.traces()

    def fits(self, model: keras.Model) -> bool:
        """Whether the model is still what it was."""
        return self._marks.fit(model)

    def traces(self) -> dict[Hashable, int]:
        """How often each part was traced, also before the model changed."""
        return {**self._traces, **{part: engine.traces for part, engine in self._engines.items()}}

    def engine(self, part: Hashable) -> Engine:
        """The engine of a part of the model, by what the part is called in this model."""
        with _LOCK:
            if part not in self._engines:
                module, name = _ENGINES[keras.config.backend()]
                made: Engine = getattr(importlib.import_module(module), name)(self._variables)
                made.traces = self._traces.get(part, 0)
                self._engines[part] = made
            return self._engines[part]

    def has(self, part: Hashable) -> bool:
        """Whether a part of the model has an engine."""
        return part in self._engines

    def is_current(self, model: keras.Model, part: Hashable, call: Call, rows: Arrays) -> bool:
        """Whether what was compiled for a part still is what the model does; see ``Engine.is_current``."""
        engine = self.engine(part)
        with engine.reading(model):
            is_current = engine.is_current(call, rows, _TOLERANCES.get(coarsest_dtype(model), _OF_SINGLE))
        self._marks = Marks(model)  # what a layer writes down about itself when it is run is no change
        return is_current

    @contextlib.contextmanager
    def running(self, model: keras.Model, part: Hashable) -> Iterator[Engine]:
        """The engine of a part; what a layer wrote down about itself while it was traced is no change of the model."""
        engine = self.engine(part)
        before = engine.traces
        with engine.reading(model):
            yield engine
        if engine.traces != before:
            self._marks = Marks(model)


_LOCK = threading.RLock()
_OF_MODELS: "weakref.WeakKeyDictionary[keras.Model, Compiled]" = weakref.WeakKeyDictionary()


def compiled_for(model: keras.Model) -> Compiled:
    """What was compiled for a model as it is now; nothing yet where it is new or has changed."""
    with _LOCK:
        known = _OF_MODELS.get(model)
        if known is None or not known.fits(model):
            known = _OF_MODELS[model] = Compiled(model, known)
        return known


def renewed(model: keras.Model, stale: Compiled) -> Compiled:
    """New engines for a model in the place of those that do what it did before."""
    with _LOCK:
        if _OF_MODELS.get(model) is stale:
            _OF_MODELS[model] = Compiled(model, stale)
    return compiled_for(model)


def coarsest_dtype(model: keras.Model) -> str:
    """The coarsest float dtype that a layer computes in; "" where there is none."""
    computed = {str(layer.compute_dtype) for layer in model._flatten_layers(include_self=False)}
    return next((dtype for dtype in ("bfloat16", "float16", "float32", "float64") if dtype in computed), "")
