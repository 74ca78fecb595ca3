"""What players with names of their own were given, and how an explanation holds it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xai_mimo.core.errors import SchemaError
from xai_mimo.core.streams import Array, Stream

PLAYERS = Stream("players", (None,), axes=("player",))
"""What an explanation calls its players with names of their own, which it lays out as the features of a stream."""


@dataclass(frozen=True)
class NamedValues:
    """What players with names of their own were given, each as one number.

    Attributes:
        names: of the players.
        streams: the streams of each.
        values: ``(target, sample, player)``. standard_error: likewise; None where the method has none.
    """

    names: tuple[str, ...]
    streams: tuple[tuple[str, ...], ...]
    values: Array
    standard_error: Array | None = None

    def owners(self) -> str:
        """The streams of each player as JSON."""
        return json.dumps(dict(zip(self.names, self.streams, strict=True)))


def variables_of(players: NamedValues) -> dict[str, Any]:
    """The variables of an explanation that hold these values."""
    dims, errors = ("head", "sample", *PLAYERS.dims), players.standard_error
    values = {PLAYERS.name: (dims, players.values)}
    return values if errors is None else {**values, f"{PLAYERS.name}_standard_error": (dims, errors)}


def check_apart(attrs: Mapping[str, Any], streams: Sequence[str]) -> None:
    """Refuse to read off an explanation what each stream was given, where a player has values of several.

    Args:
        attrs: of the explanation, perhaps of several methods joined. streams: that it speaks of.
    Raises:
        SchemaError: there is such a player.
    """
    methods = [attrs, *(json.loads(attrs["methods"]).values() if "methods" in attrs else ())]
    owners = [json.loads(facts.get("players", "{}")) for facts in methods]
    for player, own in (item for one in owners for item in one.items()):
        if len(own) > 1 and tuple(streams) != (PLAYERS.name,):
            raise SchemaError(
                f"player '{player}' has values of {' and '.join(own)}, so what it was given belongs to none of them. "
                "Take explanation['players'], or explain by players that lie in one stream each."
            )
