"""Texts through a tokenizer: the ids that a model reads, the tokens that a reader knows, and the words they are of.

A tokenizer is a callable ``texts -> ids``, which may also have ``convert_ids_to_tokens`` or ``decode``, and
``pad_token_id``; a tokenizer of ``transformers``; or one of ``tokenizers``. Nothing is imported for it.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from xai_mimo.core.errors import BadSetting, BadValues, NotSupported, ShapeMismatch
from xai_mimo.core.model import Model
from xai_mimo.core.named_players import NO_WORDS, WORDS
from xai_mimo.core.streams import Array, Stream, unknown

MASK = "attention_mask"
"""A stream that says which places hold a token; filled where a model has it and the rows do not."""

_PADS = ("[PAD]", "<pad>")


@dataclass(frozen=True)
class Texts:
    """Texts of several rows.

    Attributes:
        ids: ``(row, token)`` whole numbers.
        tokens: ``(row, token)``, "" where a row has no more.
        word_of: ``(row, token)``, the number of the word within its row; -1 for what is of none (padding, marks of
            begin and end).
    """

    ids: Array
    tokens: Array
    word_of: Array

    @property
    def labels(self) -> Array:
        """The word of each place as a player: what is of no word, of any row, is one player, the last."""
        return np.where(self.word_of < 0, self.word_of.max() + 1, self.word_of)


class _Row(NamedTuple):
    """One text, as ``Texts`` has it; ``there`` marks what is no padding of the tokenizer's own."""

    ids: Sequence[int]
    tokens: Sequence[str]
    words: Sequence[int]
    there: Sequence[int]

    @staticmethod
    def of(ids: Sequence[int], tokens: Sequence[str], words: Sequence[int | None], there: Sequence[int]) -> "_Row":
        return _Row(
            ids,
            [token if is_there else "" for token, is_there in zip(tokens, there, strict=True)],
            [-1 if word is None or not is_there else word for word, is_there in zip(words, there, strict=True)],
            there,
        )


def read_texts(texts: Sequence[str], tokenizer: Any, stream: str, width: int | None = None) -> Texts:
    """Texts as ids, filled up to one length, at the side at which the tokenizer fills them.

    Args:
        texts: one for each row. tokenizer: see above. stream: that the ids are for, for error texts.
        width: tokens that a row must have; None for those of the longest row.
    Raises:
        NotSupported: no tokenizer. BadValues: it gives something else than ids for each text.
        ShapeMismatch: a text has more tokens than the stream takes. BadSetting: rows are to be padded, and the
            tokenizer does not say with what.
    """
    rows = list(_rows(list(texts), tokenizer, stream))
    if len(rows) != len(texts):
        raise BadValues(f"the tokenizer of stream '{stream}' gives {len(rows)} rows of ids for {len(texts)} texts.")
    lengths = [len(row.ids) for row in rows]
    longest = max(range(len(rows)), key=lambda i: lengths[i])
    width = lengths[longest] if width is None else width
    if lengths[longest] > width:
        raise ShapeMismatch(
            f"stream '{stream}' takes {width} tokens, and the text of row {longest} has {lengths[longest]}. Let the "
            "tokenizer cut it, e.g. tokenizer=lambda texts: tok(texts, truncation=True, max_length="
            f"{width})['input_ids'], or shorten the text."
        )
    pad = _pad(tokenizer, rows) if min(lengths) < width else 0
    if pad is None:
        raise BadSetting(
            f"the texts of stream '{stream}' have {min(lengths)} to {width} tokens, and the tokenizer does not say how "
            "shorter ones are filled. Give it a pad_token_id, or let it pad."
        )
    from_left = getattr(tokenizer, "padding_side", "") == "left" or any(row.there and not row.there[0] for row in rows)

    def filled(values: Sequence[Any], fill: Any) -> list[Any]:
        more = [fill] * (width - len(values))
        return [*more, *values] if from_left else [*values, *more]

    return Texts(
        np.array([filled(row.ids, pad) for row in rows], dtype=np.int64),
        np.array([filled(row.tokens, "") for row in rows], dtype=str),
        np.array([filled(row.words, -1) for row in rows], dtype=np.int64),
    )


