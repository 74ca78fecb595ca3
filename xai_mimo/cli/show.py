"""Tables and lines of the command line.

Names and texts may come from anyone: rich gets them as ``Text``, which it does not read as markup, without control
characters.
"""

from collections.abc import Sequence
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from xai_mimo.core.terminal import printable
from xai_mimo.record.rows import Record
from xai_mimo.reports.verdicts import have_uses, legend, uses

_QUESTION = "Can the maps be trusted?"


Cell = str | tuple[str, ...]


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Print a table; columns keep their words whole where nobody looks at a terminal.

    Args:
        title, header: above it, and above each column.
        rows: cells; a tuple stands in lines of its own.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    columns = [Column(Text(printable(name))) for name in header]
    has_lines = any(isinstance(cell, tuple) for row in rows for cell in row)
    heading = Text(printable(title), style="table.title")
    drawn = Table(*columns, title=heading, title_justify="left", show_lines=has_lines)
    for row in rows:
        drawn.add_row(*(_text(cell) for cell in row))
    console.print(drawn)


def _text(cell: Cell) -> Text:
    lines = (cell,) if isinstance(cell, str) else cell
    return Text("\n".join(printable(part) for part in lines))


def verdicts(record: Record) -> None:
    """Print what a comparison concludes, head by head, and for which use of each map."""
    rows: list[list[Cell]] = [[v.head, v.method, v.verdict, v.text] for v in record.verdicts]
    if not rows:
        return
    if not have_uses(record.verdicts):
        table(_QUESTION, ["head", "method", "verdict", "why"], rows)
        return
    for row, verdict in zip(rows, record.verdicts, strict=True):
        row.insert(3, tuple(use.text for use in uses(verdict)))
    table(_QUESTION, ["head", "method", "verdict", "for each use", "why"], rows)
    line(legend())


def line(text: str) -> None:
    """Print one line on stdout; line ends within the text are blanks."""
    typer.echo(printable(text))


def written(path: Path) -> None:
    """Name a file that was made, whole and on its own line."""
    line(f"report: {path.resolve()}")
