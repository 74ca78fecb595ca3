"""Entry points that are duplicate or broken, what `adapt` takes, and short forms of streams and heads."""

import importlib.metadata
from collections import OrderedDict
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import xarray as xr

from tests.helpers.frameworks import imported
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


def test_what_is_installed_meanwhile_is_seen(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    assert "decimal" not in plugins.plugins("xai_mimo.adapters")
    made = tmp_path / "theirs-1.0.dist-info"
    made.mkdir()
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (made / "entry_points.txt").write_text("[xai_mimo.adapters]\ndecimal = theirs:Adapter\n")
    assert plugins.plugins("xai_mimo.adapters")["decimal"].value == "theirs:Adapter"


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
    with pytest.raises(NotSupported, match=r"no adapter for object; .*keras, .*functions of arrays\. Wrap the model"):
        plugins.adapt(object())


def model_of(framework, **members):
    """A callable model whose class is derived from one of a framework, as a user's own network is."""
    library = type("Module", (), {"__module__": f"{framework}.nn"})
    return type("Net", (library,), {"__module__": "__main__", "__call__": lambda self, x: x, **members})()


@pytest.mark.parametrize(
    "framework",
    ["torch", "jax", "flax", "equinox", "tensorflow", "onnxruntime", "sklearn", "xgboost", "lightgbm", "catboost"],
)
def test_a_callable_of_a_framework_is_no_function_of_arrays(framework, monkeypatch):
    monkeypatch.setattr(plugins, "plugins", lambda group: {"builtins": BUILTINS})
    for declared in ({}, {"streams": {"a": 3}, "heads": {"y": 1}}):
        with pytest.raises(NotSupported, match=rf"__main__\.Net is a model of {framework}, for which no adapter loads"):
            plugins.adapt(model_of(framework), **declared)


BUILTINS = entry("builtins", "xai_mimo_adapters.callable_adapter:CallableAdapter")


def test_an_adapter_for_the_framework_is_used_where_there_is_one(monkeypatch):
    adapter = entry("torch", "collections:OrderedDict")  # takes any keywords
    monkeypatch.setattr(plugins, "plugins", lambda group: {"builtins": BUILTINS, "torch": adapter})
    monkeypatch.setattr(plugins, "load_plugin", lambda entry: lambda model, **options: (entry.name, options["streams"]))
    assert plugins.adapt(model_of("torch"), streams={"a": 3}) == ("torch", {"a": 3})


def test_a_broken_adapter_of_a_framework_gives_its_models_to_nobody(monkeypatch):
    broken = entry("torch", "no_such_module:X")
    monkeypatch.setattr(plugins, "plugins", lambda group: {"builtins": BUILTINS, "torch": broken})
    with (
        pytest.warns(PluginWarning, match="'torch'.*cannot be loaded"),
        pytest.raises(NotSupported, match="is a model of torch, for which no adapter loads"),
    ):
        plugins.adapt(model_of("torch"), streams={"a": 3}, heads={"y": 1})


def test_the_way_out_that_is_named_for_a_torch_module_works_without_its_adapter(monkeypatch):
    monkeypatch.setattr(plugins, "plugins", lambda group: {"builtins": BUILTINS})
    torch = imported("torch")
    model = torch.nn.Linear(12, 1)
    with pytest.raises(NotSupported) as refusal:
        plugins.adapt(model)
    example = str(refusal.value).split("differentiated: ")[1].removesuffix(".").replace("xai_mimo.adapt", "adapt")
    adapted = eval(example, {"adapt": plugins.adapt, "model": model, "torch": torch})
    rows = np.ones((2, 12), "float32")
    np.testing.assert_allclose(adapted.predict(rows)["risk"], model(torch.from_numpy(rows)).detach().numpy())


def test_the_way_out_that_is_named_for_scikit_learn_works(monkeypatch):
    from sklearn.linear_model import LinearRegression

    monkeypatch.setattr(plugins, "plugins", lambda group: {"builtins": BUILTINS})

    rows = np.random.default_rng(0).standard_normal((20, 12)).astype("float32")
    model = LinearRegression().fit(rows, rows[:, :1])
    with pytest.raises(NotSupported, match=r"LinearRegression is a model of sklearn") as refusal:
        plugins.adapt(model)
    example = str(refusal.value).split("differentiated: ")[1].removesuffix(".").replace("xai_mimo.adapt", "adapt")
    adapted = eval(example, {"adapt": plugins.adapt, "model": model})
    np.testing.assert_allclose(adapted.predict(rows)["risk"], rows[:, :1], atol=1e-5)


def test_a_path_or_a_class_is_no_model(tmp_path):
    for path in (str(tmp_path / "net.keras"), tmp_path / "net.keras"):
        with pytest.raises(
            NotSupported, match=r"a path is no model; load it first: xai_mimo\.load_model\('.*net\.keras'\)"
        ):
            plugins.adapt(path)
    with pytest.raises(NotSupported, match=r"OrderedDict is a class; give a model of it, e\.g\. OrderedDict\(\.\.\.\)"):
        plugins.adapt(OrderedDict)


def test_every_declared_group_is_read():
    source = Path(plugins.__file__).parents[1]
    text = "".join(path.read_text() for path in source.rglob("*.py"))
    for group in get_args(plugins.Group):
        assert f'plugins("{group}")' in text, group


def test_an_unknown_method_is_refused_with_the_nearest_name():
    with pytest.raises(UnknownName, match="Did you mean 'integrated_gradients'"):
        plugins.method("integrated_gradient")
    with pytest.raises(
        BadSetting, match=r"got an array, ndarray\. Values that were made elsewhere .*from_captum or xa"
    ):
        plugins.method(np.zeros((200, 3)))
    with pytest.raises(BadSetting, match=r"got a Dataset\. An explanation .* methods=\{'mine': explanation\}"):
        plugins.method(xr.Dataset({"a": ("sample", np.zeros(3))}))
    with pytest.raises(BadSetting, match=r"a method is a name or an object.*got 3\. xai_mimo\.methods\(\) lists"):
        plugins.method(3)


def test_a_class_or_several_methods_in_the_place_of_one_are_refused_in_words():
    class Halving:
        name, reference = "halving", ""

        def __call__(self, model, inputs, selectors, context):
            raise NotImplementedError

    with pytest.raises(BadSetting, match=r"got the class Halving\. Give an object: Halving\(\)"):
        plugins.method(Halving)
    for several in (["gradient"], {"a": "gradient"}):
        with pytest.raises(BadSetting, match=r"one method is .*Several methods are for xai_mimo\.compare"):
            plugins.method(several)


class Likes:
    def __init__(self, model, *, streams, heads, max_memory, like=None, depth=1):
        self.streams, self.heads, self.like, self.depth = (), (), like, depth

    def fingerprint(self):
        return "0"

    def predict(self, inputs):
        return {}


class LikesNothing(Likes):
    def __init__(self, model, *, streams, heads, max_memory):
        super().__init__(model, streams=streams, heads=heads, max_memory=max_memory)


class TestOptions:
    @pytest.fixture(autouse=True)
    def entries(self, with_entries, monkeypatch):
        with_entries(entry("decimal", "x:Likes"), entry("fractions", "x:LikesNothing"))
        monkeypatch.setattr(
            plugins, "load_plugin", lambda found: Likes if found.value.endswith("Likes") else LikesNothing
        )

    def test_rows_are_handed_to_an_adapter_that_takes_them(self):
        assert plugins.adapt(Decimal(1), like=[1.0]).like == [1.0]
        assert plugins.adapt(Decimal(1)).like is None
        assert plugins.adapt(Fraction(1), like=[1.0]).like is None

    def test_options_reach_the_adapter_and_unknown_ones_are_refused(self):
        assert plugins.adapt(Decimal(1), depth=3).depth == 3
        with pytest.raises(BadSetting, match=r"no option 'dept' for models of decimal; there are: .*like, depth\."):
            plugins.adapt(Decimal(1), dept=3)
        with pytest.raises(BadSetting, match="no option 'depth' for models of fractions"):
            plugins.adapt(Fraction(1), depth=3)
