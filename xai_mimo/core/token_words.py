"""Words that stand at the positions of streams, found again where a layer reads what is made of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array, Stream


def words_of(
    streams: Sequence[Stream],
    owners: Mapping[str, Sequence[str]],
    inputs: Arrays,
    here: Arrays,
    vocabulary: Mapping[str, Sequence[str]],
) -> dict[str, Array]:
    """The words that stand at the positions of the streams of a space.

    A stream of a layer (an embedding, say) has the words of the ids that it was made from, if these are its only source
    and it has one place for each. Streams with an axis called "token" and without a vocabulary show their ids.

    Args:
        streams: the model's.
        owners: for each stream of the space, the model's streams that it depends on.
        inputs: the explained rows of the model. here: the same rows in the space.
        vocabulary: checked.
    Returns:
        ``{stream of the space: (sample, token) strings}``.
    """
    texts: dict[str, Any] = {}
    for stream in streams:
        if stream.name in vocabulary:
            texts[stream.name] = np.asarray(vocabulary[stream.name], dtype=object)[inputs[stream.name]]
        elif stream.is_integer and stream.axes == ("token",):
            texts[stream.name] = inputs[stream.name].astype(str).astype(object)
    words = {}
    for name, values in here.items():
        sources = tuple(owners.get(name, (name,)))
        if len(sources) == 1 and sources[0] in texts and values.shape[:2] == texts[sources[0]].shape:
            words[name] = texts[sources[0]]
    return words
