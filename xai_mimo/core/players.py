"""Players: the parts of an input that are known or unknown as a whole, and rows in which some of them are unknown.

Unknown players take the values of a background. One ``Masker`` serves everything that replaces parts of an input by
another row's: Shapley values, occlusion, removal curves, and explainers of other libraries.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import BadSetting
from xai_mimo.core.method import one_of
from xai_mimo.core.model import Arrays
from xai_mimo.core.named_players import NO_WORDS, NamedPlayers, check_named, read_players
from xai_mimo.core.named_values import NamedValues
from xai_mimo.core.patches import Patch, check_patch, check_streams, players_of
from xai_mimo.core.streams import Array, Stream

PlayersWord = Literal["features", "levels", "variables", "patches", "words", "streams"]
"""Every single input value; the same, also the columns of one category by themselves; every entry of a stream's last
axis over all its other axes (the whole series of a feature, a whole channel of an image); neighbouring positions with
all their channels; the words of texts (``core.texts``); whole streams. Features of one group of a stream (the columns
of one category) are one player together, where they would be players each, but for "levels"."""


WholePlayers = Literal["features", "levels", "variables", "streams"]
"""Players that can be told from the shape of a row."""


Players = PlayersWord | NamedPlayers
"""One of these words, or players by name, see ``core.named_players``."""


def check_players(players: Any, patch: Patch | None = None) -> None:
    """Refuse a setting that can be no players, before there is a model.

    Raises:
        BadSetting: an unknown word, a patch without need, or groups that say nothing.
    """
    if isinstance(players, Mapping):
        check_named(players)
    else:
        _check_word(players)
    check_patch(patch, is_needed=isinstance(players, str) and players == "patches")


def _check_word(players: Any) -> None:
    if isinstance(players, Iterable) and not isinstance(players, str):
        raise BadSetting(
            f"players are one word ({', '.join(get_args(PlayersWord))}), or yours by name, what each stands for: "
            f"players={{'engine': {{'table': ['rpm', 'torque']}}, 'others': 'rest'}}; got {players!r}."
        )
    one_of(players, get_args(PlayersWord), "players")


def own_axes(shape: Sequence[int], players: WholePlayers) -> tuple[int, ...]:
    """Lengths of the axes of a row along which its players differ: all of them, the last, or none.

    Where a stream has groups, ``shape`` is that of ``Stream.by_variable``.
    """
    if players == "variables":
        return tuple(shape[-1:])
    return () if players == "streams" else tuple(shape)


def replace(rows: Mapping[str, Array], background: Mapping[str, Array], known: Mapping[str, Array]) -> Arrays:
    """Rows whose unknown values are those of a background.

    Args:
        rows: ``{stream: (row, *shape)}``. background: likewise, or ``(1, *shape)``.
        known: ``{stream: (row, *shape)}`` booleans, with axes of length 1 where values are known or unknown together;
            streams without them stay as they are.
    """
    return {name: np.where(known[name], x, background[name]) if name in known else x for name, x in rows.items()}


class Division(NamedTuple):
    """How the values of one stream are divided among players.

    Attributes:
        shape: of a row.
        player_of: the player of each value, counted within the stream, with axes of length 1 where all values share
            one.
        map_shape: of a row's map: the axes along which players differ; those of a row where patches are players.
        by_row: whether ``player_of`` has a leading axis of rows, which are divided differently.
    """

    shape: tuple[int, ...]
    player_of: Array
    map_shape: tuple[int, ...]
    by_row: bool = False

    @staticmethod
    def of(shape: tuple[int, ...], players: WholePlayers, stream: Stream | None = None) -> "Division":
        """Players that can be told from the shape of a row, and from the groups of its stream."""
        if not shape or players == "streams":
            return Division(shape, np.zeros((1,) * len(shape), dtype=np.int64), ())
        is_grouped = stream is not None and stream.groups and players != "levels"
        variable_of = np.array(stream.variable_of) if is_grouped and stream else np.arange(shape[-1])
        own = own_axes((*shape[:-1], int(variable_of.max()) + 1), players)
        positions = np.arange(int(np.prod(own[:-1], dtype=np.int64))).reshape(*own[:-1], 1)
        numbers = positions * own[-1] + variable_of
        return Division(shape, numbers.reshape(*(1,) * (len(shape) - len(own)), *numbers.shape), own)

    @property
    def size(self) -> int:
        """Number of players."""
        return int(self.player_of.max()) + 1


@dataclass(frozen=True)
class Masker:
    """The players of some streams, numbered through all streams in their order, or as the user named them.

    Attributes:
        divisions: ``{stream: how its values are divided}``: among players, or where they have names into parts of them.
        names: of the players, where a user named them.
        owners: then for each stream the player of each of its parts, so that one player may have parts of several.
    """

    divisions: Mapping[str, Division]
    names: tuple[str, ...] = ()
    owners: Mapping[str, Array] = field(default_factory=dict)

    @staticmethod
    def of(
        inputs: Mapping[str, Array],
        players: WholePlayers | Literal["words"] | NamedPlayers,
        streams: Sequence[Stream] = (),
    ) -> "Masker":
        """Players that can be told from the shapes of rows and the groups of streams, or from their names.

        Args:
            inputs: rows, ``{stream: (row, *shape)}``. players: see ``Players``.
            streams: of the model, for their groups; without them no features are grouped. What rows hold beside these
                streams, such as masks, is no player and stays the row's own.
        """
        if isinstance(players, Mapping):
            return Masker.named(inputs, players, streams, np.arange(count_rows(inputs)))
        if players == "words":
            raise BadSetting(f"players='words': {NO_WORDS}")
        by_name = {s.name: s for s in streams}
        shown = {name: x for name, x in inputs.items() if name in by_name or not streams}
        return Masker({name: Division.of(x.shape[1:], players, by_name.get(name)) for name, x in shown.items()})

    @staticmethod
    def of_patches(inputs: Mapping[str, Array], streams: Sequence[Stream], patch: Patch) -> "Masker":
        """Patches of neighbouring positions; values of other streams are players each, groups of features together.

        Args:
            inputs: rows. streams: of the model, which tell positions from channels.
            patch: its size, checked.
        Raises:
            UnknownName: the size names a stream that does not exist. BadSetting: it does not fit a stream's axes.
        """
        check_streams(patch, streams)
        divisions = {}
        for stream in streams:
            shape = inputs[stream.name].shape[1:]
            player_of = players_of(stream, shape, patch)
            divisions[stream.name] = (
                Division.of(shape, "features", stream) if player_of is None else Division(shape, player_of, shape)
            )
        return Masker(divisions)

    @staticmethod
    def named(inputs: Mapping[str, Array], players: NamedPlayers, streams: Sequence[Stream], rows: Array) -> "Masker":
        """Players as a user named them.

        Args:
            inputs: rows, ``{stream: (row, *shape)}``. players: see ``core.named_players``. streams: of the model.
            rows: ``(row,)``, numbers of these rows in the data.
        Raises:
            what ``read_players`` raises.
        """
        shapes = {stream.name: inputs[stream.name].shape[1:] for stream in streams}
        names, numbers, by_row = read_players(players, streams, shapes, rows)
        divisions, owners = {}, {}
        for name, shape in shapes.items():
            own = _without_repeats(numbers[name], first_axis=int(name in by_row))
            owners[name], part_of = np.unique(own, return_inverse=True)
            divisions[name] = Division(shape, part_of.reshape(own.shape), shape, name in by_row)
        return Masker(divisions, names, owners)

    def at(self, rows: Array) -> "Masker":
        """The players of some rows: itself, unless they differ from row to row."""
        if not self.differs_by_row:
            return self
        picked = {n: d._replace(player_of=d.player_of[rows]) if d.by_row else d for n, d in self.divisions.items()}
        return Masker(picked, self.names, self.owners)

    @property
    def differs_by_row(self) -> bool:
        """Whether values belong to other players in each row."""
        return any(division.by_row for division in self.divisions.values())

    @property
    def sizes(self) -> list[int]:
        """Number of players in each stream; of parts, where players have names."""
        return [division.size for division in self.divisions.values()]

    @property
    def count(self) -> int:
        """Number of players."""
        return len(self.names) if self.names else sum(self.sizes)

    def owned(self, stream: str) -> Array:
        """The player of each part of a stream: ``(part,)``."""
        if self.owners:
            return self.owners[stream]
        starts = dict(zip(self.divisions, np.cumsum([0, *self.sizes]), strict=False))
        return int(starts[stream]) + np.arange(self.divisions[stream].size)

    @property
    def streams_of_players(self) -> tuple[tuple[str, ...], ...]:
        """The streams of which each player has values."""
        owned = {name: set(self.owned(name).tolist()) for name in self.divisions}
        return tuple(tuple(name for name, own in owned.items() if i in own) for i in range(self.count))

    def named_values(self, values: Array, standard_error: Array | None = None) -> NamedValues | None:
        """Values ``(target, sample, player)`` of players with names of their own; None where they have none."""
        return NamedValues(self.names, self.streams_of_players, values, standard_error) if self.names else None

    @property
    def player_of(self) -> Array:
        """The player of each value of a row, streams side by side: ``(value,)``."""
        each = (self.owned(n)[np.broadcast_to(d.player_of, d.shape).ravel()] for n, d in self.divisions.items())
        return np.concatenate(list(each))

    def marks(self, known: Array) -> Arrays:
        """Who is known as marks of values: ``(coalition, player)`` to ``{stream: (coalition, *axes)}``.

        Axes have length 1 where all values share a player. Where players differ from row to row, coalitions are those
        of the rows ``at`` which the masker is.
        """
        return {n: _wide(part, self.divisions[n]) for n, part in self._parts(known).items()}

    def _parts(self, values: Array) -> Arrays:
        """``(..., player)`` as ``(..., part)`` of each stream."""
        if self.owners:
            return {name: values[..., owners] for name, owners in self.owners.items()}
        return dict(zip(self.divisions, np.split(values, np.cumsum(self.sizes)[:-1], axis=-1), strict=True))

    def against_own(self, rows: Mapping[str, Array], background: Mapping[str, Array], known: Array) -> Arrays:
        """Each coalition before a background row of its own.

        Args:
            rows: ``{stream: (coalition, *shape)}``, the values of known players. background: likewise, of the others.
            known: ``(coalition, player)``, who keeps the row's value.
        Returns:
            ``{stream: (coalition, *shape)}``.
        """
        return replace(rows, background, self.marks(known))

    def against_each(self, rows: Mapping[str, Array], background: Mapping[str, Array], known: Array) -> Arrays:
        """Each coalition before every background row.

        Args:
            rows: ``{stream: (coalition, *shape)}``. background: ``{stream: (background, *shape)}``.
            known: ``(coalition, player)``, who keeps the row's value.
        Returns:
            ``{stream: (coalition * background, *shape)}``, all backgrounds of a coalition together.
        """
        marks, depth = {name: mark[:, None] for name, mark in self.marks(known).items()}, count_rows(background)
        crossed = replace(
            {name: x[:, None] for name, x in rows.items()}, {name: b[None] for name, b in background.items()}, marks
        )
        return {
            name: x.reshape(-1, *x.shape[2:]) if name in marks else np.repeat(rows[name], depth, axis=0)
            for name, x in crossed.items()
        }

    def split(self, values: Array) -> Arrays:
        """``(..., player)`` by stream, with those of the stream's axes along which players differ.

        The value of a patch, or of a player with a name, is divided evenly among its values, so that what it sums to
        stays. Where players differ from row to row, ``values`` are ``(..., row, player)`` of all rows.
        """
        if not self.owners:
            return {name: _shaped(part, self.divisions[name]) for name, part in self._parts(values).items()}
        even = values / np.maximum(self._sizes_of_players(), 1)
        return {name: _spread(part, self.divisions[name]) for name, part in self._parts(even).items()}

    def sums(self, values: Mapping[str, Array]) -> Array:
        """Values summed over each player: ``{stream: (..., row, *shape)}`` to ``(..., row, player)``."""
        total: Any = 0.0
        for name, division in self.divisions.items():
            lead = values[name].shape[: values[name].ndim - len(division.shape)]
            flat = values[name].reshape(*lead, -1)
            each = self._player_of_each(name)
            if division.by_row:
                rows = [_summed(flat[..., row, :], owner, self.count) for row, owner in enumerate(each)]
                total = total + np.stack(rows, axis=-2)
            else:
                total = total + _summed(flat, each[0], self.count)
        summed: Array = total
        return summed

    @property
    def columns(self) -> Array:
        """How many columns each player stands for, ``(player,)``: values, where players have names."""
        if self.owners:
            return self._sizes_of_players()
        counts = [np.bincount(d.player_of.ravel(), minlength=d.size) for d in self.divisions.values()]
        return np.concatenate(counts)

    def _sizes_of_players(self) -> Array:
        """How many values each player has: ``(player,)``, or ``(row, player)`` where they differ from row to row."""
        sizes: Any = 0
        for name, division in self.divisions.items():
            counts = [np.bincount(owner, minlength=self.count) for owner in self._player_of_each(name)]
            sizes = sizes + (np.stack(counts) if division.by_row else counts[0])
        counted: Array = sizes
        return counted

    def _player_of_each(self, stream: str) -> Array:
        """The player of each value of a stream: ``(row, value)``, or ``(1, value)`` for all rows."""
        division = self.divisions[stream]
        parts = division.player_of if division.by_row else division.player_of[None]
        each: Array = self.owned(stream)[np.broadcast_to(parts, (len(parts), *division.shape)).reshape(len(parts), -1)]
        return each


def player_names(masker: Masker, streams: Sequence[Stream]) -> tuple[str, ...]:
    """What each player is called: as the user did, else its stream, with the place and the feature of a part of one.

    Args:
        masker: the players. streams: of the model, for the names of their features.
    """
    if masker.names:
        return masker.names
    features = {s.name: s.variables if s.groups else s.features for s in streams}
    names = []
    for name, division in masker.divisions.items():
        own = [name]
        for axis, length in enumerate(division.map_shape):
            is_last = axis == len(division.map_shape) - 1 and len(features.get(name, ())) == length
            ticks = features[name] if is_last else [str(i) for i in range(length)]
            own = [f"{prefix}.{tick}" for prefix in own for tick in ticks]
        names += own
    return tuple(names)


def _summed(flat: Array, owner: Array, count: int) -> Array:
    """``(..., value)`` summed over the values of each player: ``(..., player)``."""
    order = np.argsort(owner, kind="stable")
    present, first = np.unique(owner[order], return_index=True)
    sums = np.zeros((*flat.shape[:-1], count))
    sums[..., present] = np.add.reduceat(flat[..., order].astype(np.float64), first, axis=-1)
    return sums


def _without_repeats(owner: Array, *, first_axis: int) -> Array:
    """The same with axes of length 1, where all along an axis have one owner."""
    for axis in range(first_axis, owner.ndim):
        first = owner.take([0], axis)
        owner = first if (owner == first).all() else owner
    return owner


def _shaped(part: Array, division: Division) -> Array:
    if division.size == int(np.prod(division.map_shape, dtype=np.int64)):
        return part.reshape(*part.shape[:-1], *division.map_shape)
    each = np.broadcast_to(division.player_of, division.shape)
    shares: Array = (part / np.bincount(each.ravel()))[..., each]
    return shares


def _spread(part: Array, division: Division) -> Array:
    """``(..., row, part)`` as ``(..., row, *shape)``: each value that of its part."""
    if not division.by_row:
        wide: Array = part[..., np.broadcast_to(division.player_of, division.shape)]
        return wide
    each = np.broadcast_to(division.player_of, (len(division.player_of), *division.shape))
    rows = np.arange(len(each)).reshape(-1, *(1,) * len(division.shape))
    by_row: Array = part[..., rows, each]
    return by_row


def _wide(known: Array, division: Division) -> Array:
    """``(coalition, part)`` as ``(coalition, *axes)``, a mark for each value of a stream, or for all of an axis."""
    player_of = division.player_of
    if division.by_row:
        return np.take_along_axis(known, player_of.reshape(len(known), -1), axis=1).reshape(player_of.shape)
    if player_of.size != known.shape[1] or not np.array_equal(player_of.ravel(), np.arange(known.shape[1])):
        known = known[:, player_of.ravel()]
    return known.reshape(len(known), *player_of.shape)
