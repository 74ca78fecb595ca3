"""How wide the noise is that Captum adds to the streams."""

from collections.abc import Mapping, Sequence
from typing import Any

from xai_mimo.core.errors import BadSetting
from xai_mimo.core.method import is_number
from xai_mimo.core.streams import Stream, unknown


def check_stdevs(stdevs: Any) -> None:
    """Raise ``BadSetting`` unless it is a number of at least 0, or some by stream."""
    for value in stdevs.values() if isinstance(stdevs, Mapping) else [stdevs]:
        if not is_number(value) or value < 0:
            raise BadSetting(
                "stdevs must be a number of at least 0, or {stream: number}, in the unit of the inputs; got "
                f"{stdevs!r}."
            )


def resolve_stdevs(stdevs: float | Mapping[str, float], streams: Sequence[Stream]) -> tuple[float, ...]:
    """One for each stream in order; of streams that are left out 0.

    Raises:
        UnknownName: there is no such stream.
    """
    if not isinstance(stdevs, Mapping):
        return (float(stdevs),) * len(streams)
    names = [stream.name for stream in streams]
    for name in stdevs:
        if name not in names:
            raise unknown(name, names, "input stream")
    return tuple(float(stdevs.get(name, 0.0)) for name in names)
