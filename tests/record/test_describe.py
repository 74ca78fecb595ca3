"""The record's layout in docs/architecture.md is the one of its types."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from xai_mimo.comparison.settings import Settings
from xai_mimo.core.errors import SchemaError
from xai_mimo.record import describe, maps, results, rows, subject
from xai_mimo.record.row import NotedRow, Picture, Row

pytestmark = pytest.mark.all_frameworks

ARCHITECTURE = Path(__file__).parents[2] / "docs" / "architecture.md"


def test_the_documented_layout_is_that_of_the_types():
    text = ARCHITECTURE.read_text(encoding="utf-8")
    section = text.partition(describe.BEGIN)[2].partition(describe.END)[0]
    assert section.strip() == describe.describe().strip(), (
        "the rows of the record have changed: run python -m xai_mimo.record.describe docs/architecture.md"
    )


def test_every_row_type_is_described():
    described = set(describe.row_types())
    public = {
        row
        for module in (maps, results, rows, subject)
        for row in vars(module).values()
        if dataclasses.is_dataclass(row) and row not in (NotedRow, Picture, Row)
    }
    assert described == public


def test_a_table_says_what_a_key_holds_what_may_be_missing_and_what_it_means():
    text = describe.describe()
    assert "| `seeds` | whole number of at least 0 | how many. |" in text
    assert "| *`differences`* | [**Difference**, ...] | between methods, and from the controls. |" in text
    assert "| `kind` | `deletion`, `insertion` | deletion or insertion. |" in text
    assert "| `relative_quantiles` | {name: number} |" in text
    assert "| `mean` | nested lists of numbers or null |" in text


def test_a_file_is_changed_between_its_marks_alone(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(f"before\n{describe.BEGIN}\nstale words\n{describe.END}\nafter\n")
    describe.update(path)
    text = path.read_text()
    assert text.startswith(f"before\n{describe.BEGIN}\n\nSchema `xai_mimo.comparison/1`")
    assert text.endswith(f"{describe.END}\nafter\n")
    assert "stale words" not in text
    path.write_text("nothing here")
    with pytest.raises(SchemaError, match="does not hold the marks"):
        describe.update(path)


def test_the_command_prints_the_layout_or_writes_it_into_a_file(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(f"{describe.BEGIN}\nstale words\n{describe.END}\n")
    command = describe.BEGIN.partition("made by ")[2].partition(",")[0].split()
    assert command[0] == "python"
    printed, written = (
        subprocess.run([sys.executable, *command[1:], *paths], capture_output=True, check=True, encoding="utf-8").stdout
        for paths in ([], [str(path)])
    )
    assert (printed, written) == (describe.describe(), "")
    assert describe.describe() in path.read_text(encoding="utf-8")


def test_the_settings_of_a_record_are_those_of_the_class_it_names():
    assert f"`{Settings.__module__}.{Settings.__qualname__}`" in describe.describe()
