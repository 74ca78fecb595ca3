"""The methods that are installed, ours and those of plugins, as a table."""

import dataclasses
import inspect
from typing import Any

import pandas as pd

from xai_mimo.core.method import needs_of
from xai_mimo.core.model import (
    Differentiable,
    Fitted,
    Hookable,
    Interceptable,
    Model,
    Overridable,
    Randomisable,
    Splittable,
)
from xai_mimo.core.plugins import load_plugin, plugins
from xai_mimo.core.speaks_of import speaks_of

_WORDS: dict[type[Model], str] = {
    Differentiable: "gradients",
    Interceptable: "layers that explain themselves",
    Overridable: "layers whose maps can be replaced",
    Splittable: "a model that can be cut",
    Hookable: "PyTorch modules that can be hooked",
    Fitted: "fitted trees or a linear model",
    Randomisable: "random weights",
}


def methods() -> pd.DataFrame:
    """The installed methods, one a row.

    Returns:
        A table by ``name`` (what ``explain`` and ``compare`` take) with the columns ``needs``, what a model must have
        beside predictions; ``speaks_of``, "attribution" where its maps say what a feature's present value did,
        "sensitivity" where they say what happens when the feature grows; ``settings``, with their default values;
        ``reference``, the BibTeX key of its source, "" for a method that reads a layer's own maps and cites the layer;
        ``about``, what it is, in one line.
    Warns:
        PluginWarning: a plugin cannot be loaded, or shares its name with another one.
    """
    facts = {name: load_plugin(entry, _facts) for name, entry in sorted(plugins("xai_mimo.methods").items())}
    rows = [{"name": name, **row} for name, row in facts.items() if row is not None]
    return pd.DataFrame(rows).set_index("name")


def _facts(kind: Any) -> dict[str, str]:
    return {
        "needs": ", ".join(_WORDS.get(need, need.__name__) for need in needs_of(kind)),
        "speaks_of": speaks_of(kind),
        "settings": _settings(kind),
        "reference": kind.reference,
        "about": (inspect.getdoc(kind) or "").split("\n")[0],
    }


def _settings(kind: Any) -> str:
    known = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()
    return ", ".join(f"{f.name}={f.default!r}" for f in known if f.default is not dataclasses.MISSING)
