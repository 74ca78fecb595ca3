"""Runs a network of JAX on chunks of rows, compiled once for each size; weights are arguments.

What is compiled is kept with the user's model, as long as that lives and its program is the same: a second adapter of
it compiles nothing. An engine holds compiled functions and no model; the code of a network is lent to it for one call.
"""

import contextlib
import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.extend import core

from xai_mimo.core.errors import NotSupported
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array
from xai_mimo.sowing import MapLabels
from xai_mimo_adapters.chunks import check_float
from xai_mimo_adapters.jax_adapter.tracing import Run, Tensors, leaves_jax
from xai_mimo_adapters.jax_programs.disk_cache import keep_on_disk
from xai_mimo_adapters.jax_programs.gradients import gradients_of
from xai_mimo_adapters.jax_programs.programs import same_program
from xai_mimo_adapters.lent import Lent

MAPS = " map of "
"""Stands before a map's key among the outputs of a network that shows its maps."""


class Engine:
    """Compiled functions of one network.

    Args:
        label: of the model, for errors.

    Attributes:
        traces: how often Python ran the network to compile it.
        labels: what the sown maps mean, known after the first ``maps``.
    """

    def __init__(self, label: str) -> None:
        keep_on_disk()
        self.traces = 0
        self.labels: dict[str, MapLabels] = {}
        self._label = label
        self._network = Lent()
        self._forward = jax.jit(self._outputs)
        self._maps = jax.jit(self._outputs_and_maps)
        self._gradients = jax.jit(self._outputs_and_gradients, static_argnums=(3,))

    def forward(self, run: Run, weights: Any, inputs: Arrays) -> Arrays:
        """Outputs for one chunk: ``{head: (row, ...)}``."""
        with self._reading(run):
            return _to_numpy(self._forward(weights, inputs))

    def maps(self, run: Run, weights: Any, inputs: Arrays) -> Arrays:
        """Every map sown while reading one chunk, by key; ``run`` shows them among its outputs."""
        with self._reading(run):
            outputs = _to_numpy(self._maps(weights, inputs))
        return {name.removeprefix(MAPS): values for name, values in outputs.items() if name.startswith(MAPS)}

    def gradients(
        self, run: Run, weights: Any, inputs: Arrays, by: Sequence[str], heads: Sequence[str], units: Array
    ) -> tuple[Arrays, Arrays]:
        """Outputs, and ``{stream: (target, row, ...)}`` by the streams named, from one forward pass."""
        floats = {name: inputs[name] for name in by}
        held = {name: x for name, x in inputs.items() if name not in floats}
        with self._reading(run):
            outputs, gradients = self._gradients(weights, floats, held, tuple(heads), units)
        return _to_numpy(outputs), _to_numpy(gradients)

    @contextlib.contextmanager
    def _reading(self, run: Run) -> Iterator[None]:
        try:
            with self._network.holding(run):
                yield
        except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError) as err:
            raise leaves_jax(self._label, err) from err
        except ValueError as err:
            if not str(err).startswith("Reverse-mode differentiation does not work"):
                raise
            raise NotSupported(
                f"'{self._label}' has no gradient: JAX cannot go backwards through a loop whose length depends on "
                "values. Use jax.lax.scan or a loop of fixed length, or a method that only asks for predictions, such "
                "as 'shapley'."
            ) from err
        except jax.errors.UnexpectedTracerError as err:
            raise NotSupported(
                f"'{self._label}' keeps arrays of a trace beyond it, such as a map that is sown inside a function "
                "jitted or mapped within the model. Sow outside of it, or leave jax.jit to whoever calls the model."
            ) from err

    def _outputs(self, weights: Any, inputs: Tensors) -> Tensors:
        self.traces += self._network.is_counted
        return self._network.run(weights, inputs)

    def _outputs_and_maps(self, weights: Any, inputs: Tensors) -> Tensors:
        """Of its own, since JAX keeps what it traced by the function."""
        return self._outputs(weights, inputs)

    def _outputs_and_gradients(
        self, weights: Any, floats: Tensors, held: Tensors, heads: tuple[str, ...], units: jax.Array
    ) -> tuple[Tensors, Tensors]:
        outputs, tangents = jax.linearize(lambda x: self._outputs(weights, {**held, **x}), floats)
        for head in heads:
            check_float(head, str(outputs[head].dtype))
        return outputs, gradients_of(tangents, outputs, floats, heads, units)


@dataclass(frozen=True, eq=False)
class _Kept:
    model: "weakref.ref[Any]"
    program: core.ClosedJaxpr
    engine: Engine


_FORMS = 4
"""So many programs of one model are kept: of streams of other shapes, or before and after it changed."""
_LOCK = threading.Lock()
_ENGINES: list[_Kept] = []


def engine_of(model: Any, program: core.ClosedJaxpr, label: str) -> Engine:
    """The engine of a model whose program is this one; a new one where there is none yet, or the program was another.

    Args:
        model: the user's own object. program: what it does now, for a few rows. label: of it, for errors.
    """
    try:
        own = weakref.ref(model)
    except TypeError:  # of a kind that cannot be referred to weakly
        return Engine(label)
    with _LOCK:
        _ENGINES[:] = [kept for kept in _ENGINES if kept.model() is not None]
        mine = [kept for kept in _ENGINES if kept.model() is model]
        for kept in mine:
            if same_program(kept.program, program):
                return kept.engine
        if len(mine) == _FORMS:
            _ENGINES.remove(mine[0])
        _ENGINES.append(_Kept(own, program, Engine(label)))
        return _ENGINES[-1].engine


def _to_numpy(tensors: Tensors) -> Arrays:
    return {name: np.asarray(t) for name, t in tensors.items()}
