"""Tables and lines of the command line."""

from collections.abc import Sequence
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from xai_mimo.record.rows import Record


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; columns keep their words whole where nobody looks at a terminal."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    drawn = Table(*header, title=title, title_justify="left")
    for row in rows:
        drawn.add_row(*row)
    console.print(drawn)


def verdicts(record: Record) -> None:
    """Print what a comparison concludes, head by head."""
    rows = [[v.head, v.method, v.verdict, v.text] for v in record.verdicts]
    if rows:
        table("Can the maps be trusted?", ["head", "method", "verdict", "why"], rows)


def written(path: Path) -> None:
    """Name a file that was made, whole and on its own line."""
    typer.echo(f"report: {path.resolve()}")
