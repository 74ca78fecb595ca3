"""The record's ``maps``: what the self-explaining layers say of themselves, averaged over the explained rows."""

from collections.abc import Callable, Collection, Sequence

import numpy as np

from xai_mimo.core.attention import CROSS_VALUES, VALUES
from xai_mimo.core.door import count_rows
from xai_mimo.core.model import Arrays, Interceptable, InterceptionMap, Interceptions, Model
from xai_mimo.core.streams import Array, Stream
from xai_mimo.record.arrays import rounded
from xai_mimo.record.maps import MapRow

MOST_VALUES = 65_536
MOST_VALUES_IN_ALL = 262_144
"""Limits of one averaged map and of all together; what is larger is left out, with a note."""

_BLOCK_BYTES = 2**28
_OF_OUTPUTS = ("head", "target")


def layer_maps(
    model: Model, inputs: Arrays, streams: Sequence[Stream], kinds: Collection[str]
) -> tuple[tuple[MapRow, ...], dict[str, tuple[str, ...]]]:
    """Every sown map as its mean over rows, except those that an interception method of the comparison shows.

    Shown already are the maps that the methods read and, where there is such a method, all maps over heads and the
    features of a stream without further axes. Inner products of what attention heads make of keys are no exhibit.

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
        return (), {}
    first = model.intercept({name: values[:1] for name, values in inputs.items()})
    unseen = {key: sown for key, sown in first.items() if not _is_shown(sown, streams, kinds)}
    fits = _within_limits(unseen)
    means = _means(model.intercept, inputs, fits) if fits else {}
    rows = count_rows(inputs)
    map_rows = tuple(_row(sown, means.get(key), rows, fits=key in fits) for key, sown in unseen.items())
    return map_rows, _time_labels(first)


def _time_labels(maps: Interceptions) -> dict[str, tuple[str, ...]]:
    return {
        stream: sown.coords["time"]
        for sown in reversed(maps.values())
        if "time" in sown.coords
        for stream in sown.coords.get("feature.stream", ())
    }


def _is_shown(sown: InterceptionMap, streams: Sequence[Stream], kinds: Collection[str]) -> bool:
    if sown.name in (VALUES, CROSS_VALUES):
        return True
    if not kinds:
        return False
    flat = {s.name for s in streams if s.axes == ("feature",)}
    of_features = [axis for axis in sown.axes if axis not in _OF_OUTPUTS] == ["feature"]
    owners = sown.coords.get("feature.stream", ())
    is_flat = of_features and bool(owners) and set(owners) <= flat
    return is_flat or sown.name in ("attention", "context") or (sown.name == "contribution" and sown.name in kinds)


def _within_limits(maps: Interceptions) -> dict[str, InterceptionMap]:
    """The maps there is room for, small ones first."""
    fits, room = {}, MOST_VALUES_IN_ALL
    for key, sown in sorted(maps.items(), key=lambda item: item[1].values.size):
        if sown.values.size <= min(MOST_VALUES, room):
            fits[key] = sown
            room -= sown.values.size
    return fits


def _means(intercept: Callable[[Arrays], Interceptions], inputs: Arrays, fits: Interceptions) -> dict[str, Array]:
    """Means over rows, read in blocks, so that the maps of all rows never lie in memory at once."""
    rows = count_rows(inputs)
    one_row = sum(sown.values.nbytes for sown in fits.values())
    blocks = -(-rows // max(1, _BLOCK_BYTES // max(1, one_row)))
    sums = {key: np.zeros(sown.values.shape[1:]) for key, sown in fits.items()}
    for part in np.array_split(np.arange(rows), blocks):
        maps = intercept({name: values[part] for name, values in inputs.items()})
        for key in sums:
            sums[key] += maps[key].values.sum(axis=0, dtype=np.float64)
    return {key: total / rows for key, total in sums.items()}


def _row(sown: InterceptionMap, mean: Array | None, rows: int, *, fits: bool) -> MapRow:
    known = mean is not None and bool(np.isfinite(mean).all())
    note = ""
    if not fits:
        shape = " x ".join(map(str, sown.values.shape[1:]))
        note = (
            f"left out: a record holds up to {MOST_VALUES} values of a map and {MOST_VALUES_IN_ALL} of all; this one "
            f"has {shape}. Read it with xai_mimo.intercept."
        )
    elif not known:
        note = "the map holds values that are NaN or infinite"
    return MapRow(
        layer=sown.layer,
        name=sown.name,
        axes=tuple(sown.axes),
        coords={axis: tuple(labels) for axis, labels in sown.coords.items()} if known else {},
        mean=rounded(mean) if known and mean is not None else None,
        rows=rows,
        reference=sown.reference,
        note=note,
    )
