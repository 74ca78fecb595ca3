"""The graph of a functional model with the names that the user gave its streams and heads."""

from collections.abc import Mapping, Sequence

from xai_mimo.core.model import InterceptionMap
from xai_mimo.core.streams import Stream
from xai_mimo_adapters.keras_adapter.cut import Cut, cut_at, where_floats_begin
from xai_mimo_adapters.keras_adapter.graph import Graph, Key, Step
from xai_mimo_adapters.keras_adapter.labels import Renaming, relabelled, renaming_of


class NamedGraph:
    """Tells where a model is cut, and what its layers' maps are called.

    Args:
        graph: of the model.
        inputs: the model's streams by their tensors.
        heads: the tensors of the model's heads by name.
    """

    def __init__(self, graph: Graph, inputs: Mapping[Key, Stream], heads: Mapping[str, Key]) -> None:
        self.graph = graph
        self.inputs = dict(inputs)
        self.heads = dict(heads)
        self._renamings: dict[str, Renaming] = {}

    def renamed(self, streams: Sequence[Stream]) -> "NamedGraph":
        """The same graph with other descriptions of its streams."""
        return NamedGraph(self.graph, dict(zip(self.inputs, streams, strict=True)), self.heads)

    def ending_at(self, graph: Graph, heads: Mapping[str, Key]) -> "NamedGraph":
        """The same names on a graph that makes some of the heads elsewhere."""
        return NamedGraph(graph, self.inputs, {**self.heads, **heads})

    def cut(self, step: Step) -> Cut:
        """The model cut before one call of a layer."""
        return cut_at(self.graph, step, self.inputs)

    def relabelled(self, interception_map: InterceptionMap) -> InterceptionMap:
        """The map with the model's names, where its layer stands once in the graph; else as it is."""
        layer = interception_map.layer
        if layer not in self._renamings:
            steps = [step for step in self.graph.steps if step.path == layer]
            if len(steps) != 1:
                return interception_map
            self._renamings[layer] = renaming_of(self.graph, steps[0], self.cut(steps[0]), self.heads)
        return relabelled(interception_map, self._renamings[layer])

    def where_floats_begin(self) -> str | None:
        """The first layer at which every stream of a tail holds floats, as ``at=`` takes it; None if there is none."""
        return where_floats_begin(self.graph, self.inputs)
