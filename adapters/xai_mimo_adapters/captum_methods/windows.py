"""Windows that slide over a stream, in the words of patches: along positions, with all channels."""

from collections.abc import Mapping, Sequence

import numpy as np

from xai_mimo.core.errors import BadSetting
from xai_mimo.core.model import Arrays
from xai_mimo.core.patches import Patch, check_patch, check_streams
from xai_mimo.core.positions import channel_axis
from xai_mimo.core.streams import Stream

Windows = Patch
"""Positions along each axis: one number for all axes of positions, one for each, or these by stream."""


def check_windows(windows: Windows, what: str) -> None:
    """Raise ``BadSetting`` unless sizes are whole numbers of at least 1."""
    try:
        check_patch(windows, is_needed=True)
    except BadSetting as err:
        raise BadSetting(
            f"{what} are whole numbers of at least 1, one for each axis of positions, or these by stream; got "
            f"{windows!r}."
        ) from err


def resolve_windows(
    windows: Windows, strides: Windows | None, streams: Sequence[Stream], inputs: Arrays
) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]:
    """Sizes and strides along every axis of every stream, as Captum wants them.

    Raises:
        UnknownName: there is no such stream. BadSetting: sizes that do not fit a stream, or strides beyond a window.
    """
    for given in (windows, strides):
        check_streams(given if given is not None else 1, streams)
    sizes, steps = [], []
    for stream in streams:
        shape = inputs[stream.name].shape[1:]
        size = _of_stream(windows, stream, shape, channels=True)
        step = _of_stream(1 if strides is None else strides, stream, shape, channels=False)
        for n, window, stride in zip(shape, size, step, strict=True):
            if window > n:
                raise BadSetting(f"the window {size} of stream '{stream.name}' is larger than a row of it, {shape}.")
            if stride > window and window < n:
                raise BadSetting(
                    f"the strides {step} of stream '{stream.name}' are larger than its window {size}: values between "
                    "windows would never be taken away."
                )
        sizes.append(size or (1,))
        steps.append(step or (1,))
    return tuple(sizes), tuple(steps)


def _of_stream(given: Windows, stream: Stream, shape: tuple[int, ...], *, channels: bool) -> tuple[int, ...]:
    """One for each axis; ``channels``: windows have all of these, strides along them are 1."""
    size = given.get(stream.name) if isinstance(given, Mapping) else given
    if size is None or not shape:
        return (1,) * len(shape)
    channel = channel_axis(stream) if len(shape) > 1 else None
    positions = [i for i in range(len(shape)) if i != channel]
    if isinstance(size, int | np.integer):
        along = dict.fromkeys(positions, int(size))
    elif len(size) == len(positions):
        along = dict(zip(positions, (int(n) for n in size), strict=True))
    elif len(size) == len(shape):
        along = dict(enumerate(int(n) for n in size))
    else:
        raise BadSetting(
            f"{tuple(size)} of stream '{stream.name}' wants {len(positions)} sizes, one for each axis of positions of "
            f"{shape}, or {len(shape)}."
        )
    return tuple(along.get(i, shape[i] if channels else 1) for i in range(len(shape)))
