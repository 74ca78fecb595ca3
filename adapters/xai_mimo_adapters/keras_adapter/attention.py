"""Keras's own attention layers sow what they attend to, while maps are read; the layers know nothing of it.

While ``collecting`` is active, two methods of each class of ``_CLASSES`` are replaced by ones that ask the layer for
its weights and sow them. They do so in threads that are collecting alone, and only while the layer runs by itself: of a
layer that is mapped over steps (``TimeDistributed``, a recurrent cell) nothing is sown. Classes get their methods back
when the last reader is through, also after an error; no layer is touched, and a layer whose attention is fused (flash
attention) is asked through a stand-in whose attention is not.
"""

import contextlib
import contextvars
import functools
import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import ops

from xai_mimo.core.attention import AXES, AXES_OF_VALUES, CROSS_VALUES, CROSS_WEIGHTS, VALUES, WEIGHTS
from xai_mimo.sowing import MapLabels, collect, sow

_reading: contextvars.ContextVar[bool] = contextvars.ContextVar("xai_mimo_reads_attention", default=False)
_is_self: contextvars.ContextVar[bool] = contextvars.ContextVar("xai_mimo_attends_to_itself", default=False)


@contextlib.contextmanager
def collecting(labels: dict[str, MapLabels]) -> Iterator[dict[str, Any]]:
    """``sowing.collect``, for which Keras's own attention layers sow too.

    Of every call of ``MultiHeadAttention``, ``GroupedQueryAttention``, ``Attention`` and ``AdditiveAttention``, and of
    subclasses that leave their attention to them:

    - ``attention_weights``, ``(attention_head, query, key)``: what each query takes of each key, after the softmax and
      before dropout; the sum over keys is 1. The two last have 1 attention head. Positions with several axes that are
      attended over together are flattened; axes that are not attended over stand together in a first axis ``outer``.
    - ``attention_values``, ``(key, attention_head, other_attention_head)``: inner products of the vectors f_h(x_j) that
      attention head h would give if key j had all the weight, f_h(x) = (x W_V + b_V) W_O; of the layers with heads,
      without gates and without ``outer`` axes.

    Where keys or values are not of the very tensor that the queries are of, ``cross_`` stands before both names.
    """
    token = _reading.set(True)
    try:
        with _SHARED.patched(), collect(labels) as maps:
            yield maps
    finally:
        _reading.reset(token)


def _call(original: Callable[..., Any], layer: Any, *args: Any, **kwargs: Any) -> Any:
    """A layer's ``call``, which notes whether queries, keys and values are of one tensor."""
    given = dict(zip(("query", "value", "key"), args, strict=False)) | kwargs
    query, key = given.get("query"), given.get("key")
    is_self = query is not None and query is given.get("value") and (key is None or key is query)
    return _noting(is_self, original, layer, *args, **kwargs)


