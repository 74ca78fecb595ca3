"""The one door of the comparison record: values from outside become a ``Record`` here, and a ``Record`` plain values.

Keys beyond the layout are ignored, so that a newer minor addition does not make old reports unreadable; another schema
version is refused.
"""

import functools
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xai_mimo.core.errors import SchemaError
from xai_mimo.record.row import plain
from xai_mimo.record.rows import SCHEMA, Record

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

_SHOWN = 5


def check(record: Record | Mapping[str, Any]) -> Record:
    """A record as it is, or one made of plain values: what every report calls first.

    Raises:
        SchemaError: see ``from_dict``.
    """
    return record if isinstance(record, Record) else from_dict(record)


def to_dict(record: Record) -> dict[str, Any]:
    """The record as JSON knows it: dictionaries and lists, free to be changed."""
    values: dict[str, Any] = plain(record)
    return values


def from_dict(values: Mapping[str, Any], *, text: str | None = None) -> Record:
    """A record of plain values.

    Args:
        values: ``Comparison.to_dict()`` or the same read from JSON.
        text: the JSON that the values were read from, where there is one; else it is made.
    Raises:
        SchemaError: not a mapping; another schema version; a key missing or of the wrong type; a number that is not
            finite; null without a note; a row about a head or method that the record does not declare.
    """
    from pydantic import ValidationError

    if not isinstance(values, Mapping):
        raise SchemaError(
            f"a comparison record is a mapping with the key 'schema'; got {type(values).__name__}. "
            "Pass Comparison.to_dict() or the dictionary read from its JSON file."
        )
    version = values.get("schema")
    if version != SCHEMA:
        raise SchemaError(
            f"this version of xai_mimo reads comparison records of schema {SCHEMA!r}; got {version!r}. "
            "Make the record again, or read it with the version that wrote it."
        )
    try:
        # Checked as JSON: there a list may stand for a tuple and nothing else is converted.
        return _reader().validate_json(json.dumps(values) if text is None else text)
    except TypeError as err:
        raise SchemaError(f"the comparison record holds what JSON cannot: {err}. Pass plain values.") from err
    except ValidationError as err:
        raise SchemaError(_explain(err)) from err


@functools.cache
def _reader() -> "TypeAdapter[Record]":
    # Pydantic takes longer to load than everything else here: only who reads a file waits for it.
    from pydantic import TypeAdapter

    return TypeAdapter(Record)


def _explain(err: "ValidationError") -> str:
    places = {
        ".".join(map(str, e["loc"])) or "record": e["msg"] for e in err.errors(include_url=False, include_input=False)
    }
    lines = [f"{place}: {message}" for place, message in places.items()]
    more = f" (and {len(lines) - _SHOWN} more)" if len(lines) > _SHOWN else ""
    return (
        f"the comparison record does not have the documented layout: {'; '.join(lines[:_SHOWN])}{more}. "
        "The layout is in docs/architecture.md, 'The comparison record'."
    )
