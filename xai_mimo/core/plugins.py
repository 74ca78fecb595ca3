"""Plugins by entry point, and ``adapt``, which finds the adapter of a model.

Groups: ``xai_mimo.adapters`` (key = root module of the model's type), ``xai_mimo.methods``, ``xai_mimo.metrics``,
``xai_mimo.reports``, ``xai_mimo.engines``. Ours use no private door. A broken plugin warns with its name and error and
stops nobody; a duplicate warns and names the winner.
"""

import importlib.metadata
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from xai_mimo.core.engine import Engine, Serial
from xai_mimo.core.errors import BadSetting, NotSupported, PluginWarning, XaiMimoError
from xai_mimo.core.method import Method
from xai_mimo.core.model import Model
from xai_mimo.core.streams import Head, Stream, unknown

Group = Literal["xai_mimo.adapters", "xai_mimo.methods", "xai_mimo.metrics", "xai_mimo.reports", "xai_mimo.engines"]


def plugins(group: Group) -> dict[str, importlib.metadata.EntryPoint]:
    """Entry points of a group by name; ours win over others of the same name, else the first found."""
    entries: dict[str, importlib.metadata.EntryPoint] = {}
    for entry in importlib.metadata.entry_points(group=group):
        if entry.name not in entries:
            entries[entry.name] = entry
            continue
        one, other = entries[entry.name], entry
        if one.value == other.value:
            continue
        winner, loser = (other, one) if _is_ours(other) and not _is_ours(one) else (one, other)
        warnings.warn(
            f"two plugins of group {group} are called '{entry.name}': {winner.value} is used, {loser.value} is not.",
            PluginWarning,
            stacklevel=2,
        )
        entries[entry.name] = winner
    return entries


def _is_ours(entry: importlib.metadata.EntryPoint) -> bool:
    return entry.value.split(".")[0].split(":")[0] in ("xai_mimo", "xai_mimo_adapters")


def load_plugin(entry: importlib.metadata.EntryPoint) -> Any | None:
    """The plugin's object, or None with a warning when it cannot be imported."""
    try:
        return entry.load()
    except XaiMimoError:  # our own words for a missing extra reach the user as they are
        raise
    except Exception as err:
        warnings.warn(
            f"plugin '{entry.name}' ({entry.value}) cannot be loaded and is left out: {type(err).__name__}: {err}",
            PluginWarning,
            stacklevel=2,
        )
        return None


def adapt(
    model: Any,
    streams: Mapping[str, Any] | Sequence[Stream] | None = None,
    heads: Mapping[str, Any] | Sequence[Head] | None = None,
    *,
    max_memory: int | None = None,
) -> Model:
    """Wrap any model so that this package can explain it.

    Args:
        model: a model of a known framework, a plain function, or something already adapted (returned as it is, if
            nothing else is given).
        streams: for models whose inputs cannot be read off: ``Stream`` objects, or name -> ``Stream``, shape without
            the batch axis, or list of feature names. For others it renames or annotates what was read, in order.
        heads: likewise: ``Head`` objects, or name -> ``Head``, number of units, or kind.
        max_memory: bytes that one forward pass may take; decides how many rows go at once.
    Raises:
        NotSupported: no adapter for this type; the message lists those that exist.
    """
    if isinstance(model, Model) and streams is None and heads is None:
        return model
    entries = plugins("xai_mimo.adapters")
    for kind in type(model).__mro__:
        entry = entries.get(kind.__module__.split(".")[0])
        if entry is None or (entry.name == "builtins" and not callable(model)):
            continue
        adapter = load_plugin(entry)
        if adapter is not None:
            return cast(Model, adapter(model, streams=streams, heads=heads, max_memory=max_memory))
    raise NotSupported(
        f"no adapter for {type(model).__module__}.{type(model).__name__}; there are adapters for "
        f"{', '.join(sorted(entries)) or 'nothing (is xai-mimo installed?)'}. Wrap the model in a function that takes "
        "one array per stream and returns one per head, and pass streams=... and heads=...."
    )


def method(spec: str | Method) -> Method:
    """A method from its name (default settings) or from its own settings object."""
    if isinstance(spec, str):
        entries = plugins("xai_mimo.methods")
        if spec not in entries:
            raise unknown(spec, entries, "method")
        kind = load_plugin(entries[spec])
        if kind is None:
            raise NotSupported(f"method '{spec}' is installed but cannot be loaded; see the warning above.")
        spec = kind()
    if not isinstance(spec, Method):
        raise BadSetting(f"a method is a name or an object like IntegratedGradients(); got {spec!r}.")
    return spec


def engine(spec: str | Engine | None) -> Engine:
    """What does blocks: an engine by its name, the one given, or from None the serial one."""
    if spec is None:
        return Serial()
    if isinstance(spec, str):
        entries = plugins("xai_mimo.engines")
        if spec not in entries:
            raise unknown(spec, entries, "engine")
        kind = load_plugin(entries[spec])
        if kind is None:
            raise NotSupported(f"engine '{spec}' is installed but cannot be loaded; see the warning above.")
        spec = kind()
    if not isinstance(spec, Engine):
        raise BadSetting(f"an engine is a name such as 'serial', or an object with run(job, numbers); got {spec!r}.")
    return spec
