"""What a model can do, asked by type; and the one refusal of a model that cannot."""

import numpy as np
import pytest

from tests.helpers import toys
from xai_mimo.core.errors import NotSupported
from xai_mimo.core.model import (
    Differentiable,
    Fitted,
    Hookable,
    Interceptable,
    Model,
    Overridable,
    Randomisable,
    Splittable,
    require,
    require_floats,
)
from xai_mimo.core.streams import Stream

pytestmark = pytest.mark.all_frameworks
CAPABILITIES = (Differentiable, Fitted, Hookable, Interceptable, Overridable, Splittable, Randomisable)


def predictor(**further):
    """A model that only predicts, with further members."""
    members = {"streams": (), "heads": (), "fingerprint": lambda self: "", "predict": lambda self, inputs: {}}
    return type("Net", (), members | further)()


def method(self, *arguments):
    return None


def test_a_capability_is_a_model_that_can_more():
    toy = toys.attention()
    assert all(isinstance(toy, capability) for capability in (Model, Differentiable, Interceptable, Splittable))
    assert not isinstance(toy, Randomisable)
    assert isinstance(predictor(), Model)
    assert not any(isinstance(predictor(), capability) for capability in CAPABILITIES)
    gradients_only = type("Gradients", (), {"gradients": method})()
    assert not isinstance(gradients_only, Differentiable)


def test_splittable_says_its_layers_and_randomisable_its_null_model():
    cut = {"tail": method, "activations": method, "layer_streams": method}
    assert not isinstance(predictor(**cut), Splittable)
    assert isinstance(predictor(**cut, layers=method), Splittable)
    assert not isinstance(predictor(randomised=method), Randomisable)
    assert isinstance(predictor(randomised=method, randomisation="drawn"), Randomisable)


def test_a_model_whose_maps_can_be_replaced_is_one_whose_maps_can_be_read():
    assert not isinstance(predictor(override=method), Overridable)
    assert not isinstance(predictor(intercept=method), Overridable)
    assert isinstance(predictor(intercept=method, override=method), Interceptable)
    assert isinstance(predictor(intercept=method, override=method), Overridable)


def test_asking_calls_no_fingerprint():
    def refuse(self):
        raise AssertionError("the fingerprint was asked for")

    assert isinstance(predictor(fingerprint=refuse, gradients=method), Differentiable)


def test_require_gives_the_model_itself():
    toy = toys.attention()
    for capability in (Differentiable, Interceptable, Splittable):
        assert require(toy, capability, for_="a method") is toy


@pytest.mark.parametrize(
    ("capability", "words"),
    [
        (Differentiable, "gradients, and model 'risk' has none. Use 'shapley' or 'occlusion'"),
        (Interceptable, "a model whose layers can be intercepted, and model 'risk' is none. Build the model with"),
        (Overridable, "a model whose layers' maps can be replaced, and model 'risk' is none. Build the model with a"),
        (Splittable, "a model that can be cut at a layer, and model 'risk' cannot be cut. Build it as a functional"),
        (Hookable, "a model of PyTorch modules that can be hooked, and model 'risk' is none. Hooks would never fire"),
        (Fitted, "a fitted estimator of trees or a linear model, and model 'risk' is none. Use 'shap.permutation' or"),
        (Randomisable, "a model that can be copied with random weights, and model 'risk' cannot be copied. Build"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_refusal_names_what_needs_it_the_users_model_and_a_way_out(capability, words):
    with pytest.raises(NotSupported, match=r"^captum\.LRP needs " + words):
        require(predictor(name="risk"), capability, for_="captum.LRP")
    with pytest.raises(NotSupported, match=r"a model of type Net .*\. Take another\.$"):
        require(predictor(), capability, for_="captum.LRP", instead="Take another.")


def test_a_stream_of_integers_is_refused_by_name():
    require_floats(predictor(streams=(Stream("x", (1,)),)), for_="gradient")
    with pytest.raises(
        NotSupported,
        match=r"gradient needs gradients, .*'t' holds integers \(int32\), which have none.*such as 'shapley'",
    ):
        require_floats(predictor(streams=(Stream("t", (1,), np.dtype("int32")),)), for_="gradient")
