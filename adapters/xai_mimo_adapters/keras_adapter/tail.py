"""The part of a functional model behind a cut, and what delivers it its inputs, with the masks that they carry."""

from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from xai_mimo.core.declare import unique
from xai_mimo.core.streams import Stream
from xai_mimo_adapters.keras_adapter.carried import mask_of, with_mask, without_mask
from xai_mimo_adapters.keras_adapter.cut import Cut, held_stream
from xai_mimo_adapters.keras_adapter.graph import Graph, Key, Step, needed, run_steps
from xai_mimo_adapters.keras_adapter.masks import Carried
from xai_mimo_adapters.keras_adapter.spec import Tensors


@dataclass(frozen=True)
class Tail:
    """The steps behind a cut, and those before it.

    Attributes:
        cut: the streams and masks that the steps behind are given.
        steps: those behind.
        before: those that make what is given.
        carried: masks that the given tensors carry, ``{name: tensor}``.
        carried_streams: the same as streams.
        bare: outputs of a step, and a tensor that it reads and that carries no mask in the model: a step that is not
            run here may have taken it away.
        read_at: how many of ``before`` have run when the mask is read off each of these tensors, in ascending order.
    """

    cut: Cut
    steps: Sequence[Step]
    before: Sequence[Step]
    carried: Mapping[str, Key]
    carried_streams: tuple[Stream, ...]
    read_at: Mapping[Key, int]
    bare: Set[tuple[tuple[Key, ...], Key]]

    @property
    def held(self) -> tuple[Stream, ...]:
        """What the steps behind are given beside streams: every mask."""
        return (*self.cut.held, *self.carried_streams)

    @property
    def facts(self) -> tuple[Hashable, ...]:
        """What tells this division of a graph from others of it."""
        given = self._given
        return tuple(given), tuple(given.values()), tuple(self.carried), tuple(self.carried.values())

    def run(self, tensors: Tensors, heads: Mapping[str, Key]) -> Tensors:
        """The model's heads, from the streams and masks of the cut."""
        values = {key: tensors[name] for name, key in self._given.items()}
        for name, key in self.carried.items():
            values[key] = with_mask(values[key], tensors[name])
        values = self._run(self.steps, values)
        return {name: values[key] for name, key in heads.items()}

    def read(self, tensors: Tensors, inputs: Mapping[str, Key]) -> Tensors:
        """The streams and masks of the cut, from the model's inputs."""
        values, done = {key: tensors[name] for name, key in inputs.items()}, 0
        masks = {}
        for key, place in self.read_at.items():
            values, done = self._run(self.before[done:place], values), place
            masks[key] = mask_of(values[key])
        values = self._run(self.before[done:], values)
        given = {name: values[key] for name, key in self._given.items()}
        return given | {name: masks[key] for name, key in self.carried.items()}

    def _run(self, steps: Sequence[Step], values: Mapping[Key, Any]) -> dict[Key, Any]:
        def take_masks_away(place: int, values: dict[Key, Any]) -> None:
            step = steps[place]
            for key in step.inputs:
                if (step.outputs, key) in self.bare and mask_of(values[key]) is not None:
                    values[key] = without_mask(values[key])

        return run_steps(steps, values, before=take_masks_away if self.bare else None)

    @property
    def _given(self) -> dict[str, Key]:
        streams, keys = (*self.cut.streams, *self.cut.held), (*self.cut.keys, *self.cut.held_keys)
        return {stream.name: key for stream, key in zip(streams, keys, strict=True)}


def tail_behind(graph: Graph, cut: Cut, outputs: Iterable[Key], carried: Carried) -> Tail:
    """Divide a graph at a cut.

    A mask is read off a tensor where the first step behind the cut would read it: a step before may have taken it away.
    Where masks travel, the model is therefore run in its own order up to there, and not only what the cut needs of it.

    Args:
        graph: of the model. cut: where. outputs: the tensors of its heads. carried: see ``carried_masks``.
    """
    steps, _ = needed(graph, (*cut.keys, *cut.held_keys), outputs)
    bare = _without_masks(graph, carried)
    place_of = {step.outputs: place for place, step in enumerate(graph.steps)}
    first: dict[Key, int] = {}
    for step in steps:
        for key in step.inputs:
            if key in cut.keys:
                first.setdefault(key, place_of[step.outputs])
    masked = {key: place for key, place in sorted(first.items(), key=lambda item: item[1]) if (place, key) in carried}
    if not masked:
        before, _ = needed(graph, (), (*cut.keys, *cut.held_keys))
        return Tail(cut, steps, before, {}, (), {}, bare)
    last = max(masked.values())
    made = {key for step in graph.steps[:last] for key in step.outputs}
    later, _ = needed(graph, made, (*cut.keys, *cut.held_keys))
    by_key = dict(zip(cut.keys, cut.streams, strict=True))
    taken = [stream.name for stream in (*cut.streams, *cut.held)]
    names = unique([*taken, *(f"mask of {by_key[key].name}" for key in masked)])[len(taken) :]
    streams = tuple(
        held_stream(name, *carried[place, key]) for name, (key, place) in zip(names, masked.items(), strict=True)
    )
    before = [*graph.steps[:last], *later]
    return Tail(cut, steps, before, dict(zip(names, masked, strict=True)), streams, masked, bare)


def _without_masks(graph: Graph, carried: Carried) -> Set[tuple[tuple[Key, ...], Key]]:
    """The tensors that carry no mask when a step reads them in the model; see ``Tail.bare``."""
    if not carried:
        return frozenset()
    return frozenset(
        (step.outputs, key)
        for place, step in enumerate(graph.steps)
        for key in step.inputs
        if (place, key) not in carried
    )
