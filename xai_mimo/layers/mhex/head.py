"""A head inside a residual block: it gates the block's branch and says, for each class, where the evidence lies."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from xai_mimo.layers.heads import check_count, initialize_each, read_heads
from xai_mimo.layers.precision import matmul, mean, precise, precise_dtype
from xai_mimo.layers.stream_layout import joint_mask
from xai_mimo.sowing import is_collecting, sow

_POSITIONS = {1: ("token",), 2: ("height", "width")}


@keras.saving.register_keras_serializable(package="xai_mimo")
class MHEXHead(keras.layers.Layer):
    """A residual sum with an attention gate, supervised class scores, and a class map of its own.

    In place of ``Add()([local, shortcut])``. With x the local branch and s the shortcut, ``(batch, *S, C)``, positions
    p in S (height and width of an image, tokens of a sequence) and K units of all output streams together:

        u = x + s,   f = ReLU(u),   gap = mean over p
        g = sigmoid(gap(u) W_1)                       attention gate, one weight per channel
        y = g * x + s                                 what ``call`` returns
        logits = gap(f) W_1 W_2                       for the loss of deep supervision
        W_equiv = W_1 W_2                             equivalent matrix, (C, K)
        M[p, c] = sum_k f[p, k] W_equiv[k, c]         class map; its mean over p is the logit of c, exactly

    The logits cost nothing where nobody reads them: ``call`` computes them for ``collect()`` and ``return_logits``
    only. Untrained, g is near one half, so a head put into a trained network changes what it predicts: train on.

    What is the paper's and what is ours. This is after MHEX (Sun & Liò 2025), reconstructed from public descriptions
    of the paper, not from its text: the gate, the supervision loss and W_2 W_1 as equivalent matrix are described
    there, with one W_1 in all three. Our reading: x is the residual branch and its global counterpart the shortcut
    (call the layer with another tensor to try another reading); f, the features under the map, is that of the
    supervised path; no bias and Keras's default initial values; several output streams share W_1, because a block has
    one gate, and have columns of W_2 each.

    Maps for ``collect()``, in float32 or better. ``target`` is all units of all heads, labelled ``target.head`` and
    ``target.unit``:

    - ``logits (target)``; ``gate (channel)``: g;
    - ``class_map (height, width, target)`` or ``(token, target)``: M, signed; exactly zero at masked tokens;
    - ``mask (token)``: with masked inputs only, 1.0 where a position is real. Means are over real positions;
    - on request only, being large: ``features (..., channel)``, f; ``gated_features (..., channel)``, y.

    Parameters: C^2 + K C, and K with ``use_bias``.

    Args:
        num_classes: K of a single output stream. Give this or ``heads``.
        heads: units per output stream: mapping name -> width, or sequence of widths (``head_0``, ``head_1``, ...).
        use_bias: add a bias to the logits; their class maps then sum to them up to it.
        return_logits: return ``(y, logits)`` instead of y, for models that make losses of the logits themselves.
        gate_initializer, class_initializer: of W_1 and W_2; each output stream's columns get the fans of their own.

    Call arguments:
        inputs: ``[x, s]``, two tensors ``(batch, *S, C)`` of one shape.
        mask: ``(batch, *S)``, True where a position is real; or one for each input, as Keras fills it in.

    Raises:
        ValueError: an argument or a shape is outside what is said here.

    Source: B. Sun and P. Liò (2025), "Multi-Head Explainer: A General Framework to Improve Explainability in CNNs and
    Transformers", arXiv:2501.01311, as publicly described.
    """

    reference = "sun2025multihead"
    stream_names = ("local", "shortcut")

    def __init__(
        self,
        num_classes: int | None = None,
        heads: Mapping[str, int] | Sequence[int] | None = None,
        *,
        use_bias: bool = False,
        return_logits: bool = False,
        gate_initializer: Any = "glorot_uniform",
        class_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (num_classes is None) == (heads is None):
            raise ValueError(
                f"Expected one of `num_classes` and `heads`. Received: num_classes={num_classes}, heads={heads}"
            )
        if num_classes is not None:
            check_count(num_classes, "`num_classes`", f"num_classes={num_classes}")
        self.num_classes = None if num_classes is None else int(num_classes)
        self._heads_by_name = isinstance(heads, Mapping)
        self.heads = read_heads([num_classes] if heads is None else heads)
        self.use_bias = bool(use_bias)
        self.return_logits = bool(return_logits)
        self.gate_initializer = keras.initializers.get(gate_initializer)
        self.class_initializer = keras.initializers.get(class_initializer)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Create W_1, W_2 and the bias."""
        channels = _read_shape(input_shape)[-1]
        widths = list(self.heads.values())
        self.gate_kernel = self.add_weight(
            name="gate_kernel", shape=(channels, channels), initializer=self.gate_initializer
        )
        self.class_kernel = self.add_weight(
            name="class_kernel",
            shape=(channels, sum(widths)),
            initializer=initialize_each(
                self.class_initializer,
                [(channels, width) for width in widths],
                lambda parts: ops.concatenate(parts, axis=1),
            ),
        )
        self.class_bias = (
            self.add_weight(name="class_bias", shape=(sum(widths),), initializer="zeros") if self.use_bias else None
        )

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """The block's output; logits and maps if somebody wants them."""
        local, shortcut = (ops.cast(values, self.compute_dtype) for values in inputs)
        weights = _weights_of(joint_mask(mask), local)
        total = local + shortcut
        gate = ops.sigmoid(matmul(self._mean(total, weights), self._of("gate_kernel")))
        per_position = ops.reshape(gate, (-1, *[1] * (len(local.shape) - 2), local.shape[-1]))
        output = local * ops.cast(per_position, self.compute_dtype) + shortcut
        if not (self.return_logits or is_collecting()):
            return output
        features = ops.relu(total)
        logits = matmul(matmul(self._mean(features, weights), self._of("gate_kernel")), self._of("class_kernel"))
        logits = logits if self.class_bias is None else logits + self._of("class_bias")
        self._sow(logits, gate, features, output, weights)
        return (output, ops.cast(logits, self.compute_dtype)) if self.return_logits else output

    def equivalent_matrix(self) -> Any:
        """W_equiv = W_1 W_2, ``(C, K)``: the weight of each channel for each unit, heads side by side.

        It is the transpose of the paper's W_2 W_1, in Keras's orientation of kernels.
        """
        return matmul(self._of("gate_kernel"), self._of("class_kernel"))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of one input; ``((batch, *S, C), (batch, K))`` with ``return_logits``."""
        shape = _read_shape(input_shape)
        return (shape, (shape[0], sum(self.heads.values()))) if self.return_logits else shape

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """A position of the output is real where it is in both inputs; logits have no mask.

        Only masks that came along with the inputs are passed on: one that was given to this layer is for it alone.
        """
        joint = joint_mask(previous_mask) if isinstance(previous_mask, list | tuple) else None
        return (joint, None) if self.return_logits else joint

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor as plain values."""
        heads: Any = dict(self.heads) if self._heads_by_name else list(self.heads.values())
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "heads": heads if self.num_classes is None else None,
            "use_bias": self.use_bias,
            "return_logits": self.return_logits,
            "gate_initializer": keras.initializers.serialize(self.gate_initializer),
            "class_initializer": keras.initializers.serialize(self.class_initializer),
        }

    def _of(self, weight: str) -> Any:
        return precise(ops.convert_to_tensor(getattr(self, weight)))

    def _mean(self, values: Any, weights: Any | None) -> Any:
        """Mean over the real positions, ``(batch, C)``; zero where no position is real."""
        axes = tuple(range(1, len(values.shape) - 1))
        values = precise(values)
        if weights is None:
            return mean(values, axis=axes)
        count = ops.sum(weights, axis=axes)
        return ops.sum(values * weights, axis=axes) / ops.where(count > 1.0, count, 1.0)

    def _sow(self, logits: Any, gate: Any, features: Any, output: Any, weights: Any | None) -> None:
        count = len(features.shape) - 2
        positions = _POSITIONS.get(count) or tuple(f"axis_{i}" for i in range(1, count + 1))
        targets = {
            "target.head": [head for head, width in self.heads.items() for _ in range(width)],
            "target.unit": [str(unit) for width in self.heads.values() for unit in range(width)],
        }

        def real(values: Any) -> Any:
            return precise(values) if weights is None else precise(values) * weights

        def class_map() -> Any:
            return matmul(real(features), self.equivalent_matrix())

        sow(self, "logits", logits, axes=("target",), coords=targets)
        sow(self, "gate", gate, axes=("channel",))
        sow(self, "class_map", class_map, axes=(*positions, "target"), coords=targets)
        if weights is not None:
            sow(self, "mask", ops.squeeze(weights, -1), axes=positions)
        for name, values in (("features", features), ("gated_features", output)):
            sow(self, name, functools.partial(real, values), axes=(*positions, "channel"), on_request=True)


