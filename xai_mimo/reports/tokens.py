"""Texts with coloured words: what each method says of each token of a row."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xai_mimo.reports.example_figures import kinds_of_streams, shares_of_row
from xai_mimo.reports.select import signed_labels

Record = Mapping[str, Any]
Row = Mapping[str, Any]

TOKENS_SHOWN = 400
_RUN = 4
_VISIBLE = 0.02


def texts(record: Record, row: Row) -> list[dict[str, Any]]:
    """One entry per stream of tokens: ``{"stream", "limit", "hidden", "lines"}``.

    A token's value is the sum over its further axes (the width of an embedding), in percent of the magnitude of the
    method's whole map of the row; its colour is as strong as that value against ``limit``, the largest of all methods.
    The same word four times or more at the end, as padding is, stands once with its count and its sum.

    Returns:
        ``lines``: ``{"method", "signed", "words": [{"text", "value", "side": "up" | "down" | "weight", "strength"}]}``,
        ``strength`` from 0 to 1.
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
        lines = {method: _gathered(row["words"][stream], v) for method, v in values.items()}
        limit = max((abs(v) for line in lines.values() for _, v in line), default=0.0) or 1.0
        found.append(
            {
                "stream": stream,
                "limit": limit,
                "hidden": max(0, max(len(line) for line in lines.values()) - TOKENS_SHOWN),
                "lines": [
                    {
                        "method": method,
                        "signed": method in signed,
                        "words": [_word(t, v, limit, is_signed=method in signed) for t, v in line[:TOKENS_SHOWN]],
                    }
                    for method, line in lines.items()
                ],
            }
        )
    return found


def _word(text: str, value: float, limit: float, *, is_signed: bool) -> dict[str, Any]:
    strength = abs(value) / limit
    side = ("up" if value >= 0 else "down") if is_signed else "weight"
    return {
        "text": text,
        "value": value,
        "side": side if strength >= _VISIBLE else "",
        "strength": round(strength, 3),
    }


def _gathered(words: Sequence[str], values: np.ndarray[Any, Any]) -> list[tuple[str, float]]:
    run = next((i for i, word in enumerate(reversed(words)) if word != words[-1]), len(words))
    if run < _RUN:
        return [(word, float(v)) for word, v in zip(words, values, strict=True)]
    start = len(words) - run
    kept = [(word, float(v)) for word, v in zip(words[:start], values[:start], strict=True)]
    return [*kept, (f"{words[-1]} × {run}", float(values[start:].sum()))]
