"""Words for streams of token ids, checked at the door."""

from collections.abc import Mapping, Sequence

from xai_mimo.core.errors import BadSetting, BadValues
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Stream, unknown

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
