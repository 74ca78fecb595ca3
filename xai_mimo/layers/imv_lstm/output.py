"""The output networks phi_n of IMV-LSTM: from what is known of a variable to its prediction and the scale of its error.

Symbols: B rows, H heads, N variables, d units per variable, w units of a head.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from xai_mimo.layers.heads import draw_alike
from xai_mimo.layers.precision import precise


class OutputNetworks(keras.layers.Layer):
    """phi of all heads and variables: linear, or with one hidden layer of half the width.

        without: mu_n, s_n = A_n z_n + a_n                                       z_n = dropout(h^n_T (+) g^n)
        with:    mu_n, s_n = A_n relu(B_n z_n + b_n) + a_n

    One network gives mu and s, so that they share its hidden layer. Dropout acts in training only; mu and s read the
    same dropped values. The weights of all heads and variables are stacked: ``mean_kernel`` and ``scale_kernel``
    ``(N, width, W)`` with their biases ``(N, W)``, W being the units of all heads side by side; ``hidden_kernel
    (N, H, 2 d, d)`` and ``hidden_bias (N, H, d)``. N is 1 where all variables share a network.

    Args:
        widths: w of each head.
        scales: whether there is an s beside mu.
        shared: one network for all variables.
        hidden: a hidden layer.
        dropout: rate, from 0 to below 1. seed: of dropout.
        kernel_initializer: with the fans of one network. bias_initializer, regularizer: the latter of kernels only.

    Call arguments:
        enriched: ``(B, H, N, 2 d)``.

    Source: the authors' published code (weilai0980/IMV-LSTM); dropout without a hidden layer is ours.
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        scales: bool,
        shared: bool,
        hidden: bool,
        dropout: float,
        seed: int | None,
        kernel_initializer: Any,
        bias_initializer: Any,
        regularizer: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._widths, self._has_scales = tuple(widths), scales
        self._shared, self._has_hidden = shared, hidden
        self._kernel_initializer, self._bias_initializer = kernel_initializer, bias_initializer
        self._regularizer = regularizer
        self._dropout = keras.layers.Dropout(dropout, seed=seed, dtype=self.dtype_policy) if dropout else None

    def build(self, input_shape: Any) -> None:
        """Create the weights for ``(B, H, N, 2 d)``."""
        _, heads, count, inputs = input_shape
        networks = 1 if self._shared else count
        self.hidden_kernel = self.scale_kernel = None
        if self._has_hidden:
            self.hidden_kernel, self.hidden_bias = self._add_hidden(networks, heads, inputs)
            inputs = inputs // 2
        self.mean_kernel, self.mean_bias = self._add_output("mean", networks, inputs)
        if self._has_scales:
            self.scale_kernel, self.scale_bias = self._add_output("scale", networks, inputs)
        if self._dropout is not None:
            self._dropout.build(input_shape)

    def call(self, enriched: Any, training: bool = False) -> tuple[list[Any], list[Any] | None]:
        """mu, and s or None: of each head, ``(B, N, w)`` in float32 or better."""
        known = enriched if self._dropout is None else self._dropout(enriched, training=training)
        if self.hidden_kernel is not None:
            known = ops.relu(self._apply("bhnk,nhkj->bhnj", known, self.hidden_kernel, self.hidden_bias))
        means = self._read_out(known, self.mean_kernel, self.mean_bias)
        if self.scale_kernel is None:
            return means, None
        return means, self._read_out(known, self.scale_kernel, self.scale_bias)

    def _read_out(self, known: Any, kernel: Any, bias: Any) -> list[Any]:
        ends = np.cumsum([0, *self._widths])
        return [
            precise(self._apply("bnk,nkw->bnw", known[:, head], kernel[:, :, start:end], bias[:, start:end]))
            for head, (start, end) in enumerate(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True))
        ]

    def _apply(self, equation: str, values: Any, kernel: Any, bias: Any) -> Any:
        """The product that the equation names, of one network for each variable n or of the shared one, plus bias."""
        if kernel.shape[0] == 1:
            before, after = equation.split("->")
            first, second = before.split(",")
            equation, kernel = f"{first},{second.removeprefix('n')}->{after}", kernel[0]
        if len(bias.shape) == 3:  # (N, H, d) beside (B, H, N, d)
            bias = ops.transpose(bias, (1, 0, 2))
        return ops.einsum(equation, values, kernel) + bias

    def _add_hidden(self, networks: int, heads: int, inputs: int) -> tuple[Any, Any]:
        part = (inputs, inputs // 2)

        def draw(shape: tuple[int, ...], dtype: Any = None) -> Any:
            return ops.reshape(draw_alike(self._kernel_initializer, part, networks * heads, dtype=dtype), shape)

        return self._add_pair("hidden", (networks, heads, *part), draw)

    def _add_output(self, name: str, networks: int, inputs: int) -> tuple[Any, Any]:
        def draw(shape: tuple[int, ...], dtype: Any = None) -> Any:
            by_head = [
                draw_alike(self._kernel_initializer, (inputs, width), networks, dtype=dtype, first=head * networks)
                for head, width in enumerate(self._widths)
            ]
            return ops.concatenate(by_head, axis=-1)

        return self._add_pair(name, (networks, inputs, sum(self._widths)), draw)

    def _add_pair(self, name: str, shape: tuple[int, ...], draw: Any) -> tuple[Any, Any]:
        kernel = self.add_weight(name=f"{name}_kernel", shape=shape, initializer=draw, regularizer=self._regularizer)
        bias_shape = (*shape[:-2], shape[-1])
        bias = self.add_weight(name=f"{name}_bias", shape=bias_shape, initializer=self._bias_initializer)
        return kernel, bias
