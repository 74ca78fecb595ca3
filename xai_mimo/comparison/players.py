"""Players by name in a comparison: every method speaks of the same ones, and the comparison takes place over them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from xai_mimo.comparison.spaces import Space
from xai_mimo.core.errors import BadSetting, NotSupported
from xai_mimo.core.explanation import plain
from xai_mimo.core.held_streams import without_held
from xai_mimo.core.method import Method
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.named_players import NamedPlayers, check_named
from xai_mimo.core.players import Masker

_PLAYERS_SHOWN = 8


def agreed_players(players: NamedPlayers | None, methods: Mapping[str, Method]) -> NamedPlayers | None:
    """The players of a comparison: those it was given, else those that its methods were given; None for none.

    Raises:
        BadSetting: methods with players that differ, or players that can be none.
    """
    if players is not None:
        if not isinstance(players, Mapping):
            raise BadSetting(
                f"players of a comparison have names, players={{'engine': {{'table': ['rpm', 'torque']}}}}; got "
                f"{players!r}. For whole variables or streams give space='variables' or space='streams'."
            )
        check_named(players)
    for label, method in methods.items():
        own = getattr(method, "players", None)
        if not isinstance(own, Mapping):
            continue
        if players is None:
            players = own
        elif not _are_equal(own, players):
            raise BadSetting(
                f"method '{label}' was given the players {', '.join(own)}, and others are compared "
                f"({', '.join(players)}). All methods of a comparison speak of the same players."
            )
    return players


def with_players(method: Method, players: NamedPlayers) -> Method:
    """A method that takes players, with these; another one as it is: its maps are summed over them.

    Raises:
        BadSetting: the method was given players that have no names.
    """
    own = getattr(method, "players", None)
    if own is None or isinstance(own, Mapping):
        return method
    if own != "features":
        raise BadSetting(
            f"method '{method.name}' was given players={own!r}, and the comparison is by {', '.join(players)}; leave "
            "one of them out."
        )
    given: Method = dataclasses.replace(method, players=players)  # type: ignore[type-var]
    return given


def by_players_in(space: Space, players: NamedPlayers | None, model: Model, first_row: Arrays) -> Space:
    """The same space, every map summed over players.

    Raises:
        BadSetting: the space sums maps otherwise. NotSupported: players that differ from row to row.
        UnknownName, DuplicateName, ShapeMismatch, BadValues: the players do not fit the streams of the space.
    """
    if players is None:
        return space
    if space.is_streams or space.by_variable:
        raise BadSetting(f"players=... and space='{space.short}' contradict each other; give one of them.")
    model = without_held(model)
    if space.cut is not None and space.is_at_layer:
        model, first_row = space.cut.part, space.cut.enter(first_row)
    masker = Masker.of(first_row, players, model.streams)
    if masker.differs_by_row:
        raise NotSupported(
            "the players of a comparison are the same in each row, and these labels differ from row to row. Give one "
            "label image for all rows, or explain with Shapley(players=...) alone."
        )
    return dataclasses.replace(
        space,
        name=f"{space.name}, by players" if space.is_at_layer else "players",
        text=f"{space.text} {_described(masker)}",
        players=players,
    )


def _described(masker: Masker) -> str:
    owners = list(zip(masker.names, masker.streams_of_players, strict=True))
    named = "; ".join(f"{name} ({', '.join(streams)})" for name, streams in owners[:_PLAYERS_SHOWN])
    return (
        f"All maps are summed over {len(owners)} players, and the values of one are replaced together: {named}"
        f"{'; ...' if len(owners) > _PLAYERS_SHOWN else ''}."
    )


def _are_equal(one: Any, other: Any) -> bool:
    return bool(plain(one, "players") == plain(other, "players"))
