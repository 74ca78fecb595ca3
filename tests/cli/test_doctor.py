"""What the doctor says of packages that are not installed: what needs them, and the command that installs them."""

import importlib.metadata
import importlib.util
import re

import pytest

from xai_mimo.cli import doctor
from xai_mimo.core.packages import EXTRAS

pytestmark = pytest.mark.all_frameworks


@pytest.fixture
def without(monkeypatch):
    """Make packages look as if they were not installed."""

    def without(*packages):
        find = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, *more: None if name in packages else find(name, *more)
        )

    return without


def states():
    return {(group, name): state for group, name, _, state in doctor.plugin_states()}


def test_a_method_whose_package_is_missing_says_which(without):
    without("captum", "shap")
    known = states()
    needs_shap = "needs shap: pip install 'xai-mimo[shap]'"
    assert known["xai_mimo.methods", "captum.IntegratedGradients"] == ("needs captum: pip install 'xai-mimo[captum]'")
    assert known["xai_mimo.methods", "shap.permutation"] == known["xai_mimo.methods", "shap.kernel"] == needs_shap
    assert known["xai_mimo.methods", "shapley"] == "loads"
    assert known["xai_mimo.adapters", "keras"] == "loads"
    assert doctor.usable(doctor.plugin_states())


@pytest.mark.parametrize("group", ["xai_mimo.adapters", "xai_mimo.engines", "xai_mimo.reports"])
def test_a_plugin_of_any_group_may_name_its_packages(group, monkeypatch):
    class Plugin:
        packages = ("json", "xai_mimo_missing")

    class Entry:
        name, value = "mine", "mine:Plugin"

        def load(self):
            return Plugin

    monkeypatch.setattr(doctor, "plugins", lambda asked: {"mine": Entry()} if asked == group else {})
    assert doctor.plugin_states() == [
        (group, "mine", "mine:Plugin", "needs xai_mimo_missing: pip install xai_mimo_missing")
    ]


def test_every_extra_says_what_it_needs(without):
    without("zarr", "torch")
    known = dict(doctor.extra_states())
    assert known["zarr"] == "needs zarr: pip install 'xai-mimo[zarr]'"
    assert known["torch"] == "needs torch: pip install 'xai-mimo[torch]'"
    assert known["shap"] == "installed"


def test_the_extras_are_those_of_the_package():
    brought = {extra: set() for extra in EXTRAS}
    for requirement in importlib.metadata.requires("xai-mimo"):
        name = re.match(r"[\w.-]+", requirement)[0].removesuffix("-cpu")
        extra = re.search(r"extra == ['\"](.+?)['\"]", requirement)
        if extra and extra[1] not in ("all", "dev"):
            brought[extra[1]].add(name)
    assert brought == {extra: set(packages) for extra, packages in EXTRAS.items()}


def test_what_a_bridge_imports_is_what_it_names():
    from xai_mimo_adapters import captum_methods, shap_methods

    assert captum_methods.CaptumIntegratedGradients.packages == ("captum", "torch")
    for kind in (shap_methods.ShapPermutation, shap_methods.ShapKernel):
        assert kind.packages == ("shap",)
