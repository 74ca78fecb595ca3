"""The milling generator: marginals, correlations and failure rates of the published file; heads of known truth."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xai_mimo.core.errors import BadSetting, ShapeMismatch
from xai_mimo.datasets import Data, ai4i2020, exact_rules, predictive_maintenance

pytestmark = pytest.mark.all_frameworks

# mean and standard deviation of the published file, written down so that the test also runs without it
RECORDED = {
    "air": (300.00493, 2.000259),
    "process": (310.00556, 1.483734),
    "speed": (1538.7761, 179.284096),
    "torque": (39.98691, 9.968934),
    "wear": (107.951, 63.654147),
}


def columns(data):
    return {f: data.inputs[s.name][:, i] for s in data.streams for i, f in enumerate(s.features)}


def reference():
    if "XAI_MIMO_DATA" not in os.environ or not (Path(os.environ["XAI_MIMO_DATA"]) / "ai4i2020").is_dir():
        return RECORDED
    real = columns(ai4i2020())
    return {name: (real[name].mean(), real[name].std(ddof=1)) for name in RECORDED}


def test_marginals_are_those_of_the_published_file():
    drawn = columns(predictive_maintenance(50_000, seed=1))
    for name, (mean, std) in reference().items():
        assert abs(drawn[name].mean() - mean) < 0.03 * std, name
        assert drawn[name].std() == pytest.approx(std, rel=0.03), name


def test_product_types_come_at_60_30_and_10_percent():
    shares = predictive_maintenance(50_000, seed=1).inputs["product"].mean(axis=0)
    np.testing.assert_allclose(shares, [0.6000, 0.2997, 0.1003], atol=0.01)


def test_pairs_are_correlated_as_in_the_file_and_everything_else_is_not():
    table = columns(predictive_maintenance(50_000, seed=2))
    names = ["air", "process", "speed", "torque", "wear"]
    correlations = np.corrcoef([table[name] for name in names])
    expected = np.eye(5)
    expected[0, 1] = expected[1, 0] = 0.876
    expected[2, 3] = expected[3, 2] = -0.875
    np.testing.assert_allclose(correlations, expected, atol=0.02)


def test_independent_features_are_uncorrelated_with_the_same_marginals():
    table = columns(predictive_maintenance(50_000, seed=2, independent=True))
    names = ["air", "process", "speed", "torque", "wear"]
    np.testing.assert_allclose(np.corrcoef([table[name] for name in names]), np.eye(5), atol=0.02)
    assert table["speed"].std() == pytest.approx(RECORDED["speed"][1], rel=0.03)


def test_failures_follow_the_rules_and_come_at_about_the_files_rates():
    data = predictive_maintenance(100_000, seed=4)
    rules = exact_rules(data.inputs)
    for name, rate in {"HDF": 0.0115, "PWF": 0.0095, "OSF": 0.0098}.items():
        np.testing.assert_array_equal(data.labels[name] == 1, rules[name])
        assert data.labels[name].mean() == pytest.approx(rate, rel=0.2), name
    assert not (data.labels["TWF"][~rules["window"]]).any()
    assert data.labels["TWF"][rules["window"]].mean() == pytest.approx(43 / 790, abs=0.01)


@pytest.mark.parametrize("independent", [False, True])
def test_enriched_rows_keep_the_rules_and_reach_the_share_asked_for(independent):
    data = predictive_maintenance(3000, seed=4, positives=0.2, independent=independent)
    rules = exact_rules(data.inputs)
    assert len(data) == 3000
    for name in ("HDF", "PWF", "OSF"):
        np.testing.assert_array_equal(data.labels[name] == 1, rules[name])
        assert 0.2 <= data.labels[name].mean() <= 0.45, name
    assert 0.2 <= data.labels["TWF"].mean() <= 0.25
    assert data.labels["RNF"].mean() == pytest.approx(0.2, abs=0.03)


def test_the_null_head_is_independent_of_every_feature():
    data = predictive_maintenance(20_000, seed=8, positives=0.2)
    for name, values in columns(data).items():
        assert abs(np.corrcoef(values, data.labels["RNF"])[0, 1]) < 0.03, name


@settings(max_examples=15, deadline=None)
@given(n=st.integers(1, 60), seed=st.integers(0, 10**6), independent=st.booleans())
def test_the_same_seed_gives_the_same_rows(n, seed, independent):
    one = predictive_maintenance(n, seed, independent=independent)
    other = predictive_maintenance(n, seed, independent=independent)
    assert len(one) == n
    for name, values in one.inputs.items():
        np.testing.assert_array_equal(values, other.inputs[name])
    for name, values in one.labels.items():
        np.testing.assert_array_equal(values, other.labels[name])


def test_rows_taken_keep_inputs_and_labels_together():
    data = predictive_maintenance(500, seed=0, positives=0.2)
    part = data.take(data.labels["OSF"] == 1)
    assert len(part) == data.labels["OSF"].sum()
    assert exact_rules(part.inputs)["OSF"].all()


def test_heads_can_be_left_out_with_their_truth():
    part = predictive_maintenance(10, seed=0).only(["HDF", "OSF"])
    assert [h.name for h in part.heads] == ["HDF", "OSF"]
    assert set(part.labels) == set(part.truth) == {"HDF", "OSF"}


def test_impossible_settings_are_refused():
    with pytest.raises(BadSetting, match="at least 1; got 0"):
        predictive_maintenance(0)
    with pytest.raises(BadSetting, match=r"at most at 0\.25"):
        predictive_maintenance(10, positives=0.3)


def test_labels_of_another_length_are_refused():
    data = predictive_maintenance(4, seed=0)
    with pytest.raises(ShapeMismatch, match=r"'HDF' of data set 'x' wants \(4,\) values; got \(3,\)"):
        Data(
            name="x",
            inputs=data.inputs,
            labels={**data.labels, "HDF": np.zeros(3)},
            streams=data.streams,
            heads=data.heads,
            truth=data.truth,
            units=data.units,
            ties=data.ties,
            source="",
        )
