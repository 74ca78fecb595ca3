"""Attention layers of flax sow what they attend to, while maps are read; the layers know nothing of it.

Flax's attention functions tell whoever is given to them as ``module`` their weights, after the softmax and before
dropout. While maps are read, on copies of the modules alone, that is somebody who sows them by the names and axes of
``core.attention``. A layer that is mapped over steps or layers (``nn.scan``, ``nn.vmap``), or whose attention function
is of the user's own and takes no ``module``, is not read.
"""

import contextlib
import functools
import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import flax.linen
import jax.numpy as jnp
from flax import nnx
from flax.core.tracers import current_trace

from xai_mimo.core.attention import AXES, AXES_OF_VALUES, CROSS_VALUES, CROSS_WEIGHTS, VALUES, WEIGHTS
from xai_mimo.sowing import sow

_trace: Callable[[], Any] = current_trace
"""What is being traced now: another one inside what is mapped, scanned over or jitted."""
_PROJECTIONS = ("query", "key", "value")


@contextlib.contextmanager
def linen_attention_sown() -> Iterator[None]:
    """While this is active, attention layers of ``flax.linen`` that are applied sow their weights."""
    level = _trace()

    def intercept(following: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        layer = context.module
        is_read = isinstance(layer, flax.linen.MultiHeadDotProductAttention) and context.method_name == "__call__"
        if not is_read or not _tells(layer.attention_fn):
            return following(*args, **kwargs)
        given = inspect.signature(type(layer).__call__).bind(layer, *args, **kwargs).arguments
        queries = given["inputs_q"]
        others = [given.get(name) for name in ("inputs_k", "inputs_v", "inputs_kv")]
        own = layer.attention_fn

        def kernel() -> Any:
            return layer.variables["params"]["out"]["kernel"]

        sown = _sowing(own, layer, level, lambda: all(x is None or x is queries for x in others), kernel)
        object.__setattr__(layer, "attention_fn", sown)  # a copy's: flax clones what it applies
        try:
            return following(*args, **kwargs)
        finally:
            object.__setattr__(layer, "attention_fn", own)

    with flax.linen.intercept_methods(intercept):
        yield


def nnx_attention_sown(whole: nnx.Module) -> None:
    """Have every attention layer of a module sow its weights; of a copy, which is read once."""
    level = _trace()
    for _, layer in nnx.iter_modules(whole):
        if isinstance(layer, nnx.MultiHeadAttention) and _tells(layer.attention_fn):
            read: dict[str, Any] = {}
            for name in _PROJECTIONS:
                object.__setattr__(layer, name, _Noting(getattr(layer, name), name, read))
            is_self = functools.partial(_is_one, read)
            kernel = functools.partial(_kernel, layer)
            object.__setattr__(layer, "attention_fn", _sowing(layer.attention_fn, layer, level, is_self, kernel))


def _is_one(read: dict[str, Any]) -> bool:
    return read["query"] is read["key"] is read["value"]


def _kernel(layer: Any) -> Any:
    return layer.out.kernel[...]


@dataclass(frozen=True)
class _Noting:
    """A projection that notes what it reads."""

    projection: Any
    name: str
    read: dict[str, Any]

    def __call__(self, inputs: Any, **more: Any) -> Any:
        self.read[self.name] = inputs
        return self.projection(inputs, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.projection, name)


def _tells(function: Callable[..., Any]) -> bool:
    """Whether an attention function tells its weights."""
    return "module" in inspect.signature(function).parameters


def _sowing(
    function: Callable[..., Any],
    layer: Any,
    level: Any,
    is_self: Callable[[], bool],
    kernel: Callable[[], Any],
) -> Callable[..., Any]:
    """An attention function that sows its weights, and the products of its values.

    Args:
        function: of the layer. layer: whose path names the maps. level: of the trace in which maps are read.
        is_self: whether queries, keys and values are of one tensor.
        kernel: ``(attention head, size, feature)`` of the projection of what the attention heads give.
    """

    @functools.wraps(function)
    def attend(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        if _trace() != level:  # inside what is mapped or jitted within the model: no map of its rows
            return function(query, key, value, *args, **kwargs)
        heads = _Heads(layer, is_self(), value, kernel)
        return function(query, key, value, *args, **{**kwargs, "module": heads})

    return attend


@dataclass(frozen=True)
class _Heads:
    """Somebody whom an attention function tells its weights, as if it were the module."""

    layer: Any
    is_self: bool
    value: Any
    kernel: Callable[[], Any]

    def sow(self, collection: Any, name: str, weights: Any) -> None:
        """Sow weights ``(row, *outer, attention_head, query, key)``, and what each head makes of each key."""
        del collection, name
        outer = weights.shape[1:-3]

        def made() -> Any:
            values = _single(weights)
            shape = (len(values), math.prod(outer), *values.shape[-3:])
            return values.reshape(shape) if outer else values

        sow(self.layer, WEIGHTS if self.is_self else CROSS_WEIGHTS, made, axes=("outer", *AXES) if outer else AXES)
        if not outer:
            count = weights.shape[1]
            sow(
                self.layer, VALUES if self.is_self else CROSS_VALUES, lambda: self._products(count), axes=AXES_OF_VALUES
            )

    def _products(self, heads: int) -> Any:
        """<f_h(x_j), f_g(x_j)> from values ``(row, key, head, size)``, those of groups of heads repeated."""
        values, kernel = _single(self.value), _single(self.kernel())
        values = jnp.repeat(values, heads // values.shape[2], axis=2)
        vectors = jnp.einsum("bkhs,hse->bkhe", values, kernel.reshape(*kernel.shape[:2], -1))
        return jnp.einsum("bkhe,bkge->bkhg", vectors, vectors)


def _single(values: Any) -> Any:
    """In single precision at least."""
    return values if values.dtype == jnp.float64 else jnp.asarray(values, jnp.float32)
