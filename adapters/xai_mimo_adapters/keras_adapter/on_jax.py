"""A Keras network on JAX: compiled by ``jax.jit``, weights passed as arguments so that changed weights are seen."""

import collections
import contextlib
from collections.abc import Hashable, Sequence
from typing import Any

import jax
import keras
import numpy as np

from xai_mimo.core.door import count_rows
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array
from xai_mimo.sowing import MapLabels
from xai_mimo_adapters.chunks import check_float, split_floats
from xai_mimo_adapters.jax_programs.disk_cache import keep_on_disk
from xai_mimo_adapters.jax_programs.gradients import gradients_of
from xai_mimo_adapters.jax_programs.programs import same_program
from xai_mimo_adapters.keras_adapter.attention import collecting
from xai_mimo_adapters.keras_adapter.compiled import Call
from xai_mimo_adapters.lent import Lent

_OFTEN = 16
"""After so many forward passes at one length a network of any length is compiled for forward passes alone."""
_TRACED = {
    "_forward": "_outputs",
    "_maps": "_outputs_and_maps",
    "_gradients": "_outputs_and_gradients",
    "_linear": "_outputs_and_tangents",
}
"""Of each compiled function that runs the network, the one that was compiled."""
_Floats = dict[str, jax.Array]


class JaxEngine:
    """Runs a network on chunks of rows; compiled functions for each chunk size and set of heads.

    A network that is asked for a second length along an axis is likely to be asked for more: from then on the forward
    pass of a length is compiled once, keeping what a backward pass needs, for predictions and gradients alike.

    Attributes:
        traces: how often Python ran the network to compile it.
        labels: what the sown maps mean, known after the first ``maps``.
    """

    fixed_shapes = True

    def __init__(self, variables: Sequence[keras.Variable]) -> None:
        keep_on_disk()
        self.traces = 0
        self.labels: dict[str, MapLabels] = {}
        self._variables = variables
        self._network = Lent()
        self._lengths: set[Hashable] = set()
        self._passes: collections.Counter[Hashable] = collections.Counter()
        self._oldest: tuple[str, list[Any]] | None = None
        self._forward = jax.jit(self._outputs)
        self._maps = jax.jit(self._outputs_and_maps)
        self._gradients = jax.jit(self._outputs_and_gradients, static_argnums=2)
        self._linear = jax.jit(self._outputs_and_tangents)
        self._pulled = jax.jit(gradients_of, static_argnums=3)

    def reading(self, model: Any) -> contextlib.AbstractContextManager[None]:
        """Nothing: a compiled network has no mode."""
        return contextlib.nullcontext()

    def is_current(self, call: Call, inputs: Arrays, tolerance: float) -> bool:
        """Whether the network is still what it was when it was first compiled.

        It is traced once more and compared with the program that was compiled: running it eagerly would compile each
        of its operations, and every recurrent loop anew each time.
        """
        if self._oldest is None:
            return True
        name, arguments = self._oldest
        compiled, function = getattr(self, name), getattr(self, _TRACED[name])
        arguments = [self._weights(), *arguments]

        def again(*arrays: Any) -> Any:
            """The network as a function that JAX has not seen: of the one it has seen, it would give what it kept."""
            return function(*arrays)

        with self._network.holding(call, is_counted=False):
            was = compiled.trace(*arguments).jaxpr  # kept by JAX with what it compiled
            now = jax.make_jaxpr(again, static_argnums=2 if name == "_gradients" else ())(*arguments)
        return same_program(was, now)

    def forward(self, call: Call, inputs: Arrays) -> Arrays:
        """Outputs for one chunk: ``{head: (row, ...)}``."""
        with self._network.holding(call):
            if self._is_shared(inputs):
                shape = _lengths(inputs), count_rows(inputs)
                self._passes[shape] += 1
                if self._passes[shape] <= _OFTEN:
                    return _to_numpy(self._run("_linear", inputs)[0])
            return _to_numpy(self._run("_forward", inputs))

    def maps(self, call: Call, inputs: Arrays) -> Arrays:
        """Every map sown while reading one chunk, by key."""
        with self._network.holding(call):
            return _to_numpy(self._run("_maps", inputs))

    def gradients(self, call: Call, inputs: Arrays, heads: Sequence[str], units: Array) -> tuple[Arrays, Arrays]:
        """Outputs, and ``{stream: (target, row, ...)}`` from one forward and one backward pass per target."""
        with self._network.holding(call):
            if self._is_shared(inputs):
                outputs, tangents = self._run("_linear", inputs)
                _check_floats(heads, outputs)
                gradients = self._pulled(tangents, outputs, split_floats(inputs)[0], tuple(heads), units)
            else:
                outputs, gradients = self._run("_gradients", inputs, tuple(heads), units)
        return _to_numpy(outputs), _to_numpy(gradients)

    def _run(self, name: str, inputs: Arrays, *more: Any) -> Any:
        """Run one of the compiled functions; what the first was compiled for is noted."""
        results = getattr(self, name)(self._weights(), inputs, *more)
        if self._oldest is None:
            self._oldest = name, [{n: _shape(x) for n, x in inputs.items()}, *more[:1], *map(_shape, more[1:])]
        return results

    def _is_shared(self, inputs: Arrays) -> bool:
        """Whether these rows are of another length than the first ones were."""
        first = not self._lengths
        lengths = _lengths(inputs)
        if first:
            self._lengths.add(lengths)
        return lengths not in self._lengths and bool(split_floats(inputs)[0])

    def _weights(self) -> list[jax.Array]:
        return [v.value for v in self._variables]

    def _outputs(self, weights: list[jax.Array], inputs: dict[str, jax.Array]) -> dict[str, jax.Array]:
        self.traces += self._network.is_counted
        with keras.StatelessScope(state_mapping=list(zip(self._variables, weights, strict=True))):
            return self._network.run(inputs)

    def _outputs_and_maps(self, weights: list[jax.Array], inputs: dict[str, jax.Array]) -> dict[str, jax.Array]:
        with collecting(self.labels) as maps:
            self._outputs(weights, inputs)
        return dict(maps)

    def _outputs_and_gradients(
        self, weights: list[jax.Array], inputs: dict[str, jax.Array], heads: tuple[str, ...], units: jax.Array
    ) -> tuple[dict[str, jax.Array], _Floats]:
        outputs, tangents = self._outputs_and_tangents(weights, inputs)
        _check_floats(heads, outputs)
        return outputs, gradients_of(tangents, outputs, split_floats(inputs)[0], heads, units)

    def _outputs_and_tangents(
        self, weights: list[jax.Array], inputs: dict[str, jax.Array]
    ) -> tuple[dict[str, jax.Array], Any]:
        """Outputs, and the linear function from changes of the float streams to changes of the outputs."""
        floats, held = split_floats(inputs)
        outputs, tangents = jax.linearize(lambda x: self._outputs(weights, {**held, **x}), floats)
        return outputs, tangents


def _check_floats(heads: Sequence[str], outputs: dict[str, jax.Array]) -> None:
    for head in heads:
        check_float(head, str(outputs[head].dtype))


def _lengths(inputs: Arrays) -> Hashable:
    return tuple((name, x.shape[1:]) for name, x in inputs.items())


def _shape(array: Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, jax.dtypes.canonicalize_dtype(array.dtype))


def _to_numpy(tensors: dict[str, jax.Array]) -> Arrays:
    return {name: np.asarray(t) for name, t in tensors.items()}
