"""The failure rules of the milling machine against rows worked out by hand, ties and smooth forms included."""

import numpy as np
import pytest

import xai_mimo as xm
from xai_mimo.datasets import TRUTH, exact_rules, is_tie, predictive_maintenance, smooth_rules
from xai_mimo.datasets.rules import HEADS, STREAMS, UNITS

pytestmark = pytest.mark.all_frameworks


def row(kind="L", air=300.0, process=310.0, speed=1500.0, torque=40.0, wear=100.0):
    return {
        "product": np.array([[float(kind == letter) for letter in "LMH"]]),
        "thermal": np.array([[air, process]]),
        "mechanical": np.array([[speed, torque]]),
        "wear": np.array([[wear]]),
    }


@pytest.mark.parametrize(
    ("cells", "failures"),
    [
        ({}, set()),  # 40 Nm x 1500 rpm = 6283 W, strain 4000
        ({"process": 308.5, "speed": 1379}, {"HDF"}),  # difference 8.5 K
        ({"process": 308.5, "speed": 1380}, set()),  # as fast as the limit: no failure
        ({"process": 308.7, "speed": 1379}, set()),
        ({"speed": 1500, "torque": 22.2}, {"PWF"}),  # 3487 W
        ({"speed": 1500, "torque": 22.3}, set()),  # 3503 W
        ({"speed": 1500, "torque": 57.2}, set()),  # 8985 W
        ({"speed": 1500, "torque": 57.3}, {"PWF"}),  # 9001 W
        ({"torque": 50, "wear": 220}, {"window"}),  # strain 11000 is not above 11000
        ({"torque": 50, "wear": 221}, {"OSF", "window"}),
        ({"torque": 50, "wear": 221, "kind": "M"}, {"window"}),
        ({"torque": 50, "wear": 241, "kind": "M"}, {"OSF"}),  # 12050
        ({"torque": 50, "wear": 260, "kind": "H"}, set()),  # 13000 is not above 13000
        ({"torque": 50, "wear": 261, "kind": "H"}, {"OSF"}),
        ({"wear": 199}, set()),
        ({"wear": 200}, {"window"}),
    ],
)
def test_rules_equal_rows_worked_out_by_hand(cells, failures):
    labels = exact_rules(row(**cells))
    assert {name for name, hit in labels.items() if hit[0]} == failures


def test_a_difference_of_8_6_kelvin_is_a_tie_that_float64_rounding_decides():
    low, high = row(air=298.8, process=307.4, speed=1300), row(air=298.9, process=307.5, speed=1300)
    assert is_tie(low)[0]
    assert is_tie(high)[0]
    assert not is_tie(row(air=298.8, process=307.5, speed=1300))[0]
    assert not is_tie(row(air=298.8, process=307.4, speed=1400))[0]
    assert exact_rules(low)["HDF"][0] == (307.4 - 298.8 < 8.6)


def test_the_smooth_rules_are_logistic_in_the_distance_to_the_threshold():
    def logistic(x):
        return 1 / (1 + np.exp(-x))

    cells = row(air=300, process=308.4, speed=1370, torque=45, wear=210)
    watt = 45 * 1370 * 2 * np.pi / 60
    chances = smooth_rules(**cells)
    np.testing.assert_allclose(chances["HDF"][0, 0], logistic(0.2 / 0.2) * logistic(10 / 15))
    np.testing.assert_allclose(chances["PWF"][0, 0], logistic((3500 - watt) / 100) + logistic((watt - 9000) / 100))
    np.testing.assert_allclose(chances["OSF"][0, 0], logistic((45 * 210 - 11_000) / 200))
    np.testing.assert_allclose(chances["TWF"][0, 0], 43 / 790 * (logistic(5) - logistic(-15)))
    assert chances["RNF"][0, 0] == 0.001


def test_smooth_and_exact_rules_agree_away_from_the_thresholds():
    data = predictive_maintenance(4000, seed=3, positives=0.2)
    smooth, exact = smooth_rules(**data.inputs), exact_rules(data.inputs)
    for name in ("PWF", "OSF"):
        np.testing.assert_array_equal(smooth[name][:, 0] > 0.5, exact[name])
    thermal, speed = data.inputs["thermal"], data.inputs["mechanical"][:, 0]
    clear = (np.abs(thermal[:, 1] - thermal[:, 0] - 8.6) > 0.3) & (np.abs(speed - 1380) > 25)
    np.testing.assert_array_equal(smooth["HDF"][clear, 0] > 0.5, exact["HDF"][clear])


def test_each_head_of_the_oracle_moves_with_its_true_features_and_with_nothing_else():
    data = predictive_maintenance(3000, seed=5, positives=0.2)
    rng = np.random.default_rng(0)
    before = smooth_rules(**data.inputs)
    for stream in data.streams:
        for column, feature in enumerate(stream.features):
            moved = {name: x.copy() for name, x in data.inputs.items()}
            moved[stream.name][:, column] = rng.permutation(moved[stream.name][:, column])
            after = smooth_rules(**moved)
            for head in TRUTH:
                changed = bool(np.abs(after[head] - before[head]).max() > 1e-9)
                assert changed == (feature in TRUTH[head].get(stream.name, ())), (head, feature)


def test_the_oracle_is_adapted_like_any_plain_function():
    model = xm.adapt(smooth_rules, streams=STREAMS, heads=HEADS)
    data = predictive_maintenance(5, seed=0)
    outputs = model.predict(data.inputs)
    assert [h.name for h in model.heads] == ["TWF", "HDF", "PWF", "OSF", "RNF"]
    np.testing.assert_allclose(outputs["OSF"], smooth_rules(**data.inputs)["OSF"])


def test_every_feature_of_the_truth_exists_and_has_a_unit():
    features = {s.name: s.features for s in STREAMS}
    assert {name: len(units) for name, units in UNITS.items()} == {name: len(f) for name, f in features.items()}
    for head in TRUTH.values():
        for stream, names in head.items():
            assert set(names) <= set(features[stream])
