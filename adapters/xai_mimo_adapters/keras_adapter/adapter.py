"""Any Keras 3 model, on TensorFlow, JAX or PyTorch."""

import copy
import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Literal

import keras
import numpy as np

from xai_mimo.core.door import check_inputs
from xai_mimo.core.errors import NotSupported
from xai_mimo.core.model import Arrays, Interceptions, Model
from xai_mimo.core.streams import Array, Head, Stream
from xai_mimo.core.sums import SumOfUnits
from xai_mimo.core.targets import Selector
from xai_mimo_adapters.keras_adapter.compiled import Call, compiled_for
from xai_mimo_adapters.keras_adapter.cut import Cut
from xai_mimo_adapters.keras_adapter.from_rows import build_by_rows, named_by_rows
from xai_mimo_adapters.keras_adapter.graph import (
    Graph,
    Key,
    Step,
    cuttable_layers,
    find_step,
    read_graph,
    run_steps,
    values_of_model,
    values_of_steps,
)
from xai_mimo_adapters.keras_adapter.links import before_links
from xai_mimo_adapters.keras_adapter.masks import Carried, carried_masks
from xai_mimo_adapters.keras_adapter.network import KerasNetwork
from xai_mimo_adapters.keras_adapter.runner import DEFAULT_MAX_MEMORY, Runner
from xai_mimo_adapters.keras_adapter.shuffling import shuffled
from xai_mimo_adapters.keras_adapter.spec import Tensors, hands_on, read_functional, read_other
from xai_mimo_adapters.keras_adapter.sums import summed
from xai_mimo_adapters.keras_adapter.tail import Tail, tail_behind


def KerasAdapter(
    model: keras.Model,
    *,
    streams: Mapping[str, Any] | Sequence[Stream] | None = None,
    heads: Mapping[str, Any] | Sequence[Head] | None = None,
    max_memory: int | None = None,
    like: Any = None,
) -> "FunctionalKeras | KerasNetwork":
    """Adapt a Keras model: a functional or sequential one can also be cut and copied, one with its own call cannot.

    The model is always read in inference mode. Its weights, random state, trainable flags and modes are left as they
    were, also after an error. Rows are taken to be independent of each other, as they are in inference mode.

    What is compiled is kept with the model and not with the adapter: a second adapter of the same model compiles
    nothing, and a model that was changed otherwise than in its weights is compiled again (see ``compiled``).

    A model that has no weights yet gets them by a call on the first of the rows in ``like``, as its own first call
    would create them: from Keras's random state. A subclassed model's inputs, which its code alone knows, are read off
    these rows too: called by the keys of a mapping, else by the parameters of its ``call``, else ``input_0``, ....

    Args:
        model: a Keras model.
        streams: names, feature names or units for its inputs; needed in full for subclassed models without ``like``.
        heads: names, kinds or units for its outputs.
        max_memory: bytes that one pass may take, estimated from the sizes of the activations; 512 MiB by default.
        like: rows, as ``explain`` takes them.
    Raises:
        NotSupported: the model has no weights yet, or its inputs cannot be read off, and there are no rows.
        ShapeMismatch: it does not take the rows.
    """
    if not isinstance(model, keras.Layer):
        raise NotSupported(
            f"a {type(model).__name__} of Keras is no model; expected a keras.Model, such as "
            "keras.Model(inputs, outputs)."
        )
    if not model.built and like is not None:
        build_by_rows(model, like, streams)
    graph = read_graph(model)
    if graph is not None:
        streams = named_by_rows(model, like) if streams is None else streams
        return FunctionalKeras(model, graph, streams=streams, heads=heads, max_memory=max_memory)
    spec = read_other(model, streams, heads, like)
    width = partial(values_of_model, model, tuple(spec.streams.values()))

    def build(call: Call, keys: tuple[str, ...]) -> Runner:
        return Runner(model, ("whole", tuple(spec.streams), keys), call, width, max_memory or DEFAULT_MAX_MEMORY)

    return KerasNetwork(model, spec.streams, spec.heads, build, spec.call)


