"""Points without a gradient, infinite answers and narrow structure on the way from the baseline to a row."""

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers import toys
from xai_mimo.core.errors import NotFinite
from xai_mimo.core.streams import Head, Stream
from xai_mimo.explainers import ExpectedGradients, IntegratedGradients, SmoothGrad

pytestmark = pytest.mark.all_frameworks


def model(forward, slope, width=2):
    """One head of one value: ``forward(x)`` gives ``(row,)``, ``slope(x)`` ``(row, feature)``."""

    def quiet(function, x):
        with np.errstate(all="ignore"):
            return function(x)

    return toys.Toy(
        (Stream("u", (width,), dtype="float64"),),
        (Head("y"),),
        lambda x: {"y": quiet(forward, x)[:, None]},
        jacobian=lambda x: {"y": quiet(slope, x)[:, None]},
    )


def distance(centre):
    """How far a row is from a point, at which there is no gradient."""
    return model(
        lambda x: np.linalg.norm(x - centre, axis=1),
        lambda x: (x - centre) / np.linalg.norm(x - centre, axis=1, keepdims=True),
    )


def root(power, centre=0.0):
    """|u0 - centre| to a power, whose slope is infinite there."""
    return model(
        lambda x: np.abs(x[:, 0] - centre) ** power,
        lambda x: np.stack(
            [power * np.abs(x[:, 0] - centre) ** (power - 1) * np.sign(x[:, 0] - centre), 0 * x[:, 1]], 1
        ),
    )


def bump(width, centre):
    """A peak on the way of u0, as high as u1."""

    def peak(x):
        return np.exp(-(((x[:, 0] - centre) / width) ** 2))

    return model(
        lambda x: peak(x) * x[:, 1],
        lambda x: np.stack([-2 * (x[:, 0] - centre) / width**2 * peak(x) * x[:, 1], peak(x)], 1),
    )


@pytest.mark.parametrize(
    ("centre", "expected"),
    [
        (0.0, [1.8, 3.2]),  # at the baseline: x^2 / norm
        ([1.5, 2.0], [0.0, 0.0]),  # at an end of the first pieces: as far on the other side
        ([9 / 16, 12 / 16], [1.8 * 5 / 8, 3.2 * 5 / 8]),  # in the middle of one
        ([0.9, 1.2], [1.8 * 0.4, 3.2 * 0.4]),  # between its points
    ],
)
def test_a_distance_is_integrated_through_the_point_without_a_gradient(centre, expected):
    rows = np.array([[3.0, 4.0]])
    found = xm.explain(distance(np.array(centre)), rows, "integrated_gradients")
    np.testing.assert_allclose(found["u"][0, 0], expected, atol=2e-3 * 5)
    assert bool(found["converged"].all())
    assert float(abs(found["completeness_gap"]).max()) < 5e-3


def test_a_row_at_its_baseline_gets_zeros_where_there_is_no_gradient():
    with pytest.warns(UserWarning, match="exact zeros"):
        found = xm.explain(distance(0.0), np.zeros((1, 2)), "integrated_gradients")
    np.testing.assert_array_equal(found["u"], 0.0)
    assert bool(found["converged"].all())


@pytest.mark.parametrize("power", [0.5, 0.25, 0.1])
@pytest.mark.parametrize("centre", [0.0, 4.0])
def test_an_infinite_slope_at_an_end_is_integrated_to_the_tolerance(power, centre):
    found = xm.explain(root(power, centre), np.array([[4.0, 1.0]]), "integrated_gradients", targets=["y"])
    sign = 1 if centre == 0 else -1
    np.testing.assert_allclose(found["u"][0, 0], [sign * 4.0**power, 0.0], rtol=1e-3)
    assert bool(found["converged"].all())
    assert int(found["evaluations"].max()) < 60


def test_an_infinite_slope_on_the_way_is_integrated_to_the_tolerance():
    found = xm.explain(root(0.5, centre=1.0), np.array([[4.0, 1.0]]), "integrated_gradients")
    np.testing.assert_allclose(found["u"][0, 0], [np.sqrt(3.0) - 1, 0.0], atol=1e-3)
    assert bool(found["converged"].all())


def logarithm():
    return model(lambda x: np.log(x[:, 0]) + x[:, 1], lambda x: np.stack([1 / x[:, 0], np.ones(len(x))], 1))


@pytest.mark.parametrize("method", [IntegratedGradients(), IntegratedGradients(steps=20)], ids=["bisect", "fixed"])
def test_an_infinite_answer_at_the_baseline_is_said(method):
    rows = np.array([[1.0, 1.0], [2.0, 1.0]])
    with pytest.raises(
        NotFinite, match=r"head 'y' is minus infinity at the baseline of row 0.*other baseline than 'ze"
    ):
        xm.explain(logarithm(), rows, method)
    found = xm.explain(logarithm(), rows, IntegratedGradients(baseline=[[1.0, 0.0]]))
    np.testing.assert_allclose(found["u"][0], [[0, 1], [np.log(2), 1]], atol=1e-3)
    every = IntegratedGradients(baseline=np.array([[1.0, 0.0], [0.0, 0.0]]))
    with pytest.raises(NotFinite, match=r"minus infinity at baseline 1 of row 0.*Take another baseline, at which"):
        xm.explain(logarithm(), rows, every)


def test_an_infinite_answer_on_the_way_is_said_with_its_place_and_the_row_of_the_data():
    pole = model(lambda x: 1 / (x[:, 0] - 1), lambda x: np.stack([-1 / (x[:, 0] - 1) ** 2, 0 * x[:, 0]], 1))
    rows = np.array([[0.5, 1.0], [0.25, 1.0], [2.0, 1.0]])
    with pytest.raises(NotFinite, match=r"head 'y' is infinite at 0\.5 of the way from its baseline to row 2"):
        xm.explain(pole, rows, "integrated_gradients", rows_per_block=1)


