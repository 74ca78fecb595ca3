"""Where the score of a feature may come from: the five ways of ``MAIL(scoring=...)``.

Symbols: B rows (all leading axes flattened), M heads, D features, N streams, A hidden units. Scores are head-major,
``(M, B, D)``, because then the last product is one batched matrix product with contiguous operands.

A scoring is a pair of functions. ``weights`` says which weights it needs; ``score`` computes from the weights of any
block of heads, so that the layer can go through many heads block by block. The weights of a block of one head come
without their head axis, and so do its scores: compilers fuse products of matrices better than products of stacks.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from keras import ops

from xai_mimo.layers.precision import matmul, mean, tanh
from xai_mimo.layers.stream_layout import StreamLayout

Weights = Mapping[str, Any]


class Scores(NamedTuple):
    """Scores before normalisation; the row axis has length 1 where they do not depend on the input.

    Attributes:
        features: ``(M, B, D)``; ``(B, D)`` for one head.
        streams: ``(M, B, N)`` or ``(B, N)`` for hierarchical attention, else ``None``.
    """

    features: Any
    streams: Any | None


@dataclass(frozen=True)
class Weight:
    """A weight that a scoring needs.

    Attributes:
        shape: of one head, as the initializer of a Dense kernel or bias would see it.
        role: which initializer it takes: ``kernel``, ``bias``, ``score`` (the last weights in front of the scores),
            ``score_bias`` or ``feature`` (one small network per feature).
        head_axis: where the heads stand in the stored weight; ``None`` if all heads share it.
    """

    shape: tuple[int, ...]
    role: Literal["kernel", "bias", "score", "score_bias", "feature"]
    head_axis: int | None = 0


@dataclass(frozen=True)
class Scoring:
    """How one value of ``MAIL(scoring=...)`` works.

    Attributes:
        weights: ``(layout, hidden units or None, hierarchical)`` -> weights by name.
        score: ``(x (B, D), weights by name, layout)`` -> scores; a missing bias is left out.
        starts_uniform: its last weights start at zero, so that training starts from uniform attention.
    """

    weights: Callable[[StreamLayout, int | None, bool], dict[str, Weight]]
    score: Callable[[Any, Weights, StreamLayout], Scores]
    starts_uniform: bool = False


def _plus(values: Any, bias: Any | None) -> Any:
    return values if bias is None else values + bias


def _per_head(bias: Any | None) -> Any | None:
    return None if bias is None else ops.expand_dims(bias, -2)


def _dense_weights(layout: StreamLayout, hidden: int | None, hierarchical: bool) -> dict[str, Weight]:
    units = hidden or layout.width
    weights = {
        "hidden_kernel": Weight((layout.width, units), "kernel", head_axis=1),
        "hidden_bias": Weight((units,), "bias"),
        "score_kernel": Weight((units, layout.width), "score"),
        "score_bias": Weight((layout.width,), "score_bias"),
    }
    if hierarchical:
        weights["stream_kernel"] = Weight((units, len(layout.names)), "score")
        weights["stream_bias"] = Weight((len(layout.names),), "score_bias")
    return weights


def _dense(x: Any, w: Weights, layout: StreamLayout) -> Scores:
    """h_j = tanh(x U_j + c_j), e_j = h_j V_j + d_j."""
    return _read_out(_hidden(x, w["hidden_kernel"], w.get("hidden_bias")), w)


def _hidden(x: Any, kernel: Any, bias: Any | None) -> Any:
    """tanh(x U_j + c_j) of each head, by the way that moves the least memory."""
    if len(kernel.shape) == 2:
        return tanh(_plus(matmul(x, kernel), bias))
    width, heads, units = kernel.shape
    if width < units:  # repeating x is cheaper than moving the axes of the result
        repeated = ops.broadcast_to(x, (heads, *ops.shape(x)))
        return tanh(_plus(matmul(repeated, ops.transpose(kernel, (1, 0, 2))), _per_head(bias)))
    hidden = matmul(x, ops.reshape(kernel, (width, heads * units)))
    hidden = tanh(_plus(hidden, None if bias is None else ops.reshape(bias, (heads * units,))))
    return ops.transpose(ops.reshape(hidden, (-1, heads, units)), (1, 0, 2))


def _read_out(hidden: Any, w: Weights) -> Scores:
    features = _plus(matmul(hidden, w["score_kernel"]), _per_head(w.get("score_bias")))
    if "stream_kernel" not in w:
        return Scores(features, None)
    return Scores(features, _plus(matmul(hidden, w["stream_kernel"]), _per_head(w.get("stream_bias"))))


def _stream_weights(layout: StreamLayout, hidden: int | None, hierarchical: bool) -> dict[str, Weight]:
    return {
        f"stream_{i}_{name}": weight
        for i, part in enumerate(_single_streams(layout))
        for name, weight in _dense_weights(part, hidden, hierarchical).items()
    }


def _single_streams(layout: StreamLayout) -> list[StreamLayout]:
    return [StreamLayout((n,), (w,), by_name=False) for n, w in zip(layout.names, layout.widths, strict=True)]


def _stream(x: Any, w: Weights, layout: StreamLayout) -> Scores:
    """The dense formula within each stream: nothing leaks from one stream into another's scores."""
    parts = []
    for i, (start, part) in enumerate(zip(layout.starts, _single_streams(layout), strict=True)):
        prefix = f"stream_{i}_"
        own = {name.removeprefix(prefix): value for name, value in w.items() if name.startswith(prefix)}
        parts.append(_dense(x[:, start : start + part.width], own, part))
    features = ops.concatenate([p.features for p in parts], axis=-1)
    if parts[0].streams is None:
        return Scores(features, None)
    return Scores(features, ops.concatenate([p.streams for p in parts], axis=-1))


