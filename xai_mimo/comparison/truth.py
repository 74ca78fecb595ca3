"""Known truth, as a user writes it, turned into one boolean per feature of the space that is compared in."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xai_mimo.comparison.spaces import Space
from xai_mimo.core.errors import BadSetting
from xai_mimo.core.players import Masker
from xai_mimo.core.positions import ALL_POSITIONS
from xai_mimo.core.streams import Array, Stream, check_unique, unknown
from xai_mimo.metrics.aligned_maps import AlignedMaps
from xai_mimo.metrics.scene import TrueFeatures

_UNNAMED = ("", ALL_POSITIONS)

Truth = Mapping[str, Mapping[str, Sequence[str] | Array] | Sequence[str]]
"""``{head: {stream: [feature, ...]}}``, or ``{head: [stream, ...]}`` where all of a stream matters; or regions, arrays
of booleans ``(sample, *positions)`` in place of features (see ``regions``)."""

NamedTruth = dict[str, dict[str, tuple[str, ...]]]
"""The same with every name checked: ``{head: {stream: (feature, ...)}}``."""


def check_truth(truth: Truth, heads: Sequence[str], streams: Sequence[Stream]) -> NamedTruth:
    """The truth with every name checked: ``{head: {stream: (feature, ...)}}``, streams without a true feature left out.

    A group of features of a stream is named by itself or by any of its features, and stands as a whole.

    Args:
        truth: as the user wrote it.
        heads: names of heads and targets.
        streams: the model's.
    Raises:
        UnknownName: a head, stream or feature does not exist; the nearest name is given.
        BadSetting: neither a mapping of streams nor a list of streams. DuplicateName: a name twice.
    """
    by_name = {s.name: s for s in streams}
    checked: NamedTruth = {}
    for head, parts in truth.items():
        if head not in heads:
            raise unknown(head, heads, "head")
        if isinstance(parts, str) or not isinstance(parts, Mapping | Sequence):
            raise BadSetting(
                f"the truth of head '{head}' is {parts!r}; expected {{stream: [feature, ...]}} or [stream, ...]."
            )
        for stream in parts:
            if not isinstance(stream, str) or stream not in by_name:
                raise unknown(stream, by_name, "input stream")
        checked[head] = {}
        for stream in parts:
            if isinstance(parts, Mapping) and not _is_list(parts[stream]):
                raise BadSetting(
                    f"the truth of head '{head}' and stream '{stream}' is {parts[stream]!r}; expected [feature, ...], "
                    "or a region: an array of truth values (sample, *positions)."
                )
            known = _variable_of_each_name(by_name[stream])
            features = tuple(str(f) for f in parts[stream]) if isinstance(parts, Mapping) else tuple(known)
            check_unique(features, f"true feature of stream '{stream}'")
            for feature in features:
                if feature not in known:
                    raise unknown(feature, known, f"feature of stream '{stream}'")
            if features or not isinstance(parts, Mapping):
                checked[head][stream] = tuple(dict.fromkeys(known[f] for f in features))
    return checked


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset) or getattr(value, "ndim", 0) == 1


def _variable_of_each_name(stream: Stream) -> dict[str, str]:
    """What a name in the truth stands for: a feature, and a group, for the variable that it is or belongs to."""
    variables = stream.variables
    of_features = {f: variables[i] for f, i in zip(stream.features, stream.variable_of, strict=True)}
    return of_features | {name: name for name in variables}


def true_features(
    truth: Mapping[str, Mapping[str, Sequence[str]]],
    targets: Mapping[str, str],
    space: Space,
    streams: Sequence[Stream],
    maps: AlignedMaps,
    masker: Masker | None = None,
) -> dict[str, TrueFeatures]:
    """One mask over features per target that the truth speaks of.

    In the space of a layer that reads encoded streams, features of raw inputs cannot be found again, unless the layer's
    stream comes from one raw stream and still has its feature names (it was only standardised, say): all values of a
    stream that depends on a true stream count as true, and the note says so. A player with a name counts as true where
    one of its values does.

    Args:
        truth: checked.
        targets: name of the target -> head; the truth may name either, the target's own entry wins.
        space: where the comparison takes place.
        streams: of that space (the layer's, or the model's).
        maps: that will be scored.
        masker: of the players of that space; needed where they have names.
    """
    features = {}
    for target, head in targets.items():
        known = truth.get(target, truth.get(head))
        if known is None:
            continue
        if not known:
            features[target] = TrueFeatures(None, "nothing is true for this head: there is no feature to find", True)
            continue
        mask, feature_of, note = _mask(known, space, streams, maps, masker)
        if mask.all() or not mask.any():
            which = "every" if mask.all() else "no"
            what = "stream" if space.is_streams else "feature"
            features[target] = TrueFeatures(None, f"{which} {what} of this space is true: maps cannot be told apart")
            continue
        features[target] = TrueFeatures(mask, note, feature_of=feature_of)
    return features


def _mask(
    known: Mapping[str, Sequence[str]],
    space: Space,
    streams: Sequence[Stream],
    maps: AlignedMaps,
    masker: Masker | None,
) -> tuple[Array, Array, str]:
    """Which features are true, the feature of each player, and how the truth had to be read."""
    if masker is not None and masker.names:
        return _of_players(known, space, streams, maps, masker)
    owners: Mapping[str, Sequence[str]] = space.cut.owners if space.cut is not None and space.is_at_layer else {}
    by_name = {s.name: s for s in streams}
    stream_of = np.array([stream for stream, _ in maps.players])
    feature_of = np.empty(len(maps.players), dtype=np.int64)
    mask: list[bool] = []
    widened = []
    for name in dict.fromkeys(stream for stream, _ in maps.features):
        true, is_widened = _true_names(known, by_name[name], owners.get(name, (name,)))
        widened += [name] if is_widened else []
        features = [feature for stream, feature in maps.features if stream == name]
        players = stream_of == name
        positions = maps.feature_of[players] - maps.feature_of[players].min()
        if true and features == [ALL_POSITIONS] and set(true) < set(by_name[name].variables):
            # Some positions of a stream that is one feature elsewhere: as they are named, they are told apart.
            features = list(by_name[name].variables)
            positions = np.arange(len(positions)) % len(features)
        feature_of[players] = len(mask) + positions
        mask += [true is not None and (not true or f in true or f in _UNNAMED) for f in features]
    note = (
        f"the truth names raw inputs; at the layer every value of {', '.join(widened)} counts as true"
        if widened
        else ""
    )
    return np.array(mask), feature_of, note


def _of_players(
    known: Mapping[str, Sequence[str]], space: Space, streams: Sequence[Stream], maps: AlignedMaps, masker: Masker
) -> tuple[Array, Array, str]:
    """The same where the features of maps are players with names: those with a true value, wholly or in part."""
    owners: Mapping[str, Sequence[str]] = space.cut.owners if space.cut is not None and space.is_at_layer else {}
    marks, widened = {}, []
    for stream in streams:
        true, is_widened = _true_names(known, stream, owners.get(stream.name, (stream.name,)))
        widened += [stream.name] if is_widened else []
        shape = masker.divisions[stream.name].shape
        own = np.full(shape[-1:], true is not None and not true)
        if true:
            variables = np.array(stream.variables)[list(stream.variable_of)] if shape else np.array("")
            own = np.isin(variables, true) if shape else np.array(True)
        marks[stream.name] = np.broadcast_to(own, (1, *shape)).astype(np.float64)
    in_player = masker.sums(marks)[0]
    values = masker.sums({name: np.ones_like(x) for name, x in marks.items()})[0]
    parts = [name for (_, name), n, total in zip(maps.features, in_player, values, strict=True) if 0 < n < total]
    notes = [f"at the layer every value of {', '.join(widened)} counts as true"] if widened else []
    notes += [f"of {', '.join(parts)} some values are true, and the whole player counts"] if parts else []
    return in_player > 0, maps.feature_of, "; ".join(notes)


def _true_names(
    known: Mapping[str, Sequence[str]], stream: Stream, sources: Sequence[str]
) -> tuple[Sequence[str] | None, bool]:
    """The true features of a stream: all where empty, none where None; and whether more had to count than was named."""
    if tuple(sources) == (stream.name,) or (len(sources) == 1 and _keeps_features(stream)):
        return known.get(sources[0]), False
    is_true = any(source in known for source in sources)
    return (() if is_true else None), is_true


def _keeps_features(stream: Stream) -> bool:
    """Whether an encoded stream has its source's feature names; made-up ones are numbers."""
    return bool(stream.features) and any(name != str(i) for i, name in enumerate(stream.features))
