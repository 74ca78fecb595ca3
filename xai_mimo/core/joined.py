"""Several models as the heads of one, of any mixture of frameworks."""

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xai_mimo.core.declare import annotate_heads, annotate_streams, declared_streams
from xai_mimo.core.door import check_inputs
from xai_mimo.core.errors import NotFinite, ShapeMismatch, UnknownName
from xai_mimo.core.model import Arrays, Differentiable, Linked, Model, backend_of
from xai_mimo.core.precision import is_half, precision_of
from xai_mimo.core.streams import Array, Head, Stream
from xai_mimo.core.targets import Selector

Source = tuple[int, int]
"""A joined stream and a feature of it, by their places."""


@dataclass(frozen=True)
class Part:
    """One of the models.

    Attributes:
        name: what it is called among the parts.
        model: adapted.
        reads: for each of its streams the place of the joined stream that it is, or the features it is made of.
    """

    name: str
    model: Model
    reads: tuple[int | tuple[Source, ...], ...]

    def rows(self, arrays: Sequence[Array]) -> Arrays:
        """Rows of the joined streams as rows of this part."""
        return {
            stream.name: arrays[read] if isinstance(read, int) else _columns(stream, read, arrays)
            for stream, read in zip(self.model.streams, self.reads, strict=True)
        }

    def is_read(self, stream: Stream, places: set[int]) -> bool:
        """Whether a stream of this part reads one of these joined streams."""
        read = self.reads[[s.name for s in self.model.streams].index(stream.name)]
        return bool(places & ({read} if isinstance(read, int) else {place for place, _ in read}))


