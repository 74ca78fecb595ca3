"""The layout of the record in words, made of the row types, so that docs and code cannot drift apart.

``python -m xai_mimo.record.describe`` prints it; with a path, as ``docs/architecture.md``, it is written between the
two marks of that file.
"""

import dataclasses
import inspect
import re
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from xai_mimo.core.errors import SchemaError
from xai_mimo.record.files import write_text
from xai_mimo.record.rows import SCHEMA, Record

BEGIN = "<!-- The record: made by python -m xai_mimo.record.describe, do not edit. -->"
END = "<!-- The record ends. -->"
_WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "anything"}


def describe() -> str:
    """Every row type as a table in Markdown: key, what it holds, what it means."""
    parts = [f"Schema `{SCHEMA}`. A key in *italics* came later, or may be left out: a reader takes a record without."]
    for row in row_types():
        first, _, rest = inspect.cleandoc(row.__doc__ or "").partition("Attributes:")[0].partition("\n")
        meanings = dict(attributes(row))
        hints = get_type_hints(row, include_extras=True)
        lines = [
            f"| {_key(field)} | {_type(hints[field.name])} | {meanings[field.name]} |"
            for field in dataclasses.fields(row)
        ]
        text = " ".join(f"{first} {rest}".split()).replace("``", "`")
        parts.append(
            "\n".join([f"**{row.__name__}**. {text}", "", "| key | holds | meaning |", "|---|---|---|", *lines])
        )
    return "\n\n".join(parts) + "\n"


def row_types() -> list[type]:
    """``Record`` and the types of rows that it is made of, in the order in which they are met."""
    met: dict[type, None] = {}
    waiting: list[type] = [Record]
    while waiting:
        row = waiting.pop(0)
        if row not in met:
            met[row] = None
            waiting += [part for hint in get_type_hints(row).values() for part in _rows_in(hint)]
    return list(met)


def attributes(row: type) -> Iterator[tuple[str, str]]:
    """Each attribute of a row type with what its docstring says of it."""
    _, _, text = inspect.cleandoc(row.__doc__ or "").partition("Attributes:\n")
    for name, meaning in re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", text, flags=re.MULTILINE):
        yield name, " ".join(meaning.split()).replace("|", "\\|").replace("``", "`")


def update(path: str | Path) -> Path:
    """Write the layout between the marks of a file.

    Raises:
        SchemaError: the file does not hold both marks.
    """
    text = Path(path).read_text(encoding="utf-8")
    if not text.find(BEGIN) < text.find(END) or BEGIN not in text:
        raise SchemaError(f"{path} does not hold the marks {BEGIN!r} and {END!r}, in this order. Add them.")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return write_text(f"{before}{BEGIN}\n\n{describe()}\n{END}{after}", path)


def _key(field: "dataclasses.Field[Any]") -> str:
    is_needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    return f"`{field.name}`" if is_needed or field.name == "schema" else f"*`{field.name}`*"


def _rows_in(hint: Any) -> Iterator[type]:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        yield hint
    for part in get_args(hint):
        yield from _rows_in(part)


def _type(hint: Any) -> str:
    """A type in words."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return str(parts[1])
    if origin is Literal:
        return ", ".join(f"`{word}`" for word in parts)
    if origin in (Union, types.UnionType):
        return " or ".join("null" if part is type(None) else _type(part) for part in parts)
    if origin is tuple:
        return f"[{_type(parts[0])}, ...]" if parts[1:] == (...,) else f"[{', '.join(map(_type, parts))}]"
    if origin is not None and issubclass(origin, Mapping):
        return f"{{name: {_type(parts[1])}}}"
    return _WORDS.get(hint, f"**{hint.__name__}**")


def main(paths: Sequence[str]) -> None:
    """Print the layout, or write it into these files."""
    if not paths:
        sys.stdout.write(describe())
    for path in paths:
        update(path)


if __name__ == "__main__":
    main(sys.argv[1:])
