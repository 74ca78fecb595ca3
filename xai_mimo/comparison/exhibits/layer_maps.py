"""The record's ``maps``: what the self-explaining layers say of themselves, averaged over the explained rows."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from xai_mimo.core.model import Arrays, Interceptable, InterceptionMap, Interceptions, Model
from xai_mimo.core.streams import Array, Stream, count_rows
from xai_mimo.record.arrays import plain

MOST_VALUES = 65_536
MOST_VALUES_IN_ALL = 262_144
"""Limits of one averaged map and of all together; what is larger is left out, with a note."""

_BLOCK_BYTES = 2**28
_OF_OUTPUTS = ("head", "target")


def layer_maps(
    model: Model, inputs: Arrays, streams: Sequence[Stream], kinds: Collection[str]
) -> tuple[list[dict[str, Any]], dict[str, tuple[str, ...]]]:
    """Every sown map as its mean over rows, except those that an interception method of the comparison shows.

    Shown already are the maps that the methods read and, where there is such a method, all maps over heads and the
    features of a stream without further axes.

    Args:
        model: the whole model; one that cannot be intercepted has no maps.
        inputs: the explained rows.
        streams: of the space of the comparison.
        kinds: of the interception methods that take part.
    Returns:
        The record's ``maps``, and what the layers call the steps of the streams they read, such as "lag 3":
        ``{stream: labels}``.
    """
    if not isinstance(model, Interceptable):
        return [], {}
    first = model.intercept({name: values[:1] for name, values in inputs.items()})
    wanted = {key: found for key, found in first.items() if not _is_shown(found, streams, kinds)}
    fits = _within_limits(wanted)
    means = _means(model.intercept, inputs, fits) if fits else {}
    rows = count_rows(inputs)
    found = [_row(found, means.get(key), rows, fits=key in fits) for key, found in wanted.items()]
    return found, _time_labels(first)


def _time_labels(maps: Interceptions) -> dict[str, tuple[str, ...]]:
    return {
        stream: found.coords["time"]
        for found in reversed(maps.values())
        if "time" in found.coords
        for stream in found.coords.get("feature.stream", ())
    }


def _is_shown(found: InterceptionMap, streams: Sequence[Stream], kinds: Collection[str]) -> bool:
    if not kinds:
        return False
    flat = {s.name for s in streams if s.axes == ("feature",)}
    of_features = [axis for axis in found.axes if axis not in _OF_OUTPUTS] == ["feature"]
    owners = found.coords.get("feature.stream", ())
    is_flat = of_features and bool(owners) and set(owners) <= flat
    return is_flat or found.name in ("attention", "context") or (found.name == "contribution" and found.name in kinds)


def _within_limits(maps: Interceptions) -> dict[str, InterceptionMap]:
    """The maps there is room for, small ones first."""
    fits, room = {}, MOST_VALUES_IN_ALL
    for key, found in sorted(maps.items(), key=lambda item: item[1].values.size):
        if found.values.size <= min(MOST_VALUES, room):
            fits[key] = found
            room -= found.values.size
    return fits


def _means(intercept: Callable[[Arrays], Interceptions], inputs: Arrays, wanted: Interceptions) -> dict[str, Array]:
    """Means over rows, read in blocks, so that the maps of all rows never lie in memory at once."""
    rows = count_rows(inputs)
    one_row = sum(found.values.nbytes for found in wanted.values())
    blocks = -(-rows // max(1, _BLOCK_BYTES // max(1, one_row)))
    sums = {key: np.zeros(found.values.shape[1:]) for key, found in wanted.items()}
    for part in np.array_split(np.arange(rows), blocks):
        maps = intercept({name: values[part] for name, values in inputs.items()})
        for key in sums:
            sums[key] += maps[key].values.sum(axis=0, dtype=np.float64)
    return {key: total / rows for key, total in sums.items()}


def _row(found: InterceptionMap, mean: Array | None, rows: int, *, fits: bool) -> dict[str, Any]:
    known = mean is not None and bool(np.isfinite(mean).all())
    note = ""
    if not fits:
        shape = " x ".join(map(str, found.values.shape[1:]))
        note = (
            f"left out: a record holds up to {MOST_VALUES} values of a map and {MOST_VALUES_IN_ALL} of all; this one "
            f"has {shape}. Read it with xai_mimo.intercept."
        )
    elif not known:
        note = "the map holds values that are NaN or infinite"
    return {
        "layer": found.layer,
        "name": found.name,
        "axes": list(found.axes),
        "coords": _coords(found.coords) if known else {},
        "mean": plain(mean) if known and mean is not None else None,
        "rows": rows,
        "reference": found.reference,
        "note": note,
    }


def _coords(coords: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {name: list(labels) for name, labels in coords.items()}
