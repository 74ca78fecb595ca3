"""Plugins by entry point, and ``adapt``, which finds the adapter of a model.

Groups: ``xai_mimo.adapters`` (key = root module of the model's type), ``xai_mimo.methods``, ``xai_mimo.interactions``
(what computes them), ``xai_mimo.metrics``, ``xai_mimo.reports``, ``xai_mimo.engines``, ``xai_mimo.loaders`` (key = end
of a file's name). Ours use no private door. A broken plugin warns with its name and error and stops nobody; a duplicate
warns and names the winner.
"""

import contextlib
import functools
import importlib.metadata
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, cast

from xai_mimo.core.engine import Engine, Serial
from xai_mimo.core.errors import BadSetting, MissingDependency, NotSupported, PluginWarning, XaiMimoError
from xai_mimo.core.held_streams import marked_held
from xai_mimo.core.joined import join
from xai_mimo.core.method import Method
from xai_mimo.core.model import Model
from xai_mimo.core.model_files import is_file_of_model, root_of_file
from xai_mimo.core.names import check_text
from xai_mimo.core.no_model import WRAPPED, check_no_data, no_adapter
from xai_mimo.core.streams import Head, Stream, check_together, unknown
from xai_mimo.core.texts import tokenised_like, with_tokenizer

Group = Literal[
    "xai_mimo.adapters",
    "xai_mimo.methods",
    "xai_mimo.interactions",
    "xai_mimo.metrics",
    "xai_mimo.reports",
    "xai_mimo.engines",
    "xai_mimo.loaders",
]
"""Every group that is read; ``xai-mimo doctor`` lists their plugins."""


def plugins(group: Group) -> dict[str, importlib.metadata.EntryPoint]:
    """Entry points of a group by name; ours win over others of the same name, else the first found."""
    entries: dict[str, importlib.metadata.EntryPoint] = {}
    for entry in _entry_points(group, importlib.metadata.entry_points, _installed()):
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


@functools.lru_cache(maxsize=64)
def _entry_points(
    group: Group, read: Callable[..., Any], installed: tuple[tuple[str, int], ...]
) -> tuple[importlib.metadata.EntryPoint, ...]:
    """Entry points of a group as they are installed; reading them takes longer than adapting a small model."""
    return tuple(read(group=group))


def _installed() -> tuple[tuple[str, int], ...]:
    """The folders that packages are found in, and when each changed: installing or removing one is seen."""
    return tuple((path, os.stat(path).st_mtime_ns if os.path.exists(path) else 0) for path in sys.path)


def _is_ours(entry: importlib.metadata.EntryPoint) -> bool:
    return entry.value.split(".")[0].split(":")[0] in ("xai_mimo", "xai_mimo_adapters")


def load_plugin(entry: importlib.metadata.EntryPoint, ready: Callable[[Any], Any] | None = None) -> Any | None:
    """The plugin's object, or None with a warning when it cannot be imported or used.

    Args:
        entry: of the plugin.
        ready: what is done with the object before it is returned (made, checked); what it raises is the plugin's fault.
    """
    try:
        return entry.load() if ready is None else ready(entry.load())
    except MissingDependency:  # our own words for a missing extra reach the user as they are
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
    like: Any = None,
    tokenizer: Any = None,
    held: Sequence[str] = (),
    **options: Any,
) -> Model:
    """Wrap any model so that this package can explain it.

    Args:
        model: a model of a known framework, a plain function, the path or the bytes of a model in ONNX, or something
            already adapted (returned as it is, if nothing else is given). A dictionary of such models, of any mixture
            of frameworks, is one model whose heads they are: ``adapt({"risk": forest, "hours": network})``; see
            ``xai_mimo.core.joined``.
        streams: for models whose inputs cannot be read off: ``Stream`` objects, or name -> ``Stream``, shape without
            the batch axis, or list of feature names. For others it renames or annotates what was read, in order.
        heads: likewise: ``Head`` objects, or name -> ``Head``, number of units, or kind.
        max_memory: bytes that one forward pass may take; decides how many rows go at once.
        like: rows in any form that ``explain`` takes, which hands its own over. What a model does not tell of its
            streams is read off them, and its heads off its answer to the first of them.
        tokenizer: of the stream of ids, or ``{stream: tokenizer}``: rows may then hold texts in the place of ids, and
            results have the tokens (``core.texts`` says what a tokenizer may be).
        held: names of streams that no method changes, such as a mask or the lengths of sequences: they are no players
            and not differentiated. A method is called once for all rows that hold the same, so that rows of many
            different lengths take as many calls.
        options: further settings of the framework's adapter, by its own docstring.
    Raises:
        NotSupported: no adapter for this type; the message says how to wrap the model in a function.
        BadSetting: the framework's adapter has no such option.
        DuplicateName: two streams whose results would have one name.
        UnknownName: no such stream to hold.
    """
    if tokenizer is not None:
        like = tokenised_like(like, tokenizer)
        adapted = adapt(model, streams, heads, max_memory=max_memory, like=like, held=held, **options)
        return with_tokenizer(adapted, tokenizer)
    if isinstance(model, Model) and streams is None and heads is None and not options:
        return marked_held(model, held)
    if type(model) is dict:
        return marked_held(_joined(model, streams, heads, max_memory, like, options), held)
    of_file = root_of_file(model) if is_file_of_model(model) else None
    if isinstance(model, type):
        raise NotSupported(f"{model.__qualname__} is a class; give a model of it, e.g. {model.__qualname__}(...).")
    check_no_data(model)
    entries = plugins("xai_mimo.adapters")
    framework = ""
    for root in [of_file] if of_file else [kind.__module__.split(".")[0] for kind in type(model).__mro__]:
        framework = framework or (root if root in WRAPPED else "")
        # A callable of a framework is no function of arrays, although every type ends in builtins.
        if root not in entries or (root == "builtins" and (framework or not callable(model))):
            continue
        adapter = load_plugin(entries[root])
        if adapter is not None:
            known = _options(adapter, {"like": like} if like is not None else {}, options, kind=root)
            adapted = adapter(model, streams=streams, heads=heads, max_memory=max_memory, **known)
            if isinstance(adapted, Model):
                check_together(adapted.streams)
            return marked_held(cast(Model, adapted), held)
    raise no_adapter(model, framework, entries)


