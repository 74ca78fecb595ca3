"""A Keras network on TensorFlow: compiled by ``tf.function``, weights read from their variables at every call."""

import contextlib
import threading
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array
from xai_mimo.sowing import MapLabels
from xai_mimo_adapters.chunks import check_float, split_floats
from xai_mimo_adapters.keras_adapter.attention import collecting
from xai_mimo_adapters.keras_adapter.compiled import Call
from xai_mimo_adapters.lent import Lent

_UNITS = "flat unit of each row"
"""Stands for the targets' units, ``(row, target)``, among the tensors that are handed to a graph."""


class TensorFlowEngine:
    """Runs a network on chunks of rows; at most two graphs for each set of heads, see ``_Graphs``.

    Attributes:
        traces: how often Python ran the network to compile it.
        labels: what the sown maps mean, known after the first ``maps``.
    """

    fixed_shapes = True

    def __init__(self, variables: Sequence[keras.Variable]) -> None:
        self.traces = 0
        self.labels: dict[str, MapLabels] = {}
        self._variables = variables  # graphs refer to them weakly
        self._network = Lent()
        self._graphs = _Graphs()

    def reading(self, model: Any) -> contextlib.AbstractContextManager[None]:
        """Nothing: a compiled network has no mode."""
        return contextlib.nullcontext()

    def is_current(self, call: Call, inputs: Arrays, tolerance: float) -> bool:
        """Whether the oldest graph of outputs and that of maps answer these rows as the network does, run eagerly.

        Rows of a length that no graph was traced for, or that a change makes no difference to, do not tell.
        """
        oldest: dict[bool, tuple[Hashable, Any, dict[str, tf.Tensor]]] = {}
        for what, specs, graph in self._graphs.by_age():
            rows = _filled(inputs, specs)
            if rows is not None:
                oldest.setdefault(what == "maps", (what, graph, rows))
        with self._network.holding(call):
            return all(self._is_same(what, graph(rows), rows, tolerance) for what, graph, rows in oldest.values())

    def _is_same(self, what: Hashable, results: Any, rows: dict[str, tf.Tensor], tolerance: float) -> bool:
        try:
            with keras.StatelessScope(), collecting({}) as maps:
                expected = self._network.run({name: x for name, x in rows.items() if name != _UNITS})
        except Exception:  # if no graph can be made either, it is the error of the new graph that is the user's
            return False
        if what == "maps":
            expected = dict(maps)
        elif what != "forward":
            results = results[0]
        return results.keys() == expected.keys() and all(
            _are_close(np.asarray(y), np.asarray(results[name]), tolerance) for name, y in expected.items()
        )

    def forward(self, call: Call, inputs: Arrays) -> Arrays:
        """Outputs for one chunk: ``{head: (row, ...)}``."""
        with self._network.holding(call):
            return _to_numpy(self._graphs.run("forward", self._outputs, _to_tensors(inputs)))

    def maps(self, call: Call, inputs: Arrays) -> Arrays:
        """Every map sown while reading one chunk, by key."""
        with self._network.holding(call):
            return _to_numpy(self._graphs.run("maps", self._sown, _to_tensors(inputs)))

    def gradients(self, call: Call, inputs: Arrays, heads: Sequence[str], units: Array) -> tuple[Arrays, Arrays]:
        """Outputs, and ``{stream: (target, row, ...)}`` from one forward and one backward pass per target."""
        tensors = {**_to_tensors(inputs), _UNITS: tf.constant(units.T)}
        with self._network.holding(call):
            outputs, gradients = self._graphs.run(
                ("gradients", tuple(heads)), partial(self._outputs_and_gradients, tuple(heads)), tensors
            )
        for head in heads:  # not while tracing, where TensorFlow would replace our error by one of its own
            check_float(head, outputs[head].dtype.name)
        return _to_numpy(outputs), _to_numpy(gradients)

    def _outputs(self, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        self.traces += 1
        with keras.StatelessScope():
            return self._network.run(inputs)

    def _sown(self, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        with collecting(self.labels) as maps:
            self._outputs(inputs)
        return dict(maps)

    def _outputs_and_gradients(
        self, heads: tuple[str, ...], tensors: dict[str, tf.Tensor]
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        inputs = {name: x for name, x in tensors.items() if name != _UNITS}
        floats, _ = split_floats(inputs)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(floats)
            outputs = self._outputs(inputs)
            targets = [_chosen(outputs[head], tensors[_UNITS][:, i]) for i, head in enumerate(heads)]
        rows = [tape.gradient(y, floats, unconnected_gradients=tf.UnconnectedGradients.ZERO) for y in targets]
        return outputs, {name: tf.stack([tf.convert_to_tensor(row[name]) for row in rows]) for name in floats}


class _Graphs:
    """Graphs of Python functions, each for the shapes it was first run with and then for others.

    The first shapes are compiled for as they are; an axis that comes in a second length is of any length from then on,
    as it is in ``model.predict``: two graphs for any number of chunk sizes and of sequence lengths.
    """

    def __init__(self) -> None:
        self._graphs: dict[tuple[Hashable, ...], tuple[dict[str, tf.TensorSpec], Any]] = {}
        self._lock = threading.RLock()

    def run(self, what: Hashable, function: Callable[..., Any], tensors: dict[str, tf.Tensor]) -> Any:
        """What a function of one mapping of tensors gives for these.

        Args:
            what: names the function. function: is traced where there is no graph for these shapes. tensors: by name.
        """
        key = (what, tuple((name, x.dtype, x.ndim) for name, x in tensors.items()))
        with self._lock:
            if key not in self._graphs or not _takes(self._graphs[key][0], tensors):
                known = self._graphs[key][0] if key in self._graphs else None
                specs = {name: _spec(x, None if known is None else known[name]) for name, x in tensors.items()}
                # Not by calling tf.function itself, which counts the graphs of all models together and warns.
                self._graphs.pop(key, None)  # so that they are ordered by age
                self._graphs[key] = specs, tf.function(function).get_concrete_function(specs)
            graph = self._graphs[key][1]
        return graph(tensors)

    def by_age(self) -> list[tuple[Hashable, dict[str, tf.TensorSpec], Any]]:
        """Name, shapes and graph of each function, the oldest first."""
        with self._lock:
            return [(key[0], specs, graph) for key, (specs, graph) in self._graphs.items()]


def _filled(inputs: Arrays, specs: dict[str, tf.TensorSpec]) -> dict[str, tf.Tensor] | None:
    """These rows over and over, as many as a graph takes at once; None where their shapes are others."""
    tensors = {}
    for name, spec in specs.items():
        count = spec.shape[0] or max(map(len, inputs.values()))
        if name == _UNITS:
            tensors[name] = tf.zeros([count, spec.shape[1]], spec.dtype)
        else:
            tensors[name] = tf.constant(np.take(inputs[name], range(count), axis=0, mode="wrap"))
    return tensors if _takes(specs, tensors) else None


def _are_close(one: Array, other: Array, tolerance: float) -> bool:
    """Whether answers are equal up to a share of the largest; NaN equals NaN."""
    if one.shape != other.shape:
        return False
    wide, its = one.astype(np.float64), other.astype(np.float64)
    size = float(np.max(np.abs(wide), where=np.isfinite(wide), initial=0.0))
    return np.allclose(wide, its, rtol=0.0, atol=tolerance * size, equal_nan=True)


def _takes(specs: dict[str, tf.TensorSpec], tensors: dict[str, tf.Tensor]) -> bool:
    return all(specs[name].shape.is_compatible_with(x.shape) for name, x in tensors.items())


def _spec(tensor: tf.Tensor, known: tf.TensorSpec | None) -> tf.TensorSpec:
    lengths = (
        [*tensor.shape]
        if known is None
        else [n if n == length else None for n, length in zip(tensor.shape, known.shape, strict=True)]
    )
    return tf.TensorSpec(lengths, tensor.dtype)


def _chosen(values: tf.Tensor, units: tf.Tensor) -> tf.Tensor:
    """One value per row: ``(row, *shape)`` and flat units ``(row,)`` to ``(row,)``."""
    flat = tf.reshape(values, (tf.shape(values)[0], -1))
    if not flat.dtype.is_floating:  # has no gradient, which is said elsewhere
        return tf.gather(flat, units, axis=1, batch_dims=1)
    # Floats are not gathered: the gradient of that takes several times as long to trace.
    return tf.reduce_sum(flat * tf.one_hot(units, tf.shape(flat)[1], dtype=flat.dtype), axis=1)


def _to_tensors(inputs: Arrays) -> dict[str, tf.Tensor]:
    return {name: tf.constant(x) for name, x in inputs.items()}


def _to_numpy(tensors: dict[str, tf.Tensor]) -> Arrays:
    return {name: np.asarray(t) for name, t in tensors.items()}
