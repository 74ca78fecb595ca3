"""Gradient, input x gradient, SmoothGrad, expected gradients."""

import numpy as np
import pytest
from scipy import stats

import xai_mimo as xm
from tests.helpers import toys
from xai_mimo.core.errors import BadSetting, NotSupported
from xai_mimo.core.streams import Stream
from xai_mimo.explainers import ExpectedGradients, Gradient, InputXGradient, SmoothGrad

pytestmark = pytest.mark.all_frameworks


def test_the_gradient_of_a_linear_model_is_its_weights():
    model = toys.linear()
    found = xm.explain(model, toys.rows(model), Gradient(), targets=["y"])
    np.testing.assert_array_equal(found["u"].values, np.broadcast_to([1.0, -2, 3], (1, 6, 3)))
    np.testing.assert_array_equal(found["v"].values, np.broadcast_to([0.5, 4], (1, 6, 2)))


def test_input_x_gradient_of_an_additive_model_is_the_formula_written_out():
    model = toys.additive()
    x = toys.rows(model)
    found = xm.explain(model, x, InputXGradient(), targets=["y"])
    np.testing.assert_allclose(found["v"].values[0, :, 0], x["v"][:, 0] * 4 * np.cos(4 * x["v"][:, 0]), rtol=1e-12)


def test_the_inputs_are_left_as_they_were():
    model = toys.mlp()
    x = toys.rows(model)
    before = {name: v.copy() for name, v in x.items()}
    for method in (
        "gradient",
        "input_x_gradient",
        "smoothgrad",
        "expected_gradients",
        "integrated_gradients",
        "shapley",
    ):
        xm.explain(model, x, method)
    for name in x:
        np.testing.assert_array_equal(x[name], before[name])


def test_smoothgrad_without_noise_is_the_gradient():
    model = toys.mlp()
    x = toys.rows(model)
    smooth = xm.explain(model, x, SmoothGrad(samples=3, noise=0.0))
    np.testing.assert_allclose(smooth["u"], xm.explain(model, x, "gradient")["u"], rtol=1e-12)
    np.testing.assert_allclose(smooth["u_standard_error"], 0, atol=1e-12)


def test_smoothgrad_of_a_quadratic_is_unbiased_with_the_known_error():
    # z = sum x^2 has the gradient 2x, so its smoothed gradient is 2x and one sample scatters by 2 s.
    model = toys.additive()
    x = toys.rows(model, 40)
    found = xm.explain(model, x, SmoothGrad(samples=400, noise=0.1), targets=["z"])
    s = 0.1 * np.ptp(x["u"], axis=0)
    expected = np.broadcast_to(2 * s / np.sqrt(400), (40, 3))
    np.testing.assert_allclose(found["u_standard_error"][0], expected, rtol=0.2)
    z = (found["u"][0] - 2 * x["u"]) / expected
    assert 0.8 < float(np.std(z)) < 1.2


def test_expected_gradients_of_a_linear_model_is_weight_times_distance_from_the_background_mean():
    model = toys.linear()
    x = toys.rows(model, 20)
    found = xm.explain(model, x, ExpectedGradients(samples=4000), targets=["y"])
    exact = (x["u"] - x["u"].mean(axis=0)) * [1, -2, 3]
    z = (found["u"].values[0] - exact) / found["u_standard_error"].values[0]
    assert np.abs(z).max() < 5
    assert 0.7 < z.std() < 1.3


def test_expected_gradients_standard_error_is_the_scatter_over_seeds():
    model = toys.mlp()
    x = toys.rows(model, 5)
    runs = [xm.explain(model, x, ExpectedGradients(samples=50), seed=seed) for seed in range(60)]
    scatter = np.std([r["u"].values for r in runs], axis=0, ddof=1)
    stated = np.mean([r["u_standard_error"].values for r in runs], axis=0)
    np.testing.assert_allclose(stated, scatter, rtol=0.45)
    np.testing.assert_allclose(np.median(stated / scatter), 1, rtol=0.1)


def test_expected_gradients_gap_shrinks_with_samples():
    model = toys.mlp()
    x = toys.rows(model, 20)
    few, many = (xm.explain(model, x, ExpectedGradients(samples=n)) for n in (20, 2000))
    assert abs(many["completeness_gap"]).mean() < 0.3 * abs(few["completeness_gap"]).mean()


@pytest.mark.parametrize("method", [SmoothGrad(samples=7), ExpectedGradients(samples=7)], ids=["smooth", "expected"])
def test_the_numbers_do_not_depend_on_memory(method):
    model = toys.mlp()
    x = toys.rows(model, 9)
    wide, narrow = (xm.explain(model, x, method, max_memory=m) for m in (2**29, 2000))
    for name in ("u", "v", "u_standard_error"):
        np.testing.assert_allclose(wide[name], narrow[name], atol=1e-13)


@pytest.mark.parametrize("method", [SmoothGrad, ExpectedGradients])
def test_one_sample_has_no_standard_error(method):
    model = toys.mlp()
    found = xm.explain(model, toys.rows(model), method(samples=1))
    assert "u_standard_error" not in found
    assert "draws" not in found


def test_the_draws_of_a_standard_error_are_the_samples():
    model = toys.mlp()
    for method in (SmoothGrad(samples=3), ExpectedGradients(samples=3)):
        found = xm.explain(model, toys.rows(model), method)
        assert found["draws"].dims == ("head", "sample")
        np.testing.assert_array_equal(found["draws"], 3)


@pytest.mark.parametrize("samples", [2, 4, 8])
def test_intervals_of_expected_gradients_by_students_t_cover_at_few_samples(samples):
    """y is linear in u, so its values scatter as the background does, here nearly normally."""
    model = toys.linear()
    x, background = toys.rows(model, 500), toys.rows(model, 2000, seed=7)
    found = xm.explain(model, x, ExpectedGradients(samples=samples), targets=["y"], background=background)
    exact = (x["u"] - background["u"].mean(axis=0)) * [1, -2, 3]
    times = stats.t.ppf(0.975, found["draws"].values[0] - 1)[:, None]
    misses = np.abs(found["u"].values[0] - exact) > times * found["u_standard_error"].values[0]
    assert 0.035 < misses.mean() < 0.065


@pytest.mark.parametrize("method", ["gradient", "smoothgrad", "expected_gradients", "integrated_gradients"])
def test_a_model_without_gradients_is_refused_with_advice(method):
    toy = toys.linear()
    model = toys.Predictor(toy.streams, toy.heads, toy.forward)
    with pytest.raises(NotSupported, match=r"needs gradients, and a model of type Predictor has none. Use 'shapley'"):
        xm.explain(model, toys.rows(model), method)


def test_an_integer_stream_is_refused_with_advice():
    toy = toys.linear()
    model = toys.Toy((toy.streams[0], Stream("v", (2,), dtype="int32")), toy.heads, toy.forward, jacobian=toy.jacobian)
    x = {"u": np.eye(2, 3), "v": np.array([[1, 2], [3, 4]], dtype=np.int32)}
    with pytest.raises(NotSupported, match=r"'v' holds integers .* only asks for predictions, such as 'shapley'"):
        xm.explain(model, x, "gradient")
    assert xm.explain(model, x, "shapley", targets=["y"])["v"].shape == (1, 2, 2)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: SmoothGrad(samples=0), "samples must be a whole number"),
        (lambda: SmoothGrad(noise=-1), "noise must be a number of at least 0"),
        (lambda: ExpectedGradients(samples=1.5), "samples must be a whole number"),
    ],
)
def test_bad_settings_are_refused(make, text):
    with pytest.raises(BadSetting, match=text):
        make()
