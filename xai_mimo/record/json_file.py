"""The comparison record as JSON: every figure of a report, and enough to draw it again."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xai_mimo.core.errors import FileProblem, SchemaError
from xai_mimo.record.check import check, from_dict, to_dict
from xai_mimo.record.files import write_text
from xai_mimo.record.rows import Record

# The innermost lists of numbers. A line break within a string is escaped, so "[" and a break only begin a list.
_NUMBERS = re.compile(r'\[\n\s+([^\[\]{}"]+?)\n\s+\]')


def to_json(record: Record | Mapping[str, Any]) -> str:
    """The record as JSON text, in the order of its keys, with every number to its last digit; a list of numbers a line.

    Raises:
        SchemaError: see ``check.from_dict``.
    """
    text = json.dumps(to_dict(check(record)), allow_nan=False, ensure_ascii=False, indent=1)
    return _NUMBERS.sub(lambda numbers: f"[{' '.join(numbers[1].split())}]", text) + "\n"


def write(record: Record | Mapping[str, Any], path: str | Path) -> Path:
    """Write the record to a file.

    Raises:
        SchemaError: see ``check.from_dict``. FileProblem: the file cannot be written.
    """
    return write_text(to_json(record), path)


def from_json(source: str | Path) -> Record:
    """Read a record from JSON text or from a file.

    Args:
        source: JSON text (a string that starts with "{"), or the path of a file.
    Raises:
        FileProblem: the file cannot be read. SchemaError: not JSON, a number is NaN or infinite, a key stands twice in
            one object, or the layout is not the documented one.
    """
    if not isinstance(source, str | os.PathLike):
        raise SchemaError(
            f"a record is read from JSON text or the path of a file; got {type(source).__name__}. Give a path as text."
        )
    is_text = isinstance(source, str) and source.lstrip().startswith("{")
    origin = "the text given" if is_text else str(source)
    text = str(source) if is_text else _read(Path(source))
    try:
        values = json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)
        return from_dict(values, text=text)
    except json.JSONDecodeError as err:
        raise SchemaError(f"{origin} is not JSON: {err}. Give a file written by xai_mimo's to_json.") from err
    except SchemaError as err:
        raise SchemaError(str(err) if is_text else f"{origin}: {err}") from err
    except (ValueError, OverflowError, RecursionError) as err:
        raise SchemaError(
            f"{origin} holds a number too large or lists too deep to be a record ({err}). Give a file written by "
            "xai_mimo's to_json."
        ) from err


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as err:
        raise FileProblem(f"cannot read {path}: {err.strerror or err}. Check the path and its permissions.") from err
    except UnicodeDecodeError as err:
        raise SchemaError(f"{path} is not JSON: it is not text in UTF-8 (byte {err.start}).") from err
    except ValueError as err:  # NUL in a path
        raise FileProblem(f"cannot read {str(path)!r}: {err}. Check the path.") from err


def _refuse(word: str) -> float:
    raise SchemaError(f"the record holds {word}; every number must be finite, or null with a note.")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise SchemaError(
            f"the record names {', '.join(map(repr, twice))} twice in one object; each key may stand once."
        )
    return values
