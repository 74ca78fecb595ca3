"""Where a module is cut: the streams that one of its submodules reads, and what they are called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from xai_mimo.core.declare import unique
from xai_mimo.core.errors import NotSupported
from xai_mimo.core.streams import RESERVED, Stream, unknown
from xai_mimo_adapters.torch_adapter.axes import with_axes
from xai_mimo_adapters.torch_adapter.reading import kind_of
from xai_mimo_adapters.torch_adapter.trace import GIVEN, Entry, Given, Sources, Trace


@dataclass(frozen=True)
class Cut:
    """A model before one of its modules.

    Attributes:
        path: of the module.
        computed: what the module reads that is computed, ``{own name: its stream}``.
        places: of these tensors among the flattened arguments of the module.
        dtypes: of these tensors.
        beside: inputs of the model that reach a head beside the module, or are what the module reads, by own name.
        held: masks among the model's inputs that are read behind the cut, by own name; see ``Holding``.
        sources: ``{stream of the tail: model streams it depends on}``.
    """

    path: str
    computed: Mapping[str, Stream]
    places: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, torch.dtype]
    beside: Mapping[str, Stream]
    held: Mapping[str, Stream]
    sources: Mapping[str, tuple[str, ...]]

    @property
    def streams(self) -> dict[str, Stream]:
        """Streams of the tail by own name: what the module reads, then the model's inputs."""
        return {**self.computed, **self.beside}


class Cuts:
    """The cuts of one model.

    Args:
        trace: of the model. streams: by own name. modules: whose convolutions tell which axis holds channels.
        named: all submodules by their paths. label: what the model is called.
    """

    def __init__(
        self,
        trace: Trace,
        streams: Mapping[str, Stream],
        modules: Sequence[torch.nn.Module],
        named: Mapping[str, torch.nn.Module],
        label: str,
    ) -> None:
        self._trace = trace
        self._streams = dict(streams)
        self._modules = modules
        self._paths = tuple(named)
        self._normalising = {path for path, module in named.items() if kind_of(module).endswith("Norm")}
        self._label = label
        self._flow = trace.sources()
        self._masks = frozenset(own for own, stream in streams.items() if _is_mask(stream))

    def layers(self) -> tuple[str, ...]:
        """Paths of the modules that can be cut at: called once, with rows that depend on an input."""
        paths = [event.path for event in self._trace.events if isinstance(event, Entry)]
        return tuple(path for path in paths if paths.count(path) == 1 and not self._reason_against(path))

    def at(self, path: str) -> Cut:
        """The cut before a module.

        Raises:
            UnknownName: no such module. NotSupported: it is not called, or called several times, or reads no rows.
        """
        if path not in self._paths:
            raise unknown(path, self.layers(), "layer")
        reason = self._reason_against(path)
        if reason:
            raise NotSupported(f"layer '{path}' of '{self._label}' {reason}. Explain at one of: {self._listed()}.")
        event = self._trace.calls(path)[0]
        read = self._read(event)
        raw = {number: own for own, number in self._trace.inputs.items()}
        numbers = list(dict.fromkeys(given.tensor for given in read))
        computed = [number for number in numbers if number not in raw]
        flow = self._trace.sources(event, computed)
        reached = flow.decisions.union(*(flow.of(number) for number in self._trace.outputs.values())) - {GIVEN}
        wanted = reached | {raw[number] for number in numbers if number in raw}
        beside = {own: s for own, s in self._streams.items() if own in wanted and own not in self._masks}
        held = {own: self._streams[own] for own in self._masks if own in wanted or self._reads_mask(event, own)}
        names = self._names(event, computed, read, list(beside.values()))
        owns = {number: f"#{i}" for i, number in enumerate(computed)}
        first = {number: next(given for given in read if given.tensor == number) for number in computed}
        streams = {owns[n]: self._stream(first[n], name) for n, name in zip(computed, names, strict=True)}
        sources = {streams[owns[n]].name: self._names_of(self._flow.entered[event][n]) for n in computed}
        return Cut(
            path,
            streams,
            {owns[n]: tuple(given.place for given in read if given.tensor == n) for n in computed},
            {owns[n]: first[n].dtype for n in computed},
            beside,
            held,
            sources | {stream.name: (stream.name,) for stream in beside.values()},
        )

    def where_floats_begin(self) -> str | None:
        """The first module at which every stream of the tail holds floats; None if there is none.

        None that normalises its input: what reads it does not change along a path from zeros, but for its first step.
        """
        for path in self.layers():
            if path not in self._normalising and all(
                np.dtype(s.dtype).kind == "f" for s in self.at(path).streams.values()
            ):
                return path
        return None

    def _listed(self) -> str:
        names = self.layers()
        return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "") or "none"

    def _reason_against(self, path: str) -> str:
        calls = self._trace.calls(path)
        if not calls:
            return "is not called as a module when the model runs, so there is nothing that it reads"
        if len(calls) > 1:
            return f"is called {len(calls)} times in this model, so it has no one set of inputs"
        read = self._read(calls[0])
        if not read:
            return "reads no rows of the model's inputs"
        for given in read:
            if not given.shape or given.shape[0] != self._trace.rows:
                return (
                    f"reads '{given.name}' of shape {given.shape} for {self._trace.rows} rows, which has no batch axis"
                )
        return ""

    def _read(self, event: int) -> list[Given]:
        """What a module reads that depends on other inputs than masks."""
        entry, entered = self._trace.events[event], self._flow.entered[event]
        assert isinstance(entry, Entry)
        return [given for given in entry.given if entered[given.tensor] - self._masks]

    def _reads_mask(self, event: int, own: str) -> bool:
        return any(own in sources and not sources - self._masks for sources in self._flow.entered[event].values())

    def _names(self, event: int, computed: Sequence[int], read: Sequence[Given], beside: Sequence[Stream]) -> list[str]:
        """Names of what a module reads: the one model input it depends on, if nothing else read does; its parameter's.

        ``_encoded`` stands behind the name of a model input, so that an equal name always means the raw input.
        """
        raw = {stream.name for stream in self._streams.values()}
        names = []
        for number in computed:
            sources = self._names_of(self._flow.entered[event][number] - self._masks)
            others = {
                name
                for other in computed
                if other != number
                for name in self._names_of(self._flow.entered[event][other])
            } | {stream.name for stream in beside}
            given = next(given for given in read if given.tensor == number)
            name = sources[0] if len(sources) == 1 and sources[0] not in others else given.name
            name = f"{name}_encoded" if name in raw else name
            names.append(f"{name}_in" if name in RESERVED else name)
        return unique([*names, *(stream.name for stream in beside)])[: len(names)]

    def _names_of(self, owns: Sources) -> tuple[str, ...]:
        return tuple(stream.name for own, stream in self._streams.items() if own in owns)

    def _stream(self, given: Given, name: str) -> Stream:
        dtype = str(given.dtype).removeprefix("torch.")
        border = "float32" if dtype in ("float16", "bfloat16") else dtype
        return with_axes(Stream(name, given.shape[1:], border), self._modules)


def _is_mask(stream: Stream) -> bool:
    """Whether a stream says what a row has, and is no part of what it is: declared so, truth values, or whole numbers
    that are called a mask."""
    kind = np.dtype(stream.dtype).kind
    return stream.held or kind == "b" or (kind in "iu" and "mask" in stream.name.lower())