def _local_weights(layout: StreamLayout, hidden: int | None, hierarchical: bool) -> dict[str, Weight]:
    units = hidden or 8
    weights = {
        "hidden_kernel": Weight((units, layout.width), "feature"),
        "hidden_bias": Weight((units, layout.width), "bias"),
        "score_kernel": Weight((units, layout.width), "score"),
        "score_bias": Weight((layout.width,), "score_bias"),
    }
    if hierarchical:
        weights["stream_kernel"] = Weight((units, layout.width), "score")
        weights["stream_bias"] = Weight((len(layout.names),), "score_bias")
    return weights


def _local(x: Any, w: Weights, layout: StreamLayout) -> Scores:
    """e_j[i] = sum_a v[j, a, i] tanh(u[j, a, i] x[i] + c[j, a, i]) + d[j, i]: one small network per head and feature.

    A stream's score is the mean of a second read-out over its own features (our reading).
    """
    hidden = ops.expand_dims(x, 1) * _per_row(w["hidden_kernel"])
    hidden = tanh(_plus(hidden, _per_row(w["hidden_bias"]) if "hidden_bias" in w else None))
    features = ops.sum(hidden * _per_row(w["score_kernel"]), axis=-2)
    features = _plus(features, _per_head(w.get("score_bias")))
    if "stream_kernel" not in w:
        return Scores(features, None)
    votes = ops.sum(hidden * _per_row(w["stream_kernel"]), axis=-2)
    means = [
        mean(votes[..., start : start + width], axis=-1)
        for start, width in zip(layout.starts, layout.widths, strict=True)
    ]
    return Scores(features, _plus(ops.stack(means, axis=-1), _per_head(w.get("stream_bias"))))


def _per_row(kernel: Any) -> Any:
    """``(..., A, D)`` as ``(..., 1, A, D)``."""
    return ops.expand_dims(kernel, -3)


def _additive_weights(layout: StreamLayout, hidden: int | None, hierarchical: bool) -> dict[str, Weight]:
    units = hidden or layout.width
    shared = {
        "hidden_kernel": Weight((layout.width, units), "kernel", head_axis=None),
        "query": Weight((1, units), "kernel"),
        "score_kernel": Weight((units, layout.width), "score", head_axis=None),
        "score_bias": Weight((layout.width,), "score_bias", head_axis=None),
    }
    if hierarchical:
        shared["stream_kernel"] = Weight((units, len(layout.names)), "score", head_axis=None)
        shared["stream_bias"] = Weight((len(layout.names),), "score_bias", head_axis=None)
    return shared


def _additive(x: Any, w: Weights, layout: StreamLayout) -> Scores:
    """e_j = tanh(x W + q_j) V + d: the heads share W, V and d and differ in their query alone (our reading)."""
    hidden = tanh(matmul(x, w["hidden_kernel"]) + w["query"])
    features = _plus(matmul(hidden, w["score_kernel"]), w.get("score_bias"))
    if "stream_kernel" not in w:
        return Scores(features, None)
    return Scores(features, _plus(matmul(hidden, w["stream_kernel"]), w.get("stream_bias")))


def _static_weights(layout: StreamLayout, hidden: int | None, hierarchical: bool) -> dict[str, Weight]:
    weights = {"score_kernel": Weight((1, layout.width), "score")}
    if hierarchical:
        weights["stream_kernel"] = Weight((1, len(layout.names)), "score")
    return weights


def _static(x: Any, w: Weights, layout: StreamLayout) -> Scores:
    """One learned vector per head, the same for every row: global importance, the control."""
    return Scores(w["score_kernel"], w.get("stream_kernel"))


SCORINGS = {
    "dense": Scoring(_dense_weights, _dense),
    "stream": Scoring(_stream_weights, _stream),
    "local": Scoring(_local_weights, _local, starts_uniform=True),
    "additive": Scoring(_additive_weights, _additive),
    "static": Scoring(_static_weights, _static, starts_uniform=True),
}
