"""Captum's Saliency, InputXGradient and GradientShap: values by hand, Captum itself on the module, what is refused."""

import numpy as np
import pytest
from xai_mimo_adapters.captum_methods import CaptumGradientShap, CaptumInputXGradient, CaptumSaliency

from tests.helpers.captum_models import Bilinear, TorchModel, as_tensors, columns_of, explain, natively_seeded, rows_for
from tests.helpers.frameworks import imported
from xai_mimo.core.errors import BadSetting, NotSupported, UnknownName
from xai_mimo.core.speaks_of import speaks_of
from xai_mimo.core.streams import Stream

captum_attr, torch = imported("captum.attr"), imported("torch")
pytestmark = pytest.mark.all_frameworks
ALL = [CaptumSaliency(), CaptumSaliency(abs=False), CaptumInputXGradient(), CaptumGradientShap()]


def slopes_by_hand(inputs, kind):
    """Of risk and of the predicted class, ``(target, row, value)``."""
    a, b = inputs["a"], inputs["b"][:, 0]
    nothing = np.zeros(len(a))
    slope_a = [np.stack([b[:, 0], 2 * a[:, 1]], 1), np.stack([np.where(kind == 0, 2 * a[:, 0], 0), nothing], 1)]
    slope_b = [np.stack([a[:, 0], nothing], 1), np.stack([nothing, np.where(kind == 1, 2.0, 0)], 1)]
    return {"a": np.stack(slope_a), "b": np.stack(slope_b)[:, :, None]}


def test_gradients_of_a_bilinear_model_are_those_found_by_hand(rng):
    model = Bilinear()
    inputs = rows_for(model, rng, 12)
    kind = model.predict(inputs)["kind"].argmax(axis=1)
    assert len(set(kind)) > 1
    slopes = slopes_by_hand(inputs, kind)
    signed = explain(CaptumSaliency(abs=False), model, inputs, inputs)
    sizes = explain(CaptumSaliency(), model, inputs, inputs)
    products = explain(CaptumInputXGradient(), model, inputs, inputs)
    for name, slope in slopes.items():
        np.testing.assert_allclose(signed.values[name], slope, atol=1e-12)
        np.testing.assert_allclose(sizes.values[name], np.abs(slope), atol=1e-12)
        np.testing.assert_allclose(products.values[name], slope * inputs[name], atol=1e-12)
    for found in (signed, sizes, products):
        np.testing.assert_array_equal(found.values["unused"], 0)
        assert found.baseline_prediction is None
        np.testing.assert_array_equal(found.prediction[0], model.predict(inputs)["risk"][:, 0])


def test_magnitudes_have_no_sign_and_say_so(rng):
    model = Bilinear()
    inputs = rows_for(model, rng, 3)
    assert not explain(CaptumSaliency(), model, inputs, inputs).signed
    assert explain(CaptumSaliency(abs=False), model, inputs, inputs).signed
    assert explain(CaptumInputXGradient(), model, inputs, inputs).signed
    assert speaks_of(CaptumSaliency()) == "sensitivity"
    assert speaks_of(CaptumInputXGradient()) == speaks_of(CaptumGradientShap()) == "attribution"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (CaptumSaliency(), "Saliency", {}),
        (CaptumSaliency(abs=False), "Saliency", {"abs": False}),
        (CaptumInputXGradient(), "InputXGradient", {}),
        (CaptumGradientShap(samples=7), "GradientShap", {"n_samples": 7, "stdevs": (0.0, 0.0)}),
        (
            CaptumGradientShap(samples=3, stdevs={"b": 0.5}),
            "GradientShap",
            {"n_samples": 3, "stdevs": (0.0, 0.5)},
        ),
    ],
    ids=repr,
)
def test_the_numbers_are_those_of_captum_on_the_torch_module_itself(ours, theirs, options, dtype, rng):
    model = TorchModel(dtype)
    inputs, background = rows_for(model, rng, 5), rows_for(model, rng, 4)
    found = explain(ours, model, inputs, background)
    if theirs == "GradientShap":
        options = {**options, "baselines": as_tensors(background)}
    for t, column in enumerate(columns_of(model, inputs)):
        with natively_seeded():
            native = getattr(captum_attr, theirs)(model.module).attribute(
                tuple(x.requires_grad_() for x in as_tensors(inputs)), target=column, **options
            )
        for name, value in zip(inputs, native, strict=True):
            np.testing.assert_allclose(found.values[name][t], value.detach().numpy(), atol=1e-6)


