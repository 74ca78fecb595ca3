"""A model whose heads are read in another way: the same streams, the same capabilities, other outputs.

What is read is a ``Reading``: how outputs become others, and what that does to gradients. The model keeps every
capability that it has, for a capability is a type: ``reread`` makes the class that has these and no others.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np

from xai_mimo.core.digest import digest_of_facts
from xai_mimo.core.model import (
    Arrays,
    Differentiable,
    Holding,
    Interceptable,
    Interceptions,
    Model,
    Overridable,
    Randomisable,
    Renamable,
    Splittable,
)
from xai_mimo.core.streams import Array, Head, Stream
from xai_mimo.core.targets import Selector

Ask = Callable[[Sequence[Selector]], tuple[Arrays, Arrays]]
"""Outputs and gradients of a model for some rows, see ``Differentiable``."""


class Reading(Protocol):
    """How heads become others. A value: it can be pickled, and its ``name`` tells it from every other one."""

    @property
    def name(self) -> str:
        """What it does, with all settings; goes into the fingerprint."""

    def heads(self, heads: tuple[Head, ...]) -> tuple[Head, ...]:
        """The heads that there are then."""

    def outputs(self, outputs: Arrays) -> Arrays:
        """Their outputs, from the model's."""

    def gradients(self, ask: Ask, selectors: Sequence[Selector]) -> tuple[Arrays, Arrays]:
        """Their outputs and gradients, from the model's."""


def reread(model: Model, reading: Reading) -> Model:
    """The model with heads that are read in another way.

    Args:
        model: adapted. reading: of its heads.
    Returns:
        A model of the same streams and capabilities.
    """
    able = tuple(kind for kind in _ABILITIES if isinstance(model, kind))
    return cast(Model, _class_with(able)(model, reading))


class _Reread:
    """What every such model can; the rest is added by ``_class_with``."""

    def __init__(self, model: Any, reading: Reading) -> None:
        self._model = model
        self._reading = reading
        self._heads = reading.heads(model.heads)

    def __reduce__(self) -> tuple[Any, ...]:
        return reread, (self._model, self._reading)

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
        return cast(tuple[Stream, ...], self._model.streams)

    @property
    def heads(self) -> tuple[Head, ...]:
        return self._heads

    def fingerprint(self) -> str:
        return digest_of_facts({"model": self._model.fingerprint(), "reading": self._reading.name})

    def predict(self, inputs: Any) -> Arrays:
        return self._reading.outputs(self._model.predict(inputs))

    def where_floats_begin(self) -> str | None:
        tell = getattr(self._model, "where_floats_begin", None)
        return cast(str | None, tell()) if callable(tell) else None

    def _again(self, model: Model) -> Model:
        """Another model, its heads read in the same way."""
        return reread(model, self._reading)


def _gradients(
    self: _Reread, inputs: Any, selectors: Sequence[Selector], streams: Sequence[str] | None = None
) -> tuple[Arrays, Arrays]:
    return self._reading.gradients(lambda asked: self._model.gradients(inputs, asked, streams), selectors)


def _intercept(self: _Reread, inputs: Any) -> Interceptions:
    return cast(Interceptions, self._model.intercept(inputs))


def _override(self: _Reread, maps: Mapping[str, Array]) -> Model:
    return self._again(self._model.override(maps))


def _layers(self: _Reread) -> tuple[str, ...]:
    return cast(tuple[str, ...], self._model.layers())


def _tail(self: _Reread, layer: str) -> Model:
    return self._again(self._model.tail(layer))


def _activations(self: _Reread, inputs: Any, layer: str) -> Arrays:
    return cast(Arrays, self._model.activations(inputs, layer))


def _layer_streams(self: _Reread, layer: str) -> dict[str, tuple[str, ...]]:
    return cast(dict[str, tuple[str, ...]], self._model.layer_streams(layer))


def _held(self: _Reread) -> tuple[str, ...]:
    return cast(tuple[str, ...], self._model.held)


def _holding(self: _Reread, row: Arrays) -> Model:
    return self._again(self._model.holding(row))


def _renamed(self: _Reread, streams: Sequence[Stream]) -> Model:
    return self._again(self._model.renamed(streams))


def _randomisation(self: _Reread) -> str:
    return cast(str, self._model.randomisation)


def _randomised(self: _Reread, rng: np.random.Generator, layers: Sequence[str] | None = None) -> Model:
    return self._again(self._model.randomised(rng, layers))


_ABILITIES: dict[type, dict[str, Any]] = {
    Differentiable: {"gradients": _gradients},
    Interceptable: {"intercept": _intercept},
    Overridable: {"override": _override},
    Splittable: {
        "layers": _layers,
        "tail": _tail,
        "activations": _activations,
        "layer_streams": _layer_streams,
    },
    Holding: {"held": property(_held), "holding": _holding},
    Renamable: {"renamed": _renamed},
    Randomisable: {"randomisation": property(_randomisation), "randomised": _randomised},
}


@functools.cache
def _class_with(able: tuple[type, ...]) -> type[_Reread]:
    """The class of models that can these things and no others."""
    members = {name: member for kind in able for name, member in _ABILITIES[kind].items()}
    return type("Reread", (_Reread,), {"__doc__": _Reread.__doc__, "__module__": __name__, **members})