def _rows(texts: list[str], tokenizer: Any, stream: str) -> Iterator[_Row]:
    if callable(getattr(tokenizer, "encode_batch", None)):
        for encoding in tokenizer.encode_batch(texts):
            yield _Row.of(encoding.ids, encoding.tokens, encoding.word_ids, encoding.attention_mask)
        return
    if not callable(tokenizer):
        raise NotSupported(
            f"the tokenizer of stream '{stream}' is a {type(tokenizer).__name__}; expected a callable texts -> ids, or "
            "a tokenizer of transformers or tokenizers."
        )
    answer = tokenizer(texts)
    ids = answer["input_ids"] if isinstance(answer, Mapping) or hasattr(answer, "input_ids") else answer
    masks = answer.get(MASK) if isinstance(answer, Mapping) else None
    words = getattr(answer, "word_ids", None) if getattr(answer, "is_fast", False) else None
    for i, row in enumerate(_lists(ids, stream)):
        of_row = list(words(i)) if callable(words) else list(range(len(row)))
        there = [1] * len(row) if masks is None else [int(m) for m in masks[i]]
        yield _Row.of(row, _tokens(row, tokenizer), of_row, there)


def _lists(ids: Any, stream: str) -> list[list[int]]:
    rows = [np.asarray(row) for row in ids]
    for row in rows:
        if row.ndim != 1 or (row.size and row.dtype.kind not in "iu"):
            raise BadValues(
                f"the tokenizer of stream '{stream}' gives {row.dtype} of shape {row.shape} for a text; expected whole "
                "numbers, one for each token."
            )
    return [[int(i) for i in row] for row in rows]


def _tokens(ids: list[int], tokenizer: Any) -> list[str]:
    """The tokens of ids in the tokenizer's words, else the ids."""
    if callable(convert := getattr(tokenizer, "convert_ids_to_tokens", None)):
        return [str(token) for token in convert(ids)]
    if callable(decode := getattr(tokenizer, "decode", None)):
        return [str(decode([i])) for i in ids]
    return [str(i) for i in ids]


def _pad(tokenizer: Any, rows: Sequence[_Row]) -> int | None:
    """The id that fills a row: of the tokenizer's own padding, else the one that it tells."""
    told = next((i for row in rows for i, there in zip(row.ids, row.there, strict=True) if not there), None)
    told = getattr(tokenizer, "pad_token_id", None) if told is None else told
    padding = getattr(tokenizer, "padding", None)
    if told is None and isinstance(padding, Mapping):
        told = padding.get("pad_id")
    find = getattr(tokenizer, "token_to_id", None)
    if told is None and callable(find):
        told = next((i for word in _PADS if (i := find(word)) is not None), None)
    return None if told is None else int(told)


def with_tokenizer(model: Model, tokenizer: Any) -> Model:
    """The same model, whose streams of ids may be given as texts.

    Args:
        model: adapted; it stays as it is.
        tokenizer: of its one stream of ids, or ``{stream: tokenizer}``.
    Raises:
        UnknownName: no such stream. BadSetting: not one stream that holds ids, or one that holds none.
    """
    named = dict(tokenizer) if isinstance(tokenizer, Mapping) else {_stream_of_ids(model).name: tokenizer}
    streams = {stream.name: stream for stream in model.streams}
    for name in named:
        if name not in streams:
            raise unknown(name, streams, "input stream for a tokenizer")
        if not _holds_ids(streams[name]):
            raise BadSetting(
                f"a tokenizer gives whole numbers (batch, token), and stream '{name}' holds {streams[name].dtype} of "
                f"shape {('batch', *streams[name].shape)}."
            )
    reading = copy.copy(model)
    object.__setattr__(reading, "tokenizers", named)
    return reading


