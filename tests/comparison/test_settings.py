"""Settings of the scores are checked when they are made."""

import pytest

from xai_mimo.comparison.settings import Settings
from xai_mimo.core.errors import BadSetting

pytestmark = pytest.mark.all_frameworks


@pytest.mark.parametrize("name", ["steps", "controls", "replacement_rows"])
def test_counts_are_at_least_one(name):
    with pytest.raises(BadSetting, match=f"{name} must be a whole number of at least 1; got 0"):
        Settings(**{name: 0})


def test_tops_hold_something():
    with pytest.raises(BadSetting, match=r"ks are sizes of a top, whole numbers of at least 1 each.* got \(1, 0\)"):
        Settings(ks=(1, 0))


def test_resamples_are_fewer_where_rows_are_many():
    assert Settings().for_rows(100).resamples == 2000
    assert Settings().for_rows(50_000).resamples == 400
    assert Settings().for_rows(10_000_000).resamples == 200
