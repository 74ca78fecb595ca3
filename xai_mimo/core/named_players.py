"""Players that a user names: groups of values that may span streams, windows of time, and superpixels.

A mapping from the name of a player to what it stands for::

    {
        "engine": {"table": ["rpm", "torque"]},              # features, by name or place
        "weather": {"table": "temp", "image": "all"},        # a whole stream, and a part of another one
        "first week": {"series": {"time": [0, 7]}},          # a window: from 0 up to 7, without 7
        "heat, at noon": {"series": {"time": 12, "feature": ["heat"]}},
        "lesion": {"image": mask},                           # booleans over positions
        "others": "rest",                                    # all that no other player has
    }

and from the name of a stream to a label image, whole numbers over its positions, ``{"image": labels}``, which makes a
player ``image.<label>`` of each label: the superpixels of any library. The same for all rows, or one for each,
``(sample, *positions)``. ``{"ids": "words"}`` does the same with the words of texts (``core.texts``).

What is in no group is a player each, a group of features of a stream (``Stream.groups``) together, unless some player
is the "rest".
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from xai_mimo.core.errors import BadSetting, BadValues, DuplicateName, ShapeMismatch
from xai_mimo.core.names import check_text
from xai_mimo.core.positions import channel_axis
from xai_mimo.core.streams import Array, Stream, check_unique, unknown

NamedPlayers = Mapping[str, Any]
"""As described above."""

ALL, REST, WORDS = "all", "rest", "words"

NO_WORDS = (
    "words are players of texts that come as texts: xai_mimo.adapt(model, tokenizer=...), and strings in the place of "
    "their ids."
)

_NOBODY = -1


class Owners(NamedTuple):
    """Which player each value of a row belongs to.

    Attributes:
        names: of the players, in the order of their numbers: as the user wrote them, then what is in no group.
        of: ``{stream: (*shape)}`` player numbers, with axes of length 1 where all values share one;
            ``(row, *shape)`` for the streams of ``by_row``.
        by_row: streams whose values belong to other players in each row.
    """

    names: tuple[str, ...]
    of: dict[str, Array]
    by_row: frozenset[str]


def check_named(players: NamedPlayers) -> None:
    """Refuse, before there is a model, what can be no players.

    Raises:
        BadSetting: no player, a group without streams, or something that is neither a group, nor "rest", nor labels.
    """
    if not players:
        raise BadSetting(
            "players={} names no player; name some, e.g. players={'engine': {'table': ['rpm', 'torque']}}."
        )
    for name, parts in players.items():
        if not isinstance(name, str) or not name.strip():
            raise BadSetting(f"a player is named by a word; got {name!r}.")
        check_text(name, "player")
        if isinstance(parts, Mapping):
            if not parts:
                raise BadSetting(f"player '{name}' is empty; say what it stands for, e.g. {{'table': ['rpm']}}.")
        elif parts not in (REST, WORDS) if isinstance(parts, str) else _labels(parts) is None:
            raise BadSetting(
                f"player '{name}' stands for {parts!r}; expected {{stream: values}}, such as {{'table': ['rpm']}}; "
                f"'{REST}'; or under the name of a stream whole numbers over its positions (labels)."
            )
    if sum(isinstance(parts, str) and parts == REST for parts in players.values()) > 1:
        raise BadSetting(f"two players are the '{REST}'; one of them has nothing left. Name what the other stands for.")


def read_players(
    players: NamedPlayers, streams: Sequence[Stream], shapes: Mapping[str, Sequence[int]], rows: Array
) -> Owners:
    """Which player each value belongs to.

    Args:
        players: as the user wrote them, checked by ``check_named``.
        streams: of the model. shapes: of one row of each.
        rows: ``(row,)``, numbers of the rows in the data, for labels that differ from row to row.
    Raises:
        UnknownName: a stream, feature or axis that there is not. DuplicateName: a value in two players, or two players
            of one name. BadSetting: a player that stands for nothing. ShapeMismatch, BadValues: labels that do not fit.
    """
    by_name = {stream.name: stream for stream in streams}
    owners = {name: np.full(tuple(shapes[name]), _NOBODY) for name in by_name}
    names: list[str] = []
    labelled: dict[str, Array] = {}
    for name, parts in players.items():
        if isinstance(parts, Mapping):
            _add_group(name, len(names), parts, by_name, owners, names)
            names.append(name)
        elif isinstance(parts, str):
            if parts == WORDS:
                raise BadSetting(f"players={{'{name}': '{WORDS}'}}: {NO_WORDS}")
            names.append(name)
        else:
            if name not in by_name:
                raise unknown(name, by_name, "input stream with labels for players")
            labels = _fitted(parts, by_name[name], shapes[name])
            different, numbers = np.unique(labels, return_inverse=True)
            labelled[name] = len(names) + numbers.reshape(labels.shape)
            names += [f"{name}.{label}" for label in different]
    by_row = frozenset(name for name, labels in labelled.items() if labels.ndim > len(shapes[name]))
    for name, labels in labelled.items():
        taken = owners[name][owners[name] != _NOBODY]
        if taken.size:
            raise _overlap(names[int(taken[0])], "the labels", f"stream '{name}'")
        owners[name] = _rows(labels, rows, name) if name in by_row else labels
    _add_rest(players, by_name, owners, names)
    check_unique(names, "player")
    return Owners(tuple(names), owners, by_row)


def _add_group(
    name: str,
    number: int,
    parts: Mapping[str, Any],
    streams: Mapping[str, Stream],
    owners: Mapping[str, Array],
    names: Sequence[str],
) -> None:
    for stream, selection in parts.items():
        if stream not in streams:
            raise unknown(stream, streams, f"input stream of player '{name}'")
        chosen = _chosen(selection, streams[stream], owners[stream].shape, name)
        if not chosen.any():
            raise BadSetting(f"player '{name}' stands for nothing of stream '{stream}': got {selection!r}.")
        taken = owners[stream][chosen]
        if (taken != _NOBODY).any():
            first = np.argwhere(chosen & (owners[stream] != _NOBODY))[0]
            raise _overlap(names[int(taken[taken != _NOBODY][0])], name, _described(streams[stream], first))
        owners[stream][chosen] = number


def _overlap(one: str, other: str, what: str) -> DuplicateName:
    return DuplicateName(f"{what} is in two players, '{one}' and '{other}'; a value belongs to one of them.")


def _described(stream: Stream, place: Array) -> str:
    """A value in words."""
    ticks = [str(i) for i in place]
    if ticks and len(stream.features) > place[-1]:
        ticks[-1] = f"'{stream.features[place[-1]]}'"
    axes = ", ".join(f"{axis} {tick}" for axis, tick in zip(stream.axes, ticks, strict=True))
    return f"{axes} of stream '{stream.name}'" if axes else f"stream '{stream.name}'"


def _add_rest(
    players: NamedPlayers, streams: Mapping[str, Stream], owners: Mapping[str, Array], names: list[str]
) -> None:
    """Give what is in no group to the player that is the rest, or make players of it."""
    rest = next((name for name, parts in players.items() if isinstance(parts, str)), None)
    if rest is not None:
        left = [owner == _NOBODY for owner in owners.values()]
        if not any(marks.any() for marks in left):
            raise BadSetting(f"player '{rest}' stands for nothing: the other players have every value. Leave it out.")
        for owner, marks in zip(owners.values(), left, strict=True):
            owner[marks] = names.index(rest)
        return
    for name, owner in owners.items():
        left_here = owner == _NOBODY
        if not left_here.any():
            continue
        keys, words = _variables(streams[name], owner.shape)
        different, numbers = np.unique(np.broadcast_to(keys, owner.shape)[left_here], return_inverse=True)
        owner[left_here] = len(names) + numbers
        names += [".".join([name, *words(int(key))]) for key in different]


def _variables(stream: Stream, shape: Sequence[int]) -> tuple[Array, Any]:
    """A number for each variable at each place, and the words of such a number."""
    if not shape:
        return np.zeros((), dtype=np.int64), lambda key: []
    of_last = np.array(stream.variable_of) if stream.groups else np.arange(shape[-1])
    ticks = stream.variables if len(stream.features) == shape[-1] else [str(i) for i in range(shape[-1])]
    places = np.arange(int(np.prod(shape[:-1], dtype=np.int64))).reshape(*shape[:-1], 1)

    def words(key: int) -> list[str]:
        place, last = divmod(key, len(ticks))
        return [*(str(i) for i in np.unravel_index(place, tuple(shape[:-1]))), ticks[last]]

    return places * len(ticks) + of_last, words


def _chosen(selection: Any, stream: Stream, shape: Sequence[int], player: str) -> Array:
    """The values that a player has of a stream: booleans ``(*shape)``."""
    where = f"player '{player}', stream '{stream.name}'"
    if isinstance(selection, str) and selection == ALL and ALL not in stream.features:
        return np.ones(tuple(shape), dtype=bool)
    if isinstance(selection, Mapping):
        chosen = np.ones(tuple(shape), dtype=bool)
        for axis, part in selection.items():
            if axis not in stream.axes:
                raise unknown(axis, stream.axes, f"axis of stream '{stream.name}' (player '{player}')")
            place = stream.axes.index(axis)
            along = _along(part, stream, place, shape[place], f"{where}, axis '{axis}'")
            chosen &= along.reshape([-1 if i == place else 1 for i in range(len(shape))])
        return chosen
    marks = np.asarray(selection) if not isinstance(selection, str) else np.empty(0)
    if marks.dtype == bool:
        return np.broadcast_to(_over_positions(marks, stream, shape, f"the booleans of {where}"), tuple(shape))
    if not shape:
        raise BadSetting(f"{where}: the stream has one value in a row; write '{ALL}'. Got {selection!r}.")
    if marks.ndim > 1:
        raise BadSetting(
            f"{where}: got {_short(selection)}; expected features by name or place, a window along an axis such as "
            f"{{'{stream.axes[0]}': [0, 7]}}, booleans over positions, or '{ALL}'."
        )
    along = np.zeros(shape[-1], dtype=bool)
    for feature in [selection] if isinstance(selection, str | int | np.integer) else selection:
        along[_feature(feature, stream, shape[-1], where)] = True
    return np.broadcast_to(along, tuple(shape)).copy()


def _along(part: Any, stream: Stream, axis: int, length: int, where: str) -> Array:
    """The places along one axis: a place, a window ``[first, end)``, several windows, or names of features."""
    along = np.zeros(length, dtype=bool)
    values = [part] if isinstance(part, str | int | np.integer) else list(part)
    if any(isinstance(v, str) for v in values):
        if axis != len(stream.axes) - 1:
            raise BadSetting(f"{where}: places have numbers, not names; got {part!r}.")
        for feature in values:
            along[_feature(feature, stream, length, where)] = True
        return along
    if isinstance(part, int | np.integer):
        along[_place(part, length, where)] = True
        return along
    windows: list[Any] = values if values and all(isinstance(v, Sequence | np.ndarray) for v in values) else [values]
    for window in windows:
        if len(window) != 2 or not all(v is None or _is_whole(v) for v in window):
            raise BadSetting(
                f"{where}: got {part!r}; expected a place (3), a window of places from the first up to the second "
                "([0, 7]; None for an end of the axis), or a list of windows."
            )
        first, end = 0 if window[0] is None else int(window[0]), length if window[1] is None else int(window[1])
        if not 0 <= first < end <= length:
            raise BadSetting(
                f"{where}: the window [{first}, {end}] has no places or leaves the axis, which has {length}."
            )
        along[first:end] = True
    return along


def _feature(feature: Any, stream: Stream, length: int, where: str) -> Any:
    """The places along the last axis that a feature, or a group of them, has."""
    if not isinstance(feature, str):
        return _place(feature, length, where)
    if feature in stream.features:
        return stream.features.index(feature)
    if feature in stream.groups:
        return [stream.features.index(member) for member in stream.groups[feature]]
    raise unknown(feature, [*stream.groups, *stream.features], f"feature of stream '{stream.name}' ({where})")


def _place(value: Any, length: int, where: str) -> int:
    if not _is_whole(value) or not 0 <= value < length:
        raise BadSetting(f"{where}: {value!r} is no place along an axis of {length}; they are 0 to {length - 1}.")
    return int(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _labels(values: Any) -> Array | None:
    """Label images as an array of whole numbers; None for what is none."""
    try:
        labels = np.asarray(values)
    except ValueError:
        return None
    return labels if labels.dtype.kind in "iu" and labels.ndim else None


def _fitted(values: Any, stream: Stream, shape: Sequence[int]) -> Array:
    """Label images with an axis of length 1 for the channels."""
    labels = _labels(values)
    if labels is None or labels.min() < 0:
        raise BadValues(f"labels of stream '{stream.name}' are whole numbers of at least 0; got {_short(values)}.")
    return _over_positions(labels, stream, shape, f"the labels of stream '{stream.name}'", by_row=True)


def _over_positions(values: Array, stream: Stream, shape: Sequence[int], what: str, *, by_row: bool = False) -> Array:
    """Values of positions with an axis of length 1 for the channels, where the stream has some."""
    channel = channel_axis(stream) if len(shape) > 1 else None
    positions = tuple(n for i, n in enumerate(shape) if i != channel)
    lead = values.ndim - len(positions)
    if values.shape == tuple(shape) and not by_row:
        return values
    if lead not in ((0, 1) if by_row else (0,)) or values.shape[lead:] != positions:
        rows = f", or ('sample', {', '.join(map(str, positions))})" if by_row else ""
        raise ShapeMismatch(f"{what} have the shape {values.shape}; expected {positions}{rows}.")
    return values if channel is None else np.expand_dims(values, lead + channel)


def _rows(labels: Array, rows: Array, stream: str) -> Array:
    if rows.max() >= len(labels):
        raise ShapeMismatch(
            f"the labels of stream '{stream}' are of {len(labels)} rows, and row {int(rows.max())} is explained; give "
            "one label image for each row, or one for all."
        )
    picked: Array = labels[rows]
    return picked


def _short(value: Any) -> str:
    shape = np.shape(value)
    return f"values of shape {shape}" if len(shape) > 1 else repr(value)


def label_streams(players: NamedPlayers) -> Iterator[tuple[str, Array]]:
    """The streams that have labels, and these."""
    for name, parts in players.items():
        labels = None if isinstance(parts, Mapping | str) else _labels(parts)
        if labels is not None:
            yield name, labels
