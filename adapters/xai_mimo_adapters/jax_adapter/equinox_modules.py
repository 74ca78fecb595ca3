"""Modules of equinox: trees whose arrays are their weights, most of them functions of one row."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax

from xai_mimo.core.errors import NotSupported
from xai_mimo_adapters.jax_adapter.source import Source, is_array, is_float, leaves_of, words_of

_KEYS = ("key", "rng", "rngs")


def of_equinox(module: eqx.Module) -> Source:
    """A module in inference mode, as a copy; whether it takes one row or many has to be tried.

    Raises:
        NotSupported: it cannot be called, or keeps a state.
    """
    name = type(module).__name__
    if not callable(module):
        raise NotSupported(f"equinox module '{name}' cannot be called. Give a function of arrays that asks it.")
    states = [leaf for leaf in jax.tree.leaves(module, is_leaf=_is_state) if _is_state(leaf)]
    if states:
        raise NotSupported(
            f"equinox module '{name}' keeps a state beside its weights, as BatchNorm does, and wants it with every "
            "row. Give a function that hands it over: model = eqx.nn.inference_mode(model); "
            "xai_mimo.adapt(jax.vmap(lambda x: model(x, state)[0], axis_name='batch'), ...)."
        )
    weights, static = eqx.partition(eqx.nn.inference_mode(module), is_array)
    keys = {key: None for key in _KEYS if key in _required(module)}

    def built(arrays: Any, shown: bool) -> tuple[Callable[..., Any], dict[int, str]]:
        whole: Any = eqx.combine(arrays, static)
        return functools.partial(whole, **keys), _paths(whole)

    return Source(
        module,
        name,
        functools.partial(module, **keys),
        built,
        lambda: weights,
        lambda arrays: leaves_of(arrays, lambda _, leaf: is_float(leaf)),
        takes=None,
    )


def _paths(module: eqx.Module) -> dict[int, str]:
    """Paths of the modules inside one, by their identity."""
    paths: dict[int, str] = {}

    def note(part: Any, before: tuple[str, ...]) -> None:
        inside = jax.tree_util.tree_flatten_with_path(
            part, is_leaf=lambda x: isinstance(x, eqx.Module) and x is not part
        )
        for path, leaf in inside[0]:
            if isinstance(leaf, eqx.Module):
                words = (*before, *words_of(path))
                paths[id(leaf)] = "/".join(words)
                note(leaf, words)

    note(module, ())
    return paths


def _is_state(leaf: Any) -> bool:
    return isinstance(leaf, eqx.nn.StateIndex)


def _required(module: Any) -> list[str]:
    """Parameters that a module's call has to be given."""
    try:
        parameters = inspect.signature(module).parameters
    except (ValueError, TypeError):
        return []
    return [name for name, p in parameters.items() if p.default is p.empty]
