"""The table of installed methods, and what each says that it needs."""

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
