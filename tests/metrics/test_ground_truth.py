"""Ground truth and complexity: scikit-learn, closed forms, properties."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import xai_mimo as xm
from tests.helpers import toys
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.errors import BadSetting, BadValues, ShapeMismatch
from xai_mimo.core.method import Attribution
from xai_mimo.core.targets import take
from xai_mimo.metrics.complexity import effective_features, gini, shares
from xai_mimo.metrics.ground_truth import auroc, by_feature, share_on_truth
from xai_mimo.metrics.rank_test import rank_sum_p

pytestmark = pytest.mark.all_frameworks

TRUTH = np.array([True, False, False, True, False, False])


@pytest.mark.parametrize("digits", [0, 1, 8])
def test_auroc_equals_scikit_learn(rng, digits):
    a = np.round(rng.standard_normal((20, 6)), digits)
    np.testing.assert_allclose(auroc(a, TRUTH), [roc_auc_score(TRUTH, abs(row)) for row in a], atol=1e-12)


def test_scores_of_perfect_reversed_and_constant_maps():
    perfect = TRUTH[None] * 2.0
    np.testing.assert_allclose(auroc(-perfect, TRUTH), 1.0)
    np.testing.assert_allclose(auroc(1 - perfect / 2, TRUTH), 0.0)
    np.testing.assert_allclose(auroc(np.ones((3, 6)), TRUTH), 0.5)
    np.testing.assert_allclose(share_on_truth(perfect, TRUTH), 1.0)
    np.testing.assert_allclose(share_on_truth(-np.ones((3, 6)), TRUTH), 2 / 6)
    assert np.isnan(share_on_truth(np.zeros((1, 6)), TRUTH)).all()


def test_bad_truths_are_refused():
    a = np.ones((2, 3))
    with pytest.raises(BadSetting, match=r"0 of 3 features are true.*Leave this head out"):
        auroc(a, np.zeros(3, dtype=bool))
    with pytest.raises(BadSetting, match="3 of 3"):
        share_on_truth(a, np.ones(3, dtype=bool))
    with pytest.raises(ShapeMismatch, match="one boolean per feature"):
        auroc(a, np.ones(4, dtype=bool))
    with pytest.raises(BadValues, match="must be booleans"):
        auroc(a, np.array([0, 1, 0]))
    with pytest.raises(BadValues, match="NaN"):
        auroc(a * np.nan, np.array([True, False, True]))


def test_complexity_of_uniform_and_single_maps():
    uniform, single = -np.ones((1, 8)), np.eye(8)[:1]
    np.testing.assert_allclose(effective_features(uniform), 8)
    np.testing.assert_allclose(effective_features(single), 1)
    np.testing.assert_allclose(gini(uniform), 0, atol=1e-12)
    np.testing.assert_allclose(gini(single), 1 - 1 / 8)
    for metric in (effective_features, gini):
        assert np.isnan(metric(np.zeros((1, 8)))).all()


def test_complexity_equals_the_slow_formulas_and_ignores_scale_sign_and_order(rng):
    a = rng.standard_normal((4, 7))
    p = abs(a) / abs(a).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares(a), p)
    slow = [sum(abs(u - v) for u in row for v in row) / (2 * 7**2 * np.mean(row)) for row in abs(a)]
    np.testing.assert_allclose(gini(a), slow)
    np.testing.assert_allclose(effective_features(a), np.exp([-sum(q * np.log(q) for q in row) for row in p]))
    for metric in (effective_features, gini):
        np.testing.assert_allclose(metric(-3 * a[:, ::-1]), metric(a))


def test_magnitudes_are_summed_over_the_positions_of_a_feature(rng):
    a, feature_of = rng.standard_normal((5, 7)), np.array([0, 1, 0, 1, 2, 2, 2])
    slow = [[sum(abs(v) for v, f in zip(row, feature_of, strict=True) if f == i) for i in range(4)] for row in a]
    np.testing.assert_allclose(by_feature(a, feature_of, 4), slow)
    np.testing.assert_array_equal(by_feature(a, np.arange(7), 7), abs(a))


def test_a_feature_whose_positions_pull_to_both_sides_keeps_its_mass():
    difference_of_steps = np.array([[5.0, 0.1, -5.0, 0.1]])
    mass = by_feature(difference_of_steps, np.array([0, 1, 0, 1]), 2)
    np.testing.assert_allclose(share_on_truth(mass, np.array([True, False])), 10 / 10.2)


@dataclass(frozen=True)
class Noisy:
    """A map of noise, a few rows of it large."""

    name: ClassVar[str] = "noisy"
    reference: ClassVar[str] = ""

    def __call__(self, model, inputs, selectors, context):
        return Attribution({"s": noise(len(inputs["s"]))}, take(model.predict(inputs), selectors))


def noise(rows):
    """``(1, row, 8)``: rows, their mean and their median all rank the features differently."""
    rng = np.random.default_rng(4)
    return (rng.standard_normal((rows, 8)) * np.exp(1.5 * rng.standard_normal((rows, 1))))[None]


def test_the_p_of_the_mean_map_is_that_of_the_mean_of_magnitudes(rng):
    model = toys.linear({"y": [[1.0] * 8]}, {"s": 8})
    result = xm.compare(
        model,
        {"s": rng.standard_normal((30, 8))},
        [Noisy()],
        metrics=["auroc_mean_map"],
        truth={"y": {"s": ["0", "3", "4"]}},
        settings=Settings(resamples=200, ceilings=False),
    )
    truth = np.isin(np.arange(8), [0, 3, 4])
    magnitudes = abs(noise(30)[0])
    mean, *others = (
        magnitudes.mean(axis=0),
        magnitudes[0],
        np.median(magnitudes, axis=0),
        abs(noise(30)[0].mean(axis=0)),
    )
    (row,) = (d for d in result.record.differences if d.other == "chance")
    assert row.p == pytest.approx(rank_sum_p(mean, truth))
    assert row.estimate == pytest.approx(roc_auc_score(truth, mean) - 0.5)
    assert all(abs(row.p - rank_sum_p(other, truth)) > 0.01 for other in others)