class Joined:
    """Models with streams of their own as one: streams of one name are one, the heads of all stand side by side.

    A part with one head gives it the part's own name; the heads of one with several are called ``part_head``. Streams
    of one name whose features have names hold the features of all of them, and each part reads its own.

    What a part can do beside answering and telling gradients (be cut, be intercepted) the whole cannot.

    Args:
        parts: adapted models, and what they read. streams, heads: of the whole.
    """

    def __init__(self, parts: Sequence[Part], streams: tuple[Stream, ...], heads: tuple[Head, ...]) -> None:
        self._parts, self._streams, self._heads = tuple(parts), streams, heads

    @property
    def name(self) -> str:
        """The names of the parts."""
        return " and ".join(part.name for part in self._parts)

    @property
    def backend(self) -> str:
        """The frameworks that compute."""
        return ", ".join(sorted({backend_of(part.model) for part in self._parts} - {""}))

    @property
    def precision(self) -> str:
        """That of the part which computes in the narrowest dtype."""
        told = [precision_of(part.model) for part in self._parts if precision_of(part.model)]
        return max(told, key=lambda p: (is_half(p), p == "float32")) if told else ""

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The streams of all parts, each name once."""
        return self._streams

    @property
    def heads(self) -> tuple[Head, ...]:
        """The heads of all parts, in their order."""
        return self._heads

    def fingerprint(self) -> str:
        """SHA-256 over the names and fingerprints of the parts."""
        parts = "".join(f"{part.name}:{part.model.fingerprint()};" for part in self._parts)
        return hashlib.sha256(parts.encode()).hexdigest()

    def predict(self, inputs: Any) -> Arrays:
        """Outputs of all parts, ``{head: (sample, *head.shape)}``."""
        arrays = list(check_inputs(inputs, self._streams).values())
        return self._named([_predict(part, part.rows(arrays)) for part in self._parts])

    def before_link(self, heads: Sequence[str]) -> tuple["Joined", dict[str, str]]:
        """The same models, of which heads end before their final sigmoid or softmax, where their part can be cut there;
        see ``Linked``."""
        parts, shown, words = list[Part](), list[Head](), dict[str, str]()
        own_names = iter(self._heads)
        for part in self._parts:
            named = {own.name: next(own_names) for own in part.model.heads}
            wanted = [own for own, head in named.items() if head.name in heads]
            cut, found = (
                part.model.before_link(wanted) if wanted and isinstance(part.model, Linked) else (part.model, {})
            )
            if isinstance(self, DifferentiableJoined) and not isinstance(cut, Differentiable):
                cut, found = part.model, {}
            units = {own.name: own.unit for own in cut.heads}
            shown += [replace(head, unit=units[own]) if own in found else head for own, head in named.items()]
            words |= {named[own].name: where for own, where in found.items()}
            parts.append(replace(part, model=cut if found else part.model))
        other = copy.copy(self)
        other._parts, other._heads = tuple(parts), tuple(shown)
        return other, words

    def renamed(self, streams: Sequence[Stream]) -> "Joined":
        """The same models under other words for their features; see ``Renamable``."""
        other = copy.copy(self)
        other._streams = tuple(streams)
        return other

    def _named(self, outputs: Sequence[Arrays]) -> Arrays:
        values = [values for of_part in outputs for values in of_part.values()]
        return {head.name: value for head, value in zip(self._heads, values, strict=True)}


class DifferentiableJoined(Joined):
    """Joined models that all tell their gradients."""

    def gradients(
        self, inputs: Any, selectors: Sequence[Selector], streams: Sequence[str] | None = None
    ) -> tuple[Arrays, Arrays]:
        """Outputs, and gradients ``{stream: (target, sample, *shape)}``: zeros where a target's part reads no such
        stream; one forward pass a part."""
        checked = check_inputs(inputs, self._streams)
        arrays, names = list(checked.values()), list(checked)
        asked = {names.index(name) for name in (names if streams is None else streams)}
        totals = {place: np.zeros((len(selectors), *arrays[place].shape)) for place in sorted(asked)}
        outputs, widths, heads = [], set(), iter(self._heads)
        for part in self._parts:
            owner = {next(heads).name: own.name for own in part.model.heads}
            targets = [t for t, selector in enumerate(selectors) if selector.head in owner]
            wanted = [s.name for s in part.model.streams if part.is_read(s, asked)]
            rows = part.rows(arrays)
            if not targets or not wanted or not isinstance(part.model, Differentiable):
                outputs.append(_predict(part, rows))
                continue
            own = [selectors[t]._replace(head=owner[selectors[t].head]) for t in targets]
            answer, gradients = part.model.gradients(rows, own, wanted)
            outputs.append(answer)
            widths |= {gradients[name].dtype for name in wanted}
            for stream, read in zip(part.model.streams, part.reads, strict=True):
                if stream.name in wanted:
                    _add(totals, targets, read, gradients[stream.name])
        dtype = np.result_type(*widths) if widths else np.dtype(np.float32)
        return self._named(outputs), {names[place]: total.astype(dtype) for place, total in totals.items()}


def join(
    parts: Mapping[str, Model],
    streams: Mapping[str, Any] | Sequence[Stream] | None = None,
    heads: Mapping[str, Any] | Sequence[Head] | None = None,
) -> Model:
    """Several adapted models as the heads of one.

    Args:
        parts: by name, at least one.
        streams: renames or annotates the streams of the whole; or puts the features of all parts, which then have names
            of their own, into other streams: ``{"vitals": ["age", "bp"], "notes": ["note"]}``.
        heads: renames or annotates the heads.
    Raises:
        ShapeMismatch: streams of one name differ and cannot be one. UnknownName: a part's feature is in no stream.
    """
    merged: dict[str, Stream] = {}
    for name, part in parts.items():
        for stream in part.streams:
            merged[stream.name] = _merged(merged[stream.name], stream, name) if stream.name in merged else stream
    read = tuple(merged.values())
    groups = _regrouped(read, streams)
    whole = annotate_streams(read, streams) if groups is None else groups
    whole = tuple(replace(s, ignored=tuple(n for n in s.ignored if not _is_read(n, whole))) for s in whole)
    before = read if groups is None else groups  # names may be new, places are the same
    joined = [Part(name, part, tuple(_source(s, before, name) for s in part.streams)) for name, part in parts.items()]
    own_heads = tuple(
        replace(head, name=name if len(part.heads) == 1 else f"{name}_{head.name}")
        for name, part in parts.items()
        for head in part.heads
    )
    kind = DifferentiableJoined if all(isinstance(part, Differentiable) for part in parts.values()) else Joined
    return kind(joined, whole, annotate_heads(own_heads, heads))


def _is_read(column: str, streams: Sequence[Stream]) -> bool:
    return any(column in stream.features for stream in streams)


def _predict(part: Part, rows: Arrays) -> Arrays:
    try:
        return part.model.predict(rows)
    except NotFinite as err:
        head = part.name if len(part.model.heads) == 1 else f"{part.name}_{err.head}"
        raise NotFinite(f"part '{part.name}': {err}", head, err.row) from err


def _columns(stream: Stream, sources: Sequence[Source], arrays: Sequence[Array]) -> Array:
    columns = np.stack([arrays[place][:, feature] for place, feature in sources], axis=1)
    return columns if stream.holds_words else columns.astype(np.dtype(stream.dtype))


def _add(totals: dict[int, Array], targets: Sequence[int], read: int | tuple[Source, ...], gradients: Array) -> None:
    """Add the gradients by one stream of a part, ``(target, sample, *shape)``, where the joined streams have them."""
    if isinstance(read, int):
        totals[read][targets] += gradients
        return
    for column, (place, feature) in enumerate(read):
        if place in totals:
            totals[place][targets, :, feature] += gradients[:, :, column]


def _merged(one: Stream, other: Stream, part: str) -> Stream:
    """Two streams of one name as one."""
    are_named = [len(s.shape) == 1 and s.has_own_names for s in (one, other)]
    if one.shape == other.shape and (one.features == other.features or not all(are_named)):
        return replace(other if are_named[1] and not are_named[0] else one, dtype=_dtype([one.dtype, other.dtype]))
    if not all(are_named):
        raise ShapeMismatch(
            f"part '{part}' has an input stream '{one.name}' of shape {other.shape}, another part one of shape "
            f"{one.shape}, so they are not the same. Call one of them otherwise: "
            f"xai_mimo.adapt({{'{part}': xai_mimo.adapt(model, streams={{'other': {other.shape}}}), ...}})."
        )
    features = tuple(dict.fromkeys([*one.features, *other.features]))
    return replace(
        one,
        shape=(len(features),),
        features=features,
        dtype=_dtype([one.dtype, other.dtype]),
        unit=one.unit if one.unit == other.unit else "",
        groups={**one.groups, **other.groups},
        ignored=tuple(name for name in dict.fromkeys([*one.ignored, *other.ignored]) if name not in features),
    )


def _dtype(dtypes: Sequence[str]) -> str:
    """One that holds the values of all."""
    if len(set(dtypes)) == 1:
        return dtypes[0]
    if any(dtype in ("str", "object") for dtype in dtypes):
        return "object"
    if "bfloat16" in dtypes:
        return "float32"
    return str(np.result_type(*dtypes))


def _regrouped(read: tuple[Stream, ...], streams: Any) -> tuple[Stream, ...] | None:
    """Streams that hold the features of these in other groups; None where that is not what was declared."""
    are_named = all(len(s.shape) == 1 and s.has_own_names for s in read)
    if not streams or not are_named:
        return None
    declared = declared_streams(streams)
    dtypes = {feature: s.dtype for s in read for feature in s.features}
    if not all(feature in dtypes for s in declared for feature in s.features):
        return None
    ignored = tuple(dict.fromkeys(name for s in read for name in s.ignored if name not in dtypes))
    return tuple(replace(s, dtype=_dtype([dtypes[f] for f in s.features]), ignored=ignored) for s in declared)


def _source(stream: Stream, joined: Sequence[Stream], part: str) -> int | tuple[Source, ...]:
    """Where a part's stream finds its values."""
    for place, candidate in enumerate(joined):
        are_alike = candidate.features == stream.features or not stream.has_own_names
        if candidate.name == stream.name and candidate.shape == stream.shape and are_alike:
            return place
    places = {feature: (p, f) for p, s in enumerate(joined) for f, feature in enumerate(s.features)}
    missing = [feature for feature in stream.features if feature not in places]
    if missing:
        raise UnknownName(
            f"part '{part}' reads {', '.join(stream.features)}; the streams have {', '.join(places)}. Missing: "
            f"{', '.join(missing)}."
        )
    return tuple(places[feature] for feature in stream.features)
