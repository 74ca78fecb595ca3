"""Texts with coloured words: what each method says of each token of a row."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from xai_mimo.record.select import signed_labels
from xai_mimo.reports.figures.examples import kinds_of_streams, shares_of_row

Record = Mapping[str, Any]
Row = Mapping[str, Any]
Array = np.ndarray[Any, Any]

TOKENS_SHOWN = 400
_RUN = 4
_VISIBLE = 0.02


def texts(record: Record, row: Row) -> list[dict[str, Any]]:
    """One entry per stream of tokens: ``{"stream", "limit", "hidden", "marked", "lines"}``.

    A token's value is the sum over its further axes (the width of an embedding), in percent of the magnitude of the
    method's whole map of the row; its colour is as strong as that value against ``limit``, the largest of all methods.
    The same word four times or more at the end, as padding is, stands once with its count and its sum.

    Returns:
        ``lines``: ``{"method", "signed", "words": [{"text", "value", "side": "up" | "down" | "weight", "strength",
        "marked"}]}``, ``strength`` from 0 to 1, ``marked`` whether the token is known to matter; ``marked`` of the text
        whether any is.
    """
    signed = signed_labels(record)
    found = []
    for stream, kind in kinds_of_streams(record, row).items():
        if kind != "tokens":
            continue
        values = {
            method: shares[stream].reshape(len(row["words"][stream]), -1).sum(axis=1)
            for method, shares in shares_of_row(record, row).items()
            if stream in shares
        }
        if not values:
            continue
        words = row["words"][stream]
        marks = _marks(row, stream, len(words))
        lines = {method: _gathered(words, v, marks) for method, v in values.items()}
        limit = max((abs(t.value) for line in lines.values() for t in line), default=0.0) or 1.0
        found.append(
            {
                "stream": stream,
                "limit": limit,
                "hidden": max(0, max(len(line) for line in lines.values()) - TOKENS_SHOWN),
                "marked": any(marks),
                "lines": [
                    {
                        "method": method,
                        "signed": method in signed,
                        "words": [_word(t, limit, is_signed=method in signed) for t in line[:TOKENS_SHOWN]],
                    }
                    for method, line in lines.items()
                ],
            }
        )
    return found


class _Token(NamedTuple):
    text: str
    value: float
    is_marked: bool


def _marks(row: Row, stream: str, tokens: int) -> list[bool]:
    """Which tokens the row marks as known to matter."""
    given: Array = np.asarray(row.get("region", {}).get(stream, np.zeros(tokens)))
    found: list[bool] = np.any(given.reshape(tokens, -1) > 0, axis=1).tolist()
    return found


def _word(token: _Token, limit: float, *, is_signed: bool) -> dict[str, Any]:
    strength = abs(token.value) / limit
    side = ("up" if token.value >= 0 else "down") if is_signed else "weight"
    return {
        "text": token.text,
        "value": token.value,
        "side": side if strength >= _VISIBLE else "",
        "strength": round(strength, 3),
        "marked": token.is_marked,
    }


def _gathered(words: Sequence[str], values: Array, marks: Sequence[bool]) -> list[_Token]:
    tokens = [_Token(word, float(v), m) for word, v, m in zip(words, values, marks, strict=True)]
    alike = [(t.text, t.is_marked) for t in tokens]
    run = next((i for i, what in enumerate(reversed(alike)) if what != alike[-1]), len(tokens))
    if run < _RUN:
        return tokens
    kept, gathered = tokens[:-run], tokens[-run:]
    return [*kept, _Token(f"{words[-1]} × {run}", sum(t.value for t in gathered), gathered[-1].is_marked)]
