"""A running Keras network as a model of named streams and heads: a whole model, or the part of one behind a cut."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from xai_mimo.core.errors import NotSupported
from xai_mimo.core.model import Arrays, InterceptionMap, Interceptions
from xai_mimo.core.streams import Head, Stream, check_inputs, unknown
from xai_mimo.core.targets import Selector
from xai_mimo_adapters.keras_adapter.named_graph import NamedGraph
from xai_mimo_adapters.keras_adapter.runner import Runner
from xai_mimo_adapters.keras_adapter.spec import fingerprint


class KerasNetwork:
    """A differentiable, interceptable model over a running Keras network.

    It is what ``adapt`` gives for a model whose ``call`` is its own code, which can neither be cut nor copied.

    Args:
        model: the user's model, whose weights are run.
        streams: named inputs, with what the network calls them.
        heads: named outputs, with what the network calls them.
        runner: the network.
        graph: gives maps the model's names, and tells where to explain instead of at integers; None without a graph.
        part: path of the layer behind which the network begins; "" for the whole model.
    """

    def __init__(
        self,
        model: keras.Model,
        streams: Mapping[str, Stream],
        heads: Mapping[str, Head],
        runner: Runner,
        *,
        graph: NamedGraph | None = None,
        part: str = "",
    ) -> None:
        self.model = model
        self._streams = tuple(streams.values())
        self._heads = tuple(heads.values())
        self._tensors = {stream.name: inner for inner, stream in streams.items()}
        self._outputs = {head.name: inner for inner, head in heads.items()}
        self._runner = runner
        self._graph = graph
        self._part = part

    @property
    def name(self) -> str:
        """What the model is called, for reports and errors."""
        return f"{self.model.name} behind {self._part}" if self._part else str(self.model.name)

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The named inputs, in the order the model declares them."""
        return self._streams

    @property
    def heads(self) -> tuple[Head, ...]:
        """The named outputs, in the order the model declares them."""
        return self._heads

    def fingerprint(self) -> str:
        """SHA-256 over the model's class, configuration and weights, and over the cut where there is one."""
        return fingerprint(self.model, part=self._part)

    @property
    def traces(self) -> int:
        """How often the network was traced for compiling; 0 on PyTorch, which runs eagerly."""
        return self._runner.engine.traces

    def predict(self, inputs: Any) -> Arrays:
        """Outputs in inference mode: ``{head: (sample, *head.shape)}``, float32 or float64."""
        return self._named_outputs(self._runner.forward(self._checked(inputs)))

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
                raise NotSupported(
                    f"input stream '{name}' holds integers ({by_name[name].dtype}), which have no gradient. "
                    f"{self._instead_of_integers()}"
                )
        arrays = self._checked(inputs)
        units = np.stack([s.units for s in selectors]).astype(np.int32)
        outputs, gradients = self._runner.gradients(arrays, [self._outputs[s.head] for s in selectors], units)
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

    def _checked(self, inputs: Any) -> Arrays:
        arrays = check_inputs(inputs, self._streams)
        return {inner: arrays[name] for name, inner in self._tensors.items()}

    def _named_outputs(self, outputs: Arrays) -> Arrays:
        return {name: outputs[inner] for name, inner in self._outputs.items()}

    def _instead_of_integers(self) -> str:
        layer = self._graph.where_floats_begin() if self._graph is not None else None
        if layer is None:
            return "Explain it with a method that needs no gradients, such as Shapley values."
        return f"Explain at the layer that reads its embedding: at={layer!r}."
