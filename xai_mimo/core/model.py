"""What a model can do, as protocols: a capability is a type, and each extends ``Model``.

NumPy at the border: adapters take and return arrays, tensors stay inside them. ``isinstance`` with these is cheap; a
model that cannot do a thing is of a class without the method, and ``require`` refuses it in one way.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np

from xai_mimo.core.errors import NotSupported
from xai_mimo.core.fitted import FittedModel
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
    """Anything that maps named streams to named heads. Every adapter is one.

    An adapter may have a ``name``, what the user calls the model; reports and errors then say it; and a ``backend``,
    the framework that computes, e.g. "jax"; results then say it; and a method ``where_floats_begin``, which names the
    first layer whose tail can be differentiated by all its streams, or None. Memory is bounded by
    whoever runs the rows: an adapter that takes ``max_memory`` splits them, and says so in its own docstring.
    """

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
class Differentiable(Model, Protocol):
    """A model with automatic differentiation."""

    def gradients(
        self, inputs: Any, selectors: Sequence[Selector], streams: Sequence[str] | None = None
    ) -> tuple[Arrays, Arrays]:
        """Gradients of several targets from one forward pass.

        Args:
            inputs: as ``predict`` takes them.
            selectors: one per target: head and unit of each row.
            streams: differentiate by these alone and hold the others, which may then be integers or truth values; None
                for all.
        Returns:
            outputs ``{head: (sample, *head.shape)}`` and gradients ``{stream: (target, sample, *stream.shape)}``;
            a stream that a head does not use gives exact zeros.
        Raises:
            NotSupported: one of these streams holds integers; explain at the layer that embeds it.
        """


@runtime_checkable
class Interceptable(Model, Protocol):
    """A model that may hold self-explaining layers."""

    def intercept(self, inputs: Any) -> Interceptions:
        """Every map that its layers sow while reading the inputs, in inference mode; ``{}`` when none sows."""


@runtime_checkable
class Overridable(Interceptable, Protocol):
    """A model whose layers' maps can be replaced, for tests of whether a head depends on them."""

    def override(self, maps: Mapping[str, Array]) -> Model:
        """The same model with these maps put in the place of those that its layers make.

        Args:
            maps: by the keys of ``intercept``, ``(sample, *axes)`` of the rows that the model will be asked for, or one
                row for all.
        Raises:
            UnknownName: no such map. ShapeMismatch: a map of another shape, or later another number of rows.
            NotSupported: a layer only shows this map, and does not work with it.
        """


@runtime_checkable
class Splittable(Model, Protocol):
    """A model that can be cut at a layer."""

    def layers(self) -> tuple[str, ...]:
        """Names that ``tail`` takes, each layer after those that feed it."""

    def tail(self, layer: str) -> Model:
        """The part behind the cut: its streams are the layer's inputs, its heads the model's; see also ``Holding``.

        Raises:
            UnknownName: no such layer. NotSupported: the model cannot be cut at this one.
        """

    def activations(self, inputs: Any, layer: str) -> Arrays:
        """What the layer reads: ``{stream of the tail: (sample, *shape)}``."""

    def layer_streams(self, layer: str) -> dict[str, tuple[str, ...]]:
        """The model's streams that each stream of the tail depends on; an equal name means the raw input."""


@runtime_checkable
class Holding(Model, Protocol):
    """A model that reads more of a row than its streams: what no method changes, such as a mask. Parts behind a cut.

    Attributes:
        held: names of it, which no stream has. ``activations`` delivers it with the streams, and ``predict`` and
            ``gradients`` want it with them; () where the model holds it already.
    """

    @property
    def held(self) -> tuple[str, ...]:
        """Names of what is held."""

    def holding(self, row: Arrays) -> Model:
        """The same model, which then wants its streams alone.

        Args:
            row: one row of what is held, ``{name: (1, *shape)}``, for all rows that the model will be asked for.
        """


@runtime_checkable
class Renamable(Model, Protocol):
    """A model whose streams can be described in other words, such as the column names of a data frame."""

    def renamed(self, streams: Sequence[Stream]) -> Model:
        """The same model, with what it compiled, under these descriptions.

        Args:
            streams: one for each stream in order, of the same name, shape and dtype; features and units may differ.
        """


@runtime_checkable
class Linked(Model, Protocol):
    """A model that knows what the final sigmoid or softmax of its heads reads."""

    def before_link(self, heads: Sequence[str]) -> tuple[Model, dict[str, str]]:
        """The same model, of which some heads give what their final sigmoid or softmax reads.

        Args:
            heads: names of the heads that are wanted so.
        Returns:
            The model, with heads of the same names, shapes and kinds; and for each head that could be cut, where that
            is, in words: ``{"risk": "before the final sigmoid of layer 'risk'"}``. Heads that are not among these are
            as they were.
        """


@runtime_checkable
class Randomisable(Model, Protocol):
    """A model that can be copied with random weights, for tests of whether a map depends on them.

    Attributes:
        randomisation: which null model the copies are: "shuffled" keeps the values of each trainable tensor in a random
            order; "drawn" gives it new values, as before training.
    """

    randomisation: Literal["shuffled", "drawn"]

    def randomised(self, rng: np.random.Generator, layers: Sequence[str] | None = None) -> Model:
        """A copy with random weights in these layers, or in all; the model itself stays as it is."""


