"""Players in a hierarchy, for explainers whose values are those of Owen and Winter.

A tree is a player, or a tuple of trees: ``((0, 1), (2, (3, 4)))``.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from xai_mimo.core.errors import BadSetting, DuplicateName
from xai_mimo.core.players import Masker
from xai_mimo.core.streams import Array, unknown

Hierarchy = Literal["streams"] | Mapping[str, Any]
"""The players of each stream together; or names of groups, each with a list of names or with groups again, as in
``{"machine": ["vibration", "sound"], "text": ["notes"]}``. At the ends stand streams, which are all their players, or
players that have names."""

Tree = Any


def check_hierarchy(hierarchy: Any, words: Sequence[str] = ("streams",)) -> None:
    """Refuse a setting that is no hierarchy, before there is a model."""
    if isinstance(hierarchy, str) and hierarchy in words:
        return
    if not isinstance(hierarchy, Mapping) or not hierarchy:
        told = " or ".join(f"'{word}'" for word in words)
        raise BadSetting(
            f"hierarchy must be {told}, or names of groups with their members, such as "
            f"{{'machine': ['vibration', 'sound'], 'text': ['notes']}}; got {hierarchy!r}."
        )
    for name, members in hierarchy.items():
        if isinstance(members, Mapping):
            check_hierarchy(members)
        elif not isinstance(members, list | tuple) or not members or not all(isinstance(m, str) for m in members):
            raise BadSetting(f"group '{name}' of the hierarchy must be a list of names, or groups; got {members!r}.")


def tree_of(hierarchy: Hierarchy, masker: Masker) -> Tree:
    """A hierarchy over the players of a masker.

    Raises:
        UnknownName: it names what is neither a stream nor a player with a name. DuplicateName: a player is in it twice.
        BadSetting: a player is not in it, or lies in several streams where these are the groups.
    """
    leaves = _leaves(masker)
    if isinstance(hierarchy, str):
        across = [n for n, s in zip(masker.names, masker.streams_of_players, strict=False) if len(s) > 1]
        if across:
            raise BadSetting(
                f"player '{across[0]}' has values of several streams, so the streams are no hierarchy of the players. "
                "Give one: hierarchy={'group': ['player', ...], ...}."
            )
        return _one_or_many([leaves[name] for name in masker.divisions if leaves[name] != ()])
    tree = _read(hierarchy, leaves)
    found = players_in(tree)
    twice = [i for i in found if found.count(i) > 1]
    if twice:
        raise DuplicateName(f"the hierarchy has {_described(twice[0], masker)} in two groups; a player belongs to one.")
    missing = sorted(set(range(masker.count)) - set(found))
    if missing:
        raise BadSetting(f"the hierarchy has no place for {_described(missing[0], masker)}. It needs every player.")
    return tree


def players_in(tree: Tree) -> list[int]:
    """The players of a tree, from left to right."""
    return [tree] if isinstance(tree, int) else [player for part in tree for player in players_in(part)]


def linkage(tree: Tree, players: int) -> Array:
    """A tree in SciPy's form, its groups halved in order until two are left: ``(players - 1, 4)``."""
    rows: list[tuple[int, int, float, int]] = []
    sizes = dict.fromkeys(range(players), 1)

    def merged(parts: list[int]) -> int:
        if len(parts) == 1:
            return parts[0]
        left, right = merged(parts[: len(parts) // 2]), merged(parts[len(parts) // 2 :])
        number = players + len(rows)
        sizes[number] = sizes[left] + sizes[right]
        rows.append((left, right, float(sizes[number]), sizes[number]))
        return number

    def number_of(node: Tree) -> int:
        return node if isinstance(node, int) else merged([number_of(part) for part in node])

    number_of(tree)
    return np.array(rows, dtype=np.float64)


def _leaves(masker: Masker) -> dict[str, Tree]:
    """What a name at an end of a hierarchy stands for: players by name, and streams, whose players these are."""
    streams: dict[str, Tree] = {}
    owners = masker.streams_of_players
    for stream in masker.divisions:
        own = [i for i in range(masker.count) if owners[i][:1] == (stream,)]
        streams[stream] = _one_or_many(own)
    return {**streams, **{name: i for i, name in enumerate(masker.names)}}


def _read(node: Any, leaves: Mapping[str, Tree]) -> Tree:
    parts = [
        _read(members, leaves)
        if isinstance(members, Mapping)
        else _one_or_many([_leaf(name, leaves) for name in members])
        for members in node.values()
    ]
    return _one_or_many(parts)


def _leaf(name: str, leaves: Mapping[str, Tree]) -> Tree:
    if name not in leaves:
        raise unknown(name, list(leaves), "stream or player of the hierarchy")
    return leaves[name]


def _one_or_many(parts: list[Tree]) -> Tree:
    return parts[0] if len(parts) == 1 else tuple(parts)


def _described(player: int, masker: Masker) -> str:
    if masker.names:
        return f"player '{masker.names[player]}'"
    return f"the players of stream '{masker.streams_of_players[player][0]}'"
