"""Known truth, as a user writes it, turned into one boolean per player of the space that is compared in."""

from collections.abc import Mapping, Sequence

import numpy as np

from xai_mimo.comparison.spaces import Space
from xai_mimo.core.errors import BadSetting
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array, Stream, check_unique, unknown
from xai_mimo.metrics.scene import TrueFeatures

Truth = Mapping[str, Mapping[str, Sequence[str] | Array] | Sequence[str]]
"""``{head: {stream: [feature, ...]}}``, or ``{head: [stream, ...]}`` where all of a stream matters; or regions, arrays
of booleans ``(sample, *positions)`` in place of features (see ``regions``)."""

NamedTruth = dict[str, dict[str, tuple[str, ...]]]
"""The same with every name checked: ``{head: {stream: (feature, ...)}}``."""


def check_truth(truth: Truth, heads: Sequence[str], streams: Sequence[Stream]) -> NamedTruth:
    """The truth with every name checked: ``{head: {stream: (feature, ...)}}``, streams without a true feature left out.

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
            if stream not in by_name:
                raise unknown(stream, by_name, "input stream")
        checked[head] = {}
        for stream in parts:
            known = by_name[stream].features
            features = tuple(str(f) for f in parts[stream]) if isinstance(parts, Mapping) else known
            check_unique(features, f"true feature of stream '{stream}'")
            for feature in features:
                if feature not in known:
                    raise unknown(feature, known, f"feature of stream '{stream}'")
            if features or not isinstance(parts, Mapping):
                checked[head][stream] = features
    return checked


def true_features(
    truth: Mapping[str, Mapping[str, Sequence[str]]],
    targets: Mapping[str, str],
    space: Space,
    streams: Sequence[Stream],
    inputs: Arrays,
) -> dict[str, TrueFeatures]:
    """One mask per target that the truth speaks of.

    In the space of a layer that reads encoded streams, features of raw inputs cannot be found again, unless the layer's
    stream comes from one raw stream and still has its feature names (it was only standardised, say): all values of a
    stream that depends on a true stream count as true, and the note says so.

    Args:
        truth: checked.
        targets: name of the target -> head; the truth may name either, the target's own entry wins.
        space: where the comparison takes place.
        streams: of that space (the layer's, or the model's).
        inputs: rows of that space, for the lengths of axes.
    """
    features = {}
    for target, head in targets.items():
        known = truth.get(target, truth.get(head))
        if known is None:
            continue
        if not known:
            features[target] = TrueFeatures(None, "nothing is true for this head: there is no feature to find", True)
            continue
        if space.is_streams:
            mask, note = np.array([s.name in known for s in streams]), ""
        else:
            mask, note = _feature_mask(known, space, streams, inputs)
        if mask.all() or not mask.any():
            which = "every" if mask.all() else "no"
            players = "stream" if space.is_streams else "feature"
            features[target] = TrueFeatures(None, f"{which} {players} of this space is true: maps cannot be told apart")
            continue
        features[target] = TrueFeatures(mask, note)
    return features


def _keeps_features(stream: Stream) -> bool:
    """Whether an encoded stream has its source's feature names; made-up ones are numbers."""
    return bool(stream.features) and any(name != str(i) for i, name in enumerate(stream.features))


def _feature_mask(
    known: Mapping[str, Sequence[str]], space: Space, streams: Sequence[Stream], inputs: Arrays
) -> tuple[Array, str]:
    parts, widened = [], []
    owners: Mapping[str, Sequence[str]] = space.cut.owners if space.cut is not None and space.is_at_layer else {}
    for stream in streams:
        mask = np.zeros(inputs[stream.name].shape[1:], dtype=bool)
        sources = tuple(owners.get(stream.name, (stream.name,)))
        if sources == (stream.name,):
            features = known.get(stream.name)
            if features is not None:  # a stream without feature names is true as a whole
                mask[..., [stream.features.index(f) for f in features] or slice(None)] = True
        elif len(sources) == 1 and _keeps_features(stream):
            mask[..., [stream.features.index(f) for f in known.get(sources[0], ())]] = True
        elif any(source in known for source in sources):
            mask[...] = True
            widened.append(stream.name)
        parts.append(mask.reshape(-1, *mask.shape[-1:]).any(axis=0).ravel() if space.by_variable else mask.ravel())
    note = (
        f"the truth names raw inputs; at the layer every value of {', '.join(widened)} counts as true"
        if widened
        else ""
    )
    return np.concatenate(parts), note
