"""From quantities to scores: intervals of numbers about a mean, and what counts as an input of a map."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from scipy import stats

import xai_mimo as xm
from xai_mimo.comparison.score import intervals
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.method import Attribution
from xai_mimo.core.streams import Stream
from xai_mimo.core.targets import take
from xai_mimo.metrics.complexity import Gini
from xai_mimo.metrics.metric import Quantity
from xai_mimo.metrics.statistics import resample_counts

pytestmark = pytest.mark.all_frameworks


def grown(means):
    """exp of the first value of each mean: in no unit is it a mean of rows."""
    return np.exp(means[:, 0])


def test_the_interval_of_a_number_about_a_mean_is_that_of_the_slow_formula(rng):
    """BCa (Efron, 1987), with the means of the rows but one, each taken from these rows."""
    values = rng.exponential(3.0, (15, 2))
    counts = resample_counts(15, 4000, rng)
    boots = np.array([np.exp(np.repeat(values[:, 0], c.astype(int)).mean()) for c in counts])
    left_out = np.array([np.exp(np.delete(values[:, 0], row).mean()) for row in range(15)])
    estimate = np.exp(values[:, 0].mean())
    z0 = stats.norm.ppf((boots < estimate).mean())
    apart = left_out.mean() - left_out
    acceleration = (apart**3).sum() / (6 * (apart**2).sum() ** 1.5)
    z = stats.norm.ppf([0.025, 0.975])
    low, high = np.quantile(boots, stats.norm.cdf(z0 + (z0 + z) / (1 - acceleration * (z0 + z))))
    (own,) = intervals(Gini(), [Quantity(method="m", target="y", values=values, of_mean=grown)], counts)
    assert own.estimate == pytest.approx(estimate)
    assert (own.low, own.high) == (pytest.approx(low, rel=0.005), pytest.approx(high, rel=0.005))
    assert own.rows == 15


@dataclass(frozen=True)
class Flat:
    """A map of ones."""

    name: ClassVar[str] = "flat"
    reference: ClassVar[str] = ""

    def __call__(self, model, inputs, selectors, context):
        ones = {name: np.ones((len(selectors), *x.shape)) for name, x in inputs.items()}
        return Attribution(ones, take(model.predict(inputs), selectors), signed=False)


def test_pixels_are_the_inputs_of_a_map_of_an_image_although_the_image_is_one_feature(rng):
    """One feature alone would have nothing to rank, and of less than three none is uniform."""

    def net(image):
        return {"y": 3 * image[:, 0, 0, 0] + image[:, 1, 1, 0]}

    model = xm.adapt(net, streams={"image": Stream("image", (3, 3, 1))}, heads={"y": "regression"})
    settings = Settings(ceilings=False, resamples=200, steps=3, controls=1)
    (row,) = xm.compare(model, rng.standard_normal((15, 3, 3, 1)), [Flat()], settings=settings).record.verdicts
    assert row.verdict == "doubtful"
    assert any("a map that gives every column the same (uniformity 1.00" in s for s in row.evidence)
