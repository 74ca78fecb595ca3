"""A plugin of somebody else, built and installed: found, used and cited like ours; one that is broken stops nobody."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.frameworks import needs

pytestmark = [pytest.mark.all_frameworks, needs("hatchling")]

SOURCE = Path(__file__).parent / "toy_plugin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that the toy plugin was installed into, by pip, without a network."""
    source, target = tmp_path_factory.mktemp("source") / "toy", tmp_path_factory.mktemp("site")
    shutil.copytree(SOURCE, source)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    run([sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(source)])
    return target


def run(command, path=None, **more):
    environment = {**os.environ, "PYTHONPATH": "" if path is None else os.pathsep.join(map(str, path))}
    done = subprocess.run(command, env=environment, text=True, capture_output=True, timeout=600, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def python(code, *path):
    return run([sys.executable, "-c", code], path)


def distribution(folder, name, points, code=""):
    """An installed distribution, written by hand: its entry points and one module."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)
    (folder / f"{name}.py").write_text(code)
    return folder


def test_each_part_keeps_its_contract(installed, tmp_path):
    test = shutil.copy(SOURCE / "test_toy_plugin.py", tmp_path)
    out = run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)], [installed], cwd=tmp_path)
    assert "6 passed" in out


def test_it_is_used_and_cited_like_ours(installed, tmp_path):
    code = f'''
import warnings
import numpy as np
import xai_mimo as xm
from toy_plugin.model import Scorecard
from xai_mimo.core.errors import UnusedStreamWarning

warnings.simplefilter("error")
warnings.simplefilter("ignore", UnusedStreamWarning)
model = Scorecard({{"risk": {{"blood": np.array([1.0, -2.0])}}, "cost": {{"blood": np.ones(2), "bill": np.ones(1)}}}})
rng = np.random.default_rng(0)
x = {{"blood": rng.standard_normal((20, 2)), "bill": rng.standard_normal((20, 1))}}

assert type(xm.adapt(model)).__name__ == "ToyAdapter"
assert xm.adapt(model, heads={{"danger": "binary", "price": "binary"}}).predict(x)["price"].shape == (20, 1)
loss = xm.explain(model, x, "toy_halving")
assert loss.attrs["method"] == "toy_halving" and float(abs(loss["bill"].sel(head="cost")).max()) > 0
assert "toy_halving" in xm.methods().index and "toy" in xm.metrics().index
result = xm.compare(model, x, ["toy_halving", "gradient"], metrics=["gini", "toy"])
assert set(result.scores.metric) == {{"gini", "toy"}}
entries = result.record.references
assert "On Halving" in entries["toy2025halving"] and "On Sign" in entries["toy2025positive"]
assert "toy2025positive" not in xm.compare(model, x, ["gradient"], metrics=["gini"]).record.references
page = result.report(r"{tmp_path / "page.html"}").read_text(encoding="utf-8")
assert "On Halving" in page and "On Sign" in page and "share of positive values" in page
assert [m.title for m in result.record.metrics] == ["Gini index", "share of positive values"]
text = result.report(r"{tmp_path / "scores.txt"}", format="toy").read_text(encoding="utf-8")
assert "cost toy toy_halving" in text and "toy2025halving" in text
assert xm.compare(model, x, ["gradient"]).scores.metric.eq("toy").any()  # without asking for it
'''
    python(code, installed)


def test_the_doctor_says_that_it_loads(installed):
    out = python("import sys; from xai_mimo.cli.main import main; sys.argv[1:] = ['doctor']; main()", installed)
    parts = (
        "adapter:ToyAdapter",
        "method:Halving",
        "metric:PositiveShare",
        "report:write",
        "engine:Backwards",
        "loader:load",
    )
    for line in (f"toy_plugin.{part}" for part in parts):
        assert any(line in told and "loads" in told for told in out.splitlines()), out


def test_a_broken_plugin_warns_with_its_name_and_stops_nobody(tmp_path):
    points = "[xai_mimo.metrics]\nbroken = broken_plugin:Broken\n[xai_mimo.methods]\nbroken = broken_plugin:Broken\n"
    folder = distribution(tmp_path, "broken_plugin", points, "import a_package_that_is_not_there\n")
    code = """
import warnings
import numpy as np
import xai_mimo as xm
from xai_mimo.core.errors import NotSupported, PluginWarning

f = xm.adapt(lambda u: u.sum(axis=1), streams={"u": 3}, heads={"y": 1})
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    result = xm.compare(f, np.random.default_rng(0).standard_normal((9, 3)), ["shapley", "occlusion"])
    assert "gini" in xm.metrics().index and "broken" not in xm.metrics().index
    assert "shapley" in xm.methods().index and "broken" not in xm.methods().index
texts = [str(w.message) for w in told if issubclass(w.category, PluginWarning)]
assert texts and len(result.scores)
assert all("plugin 'broken' (broken_plugin:Broken) cannot be loaded" in t for t in texts), texts
assert all("ModuleNotFoundError" in t and "a_package_that_is_not_there" in t for t in texts), texts
warnings.simplefilter("ignore", PluginWarning)
try:
    xm.compare(f, np.ones((3, 3)), ["shapley"], metrics=["broken"])
except NotSupported as err:
    assert "'broken' is installed but cannot be loaded" in str(err)
else:
    raise AssertionError("a broken metric was run")
"""
    python(code, folder)


def test_a_duplicate_warns_and_names_the_winner(tmp_path, installed):
    ours = distribution(tmp_path / "ours", "thief", "[xai_mimo.metrics]\ngini = thief:Gini\n", "class Gini: ...\n")
    theirs = distribution(tmp_path / "theirs", "rival", "[xai_mimo.metrics]\ntoy = rival:Toy\n", "class Toy: ...\n")
    code = """
import warnings
import xai_mimo as xm

with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    table = xm.metrics()
texts = " ".join(str(w.message) for w in told)
assert table.loc["gini", "title"] == "Gini index" and table.loc["toy", "title"] == "share of positive values"
assert "are called 'gini': xai_mimo.metrics.complexity:Gini is used, thief:Gini is not" in texts, texts
assert "are called 'toy': toy_plugin.metric:PositiveShare is used, rival:Toy is not" in texts, texts
"""
    python(code, installed, ours, theirs)
