"""Captum's NoiseTunnel around its gradient methods: values by hand, Captum itself on the module, what is refused."""

import numpy as np
import pytest
from xai_mimo_adapters.captum_methods import CaptumNoiseTunnel

from tests.helpers.captum_models import Bilinear, TorchModel, as_tensors, columns_of, explain, natively_seeded, rows_for
from tests.helpers.frameworks import imported
from xai_mimo.core.errors import BadSetting
from xai_mimo.core.speaks_of import speaks_of

captum_attr, torch = imported("captum.attr"), imported("torch")
pytestmark = pytest.mark.all_frameworks
KINDS = ["smoothgrad", "smoothgrad_sq", "vargrad"]


def inner_options(inside, background):
    zeros = tuple(torch.zeros_like(x[:1]) for x in as_tensors(background))
    return {
        "Saliency": {},
        "InputXGradient": {},
        "IntegratedGradients": {"baselines": zeros, "n_steps": 5, "method": "gausslegendre"},
        "GradientShap": {"baselines": as_tensors(background), "n_samples": 2, "draw_baseline_from_distrib": True},
    }[inside]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inside", ["Saliency", "InputXGradient", "IntegratedGradients", "GradientShap"])
def test_the_numbers_are_those_of_captum_on_the_torch_module_itself(inside, kind, rng):
    model = TorchModel("float64")
    inputs, background = rows_for(model, rng, 3), rows_for(model, rng, 4)
    settings = {"IntegratedGradients": {"steps": 5}, "GradientShap": {"samples": 2}}.get(inside, {})
    method = CaptumNoiseTunnel(f"captum.{inside}", settings, kind, samples=4, stdevs={"a": 0.3, "b": 0.1})
    found = explain(method, model, inputs, background)
    for t, column in enumerate(columns_of(model, inputs)):
        with natively_seeded():
            tunnel = captum_attr.NoiseTunnel(getattr(captum_attr, inside)(model.module))
            native = tunnel.attribute(
                as_tensors(inputs),
                nt_type=kind,
                nt_samples=4,
                stdevs=(0.3, 0.1),
                target=column,
                **inner_options(inside, background),
            )
        for name, value in zip(inputs, native, strict=True):
            np.testing.assert_allclose(found.values[name][t], value.detach().numpy(), atol=1e-6)


def test_a_slope_that_is_the_same_everywhere_has_no_scatter(rng):
    """risk = a0 b00 + a1^2: the slope by b00 is a0 + noise, of standard deviation 0.2; that by b01 is 0."""
    model = Bilinear()
    inputs = rows_for(model, rng, 3)

    def explained(kind):
        method = CaptumNoiseTunnel(settings={"abs": False}, kind=kind, samples=3000, stdevs=0.2)
        return explain(method, model, inputs, inputs).values["b"][0, :, 0]

    mean, square, scatter = (explained(kind) for kind in KINDS)
    a = inputs["a"][:, 0]
    np.testing.assert_allclose(mean[:, 0], a, atol=0.02)
    np.testing.assert_allclose(square[:, 0], a**2 + 0.04, atol=0.05)
    np.testing.assert_allclose(scatter[:, 0], 0.04, rtol=0.15)
    for values in (mean, square, scatter):
        np.testing.assert_array_equal(values[:, 1], 0)


def test_streams_without_noise_stay_as_they_are(rng):
    model = Bilinear()
    inputs = rows_for(model, rng, 3)
    method = CaptumNoiseTunnel(settings={"abs": False}, kind="vargrad", samples=4, stdevs={"unused": 1.0})
    for values in explain(method, model, inputs, inputs).values.values():
        np.testing.assert_allclose(values, 0, atol=1e-12)


def test_squares_and_magnitudes_have_no_sign_and_the_map_speaks_of_what_is_inside(rng):
    model = Bilinear()
    inputs = rows_for(model, rng, 2)

    def signed(*arguments, **settings):
        return explain(CaptumNoiseTunnel(*arguments, **settings), model, inputs, inputs).signed

    assert not signed()
    assert signed(settings={"abs": False})
    assert signed("captum.InputXGradient")
    assert not signed("captum.InputXGradient", kind="smoothgrad_sq")
    assert not signed("captum.IntegratedGradients", kind="vargrad")
    assert speaks_of(CaptumNoiseTunnel()) == speaks_of(CaptumNoiseTunnel) == "sensitivity"
    assert speaks_of(CaptumNoiseTunnel("captum.GradientShap")) == "attribution"


def test_no_gap_is_reported_because_the_sum_belongs_to_other_rows(rng):
    inputs = rows_for(Bilinear(), rng, 2)
    found = explain(CaptumNoiseTunnel("captum.IntegratedGradients"), Bilinear(), inputs, inputs)
    assert found.baseline_prediction is None


def test_less_memory_means_fewer_copies_at_once(rng):
    inputs = rows_for(Bilinear(), rng, 4)
    free, tight = Bilinear(), Bilinear()
    method = CaptumNoiseTunnel("captum.IntegratedGradients", {"steps": 3}, samples=6)
    explain(method, free, inputs, inputs)
    explain(method, tight, inputs, inputs, max_memory=4 * 5 * 8 * 8)
    assert free.largest_batch == 4 * 6 * 3
    assert tight.largest_batch <= 8


def test_settings_are_checked(rng):
    with pytest.raises(BadSetting, match=r"inside 'captum\.Lime' is not one of captum\.Saliency, captum\.InputX"):
        CaptumNoiseTunnel("captum.Lime")
    with pytest.raises(BadSetting, match="kind 'smooth' is not one of smoothgrad, smoothgrad_sq, vargrad"):
        CaptumNoiseTunnel(kind="smooth")
    with pytest.raises(
        BadSetting, match=r"settings are those of captum\.Saliency, \{'abs': \.\.\.\}; got \{'steps': 3"
    ):
        CaptumNoiseTunnel(settings={"steps": 3})
    with pytest.raises(BadSetting, match="steps must be a whole number of at least 1; got 0"):
        CaptumNoiseTunnel("captum.IntegratedGradients", {"steps": 0})
    with pytest.raises(BadSetting, match=r"the noise is the tunnel's, stdevs=1\.0; leave stdevs out of the settings"):
        CaptumNoiseTunnel("captum.GradientShap", {"stdevs": 0.5})
