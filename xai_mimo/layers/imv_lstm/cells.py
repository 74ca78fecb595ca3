"""The recurrent cells of IMV-LSTM: one hidden vector per variable, side by side in a flat state.

Symbols: N variables, d_0 values of one variable at one step, d units per variable, D = N d. The flat state ``(batch,
D)`` is variable-major: unit k of variable n stands at n d + k, so that ``reshape(state, (-1, N, d))`` is the hidden
matrix.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from xai_mimo.layers.heads import check_count, draw_alike, initialize_each
from xai_mimo.layers.precision import matmul, tanh


class _VariableWiseCell(keras.layers.Layer):
    """What both cells share: arguments, the shape of states and inputs, initial values per variable and gate."""

    def __init__(
        self,
        num_variables: int,
        units: int,
        *,
        unit_forget_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_count(num_variables, "`num_variables`", f"num_variables={num_variables}")
        check_count(units, "`units`", f"units={units}")
        self.num_variables = int(num_variables)
        self.units = int(units)
        self.unit_forget_bias = bool(unit_forget_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.regularizer = keras.regularizers.get(regularizer)
        self.output_size = self.num_variables * self.units
        self.state_size = [self.output_size, self.output_size]

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor as plain values."""
        return {
            **super().get_config(),
            "num_variables": self.num_variables,
            "units": self.units,
            "unit_forget_bias": self.unit_forget_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "recurrent_initializer": keras.initializers.serialize(self.recurrent_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "regularizer": keras.regularizers.serialize(self.regularizer),
        }

    def _width(self, input_shape: Sequence[int | None]) -> int:
        """d_0, from the shape of one step: ``(batch, N)`` or ``(batch, N, d_0)``."""
        shape = tuple(input_shape)
        if len(shape) not in (2, 3) or shape[1] != self.num_variables or not shape[-1]:
            raise ValueError(
                f"Expected steps of shape (batch, {self.num_variables}) or (batch, {self.num_variables}, values of one "
                f"variable). Received: shape={shape}"
            )
        return 1 if len(shape) == 2 else int(shape[2] or 0)

    def _add_gates(self, name: str, initializer: Any, rows: int, gates: int) -> Any:
        """A kernel ``(N, rows, gates d)``; each variable's part of each gate starts as a layer of its own would."""

        def draw(shape: tuple[int, ...], dtype: Any = None) -> Any:
            drawn = draw_alike(initializer, (rows, self.units), self.num_variables * gates, dtype=dtype)
            by_variable = ops.reshape(drawn, (self.num_variables, gates, rows, self.units))
            return ops.reshape(ops.transpose(by_variable, (0, 2, 1, 3)), shape)

        return self.add_weight(
            name=name,
            shape=(self.num_variables, rows, gates * self.units),
            initializer=draw,
            regularizer=self.regularizer,
        )

    def _add_bias(self, name: str, shape: tuple[int, ...], *, forget: int | None = None) -> Any:
        """A bias whose last axis holds gates of equal width, the ``forget``-th of them starting at one."""

        def initialize(shape: tuple[int, ...], dtype: Any = None) -> Any:
            values = self.bias_initializer(shape, dtype=dtype)
            if forget is None or not self.unit_forget_bias:
                return values
            width = self.output_size if len(shape) == 1 else self.units
            before, _, after = ops.split(values, [forget * width, (forget + 1) * width], axis=-1)
            ones = ops.ones((*shape[:-1], width), dtype=dtype)
            return ops.concatenate([before, ones, after], axis=-1)

        return self.add_weight(name=name, shape=shape, initializer=initialize, regularizer=self.regularizer)

    def _matrix(self, values: Any, width: int) -> Any:
        return ops.reshape(values, (-1, self.num_variables, width))

    def _flat(self, values: Any) -> Any:
        return ops.reshape(values, (-1, self.output_size))


@keras.saving.register_keras_serializable(package="xai_mimo")
class IMVTensorCell(_VariableWiseCell):
    """One step of IMV-Tensor: an LSTM per variable, nothing is shared and nothing mixes.

    For each variable n, with sigma the logistic function and (.) the product of elements:

        j^n_t = tanh(W_j^n h^n_{t-1} + U_j^n x^n_t + b_j^n)                                    (Eq. 1)
        i^n_t, f^n_t, o^n_t = sigma(W^n h^n_{t-1} + U^n x^n_t + b^n), one W, U, b per gate     (Eq. 5)
        c^n_t = f^n_t (.) c^n_{t-1} + i^n_t (.) j^n_t                                          (Eq. 6)
        h^n_t = o^n_t (.) tanh(c^n_t)                                                          (Eq. 7)

    Weights, gates side by side in the order i, f, j, o of ``keras.layers.LSTM``: ``kernel (N, d_0, 4 d)``,
    ``recurrent_kernel (N, d, 4 d)``, ``bias (N, 4 d)``; row n is what a ``keras.layers.LSTM(d)`` on variable n alone
    would hold. In the authors' published code the gates of this variant mix variables; the equations do not, and they
    are what is implemented.

    Args:
        num_variables: N.
        units: d.
        unit_forget_bias: start the forget gates' biases at one, the others by ``bias_initializer``.
        kernel_initializer, recurrent_initializer: with the fans of one variable and one gate (our choice).
        bias_initializer: as in ``keras.layers.LSTM``.
        regularizer: of every weight of the cell, biases included.

    Call arguments:
        inputs: ``(batch, N)`` or ``(batch, N, d_0)``.
        states: h and c of the step before, each ``(batch, N d)``.

    Raises:
        ValueError: an argument or the shape of a step is outside what is said here.

    Source: Guo, Lin and Antulov-Fantulin (2019), "Exploring Interpretable LSTM Neural Networks over Multi-Variable
    Data", Section 3, Eqs. 1 and 5-7 (numbers as in the preprint of 2018).
    """

    def build(self, input_shape: Any) -> None:
        """Create the weights."""
        self._values = self._width(input_shape)
        self.kernel = self._add_gates("kernel", self.kernel_initializer, self._values, 4)
        self.recurrent_kernel = self._add_gates("recurrent_kernel", self.recurrent_initializer, self.units, 4)
        self.bias = self._add_bias("bias", (self.num_variables, 4 * self.units), forget=1)

    def call(self, inputs: Any, states: Sequence[Any], training: bool = False) -> tuple[Any, list[Any]]:
        """The hidden matrix, flat, and the new states."""
        h, c = (self._matrix(state, self.units) for state in states)
        x = self._matrix(inputs, self._values)
        gates = _per_variable(x, self.kernel) + _per_variable(h, self.recurrent_kernel) + self.bias
        i, f, j, o = ops.split(gates, 4, axis=-1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * tanh(j)
        h = self._flat(ops.sigmoid(o) * tanh(c))
        return h, [h, self._flat(c)]


@keras.saving.register_keras_serializable(package="xai_mimo")
class IMVFullCell(_VariableWiseCell):
    """One step of IMV-Full: updates per variable, gates that see all variables.

        j^n_t = tanh(W_j^n h^n_{t-1} + U_j^n x^n_t + b_j^n)                                    (Eq. 1)
        i_t, f_t, o_t = sigma(W [x_t (+) vec(h_{t-1})] + b)                                    (Eq. 2)
        c_t = f_t (.) c_{t-1} + i_t (.) vec(j_t)                                               (Eq. 3)
        h_t = matricization(o_t (.) tanh(c_t))                                                 (Eq. 4)

    Because the gates see everything, so does every row of the hidden matrix: what the layer says of one variable may
    come from another. Read it beside attributions before believing it.

    Weights: ``kernel (N, d_0, d)``, ``recurrent_kernel (N, d, d)`` and ``bias (N, d)`` of the update;
    ``gate_kernel (N d_0, 3 D)``, ``gate_recurrent_kernel (D, 3 D)`` and ``gate_bias (3 D)``, gates in the order i, f,
    o.

    Args, call arguments, errors and source: as ``IMVTensorCell``; Eqs. 1-4. The gates' kernels start with the fans of
    one gate.
    """

    def build(self, input_shape: Any) -> None:
        """Create the weights."""
        self._values = self._width(input_shape)
        self.kernel = self._add_gates("kernel", self.kernel_initializer, self._values, 1)
        self.recurrent_kernel = self._add_gates("recurrent_kernel", self.recurrent_initializer, self.units, 1)
        self.bias = self._add_bias("bias", (self.num_variables, self.units))
        inputs = self.num_variables * self._values
        self.gate_kernel = self._add_mixing("gate_kernel", self.kernel_initializer, inputs)
        self.gate_recurrent_kernel = self._add_mixing(
            "gate_recurrent_kernel", self.recurrent_initializer, self.output_size
        )
        self.gate_bias = self._add_bias("gate_bias", (3 * self.output_size,), forget=1)

    def call(self, inputs: Any, states: Sequence[Any], training: bool = False) -> tuple[Any, list[Any]]:
        """The hidden matrix, flat, and the new states."""
        h, c = states
        x = self._matrix(inputs, self._values)
        update = _per_variable(x, self.kernel) + _per_variable(self._matrix(h, self.units), self.recurrent_kernel)
        j = self._flat(tanh(update + self.bias))
        seen = ops.reshape(inputs, (-1, self.num_variables * self._values))
        gates = matmul(seen, self.gate_kernel) + matmul(h, self.gate_recurrent_kernel) + self.gate_bias
        i, f, o = ops.split(ops.sigmoid(gates), 3, axis=-1)
        c = f * c + i * j
        h = o * tanh(c)
        return h, [h, c]

    def _add_mixing(self, name: str, initializer: Any, rows: int) -> Any:
        gate = (rows, self.output_size)
        return self.add_weight(
            name=name,
            shape=(rows, 3 * self.output_size),
            initializer=initialize_each(initializer, [gate] * 3, lambda parts: ops.concatenate(parts, axis=1)),
            regularizer=self.regularizer,
        )


def _per_variable(values: Any, kernel: Any) -> Any:
    """[values (*) kernel]_n = values^n kernel^n: ``(batch, N, a), (N, a, b) -> (batch, N, b)``."""
    if values.shape[-1] == 1:
        return values * ops.squeeze(kernel, axis=1)
    return ops.einsum("bnk,nkj->bnj", values, kernel)
