"""What can be read off a plain function: how its parameters go with streams, and which networks it asks."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType, FunctionType, MethodType
from typing import Any, Literal

from xai_mimo.core.errors import NotSupported
from xai_mimo.core.from_data import is_one_per_stream
from xai_mimo.core.streams import unknown
from xai_mimo.core.tables import column_labels

# How far the search for networks follows what a function holds.
_DEPTH = 4
_LIBRARIES = ("numpy", "scipy", "pandas", "sklearn", "torch", "jax", "tensorflow", "keras")
# Layers of PyTorch whose answer depends on the mode, by the names of their classes or bases.
_MODAL = ("_DropoutNd", "_NormBase", "RReLU")


@dataclass(frozen=True)
class Binding:
    """How a function is handed its streams.

    Attributes:
        by_place: streams given as positional arguments, in this order.
        by_name: streams given by keyword.
        together: "mapping" or "list" where all streams are one argument; "" where each is its own.
    """

    by_place: tuple[str, ...]
    by_name: tuple[str, ...] = ()
    together: Literal["", "mapping", "list"] = ""

    def call(self, function: Callable[..., Any], arrays: Mapping[str, Any]) -> Any:
        """What the function returns for these arrays or tensors."""
        if self.together:
            values = {name: arrays[name] for name in self.by_place}
            return function(values if self.together == "mapping" else list(values.values()))
        return function(*(arrays[name] for name in self.by_place), **{name: arrays[name] for name in self.by_name})


def parameters_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of a function's parameters, without those that take any number; none where it tells nothing."""
    try:
        parameters = inspect.signature(function).parameters
    except (ValueError, TypeError):  # some functions written in C tell nothing
        return ()
    return tuple(name for name, p in parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))


