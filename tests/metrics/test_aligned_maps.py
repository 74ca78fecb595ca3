"""Maps side by side: those that say something of every feature are summed over the groups of a stream."""

import numpy as np
import pytest

from xai_mimo.core.errors import SchemaError
from xai_mimo.core.explanation import describe, join, streams_of, to_dataset
from xai_mimo.core.method import Attribution
from xai_mimo.core.streams import Head, Stream
from xai_mimo.core.targets import Selector
from xai_mimo.metrics.aligned_maps import project_to_groups

pytestmark = pytest.mark.all_frameworks

HIRE = Stream("hire", (5,), features=("Mon", "heat", "Tue", "Wed", "wind"), groups={"day": ("Mon", "Tue", "Wed")})


def _by_feature(rng, *, signed):
    """A map of every feature, as a method that knows no groups gives it."""
    heads = (Head("hires"),)
    selectors = [Selector("hires", "hires", np.zeros(2, dtype=np.int64))]
    attribution = Attribution({"hire": rng.normal(size=(1, 2, 5))}, np.zeros((1, 2)), signed=signed)
    attrs = {"method": "m", "settings": "{}", "space": "inputs", **describe((HIRE,), heads)}
    return to_dataset(attribution, streams=(HIRE,), selectors=selectors, samples=np.arange(2), attrs=attrs)


@pytest.mark.parametrize("signed", [True, False])
def test_maps_of_features_are_summed_over_groups(rng, signed):
    one = _by_feature(rng, signed=signed)
    values = one["hire"].values if signed else np.abs(one["hire"].values)
    summed = project_to_groups(one)
    slow = np.stack([values[..., 0] + values[..., 2] + values[..., 3], values[..., 1], values[..., 4]], axis=-1)
    np.testing.assert_allclose(summed["hire"].values, slow)
    assert list(summed["hire_feature"].values) == ["day", "heat", "wind"]
    assert streams_of(summed)[0].features == ("day", "heat", "wind")
    assert project_to_groups(summed).identical(summed)


def test_maps_of_features_and_of_groups_are_not_joined_unsummed(rng):
    one = _by_feature(rng, signed=True)
    other = project_to_groups(one).assign_attrs(streams=one.attrs["streams"])
    with pytest.raises(SchemaError, match="3 values along the last axis of stream 'hire', the first method has 5"):
        join({"a": one, "b": other})
