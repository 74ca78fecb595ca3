"""Gradients at ends and middles of pieces where some are NaN or infinite, against what they have to become."""

import numpy as np
import pytest

from xai_mimo.explainers.gradients.gaps import bridge


def at(*values):
    """``(target, piece, feature)`` of one target and one piece."""
    return np.array(values)[None, None]


@pytest.mark.parametrize("power", [0.5, 0.25, 0.75])
def test_an_infinite_end_integrates_a_power_exactly(power):
    middle, far = power * 0.5 ** (power - 1), power
    low, centre, high, is_open = bridge(at(np.inf), at(middle), at(far))
    np.testing.assert_allclose((low + 4 * centre + high) / 6, 1.0)
    low, centre, high, is_open = bridge(at(far), at(middle), at(np.inf))
    np.testing.assert_allclose((low + 4 * centre + high) / 6, 1.0)
    assert not is_open.any()


@pytest.mark.parametrize("far", [2.0, 1.0, -0.5])
def test_an_end_towards_which_the_slope_does_not_rise_takes_the_value_of_the_middle(far):
    low, _, high, _ = bridge(at(np.nan), at(1.0), at(far))
    assert (low.item(), high.item()) == (1.0, far)


def test_a_middle_lost_in_one_feature_of_several_leaves_the_piece_open():
    _, centre, _, is_open = bridge(at(1.0, 2.0), at(np.nan, 5.0), at(3.0, 4.0))
    np.testing.assert_array_equal(centre, at(2.0, 5.0))
    assert is_open.tolist() == [True]


def test_a_stretch_without_a_gradient_is_no_bridge():
    assert bridge(at(np.nan, 1.0), at(np.inf, 1.0), at(np.nan, 1.0)) is None
