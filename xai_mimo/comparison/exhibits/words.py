"""Words for streams of token ids: checked at the door, and found again where a comparison takes place."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xai_mimo.core.errors import BadSetting, BadValues
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array, Stream, unknown

Vocabulary = Mapping[str, Sequence[str]]
"""``{stream: (word of id 0, word of id 1, ...)}``."""


def check_vocabulary(
    vocabulary: Vocabulary | None, streams: Sequence[Stream], inputs: Arrays
) -> dict[str, tuple[str, ...]]:
    """The words of each stream of ids.

    Args:
        vocabulary: as the user wrote it.
        streams: the model's. inputs: all rows, as ``check_inputs`` returns them.
    Raises:
        UnknownName: no such stream. BadSetting: a stream that does not hold one id per position, or words that are not
            strings. BadValues: an id without a word.
    """
    if vocabulary is None:
        return {}
    if not isinstance(vocabulary, Mapping):
        raise BadSetting(f"vocabulary is a mapping {{stream: words, that of id 0 first}}; got {vocabulary!r}.")
    by_name = {s.name: s for s in streams}
    checked = {}
    for name, words in vocabulary.items():
        if name not in by_name:
            raise unknown(name, by_name, "input stream")
        if not by_name[name].is_integer or len(by_name[name].shape) != 1:
            raise BadSetting(
                f"a vocabulary needs a stream of integer ids of shape (batch, token); stream '{name}' has shape "
                f"{('batch', *by_name[name].shape)} and dtype {by_name[name].dtype}."
            )
        is_list = isinstance(words, Sequence) or getattr(words, "ndim", 0) == 1
        if isinstance(words, str) or not is_list or not all(isinstance(word, str) for word in words):
            raise BadSetting(f"the vocabulary of stream '{name}' must be a sequence of words, the word of id 0 first.")
        low, high = int(inputs[name].min()), int(inputs[name].max())
        if low < 0 or high >= len(words):
            raise BadValues(
                f"stream '{name}' holds the id {low if low < 0 else high}, but its vocabulary has the {len(words)} "
                f"words of ids 0 to {len(words) - 1}. Add the missing words, e.g. one for unknown tokens."
            )
        checked[name] = tuple(words)
    return checked


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
