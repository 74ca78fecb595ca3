"""Entry points that are duplicate or broken, what `adapt` takes, and short forms of streams and heads."""

import importlib.metadata

import numpy as np
import pytest

from xai_mimo.core import plugins
from xai_mimo.core.errors import BadSetting, NotSupported, PluginWarning, UnknownName
from xai_mimo.core.streams import Head

pytestmark = pytest.mark.all_frameworks


def entry(name, value):
    return importlib.metadata.EntryPoint(name, value, "xai_mimo.adapters")


@pytest.fixture
def with_entries(monkeypatch):
    def use(*entries):
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: list(entries))

    return use


def test_ours_wins_over_a_duplicate_and_the_warning_names_the_winner(with_entries):
    with_entries(entry("keras", "other.thing:X"), entry("keras", "xai_mimo_adapters.keras_adapter:KerasAdapter"))
    with pytest.warns(PluginWarning, match=r"xai_mimo_adapters.* is used, other\.thing:X is not"):
        found = plugins.plugins("xai_mimo.adapters")
    assert found["keras"].value.startswith("xai_mimo_adapters")


def test_a_broken_plugin_warns_and_stops_nobody():
    with pytest.warns(PluginWarning, match=r"'bad' \(no_such_module:X\) cannot be loaded.*ModuleNotFoundError"):
        assert plugins.load_plugin(entry("bad", "no_such_module:X")) is None


def test_a_plain_function_is_adapted_by_the_callable_adapter():
    model = plugins.adapt(lambda a: a.sum(axis=1), streams={"a": 3}, heads={"y": Head("y", ())})
    np.testing.assert_allclose(model.predict({"a": np.ones((2, 3))})["y"], [3, 3])
    assert plugins.adapt(model) is model


def test_adapting_a_model_twice_does_not_hash_its_weights():
    class Adapted:
        streams = heads = ()

        def fingerprint(self):
            raise AssertionError("the fingerprint was asked for")

        def predict(self, inputs):
            return {}

    model = Adapted()
    assert plugins.adapt(model) is model


def test_a_model_of_no_known_kind_is_refused_in_words():
    with pytest.raises(NotSupported, match=r"no adapter for .*object.*Wrap the model in a function"):
        plugins.adapt(object())


def test_an_unknown_method_is_refused_with_the_nearest_name():
    with pytest.raises(UnknownName, match="Did you mean 'integrated_gradients'"):
        plugins.method("integrated_gradient")
    with pytest.raises(BadSetting, match="a method is a name or an object"):
        plugins.method(3)
