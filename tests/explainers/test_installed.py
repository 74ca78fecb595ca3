"""The table of installed methods, and what each says that it needs."""

import importlib.util

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers import toys
from xai_mimo.core.errors import NotSupported, PluginWarning
from xai_mimo.core.method import needs_of
from xai_mimo.core.model import Differentiable, Fitted, Hookable, Interceptable, Splittable
from xai_mimo.core.plugins import plugins

pytestmark = pytest.mark.all_frameworks


def test_every_method_is_listed_with_what_it_needs():
    table = xm.methods()
    assert set(table.index) == set(plugins("xai_mimo.methods"))
    assert table.loc["integrated_gradients", "needs"] == "gradients"
    assert table.loc["shapley", "needs"] == ""
    assert table.loc["interception", "needs"] == "layers that explain themselves"
    assert "budget=2048" in table.loc["shapley", "settings"]
    assert table.about.str.endswith(".").all()


def test_a_model_without_what_is_needed_is_refused_and_one_is_served():
    """What the table says is true: a function, of which predictions alone are known, serves those that need nothing."""
    known = toys.mlp()
    function = xm.adapt(lambda u, v: known.predict({"u": u, "v": v}), streams=known.streams, heads=known.heads)
    for name, entry in plugins("xai_mimo.methods").items():
        kind = entry.load()
        if needs_of(kind):
            with pytest.raises(NotSupported):
                xm.explain(function, toys.rows(known), name)
            assert set(needs_of(kind)) <= {Differentiable, Fitted, Hookable, Interceptable, Splittable}
        elif not name.startswith("shap."):
            xm.explain(function, toys.rows(known), name)


def test_a_plugin_without_the_facts_of_a_method_warns_and_stops_nobody(monkeypatch):
    ours = plugins("xai_mimo.methods")

    class Broken:
        name, value = "broken", "somebody.methods:Broken"

        def load(self):
            return object

    monkeypatch.setattr("xai_mimo.explainers.installed.plugins", lambda group: {**ours, "broken": Broken()})
    with pytest.warns(PluginWarning, match=r"'broken'.*reference"):
        assert set(xm.methods().index) == set(ours)


def test_the_table_of_one_model_says_why_a_method_does_not_explain_it():
    x = np.random.default_rng(0).normal(size=(6, 3))
    table = xm.methods(lambda rows: rows[:, 0] * rows[:, 1], like=x)
    assert next(iter(table.columns)) == "why_not"
    assert table.why_not["shapley"] == table.why_not["occlusion"] == ""
    assert table.why_not["gradient"] == (
        "needs gradients, and it has none. Use 'shapley' or 'occlusion', which only ask for predictions."
    )
    assert table.why_not["grad_cam"].count("needs ") == 2
    with pytest.raises(NotSupported, match=r"needs gradients, and .* has none\. Use 'shapley' or 'occlusion'"):
        xm.explain(lambda rows: rows[:, 0], x, "gradient")
    differentiable = toys.mlp()
    assert xm.methods(differentiable).why_not["gradient"] == ""
    assert "why_not" not in xm.methods()


def test_a_package_that_is_missing_is_a_reason(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "captum" else find(name, *more)
    )
    why = xm.methods(lambda rows: rows[:, 0], like=np.ones((3, 2))).why_not["captum.IntegratedGradients"]
    assert why.startswith("needs captum: pip install 'xai-mimo[captum]'. needs gradients, and it has none.")
