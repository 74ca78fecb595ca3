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
    what_lacks,
)
from xai_mimo.core.packages import lacking
from xai_mimo.core.plugins import adapt, load_plugin, plugins
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


def methods(model: Any = None, *, like: Any = None) -> pd.DataFrame:
    """The installed methods, one a row; of a model, also which of them explain it.

    Args:
        model: anything that ``explain`` takes as one; None for the table alone.
        like: rows, in any form that ``explain`` takes, for models whose streams cannot be read off.
    Returns:
        A table by ``name`` (what ``explain`` and ``compare`` take) with the columns ``needs``, what a model must have
        beside predictions; ``speaks_of``, "attribution" where its maps say what a feature's present value did,
        "sensitivity" where they say what happens when the feature grows; ``settings``, with their default values;
        ``reference``, the BibTeX key of its source, "" for a method that reads a layer's own maps and cites the layer;
        ``about``, what it is, in one line. Of a model also ``why_not``: which package is missing or what the model
        lacks, with the way out; "" where nothing does. A method may still refuse some streams or heads, and says so.
    Raises:
        Whatever ``adapt`` raises of the model.
    Warns:
        PluginWarning: a plugin cannot be loaded, or shares its name with another one.
    """
    adapted = None if model is None else adapt(model, like=like)

    def row(kind: Any) -> dict[str, str]:
        return _facts(kind) if adapted is None else {"why_not": _why_not(kind, adapted), **_facts(kind)}

    facts = {name: load_plugin(entry, row) for name, entry in sorted(plugins("xai_mimo.methods").items())}
    rows = [{"name": name, **found} for name, found in facts.items() if found is not None]
    return pd.DataFrame(rows).set_index("name")


def _why_not(kind: Any, model: Model) -> str:
    missing = lacking(getattr(kind, "packages", ()))
    lacks = what_lacks(need for need in needs_of(kind) if not isinstance(model, need))
    return ". ".join(text for text in (missing, lacks) if text)


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
