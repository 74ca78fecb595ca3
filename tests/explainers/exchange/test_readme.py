"""The example of the README is run as it is written."""

from pathlib import Path

import matplotlib
import pytest

from tests.helpers.frameworks import imported

matplotlib.use("Agg")
imported("shap")
pytestmark = [pytest.mark.all_frameworks, pytest.mark.filterwarnings("ignore:The NumPy global RNG:FutureWarning")]


def test_the_example_of_maps_from_elsewhere_runs(capsys: pytest.CaptureFixture[str]) -> None:
    from matplotlib import pyplot as plt

    text = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    code = text.partition("## Maps from elsewhere")[2].partition("```python\n")[2].partition("```")[0]
    exec(compile(code, "README.md", "exec"), {})
    plt.close("all")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["wear", "mine", *["supported"] * 4] in lines
    assert ["wear", "ours", *["supported"] * 4] in lines