MHEX = MHEXHead
"""The same under the name of the method."""


def _read_shape(input_shape: Any) -> tuple[Any, ...]:
    """The common shape of both inputs."""
    is_pair = isinstance(input_shape, list | tuple) and all(isinstance(shape, list | tuple) for shape in input_shape)
    shapes = [tuple(shape) for shape in input_shape] if is_pair else []
    fits = len(shapes) == 2 and len(shapes[0]) == len(shapes[1]) >= 3 and isinstance(shapes[0][-1], int)
    if not fits or any(None not in pair and pair[0] != pair[1] for pair in zip(*shapes, strict=True)):
        raise ValueError(
            "Expected two inputs of one shape (batch, positions..., channels), the local branch and the shortcut of a "
            f"residual block. Received: shapes={input_shape}"
        )
    return tuple(a if b is None else b for a, b in zip(*shapes, strict=True))


def _weights_of(mask: Any | None, values: Any) -> Any | None:
    """The mask as weights ``(batch, *S, 1)`` of these values."""
    if mask is None:
        return None
    if len(mask.shape) != len(values.shape) - 1:
        raise ValueError(
            f"Expected a mask with one entry per position, (batch, positions...). Received: mask of shape "
            f"{tuple(mask.shape)} for inputs of shape {tuple(values.shape)}"
        )
    return ops.expand_dims(ops.cast(mask, precise_dtype(values)), -1)
