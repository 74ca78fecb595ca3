"""Attributes standardised before their activation, so that none of them can fall silent while it is trained."""

from typing import Any

import keras
from keras import ops

from xai_mimo.layers.flint.losses import RunningDeviation
from xai_mimo.layers.precision import mean, precise

_LEAST_VARIANCE = 1e-3
"""Added to variances, as in Keras's batch normalisation."""


@keras.saving.register_keras_serializable(package="xai_mimo")
class Standardised(keras.layers.Layer):
    """Values with mean 0 and a learned deviation over the training rows; ours.

        standardised[b, j] = scale_j (v[b, j] - mean_j) / sqrt(variance_j + 0.001)

    In training the moments are the batch's, and gradients pass through them; at inference they are the running ones of
    ``RunningDeviation``. It is batch normalisation without the shift. A decoder that does not know the mean input yet
    pushes an attribute down in all rows at once, where ReLU has no gradient to bring it back: after a few epochs most
    attributes are 0 for ever. Here a step that moves all rows alike moves none, and an attribute that differs
    between rows is above 0 in some of every batch.

    Call arguments:
        inputs: ``(batch, J)``; 16 rows or more in training.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)

    def build(self, input_shape: Any) -> None:
        """Create the scale and the running moments, ``(J,)``."""
        units = int(input_shape[-1])
        self.scale = self.add_weight(name="scale", shape=(units,), initializer="ones")
        self.moments = RunningDeviation(units, name="moments", dtype=self.dtype_policy)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Of the shape of the inputs, computed in float32 or better, float64 where the layer's dtype is."""
        values = precise(ops.cast(inputs, self.compute_dtype))
        deviation = self.moments(values, training=training)
        if training:
            centre = mean(values, axis=0)
            variance = mean(ops.square(values - centre), axis=0)
        else:
            centre, variance = ops.cast(self.moments.means(), values.dtype), ops.square(deviation)
        standardised = (values - centre) / ops.sqrt(variance + _LEAST_VARIANCE)
        return ops.cast(ops.cast(self.scale, values.dtype) * standardised, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the inputs."""
        return input_shape
