"""Arguments of ``compare`` that mean nothing: each is refused in words, before anything is computed."""

import numpy as np
import pytest

import xai_mimo as xm
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.errors import BadSetting
from xai_mimo.explainers import InputXGradient

pytestmark = [
    pytest.mark.all_frameworks,
    pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning"),
]

FAST = Settings(resamples=200, steps=3, controls=1, ceilings=False)


@pytest.mark.parametrize("label", ["random", "", "  ", 3])
def test_a_label_that_is_empty_or_the_controls_is_refused(model, data, label):
    words = (
        "'random' is the name of a control.*another label"
        if label == "random"
        else r"labelled .*not empty, e\.g\. methods="
    )
    with pytest.raises(BadSetting, match=words):
        xm.compare(model, data, {label: "shapley", "b": "occlusion"}, settings=FAST)


def test_a_method_that_is_called_as_the_control_needs_a_label(model, data):
    class Random(InputXGradient):
        name = "random"

    with pytest.raises(BadSetting, match=r"'random' is the name of a control.*another label"):
        xm.compare(model, data, [Random()], settings=FAST)
    result = xm.compare(model, data, {"mine": Random()}, metrics=["gini"], settings=FAST)
    assert [m.label for m in result.record.methods] == ["mine"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"methods": 3}, r"methods are a list .*got 3\. Write"),
        ({"methods": InputXGradient()}, r"methods are a list .*got InputXGradient"),
        ({"metrics": 3}, r"metrics are a list .*got 3\. Write"),
        ({"metrics": {"a": "gini"}}, r"metrics are a list .*without labels; got \{'a': 'gini'\}"),
        ({"rows": 2.5}, r"rows must be a whole number of at least 1; got 2\.5"),
        ({"rows": True}, "rows must be a whole number of at least 1; got True"),
        ({"rows": 0}, "rows must be a whole number of at least 1; got 0"),
        ({"seed": -1}, "seed must be a whole number of at least 0; got -1"),
        ({"seed": "a"}, "seed must be a whole number of at least 0; got 'a'"),
        ({"settings": {"ks": [1]}}, r"settings are a Settings object; got \{'ks': \[1\]\}"),
    ],
)
def test_what_is_of_the_wrong_kind_is_refused_in_words(model, data, arguments, words):
    with pytest.raises(BadSetting, match=words):
        xm.compare(model, data, **({"methods": ["gradient"], "settings": FAST} | arguments))


@pytest.mark.parametrize("changed", [{"steps": 2.5}, {"resamples": 0}, {"ks": 3}, {"ks": ("a",)}, {"controls": True}])
def test_settings_that_are_no_whole_numbers_are_refused(changed):
    with pytest.raises(BadSetting, match=f"{next(iter(changed))} .*whole number.*; got"):
        Settings(**changed)


def test_numbers_of_numpy_and_methods_from_a_generator_are_taken(model, data):
    methods = (name for name in ("gradient", "input_x_gradient"))
    result = xm.compare(model, data, methods, metrics=["gini"], rows=np.int64(5), seed=np.int64(3), settings=FAST)
    assert result.explanations.sizes["sample"] == 5
    assert result.to_json()
