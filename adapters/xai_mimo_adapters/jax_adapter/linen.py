"""Modules of flax.linen, which have no weights of their own: they are applied to variables."""

import contextlib
import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import flax.errors
import flax.linen

from xai_mimo.core.errors import NotSupported
from xai_mimo_adapters.jax_adapter.flax_attention import linen_attention_sown
from xai_mimo_adapters.jax_adapter.functions import of_partial
from xai_mimo_adapters.jax_adapter.source import Source, flags_of, is_float, leaves_of

_NOT_FOUND = (
    flax.errors.ScopeParamNotFoundError,
    flax.errors.ScopeCollectionNotFound,
    flax.errors.ApplyScopeInvalidVariablesTypeError,
    flax.errors.ApplyScopeInvalidVariablesStructureError,
)


def of_linen(module: flax.linen.Module, variables: Mapping[str, Any] | None) -> Source:
    """A module applied to its variables, or one that is bound to them.

    Raises:
        NotSupported: there are no variables.
    """
    if module.scope is not None:
        free, own = module.unbind()
        return _applied(module, free, own if variables is None else variables, {})
    if variables is None:
        kind = type(module).__name__
        raise NotSupported(
            f"flax module '{module.name or kind}' has no weights of its own. Give its variables: "
            "xai_mimo.adapt(module, variables=variables, ...), with what module.init(...) or training gave; or explain "
            "the bound module, module.bind(variables), which takes the rows as they are."
        )
    return _applied(module, module, variables, {})


def of_apply(partial: "functools.partial[Any]") -> Source | None:
    """The module behind ``functools.partial(module.apply, variables)``; None where a function is no such thing."""
    module = getattr(partial.func, "__self__", None)
    if not isinstance(module, flax.linen.Module):
        return None
    given = dict(partial.keywords)
    variables = partial.args[0] if partial.args else given.pop("variables", None)
    is_apply = getattr(partial.func, "__name__", "") == "apply"
    if not is_apply or len(partial.args) > 1 or variables is None or given.get("mutable") or "method" in given:
        return None
    return _applied(partial, module, variables, given)


def of_train_state(state: Any) -> Source:
    """A ``flax.training`` state: what it applies, to its parameters and the statistics of its batches."""
    variables = {"params": state.params}
    if getattr(state, "batch_stats", None) is not None:
        variables["batch_stats"] = state.batch_stats
    applied = functools.partial(state.apply_fn, variables)
    return replace(of_apply(applied) or of_partial(applied), model=state)


def _applied(model: Any, module: flax.linen.Module, variables: Mapping[str, Any], given: Mapping[str, Any]) -> Source:
    name = str(module.name or type(module).__name__)
    flags = {**flags_of(type(module).__call__), **given}

    def call(weights: Any, shown: bool, *args: Any, **named: Any) -> Any:
        try:
            with linen_attention_sown() if shown else contextlib.nullcontext():
                return module.apply(weights, *args, **{**flags, **named})
        except flax.errors.InvalidRngError as err:
            raise NotSupported(
                f"flax module '{name}' draws random numbers when it is called, and explanations need the same answer "
                f"each time: {_first_line(err)}. Leave out what is random in inference, by a parameter of its call "
                "named 'train' or 'deterministic', which is set here."
            ) from err
        except flax.errors.ModifyScopeVariableError as err:
            raise NotSupported(
                f"flax module '{name}' changes its variables when it is called ({_first_line(err)}). Give its call a "
                "parameter 'train' or 'use_running_average', which is set here, and leave the variables alone without."
            ) from err
        except _NOT_FOUND as err:
            raise NotSupported(
                f"flax module '{name}' does not find its weights in the variables {sorted(map(str, variables))}: "
                f"{_first_line(err)}. Expected what module.init(...) gives, a mapping with 'params' in it: "
                "variables={'params': params}."
            ) from err

    return Source(
        model,
        name,
        functools.partial(module.__call__, **flags),
        lambda weights, shown: (functools.partial(call, weights, shown), {}),
        lambda: variables,
        lambda weights: leaves_of(weights, lambda path, leaf: path[0] == "params" and is_float(leaf), skip=1),
    )


def _first_line(err: Exception) -> str:
    return str(err).split("\n")[0].split(" (https://")[0].rstrip(".")