def _call_of_list(original: Callable[..., Any], layer: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
    """The same for layers that take queries, values and keys as a list."""
    is_self = isinstance(inputs, list) and all(each is inputs[0] for each in inputs)
    return _noting(is_self, original, layer, inputs, *args, **kwargs)


def _noting(is_self: bool, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    token = _is_self.set(is_self)
    try:
        return original(*args, **kwargs)
    finally:
        _is_self.reset(token)


def _mapped(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A method that runs a layer on many steps at once: what is sown inside belongs to none of them."""
    token = _reading.set(False)
    try:
        return original(*args, **kwargs)
    finally:
        _reading.reset(token)


def _attend_in_heads(original: Callable[..., Any], layer: Any, *args: Any, **kwargs: Any) -> Any:
    """``_compute_attention(query, key, value, attention_mask, training, return_attention_scores, ...)``."""
    given = dict(zip(_ARGUMENTS, args, strict=False)) | kwargs
    wants = given.pop("return_attention_scores", False)
    output, weights = original(_Unfused(layer), **given, return_attention_scores=True)
    _sow(layer, weights, outer=len(weights.shape) - 2 - 2 * len(layer._attention_axes), axes=len(layer._attention_axes))
    if len(weights.shape) == 4 and len(layer._attention_axes) == 1 and not layer._use_gate:
        _sow_values(layer, given["value"])
    return output, (weights if wants else None)


_ARGUMENTS = ("query", "key", "value", "attention_mask", "training", "return_attention_scores", "use_causal_mask")


def _attend_in_groups(original: Callable[..., Any], layer: Any, *args: Any, **kwargs: Any) -> Any:
    """``_compute_attention(query, key, value, attention_mask, training, use_causal_mask)``, heads repeated."""
    output, weights = original(_Unfused(layer), *args, **kwargs)
    _sow(layer, weights)
    if not layer.use_gate:
        _sow_values(layer, kwargs["value"] if "value" in kwargs else args[2])
    return output, (weights if layer._return_attention_scores else None)


def _apply_scores(original: Callable[..., Any], layer: Any, *args: Any, **kwargs: Any) -> Any:
    """``_apply_scores`` of layers without attention heads, which gives ``(row, *outer, query, key)``."""
    output, weights = original(layer, *args, **kwargs)
    _sow(layer, ops.expand_dims(weights, -3), outer=len(weights.shape) - 3)
    return output, weights


class _Unfused:
    """A layer whose attention is not fused and gives its weights; everything else is the layer's own."""

    _flash_attention = False
    _return_attention_scores = True

    def __init__(self, layer: Any) -> None:
        self._layer = layer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)


def _sow(layer: Any, weights: Any, *, outer: int = 0, axes: int = 1) -> None:
    """Sow weights ``(row, *outer, attention_head, *query, *key)``."""

    def made() -> Any:
        values = _single(weights)
        if not outer and axes == 1:
            return values
        sizes = ops.shape(values)
        parts = [1], [outer] * bool(outer), [1], [axes], [axes]
        lengths, at = [], 0
        for count in (n for part in parts for n in part):
            lengths.append(math.prod(sizes[at : at + count]))
            at += count
        return ops.reshape(values, lengths)

    name = WEIGHTS if _is_self.get() else CROSS_WEIGHTS
    sow(layer, name, made, axes=("outer", *AXES) if outer else AXES)


def _sow_values(layer: Any, value: Any) -> None:
    """Sow inner products of what attention heads make of each key, from ``value``: ``(row, key, head, size)``."""

    def made() -> Any:
        kernel = _single(layer._output_dense.kernel)
        kernel = ops.reshape(kernel, (*kernel.shape[:2], -1))
        vectors = ops.einsum("bkhs,hse->bkhe", _single(value), kernel)
        return ops.einsum("bkhe,bkge->bkhg", vectors, vectors)

    sow(layer, VALUES if _is_self.get() else CROSS_VALUES, made, axes=AXES_OF_VALUES)


def _single(values: Any) -> Any:
    """In single precision at least."""
    return values if keras.backend.standardize_dtype(values.dtype) == "float64" else ops.cast(values, "float32")


_CLASSES: tuple[tuple[type, str, Callable[..., Any]], ...] = (
    (keras.layers.MultiHeadAttention, "call", _call),
    (keras.layers.MultiHeadAttention, "_compute_attention", _attend_in_heads),
    (keras.layers.GroupQueryAttention, "call", _call),
    (keras.layers.GroupQueryAttention, "_compute_attention", _attend_in_groups),
    (keras.layers.Attention, "call", _call_of_list),
    (keras.layers.Attention, "_apply_scores", _apply_scores),
    (keras.layers.TimeDistributed, "call", _mapped),
    (keras.layers.RNN, "inner_loop", _mapped),
)


def _calls_of_subclasses() -> list[tuple[type, str, Callable[..., Any]]]:
    """Subclasses of layers with heads that have a ``call`` of their own, such as KerasHub's attention with a cache."""
    found: list[tuple[type, str, Callable[..., Any]]] = []
    waiting = [keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention]
    while waiting:
        for kind in waiting.pop().__subclasses__():
            waiting.append(kind)
            if "call" in vars(kind):
                found.append((kind, "call", _call))
    return list(dict.fromkeys(found))


class _Shared:
    """Methods that all readers replace together: by the first who comes, until the last who goes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._originals: list[tuple[type, str, Any]] = []

    @contextlib.contextmanager
    def patched(self) -> Iterator[None]:
        with self._lock:
            self._readers += 1
            if self._readers == 1:
                replaced = [*_CLASSES, *_calls_of_subclasses()]
                self._originals = [(kind, name, vars(kind)[name]) for kind, name, _ in replaced]
                for (kind, name, instead), (*_, original) in zip(replaced, self._originals, strict=True):
                    setattr(kind, name, _where_read(original, instead))
        try:
            yield
        finally:
            with self._lock:
                self._readers -= 1
                if not self._readers:
                    for kind, name, original in self._originals:
                        setattr(kind, name, original)


_SHARED = _Shared()


def _where_read(original: Callable[..., Any], instead: Callable[..., Any]) -> Callable[..., Any]:
    """A method that is replaced in threads that read."""

    @functools.wraps(original)
    def method(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if not _reading.get():
            return original(layer, *args, **kwargs)
        return instead(original, layer, *args, **kwargs)

    return method
