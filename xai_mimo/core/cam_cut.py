"""The cut that a class activation map is read at: whose channels, which input stream, and who else is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xai_mimo.core.cut import Cut, cut_at, layers_called
from xai_mimo.core.errors import BadSetting, NotSupported
from xai_mimo.core.method import Context
from xai_mimo.core.model import Arrays, Differentiable, Model, Splittable, require
from xai_mimo.core.positions import has_channels, has_positions
from xai_mimo.core.streams import Stream, unknown
from xai_mimo.core.targets import Selector

_SHOWN = 12


@dataclass(frozen=True)
class CamCut:
    """The part of a model behind a layer, and the stream whose map is drawn.

    Attributes:
        at: its part's streams are what the layer reads, and the inputs that reach a head beside it.
        layer: for error texts.
        source: the part's stream that holds the activations.
        stream: the model's stream that these depend on, over which the map is laid.
        alone: whether the user chose the stream, and so left the others out.
        method: for error texts.
    """

    at: Cut
    layer: str
    source: Stream
    stream: Stream
    alone: bool
    method: str

    def gradients(self, read: Arrays, selectors: Sequence[Selector]) -> tuple[Arrays, Arrays]:
        """Outputs, and gradients of every stream of the part that has one: ``{stream: (target, row, *shape)}``."""
        floats = [s.name for s in self.at.part.streams if np.dtype(s.dtype).kind == "f"]
        return require(self.at.part, Differentiable, for_=self.method).gradients(read, selectors, floats)

    @property
    def reads(self) -> str:
        """What the activations are, for error texts."""
        return f"what layer '{self.layer}' reads"

    @property
    def unexplained(self) -> tuple[str, ...]:
        """The model's streams that were left out."""
        others = [owner for owners in self.at.owners.values() for owner in owners if owner != self.stream.name]
        return tuple(dict.fromkeys(others)) if self.alone else ()

    def check_others(self, gradients: Arrays, selectors: Sequence[Selector]) -> None:
        """Make sure that zeros for the other streams are true, or wanted.

        Raises:
            NotSupported: a target reacts to the explained stream on a way around the layer, or to another stream that
                was not left out by naming the explained one.
        """
        for name, owners in self.at.owners.items():
            if name == self.source.name or (self.alone and self.stream.name not in owners):
                continue
            if name in gradients:
                moved = np.flatnonzero(np.any(gradients[name].reshape(len(selectors), -1) != 0, axis=1))
            elif self._is_mask(name):  # made of the explained stream itself, and part of how it is read
                continue
            else:  # there is no gradient that could tell
                moved = np.array([0])
            if len(moved):
                raise self._also_read(selectors[int(moved[0])].head, name, owners)

    def _is_mask(self, name: str) -> bool:
        dtype = next(s.dtype for s in self.at.part.streams if s.name == name)
        return dtype == "bool" and self.at.owners[name] == (self.stream.name,) and name != self.stream.name

    def _also_read(self, head: str, name: str, owners: Sequence[str]) -> NotSupported:
        if self.stream.name in owners:
            return NotSupported(
                f"head '{head}' also reads '{name}', on a way around layer '{self.layer}', so a map of what that layer "
                f"reads would miss a part. Name a layer where all ways from '{self.stream.name}' to the head meet."
            )
        return NotSupported(
            f"head '{head}' also reads '{name}', and {self.method} at layer '{self.layer}' says nothing of it. To map "
            f"'{self.stream.name}' alone and give the others zeros, say so: stream='{self.stream.name}'."
        )


def cam_cut(
    model: Model, inputs: Arrays, context: Context, *, at: str | None, stream: str | None, method: str
) -> CamCut:
    """Cut a model for a class activation map.

    Args:
        model: that can be cut, or the part behind ``context.layer``.
        inputs: rows, for error texts. context: tells where the model was cut already.
        at: the layer, or None to find it. stream: the model's stream to explain, or None where there is no choice.
        method: for error texts.
    Raises:
        NotSupported: the model cannot be cut there, or the layer reads no positions of one stream alone.
        BadSetting: no layer is named and none can be found, or there are several streams to choose from.
        UnknownName: no such stream or layer.
    """
    names = [s.name for s in model.streams]
    if stream is not None and stream not in names:
        raise unknown(stream, names, "input stream")
    if context.layer is not None and (at is None or layers_called(at, [context.layer])):
        return _checked(Cut(model, model), layer=context.layer, stream=stream, method=method)
    mend = f"It is the part behind '{context.layer}': leave `at` out to read its own streams." if context.layer else ""
    able = require(model, Splittable, for_=method, instead=mend)
    layer = at if at is not None else _last_with_positions(able, stream, method)
    return _checked(cut_at(model, layer), layer=layer, stream=stream, method=method)