@runtime_checkable
class Hookable(Model, Protocol):
    """A model made of PyTorch modules that call each other, so that hooks which other libraries put on them fire."""

    def hookable(self) -> AbstractContextManager[Any]:
        """The model as one ``torch.nn.Module`` in evaluation mode, while the context lasts.

        Its ``forward(*streams)`` takes a tensor for each stream, in order, and gives all units of all heads side by
        side, in order: ``(sample, unit)``; a stream that a head does not read has a gradient of zeros. Its submodules
        are the user's own, under their paths. Modes, hooks, attributes, weights, ``requires_grad``, ``grad`` and
        random state are put back, also after an error.
        """


@runtime_checkable
class Fitted(Model, Protocol):
    """A fitted estimator whose trees or coefficients other libraries can read."""

    def fitted(self) -> tuple[FittedModel, ...]:
        """What gives the heads, all of them in order; each head in one part.

        Raises:
            NotSupported: what lies before the estimator mixes columns, or they hold words.
        """


Capability = TypeVar("Capability", bound=Model)

_NEEDS: dict[type, tuple[str, str, str]] = {
    Differentiable: ("gradients", "has none", "Use 'shapley' or 'occlusion', which only ask for predictions."),
    Interceptable: (
        "a model whose layers can be intercepted",
        "is none",
        "Build the model with a self-explaining layer such as xai_mimo.layers.MAIL, or use a method that asks for "
        "predictions alone, e.g. 'shapley'.",
    ),
    Overridable: (
        "a model whose layers' maps can be replaced",
        "is none",
        "Build the model with a layer that works with its attention, such as xai_mimo.layers.MAIL.",
    ),
    Splittable: (
        "a model that can be cut at a layer",
        "cannot be cut",
        "Build it as a functional model (keras.Model(inputs, outputs)), or adapt the part behind the layer as a model "
        "of its own.",
    ),
    Hookable: (
        "a model of PyTorch modules that can be hooked",
        "is none",
        "Hooks would never fire on it, and what came back would be a plain gradient under another name. Use "
        "'integrated_gradients' or 'gradient', which need gradients alone, or 'shapley', which needs predictions.",
    ),
    Fitted: (
        "a fitted estimator of trees or a linear model",
        "is none",
        "Use 'shap.permutation' or 'shapley', which only ask for predictions.",
    ),
    Randomisable: (
        "a model that can be copied with random weights",
        "cannot be copied",
        "Build it as a functional model (keras.Model(inputs, outputs)).",
    ),
}


def what_is_needed(capability: type[Model]) -> str:
    """What a capability is, in the words of "needs ...": e.g. "gradients"."""
    return _NEEDS[capability][0]


def what_lacks(capabilities: Iterable[type[Model]]) -> str:
    """Why a model without these capabilities is refused, and the way out: "needs gradients, and it has none. ..."."""
    parts = (_NEEDS[capability] for capability in capabilities)
    return " ".join(f"needs {needs}, and it {lacks}. {usual}" for needs, lacks, usual in parts)


def require(model: Model, capability: type[Capability], for_: str, *, instead: str = "") -> Capability:
    """The model, as one that has a capability.

    Args:
        model: an adapted model.
        capability: one of the protocols of this file.
        for_: what needs it, as the user knows it: the name of a method, or an argument such as ``at='mail'``.
        instead: the way out that the error names; "" for the usual one.
    Raises:
        NotSupported: the model has it not.
    """
    if isinstance(model, capability):
        return model
    needs, lacks, usual = _NEEDS[capability]
    raise NotSupported(f"{for_} needs {needs}, and {described(model)} {lacks}. {instead or usual}")


def backend_of(model: Any) -> str:
    """The framework that computes an adapted model, "" where it names none."""
    backend = getattr(model, "backend", "")
    return backend if isinstance(backend, str) else ""


def described(model: Any) -> str:
    """What a model is called in errors: the user's own name for it, else its type's."""
    name = getattr(model, "name", "")
    return f"model '{name}'" if name and isinstance(name, str) else f"a model of type {type(model).__name__}"


def require_floats(model: Model, for_: str) -> None:
    """Refuse a model with a stream of integers or truth values, which has no gradient.

    Raises:
        NotSupported: there is one; the message names the layer at which there is none, where the model knows it
            (``where_floats_begin``).
    """
    for stream in model.streams:
        if np.dtype(stream.dtype).kind != "f":
            holds = "words" if stream.holds_words else "truth values" if stream.dtype == "bool" else "integers"
            raise NotSupported(
                f"{for_} needs gradients, and input stream '{stream.name}' holds {holds} ({stream.dtype}), which have "
                f"none. {instead_of_integers(model)}"
            )


def instead_of_integers(model: Model) -> str:
    """The way out where gradients are asked for and a stream has none, for error texts."""
    tell: Any = getattr(model, "where_floats_begin", None)
    layer = tell() if callable(tell) else None
    if layer is None:
        return "Use a method that only asks for predictions, such as 'shapley'."
    return (
        f"Explain at the layer that reads what is made of them, at='{layer}' (xai_mimo.by_token sums that by id), or "
        "use a method that only asks for predictions, such as 'shapley'."
    )
