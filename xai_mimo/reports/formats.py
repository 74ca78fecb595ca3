"""The kinds of file a record can be written as, found by entry point: ours by the same door as those of others.

A format is a function ``(record, path) -> Path`` under the group ``xai_mimo.reports``; it gets a checked ``Record``.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from xai_mimo.core.errors import BadSetting, NotSupported
from xai_mimo.core.paths import as_path
from xai_mimo.core.plugins import load_plugin, plugins
from xai_mimo.core.streams import unknown
from xai_mimo.record.check import check
from xai_mimo.record.rows import Record

Write = Callable[[Record, Path], Path]
_SUFFIXES = {"latex": "tex"}


def write(record: Record | Mapping[str, Any], path: str | Path, format: str | None = None) -> Path:
    """Write a report of the record.

    Args:
        record: the comparison record.
        path: of the file; its folder must be there.
        format: "html", "latex", "json", or the name of a plugin; None follows the end of the path, ".tex" or ".json",
            and is HTML where no format is called so.
    Raises:
        UnknownName: no such format; those that are installed are named. NotSupported: it cannot be loaded.
        BadSetting: the path ends as that of another format.
        SchemaError: see ``record.check``. FileProblem: the file cannot be written.
    """
    path = as_path(path)
    by_end = _of_end(path)
    writer = find(format or by_end or "html")
    if format is not None and by_end not in (None, format):
        raise BadSetting(
            f"format '{format}' does not fit {path}: '{path.suffix}' is the end of format '{by_end}'. Let the path "
            f"end in '.{_SUFFIXES.get(format, format)}', or leave the format out."
        )
    return writer(check(record), path)


def _of_end(path: Path) -> str | None:
    """The installed format whose files end so, as ``file_name`` has it."""
    end = path.suffix[1:].lower()
    return next((name for name in plugins("xai_mimo.reports") if end == _SUFFIXES.get(name, name)), None)


def find(format: str) -> Write:
    """The function that writes a format.

    Raises:
        UnknownName, NotSupported: see ``write``.
    """
    installed = plugins("xai_mimo.reports")
    if format not in installed:
        raise unknown(format, installed, "report format")
    writer: Write | None = load_plugin(installed[format])
    if writer is None:
        raise NotSupported(f"report format '{format}' is installed but cannot be loaded; see the warning above.")
    return writer


def file_name(format: str) -> str:
    """What the command line calls a report of this format: "report.html", "report.tex"."""
    return f"report.{_SUFFIXES.get(format, format)}"