def _joined(
    models: dict[Any, Any], streams: Any, heads: Any, max_memory: int | None, like: Any, options: Mapping[str, Any]
) -> Model:
    """Models as the heads of one."""
    if not models or not all(isinstance(name, str) for name in models):
        raise BadSetting(f"a dictionary of models is {{head: model}}, names as keys; got the keys {list(models)!r}.")
    if options:
        raise BadSetting(
            f"options such as '{next(iter(options))}' belong to one model: adapt it first, "
            f"xai_mimo.adapt({{'{next(iter(models))}': xai_mimo.adapt(model, {next(iter(options))}=...), ...}})."
        )
    joined = join({name: _part(name, model, max_memory, like) for name, model in models.items()}, streams, heads)
    check_together(joined.streams)
    return joined


def _part(name: str, model: Any, max_memory: int | None, like: Any) -> Model:
    """One of several models: it may read a part of the rows alone, which then tell it nothing."""
    try:
        return adapt(model, max_memory=max_memory, like=like)
    except XaiMimoError as err:
        if like is not None:
            with contextlib.suppress(XaiMimoError):
                return adapt(model, max_memory=max_memory)
        raise type(err)(f"part '{name}': {err}") from err


def _options(adapter: Any, offered: dict[str, Any], options: dict[str, Any], *, kind: str) -> dict[str, Any]:
    """What an adapter is given beside streams, heads and memory: what it takes of the offered, and all options.

    Raises:
        BadSetting: an option that it does not have.
    """
    parameters = inspect.signature(adapter).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return offered | options
    for option in options:
        if option not in parameters:
            usual = ("model", "streams", "heads", "max_memory", "like")
            own = [name for name in parameters if name not in usual]
            raise BadSetting(
                f"adapt has no option '{option}' for models of {kind}; there are: {', '.join([*usual[1:], *own])}."
            )
    return {name: value for name, value in offered.items() if name in parameters} | options


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
    if isinstance(spec, type):
        raise BadSetting(
            f"a method is a name or an object like IntegratedGradients(); got the class {spec.__name__}. Give an "
            f"object: {spec.__name__}()."
        )
    if hasattr(spec, "data_vars"):  # an xarray.Dataset, which is a mapping too
        raise BadSetting(
            "one method is a name or an object like IntegratedGradients(); got a Dataset. An explanation that is there "
            "already is a ready map for xai_mimo.compare: methods={'mine': explanation}."
        )
    if isinstance(spec, Mapping | list | tuple):
        raise BadSetting(
            f"one method is a name or an object like IntegratedGradients(); got {spec!r}. Several methods are for "
            "xai_mimo.compare, whose mapping holds one under each label."
        )
    if hasattr(spec, "__array__"):
        raise BadSetting(
            f"a method is a name or an object like IntegratedGradients(); got an array, {type(spec).__name__}. Values "
            "that were made elsewhere are brought into our form first, by xai_mimo.from_captum or xai_mimo.from_shap."
        )
    if not isinstance(spec, Method):
        raise BadSetting(
            f"a method is a name or an object like IntegratedGradients(); got {spec!r}. xai_mimo.methods() lists the "
            "names."
        )
    check_text(spec.name, "method")
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