def test_no_gradient_on_a_stretch_of_the_way_is_said():
    # A square root of a rectified value has the slope infinity times 0 wherever it is rectified.
    lost = model(
        lambda x: np.sqrt(np.maximum(x[:, 0] - 1, 0)),
        lambda x: np.stack([0.5 / np.sqrt(np.maximum(x[:, 0] - 1, 0)) * (x[:, 0] > 1), 0 * x[:, 0]], 1),
    )
    with pytest.raises(NotFinite, match=r"gradient of head 'y' .* stream 'u' is NaN at 0\.0625 of the way .* row 0\."):
        xm.explain(lost, np.array([[2.0, 0.0]]), "integrated_gradients")
    with pytest.raises(
        NotFinite, match=r"gradient of head 'y' .* is NaN at .* of the way .* row 0\..*small number under"
    ):
        xm.explain(lost, np.array([[2.0, 0.0]]), IntegratedGradients(steps=5))


@pytest.mark.parametrize(
    ("method", "place"),
    [
        ("gradient", "row 1"),
        ("input_x_gradient", "row 1"),
        (SmoothGrad(noise=0.0, samples=3), "a noisy copy of row 1"),
        (ExpectedGradients(samples=50), "a point between the background and row 1"),
    ],
    ids=str,
)
def test_the_point_without_a_gradient_is_named(method, place):
    background = np.array([[0.0, 0.0], [1.0, 0.0]])
    rows = np.array([[1.0, 1.0], [0.0, 0.0]])
    gradient = rf"gradient of head 'y' with respect to input stream 'u' is NaN at {place}\. .*'shapley' or 'occlusion'"
    # At the first background row all factors are 0; without the gradient at the second there would be no error.
    lost = model(
        lambda x: np.linalg.norm(x, axis=1),
        lambda x: np.where(x[:, 1:] == 0, np.nan, x / np.linalg.norm(x, axis=1, keepdims=True)),
    )
    with pytest.raises(NotFinite, match=gradient):
        xm.explain(lost, rows, method, background=background)


def test_what_a_factor_of_zero_multiplies_needs_no_gradient():
    rows = np.zeros((1, 2))
    with pytest.warns(UserWarning, match="compared the one row of x with itself"):
        found = xm.explain(distance(0.0), rows, "expected_gradients", background=rows)
    np.testing.assert_array_equal(found["u"], 0.0)


@pytest.mark.parametrize("width", [0.002, 0.005, 0.01])
@pytest.mark.parametrize("centre", [0.31, 0.3434, 0.5273, 0.71875])
def test_a_narrow_peak_on_a_flat_way_is_found(width, centre):
    found = xm.explain(bump(width, centre), np.array([[1.0, 2.0]]), "integrated_gradients")
    area = 2 * width * np.sqrt(np.pi)
    np.testing.assert_allclose(found["u"][0, 0], [-area, area], rtol=2e-3)
    assert bool(found["converged"].all())


@pytest.mark.parametrize("place", [23, 41, 67, 91])
def test_a_flat_way_is_looked_at_at_every_128th(place):
    width = 0.0002  # at the nearest 64th of the path the peak is 0 to the last digit of float64
    found = xm.explain(bump(width, place / 128), np.array([[1.0, 2.0]]), "integrated_gradients")
    area = 2 * width * np.sqrt(np.pi)
    np.testing.assert_allclose(found["u"][0, 0], [-area, area], rtol=2e-3)


@pytest.mark.parametrize("centre", np.random.default_rng(0).uniform(0.02, 0.98, 12))
def test_a_peak_on_a_way_that_rises_is_found_from_a_width_of_a_hundredth_on(centre):
    peak = bump(0.01, centre)
    rising = toys.Toy(
        peak.streams,
        peak.heads,
        lambda x: {"y": peak.forward(x)["y"] + 3 * x[:, 1:]},
        jacobian=lambda x: {"y": peak.jacobian(x)["y"] + np.array([0.0, 3.0])},
    )
    found = xm.explain(rising, np.array([[1.0, 2.0]]), "integrated_gradients")
    area = 2 * 0.01 * np.sqrt(np.pi)
    np.testing.assert_allclose(found["u"][0, 0], [-area, 6 + area], atol=1e-3 * 6)


def test_a_plateau_within_one_of_the_first_pieces_is_found():
    # Up and down between two points, flat at all of them: no gradient tells of it, and its ends are equal.
    def step(z):
        return 1 / (1 + np.exp(-z / 0.0004))

    plateau = model(
        lambda x: x[:, 1] * (step(x[:, 0] - 0.655) - step(x[:, 0] - 0.72)),
        lambda x: np.stack(
            [
                x[:, 1]
                / 0.0004
                * (step(x[:, 0] - 0.655) * step(0.655 - x[:, 0]) - step(x[:, 0] - 0.72) * step(0.72 - x[:, 0])),
                step(x[:, 0] - 0.655) - step(x[:, 0] - 0.72),
            ],
            1,
        ),
    )
    found = xm.explain(plateau, np.array([[1.0, 1.0]]), "integrated_gradients")
    np.testing.assert_allclose(found["u"][0, 0], [-0.065, 0.065], atol=1e-3)


def test_values_between_the_points_cost_no_gradients():
    smooth = toys.mlp("tanh")
    rows = toys.rows(smooth, 6)
    found = xm.explain(smooth, rows, "integrated_gradients")
    np.testing.assert_array_equal(found["evaluations"], 17)
