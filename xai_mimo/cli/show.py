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


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; columns keep their words whole where nobody looks at a terminal."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    columns = [Column(Text(printable(name))) for name in header]
    drawn = Table(*columns, title=Text(printable(title), style="table.title"), title_justify="left")
    for row in rows:
        drawn.add_row(*(Text(printable(cell)) for cell in row))
    console.print(drawn)


def verdicts(record: Record) -> None:
    """Print what a comparison concludes, head by head."""
    rows = [[v.head, v.method, v.verdict, v.text] for v in record.verdicts]
    if rows:
        table("Can the maps be trusted?", ["head", "method", "verdict", "why"], rows)


def line(text: str) -> None:
    """Print one line on stdout; line ends within the text are blanks."""
    typer.echo(printable(text))


def written(path: Path) -> None:
    """Name a file that was made, whole and on its own line."""
    line(f"report: {path.resolve()}")
