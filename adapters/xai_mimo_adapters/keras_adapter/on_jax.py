"""A Keras network on JAX: compiled by ``jax.jit``, weights passed as arguments so that changed weights are seen."""

import contextlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array
from xai_mimo.sowing import MapLabels, collect
from xai_mimo_adapters.chunks import check_float, split_floats
from xai_mimo_adapters.keras_adapter.compiled import Call, Lent


class JaxEngine:
    """Runs a network on chunks of rows; one compiled function per chunk size and set of heads.

    Attributes:
        traces: how often Python ran the network to compile it.
        labels: what the sown maps mean, known after the first ``maps``.
    """

    fixed_shapes = True

    def __init__(self, variables: Sequence[keras.Variable]) -> None:
        self.traces = 0
        self.labels: dict[str, MapLabels] = {}
        self._variables = variables
        self._network = Lent()
        self._forward = jax.jit(self._outputs)
        self._maps = jax.jit(self._outputs_and_maps)
        self._gradients = jax.jit(self._outputs_and_gradients, static_argnums=2)

    def reading(self, model: Any) -> contextlib.AbstractContextManager[None]:
        """Nothing: a compiled network has no mode."""
        return contextlib.nullcontext()

    def forward(self, call: Call, inputs: Arrays) -> Arrays:
        """Outputs for one chunk: ``{head: (row, ...)}``."""
        with self._network.holding(call):
            return _to_numpy(self._forward(self._weights(), inputs))

    def maps(self, call: Call, inputs: Arrays) -> Arrays:
        """Every map sown while reading one chunk, by key."""
        with self._network.holding(call):
            return _to_numpy(self._maps(self._weights(), inputs))

    def gradients(self, call: Call, inputs: Arrays, heads: Sequence[str], units: Array) -> tuple[Arrays, Arrays]:
        """Outputs, and ``{stream: (target, row, ...)}`` from one forward and one backward pass per target."""
        with self._network.holding(call):
            outputs, gradients = self._gradients(self._weights(), inputs, tuple(heads), units)
        return _to_numpy(outputs), _to_numpy(gradients)

    def _weights(self) -> list[jax.Array]:
        return [v.value for v in self._variables]

    def _outputs(self, weights: list[jax.Array], inputs: dict[str, jax.Array]) -> dict[str, jax.Array]:
        self.traces += 1
        with keras.StatelessScope(state_mapping=list(zip(self._variables, weights, strict=True))):
            return self._network.run(inputs)

    def _outputs_and_maps(self, weights: list[jax.Array], inputs: dict[str, jax.Array]) -> dict[str, jax.Array]:
        with collect(self.labels) as maps:
            self._outputs(weights, inputs)
        return dict(maps)

    def _outputs_and_gradients(
        self, weights: list[jax.Array], inputs: dict[str, jax.Array], heads: tuple[str, ...], units: jax.Array
    ) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
        floats, held = split_floats(inputs)
        outputs, tangents = jax.linearize(lambda x: self._outputs(weights, {**held, **x}), floats)
        for head in heads:
            check_float(head, str(outputs[head].dtype))
        # Transposed head by head: a backward pass then runs through the branch of its own head only.
        pull = {h: jax.linear_transpose(lambda t, h=h: tangents(t)[h], floats) for h in dict.fromkeys(heads)}
        rows = []
        for head, unit in zip(heads, units, strict=True):
            y = outputs[head]
            chosen = jax.nn.one_hot(unit, int(np.prod(y.shape[1:])), dtype=y.dtype).reshape(y.shape)
            rows.append(pull[head](chosen)[0])
        return outputs, {name: jnp.stack([row[name] for row in rows]) for name in floats}


def _to_numpy(tensors: dict[str, jax.Array]) -> Arrays:
    return {name: np.asarray(t) for name, t in tensors.items()}
