"""Streams and heads as users declare them: from short forms, and laid over what was read off a model.

No framework here: every adapter reads its model and hands over what it found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from xai_mimo.core.errors import BadSetting, ShapeMismatch
from xai_mimo.core.forms import axes_of, by_stream, features_of, names_its_axes
from xai_mimo.core.model import Model, Renamable
from xai_mimo.core.streams import Head, Stream, check_unique, name_values
from xai_mimo.core.tables import column_labels, is_loader

Declared = TypeVar("Declared", Stream, Head)

DECLARED = "declared"
"""``Head.kind_from`` of a head whose kind the user named."""


def declared_streams(streams: Mapping[str, Any] | Sequence[Stream], *, dtype: str = "float32") -> tuple[Stream, ...]:
    """``Stream`` objects from the short forms that ``adapt`` takes.

    Args:
        streams: ``Stream`` objects, or name -> ``Stream``, number of features, feature names, or shape without the
            batch axis.
        dtype: of the streams in a short form.
    Raises:
        BadSetting: a list holds something else.
    """
    if not isinstance(streams, Mapping):
        return _only(streams, Stream, "streams")
    return tuple(_declared_stream(name, form, dtype) for name, form in streams.items())


def _declared_stream(name: str, form: Any, dtype: str) -> Stream:
    if isinstance(form, Stream):
        return form
    if _is_count(form):
        return Stream(name, (int(form),), dtype)
    if _is_names(form):
        return Stream(name, (len(form),), dtype, features=tuple(form))
    return Stream(name, _shape_of(form, f"input stream '{name}'", may_be_open=True), dtype)


def declared_heads(heads: Mapping[str, Any] | Sequence[Head]) -> tuple[Head, ...]:
    """``Head`` objects from the short forms that ``adapt`` takes.

    Args:
        heads: ``Head`` objects, or name -> ``Head``, number of units, kind, or shape without the batch axis.
    Raises:
        BadSetting: a list holds something else.
    """
    if not isinstance(heads, Mapping):
        return _only(heads, Head, "heads")
    return tuple(_declared_head(name, form) for name, form in heads.items())


def _declared_head(name: str, form: Any) -> Head:
    if isinstance(form, Head):
        return replace(form, kind_from=form.kind_from or DECLARED)
    if isinstance(form, str):
        return Head(name, kind=form, kind_from=DECLARED)  # type: ignore[arg-type]
    if _is_count(form):
        return Head(name, (int(form),))
    return Head(name, _shape_of(form, f"head '{name}'", may_be_open=False))  # type: ignore[arg-type]  # no None in it


def _is_count(form: Any) -> bool:
    return isinstance(form, int | np.integer) and not isinstance(form, bool) and 0 < int(form) < 2**31


def _shape_of(form: Any, what: str, *, may_be_open: bool) -> tuple[int | None, ...]:
    """A declared shape, of counts and perhaps axes of any length."""
    axes = tuple(form) if isinstance(form, list | tuple) else None
    if axes is None or not all(_is_count(n) or (n is None and may_be_open) for n in axes):
        raise BadSetting(
            f"{what} is declared as {form!r}; expected a {'Stream' if may_be_open else 'Head'}, a number of "
            f"{'features, feature names' if may_be_open else 'units, a kind'}, or a shape without the batch axis."
        )
    return tuple(None if n is None else int(n) for n in axes)


def _is_names(form: Any) -> bool:
    """Whether a short form is a list of feature names."""
    if isinstance(form, Stream | str) or not hasattr(form, "__len__"):
        return False
    return len(form) > 0 and all(isinstance(name, str) for name in form)


def _only(objects: Sequence[Any], kind: type[Declared], what: str) -> tuple[Declared, ...]:
    for one in objects if isinstance(objects, list | tuple) else [objects]:
        if not isinstance(one, kind) or not isinstance(objects, list | tuple):
            raise BadSetting(
                f"{what} is a list of {kind.__name__} objects, or a mapping from names to shapes, feature names, "
                f"numbers of units or kinds; got {one!r}."
            )
    return tuple(objects)


def annotate_streams(
    read: tuple[Stream, ...], streams: Mapping[str, Any] | Sequence[Stream] | None
) -> tuple[Stream, ...]:
    """Rename or annotate the streams read off a model by what the user declared.

    Names that the model has are matched by name, whatever their order; otherwise there must be one per stream, and they
    rename in order. A list of feature names annotates the last axis.

    Args:
        read: as the model describes them.
        streams: as ``declared_streams`` takes them; None leaves all as they were read.
    Raises:
        ShapeMismatch: a declared shape contradicts the model. BadSetting: some names are the model's and some are not.
    """
    if streams is None:
        return read
    forms = dict(streams) if isinstance(streams, Mapping) else {}
    declared = declared_streams(streams)
    pairs = _match([s.name for s in read], [s.name for s in declared], "stream")
    merged = tuple(
        _merge_stream(stream, declared[pairs[i]], forms.get(declared[pairs[i]].name)) if i in pairs else stream
        for i, stream in enumerate(read)
    )
    check_unique([s.name for s in merged], "input stream")
    return merged


def _merge_stream(read: Stream, declared: Stream, form: Any) -> Stream:
    """What was read, with the words of a declaration; ``form`` is its short form, None where there was none."""
    if form is not None and _is_names(form):
        return replace(read, name=declared.name, features=declared.features)
    fits = len(read.shape) == len(declared.shape) and all(
        a is None or b is None or a == b for a, b in zip(read.shape, declared.shape, strict=True)
    )
    if not fits:
        raise ShapeMismatch(
            f"input stream '{declared.name}' was declared with shape {declared.shape}, but the model's input "
            f"'{read.name}' has {read.shape}. Leave the shape out, or correct it."
        )
    if isinstance(form, int | tuple | list):
        return replace(read, name=declared.name)
    return replace(declared, shape=read.shape, dtype=read.dtype, ignored=declared.ignored or read.ignored)


def named_by_columns(streams: Sequence[Stream], inputs: Any) -> tuple[Stream, ...]:
    """The streams with a data frame's column names as feature names, where they have none of their own.

    Args:
        streams: of a model.
        inputs: as ``check_inputs`` takes them, and finds them right.
    """
    if is_loader(inputs):
        return tuple(streams)
    named = name_values(by_stream(inputs, streams), [s.name for s in streams], "input stream")
    return tuple(_named_by_columns(stream, named[stream.name]) for stream in streams)


def _named_by_columns(stream: Stream, values: Any) -> Stream:
    labels = column_labels(values)
    if names_its_axes(values):
        labels = features_of(values, axes_of(values)[-1]) or None
    if labels is None or stream.has_own_names or stream.groups or len(stream.shape) != 1:
        return stream
    names = tuple(str(label) for label in labels)
    is_new = len(names) == len(stream.features) and set(names) != set(stream.features)
    return replace(stream, features=names) if is_new else stream


def named_like(model: Model, inputs: Any) -> tuple[Model, tuple[Stream, ...]]:
    """The model with the names that a user's data frames give its features, and its streams so named.

    Where features have names already the frames' columns are put in their order instead. A model of another maker that
    cannot be renamed stays as it is; its data is still read by these names.

    Args:
        model: adapted.
        inputs: as ``check_inputs`` takes them, and finds them right.
    """
    streams = named_by_columns(model.streams, inputs)
    if streams != model.streams and isinstance(model, Renamable):
        return model.renamed(streams), streams
    return model, streams


def annotate_heads(read: tuple[Head, ...], heads: Mapping[str, Any] | Sequence[Head] | None) -> tuple[Head, ...]:
    """Rename or annotate the heads read off a model by what the user declared; matched like streams.

    Args:
        read: as the model describes them.
        heads: as ``declared_heads`` takes them; None leaves all as they were read.
    Raises:
        ShapeMismatch: another number of units. BadSetting: some names are the model's and some are not.
    """
    if heads is None:
        return read
    forms = dict(heads) if isinstance(heads, Mapping) else {}
    declared = declared_heads(heads)
    pairs = _match([h.name for h in read], [h.name for h in declared], "head")
    merged = tuple(
        _merge_head(head, declared[pairs[i]], forms.get(declared[pairs[i]].name)) if i in pairs else head
        for i, head in enumerate(read)
    )
    check_unique([h.name for h in merged], "head")
    return merged


def _merge_head(read: Head, declared: Head, form: Any) -> Head:
    if isinstance(form, str):
        return replace(read, name=declared.name, kind=declared.kind, kind_from=DECLARED)
    if declared.size != read.size:
        raise ShapeMismatch(
            f"head '{declared.name}' was declared with {declared.size} units, but the model's output '{read.name}' has "
            f"{read.size}. Give one unit name per unit, or only the kind."
        )
    if isinstance(form, int | tuple | list):
        return replace(read, name=declared.name)
    return replace(declared, shape=read.shape, kind_from=declared.kind_from or DECLARED)


def _match(read: list[str], declared: list[str], what: str) -> dict[int, int]:
    """Position of each read name -> position of the declaration that speaks of it."""
    check_unique(declared, what)
    shared = [name for name in declared if name in read]
    if len(shared) == len(declared):
        return {read.index(name): i for i, name in enumerate(declared)}
    if len(declared) != len(read):
        raise ShapeMismatch(
            f"the model has {len(read)} {what}s ({', '.join(read)}), but {len(declared)} were declared "
            f"({', '.join(declared)}). Declare one per {what} to rename them in order, or use the model's names."
        )
    if any(read.index(name) != declared.index(name) for name in shared):
        raise BadSetting(
            f"the declared {what}s ({', '.join(declared)}) mix names of the model ({', '.join(read)}) with new ones in "
            "another order; write them in the model's order."
        )
    return {i: i for i in range(len(read))}


def unique(names: Sequence[str]) -> list[str]:
    """Names made unique: those that occur several times are numbered from 0 in order of appearance."""
    numbers: dict[str, int] = {}
    unlike = []
    for name in names:
        if names.count(name) == 1:
            unlike.append(name)
            continue
        number = numbers.get(name, 0)
        while f"{name}_{number}" in names:
            number += 1
        numbers[name] = number + 1
        unlike.append(f"{name}_{number}")
    return unlike