def needed_parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the parameters without which a function cannot be called; none where it tells nothing."""
    try:
        parameters = inspect.signature(function).parameters
    except (ValueError, TypeError):
        return ()
    open_ended = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return tuple(n for n, p in parameters.items() if p.default is p.empty and p.kind not in open_ended)


def names_for(function: Callable[..., Any], rows: Any, *, without: Sequence[str] = ()) -> tuple[str, ...]:
    """Parameters whose names rows go by that have none: those that are needed, as far as they are enough.

    Args:
        function: any callable. rows: as ``core.from_data.first_rows`` gives them.
        without: parameters that are no inputs.
    """
    needed, every = (
        tuple(name for name in names if name not in without)
        for names in (needed_parameters(function), parameters_of(function))
    )
    if isinstance(rows, list | tuple) and is_one_per_stream(rows):
        return needed if len(needed) >= len(rows) else every
    return needed or every[:1]


def by_parameter(function: Callable[..., Any], rows: Any) -> Any:
    """A data frame whose columns are the parameters of a function, one stream for each; everything else as it is."""
    labels, needed = column_labels(rows), needed_parameters(function)
    if labels is None or len(needed) < 2 or {str(label) for label in labels} != set(needed):
        return rows
    return {name: rows[label] for name in needed for label in labels if str(label) == name}


def label_of(function: Any) -> str:
    """What a function is called."""
    if isinstance(function, functools.partial):
        return label_of(function.func)
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def check_parameters(function: Callable[..., Any], binding: "Binding", label: str) -> None:
    """Refuse to hand over by place streams that nobody put in order, unless a function needs as many.

    Args:
        binding: of streams that were read off data. label: of the function, for error texts.
    Raises:
        NotSupported: it needs other things.
    """
    needed, every = needed_parameters(function), parameters_of(function)
    if binding.together or binding.by_name or not every or len(needed or every[:1]) == len(binding.by_place):
        return
    raise NotSupported(
        f"'{label}' takes {', '.join(every)}, and the data has the input streams {', '.join(binding.by_place)}; which "
        f"is which? Call them alike, {{'{every[0]}': ...}}, or name them in the order in which the function takes "
        "them: xai_mimo.adapt(f, streams={'sensors': (12,), 'age': 1}, like=x)."
    )


def bind(
    function: Callable[..., Any],
    streams: Sequence[str],
    label: str,
    *,
    together: Literal["mapping", "list"] = "mapping",
) -> Binding:
    """Streams by the names of the parameters where these are their names, or where the function takes any name and
    nothing by place; all in one argument where there is one parameter for several; in declared order where none agrees.

    Args:
        function: any callable. streams: names, in declared order. label: of the function, for error texts.
        together: how several streams are put into one argument.
    Raises:
        UnknownName: some names agree and others do not, or a parameter would be left without a stream.
    """
    try:
        parameters = inspect.signature(function).parameters
    except (ValueError, TypeError):  # some functions written in C tell nothing
        return Binding(tuple(streams))
    named = {n: p for n, p in parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    shared = [name for name in streams if name in named]
    takes_others = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    if not shared and not (takes_others and len(parameters) == 1):
        takes_one = (
            len(parameters) == 1 and next(iter(parameters.values())).kind is not inspect.Parameter.VAR_POSITIONAL
        )
        return Binding(tuple(streams), together=together if takes_one and len(streams) > 1 else "")
    for name in streams:
        if name not in named and not takes_others:
            raise unknown(name, named, f"parameter of '{label}'")
    for name, parameter in named.items():
        if parameter.default is parameter.empty and name not in streams:
            raise unknown(name, streams, f"stream for a parameter of '{label}'")
    by_place = tuple(
        name for name in named if name in streams and named[name].kind is inspect.Parameter.POSITIONAL_ONLY
    )
    return Binding(by_place, tuple(name for name in streams if name not in by_place))


def torch_modules(function: Any) -> tuple[Any, ...]:
    """The networks of PyTorch that a function can be seen to hold: bound, closed over, or named among its globals."""
    return tuple(thing for thing in held_by(function) if _is_module(thing))


def held_by(function: Any) -> list[Any]:
    """What a function can be seen to hold, itself first; nothing is looked for within networks."""
    held: dict[int, Any] = {}
    _search(function, _DEPTH, held)
    return list(held.values())


def _search(thing: Any, depth: int, held: dict[int, Any]) -> None:
    if depth < 0 or id(thing) in held:
        return
    held[id(thing)] = thing
    if not _is_module(thing):
        for part in _parts(thing):
            _search(part, depth - 1, held)


def _parts(thing: Any) -> list[Any]:
    if isinstance(thing, functools.partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if isinstance(thing, MethodType):
        return [thing.__self__, thing.__func__]
    if isinstance(thing, FunctionType):
        if (thing.__module__ or "").split(".")[0] in _LIBRARIES:
            return []
        cells = [cell.cell_contents for cell in thing.__closure__ or () if _is_filled(cell)]
        named = [thing.__globals__[name] for name in names_in(thing.__code__) if name in thing.__globals__]
        return [*cells, *named, *(thing.__defaults__ or ()), *(thing.__kwdefaults__ or {}).values()]
    if isinstance(thing, list | tuple):
        return list(thing[:64])
    if isinstance(thing, dict):
        return list(thing.values())[:64]
    is_plain_object = hasattr(thing, "__dict__") and not isinstance(thing, type) and callable(thing)
    return list(vars(thing).values()) if is_plain_object else []


def names_in(code: CodeType) -> list[str]:
    """Names that code looks up, also in the functions and comprehensions within it."""
    return [*code.co_names, *(name for part in code.co_consts if isinstance(part, CodeType) for name in names_in(part))]


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # a name that is bound later
        return False


def _is_module(thing: Any) -> bool:
    kinds = type(thing).__mro__
    return any(kind.__module__ == "torch.nn.modules.module" and kind.__name__ == "Module" for kind in kinds)


def check_modes(modules: Sequence[Any], label: str) -> None:
    """Refuse a function that asks a network in training mode with layers that answer otherwise then.

    Raises:
        NotSupported: there is such a network; the message names it and the layer.
    """
    for module in modules:
        for path, layer in module.named_modules():
            if layer.training and _is_modal(layer):
                raise NotSupported(
                    f"function '{label}' asks a network of PyTorch ({type(module).__name__}) in training mode, in "
                    f"which its layer '{path or type(layer).__name__}' ({type(layer).__name__}) is random or reads the "
                    "whole batch. Call its .eval() first."
                )


def _is_modal(layer: Any) -> bool:
    if any(kind.__name__ in _MODAL for kind in type(layer).__mro__):
        return getattr(layer, "p", 1.0) != 0.0
    dropout = getattr(layer, "dropout", 0.0)
    return isinstance(dropout, float) and dropout > 0.0
