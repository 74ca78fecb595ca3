"""Which kind of model of JAX something is."""

import functools
import importlib
from collections.abc import Mapping
from typing import Any

from xai_mimo.core.errors import BadSetting, NotSupported
from xai_mimo_adapters.jax_adapter.functions import of_function, of_partial
from xai_mimo_adapters.jax_adapter.source import Source, label_of


def source_of(model: Any, variables: Mapping[str, Any] | None = None) -> Source:
    """A model taken apart.

    Args:
        model: a module of flax or equinox, a train state of flax, or a function of arrays, jitted or not.
        variables: of a module of flax.linen; nothing else takes any.
    Raises:
        NotSupported: it is none of these, or one that cannot be read. BadSetting: variables of what has its own.
    """
    source: Source
    if _is_a(model, "flax.linen", "Module"):
        source = _reader("linen").of_linen(model, variables)
    elif variables is not None:
        raise BadSetting(
            f"variables are those of a module of flax.linen; got them with a {type(model).__name__}, which has its own."
        )
    elif _is_a(model, "flax.nnx", "Module"):
        source = _reader("nnx").of_nnx(model)
    elif _is_a(model, "flax.training", "TrainState"):
        source = _reader("linen").of_train_state(model)
    elif _is_a(model, "equinox", "Module"):
        source = _reader("equinox_modules").of_equinox(model)
    elif isinstance(model, functools.partial):
        is_linen = _is_a(getattr(model.func, "__self__", None), "flax.linen", "Module")
        source = (_reader("linen").of_apply(model) if is_linen else None) or of_partial(model)
    elif callable(model):
        source = of_function(model)
    else:
        raise NotSupported(
            f"a {type(model).__module__}.{label_of(type(model))} is no model: it cannot be called. Give a function of "
            "arrays, jitted or not, or a module of flax or equinox."
        )
    return source


def _is_a(model: Any, package: str, name: str) -> bool:
    """Whether a model is of a class of this name that a package defines, importing nothing."""
    return any(kind.__name__ == name and kind.__module__.startswith(package + ".") for kind in type(model).__mro__)


def _reader(name: str) -> Any:
    """The file that takes modules of one package apart; only who has a module has the package."""
    return importlib.import_module(f"xai_mimo_adapters.jax_adapter.{name}")
