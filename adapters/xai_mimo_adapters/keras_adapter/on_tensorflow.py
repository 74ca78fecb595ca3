"""A Keras network on TensorFlow: compiled by ``tf.function``, weights read from their variables at every call."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array
from xai_mimo.sowing import MapLabels, collect
from xai_mimo_adapters.chunks import check_float, split_floats


class TensorFlowEngine:
    """Runs a network on chunks of rows; one concrete function per chunk size and set of heads.

    Attributes:
        traces: how often Python ran the network to compile it.
        labels: what the sown maps mean, known after the first ``maps``.
    """

    fixed_shapes = True

    def __init__(self, call: Callable[[dict[str, Any]], dict[str, Any]], model: keras.Model) -> None:
        self.traces = 0
        self.labels: dict[str, MapLabels] = {}
        self._call = call
        self._model = model
        self._forward = tf.function(self._outputs)
        self._maps = tf.function(self._sown)
        self._gradients = tf.function(self._outputs_and_gradients)

    def forward(self, inputs: Arrays) -> Arrays:
        """Outputs for one chunk: ``{head: (row, ...)}``."""
        return _to_numpy(self._forward(_to_tensors(inputs)))

    def maps(self, inputs: Arrays) -> Arrays:
        """Every map sown while reading one chunk, by key."""
        return _to_numpy(self._maps(_to_tensors(inputs)))

    def gradients(self, inputs: Arrays, heads: Sequence[str], units: Array) -> tuple[Arrays, Arrays]:
        """Outputs, and ``{stream: (target, row, ...)}`` from one forward and one backward pass per target.

        Args:
            inputs: one chunk.
            heads: the head of each target.
            units: ``(target, row)`` flat unit of each row.
        """
        outputs, gradients = self._gradients(_to_tensors(inputs), tuple(heads), tf.constant(units))
        for head in heads:  # not while tracing, where TensorFlow would replace our error by one of its own
            check_float(head, outputs[head].dtype.name)
        return _to_numpy(outputs), _to_numpy(gradients)

    def _outputs(self, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        self.traces += 1
        with keras.StatelessScope():
            return self._call(inputs)

    def _sown(self, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        with collect(self.labels) as maps:
            self._outputs(inputs)
        return dict(maps)

    def _outputs_and_gradients(
        self, inputs: dict[str, tf.Tensor], heads: tuple[str, ...], units: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        floats, _ = split_floats(inputs)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(floats)
            outputs = self._outputs(inputs)
            targets = [_chosen(outputs[head], units[i]) for i, head in enumerate(heads)]
        rows = [tape.gradient(y, floats, unconnected_gradients=tf.UnconnectedGradients.ZERO) for y in targets]
        return outputs, {name: tf.stack([tf.convert_to_tensor(row[name]) for row in rows]) for name in floats}


def _chosen(values: tf.Tensor, units: tf.Tensor) -> tf.Tensor:
    """One value per row: ``(row, *shape)`` and flat units ``(row,)`` to ``(row,)``."""
    flat = tf.reshape(values, (tf.shape(values)[0], -1))
    return tf.gather(flat, units, axis=1, batch_dims=1)


def _to_tensors(inputs: Arrays) -> dict[str, tf.Tensor]:
    return {name: tf.constant(x) for name, x in inputs.items()}


def _to_numpy(tensors: dict[str, tf.Tensor]) -> Arrays:
    return {name: np.asarray(t) for name, t in tensors.items()}