def test_the_gap_of_gradient_shap_is_the_mean_of_captums_own_delta(rng):
    model = TorchModel("float64")
    inputs, background = rows_for(model, rng, 5), rows_for(model, rng, 4)
    found = explain(CaptumGradientShap(samples=6), model, inputs, background)
    total = sum(v.reshape(3, 5, -1).sum(axis=-1) for v in found.values.values())
    gap = total - (found.prediction - found.baseline_prediction)
    for t, column in enumerate(columns_of(model, inputs)):
        with natively_seeded():
            _, delta = captum_attr.GradientShap(model.module).attribute(
                as_tensors(inputs), as_tensors(background), n_samples=6, target=column, return_convergence_delta=True
            )
        np.testing.assert_allclose(gap[t], delta.detach().numpy().reshape(5, 6).mean(axis=1), atol=1e-6)


def test_gradient_shap_draws_the_baseline_of_each_stream_apart(rng):
    """a0 * b00 over the rows (1, 1) and (-1, -1) is 1 in each; with streams drawn apart its mean is 0."""
    model = Bilinear()
    background = {
        "a": np.array([[1.0, 0.0], [-1.0, 0.0]]),
        "b": np.array([[[1.0, 0.0]], [[-1.0, 0.0]]]),
        "unused": np.zeros((2, 1)),
    }
    nothing = {name: np.zeros_like(x[:1]) for name, x in background.items()}
    found = explain(CaptumGradientShap(samples=4000), model, nothing, background)
    assert model.predict(background)["risk"].tolist() == [[1.0], [1.0]]
    assert abs(found.baseline_prediction[0, 0]) < 0.1
    total = sum(v[0, 0].sum() for v in found.values.values())
    assert abs(total) < 0.1


def test_gradient_shap_of_a_linear_target_is_the_weight_times_the_distance_to_one_baseline(rng):
    model = Bilinear()
    inputs, background = rows_for(model, rng, 4), rows_for(model, rng, 1)
    inputs["b"][:, 0, 1] = 50.0  # so that the predicted class is the linear one
    found = explain(CaptumGradientShap(samples=2), model, inputs, background)
    np.testing.assert_allclose(found.values["b"][1, :, 0, 1], 2 * (50.0 - background["b"][0, 0, 1]), rtol=1e-6)
    np.testing.assert_allclose(found.baseline_prediction[1], 2 * background["b"][0, 0, 1], rtol=1e-6)
    np.testing.assert_array_equal(found.values["unused"], 0)


def test_with_noise_no_gap_is_reported(rng):
    model = Bilinear()
    inputs = rows_for(model, rng, 2)
    assert explain(CaptumGradientShap(stdevs=0.1), model, inputs, inputs).baseline_prediction is None
    assert explain(CaptumGradientShap(stdevs={"a": 0.0}), model, inputs, inputs).baseline_prediction is not None


def test_less_memory_means_smaller_batches(rng):
    inputs = rows_for(Bilinear(), rng, 10)
    for method, expected in ((CaptumSaliency(), 3), (CaptumGradientShap(samples=2), 2)):
        free, tight = Bilinear(), Bilinear()
        explain(method, free, inputs, inputs)
        explain(method, tight, inputs, inputs, max_memory=4 * 5 * 8 * 3)
        assert free.largest_batch >= 10
        assert tight.largest_batch == expected


@pytest.mark.parametrize("method", ALL, ids=repr)
def test_both_global_generators_are_left_alone_also_on_error(method, rng):
    model = TorchModel("float32")
    inputs = rows_for(model, rng, 2)
    torchs, numpys = torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"].copy()  # noqa: NPY002
    explain(method, model, inputs, inputs)

    def broken(*arguments):
        raise ZeroDivisionError

    model.gradients = broken
    with pytest.raises(ZeroDivisionError):
        explain(method, model, inputs, inputs)
    assert torch.equal(torchs, torch.get_rng_state())
    np.testing.assert_array_equal(numpys, np.random.get_state(legacy=False)["state"]["key"])  # noqa: NPY002


@pytest.mark.parametrize("method", ALL, ids=repr)
def test_integer_streams_are_refused_with_a_way_out(method, rng):
    model = Bilinear()
    model.streams = (*model.streams[:2], Stream("unused", (1,), "int32"))
    inputs = rows_for(model, rng, 2)
    with pytest.raises(
        NotSupported, match=rf"^{method.name} needs gradients, and input stream 'unused' holds integers"
    ):
        explain(method, model, inputs, inputs)


def test_settings_are_checked(rng):
    with pytest.raises(BadSetting, match="abs must be True or False; got 1"):
        CaptumSaliency(abs=1)
    with pytest.raises(BadSetting, match="samples must be a whole number of at least 1; got 0"):
        CaptumGradientShap(samples=0)
    with pytest.raises(BadSetting, match=r"stdevs must be a number of at least 0, or \{stream: number\}.*got -1"):
        CaptumGradientShap(stdevs=-1)
    inputs = rows_for(Bilinear(), rng, 1)
    with pytest.raises(UnknownName, match="no input stream is called 'c'"):
        explain(CaptumGradientShap(stdevs={"c": 1.0}), Bilinear(), inputs, inputs)
