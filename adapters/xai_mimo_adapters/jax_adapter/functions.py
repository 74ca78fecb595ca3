"""Plain, jitted and partly applied functions of arrays as sources."""

import functools
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any

import jax

from xai_mimo_adapters.jax_adapter.source import Leaf, Source, is_array, is_float, label_of, leaves_of


def of_function(function: Callable[..., Any]) -> Source:
    """A function as it is; what it closes over is read when it is traced, as ``jax.jit`` does."""
    is_plain = isinstance(function, FunctionType | MethodType)
    return Source(function, label_of(function), function, lambda weights, shown: (function, {}), is_plain=is_plain)


def of_partial(partial: "functools.partial[Any]") -> Source:
    """A function with its first arguments bound: the arrays among them are its weights, read at every call."""
    function = partial.func

    def weights() -> list[Any]:
        return [leaf for leaf in jax.tree.leaves((partial.args, partial.keywords)) if is_array(leaf)]

    def built(arrays: list[Any], shown: bool) -> tuple[Callable[..., Any], dict[int, str]]:
        leaves, tree = jax.tree.flatten((partial.args, partial.keywords))
        left = iter(arrays)
        bound, keywords = jax.tree.unflatten(tree, [next(left) if is_array(leaf) else leaf for leaf in leaves])
        return functools.partial(function, *bound, **keywords), {}

    def leaves(_: list[Any]) -> list[Leaf]:
        every = leaves_of((partial.args, partial.keywords), lambda _, leaf: is_float(leaf), skip=2)
        flat = jax.tree.leaves((partial.args, partial.keywords))
        return [named for named, leaf in zip(every, flat, strict=True) if is_array(leaf)]

    return Source(partial, label_of(function), partial, built, weights, leaves)
