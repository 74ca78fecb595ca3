"""Modules of flax.nnx, read in evaluation mode on a copy: the user's own keeps its mode, weights and random state."""

import functools
from collections.abc import Callable
from typing import Any

import jax
from flax import nnx

from xai_mimo_adapters.jax_adapter.flax_attention import nnx_attention_sown
from xai_mimo_adapters.jax_adapter.source import Leaf, Source, flags_of, is_float, words_of


def of_nnx(module: nnx.Module) -> Source:
    """A module as a graph in evaluation mode, applied to the state that the module has at each call."""
    flags = flags_of(type(module).__call__)
    copy: Any = nnx.merge(*nnx.split(module), copy=True)
    copy.eval()
    graph, rngs, _ = _parts(copy)
    as_it_was = nnx.graphdef(module)

    def built(state: Any, shown: bool) -> tuple[Callable[..., Any], dict[int, str]]:
        whole: Any = nnx.merge(graph, rngs, state, copy=True)  # random state that is counted on stays within the trace
        paths = {id(part): "/".join(map(str, path)) for path, part in nnx.iter_modules(whole) if path}
        if shown:
            nnx_attention_sown(whole)
        return functools.partial(whole, **flags), paths

    return Source(
        module,
        type(module).__name__,
        functools.partial(module.__call__, **flags),
        built,
        lambda: _parts(module)[2],
        _leaves,
        is_current=lambda: bool(nnx.graphdef(module) == as_it_was),
        again=lambda: of_nnx(module),
    )


def _parts(module: nnx.Module) -> tuple[Any, Any, Any]:
    """The graph of a module, the state of its random generators, and the rest of its state."""
    graph, *states = nnx.split(module, nnx.RngState, ...)
    return graph, states[0], states[1]


def _leaves(state: Any) -> list[Leaf]:
    found = []
    variables = jax.tree_util.tree_flatten_with_path(state, is_leaf=lambda leaf: isinstance(leaf, nnx.Variable))[0]
    for path, variable in variables:
        words = words_of(path)
        for leaf in jax.tree.leaves(variable):
            is_trained = isinstance(variable, nnx.Param) and is_float(leaf)
            found.append(Leaf("/".join(words[:-1]), "/".join(words), is_trained))
    return found
