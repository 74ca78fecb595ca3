"""The example of the README is run as it is written."""

from pathlib import Path

import pytest

from tests.helpers.frameworks import needs

pytestmark = [pytest.mark.all_frameworks, needs("shapiq")]


def test_the_example_of_interactions_runs(tmp_path, monkeypatch, capsys):
    text = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    code = text.partition("## What streams do together")[2].partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(compile(code, "README.md", "exec"), found)
    printed = [float(word) for word in capsys.readouterr().out.strip("[]\n ").split()]
    heat, age = (found["x"][name][:, 0] for name in ("sensors", "age"))
    background = {name: rows[:, 0] for name, rows in found["x"].items()}
    assert len(printed) == 3
    assert (tmp_path / "together.png").stat().st_size > 1000
    # of heat * age against the mean of the background rows that were drawn: within what twenty of forty rows scatter
    by_hand = (heat - background["sensors"].mean()) * (age - background["age"].mean())
    assert max(abs(a - b) for a, b in zip(printed, by_hand[:3], strict=True)) < 0.6
