"""A Keras network on JAX: compiled by ``jax.jit``, weights passed as arguments so that changed weights are seen."""

import collections
import contextlib
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array, count_rows
from xai_mimo.sowing import MapLabels, collect
from xai_mimo_adapters.chunks import check_float, split_floats
from xai_mimo_adapters.keras_adapter.compiled import Call, Lent
from xai_mimo_adapters.keras_adapter.disk_cache import keep_on_disk

_UNROLLED = 16
"""More targets than this are mapped over one transposed graph instead of having one each: compiling is then flat."""
_OFTEN = 16
"""After so many forward passes at one length a network of any length is compiled for forward passes alone."""
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
        self._forward = jax.jit(self._outputs)
        self._maps = jax.jit(self._outputs_and_maps)
        self._gradients = jax.jit(self._outputs_and_gradients, static_argnums=2)
        self._linear = jax.jit(self._outputs_and_pull)
        self._pulled = jax.jit(_gradients_of, static_argnums=2)

    def reading(self, model: Any) -> contextlib.AbstractContextManager[None]:
        """Nothing: a compiled network has no mode."""
        return contextlib.nullcontext()

    def forward(self, call: Call, inputs: Arrays) -> Arrays:
        """Outputs for one chunk: ``{head: (row, ...)}``."""
        with self._network.holding(call):
            if self._is_shared(inputs):
                shape = _lengths(inputs), count_rows(inputs)
                self._passes[shape] += 1
                if self._passes[shape] <= _OFTEN:
                    return _to_numpy(self._linear(self._weights(), inputs)[0])
            return _to_numpy(self._forward(self._weights(), inputs))

    def maps(self, call: Call, inputs: Arrays) -> Arrays:
        """Every map sown while reading one chunk, by key."""
        with self._network.holding(call):
            return _to_numpy(self._maps(self._weights(), inputs))

    def gradients(self, call: Call, inputs: Arrays, heads: Sequence[str], units: Array) -> tuple[Arrays, Arrays]:
        """Outputs, and ``{stream: (target, row, ...)}`` from one forward and one backward pass per target."""
        with self._network.holding(call):
            if self._is_shared(inputs):
                outputs, pull = self._linear(self._weights(), inputs)
                _check_floats(heads, outputs)
                like = {name: y for name, y in outputs.items() if _is_float(y)}
                gradients = self._pulled(pull, like, tuple(heads), units)
            else:
                outputs, gradients = self._gradients(self._weights(), inputs, tuple(heads), units)
        return _to_numpy(outputs), _to_numpy(gradients)

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
        self.traces += 1
        with keras.StatelessScope(state_mapping=list(zip(self._variables, weights, strict=True))):
            return self._network.run(inputs)

    def _outputs_and_maps(self, weights: list[jax.Array], inputs: dict[str, jax.Array]) -> dict[str, jax.Array]:
        with collect(self.labels) as maps:
            self._outputs(weights, inputs)
        return dict(maps)

    def _outputs_and_gradients(
        self, weights: list[jax.Array], inputs: dict[str, jax.Array], heads: tuple[str, ...], units: jax.Array
    ) -> tuple[dict[str, jax.Array], _Floats]:
        floats, held = split_floats(inputs)
        outputs, tangents = jax.linearize(lambda x: self._outputs(weights, {**held, **x}), floats)
        _check_floats(heads, outputs)

        def pull_from(chosen: tuple[str, ...]) -> Callable[[_Floats], _Floats]:
            # Transposed for these heads alone: a backward pass then runs through no branch of another.
            transposed = jax.linear_transpose(lambda t: {head: tangents(t)[head] for head in chosen}, floats)
            return lambda cotangents: transposed(cotangents)[0]

        return outputs, _gradients_by_head(pull_from, outputs, heads, units)

    def _outputs_and_pull(
        self, weights: list[jax.Array], inputs: dict[str, jax.Array]
    ) -> tuple[dict[str, jax.Array], Any]:
        """Outputs, and what gives the gradients of those that are floats."""
        floats, held = split_floats(inputs)

        def outputs_of(x: _Floats) -> tuple[_Floats, dict[str, jax.Array]]:
            outputs = self._outputs(weights, {**held, **x})
            return {n: y for n, y in outputs.items() if _is_float(y)}, outputs

        _, pull, outputs = jax.vjp(outputs_of, floats, has_aux=True)
        return outputs, pull


def _gradients_by_head(
    pull_from: Callable[[tuple[str, ...]], Callable[[_Floats], _Floats]],
    outputs: dict[str, jax.Array],
    heads: tuple[str, ...],
    units: jax.Array,
) -> _Floats:
    """Gradients ``{stream: (target, row, ...)}``, by a transposed graph for each head, or one for all of many."""
    different = tuple(dict.fromkeys(heads))
    if len(heads) <= _UNROLLED:
        pulls = {head: pull_from((head,)) for head in different}
        rows = [pulls[head]({head: _chosen(outputs[head], unit)}) for head, unit in zip(heads, units, strict=True)]
        return {name: jnp.stack([row[name] for row in rows]) for name in rows[0]}
    groups = [(head,) for head in different] if len(different) <= _UNROLLED else [different]
    places = [[i for i, head in enumerate(heads) if head in group] for group in groups]
    parts = [
        _mapped(
            pull_from(group), {head: outputs[head] for head in group}, [heads[i] for i in mine], units[np.array(mine)]
        )
        for group, mine in zip(groups, places, strict=True)
    ]
    order = np.argsort(np.concatenate(places))
    return {name: jnp.concatenate([part[name] for part in parts])[order] for name in parts[0]}


def _gradients_of(pull: Any, outputs: _Floats, heads: tuple[str, ...], units: jax.Array) -> _Floats:
    """Gradients ``{stream: (target, row, ...)}`` by what gives those of all heads."""
    return _mapped(lambda cotangents: pull(cotangents)[0], outputs, heads, units)


def _mapped(pull: Callable[[_Floats], _Floats], outputs: _Floats, heads: Sequence[str], units: jax.Array) -> _Floats:
    """One backward pass after the other through one graph, with the cotangents of all of its heads but one zero."""

    def one(target: tuple[jax.Array, jax.Array]) -> _Floats:
        number, unit = target
        return pull({n: _chosen(y, unit) * (number == k).astype(y.dtype) for k, (n, y) in enumerate(outputs.items())})

    numbers = np.array([list(outputs).index(head) for head in heads])
    gradients: _Floats = jax.lax.map(one, (numbers, units))
    return gradients


def _chosen(outputs: jax.Array, unit: jax.Array) -> jax.Array:
    """Ones at one unit of each row, zeros elsewhere; ``(row, ...)`` from ``(row,)``."""
    one_hot = jax.nn.one_hot(unit, int(np.prod(outputs.shape[1:])), dtype=outputs.dtype)
    return one_hot.reshape(outputs.shape)


def _check_floats(heads: Sequence[str], outputs: dict[str, jax.Array]) -> None:
    for head in heads:
        check_float(head, str(outputs[head].dtype))


def _is_float(values: jax.Array) -> bool:
    return jnp.issubdtype(values.dtype, jnp.floating)


def _lengths(inputs: Arrays) -> Hashable:
    return tuple((name, x.shape[1:]) for name, x in inputs.items())


def _to_numpy(tensors: dict[str, jax.Array]) -> Arrays:
    return {name: np.asarray(t) for name, t in tensors.items()}
