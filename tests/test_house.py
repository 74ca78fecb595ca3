"""The picture of the house shows the house as it stands."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.all_frameworks

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_the_picture_is_what_the_script_draws(tmp_path):
    subprocess.run([sys.executable, str(DOCS / "draw_house.py"), str(tmp_path / "house.svg")], check=True)
    drawn = (tmp_path / "house.svg").read_text(encoding="utf-8")
    assert drawn == (DOCS / "house.svg").read_text(encoding="utf-8"), "draw it again: python docs/draw_house.py"
