"""Maps of moved rows: models whose gradients are known, the slow definition, properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xai_mimo.core.errors import BadSetting, ShapeMismatch
from xai_mimo.metrics.robustness import local_lipschitz, max_sensitivity, nearby

pytestmark = pytest.mark.all_frameworks

SCALE = {"u": np.array([1.0, 2.0, 0.5]), "v": 1.0}


@pytest.fixture
def x(rng):
    return {"u": rng.standard_normal((5, 3)), "v": rng.standard_normal((5, 2))}


def flat(inputs):
    return np.concatenate([v.reshape(len(v), -1) for v in inputs.values()], axis=1)


def constant(inputs):
    return np.ones((2, len(inputs["u"]), 5))


def doubled(inputs):
    return np.stack([2 * flat(inputs), 2 * flat(inputs)])


def test_a_map_that_does_not_move_scores_zero(x, rng):
    for score in (max_sensitivity, local_lipschitz):
        np.testing.assert_array_equal(score(constant, x, constant(x), scale=SCALE, rng=rng), np.zeros((2, 5)))


def test_a_linear_map_has_its_own_rate(x, rng):
    found = local_lipschitz(doubled, x, doubled(x), scale={"u": 1.0, "v": 1.0}, rng=rng)
    np.testing.assert_allclose(found, 2)


def test_they_equal_the_slow_definitions(x):
    def curved(inputs):
        return (flat(inputs) ** 3)[None]

    ours = [
        score(curved, x, curved(x), scale=SCALE, radius=0.3, samples=4, rng=np.random.default_rng(6))[0]
        for score in (max_sensitivity, local_lipschitz)
    ]
    rng, before = np.random.default_rng(6), curved(x)[0]
    sensitivity, lipschitz = np.zeros(5), np.zeros(5)
    for _ in range(4):
        moved = nearby(x, SCALE, 0.3, rng)
        for n in range(5):
            change = np.sqrt(((curved(moved)[0, n] - before[n]) ** 2).sum())
            steps = [(moved["u"][n] - x["u"][n]) / SCALE["u"], moved["v"][n] - x["v"][n]]
            sensitivity[n] = max(sensitivity[n], change / np.sqrt((before[n] ** 2).sum()))
            lipschitz[n] = max(lipschitz[n], change / np.sqrt((np.concatenate(steps) ** 2).sum()))
    np.testing.assert_allclose(ours, [sensitivity, lipschitz])


def test_rows_stay_near_and_whole_numbers_stay(x, rng):
    mixed = {**x, "words": np.arange(10).reshape(5, 2)}
    moved = nearby(mixed, {**SCALE, "words": 1.0}, 0.1, rng)
    assert (abs(moved["u"] - x["u"]) <= 0.1 * SCALE["u"] + 1e-12).all()
    assert not np.array_equal(moved["v"], x["v"])
    np.testing.assert_array_equal(moved["words"], mixed["words"])
    assert moved["words"].dtype == mixed["words"].dtype
    fixed = nearby(x, {"u": np.array([0.0, 1.0, 1.0]), "v": 1.0}, 0.1, rng)
    np.testing.assert_array_equal(fixed["u"][:, 0], x["u"][:, 0])


def test_what_tells_nothing_is_undefined(x, rng):
    zero = np.zeros((2, 5, 5))
    assert np.isnan(max_sensitivity(lambda i: zero, x, zero, scale=SCALE, rng=rng)).all()
    still = {"u": 0.0, "v": 0.0}
    assert np.isnan(local_lipschitz(doubled, x, doubled(x), scale=still, rng=rng)).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), factor=st.floats(0.01, 100))
def test_sensitivity_knows_no_unit_and_grows_with_draws(seed, factor):
    rng = np.random.default_rng(seed)
    x = {"u": rng.standard_normal((3, 4))}

    def curved(inputs):
        return np.sin(3 * inputs["u"])[None]

    def scaled(inputs):
        return factor * curved(inputs)

    def score(explain, samples):
        again = np.random.default_rng(seed)
        return max_sensitivity(explain, x, explain(x), scale={"u": 1.0}, samples=samples, rng=again)

    np.testing.assert_allclose(score(curved, 3), score(scaled, 3), rtol=1e-9)
    assert (score(curved, 6) >= score(curved, 3)).all()


def test_settings_and_shapes_are_checked(x, rng):
    with pytest.raises(BadSetting, match="radius must be a number above 0; got 0"):
        nearby(x, SCALE, 0, rng)
    with pytest.raises(BadSetting, match="samples must be at least 1; got 0"):
        max_sensitivity(constant, x, constant(x), scale=SCALE, samples=0, rng=rng)
    with pytest.raises(ShapeMismatch, match=r"of 5 rows; got \(2, 4, 5\)"):
        max_sensitivity(constant, x, constant(x)[:, :4], scale=SCALE, rng=rng)
    with pytest.raises(ShapeMismatch, match=r"moved rows have shape \(2, 5, 5\), those of the rows \(1, 5, 5\)"):
        local_lipschitz(constant, x, constant(x)[:1], scale=SCALE, rng=rng)
