"""How a model of TensorFlow is called: what it says of its inputs, and tensors by name to its answer."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import tensorflow as tf

from xai_mimo.core.errors import NotSupported, UnknownName
from xai_mimo.core.streams import RESERVED, unknown
from xai_mimo_adapters.functions import bind, parameters_of

Tensors = dict[str, Any]
Call = Callable[[Tensors], Any]


@dataclass(frozen=True)
class Source:
    """A model, before anything is run.

    Attributes:
        label: what it is called in errors.
        model: as it was given.
        function: takes the model's own arguments, without ``training``, which is False.
        plain: the same without a ``tf.function`` around it, so that what its layers sow can be seen.
        parameters: names of its parameters.
        specs: shapes and dtypes of its inputs by name, where it has a signature; else None.
        pack: from tensors by name to its arguments, where it has a signature.
        owner: a ``tf.Module`` whose attributes a trace may set.
        is_sorted: whether its outputs are taken in the order of their names, as they have no order of their own.
    """

    label: str
    model: Any
    function: Callable[..., Any]
    plain: Callable[..., Any]
    parameters: tuple[str, ...] = ()
    specs: Mapping[str, tf.TensorSpec] | None = None
    pack: Callable[[Tensors], tuple[tuple[Any, ...], dict[str, Any]]] | None = None
    owner: Any = None
    is_sorted: bool = False

    def calls(self, names: Sequence[str], together: Literal["mapping", "list"]) -> tuple[Call, Call]:
        """The model, and its plain form, as functions of tensors by the names of the streams.

        Args:
            names: of the streams, in declared order; those of a signature in the order of ``specs``.
            together: how several streams are put into one argument.
        """
        pack = self.pack
        if pack is not None:
            own = list(self.specs or ())

            def packed(function: Callable[..., Any], tensors: Tensors) -> Any:
                args, kwargs = pack({inner: tensors[name] for inner, name in zip(own, names, strict=True)})
                return function(*args, **kwargs)

            return functools.partial(packed, self.function), functools.partial(packed, self.plain)
        binding = bind(_taking(self.function, names), names, self.label, together=together)
        return functools.partial(binding.call, self.function), functools.partial(binding.call, self.plain)


def source_of(model: Any, signature: str | None) -> Source:
    """How a model is called.

    Args:
        model: a ``tf.function``, a concrete function, a callable ``tf.Module``, what ``tf.saved_model.load`` gives, or
            a plain function of tensors.
        signature: of a SavedModel.
    Raises:
        UnknownName: it has no such signature; the message lists those that there are.
        NotSupported: it cannot be called, or only in training mode.
    """
    signatures = getattr(model, "signatures", None)
    if isinstance(signatures, Mapping) and (signatures or signature is not None or not callable(model)):
        return _of_saved(signatures, "serving_default" if signature is None else signature)
    if signature is not None:
        raise NotSupported(
            f"signature={signature!r} names a signature of a SavedModel, as tf.saved_model.load gives it; got a "
            f"{type(model).__name__}. Leave it out, or give a method of the model: xai_mimo.adapt(model.predict)."
        )
    if isinstance(model, tf.types.experimental.ConcreteFunction):
        return _of_concrete(model, _label(model))
    if not callable(model):
        raise NotSupported(
            f"{type(model).__module__}.{type(model).__qualname__} is no model that can be called; expected a tf.Module "
            "with a __call__, a tf.function, a concrete function or what tf.saved_model.load gives. A method of a "
            "module is one too: xai_mimo.adapt(module.predict)."
        )
    function = model.__call__ if _is_function(getattr(model, "__call__", None)) else model  # noqa: B004
    owner = model if isinstance(model, tf.Module) else None
    return replace(_of_function(function, _label(model), owner), model=model)


def _of_saved(signatures: Mapping[str, Any], signature: str) -> Source:
    if not signatures:
        raise NotSupported(
            "this SavedModel has no signatures. Save it with one: tf.saved_model.save(model, path, "
            "signatures={'serving_default': model.__call__.get_concrete_function(tf.TensorSpec((None, 12)))})."
        )
    if signature not in signatures:
        raise UnknownName(
            f"{unknown(signature, signatures, 'signature of this SavedModel')} Name one: xai_mimo.adapt(loaded, "
            f"signature={next(iter(signatures))!r})."
        )
    source = _of_concrete(signatures[signature], signature)  # whose inputs and outputs come in no order of their own
    return replace(source, specs=dict(sorted((source.specs or {}).items())), is_sorted=True)


def _of_concrete(function: Any, label: str) -> Source:
    return _with_signature(function, function, label, function.structured_input_signature, _own_names(function))


def _of_function(function: Any, label: str, owner: Any) -> Source:
    signature = getattr(function, "input_signature", None) if _is_function(function) else None
    plain = function.python_function if _is_function(function) else function
    if signature is not None:
        names = _own_names(function)
        if names[len(signature) :].count("training") and _default(function, "training") is True:
            raise _in_training(label)
        return replace(_with_signature(function, plain, label, (tuple(signature), {}), names), owner=owner)
    if "training" in parameters_of(function):
        function, plain = (functools.partial(f, training=False) for f in (function, plain))
    parameters = tuple(name for name in parameters_of(function) if name != "training")
    return Source(label, function, function, plain, parameters, owner=owner)


def _with_signature(function: Any, plain: Any, label: str, signature: Any, names: Sequence[str]) -> Source:
    """A function whose arguments are told by shapes and dtypes, perhaps in mappings and lists."""
    args, kwargs = signature
    by_name = {**dict(zip(names, args, strict=False)), **kwargs}
    if by_name.get("training") is True:
        raise _in_training(label)
    leaves = tf.nest.flatten((args, kwargs))
    called = tf.nest.flatten(_called(args, kwargs, names))  # in the order of the leaves, in which keys are sorted
    places = {name: i for i, (name, leaf) in enumerate(zip(called, leaves, strict=True)) if _is_spec(leaf)}
    if not places:
        raise NotSupported(f"'{label}' takes no tensors, so there is nothing to explain.")
    own = [name for name in _in_order(_called(args, kwargs, names)) if name in places]
    specs = {name: leaves[places[name]] for name in own}

    def pack(tensors: Tensors) -> tuple[tuple[Any, ...], dict[str, Any]]:
        flat = list(leaves)
        for name, i in places.items():
            flat[i] = tensors[name]
        packed: tuple[tuple[Any, ...], dict[str, Any]] = tf.nest.pack_sequence_as((args, kwargs), flat)
        return packed

    return Source(label, function, function, plain, tuple(by_name), specs, pack)


def _called(args: Sequence[Any], kwargs: Mapping[str, Any], names: Sequence[str]) -> tuple[Any, Any]:
    """The same arguments with names in the place of tensors: of the parameters, with keys where they hold several.

    Keys stand alone where there is one parameter, which takes a mapping.
    """
    is_alone = len(args) + len(kwargs) == 1 and any(isinstance(v, Mapping) for v in (*args, *kwargs.values()))
    by_place = tuple(_with_names(value, "" if is_alone else name) for name, value in zip(names, args, strict=False))
    return by_place, {name: _with_names(value, "" if is_alone else name) for name, value in kwargs.items()}


def _with_names(value: Any, name: str) -> Any:
    if not tf.nest.is_nested(value):
        return f"{name}_in" if name in RESERVED else name
    parts = value.items() if isinstance(value, Mapping) else enumerate(value)
    named = [(key, _with_names(part, f"{name}_{key}" if name else str(key))) for key, part in parts]
    return dict(named) if isinstance(value, Mapping) else [part for _, part in named]


def _in_order(named: Any) -> list[str]:
    """The names in their own order, in which keys are not sorted."""
    if isinstance(named, str):
        return [named]
    return [name for part in (named.values() if isinstance(named, Mapping) else named) for name in _in_order(part)]


def _is_spec(leaf: Any) -> bool:
    return isinstance(leaf, tf.TensorSpec)


def _is_function(thing: Any) -> bool:
    return isinstance(thing, tf.types.experimental.PolymorphicFunction)


def _own_names(function: Any) -> list[str]:
    return list(function.function_type.parameters)


def _default(function: Any, parameter: str) -> Any:
    known = inspect.signature(function).parameters
    return known[parameter].default if parameter in known else None


def _taking(function: Callable[..., Any], streams: Sequence[str]) -> Callable[..., Any]:
    """A function's outside without the parameters that keep their defaults, so that streams go to the others."""
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        return function

    def outside(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    needed = [p for p in signature.parameters.values() if p.name in streams or p.default is p.empty]
    outside.__signature__ = signature.replace(parameters=needed)  # type: ignore[attr-defined]
    return outside


def _in_training(label: str) -> NotSupported:
    return NotSupported(
        f"'{label}' was traced with training=True, in which dropout is random and layers read the whole batch. Trace "
        "it with training=False, e.g. f.get_concrete_function(spec, training=False), or make False its default."
    )


def _label(model: Any) -> str:
    name = getattr(model, "name", None) or getattr(model, "__name__", None)
    return name if isinstance(name, str) else type(model).__name__
