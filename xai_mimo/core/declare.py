"""Streams and heads as users declare them: from short forms, and laid over what was read off a model.

No framework here: every adapter reads its model and hands over what it found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from xai_mimo.core.errors import BadSetting, ShapeMismatch
from xai_mimo.core.streams import Head, Stream, check_unique

Declared = TypeVar("Declared", Stream, Head)


def declared_streams(streams: Mapping[str, Any] | Sequence[Stream]) -> tuple[Stream, ...]:
    """``Stream`` objects from the short forms that ``adapt`` takes."""
    if not isinstance(streams, Mapping):
        return _only(streams, Stream, "streams")
    made = []
    for name, given in streams.items():
        if isinstance(given, Stream):
            made.append(given)
        elif isinstance(given, int):
            made.append(Stream(name, (given,)))
        elif given and all(isinstance(g, str) for g in given):
            made.append(Stream(name, (len(given),), features=tuple(given)))
        else:
            made.append(Stream(name, tuple(given)))
    return tuple(made)


def declared_heads(heads: Mapping[str, Any] | Sequence[Head]) -> tuple[Head, ...]:
    """``Head`` objects from the short forms that ``adapt`` takes."""
    if not isinstance(heads, Mapping):
        return _only(heads, Head, "heads")
    made = []
    for name, given in heads.items():
        if isinstance(given, Head):
            made.append(given)
        elif isinstance(given, str):
            made.append(Head(name, kind=given))  # type: ignore[arg-type]
        elif isinstance(given, int):
            made.append(Head(name, (given,)))
        else:
            made.append(Head(name, tuple(given)))
    return tuple(made)


def _only(given: Sequence[Any], kind: type[Declared], what: str) -> tuple[Declared, ...]:
    for one in given:
        if not isinstance(one, kind):
            raise BadSetting(
                f"{what} is a list of {kind.__name__} objects, or a mapping from names to shapes, feature names, "
                f"numbers of units or kinds; got {one!r} in the list."
            )
    return tuple(given)


def annotate_streams(
    read: tuple[Stream, ...], given: Mapping[str, Any] | Sequence[Stream] | None
) -> tuple[Stream, ...]:
    """Rename or annotate the streams read off a model by what the user declared.

    Names that the model has are matched by name, whatever their order; otherwise there must be one per stream, and they
    rename in order. A list of feature names annotates the last axis.

    Raises:
        ShapeMismatch: a declared shape contradicts the model. BadSetting: some names are the model's and some are not.
    """
    if given is None:
        return read
    raw = dict(given) if isinstance(given, Mapping) else {}
    declared = declared_streams(given)
    pairs = _match([s.name for s in read], [s.name for s in declared], "stream")
    made = []
    for i, stream in enumerate(read):
        if i not in pairs:
            made.append(stream)
            continue
        new = declared[pairs[i]]
        only_features = (
            not isinstance(raw.get(new.name), Stream | int)
            and new.name in raw
            and bool(raw[new.name])
            and (all(isinstance(f, str) for f in raw[new.name]))
        )
        made.append(
            replace(stream, name=new.name, features=new.features) if only_features else _merge_stream(stream, new, raw)
        )
    check_unique([s.name for s in made], "input stream")
    return tuple(made)


def _merge_stream(read: Stream, new: Stream, raw: Mapping[str, Any]) -> Stream:
    fits = len(read.shape) == len(new.shape) and all(
        a is None or b is None or a == b for a, b in zip(read.shape, new.shape, strict=True)
    )
    if not fits:
        raise ShapeMismatch(
            f"input stream '{new.name}' was declared with shape {new.shape}, but the model's input '{read.name}' has "
            f"{read.shape}. Leave the shape out, or correct it."
        )
    declared_whole = not isinstance(raw.get(new.name), int | tuple | list)
    return replace(new, shape=read.shape, dtype=read.dtype) if declared_whole else replace(read, name=new.name)


def annotate_heads(read: tuple[Head, ...], given: Mapping[str, Any] | Sequence[Head] | None) -> tuple[Head, ...]:
    """Rename or annotate the heads read off a model; matched like streams."""
    if given is None:
        return read
    raw = dict(given) if isinstance(given, Mapping) else {}
    declared = declared_heads(given)
    pairs = _match([h.name for h in read], [h.name for h in declared], "head")
    made = [_merge_head(head, declared[pairs[i]], raw) if i in pairs else head for i, head in enumerate(read)]
    check_unique([h.name for h in made], "head")
    return tuple(made)


def _merge_head(read: Head, new: Head, raw: Mapping[str, Any]) -> Head:
    short = raw.get(new.name)
    if isinstance(short, str):
        return replace(read, name=new.name, kind=new.kind)
    if new.size != read.size:
        raise ShapeMismatch(
            f"head '{new.name}' was declared with {new.size} units, but the model's output '{read.name}' has "
            f"{read.size}. Give one unit name per unit, or only the kind."
        )
    if isinstance(short, int | tuple | list):
        return replace(read, name=new.name)
    return replace(new, shape=read.shape)


def _match(read: list[str], declared: list[str], what: str) -> dict[int, int]:
    """Place of each read name -> place of the declaration that speaks of it."""
    check_unique(declared, what)
    known = [name for name in declared if name in read]
    if len(known) == len(declared):
        return {read.index(name): i for i, name in enumerate(declared)}
    if len(declared) != len(read):
        raise ShapeMismatch(
            f"the model has {len(read)} {what}s ({', '.join(read)}), but {len(declared)} were declared "
            f"({', '.join(declared)}). Declare one per {what} to rename them in order, or use the model's names."
        )
    if any(read.index(name) != declared.index(name) for name in known):
        raise BadSetting(
            f"the declared {what}s ({', '.join(declared)}) mix names of the model ({', '.join(read)}) with new ones in "
            "another order; write them in the model's order."
        )
    return {i: i for i in range(len(read))}


def unique(names: Sequence[str]) -> list[str]:
    """Names made unique: those that occur several times are numbered from 0 in order of appearance."""
    seen: dict[str, int] = {}
    made = []
    for name in names:
        if names.count(name) == 1:
            made.append(name)
            continue
        number = seen.get(name, 0)
        while f"{name}_{number}" in names:
            number += 1
        seen[name] = number + 1
        made.append(f"{name}_{number}")
    return made
