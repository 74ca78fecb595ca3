"""A report format: a function from the record and a path to the file it wrote."""

from pathlib import Path

from xai_mimo.record.rows import Record


def write(record: Record, path: Path) -> Path:
    """One line a score."""
    lines = [f"{s.head} {s.metric} {s.method} {s.estimate}" for s in record.scores]
    path.write_text("\n".join([record.title, *lines, *record.references]), encoding="utf-8")
    return path
