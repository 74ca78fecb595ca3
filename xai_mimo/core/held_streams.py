"""Streams that are held, of any model: a mask or the lengths of sequences, which no method changes.

A user names them (``adapt(..., held=["lengths"])``, ``Stream(..., held=True)``). Data comes in with them, and so does
the background; the part of the model that is explained has the other streams alone and is ``Holding``, so that
``core.held.call_method`` calls a method once for all rows that hold the same.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from xai_mimo.core.digest import digest
from xai_mimo.core.door import check_inputs, count_rows
from xai_mimo.core.errors import BadSetting, NotSupported
from xai_mimo.core.model import (
    Arrays,
    Differentiable,
    Holding,
    Interceptable,
    Interceptions,
    Model,
    Renamable,
    Splittable,
    described,
)
from xai_mimo.core.streams import Head, Stream, unknown
from xai_mimo.core.targets import Selector


def marked_held(model: Model, names: Sequence[str]) -> Model:
    """The model with some of its streams marked as held.

    Raises:
        UnknownName: no such stream. BadSetting: no stream would be left, or names that are no list.
        NotSupported: a model of another maker whose streams cannot be described anew.
    """
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise BadSetting(f"held is a list of names of streams, e.g. held=['lengths']; got {names!r}.")
    if not names:
        return model
    known = [stream.name for stream in model.streams]
    for name in names:
        if name not in known:
            raise unknown(name, known, "input stream")
    if set(known) <= set(names):
        raise BadSetting(f"held={list(names)} are all streams of {described(model)}: nothing would be left to explain.")
    if not isinstance(model, Renamable):
        raise NotSupported(
            f"the streams of {described(model)} cannot be described anew; give its adapter the streams to hold: "
            f"Stream('{names[0]}', ..., held=True)."
        )
    return model.renamed([replace(s, held=s.held or s.name in names) for s in model.streams])


def without_held(model: Model) -> Model:
    """The part of a model that is explained: without the streams that are held, and ``Holding`` them.

    It can be predicted, and differentiated, intercepted and cut where the model can.
    """
    return _held_out(model, {}) if any(stream.held for stream in model.streams) else model


def _held_out(model: Model, row: Arrays) -> Model:
    able = tuple(kind for kind in _ABILITIES if isinstance(model, kind))
    return cast(Model, _class_with(able)(model, row))


class _WithoutHeld:
    """What every such part can; the rest is added by ``_class_with``.

    Args:
        model: with all streams. row: one row of the held ones, for all rows that the part is asked for; {} without.
    """

    def __init__(self, model: Any, row: Arrays) -> None:
        self._model, self._row = model, row
        self._streams = tuple(s for s in model.streams if not s.held)
        self._kept = tuple(s for s in model.streams if s.held)
        self._deeper: tuple[str, ...] = tuple(model.held) if isinstance(model, Holding) else ()

    def __reduce__(self) -> tuple[Any, ...]:
        return _held_out, (self._model, self._row)

    @property
    def name(self) -> str:
        return str(getattr(self._model, "name", ""))

    @property
    def backend(self) -> str:
        return str(getattr(self._model, "backend", ""))

    @property
    def precision(self) -> str:
        return str(getattr(self._model, "precision", ""))

    @property
    def streams(self) -> tuple[Stream, ...]:
        return self._streams

    @property
    def heads(self) -> tuple[Head, ...]:
        return cast(tuple[Head, ...], self._model.heads)

    @property
    def held(self) -> tuple[str, ...]:
        return () if self._row else (*(s.name for s in self._kept), *self._deeper)

    def holding(self, row: Arrays) -> Model:
        mine = check_inputs({s.name: row[s.name] for s in self._kept}, self._kept)
        model = self._model.holding({name: row[name] for name in self._deeper}) if self._deeper else self._model
        return _held_out(model, mine)

    def fingerprint(self) -> str:
        return f"{self._model.fingerprint()}{digest(self._row) if self._row else ''}"

    def where_floats_begin(self) -> str | None:
        tell = getattr(self._model, "where_floats_begin", None)
        return cast(str | None, tell()) if callable(tell) else None

    def predict(self, inputs: Any) -> Arrays:
        return cast(Arrays, self._model.predict(self._all(inputs)))

    def _all(self, inputs: Any) -> Arrays:
        """Rows with what they hold."""
        deeper: Arrays = {}
        if self._deeper and isinstance(inputs, Mapping):
            deeper = {name: inputs[name] for name in self._deeper if name in inputs}
            inputs = {name: x for name, x in inputs.items() if name not in deeper}
        arrays = check_inputs(inputs, self._streams if self._row else (*self._streams, *self._kept))
        rows = count_rows(arrays)
        return {**arrays, **{name: np.repeat(x, rows, axis=0) for name, x in self._row.items()}, **deeper}


def _gradients(
    self: _WithoutHeld, inputs: Any, selectors: Sequence[Selector], streams: Sequence[str] | None = None
) -> tuple[Arrays, Arrays]:
    names = [stream.name for stream in self._streams]
    for name in streams or ():
        if name not in names:
            raise unknown(name, names, "input stream")
    return cast(
        tuple[Arrays, Arrays],
        self._model.gradients(self._all(inputs), selectors, names if streams is None else streams),
    )


def _intercept(self: _WithoutHeld, inputs: Any) -> Interceptions:
    return cast(Interceptions, self._model.intercept(self._all(inputs)))


def _layers(self: _WithoutHeld) -> tuple[str, ...]:
    return cast(tuple[str, ...], self._model.layers())


def _tail(self: _WithoutHeld, layer: str) -> Model:
    tail = self._model.tail(layer)
    row = {s.name: self._row[s.name] for s in tail.streams if s.held and s.name in self._row}
    return _held_out(tail, row) if any(s.held for s in tail.streams) else cast(Model, tail)


def _activations(self: _WithoutHeld, inputs: Any, layer: str) -> Arrays:
    found = self._model.activations(self._all(inputs), layer)
    return {name: x for name, x in found.items() if not self._row or name not in self._row}


def _layer_streams(self: _WithoutHeld, layer: str) -> dict[str, tuple[str, ...]]:
    kept = {stream.name for stream in self._kept}
    found = self._model.layer_streams(layer)
    return {name: tuple(s for s in owners if s not in kept) for name, owners in found.items() if name not in kept}


_ABILITIES: dict[type, dict[str, Any]] = {
    Differentiable: {"gradients": _gradients},
    Interceptable: {"intercept": _intercept},
    Splittable: {"layers": _layers, "tail": _tail, "activations": _activations, "layer_streams": _layer_streams},
}


@functools.cache
def _class_with(able: tuple[type, ...]) -> type[_WithoutHeld]:
    """The class of parts that can these things and no others."""
    members = {name: member for kind in able for name, member in _ABILITIES[kind].items()}
    return type("WithoutHeld", (_WithoutHeld,), {"__doc__": _WithoutHeld.__doc__, "__module__": __name__, **members})
