"""Any Keras 3 model, on TensorFlow, JAX or PyTorch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import keras
import numpy as np

from xai_mimo.core.errors import NotSupported
from xai_mimo.core.model import Arrays, InterceptionMap, Interceptions
from xai_mimo.core.streams import Head, Stream, check_inputs
from xai_mimo.core.targets import Selector
from xai_mimo_adapters.keras_adapter.cut import Cut, cut_at, where_floats_begin
from xai_mimo_adapters.keras_adapter.graph import (
    Graph,
    Key,
    Step,
    cuttable_layers,
    find_step,
    needed,
    read_graph,
    run_steps,
    values_of_model,
    values_of_steps,
)
from xai_mimo_adapters.keras_adapter.labels import Renaming, relabelled, renaming_of
from xai_mimo_adapters.keras_adapter.part import KerasPart
from xai_mimo_adapters.keras_adapter.runner import DEFAULT_MAX_MEMORY, Runner, engine_for
from xai_mimo_adapters.keras_adapter.shuffling import shuffled
from xai_mimo_adapters.keras_adapter.spec import Tensors, fingerprint, read_functional, read_other


class KerasAdapter:
    """A Keras model that can be predicted, differentiated, intercepted and cut.

    The model is always read in inference mode. Its weights, random state, trainable flags and modes are left as they
    were, also after an error. Rows are taken to be independent of each other, as they are in inference mode.

    Args:
        model: a built Keras model.
        streams: names, feature names or units for its inputs; needed in full for subclassed models, whose inputs cannot
            be read off.
        heads: names, kinds or units for its outputs.
        max_memory: bytes that one pass may take, estimated from the sizes of the activations; 512 MiB by default.
    Raises:
        NotSupported: the model has no weights yet, or its inputs cannot be read off.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        streams: Mapping[str, Any] | Sequence[Stream] | None = None,
        heads: Mapping[str, Any] | Sequence[Head] | None = None,
        max_memory: int | None = None,
    ) -> None:
        self.model = model
        self._max_memory = max_memory or DEFAULT_MAX_MEMORY
        self._graph = read_graph(model)
        if self._graph is None:
            self._read = read_other(model, streams, heads)
            self._inputs: dict[Key, Stream] = {}
        else:
            self._read = read_functional(model, self._graph, streams, heads)
            self._inputs = dict(zip(self._read.stream_keys, self._read.streams, strict=True))
        self._whole = KerasPart(
            self._read.streams,
            self._read.heads,
            self._read.tensors,
            self._read.outputs,
            self._runner(self._read.call, self._graph.steps if self._graph else ()),
            fingerprint=lambda: fingerprint(model),
            advice=self._advice,
            relabel=self._relabel,
        )
        self._tails: dict[tuple[Key, ...], KerasPart] = {}
        self._readers: dict[tuple[Key, ...], Runner] = {}
        self._renamings: dict[str, Renaming] = {}

    @property
    def name(self) -> str:
        """What the model is called, for reports."""
        return str(self.model.name)

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The named inputs, in the order the model declares them."""
        return self._read.streams

    @property
    def heads(self) -> tuple[Head, ...]:
        """The named outputs, in the order the model declares them."""
        return self._read.heads

    def fingerprint(self) -> str:
        """SHA-256 over the model's class, configuration and weights."""
        return self._whole.fingerprint()

    @property
    def traces(self) -> int:
        """How often the whole model was traced for compiling; 0 on PyTorch, which runs eagerly."""
        return self._whole.traces

    def predict(self, inputs: Any) -> Arrays:
        """Outputs in inference mode: ``{head: (sample, *head.shape)}``, float32 or float64."""
        return self._whole.predict(inputs)

    def gradients(
        self, inputs: Any, selectors: Sequence[Selector], streams: Sequence[str] | None = None
    ) -> tuple[Arrays, Arrays]:
        """Gradients of several targets from one forward pass; see ``Differentiable``.

        A stream that a head does not read gives exact zeros, without a warning: methods that report to a user give it.

        Raises:
            NotSupported: a stream holds integers; the message names the layer to explain at.
        """
        return self._whole.gradients(inputs, selectors, streams)

    def intercept(self, inputs: Any) -> Interceptions:
        """Every map that the model's layers sow while reading the inputs; ``{}`` when none sows."""
        return self._whole.intercept(inputs)

    def tail(self, layer: str) -> KerasPart:
        """The part of a functional model behind a layer's inputs.

        Its streams are what the layer reads, followed by the model inputs that reach a head beside the layer. Nested
        functional models can be cut inside. The layers and their weights are the model's own.

        Args:
            layer: name or path.
        Raises:
            UnknownName: no such layer. NotSupported: a subclassed model, or a layer that is called several times.
        """
        step, cut = self._cut(layer)
        if step.outputs not in self._tails:
            self._tails[step.outputs] = self._make_tail(step.path, cut)
        return self._tails[step.outputs]

    def activations(self, inputs: Any, layer: str) -> Arrays:
        """What a layer reads: ``{stream of the tail: (sample, *shape)}``."""
        step, cut = self._cut(layer)
        if step.outputs not in self._readers:
            self._readers[step.outputs] = self._make_reader(cut)
        arrays = check_inputs(inputs, self.streams)
        found = self._readers[step.outputs].forward(dict(zip(self._read.tensors, arrays.values(), strict=True)))
        return {stream.name: found[stream.name] for stream in cut.streams}

    def layer_streams(self, layer: str) -> dict[str, tuple[str, ...]]:
        """The model's streams that each stream of the tail depends on."""
        return dict(self._cut(layer)[1].sources)

    def layers(self) -> tuple[str, ...]:
        """Layers that ``tail`` takes, each after those that feed it; () for a subclassed model."""
        return cuttable_layers(self._graph) if self._graph is not None else ()

    randomisation: ClassVar[Literal["shuffled"]] = "shuffled"

    def randomised(self, rng: np.random.Generator, layers: Sequence[str] | None = None) -> "KerasAdapter":
        """A copy of a functional model with the weights of these layers, or of all, shuffled.

        Each trainable tensor keeps its values in a random order, and so its scale and whatever holds for each value.

        Raises:
            NotSupported: a subclassed model. UnknownName: no such layer.
        """
        if self._graph is None:
            raise NotSupported(
                f"model '{self.model.name}' ({type(self.model).__name__}) cannot be copied: its call is its own code. "
                "Build it as a functional model (keras.Model(inputs, outputs))."
            )
        copy = shuffled(self.model, rng, layers)
        return KerasAdapter(copy, streams=self.streams, heads=self.heads, max_memory=self._max_memory)

    def _cut(self, layer: str) -> tuple[Step, Cut]:
        graph = self._cuttable(layer)
        step = find_step(graph, layer, self._sowing)
        return step, cut_at(graph, step, self._inputs)

    def _cuttable(self, layer: str) -> Graph:
        if self._graph is None:
            raise NotSupported(
                f"model '{self.model.name}' ({type(self.model).__name__}) cannot be cut at '{layer}': its call is its "
                "own code, so what lies behind a layer cannot be told from outside. Build it as a functional model "
                "(keras.Model(inputs, outputs)), or adapt the part behind the layer as a model of its own."
            )
        return self._graph

    def _make_tail(self, path: str, cut: Cut) -> KerasPart:
        graph = self._cuttable(path)
        steps, _ = needed(graph, cut.keys, self._read.head_keys)
        names = [stream.name for stream in cut.streams]

        def call(tensors: Tensors) -> Tensors:
            values = run_steps(steps, {key: tensors[name] for name, key in zip(names, cut.keys, strict=True)})
            return {name: values[key] for name, key in zip(self._read.outputs, self._read.head_keys, strict=True)}

        return KerasPart(
            cut.streams,
            self.heads,
            names,
            self._read.outputs,
            self._runner(call, steps),
            fingerprint=lambda: fingerprint(self.model, part=path),
            advice=self._advice,
            relabel=self._relabel,
        )

    def _make_reader(self, cut: Cut) -> Runner:
        graph = self._cuttable("")
        steps, _ = needed(graph, (), cut.keys)

        def call(tensors: Tensors) -> Tensors:
            given = {key: tensors[name] for name, key in zip(self._read.tensors, self._read.stream_keys, strict=True)}
            values = run_steps(steps, given)
            return {stream.name: values[key] for stream, key in zip(cut.streams, cut.keys, strict=True)}

        return self._runner(call, steps)

    def _runner(self, call: Callable[[Tensors], Tensors], steps: Sequence[Step]) -> Runner:
        graph = self._graph

        def one_row(arrays: Arrays) -> int:
            if graph is None:
                return values_of_model(self.model, self.streams, arrays)
            return values_of_steps(graph, steps, arrays)

        return Runner(engine_for(call, self.model), one_row, self._max_memory)

    def _sowing(self) -> list[str]:
        """Paths of the layers that sow maps, where one row of zeros of known shape can tell."""
        if any(n is None for stream in self.streams for n in stream.shape):
            return []
        zeros = {s.name: np.zeros((1, *(n or 1 for n in s.shape)), s.dtype) for s in self.streams}
        return [found.layer for found in self.intercept(zeros).values()]

    def _relabel(self, found: InterceptionMap) -> InterceptionMap:
        """Give a map the model's names, where its layer stands once in the model's graph."""
        if self._graph is None:
            return found
        steps = [s for s in self._graph.steps if s.path == found.layer]
        if len(steps) != 1:
            return found
        if found.layer not in self._renamings:
            heads = dict(zip([h.name for h in self.heads], self._read.head_keys, strict=True))
            cut = cut_at(self._graph, steps[0], self._inputs)
            self._renamings[found.layer] = renaming_of(self._graph, steps[0], cut, heads)
        return relabelled(found, self._renamings[found.layer])

    def _advice(self, stream: Stream) -> str:
        where = where_floats_begin(self._graph, self._inputs) if self._graph is not None else None
        if where is None:
            return "Explain it with a method that needs no gradients, such as Shapley values."
        return f"Explain at the layer that reads its embedding: at={where!r}."
