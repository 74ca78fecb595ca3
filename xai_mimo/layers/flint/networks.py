"""The networks that FLINT puts beside a predictor when it is given none: the attribute dictionary and the decoder."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from xai_mimo.layers.flint.standardised import Standardised

Shape = tuple[int | None, ...]

_BINS = 3
"""Bins per axis of a pooled tap, as the authors have."""

_MAPS = 64
"""Width of what reads a tap, as the authors have."""

_SMALLEST_CONVOLUTIONAL = 16
"""Side of an image from which the default decoder is convolutional; smaller ones are decoded by two dense layers."""


def as_torch(seed: int | None) -> keras.initializers.Initializer:
    """PyTorch's default for kernels, uniform in +-1/sqrt(fan_in), which the authors trained with."""
    return keras.initializers.VarianceScaling(1 / 3, mode="fan_in", distribution="uniform", seed=seed)


@keras.saving.register_keras_serializable(package="xai_mimo")
class BinAverage(keras.layers.Layer):
    """Means over equally many bins of each axis between batch and channels, whatever the axes' lengths.

    Bin i of n entries in b bins is [floor(i n / b), ceil((i + 1) n / b)): bins overlap where b does not divide n. This
    is PyTorch's adaptive average pooling, as one product with a fixed matrix per axis.

    Args:
        bins: per axis; at most the axis' length is used.

    Call arguments:
        inputs: ``(batch, time, channel)`` or ``(batch, height, width, channel)``.
    """

    def __init__(self, bins: int = _BINS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bins = bins

    def call(self, inputs: Any) -> Any:
        """``(batch, *bins, channel)``."""
        means = [ops.convert_to_tensor(_bins(n, self.bins), self.compute_dtype) for n in inputs.shape[1:-1]]
        return ops.einsum("btc,it->bic" if len(means) == 1 else "bhwc,ih,jw->bijc", inputs, *means)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """``(batch, *bins, channel)``."""
        return (input_shape[0], *(min(n, self.bins) for n in input_shape[1:-1]), input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor as plain values."""
        return {**super().get_config(), "bins": self.bins}


def _bins(length: int, bins: int) -> np.ndarray:
    """``(bins, length)``; rows sum to one."""
    bins = min(bins, length)
    matrix = np.zeros((bins, length))
    for i in range(bins):
        start, end = i * length // bins, -(-(i + 1) * length // bins)
        matrix[i, start:end] = 1 / (end - start)
    return matrix


def default_dictionary(
    shapes: Sequence[Shape],
    num_attributes: int,
    *,
    activation: Any = "relu",
    standardise: bool = False,
    seed: int | None = None,
) -> keras.Model:
    """Psi: the tapped layers -> attributes ``(batch, J)``, not negative with the default activation.

    Each tap goes through one layer of 64 maps, a convolution over 3 entries per axis (a dense layer for vectors), and
    leaky ReLU; axes are averaged into 3 bins; all taps side by side feed one dense layer.

    Args:
        shapes: of the taps, each with the batch axis: vector ``(None, D)``, sequence ``(None, T, D)`` or image
            ``(None, H, W, D)``. T, H and W may be unknown: the axis is then averaged as a whole.
        num_attributes: J.
        activation: of the attributes.
        standardise: before the activation, see ``Standardised``; ours.
        seed: of the initial weights.
    Raises:
        ValueError: a tap is of another rank, or its last axis has no fixed length.
    Source: Parekh et al. (2021), the official code for MNIST, with bins for smaller and several taps (our reading).
    """
    draws = np.random.default_rng(seed)
    inputs = [keras.Input(shape[1:], name=f"tap_{i}") for i, shape in enumerate(shapes)]
    parts = [_read_tap(tap, _draw(draws, seed)) for tap in inputs]
    together = parts[0] if len(parts) == 1 else keras.layers.Concatenate()(parts)
    settings: dict[str, Any] = {"kernel_initializer": as_torch(_draw(draws, seed)), "name": "attributes"}
    if standardise:  # which takes a bias away again
        values = keras.layers.Dense(num_attributes, use_bias=False, **settings)(together)
        attributes = keras.layers.Activation(activation)(Standardised(name="standardised")(values))
    else:
        attributes = keras.layers.Dense(num_attributes, activation=activation, **settings)(together)
    return keras.Model(inputs[0] if len(inputs) == 1 else inputs, attributes, name="flint_dictionary")


def _read_tap(tap: Any, seed: int | None) -> Any:
    rank, width = len(tap.shape) - 1, tap.shape[-1]
    if rank not in (1, 2, 3) or width is None:
        raise ValueError(
            "Expected tapped layers that give vectors, sequences or images with a last axis of fixed length. "
            f"Received: a tap of shape {tuple(tap.shape)}. Give your own `dictionary`, or tap another layer."
        )
    settings: dict[str, Any] = {"kernel_initializer": as_torch(seed)}
    leaky = keras.layers.LeakyReLU(0.01)
    if rank == 1:
        return leaky(keras.layers.Dense(_MAPS, **settings)(tap))
    convolution = keras.layers.Conv1D if rank == 2 else keras.layers.Conv2D
    read = leaky(convolution(_MAPS, 3, padding="same", **settings)(tap))
    if None in read.shape[1:-1]:
        return (keras.layers.GlobalAveragePooling1D if rank == 2 else keras.layers.GlobalAveragePooling2D)()(read)
    return keras.layers.Flatten()(BinAverage()(read))


def default_decoder(shapes: Sequence[Shape], num_attributes: int, *, seed: int | None = None) -> keras.Model:
    """d: attributes -> one reconstruction for each input of the predictor.

    Images of 16 x 16 and more, with sides that 4 divides, are decoded by a dense layer to two maps of a quarter of the
    sides and two transposed convolutions, as the authors do for MNIST; everything else by two dense layers. The output
    is linear, because inputs may be negative (the authors' is ReLU, for pixels in [0, 1]).

    Args:
        shapes: of the inputs, each with the batch axis and otherwise of fixed lengths.
        num_attributes: J.
        seed: of the initial weights.
    Returns:
        A model with one output for one input, else a list.
    """
    draws = np.random.default_rng(seed)
    attributes = keras.Input((num_attributes,), name="attributes")
    fixed = [tuple(int(n) for n in shape[1:] if n is not None) for shape in shapes]
    decoded = [_decode(attributes, shape, _draw(draws, seed), _draw(draws, seed)) for shape in fixed]
    return keras.Model(attributes, decoded[0] if len(decoded) == 1 else decoded, name="flint_decoder")


def _decode(attributes: Any, shape: tuple[int, ...], *seeds: int | None) -> Any:
    first, second = ({"kernel_initializer": as_torch(seed)} for seed in seeds)
    sides = shape[:2]
    if len(shape) == 3 and min(sides) >= _SMALLEST_CONVOLUTIONAL and not any(side % 4 for side in sides):
        small = (sides[0] // 4, sides[1] // 4, 2)
        maps = keras.layers.Reshape(small)(keras.layers.Dense(int(np.prod(small)), **first)(attributes))
        settings: dict[str, Any] = {"strides": 2, "padding": "same", **second}
        maps = keras.layers.Conv2DTranspose(8, 3, activation="relu", **settings)(maps)
        return keras.layers.Conv2DTranspose(shape[2], 3, **settings)(maps)
    hidden = keras.layers.Dense(max(_MAPS, 2 * attributes.shape[-1]), activation="relu", **first)(attributes)
    return keras.layers.Reshape(shape)(keras.layers.Dense(int(np.prod(shape)), **second)(hidden))


def _draw(draws: np.random.Generator, seed: int | None) -> int | None:
    """The seed of one layer; None leaves the choice to Keras."""
    return None if seed is None else int(draws.integers(2**31))
