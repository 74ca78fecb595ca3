"""What the sign of a map speaks of: what a feature's present value did, or what happens when the feature grows.

Take f = 3a - 2b at the row a = -1, b = -1. Integrated Gradients give -3 and 2: the value of a lowered the prediction.
The gradient is 3 and -2: a larger a would raise it. Both are right, and their signs answer two questions, so they are
never held against each other.
"""

from typing import Any, Literal, get_args

from xai_mimo.core.errors import BadSetting

SpeaksOf = Literal["attribution", "sensitivity"]
""""attribution": what the present value did; "sensitivity": what happens when the feature grows."""

_MEANINGS: dict[SpeaksOf, str] = {
    "attribution": "what a feature's present value did",
    "sensitivity": "what happens when a feature grows",
}


def speaks_of(method: Any) -> SpeaksOf:
    """What the maps of a method speak of; a method that says nothing speaks of attribution.

    Raises:
        BadSetting: the method says something else.
    """
    declared: Any = getattr(method, "speaks_of", "attribution")
    kinds: tuple[SpeaksOf, ...] = get_args(SpeaksOf)
    for kind in kinds:
        if declared == kind:
            return kind
    name = getattr(method, "name", type(method).__name__)
    raise BadSetting(f"method '{name}' declares speaks_of = {declared!r}, which is not one of {', '.join(kinds)}.")


def meaning(kind: SpeaksOf) -> str:
    """The kind and what it means, for a note: "sensitivity (what happens when a feature grows)"."""
    return f"{kind} ({_MEANINGS[kind]})"
