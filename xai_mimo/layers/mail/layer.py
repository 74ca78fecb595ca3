"""The Multi-layer Attentional Interception Layer: attention over all input streams, one map per head."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from xai_mimo.layers.heads import (
    by_head,
    check_count,
    divide,
    divide_outputs,
    head_blocks,
    initialize_each,
    join,
    read_heads,
    with_head_axis,
)
from xai_mimo.layers.mail.normalizers import NORMALIZERS, softmax
from xai_mimo.layers.mail.scoring import SCORINGS, Scores, Weight
from xai_mimo.layers.precision import matmul, precise
from xai_mimo.layers.stream_layout import check_feature_names, check_names, feature_labels, joint_mask, read_layout
from xai_mimo.sowing import is_collecting, replacement, sow

_LEADING_AXES = {0: (), 1: ("time",), 2: ("height", "width")}


@keras.saving.register_keras_serializable(package="xai_mimo")
class MAIL(keras.layers.Layer):
    """Attention of M heads over the concatenated features of N streams, readable from outside.

    With x = concatenate(streams), ``(..., D)``, and scores e_j of head j (see ``scoring``):

        a_j = normalize(e_j / temperature)        weights over the D features (sum to 1 for softmax and sparsemax)
        C_j = gain * a_j * x                      gain = 1; with ``rescale``, uniform attention gives C_j = x
        Y_j = C_j W_j + b_j                       linear, ``(..., width of head j)``

    ``scoring`` says what the score of feature i may depend on. As published, "dense" lets a head carry its answer
    through the weights themselves, on features that do not matter: compare the map with attributions before you
    believe it.

    ========  ================================================  =======================
    scoring   e_j                                               score of i depends on
    ========  ================================================  =======================
    dense     tanh(x U_j + c_j) V_j + d_j  (the article)        all features
    stream    the same within each stream                       the features of i's stream
    local     v_ji . tanh(u_ji x[i] + c_ji) + d_ji              feature i alone
    additive  tanh(x W + q_j) V + d                             all features
    static    a learned vector                                  nothing
    ========  ================================================  =======================

    "local" and "static" start with uniform attention.

    Maps for ``collect()``; D axes carry the labels ``feature`` and ``feature.stream``. Streams of higher rank put their
    leading axes first, e.g. ``("time", "head", "feature")``.

    - ``attention (head, feature)``: a_j before the gain;
    - ``context (head, feature)``: C_j;
    - ``contribution (target, feature)``: W_j[:, u] * C_j; sums over features to Y_j[u] - b_j[u]. Targets are all units
      of all heads, labelled ``target.head`` and ``target.unit``;
    - ``stream_attention (head, stream)``, hierarchical only: weights over streams; ``attention`` is its product with
      the attention within each stream;
    - ``mask ()``: with masked streams only, 1.0 where the steps are real: maps at other steps are those of padding.

    Masks: the layer treats each step by itself, so a step of the outputs is masked where it is masked in any stream.

    Args:
        heads: mapping name -> width (``call`` returns a dict) or sequence of widths (``call`` returns a list; the
            heads are called ``head_0``, ``head_1``, ... in the maps).
        hidden_units: A, width of the hidden layer of the scores; for "stream" of each stream, for "local" of each
            feature. Default D (the stream's width for "stream", 8 for "local"); not used by "static".
        scoring: see the table.
        normalizer: "softmax", "sparsemax" (exact zeros) or "sigmoid" (features do not compete).
        temperature: positive; scores are divided by it.
        rescale: multiply a_j so that uniform attention gives C_j = x: by D; by 2 for "sigmoid", whose zero score
            weighs one half; hierarchical, by N times that of the stream's own width.
        streams: "flat", or "hierarchical": softmax over streams times attention within each stream.
        stream_names: names for a list of streams, or the order for a dict of streams.
        feature_names: mapping stream name -> names of its features; others are called ``stream.i``.
        use_bias: whether scores and outputs have biases.
        kernel_initializer: of each head's kernels, with the fans of a Dense layer of its own. (The one-input networks
            of "local" always start Glorot-uniform, with this initializer's seed if it has one.)
        score_initializer: of the last kernel in front of the scores; default ``kernel_initializer``, zeros for "local"
            and "static".
        bias_initializer, kernel_regularizer, bias_regularizer, kernel_constraint, bias_constraint: as in
            ``keras.layers.Dense``; regularizers and constraints see the stacked weights of all heads.

    Call arguments:
        inputs: list, tuple or dict of tensors ``(batch, ..., width)`` with equal leading axes, or one tensor.
        mask: masks of the streams ``(batch, ...)``, filled in by Keras.

    Raises:
        ValueError: an argument or a stream's shape is outside what is said here.

    Source: L. Ribeiro (2025), the article that proposes the Multi-layer Attentional Interception Layer, for "dense"
    with softmax; "additive": Bahdanau et al. (2015), Section 3.1, with a query per head (our reading).
    """

    reference = "ribeiro2025mail"

    def __init__(
        self,
        heads: Mapping[str, int] | Sequence[int],
        hidden_units: int | None = None,
        scoring: Literal["dense", "stream", "local", "additive", "static"] = "dense",
        normalizer: Literal["softmax", "sparsemax", "sigmoid"] = "softmax",
        *,
        temperature: float = 1.0,
        rescale: bool = False,
        streams: Literal["flat", "hierarchical"] = "flat",
        stream_names: Sequence[str] | None = None,
        feature_names: Mapping[str, Sequence[str]] | None = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        score_initializer: Any = None,
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._widths = tuple(read_heads(heads).values())
        self._head_names = tuple(read_heads(heads))
        self._heads_by_name = isinstance(heads, Mapping)
        if hidden_units is not None:
            check_count(hidden_units, "`hidden_units`", f"hidden_units={hidden_units}")
        _check_choice("scoring", scoring, SCORINGS)
        _check_choice("normalizer", normalizer, NORMALIZERS)
        _check_choice("streams", streams, ("flat", "hierarchical"))
        if isinstance(temperature, bool) or not 0 < temperature < float("inf"):
            raise ValueError(f"Expected `temperature` to be positive and finite. Received: temperature={temperature}")
        self.hidden_units = None if hidden_units is None else int(hidden_units)
        self.scoring = scoring
        self.normalizer = normalizer
        self.temperature = float(temperature)
        self.rescale = bool(rescale)
        self.streams = streams
        self.stream_names = None if stream_names is None else check_names(stream_names, "stream_names")
        self.feature_names = None if feature_names is None else check_feature_names(feature_names)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.score_initializer = keras.initializers.get(score_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Create the weights; all heads of one kind of weight are stacked in one variable."""
        self._layout, _ = read_layout(input_shape, self.stream_names)
        self._feature_labels = feature_labels(self._layout, self.feature_names)
        self._head_axes: dict[str, int | None] = {}
        self._score_weights: dict[str, Any] = {}
        hierarchical = self.streams == "hierarchical"
        needed = SCORINGS[self.scoring].weights(self._layout, self.hidden_units, hierarchical)
        for name, weight in needed.items():
            if self.use_bias or weight.role not in ("bias", "score_bias"):
                self._head_axes[name] = weight.head_axis
                self._score_weights[name] = self._add_score_weight(name, weight)
        self.output_kernel = self.add_weight(
            name="output_kernel",
            shape=(self._layout.width, sum(self._widths)),
            initializer=initialize_each(
                self.kernel_initializer,
                [(self._layout.width, width) for width in self._widths],
                lambda parts: ops.concatenate(parts, axis=1),
            ),
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.output_bias = None
        if self.use_bias:
            self.output_bias = self.add_weight(
                name="output_bias",
                shape=(sum(self._widths),),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Outputs of all heads; the maps are sown if somebody collects."""
        x, lead = self._rows(inputs)
        outputs: dict[int, Any] = {}
        blocks = head_blocks(self._widths, self._layout.width)
        maps: list[tuple[Any, Any, Any]] = []
        others = self._other_attention(blocks)
        for i, (block, (weights, kernel, bias)) in enumerate(zip(blocks, self._weights_of(blocks), strict=True)):
            attention, streams = self._attend(SCORINGS[self.scoring].score(x, weights, self._layout))
            attention = attention if others is None else ops.cast(others[i], attention.dtype)
            context = ops.cast(attention * self._gain(attention), self.compute_dtype) * x
            output = matmul(context, kernel) if bias is None else matmul(context, kernel) + bias
            for head, values in zip(block, by_head(output, len(block)), strict=True):
                outputs[head] = ops.reshape(values, (*lead, self._widths[head]))
            if is_collecting():
                maps.append((with_head_axis(attention), with_head_axis(context), with_head_axis(streams)))
        if maps:
            self._sow(maps, [j for block in blocks for j in block], lead, joint_mask(mask))
        return self._named([outputs[head] for head in range(len(self._widths))])

    def compute_output_shape(self, input_shape: Any) -> Any:
        """``(..., width)`` for each head, in a dict or a list as ``call`` returns them."""
        _, lead = read_layout(input_shape, self.stream_names)
        return self._named([(*lead, width) for width in self._widths])

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Each head's mask: a step counts only where it counts in every stream."""
        joint = joint_mask(previous_mask)
        return None if joint is None else self._named([joint] * len(self._widths))

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor as plain values."""
        heads: Any = (
            dict(zip(self._head_names, self._widths, strict=True)) if self._heads_by_name else list(self._widths)
        )
        features = self.feature_names
        return {
            **super().get_config(),
            "heads": heads,
            "hidden_units": self.hidden_units,
            "scoring": self.scoring,
            "normalizer": self.normalizer,
            "temperature": self.temperature,
            "rescale": self.rescale,
            "streams": self.streams,
            "stream_names": None if self.stream_names is None else list(self.stream_names),
            "feature_names": None if features is None else {stream: list(names) for stream, names in features.items()},
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "score_initializer": keras.initializers.serialize(self.score_initializer)
            if self.score_initializer
            else None,
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }

    def _add_score_weight(self, name: str, weight: Weight) -> Any:
        heads, axis = len(self._widths), weight.head_axis
        is_bias = weight.role in ("bias", "score_bias")
        initializer = self._initializer(weight)
        if axis is None:
            shape = weight.shape
        else:
            shape = (*weight.shape[:axis], heads, *weight.shape[axis:])
            initializer = initialize_each(
                initializer, [weight.shape] * heads, lambda parts: ops.stack(parts, axis=axis)
            )
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            regularizer=self.bias_regularizer if is_bias else self.kernel_regularizer,
            constraint=self.bias_constraint if is_bias else self.kernel_constraint,
        )

    def _initializer(self, weight: Weight) -> Any:
        if weight.role in ("bias", "score_bias"):
            return self.bias_initializer
        if weight.role == "feature":
            # The fans are those of one network, 1 -> A, but D of them are drawn at once.
            limit = float(np.sqrt(6.0 / (1 + weight.shape[0])))
            seed = getattr(self.kernel_initializer, "seed", None)
            return keras.initializers.RandomUniform(-limit, limit, seed=seed)
        if weight.role == "score" and self.score_initializer is not None:
            return self.score_initializer
        if weight.role == "score" and SCORINGS[self.scoring].starts_uniform:
            return keras.initializers.Zeros()
        return self.kernel_initializer

    def _rows(self, inputs: Any) -> tuple[Any, tuple[Any, ...]]:
        """All streams side by side as ``(rows, D)``, and the leading shape to come back to."""
        tensors = [ops.cast(t, self.compute_dtype) for t in self._layout.tensors(inputs)]
        x = tensors[0] if len(tensors) == 1 else ops.concatenate(tensors, axis=-1)
        lead = ops.shape(x)[:-1]
        return (x if len(x.shape) == 2 else ops.reshape(x, (-1, self._layout.width))), lead

    def _weights_of(self, blocks: Sequence[Sequence[int]]) -> list[tuple[dict[str, Any], Any, Any]]:
        """For each block the weights of its scores, its output kernel and its output bias.

        A block of one head has no head axis, so that its products are those of plain matrices.
        """
        scores: list[dict[str, Any]] = [{} for _ in blocks]
        for name, variable in self._score_weights.items():
            axis = self._head_axes[name]
            parts = [variable.value] * len(blocks) if axis is None else divide(variable.value, blocks, axis)
            for weights, part, block in zip(scores, parts, blocks, strict=True):
                weights[name] = ops.squeeze(part, axis) if axis is not None and len(block) == 1 else part
        bias = None if self.output_bias is None else self.output_bias.value
        outputs = divide_outputs(self.output_kernel.value, bias, self._widths, blocks)
        return [(weights, *output) for weights, output in zip(scores, outputs, strict=True)]

    def _attend(self, scores: Scores) -> tuple[Any, Any | None]:
        """Attention ``(head, row, D)`` and, hierarchical only, stream attention ``(head, row, N)``; see ``Scores``."""
        weigh = NORMALIZERS[self.normalizer].weigh
        features = self._prepare(scores.features)
        if scores.streams is None:
            return weigh(features), None
        streams = softmax(self._prepare(scores.streams))
        parts = [
            weigh(features[..., start : start + width]) * streams[..., i : i + 1]
            for i, (start, width) in enumerate(zip(self._layout.starts, self._layout.widths, strict=True))
        ]
        return ops.concatenate(parts, axis=-1), streams

    def _other_attention(self, blocks: Sequence[Sequence[int]]) -> list[Any] | None:
        """For each block the attention that somebody puts in the place of its own, shaped like it; None for its own."""
        whole = replacement(self, "attention")
        if whole is None:
            return None
        rows = ops.reshape(whole, (-1, len(self._widths), self._layout.width))
        parts = divide(ops.transpose(rows, (1, 0, 2)), blocks, 0)
        return [ops.squeeze(part, 0) if len(block) == 1 else part for part, block in zip(parts, blocks, strict=True)]

    def _prepare(self, scores: Any) -> Any:
        return precise(scores) if self.temperature == 1.0 else precise(scores) / self.temperature

    def _gain(self, attention: Any) -> Any:
        """What attention is multiplied with: 1, a number, or one number per feature ``(D,)`` in its dtype."""
        if not self.rescale:
            return 1.0
        neutral = NORMALIZERS[self.normalizer].neutral
        if self.streams == "flat":
            return 1.0 / neutral(self._layout.width)
        widths = np.asarray(self._layout.widths)
        gains = [len(widths) / neutral(int(width)) for width in widths]
        return ops.convert_to_tensor(np.repeat(gains, widths), dtype=attention.dtype)

    def _named(self, values: list[Any]) -> Any:
        return dict(zip(self._head_names, values, strict=True)) if self._heads_by_name else values

    def _sow(
        self, maps: Sequence[tuple[Any, Any, Any]], order: Sequence[int], lead: tuple[Any, ...], mask: Any
    ) -> None:
        def whole(kind: int) -> Any:
            """One kind of map of all heads, ``(row, head, ...)``; a map that ignores the input is repeated."""
            stacked = join([block[kind] for block in maps], order)
            rows = ops.shape(maps[0][1])[1]
            return ops.broadcast_to(ops.transpose(stacked, (1, 0, 2)), (rows, len(order), stacked.shape[-1]))

        def shaped(values: Any) -> Any:
            return ops.reshape(values, (*lead, *values.shape[1:]))

        def contribution() -> Any:
            owners = [j for j, width in enumerate(self._widths) for _ in range(width)]
            return shaped(ops.take(whole(1), np.asarray(owners), axis=1) * ops.transpose(self.output_kernel.value))

        axes = _LEADING_AXES.get(len(lead) - 1) or tuple(f"axis_{i}" for i in range(1, len(lead)))
        layout, heads = self._layout, {"head": self._head_names}
        features = {"feature": self._feature_labels, "feature.stream": layout.owners}
        targets = {
            "target.head": [
                name for name, width in zip(self._head_names, self._widths, strict=True) for _ in range(width)
            ],
            "target.unit": [str(unit) for width in self._widths for unit in range(width)],
        }
        per_head = (*axes, "head", "feature")
        sow(self, "attention", lambda: shaped(whole(0)), axes=per_head, coords={**heads, **features})
        sow(self, "context", lambda: shaped(whole(1)), axes=per_head, coords={**heads, **features})
        sow(self, "contribution", contribution, axes=(*axes, "target", "feature"), coords={**targets, **features})
        if maps[0][2] is not None:
            coords = {**heads, "stream": layout.names}
            sow(self, "stream_attention", lambda: shaped(whole(2)), axes=(*axes, "head", "stream"), coords=coords)
        if mask is not None:
            sow(self, "mask", lambda: ops.cast(mask, "float32"), axes=axes)


def _check_choice(name: str, value: Any, choices: Any) -> None:
    if value not in tuple(choices):
        raise ValueError(f"Expected `{name}` to be one of {', '.join(map(repr, choices))}. Received: {name}={value!r}")
