"""Texts with coloured words: what each method says of each token of a row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from xai_mimo.core.errors import SchemaError
from xai_mimo.record.maps import Example
from xai_mimo.record.rows import Record
from xai_mimo.record.select import signed_labels
from xai_mimo.reports.figures.examples import kinds_of_streams, shares_of_row

Array = np.ndarray[Any, Any]

TOKENS_SHOWN = 400
_RUN = 4
_VISIBLE = 0.02


@dataclass(frozen=True)
class Word:
    """A token as the page shows it.

    Attributes:
        text: the word.
        value: in percent of the magnitude of the method's whole map of the row.
        side: "up" or "down" of a method with a sign, "weight" of one without; "" for next to nothing.
        strength: of its colour, from 0 to 1.
        marked: whether it is known to matter.
    """

    text: str
    value: float
    side: str
    strength: float
    marked: bool


@dataclass(frozen=True)
class Line:
    """What one method says of a text.

    Attributes:
        method: label. signed: whether its maps have a sign.
        words: in order.
    """

    method: str
    signed: bool
    words: tuple[Word, ...]


@dataclass(frozen=True)
class Text:
    """A stream of tokens of one row.

    Attributes:
        stream: name.
        limit: the largest magnitude of any method, where colours end.
        hidden: how many words are not shown.
        marked: whether any word is known to matter.
        lines: one for each method.
    """

    stream: str
    limit: float
    hidden: int
    marked: bool
    lines: tuple[Line, ...]


def texts(record: Record, row: Example) -> list[Text]:
    """The streams of tokens of a row.

    A token's value is the sum over its further axes (the width of an embedding), in percent of the magnitude of the
    method's whole map of the row; its colour is as strong as that value against the largest of all methods. The same
    word four times or more at the end, as padding is, stands once with its count and its sum.
    """
    signed = signed_labels(record)
    shown = []
    for stream, kind in kinds_of_streams(record, row).items():
        if kind != "tokens":
            continue
        words = row.words[stream]
        values = {
            method: _of_words(shares[stream], words, stream)
            for method, shares in shares_of_row(record, row).items()
            if stream in shares
        }
        if not values:
            continue
        marks = _marks(row, stream, len(words))
        tokens = {method: _gathered(words, v, marks) for method, v in values.items()}
        limit = max((abs(t.value) for line in tokens.values() for t in line), default=0.0) or 1.0
        lines = tuple(
            Line(method, method in signed, tuple(_word(t, limit, is_signed=method in signed) for t in line))
            for method, line in ((method, line[:TOKENS_SHOWN]) for method, line in tokens.items())
        )
        hidden = max(0, max(map(len, tokens.values())) - TOKENS_SHOWN)
        shown.append(Text(stream, limit, hidden, any(marks), lines))
    return shown


class _Token(NamedTuple):
    text: str
    value: float
    is_marked: bool


def _of_words(values: Array, words: Sequence[str], stream: str) -> Array:
    """A value for each word, summed over what else the map has."""
    if values.shape[:1] != (len(words),) or not words:
        raise SchemaError(
            f"an example holds a map of shape {values.shape} over the {len(words)} words of the stream '{stream}'."
        )
    return np.asarray(values.reshape(len(words), -1).sum(axis=1))


def _marks(row: Example, stream: str, tokens: int) -> list[bool]:
    """Which tokens the row marks as known to matter."""
    region: Array = np.asarray(row.region.get(stream, np.zeros(tokens)))
    marks: list[bool] = np.any(region.reshape(tokens, -1) > 0, axis=1).tolist()
    return marks


def _word(token: _Token, limit: float, *, is_signed: bool) -> Word:
    strength = abs(token.value) / limit
    side = ("up" if token.value >= 0 else "down") if is_signed else "weight"
    shown_side = side if strength >= _VISIBLE else ""
    return Word(token.text, token.value, shown_side, round(strength, 3), token.is_marked)


def _gathered(words: Sequence[str], values: Array, marks: Sequence[bool]) -> list[_Token]:
    tokens = [_Token(word, float(v), m) for word, v, m in zip(words, values, marks, strict=True)]
    alike = [(t.text, t.is_marked) for t in tokens]
    run = next((i for i, what in enumerate(reversed(alike)) if what != alike[-1]), len(tokens))
    if run < _RUN:
        return tokens
    kept, gathered = tokens[:-run], tokens[-run:]
    return [*kept, _Token(f"{words[-1]} × {run}", sum(t.value for t in gathered), gathered[-1].is_marked)]
