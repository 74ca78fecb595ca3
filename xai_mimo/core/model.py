"""What a model can do, as protocols: a capability is a type.

NumPy at the border: adapters take and return arrays, tensors stay inside them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from xai_mimo.core.streams import Array, Head, Stream
from xai_mimo.core.targets import Selector

Arrays = dict[str, Array]


@dataclass(frozen=True)
class InterceptionMap:
    """One map that a self-explaining layer gave of its own reading.

    Attributes:
        layer: path of the layer in the model.
        name: what the layer calls the map, e.g. "attention".
        values: ``(sample, *axes)``.
        axes: a word for each axis behind the batch axis, e.g. ``("head", "feature")``.
        coords: labels along an axis. Keys are axis names, or further labels of an axis written ``"axis.label"``:
            MAIL gives ``{"head": ..., "feature": ..., "feature.stream": ...}`` so that each feature knows its stream.
        reference: BibTeX key of the article that the layer is from, "" if it names none.
    """

    layer: str
    name: str
    values: Array
    axes: tuple[str, ...]
    coords: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reference: str = ""


Interceptions = dict[str, InterceptionMap]
"""Maps by ``"<layer path>/<map name>"``."""


@runtime_checkable
class Model(Protocol):
    """Anything that maps named streams to named heads. Every adapter is one."""

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The named inputs, in the model's own order."""

    @property
    def heads(self) -> tuple[Head, ...]:
        """The named outputs, in the model's own order."""

    def fingerprint(self) -> str:
        """Hexadecimal digest that changes when weights or structure change; it may have to read all weights."""

    def predict(self, inputs: Any) -> Arrays:
        """Outputs in inference mode: ``{head: (sample, *head.shape)}``; any number of rows, bounded memory."""


@runtime_checkable
class Differentiable(Protocol):
    """A model with automatic differentiation."""

    def gradients(self, inputs: Any, selectors: Sequence[Selector]) -> tuple[Arrays, Arrays]:
        """Gradients of several targets from one forward pass.

        Args:
            inputs: as ``predict`` takes them.
            selectors: one per target: head and unit of each row.
        Returns:
            outputs ``{head: (sample, *head.shape)}`` and gradients ``{stream: (target, sample, *stream.shape)}``;
            a stream that a head does not use gives exact zeros.
        Raises:
            NotSupported: a stream holds integers; explain at the layer that embeds it.
        """


@runtime_checkable
class PartlyDifferentiable(Protocol):
    """A model that can be differentiated by some of its streams, while others hold integers or truth values."""

    def gradients_of(self, inputs: Any, selectors: Sequence[Selector], streams: Sequence[str]) -> tuple[Arrays, Arrays]:
        """``Differentiable.gradients`` of these streams alone; the others are held.

        Raises:
            NotSupported: one of these streams holds integers.
        """


@runtime_checkable
class Interceptable(Protocol):
    """A model that holds self-explaining layers."""

    def intercept(self, inputs: Any) -> Interceptions:
        """Every map that its layers sow while reading the inputs, in inference mode."""


@runtime_checkable
class Splittable(Protocol):
    """A model that can be cut at a layer."""

    def tail(self, layer: str) -> Model:
        """The part behind the cut: its streams are the layer's inputs, its heads the model's."""

    def activations(self, inputs: Any, layer: str) -> Arrays:
        """What the layer reads: ``{stream of the tail: (sample, *shape)}``."""

    def layer_streams(self, layer: str) -> dict[str, tuple[str, ...]]:
        """The model's streams that each stream of the tail depends on; an equal name means the raw input."""


@runtime_checkable
class Randomisable(Protocol):
    """A model whose weights can be drawn anew."""

    def randomised(self, rng: np.random.Generator, layers: Sequence[str] | None = None) -> Model:
        """A copy with the weights of these layers, or of all, drawn anew; the model itself stays as it is."""


@runtime_checkable
class Layered(Protocol):
    """A model that names the layers it can be cut at."""

    def layers(self) -> tuple[str, ...]:
        """Names that ``Splittable.tail`` takes, each layer after those that feed it; () for a model that has none."""
