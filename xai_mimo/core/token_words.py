"""Words that stand at the positions of streams, found again where a layer reads what is made of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xai_mimo.core.cut import Cut
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array, Stream


def words_of(
    streams: Sequence[Stream],
    owners: Mapping[str, Sequence[str]],
    inputs: Arrays,
    here: Arrays,
    vocabulary: Mapping[str, Sequence[str]],
    tokens: Mapping[str, Array] | None = None,
) -> dict[str, Array]:
    """The words that stand at the positions of the streams of a space.

    A stream of a layer (an embedding, say) has the words of the ids that it was made from, if these are its only source
    and it has one place for each. Streams with an axis called "token" and without a vocabulary show their ids.

    Args:
        streams: the model's.
        owners: for each stream of the space, the model's streams that it depends on.
        inputs: the explained rows of the model. here: the same rows in the space.
        vocabulary: checked.
        tokens: of streams that came as texts, ``{stream: (sample, token) strings}``.
    Returns:
        ``{stream of the space: (sample, token) strings}``.
    """
    texts: dict[str, Any] = {}
    for stream in streams:
        if tokens is not None and stream.name in tokens:
            texts[stream.name] = tokens[stream.name].astype(object)
        elif stream.name in vocabulary:
            texts[stream.name] = np.asarray(vocabulary[stream.name], dtype=object)[inputs[stream.name]]
        elif stream.is_integer and stream.axes == ("token",):
            texts[stream.name] = inputs[stream.name].astype(str).astype(object)
    words = {}
    for name, values in here.items():
        sources = tuple(owners.get(name, (name,)))
        if len(sources) == 1 and sources[0] in texts and values.shape[:2] == texts[sources[0]].shape:
            words[name] = texts[sources[0]]
    return words


def words_at(cut: Cut, inputs: Arrays, tokens: Mapping[str, Array]) -> dict[str, Array]:
    """The words at the positions of what is explained: tokens of texts, and behind a layer the ids of other streams.

    Args:
        cut: where the model is explained. inputs: all rows of the whole model.
        tokens: of streams that came as texts.
    Returns:
        ``{stream of the part: (row, token) strings}``, of streams that have one position for each.
    """
    if cut.layer is None:
        return {name: own.astype(str) for name, own in tokens.items()}
    ids = [s for s in cut.whole.streams if s.is_integer and len(s.shape) == 1]
    known = {s.name: inputs[s.name].astype(str) for s in ids} | dict(tokens)
    here = cut.enter({name: x[:1] for name, x in inputs.items()})
    words = {}
    for stream in cut.part.streams:
        sources = cut.owners.get(stream.name, ())
        if len(sources) == 1 and sources[0] in known and here[stream.name].shape[1:2] == known[sources[0]].shape[1:]:
            words[stream.name] = known[sources[0]].astype(str)
    return words