class FunctionalKeras:
    """A functional or sequential Keras model, which can be predicted, differentiated, intercepted, cut and copied.

    Args:
        model: whose graph was read.
        graph: of the model.
        streams, heads, max_memory: see ``KerasAdapter``.
    """

    randomisation: ClassVar[Literal["shuffled"]] = "shuffled"

    def __init__(
        self,
        model: keras.Model,
        graph: Graph,
        *,
        streams: Mapping[str, Any] | Sequence[Stream] | None = None,
        heads: Mapping[str, Any] | Sequence[Head] | None = None,
        max_memory: int | None = None,
    ) -> None:
        self.model = model
        self._max_memory = max_memory or DEFAULT_MAX_MEMORY
        self._declared = streams, heads
        self._sums: tuple[SumOfUnits, ...] = ()
        self._unlinked: tuple[str, ...] = ()  # the model's own names of heads that end before their activation
        self._read(graph)

    def _read(self, graph: Graph) -> None:
        """Take down what the model is now."""
        self._compiled = compiled_for(self.model)
        self._spec, self._names = read_functional(self.model, graph, *self._declared)
        self._tensors = frozenset(graph.tensors)
        self._graph, self._variant = graph, ""
        if self._unlinked:
            self._read_before_links()
        self._variant += f"|{self._sums}" if self._sums else ""
        build, call = partial(self._runner, "whole", self._graph.steps), self._summed(self._spec.call)
        self._whole = KerasNetwork(
            self.model, self._spec.streams, self._all_heads, build, call, graph=self._names, variant=self._variant
        )
        self._tails: dict[tuple[Key, ...], KerasNetwork] = {}
        self._readers: dict[tuple[Key, ...], tuple[Runner, tuple[str, ...]]] = {}
        self._renamed: dict[tuple[str, ...], FunctionalKeras] = {}
        self._carried: Carried | None = None

    def _read_before_links(self) -> None:
        """The graph and the heads that end before their activation."""
        named = {inner: self._spec.heads[inner] for inner in self._unlinked}
        keys = {head.name: self._names.heads[head.name] for head in named.values()}
        self._graph, keys, _ = before_links(self._graph, keys, hands_on)
        self._names = self._names.ending_at(self._graph, keys)
        units = {inner: "logit" if head.kind == "multiclass" else "log-odds" for inner, head in named.items()}
        heads = {n: replace(h, unit=units[n]) if n in units else h for n, h in self._spec.heads.items()}
        ends = dict(zip(heads, self._names.heads.values(), strict=True))
        call = partial(_run_graph, self._graph, tuple(self._spec.streams), self._names.inputs, ends)
        self._spec = replace(self._spec, heads=heads, call=call)
        self._variant = f"|before the activations of {self._unlinked}"

    def _current(self) -> "FunctionalKeras":
        """This adapter, once more read from the model where that has changed."""
        if compiled_for(self.model) is not self._compiled:
            graph = read_graph(self.model)
            if graph is None:
                raise NotSupported(f"model '{self.model.name}' is no functional model any more; adapt it again.")
            self._read(graph)
        return self

    @property
    def name(self) -> str:
        """What the model is called, for reports and errors."""
        return self._whole.name

    @property
    def backend(self) -> str:
        """What Keras computes on: "jax", "tensorflow" or "torch"."""
        return self._whole.backend

    @property
    def precision(self) -> str:
        """The coarsest float dtype that a layer computes in; see ``core.precision.precision_of``."""
        return self._whole.precision

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The named inputs, in the order the model declares them."""
        return self._whole.streams

    @property
    def heads(self) -> tuple[Head, ...]:
        """The named outputs, in the order the model declares them."""
        return self._whole.heads

    def fingerprint(self) -> str:
        """SHA-256 over the model's class, configuration and weights."""
        return self._whole.fingerprint()

    @property
    def traces(self) -> int:
        """How often the whole model was traced for compiling; 0 on PyTorch, which runs eagerly."""
        return self._whole.traces

    def predict(self, inputs: Any) -> Arrays:
        """Outputs in inference mode: ``{head: (sample, *head.shape)}``, float32 or float64."""
        return self._current()._whole.predict(inputs)

    def gradients(
        self, inputs: Any, selectors: Sequence[Selector], streams: Sequence[str] | None = None
    ) -> tuple[Arrays, Arrays]:
        """Gradients of several targets from one forward pass; see ``KerasNetwork.gradients``."""
        return self._current()._whole.gradients(inputs, selectors, streams)

    def intercept(self, inputs: Any) -> Interceptions:
        """Every map that the model's layers sow while reading the inputs; ``{}`` when none sows."""
        return self._current()._whole.intercept(inputs)

    def override(self, maps: Mapping[str, Array]) -> KerasNetwork:
        """The same model with these maps put in the place of those that its layers make; see ``Overridable``."""
        return self._current()._whole.override(maps)

    def renamed(self, streams: Sequence[Stream]) -> "FunctionalKeras":
        """The same model under other descriptions of its streams, made once for each; see ``Renamable``."""
        named = tuple(streams)
        facts = tuple(json.dumps(stream.plain(), sort_keys=True) for stream in named)
        if facts not in self._current()._renamed:
            other = copy.copy(self)
            other._declared = named, self._declared[1]
            other._whole, other._names = self._whole.renamed(named), self._names.renamed(named)
            other._spec = replace(self._spec, streams=dict(zip(self._spec.streams, named, strict=True)))
            other._tails = {}
            self._renamed[facts] = other
        return self._renamed[facts]

    def before_link(self, heads: Sequence[str]) -> tuple["FunctionalKeras", dict[str, str]]:
        """The same model, of which these heads end before their final sigmoid or softmax; see ``Linked``.

        The activation is the last operation, perhaps followed by a change of shape or dtype, of a dense or
        convolutional layer, or one of its own. The whole is then run layer by layer, with the model's own weights;
        nothing compiled is shared with the model as it was.
        """
        now = self._current()
        _, keys, words = before_links(now._graph, {name: now._names.heads[name] for name in heads}, hands_on)
        if not keys:
            return self, {}
        graph = read_graph(self.model)
        other = copy.copy(now)
        inner = {head.name: name for name, head in now._spec.heads.items()}
        other._unlinked = tuple(sorted({*now._unlinked, *(inner[name] for name in keys)}))
        other._read(graph or now._graph)
        return other, words

    def with_sums(self, sums: Sequence[SumOfUnits]) -> "FunctionalKeras":
        """The same model with a head more for each weighted sum of units; see ``Summing``."""
        now = self._current()
        other = copy.copy(now)
        other._sums = (*now._sums, *sums)
        other._read(read_graph(self.model) or now._graph)
        return other

    @property
    def _all_heads(self) -> dict[str, Head]:
        """The heads by the model's own names, and the sums by theirs."""
        return {**self._spec.heads, **{made.name: made.as_head() for made in self._sums}}

    def _summed(self, call: Call) -> Call:
        return summed(call, self._sums, {head.name: inner for inner, head in self._spec.heads.items()})

    def layers(self) -> tuple[str, ...]:
        """Layers that ``tail`` takes, each after those that feed it."""
        return tuple(cuttable_layers(self._current()._graph).values())

    def tail(self, layer: str) -> KerasNetwork:
        """The part of the model behind a layer's inputs.

        Its streams are what the layer reads, followed by the model inputs that reach a head beside the layer; masks are
        held (see ``Holding``). Nested functional models can be cut inside. The layers and their weights are the
        model's own.

        Args:
            layer: name or path.
        Raises:
            UnknownName: no such layer. NotSupported: a layer that is called several times.
        """
        step, cut = self._cut(layer)
        if step.outputs not in self._tails:
            self._tails[step.outputs] = self._make_tail(step.path, cut)
        return self._tails[step.outputs]

    def activations(self, inputs: Any, layer: str) -> Arrays:
        """What a layer reads: ``{stream of the tail: (sample, *shape)}``, and the masks that the tail holds."""
        step, cut = self._cut(layer)
        if step.outputs not in self._readers:
            self._readers[step.outputs] = self._make_reader(cut)
        reader, names = self._readers[step.outputs]
        arrays = check_inputs(inputs, self.streams)
        read = reader.forward(dict(zip(self._spec.streams, arrays.values(), strict=True)))
        return {name: read[name] for name in names}

    def where_floats_begin(self) -> str | None:
        """The first layer at which every stream of the tail holds floats; None if there is none."""
        return self._names.where_floats_begin()

    def layer_streams(self, layer: str) -> dict[str, tuple[str, ...]]:
        """The model's streams that each stream of the tail depends on."""
        return dict(self._cut(layer)[1].sources)

    def randomised(self, rng: np.random.Generator, layers: Sequence[str] | None = None) -> Model:
        """A copy with the weights of these layers, or of all, shuffled.

        Each trainable tensor keeps its values in a random order, and so its scale and whatever holds for each value.

        Raises:
            UnknownName: no such layer.
        """
        copied = shuffled(self.model, rng, layers)
        heads = tuple(self._spec.heads.values())
        adapted = KerasAdapter(copied, streams=self.streams, heads=heads, max_memory=self._max_memory)
        if not isinstance(adapted, FunctionalKeras):
            return adapted
        if self._unlinked:
            adapted, _ = adapted.before_link([self._spec.heads[inner].name for inner in self._unlinked])
        return adapted.with_sums(self._sums) if self._sums else adapted

    def _cut(self, layer: str) -> tuple[Step, Cut]:
        step = find_step(self._current()._graph, layer, self._sowing)
        return step, self._names.cut(step)

    def _make_tail(self, path: str, cut: Cut) -> KerasNetwork:
        heads = dict(zip(self._spec.heads, self._names.heads.values(), strict=True))
        tail = self._divided(cut)
        streams = {stream.name: stream for stream in cut.streams}
        build = partial(self._runner, ("tail", *tail.facts), tail.steps)
        call = self._summed(partial(tail.run, heads=heads))
        return KerasNetwork(
            self.model,
            streams,
            self._all_heads,
            build,
            call,
            graph=self._names,
            part=path,
            held=tail.held,
            variant=self._variant,
        )

    def _make_reader(self, cut: Cut) -> tuple[Runner, tuple[str, ...]]:
        tail = self._divided(cut)
        keys = dict(zip(self._spec.streams, self._names.inputs, strict=True))
        names = tuple(stream.name for stream in (*cut.streams, *tail.held))
        return self._runner(("reader", *tail.facts), tail.before, partial(tail.read, inputs=keys), ()), names

    def _divided(self, cut: Cut) -> Tail:
        if self._carried is None:
            self._carried = carried_masks(self._graph)
        return tail_behind(self._graph, cut, self._names.heads.values(), self._carried)

    def _runner(self, part: Hashable, steps: Sequence[Step], call: Call, keys: tuple[str, ...]) -> Runner:
        width = partial(values_of_steps, self._graph, steps)
        changed = partial(_check_same, self.model, self._tensors)
        variant = (self._unlinked, self._sums)
        return Runner(
            self.model,
            (part, keys, *variant) if any(variant) else (part, keys),
            call,
            width,
            self._max_memory,
            changed,
        )

    def _sowing(self) -> list[str]:
        """Paths of the layers that sow maps, where one row of zeros of known shape can tell."""
        if any(n is None for stream in self.streams for n in stream.shape):
            return []
        zeros = {s.name: np.zeros((1, *(n or 1 for n in s.shape)), s.dtype) for s in self.streams}
        return [each.layer for each in self.intercept(zeros).values()]


def _run_graph(
    graph: Graph, inputs: Sequence[str], keys: Mapping[Key, Stream], ends: Mapping[str, Key], tensors: Tensors
) -> Tensors:
    """All steps of a graph: from the model's inputs to the tensors at which its heads end."""
    values = run_steps(graph.steps, {key: tensors[name] for key, name in zip(keys, inputs, strict=True)})
    return {name: values[key] for name, key in ends.items()}


def _check_same(model: keras.Model, tensors: frozenset[Key]) -> None:
    """Refuse to run a part of a graph that the model does not have any more."""
    now = read_graph(model)
    if now is None or now.tensors.keys() != tensors:
        raise NotSupported(
            f"layers of model '{model.name}' were added or removed since this part of it was made. Make it again: ask "
            "the adapted model for its tail or its overridden form once more."
        )
