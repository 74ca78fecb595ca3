"""Tests import helpers in one way, ``tests.helpers.<x>``: never from another test, never by another search path."""

import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.all_frameworks

HERE = Path(__file__).parent
FILES = sorted(path for path in HERE.rglob("*.py") if path != Path(__file__))


def side_doors(source):
    """Imports from tests that are not helpers, relative imports, and every use of ``sys.path``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            name = "." * node.level + (node.module or "")
            inside = name == "tests" and {a.name for a in node.names} <= {"helpers"}
        elif isinstance(node, ast.Import):
            name, inside = next((a.name for a in node.names if a.name.split(".")[0] == "tests"), ""), False
        elif isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.path":
            yield f"line {node.lineno}: sys.path"
            continue
        else:
            continue
        if name.split(".")[0] in ("tests", "") and name and not (inside or f"{name}.".startswith("tests.helpers.")):
            yield f"line {node.lineno}: {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HERE)))
def test_helpers_come_in_by_one_door(path):
    assert list(side_doors(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "line",
    [
        "from tests.datasets.test_idx import idx",
        "from tests.conftest import needs",
        "from tests import conftest",
        "import tests.conftest",
        "from .test_idx import idx",
        "from . import test_idx",
        "import sys\nsys.path.insert(0, '.')",
        "def f():\n    from tests.conftest import needs",
    ],
)
def test_a_side_door_is_seen(line):
    assert len(list(side_doors(line))) == 1


@pytest.mark.parametrize(
    "line", ["from tests.helpers.toys import mlp", "from tests.helpers import toys", "import numpy"]
)
def test_the_door_itself_is_open(line):
    assert list(side_doors(line)) == []
