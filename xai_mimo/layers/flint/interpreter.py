"""FLINT's interpreter head: linear in the attributes, so that what each adds to a score has a closed form."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from xai_mimo.layers.flint.networks import as_torch
from xai_mimo.layers.heads import read_heads
from xai_mimo.layers.precision import matmul, precise
from xai_mimo.sowing import is_collecting, sow

STREAM = "attributes"


@keras.saving.register_keras_serializable(package="xai_mimo")
class InterpreterHead(keras.layers.Layer):
    """h: attributes -> unnormalised scores of every head, s_c = sum_j phi_j w_jc + b_c.

    Scores are logits for heads of classes, and quantities in their own unit for others. Maps for ``collect()``, in
    float32 or better; ``target`` is all units of all heads, labelled ``target.head`` and ``target.unit``; a ``feature``
    is an attribute, labelled as of the stream "attributes":

    - ``attributes (feature)``: phi;
    - ``contribution (target, feature)``: alpha_jc = phi_j w_jc. ``s_c = sum_j alpha_jc + b_c`` exactly;
    - ``relevance (target, feature)``: r_jc = alpha_jc / max_i |alpha_ic|, in [-1, 1]; 0 where all alpha are 0.

    ``Interception(kind="contribution")`` reads the second; at this layer, Integrated Gradients and Shapley values of a
    score from phi = 0 are equal to it.

    Args:
        heads: units by name of the heads, in the order of their targets.
        dropout: share of the attributes that are dropped in training; the authors' 0.01.
        use_bias: b. It holds how common each class is, and does not enter relevances.
        kernel_initializer: default PyTorch's, uniform in +-1/sqrt(J).
        kernel_regularizer: of W.
        seed: of the dropout and the default initializer.

    Call arguments:
        inputs: ``(batch, J)``. Gives ``{head: (batch, units)}``.

    Source: Parekh, Mozharovskyi and d'Alche-Buc (2021), "A Framework to Learn with Interpretation", Sections 2 and 3;
    bias and dropout as in the official code; several heads are ours.
    """

    reference = "parekh2021flint"
    stream_names = (STREAM,)

    def __init__(
        self,
        heads: Mapping[str, int],
        *,
        dropout: float = 0.01,
        use_bias: bool = True,
        kernel_initializer: Any = None,
        kernel_regularizer: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.heads = read_heads(heads)
        self.dropout = dropout
        self.use_bias = use_bias
        chosen = as_torch(seed) if kernel_initializer is None else kernel_initializer
        self.kernel_initializer = keras.initializers.get(chosen)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.seed = seed
        self._drop = keras.layers.Dropout(dropout, seed=seed, dtype=self.dtype_policy)

    def build(self, input_shape: Any) -> None:
        """Create W ``(J, target)`` and b ``(target,)``, the units of all heads side by side."""
        if len(input_shape) != 2 or input_shape[-1] is None:
            raise ValueError(f"Expected attributes of shape (batch, J). Received: shape={tuple(input_shape)}")
        targets = sum(self.heads.values())
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[-1], targets),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
        )
        self.bias = self.add_weight(name="bias", shape=(targets,), initializer="zeros") if self.use_bias else None

    def call(self, inputs: Any, training: bool | None = None) -> dict[str, Any]:
        """Scores of all heads; the maps are sown if somebody collects."""
        if is_collecting():
            self._sow(inputs)
        scores = matmul(self._drop(inputs, training=training), self.kernel)
        return self._of_heads(scores if self.bias is None else scores + self.bias)

    def compute_output_shape(self, input_shape: Any) -> dict[str, tuple[int | None, int]]:
        """``(batch, units)`` of each head."""
        return {head: (input_shape[0], units) for head, units in self.heads.items()}

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor as plain values."""
        return {
            **super().get_config(),
            "heads": dict(self.heads),
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "seed": self.seed,
        }

    def _of_heads(self, values: Any) -> dict[str, Any]:
        ends = np.cumsum(list(self.heads.values()))
        return {
            head: values[:, int(end) - units : int(end)]
            for end, (head, units) in zip(ends, self.heads.items(), strict=True)
        }

    def _sow(self, inputs: Any) -> None:
        attributes, kernel = precise(inputs), precise(ops.convert_to_tensor(self.kernel))
        count = self.kernel.shape[0]
        features = {"feature": [f"{STREAM}.{j}" for j in range(count)], "feature.stream": [STREAM] * count}
        targets = {
            "target.head": [head for head, units in self.heads.items() for _ in range(units)],
            "target.unit": [str(unit) for units in self.heads.values() for unit in range(units)],
        }
        alpha = ops.expand_dims(attributes, 1) * ops.expand_dims(ops.transpose(kernel), 0)
        largest = ops.max(ops.abs(alpha), axis=-1, keepdims=True)
        relevance = alpha / ops.where(largest > 0, largest, 1.0)
        sow(self, "attributes", attributes, axes=("feature",), coords=features)
        for name, values in (("contribution", alpha), ("relevance", relevance)):
            sow(self, name, values, axes=("target", "feature"), coords={**targets, **features})