def _checked(cut: Cut, *, layer: str, stream: str | None, method: str) -> CamCut:
    """The cut, where the layer reads positions of one stream, which is then the one that is drawn."""
    part, owners = cut.part, cut.owners
    by_name = {s.name: s for s in cut.whole.streams}
    candidates = _candidates(cut, stream)
    if len(candidates) > 1:
        sources = list(dict.fromkeys(owners[s.name][0] for s in candidates))
        mend = (
            f"choose one: stream='{sources[0]}'"
            if len(sources) > 1
            else "name the layer that joins them as one, or the one behind it"
        )
        raise BadSetting(
            f"layer '{layer}' reads positions of {', '.join(repr(s.name) for s in candidates)}, and {method} draws "
            f"one map: {mend}."
        )
    if not candidates:
        raise NotSupported(
            f"behind layer '{layer}' is read {_described(part, owners)}: no positions that are computed from "
            + (f"input stream '{stream}' alone" if stream else "one input stream alone")
            + f", so there is no map to draw. {_mend(cut)}"
        )
    source = candidates[0]
    return CamCut(cut, layer, source, by_name[owners[source.name][0]], stream is not None, method)


def _mend(cut: Cut) -> str:
    """What can be done where a layer reads no positions."""
    streams = cut.whole.streams
    if _is_table(streams):
        return _no_positions(streams)
    before = "Name a layer before the positions are pooled or flattened"
    names = cut.whole.layers() if isinstance(cut.whole, Splittable) and cut.layer is not None else ()
    own = [i for i, name in enumerate(names) if layers_called(str(cut.layer), [name])]
    if len(own) == 1 and own[0] + 1 < len(names):
        before += f"; what '{cut.layer}' puts out is read by the layer behind it, perhaps at='{names[own[0] + 1]}'"
    return f"{before}."


def _is_table(streams: Sequence[Stream]) -> bool:
    """Whether streams are numbers without positions; whole numbers may be a text's."""
    return not any(has_positions(s) or s.is_integer for s in streams)


def _no_positions(streams: Sequence[Stream]) -> str:
    names = ", ".join(f"'{s.name}'" for s in streams)
    return (
        f"The model reads no positions at all ({names}): class activation maps are for images, sequences and tokens. "
        "For the columns of a table take 'integrated_gradients', 'shapley' or 'occlusion'."
    )


def _candidates(cut: Cut, stream: str | None) -> list[Stream]:
    """Streams of the part with positions computed from one of the model's streams; raw ones pass beside the layer."""
    raw = () if cut.layer is None else [s.name for s in cut.whole.streams]
    return [
        s
        for s in cut.part.streams
        if has_channels(s)
        and np.dtype(s.dtype).kind == "f"
        and s.name not in raw
        and len(cut.owners[s.name]) == 1
        and stream in (None, cut.owners[s.name][0])
    ]


def _described(part: Model, owners: Mapping[str, tuple[str, ...]]) -> str:
    return ", ".join(f"'{s.name}' {s.shape} made of {', '.join(owners[s.name]) or 'nothing'}" for s in part.streams)


def _last_with_positions(model: Splittable, stream: str | None, method: str) -> str:
    names = model.layers()
    for name in reversed(names):
        if len(_candidates(cut_at(model, name), stream)) == 1:
            return name
    if _is_table(model.streams):
        raise NotSupported(f"{method} found no layer that reads positions. {_no_positions(model.streams)}")
    listed = f"; there are: {', '.join(names[-_SHOWN:])}" if names else ""
    raise BadSetting(f"{method} found no layer that reads positions of one stream. Name one: at='<layer>'{listed}.")
