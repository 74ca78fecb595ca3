"""Maps against marked regions: by hand, chance, ties, properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xai_mimo.core.errors import BadSetting, BadValues, ShapeMismatch
from xai_mimo.metrics.localisation import area, mass_in_region, pointing_game, widened

pytestmark = pytest.mark.all_frameworks

REGION = np.zeros((1, 4, 5), dtype=bool)
REGION[0, 1:3, 1:3] = True


def at(*places):
    maps = np.zeros((1, 4, 5))
    for row, column, value in places:
        maps[0, row, column] = value
    return maps


def test_mass_by_hand():
    maps = at((1, 1, 3.0), (2, 2, -1.0), (0, 4, 4.0))  # magnitudes count: 4 of 8 lie inside
    np.testing.assert_allclose(mass_in_region(maps, REGION), 0.5)
    np.testing.assert_allclose(mass_in_region(np.ones((1, 4, 5)), REGION), area(REGION))
    np.testing.assert_allclose(area(REGION), 0.2)


def test_pointing_by_hand():
    assert pointing_game(at((1, 2, -5.0), (0, 0, 4.0)), REGION) == 1
    assert pointing_game(at((1, 2, 4.0), (0, 0, -5.0)), REGION) == 0


def test_ties_share_the_hit_and_a_flat_map_scores_chance():
    assert pointing_game(at((1, 1, 2.0), (0, 0, 2.0)), REGION) == 0.5
    for flat in (np.zeros((1, 4, 5)), np.full((1, 4, 5), -3.0)):
        np.testing.assert_allclose(pointing_game(flat, REGION), area(REGION))
        wide = widened(REGION, 1)
        np.testing.assert_allclose(pointing_game(flat, REGION, tolerance=1), area(wide))


def test_the_tolerance_is_a_distance():
    corner = at((0, 0, 1.0))  # sqrt(2) away from (1, 1)
    assert [float(pointing_game(corner, REGION, tolerance=t)[0]) for t in (0, 1, 1.4, 1.5)] == [0, 0, 0, 1]
    assert widened(REGION, 1).sum() == 4 + 8


def test_what_tells_nothing_is_undefined():
    assert np.isnan(mass_in_region(np.zeros((1, 4, 5)), REGION))
    for useless in (np.zeros_like(REGION), np.ones_like(REGION)):
        assert np.isnan(mass_in_region(at((1, 1, 1.0)), useless))
        assert np.isnan(pointing_game(at((1, 1, 1.0)), useless))
    assert np.isnan(pointing_game(at((1, 1, 1.0)), REGION, tolerance=9))
    assert not widened(np.zeros_like(REGION), 9).any()


def test_a_random_map_scores_the_area(rng):
    regions = np.repeat(REGION, 4000, axis=0)
    maps = rng.random(regions.shape)
    assert abs(mass_in_region(maps, regions).mean() - 0.2) < 0.005
    assert abs(pointing_game(maps, regions).mean() - 0.2) < 0.02


def test_regions_and_maps_of_any_number_of_axes(rng):
    tokens, regions = rng.standard_normal((6, 9)), rng.random((6, 9)) < 0.4
    regions[:, 0], regions[:, 1] = True, False
    slow = [abs(m[r]).sum() / abs(m).sum() for m, r in zip(tokens, regions, strict=True)]
    np.testing.assert_allclose(mass_in_region(tokens, regions), slow)
    np.testing.assert_array_equal(
        pointing_game(tokens, regions), [r[np.argmax(abs(m))] for m, r in zip(tokens, regions, strict=True)]
    )


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 100), tolerance=st.floats(0, 3))
def test_scores_are_shares_and_know_no_scale_or_order(seed, scale, tolerance):
    rng = np.random.default_rng(seed)
    maps, regions = rng.standard_normal((3, 4, 3)), rng.random((3, 4, 3)) < 0.5
    for score in (mass_in_region, pointing_game):
        found = score(maps, regions)
        told = found[~np.isnan(found)]
        assert ((told >= 0) & (told <= 1)).all()
        np.testing.assert_allclose(score(-scale * maps, regions), found)
        order = rng.permutation(4)
        np.testing.assert_allclose(score(maps[:, order], regions[:, order]), found)
    whole = mass_in_region(maps, regions) + mass_in_region(maps, ~regions)
    np.testing.assert_allclose(whole[~np.isnan(whole)], 1)
    wide = pointing_game(maps, regions, tolerance=tolerance)
    more = ~np.isnan(wide)
    assert (wide[more] >= pointing_game(maps, regions)[more]).all()


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(ShapeMismatch, match=r"got \(1, 4, 5\) and \(1, 4\)"):
        mass_in_region(at(), REGION[..., 0])
    with pytest.raises(BadValues, match="regions must be booleans, one per position; got dtype int64"):
        pointing_game(at(), REGION.astype(np.int64))
    with pytest.raises(BadValues, match="NaN or infinite"):
        mass_in_region(at((0, 0, np.nan)), REGION)
    with pytest.raises(BadSetting, match="tolerance of the pointing game must be a distance of at least 0; got -1"):
        pointing_game(at(), REGION, tolerance=-1)
