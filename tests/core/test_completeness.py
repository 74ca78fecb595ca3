"""The completeness gap and its scale, by hand."""

import json

import numpy as np
import pytest
import xarray as xr

import xai_mimo as xm
from tests.helpers import toys
from xai_mimo.core.completeness import CANCELLED, balance, completeness_gap, relative_gap, scale
from xai_mimo.core.errors import SchemaError
from xai_mimo.core.explanation import join
from xai_mimo.explainers import ExpectedGradients, IntegratedGradients, Shapley

pytestmark = pytest.mark.all_frameworks


def by_hand(a, b, prediction, baseline, streams=("a", "b")):
    """One head, one row for each entry."""
    both = ("head", "sample")
    return xr.Dataset(
        {
            "a": ((*both, "a_time", "a_feature"), np.array([a], float)),
            "b": ((*both, "b_feature"), np.array([b], float)),
            "prediction": (both, np.array([prediction], float)),
            "baseline_prediction": (both, np.array([baseline], float)),
        },
        attrs={"streams": json.dumps([{"name": s} for s in streams])},
    )


def test_gaps_of_three_rows_by_hand():
    a = [[[1, 2]], [[50, -49]], [[0, 0]]]
    b = [[3, 0], [0, -2], [0, 0]]
    explanation = by_hand(a, b, prediction=[9, 5, 4], baseline=[1, 5, 4])
    np.testing.assert_array_equal(completeness_gap(explanation), [[6 - 8, -1 - 0, 0]])
    # |change| 8 weighs more than 0.1 * 6; 0.1 * (50 + 49 + 2) more than a change of 0; the last row has no scale.
    np.testing.assert_allclose(relative_gap(explanation), [[2 / 8, 1 / 10.1, 0]])
    assert completeness_gap(explanation).dims == relative_gap(explanation).dims == ("head", "sample")
    assert CANCELLED == 0.1


def test_the_order_of_dimensions_does_not_matter():
    explanation = by_hand([[[1, 2]], [[3, 4]]], [[3, 0], [1, 1]], prediction=[9, 5], baseline=[1, 5])
    turned = explanation.transpose("sample", "a_feature", "b_feature", "head", "a_time")
    np.testing.assert_array_equal(completeness_gap(turned), completeness_gap(explanation))
    np.testing.assert_array_equal(relative_gap(turned), relative_gap(explanation))


def test_an_explanation_without_a_baseline_is_refused_in_words():
    explanation = by_hand([[[1, 2]]], [[3, 0]], [1], [0]).drop_vars("baseline_prediction")
    for function in (completeness_gap, relative_gap):
        with pytest.raises(
            SchemaError, match=r"no variable 'baseline_prediction'.*'integrated_gradients' or 'shapley'"
        ):
            function(explanation)


def test_the_gap_that_results_carry_is_this_one():
    model = toys.mlp("relu", scale=3.0)
    x = toys.rows(model, 7)
    explanation = xm.explain(model, x, ExpectedGradients(samples=5), rows_per_block=3)
    assert float(abs(explanation["completeness_gap"]).max()) > 0
    np.testing.assert_array_equal(completeness_gap(explanation), explanation["completeness_gap"])


def test_of_joined_methods_those_without_a_baseline_have_no_gap():
    model = toys.mlp()
    x = toys.rows(model, 5)
    methods = {"ig": IntegratedGradients(steps=2), "shapley": Shapley(), "gradient": "gradient"}
    alone = {label: xm.explain(model, x, method) for label, method in methods.items()}
    joined = relative_gap(join(alone))
    assert joined.dims == ("explainer", "head", "sample")
    for label in ("ig", "shapley"):
        np.testing.assert_array_equal(joined.sel(explainer=label), relative_gap(alone[label]))
    assert np.isnan(joined.sel(explainer="gradient")).all()


def test_integrated_gradients_converge_on_this_scale():
    model = toys.mlp("relu", scale=4.0)
    x = toys.rows(model, 40)
    rough = IntegratedGradients(tolerance=1e-4, max_evaluations=25)
    with pytest.warns(xm.core.errors.NotConvergedWarning):
        explanation = xm.explain(model, x, rough)
    within = relative_gap(explanation) <= rough.tolerance
    assert 0 < int(within.sum()) < within.size
    np.testing.assert_array_equal(within, explanation["converged"].astype(bool))


def test_arrays_and_explanations_are_judged_alike(rng):
    values = {"a": rng.normal(size=(1, 4, 2, 3)), "b": rng.normal(size=(1, 4, 2))}
    prediction, baseline = rng.normal(size=(2, 4))
    explanation = by_hand(values["a"][0], values["b"][0], prediction, baseline)
    sums = balance(values, (prediction - baseline)[None])
    np.testing.assert_array_equal(sums.gap, completeness_gap(explanation))
    np.testing.assert_array_equal(sums.scale, scale((prediction - baseline)[None], sums.mass))
    np.testing.assert_allclose(np.abs(sums.gap) / sums.scale, relative_gap(explanation))
