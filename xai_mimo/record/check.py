"""The comparison record's layout, checked at the door; behind it every report trusts its values.

The layout is the one of docs/architecture.md, "The comparison record". Keys beyond it are kept and ignored, so that a
newer minor addition does not make old reports unreadable; another schema version is refused.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from xai_mimo.core.errors import SchemaError
from xai_mimo.record.rows import Record

SCHEMA = "xai_mimo.comparison/1"
_SHOWN = 5


def check(record: Any) -> dict[str, Any]:
    """Check a comparison record and hand it back unchanged.

    Args:
        record: ``Comparison.to_dict()`` or the same read from JSON.
    Raises:
        SchemaError: not a mapping; another schema version; a key missing or of the wrong type; a number that is not
            finite; null without a note; a row about a head or method that the record does not declare.
    """
    if not isinstance(record, Mapping):
        raise SchemaError(
            f"a comparison record is a mapping with the key 'schema'; got {type(record).__name__}. "
            "Pass Comparison.to_dict() or the dictionary read from its JSON file."
        )
    version = record.get("schema")
    if version != SCHEMA:
        raise SchemaError(
            f"this version of xai_mimo reads comparison records of schema {SCHEMA!r}; got {version!r}. "
            "Make the record again, or read it with the version that wrote it."
        )
    try:
        Record.model_validate(record)
    except ValidationError as err:
        raise SchemaError(_explain(err)) from err
    plain = dict(record)
    _check_names(plain)
    return plain


def _explain(err: ValidationError) -> str:
    # A union reports one error per alternative: one line per place in the record is enough.
    places = {
        ".".join(str(part) for part in e["loc"] if not str(part).startswith(("list[", "constrained-", "float", "str")))
        or "record": e["msg"]
        for e in reversed(err.errors(include_url=False, include_input=False))
    }
    lines = [f"{place}: {message}" for place, message in reversed(places.items())]
    more = f" (and {len(lines) - _SHOWN} more)" if len(lines) > _SHOWN else ""
    return (
        f"the comparison record does not have the documented layout: {'; '.join(lines[:_SHOWN])}{more}. "
        "The layout is in docs/architecture.md, 'The comparison record'."
    )


def _check_names(record: Mapping[str, Any]) -> None:
    heads = _unique((t["name"] for t in record["targets"]), "targets")
    methods = _unique((m["label"] for m in record["methods"]), "methods")
    for table in ("scores", "shares", "features", "curves", "gaps", "examples", "verdicts", "stream_maps"):
        _check_known(record.get(table, ()), "head", heads, table)
    for table in ("shares", "features", "gaps", "verdicts", "stream_maps"):
        _check_known(record.get(table, ()), "method", methods, table)
    for table in ("scores", "curves"):
        _check_known(record[table], "method", [*methods, "random"], table)


def _unique(names: Iterable[str], table: str) -> list[str]:
    found = list(names)
    twice = sorted({name for name in found if found.count(name) > 1})
    if twice:
        raise SchemaError(f"the record's {table} must have different names; given more than once: {', '.join(twice)}.")
    return found


def _check_known(rows: Sequence[Mapping[str, Any]], key: str, known: Sequence[str], table: str) -> None:
    for i, row in enumerate(rows):
        if row[key] not in known:
            raise SchemaError(
                f"{table}[{i}] is about {key} {row[key]!r}, which the record does not declare; known: "
                f"{', '.join(known)}."
            )
