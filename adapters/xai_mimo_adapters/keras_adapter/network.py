"""A running Keras network as a model of named streams and heads: a whole model, or the part of one behind a cut."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from xai_mimo.core.digest import digest
from xai_mimo.core.door import check_inputs, count_rows
from xai_mimo.core.errors import NotSupported, ShapeMismatch
from xai_mimo.core.model import Arrays, InterceptionMap, Interceptions, instead_of_integers
from xai_mimo.core.streams import Array, Head, Stream, unknown
from xai_mimo.core.targets import Selector
from xai_mimo.sowing import override
from xai_mimo_adapters.keras_adapter.compiled import Call, coarsest_dtype
from xai_mimo_adapters.keras_adapter.named_graph import NamedGraph
from xai_mimo_adapters.keras_adapter.runner import Runner
from xai_mimo_adapters.keras_adapter.spec import Tensors, fingerprint

_MAP = "map of "
"""Stands before a map's key where maps are among the tensors that a network reads."""


class KerasNetwork:
    """A differentiable, interceptable model over a running Keras network.

    It is what ``adapt`` gives for a model whose ``call`` is its own code, which can neither be cut nor copied.

    Args:
        model: the user's model, whose weights are run.
        streams: named inputs, with what the network calls them.
        heads: named outputs, with what the network calls them.
        build: makes what runs a call on any number of rows, given the keys of the maps that it reads besides.
        call: the network, from the tensors of its inputs to those of its outputs.
        graph: gives maps the model's names, and tells where to explain instead of at integers; None without a graph.
        part: path of the layer behind which the network begins; "" for the whole model.
        held: what it reads beside its streams; see ``Holding``.
        variant: what else tells it from the model, for the fingerprint: heads that end elsewhere.
    """

    def __init__(
        self,
        model: keras.Model,
        streams: Mapping[str, Stream],
        heads: Mapping[str, Head],
        build: Callable[[Call, tuple[str, ...]], Runner],
        call: Call,
        *,
        graph: NamedGraph | None = None,
        part: str = "",
        held: Sequence[Stream] = (),
        variant: str = "",
    ) -> None:
        self.model = model
        self._streams = tuple(streams.values())
        self._heads = tuple(heads.values())
        self._tensors = {stream.name: inner for inner, stream in streams.items()}
        self._outputs = {head.name: inner for inner, head in heads.items()}
        self._build = build
        self._call = call
        self._runner = build(call, ())
        self._graph = graph
        self._part = part
        self._variant = variant
        self._held = tuple(held)
        self._held_row: Arrays = {}
        self._maps: Arrays = {}
        self._with_maps: dict[tuple[str, ...], Runner] = {}

    @property
    def name(self) -> str:
        """What the model is called, for reports and errors."""
        return f"{self.model.name} behind {self._part}" if self._part else str(self.model.name)

    @property
    def backend(self) -> str:
        """What Keras computes on: "jax", "tensorflow" or "torch"."""
        return str(keras.backend.backend())

    @property
    def precision(self) -> str:
        """The coarsest float dtype that a layer computes in; see ``core.precision.precision_of``."""
        return coarsest_dtype(self.model)

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The named inputs, in the order the model declares them."""
        return self._streams

    @property
    def heads(self) -> tuple[Head, ...]:
        """The named outputs, in the order the model declares them."""
        return self._heads

    @property
    def held(self) -> tuple[str, ...]:
        """What it reads beside its streams, in every call; see ``Holding``."""
        return () if self._held_row else tuple(stream.name for stream in self._held)

    def holding(self, row: Arrays) -> "KerasNetwork":
        """The same network with one row of what is held, for all rows that it is asked for; see ``Holding``."""
        other = copy.copy(self)
        other._held_row = check_inputs(row, self._held)
        return other

    def fingerprint(self) -> str:
        """SHA-256 over the model's class, configuration and weights, and over the cut where there is one."""
        maps = f"|maps {digest(self._maps)}" if self._maps else ""
        return fingerprint(self.model, part=f"{self._part}{maps}{self._variant}")

    def where_floats_begin(self) -> str | None:
        """The first layer at which every stream of the model's tail holds floats; None if there is none."""
        return None if self._graph is None else self._graph.where_floats_begin()

    @property
    def traces(self) -> int:
        """How often the network was traced for compiling; 0 on PyTorch, which runs eagerly."""
        return self._runner.engine.traces

    def predict(self, inputs: Any) -> Arrays:
        """Outputs in inference mode: ``{head: (sample, *head.shape)}``, float32 or float64."""
        outputs = self._runner.forward(self._checked(inputs))
        self._check_taken()
        return self._named_outputs(outputs)

    def gradients(
        self, inputs: Any, selectors: Sequence[Selector], streams: Sequence[str] | None = None
    ) -> tuple[Arrays, Arrays]:
        """Outputs and ``{stream: (target, sample, *stream.shape)}`` from one forward pass; see ``Differentiable``.

        A stream that a head does not read gives exact zeros, without a warning: methods that report to a user give it.

        Args:
            inputs: as ``predict`` takes them.
            selectors: one per target.
            streams: those to differentiate by; the others are held, and may be integers or truth values. None for all.
        Raises:
            UnknownName: no such stream. NotSupported: one of them holds integers (the message names the layer to
                explain at), or a head gives integers.
        """
        by_name = {stream.name: stream for stream in self._streams}
        names = list(by_name) if streams is None else list(streams)
        for name in names:
            if name not in by_name:
                raise unknown(name, by_name, "input stream")
            if np.dtype(by_name[name].dtype).kind != "f":
                holds = "truth values" if by_name[name].dtype == "bool" else "integers"
                raise NotSupported(
                    f"input stream '{name}' holds {holds} ({by_name[name].dtype}), which have no gradient. "
                    f"{instead_of_integers(self)}"
                )
        arrays = self._checked(inputs)
        units = np.stack([s.units for s in selectors]).astype(np.int32)
        outputs, gradients = self._runner.gradients(arrays, [self._outputs[s.head] for s in selectors], units)
        self._check_taken()
        return self._named_outputs(outputs), {name: gradients[self._tensors[name]] for name in names}

    def intercept(self, inputs: Any) -> Interceptions:
        """Every map that the layers sow while reading the inputs, in inference mode; ``{}`` when none sows."""
        arrays, labels = self._runner.maps(self._checked(inputs))
        maps = {
            key: InterceptionMap(
                labels[key].layer,
                labels[key].name,
                arrays[key],
                labels[key].axes,
                dict(labels[key].coords),
                labels[key].reference,
            )
            for key in labels
            if key in arrays
        }
        return maps if self._graph is None else {key: self._graph.relabelled(each) for key, each in maps.items()}

    def override(self, maps: Mapping[str, Array]) -> "KerasNetwork":
        """The same network with these maps put in the place of those that its layers make; see ``Overridable``.

        The maps are inputs of the running network: others under the same keys compile nothing.
        """
        arrays = self._checked_maps({**self._maps, **{key: np.asarray(values) for key, values in maps.items()}})
        keys = tuple(sorted(arrays))
        if keys not in self._with_maps:
            call = _with_maps(self._call, keys, lambda taken: self._with_maps[keys].taken.update(taken))
            self._with_maps[keys] = self._build(call, keys)
        other = copy.copy(self)
        other._maps, other._runner = arrays, self._with_maps[keys]
        return other

    def renamed(self, streams: Sequence[Stream]) -> "KerasNetwork":
        """The same network under other descriptions of its streams; see ``Renamable``."""
        other = copy.copy(self)
        other._streams = tuple(streams)
        if self._graph is not None and not self._part:
            other._graph = self._graph.renamed(streams)
        return other

    def _checked_maps(self, arrays: Arrays) -> Arrays:
        """Maps in the dtypes that the layers make; others are refused, where zeros of known shape can tell.

        One dtype, because another one would be compiled for again.
        """
        if self._held or any(n is None for stream in self._streams for n in stream.shape):
            return arrays
        rows = max((len(values) for values in self._maps.values()), default=1)
        zeros = {s.name: np.zeros((rows, *(n or 1 for n in s.shape)), s.dtype) for s in self._streams}
        sown = self.intercept(zeros)
        for key, values in arrays.items():
            if key not in sown:
                raise unknown(key, sown, "map")
            shape = sown[key].values.shape[1:]
            if values.shape[1:] != shape:
                raise ShapeMismatch(
                    f"map '{key}' wants {('batch', *sown[key].axes)}, here {('batch', *shape)}; got {values.shape}."
                )
        return {key: values.astype(sown[key].values.dtype) for key, values in arrays.items()}

    def _check_taken(self) -> None:
        for key in self._maps:
            if key not in self._runner.taken:
                layer, name = key.rsplit("/", 1)
                raise NotSupported(
                    f"layer '{layer}' only shows its map '{name}' and does not work with it, so no other can take its "
                    "place. Replace a map that the layer reads its inputs through, such as 'attention' of MAIL."
                )

    def _checked(self, inputs: Any) -> Arrays:
        arrays = check_inputs(inputs, self._streams if self._held_row else (*self._streams, *self._held))
        rows = count_rows(arrays)
        tensors = {inner: arrays[name] for name, inner in self._tensors.items()}
        for stream in self._held:
            row = self._held_row.get(stream.name)
            tensors[stream.name] = arrays[stream.name] if row is None else np.repeat(row, rows, axis=0)
        for key, values in self._maps.items():
            if len(values) not in (1, rows):
                raise ShapeMismatch(
                    f"map '{key}' was replaced by one of {len(values)} rows, and {rows} rows are asked for. Give the "
                    "rows that the map is of, or one row of it for all."
                )
            tensors[_MAP + key] = np.broadcast_to(values, (rows, *values.shape[1:]))
        return tensors

    def _named_outputs(self, outputs: Arrays) -> Arrays:
        return {name: outputs[inner] for name, inner in self._outputs.items()}


def _with_maps(call: Call, keys: Sequence[str], note: Callable[[set[str]], None]) -> Call:
    """A network that reads maps among its inputs, and hands them to its layers in the place of their own.

    ``note`` is called, whenever the network runs (or is traced), with the keys of the maps that a layer asked for.
    """

    def with_maps(tensors: Tensors) -> Tensors:
        with override({key: tensors[_MAP + key] for key in keys}) as taken:
            outputs = call({name: tensor for name, tensor in tensors.items() if not name.startswith(_MAP)})
        note(taken)
        return outputs

    return with_maps
