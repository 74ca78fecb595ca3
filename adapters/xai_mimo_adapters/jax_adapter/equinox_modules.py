"""Modules of equinox: trees whose arrays are their weights, most of them functions of one row."""

import functools
import inspect
from typing import Any

import equinox as eqx
import jax

from xai_mimo.core.errors import NotSupported
from xai_mimo_adapters.jax_adapter.source import Source, is_array, is_float, leaves_of

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

    def call(arrays: Any, *args: Any, **named: Any) -> Any:
        whole: Any = eqx.combine(arrays, static)
        return whole(*args, **{**keys, **named})

    return Source(
        module,
        name,
        functools.partial(module, **keys),
        call,
        lambda: weights,
        lambda arrays: leaves_of(arrays, lambda _, leaf: is_float(leaf)),
        takes=None,
    )


def _is_state(leaf: Any) -> bool:
    return isinstance(leaf, eqx.nn.StateIndex)


def _required(module: Any) -> list[str]:
    """Parameters that a module's call has to be given."""
    try:
        parameters = inspect.signature(module).parameters
    except (ValueError, TypeError):
        return []
    return [name for name, p in parameters.items() if p.default is p.empty]
