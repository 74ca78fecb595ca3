"""Patches: neighbouring positions of a stream that one player stands for, so that images and long series have few."""

from collections.abc import Mapping, Sequence

import numpy as np

from xai_mimo.core.errors import BadSetting
from xai_mimo.core.positions import channel_axis
from xai_mimo.core.streams import Array, Stream, unknown

Patch = int | Sequence[int] | Mapping[str, int | Sequence[int]]
"""Positions along each axis of a patch: one number for all axes of positions, one for each, or these by stream."""


def check_patch(patch: Patch | None, *, is_needed: bool) -> None:
    """Raise ``BadSetting`` unless a patch is given where patches are the players, in whole numbers of at least 1."""
    if patch is None or not is_needed:
        if is_needed or patch is not None:
            raise BadSetting("players='patches' and patch=..., the size of one, belong together; give both or neither.")
        return
    for size in patch.values() if isinstance(patch, Mapping) else [patch]:
        sizes = [size] if isinstance(size, int | np.integer) else size
        if (
            isinstance(sizes, str)
            or not isinstance(sizes, Sequence)
            or not sizes
            or any(not _is_size(n) for n in sizes)
        ):
            raise BadSetting(
                f"a patch needs whole numbers of at least 1, one for each axis of positions; got {size!r}."
            )


def _is_size(n: object) -> bool:
    return isinstance(n, int | np.integer) and not isinstance(n, bool) and int(n) >= 1


def players_of(stream: Stream, shape: Sequence[int], patch: Patch) -> Array | None:
    """Which patch each value of a stream belongs to: whole numbers, with axes of length 1 where all values share one.

    Patches begin at the first position; the last one along an axis is smaller where the size does not fit. All channels
    of a position belong to its patch. None for a stream that a mapping does not name, or that has no axis of positions
    beside its channels: it is not divided into patches.

    Args:
        stream: of the model. shape: of one row of it.
        patch: as the user gave it, checked.
    Raises:
        BadSetting: as many sizes as the stream has no axes.
    """
    size = patch.get(stream.name) if isinstance(patch, Mapping) else patch if len(shape) > 1 else None
    if size is None:
        return None
    axes = _axes(stream, shape, size)
    sizes = [int(size)] * len(axes) if isinstance(size, int | np.integer) else [int(n) for n in size]
    label = np.zeros((1,) * len(shape), dtype=np.int64)
    for axis, size in zip(axes, sizes, strict=True):
        along = np.arange(shape[axis]) // size
        label = label * (along[-1] + 1) + along.reshape([-1 if i == axis else 1 for i in range(len(shape))])
    return label


def _axes(stream: Stream, shape: Sequence[int], size: int | Sequence[int]) -> list[int]:
    """The axes that a patch extends over."""
    channel = channel_axis(stream) if len(shape) > 1 else None
    positions = [i for i in range(len(shape)) if i != channel]
    if isinstance(size, int | np.integer) or len(size) == len(positions):
        return positions
    if len(size) == len(shape):
        return list(range(len(shape)))
    raise BadSetting(
        f"the patch {tuple(size)} of stream '{stream.name}' wants {len(positions)} sizes, one for each axis of "
        f"positions of {tuple(shape)}."
    )


def check_streams(patch: Patch | None, streams: Sequence[Stream]) -> None:
    """Raise ``UnknownName`` where a mapping names a stream that does not exist."""
    names = [s.name for s in streams]
    for name in patch if isinstance(patch, Mapping) else ():
        if name not in names:
            raise unknown(name, names, "input stream")
