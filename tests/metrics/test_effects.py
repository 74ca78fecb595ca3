"""Mass held against effect: closed form on sums, interactions, maps that are right in order alone, and idle inputs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import toys
from xai_mimo.core.targets import Selector
from xai_mimo.metrics.aligned_maps import AlignedMaps
from xai_mimo.metrics.complexity import effective_features, uniformity
from xai_mimo.metrics.effects import (
    Inputs,
    effect_of_players,
    effects,
    idle_mass,
    largest_idle_mass,
    masses,
    overlap,
)
from xai_mimo.metrics.removal import removal_curves

pytestmark = pytest.mark.all_frameworks


def along(weights, x, a, seed=0, **kwargs):
    model = toys.linear({"y": [np.asarray(weights, dtype=float)]}, {"u": len(weights)})
    return along_model(model.predict, x, a, seed, **kwargs)


def along_model(predict, x, a, seed=0, **kwargs):
    selectors = [Selector("y", "y", np.zeros(len(x), dtype=np.int64))]
    zeros = {"u": np.zeros((1, x.shape[1]))}
    curves, _ = removal_curves(
        predict, {"u": x}, {"m": a[None]}, selectors, zeros, rng=np.random.default_rng(seed), **kwargs
    )
    return curves["m"]


def test_of_a_sum_the_effect_is_the_contribution(rng):
    weights, x = np.array([3.0, -2.0, 1.0, 0.0]), rng.standard_normal((6, 4))
    contributions = np.abs(x * weights)
    curves = along(weights, x, contributions)
    expected = contributions / contributions.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(effect_of_players(contributions, curves, 0), expected, atol=1e-12)
    np.testing.assert_allclose(overlap(masses(contributions, curves), effects(curves, 0)), 1.0)


def test_of_a_product_deletion_and_insertion_together_share_the_effect():
    """f = a b: deleting the first takes all, keeping the first gives nothing; half each, as Shapley has it."""
    x = np.array([[2.0, 3.0]])
    curves = along_model(lambda s: {"y": s["u"][:, :1] * s["u"][:, 1:]}, x, np.array([[2.0, 1.0]]))
    np.testing.assert_allclose(effects(curves, 0), [[0.5, 0.5]])


def test_one_right_feature_and_mass_on_idle_ones_overlaps_by_its_mass():
    """A quarter of the mass on the one feature that matters, first in order; the rest on three that do nothing."""
    a = np.array([[0.26, 0.25, 0.25, 0.24]])
    curves = along([5, 0, 0, 0], np.ones((1, 4)), a)
    assert overlap(masses(a, curves), effects(curves, 0))[0] == pytest.approx(0.26)
    np.testing.assert_allclose(effect_of_players(a, curves, 0), [[1, 0, 0, 0]])


def test_many_features_share_the_effect_of_their_step_as_its_mass(rng):
    weights, x = rng.uniform(0.5, 2, 50), np.ones((3, 50))
    a = np.tile(weights, (3, 1))
    curves = along(weights, x, a)
    assert len(curves.counts) < 51
    np.testing.assert_allclose(effect_of_players(a, curves, 0), a / a.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(masses(a, curves).sum(axis=1), 1)


@given(st.integers(2, 25), st.integers(0, 2**32 - 1))
def test_shares_are_shares_for_any_map(features, seed):
    rng = np.random.default_rng(seed)
    a, weights = rng.standard_normal((3, features)), rng.standard_normal(features)
    curves = along(weights, rng.standard_normal((3, features)), a, seed)
    np.testing.assert_allclose(masses(a, curves).sum(axis=1), 1)
    np.testing.assert_allclose(effect_of_players(a, curves, 0).sum(axis=1), 1)
    common = overlap(masses(a, curves), effects(curves, 0))
    assert ((common >= 0) & (common <= 1 + 1e-12)).all()
    # The steps' overlap is that of their players: within a step both are divided alike.
    of_players = np.minimum(np.abs(a) / np.abs(a).sum(axis=1, keepdims=True), effect_of_players(a, curves, 0)).sum(
        axis=1
    )
    np.testing.assert_allclose(common, of_players)


def test_a_map_that_is_silent_where_something_moves_has_no_mass_there():
    a = np.array([[0.0, 0.0], [1.0, 2.0]])
    curves = along([1, 1], np.ones((2, 2)), a)
    np.testing.assert_allclose(overlap(masses(a, curves), effects(curves, 0)), [0, 5 / 6])


def test_rows_where_nothing_moves_are_undefined():
    still = along([0, 0], np.ones((2, 2)), np.ones((2, 2)))
    assert np.isnan(effects(still, 0)).all()


def test_idle_mass_is_mass_without_effect_beyond_that_of_a_uniform_map():
    mass = np.array([[1.0, 0.25, 0.8, 0.8, 0.8]])
    effect = np.array([[0.0, 0.0, 0.8, 0.2, 0.19]])
    np.testing.assert_allclose(idle_mass(mass, effect, np.full(5, 0.25)), [[0.75, 0, 0, 0, 0.55]], atol=1e-12)


def inputs_of(*players):
    features = tuple(dict.fromkeys(players))
    maps = AlignedMaps(
        heads=("y",),
        maps={},
        signed={},
        speaks_of={},
        repeats={},
        players=players,
        features=features,
        feature_of=np.array([features.index(p) for p in players]),
        counts=np.ones((100, 2)),
    )
    return Inputs.of(maps)


def test_inputs_are_features_over_all_positions_and_streams():
    inputs = inputs_of(("a", "heat"), ("a", "load"), ("a", "heat"), ("a", "load"), ("b", ""))
    assert inputs.names == ("a.heat", "a.load", "b", "stream a", "stream b")
    np.testing.assert_allclose(inputs.sizes, [0.4, 0.4, 0.2, 0.8, 0.2])
    np.testing.assert_allclose(inputs.sums(np.arange(10.0).reshape(2, 5)), [[2, 4, 4, 6, 4], [12, 14, 9, 26, 9]])


def test_the_most_idle_mass_names_the_input_or_the_stream():
    inputs = inputs_of(("a", "heat"), ("a", "load"), ("b", "noise"), ("b", "hum"))
    effect = np.tile([0.6, 0.4, 0.0, 0.0], (2, 1))
    values, note = largest_idle_mass(np.tile([0.1, 0.1, 0.7, 0.1], (2, 1)), effect, inputs)
    np.testing.assert_allclose(values, 0.7 - 0.25)
    assert note == "b.noise: 70 % of the mass, 0 % of the effect"
    values, note = largest_idle_mass(np.tile([0.02, 0.02, 0.48, 0.48], (2, 1)), effect, inputs)
    np.testing.assert_allclose(values, 0.96 - 0.5)
    assert note == "stream b: 96 % of the mass, 0 % of the effect"


def test_undefined_rows_stay_undefined_and_do_not_hide_the_others():
    mass = np.array([[0.9, 0.1], [np.nan, np.nan]])
    values, _ = largest_idle_mass(mass, np.array([[0.0, 1.0], [0.5, 0.5]]), inputs_of(("a", ""), ("b", "")))
    np.testing.assert_allclose(values, [0.4, np.nan])
    values, note = largest_idle_mass(mass[1:], mass[1:], inputs_of(("a", ""), ("b", "")))
    assert (values, note) == (None, "the map is zero, or nothing moves")


def test_one_input_alone_is_not_idle():
    values, note = largest_idle_mass(np.ones((2, 1)), np.ones((2, 1)), inputs_of(("a", "")))
    np.testing.assert_array_equal(values, 0)
    assert note == "no input has mass without effect"


def test_uniformity_counts_columns_and_not_features():
    group_of_three = np.array([3, 1])
    np.testing.assert_allclose(uniformity(np.array([[3.0, 1.0]]), group_of_three), 1)
    a = np.array([[1.0, 1.0], [0.0, 0.0]])
    even = np.exp(-(0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25)))
    np.testing.assert_allclose(uniformity(a, group_of_three), [even, np.nan])
    rows = np.abs(np.random.default_rng(0).standard_normal((4, 6)))
    np.testing.assert_allclose(uniformity(rows, np.ones(6)), effective_features(rows) / 6)
    assert uniformity(np.array([[1.0, 0.0, 0.0, 0.0]]), np.ones(4))[0] == pytest.approx(0.25)