def _stream_of_ids(model: Model) -> Stream:
    ids = [stream for stream in model.streams if _holds_ids(stream) and stream.name != MASK and not stream.held]
    if len(ids) != 1:
        raise BadSetting(
            f"the model has {len(ids)} streams of whole numbers (batch, token): "
            f"{', '.join(s.name for s in ids) or 'none'}. Say which one the tokenizer is for, "
            "tokenizer={'ids': tokenizer}."
        )
    return ids[0]


def _holds_ids(stream: Stream) -> bool:
    return stream.is_integer and len(stream.shape) == 1


def tokenised(x: Any, model: Model, like: Mapping[str, Texts] | None = None) -> tuple[Any, dict[str, Texts]]:
    """Rows with ids in the place of texts, and what these were.

    Args:
        x: rows as the user has them; what holds no texts stays as it is.
        model: adapted, perhaps ``with_tokenizer``.
        like: texts whose length others must have, as those of a background.
    """
    tokenizers: Mapping[str, Any] = getattr(model, "tokenizers", {})
    if not tokenizers or x is None or isinstance(x, str):
        return x, {}
    names = [stream.name for stream in model.streams]
    if not isinstance(x, Mapping):
        if _are_texts(x) and len(names) == 1:
            x = {names[0]: x}
        elif isinstance(x, list | tuple) and len(x) == len(names):
            x = dict(zip(names, x, strict=True))
        else:
            return x, {}
    widths = {s.name: s.shape[0] for s in model.streams if s.name in tokenizers}
    widths |= {name: texts.ids.shape[1] for name, texts in (like or {}).items()}
    texts = {
        name: read_texts([str(t) for t in values], tokenizers[name], name, widths[name])
        for name, values in x.items()
        if name in tokenizers and _are_texts(values)
    }
    x = {**x, **{name: own.ids for name, own in texts.items()}}
    if MASK in names and MASK not in x and len(texts) == 1:
        x[MASK] = (next(iter(texts.values())).tokens != "").astype(np.int64)
    return x, texts


def tokenised_like(like: Any, tokenizer: Any) -> Any:
    """Rows that a model is to be read off, with ids in the place of texts."""
    if isinstance(like, Mapping):
        found = {}
        for name, values in like.items():
            own = tokenizer.get(name) if isinstance(tokenizer, Mapping) else tokenizer
            is_text = own is not None and _are_texts(values)
            found[name] = read_texts([str(t) for t in values], own, name).ids if is_text else values
        return found
    if _are_texts(like) and not isinstance(tokenizer, Mapping):
        return read_texts([str(t) for t in like], tokenizer, "input").ids
    return like


def _are_texts(values: Any) -> bool:
    """Whether these are texts, one for each row."""
    if isinstance(values, str | Mapping) or not hasattr(values, "__len__") or not len(values):
        return False
    if getattr(values, "ndim", 1) != 1 or hasattr(values, "columns"):
        return False
    return all(isinstance(value, str) for value in values)


def with_words(method: Any, texts: Mapping[str, Texts]) -> Any:
    """A method whose players are words, with the words of these texts; another one as it is.

    Raises:
        BadSetting: there are no texts that words could be of.
    """
    players = getattr(method, "players", None)
    if _is_words(players):
        if not texts:
            raise BadSetting(f"players='{WORDS}': {NO_WORDS}")
        return replace(method, players={name: own.labels for name, own in texts.items()})
    if isinstance(players, Mapping) and any(_is_words(part) for part in players.values()):
        named = {name: _words(name, texts) if _is_words(part) else part for name, part in players.items()}
        return replace(method, players=named)
    return method


def _is_words(part: Any) -> bool:
    return isinstance(part, str) and part == WORDS


def _words(stream: str, texts: Mapping[str, Texts]) -> Array:
    if stream not in texts:
        raise BadSetting(f"players={{'{stream}': '{WORDS}'}}: {NO_WORDS}")
    return texts[stream].labels
