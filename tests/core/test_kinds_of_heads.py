"""Ordinal, quantile and survival heads: their targets, labels, scores and words."""

import numpy as np
import pytest

import xai_mimo as xm
from xai_mimo.comparison.task_scores import task_scores
from xai_mimo.core.errors import BadSetting, BadValues, ShapeMismatch
from xai_mimo.core.head_kinds import is_cumulative, is_of_classes, quantile_levels
from xai_mimo.core.labels import check_labels
from xai_mimo.core.logit import on_logit
from xai_mimo.core.streams import Head
from xai_mimo.core.targets import Target, default_targets, expand, select

pytestmark = pytest.mark.all_frameworks

GRADE = Head("grade", (4,), "ordinal", units=("none", "mild", "grave", "fatal"))
ABOVE = Head("above", (3,), "ordinal", units=("mild", "grave", "fatal"), unit="cumulative probability")
HOURS = Head("hours", (3,), "quantile", units=("p10", "p50", "p90"), unit="h")
ALIVE = Head("alive", (3,), "survival", units=("30", "60", "90"), unit="probability")


def test_targets_unless_named():
    assert default_targets([GRADE]) == [Target("grade", "predicted")]
    assert default_targets([ABOVE]) == [Target("above", unit) for unit in range(3)]
    assert default_targets([HOURS]) == [Target("hours", unit) for unit in range(3)]
    assert default_targets([ALIVE]) == [Target("alive", unit) for unit in range(3)]


def test_levels_are_classes_in_order_and_thresholds_are_not():
    assert is_of_classes(GRADE)
    assert is_cumulative(ABOVE)
    assert not is_of_classes(ABOVE)


@pytest.mark.parametrize(
    ("head", "word", "are"),
    [(ABOVE, "predicted", "thresholds"), (HOURS, "label", "quantiles of one quantity"), (ALIVE, "predicted", "times")],
)
def test_no_unit_of_these_is_predicted_or_right(head, word, are):
    with pytest.raises(BadSetting, match=f"the units of head '{head.name}' are {are} .* none of them is '{word}'"):
        expand([(head.name, word)], [head])


def test_the_level_of_a_row_can_be_explained():
    predictions = {"grade": np.array([[0.1, 0.7, 0.1, 0.1], [0.1, 0.1, 0.1, 0.7]])}
    assert select(["grade"], [GRADE], predictions)[0].units.tolist() == [1, 3]
    labels = check_labels({"grade": ["none", "grave"]}, [GRADE], 2)
    assert select([("grade", "label")], [GRADE], predictions, labels)[0].units.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("units", "levels"),
    [
        (("p10", "P50", "p97.5"), (0.1, 0.5, 0.975)),
        (("q0.1", "0.5", ".9"), (0.1, 0.5, 0.9)),
        (("10%", "50 %", "percentile 90"), (0.1, 0.5, 0.9)),
        (("low", "p50", "p90"), None),
        (("p0", "p50", "p100"), None),
    ],
)
def test_levels_of_quantiles_are_read_off_the_units(units, levels):
    assert quantile_levels(Head("hours", (3,), "quantile", units=units)) == levels


def test_one_number_speaks_for_all_quantiles():
    checked = check_labels({"hours": [1.5, np.nan, 3.0]}, [HOURS], 3)["hours"]
    assert checked.shape == (3,)
    with pytest.raises(
        ShapeMismatch, match=r"want \(3,\), one for all 3 units, as it is of kind quantile; got \(3, 3\)"
    ):
        check_labels({"hours": np.ones((3, 3))}, [HOURS], 3)
    steps = Head("load", (2, 3), "quantile", units=("p10", "p50", "p90"))
    assert check_labels({"load": np.ones((5, 2))}, [steps], 5)["load"].shape == (5, 2)


def test_thresholds_part_one_level_more_than_there_are():
    assert check_labels({"above": [0, 3, 2]}, [ABOVE], 3)["above"].tolist() == [0, 3, 2]
    with pytest.raises(
        BadValues, match=r"whole numbers from 0 to 3, the levels that its thresholds part; got 4.* in row 1"
    ):
        check_labels({"above": [0, 4]}, [ABOVE], 2)


def test_a_curve_has_a_label_for_each_time():
    curve = np.array([[1, 1, 0], [1, np.nan, np.nan]])
    np.testing.assert_array_equal(check_labels({"alive": curve}, [ALIVE], 2)["alive"], curve)
    with pytest.raises(BadValues, match=r"must be 0 or 1 for each unit; got \[1.0, 2.0, 0.0\] in row 0"):
        check_labels({"alive": np.array([[1.0, 2, 0]])}, [ALIVE], 1)
    with pytest.raises(ShapeMismatch, match=r"want \(2, 3\), one number for each unit"):
        check_labels({"alive": [10.0, 20.0]}, [ALIVE], 2)


def scores(head, labels, outputs):
    return {s.metric: s for s in task_scores([head], {head.name: np.asarray(labels)}, {head.name: outputs})[head.name]}


def test_levels_are_scored_by_how_far_off_they_are():
    labels = np.array([0, 1, 2, 3] * 3)
    outputs = np.eye(4)[np.array([0, 1, 2, 2] * 3)]  # the highest level is one off
    found = scores(GRADE, labels, outputs)
    assert found["level_mae"].estimate == pytest.approx(0.25)
    assert found["mae_skill"].estimate == pytest.approx(1 - 0.25 / 1.0)  # the median is 1.5: 1 level off on average
    assert found["mae_skill"].chance == 0.0


def test_the_level_of_thresholds_is_how_many_are_passed():
    labels = np.array([0, 1, 2, 3] * 3)
    passed = np.array([[0.4, 0.2, 0.1], [0.9, 0.4, 0.1], [0.9, 0.8, 0.2], [0.9, 0.8, 0.7]] * 3)
    assert scores(ABOVE, labels, passed)["level_mae"].estimate == 0.0
    logits = Head("above", (3,), "ordinal", unit="cumulative log-odds")
    assert scores(logits, labels, np.log(passed / (1 - passed)))["level_mae"].estimate == 0.0


def test_quantiles_are_scored_by_their_pinball_loss():
    rng = np.random.default_rng(2)
    labels, outputs = rng.normal(size=12), rng.normal(size=(12, 3))
    slow, guess = 0.0, 0.0
    for j, level in enumerate((0.1, 0.5, 0.9)):
        constant = np.quantile(labels, level)
        for y, q in zip(labels, outputs[:, j], strict=True):
            slow += (level * (y - q) if y >= q else (1 - level) * (q - y)) / 36
            guess += (level * (y - constant) if y >= constant else (1 - level) * (constant - y)) / 36
    found = scores(HOURS, labels, outputs)
    assert found["pinball_loss"].estimate == pytest.approx(slow)
    assert found["pinball_skill"].estimate == pytest.approx(1 - slow / guess)


def test_of_quantiles_without_levels_and_of_curves_it_is_said_why_there_is_no_score():
    unnamed = Head("hours", (3,), "quantile", units=("low", "mid", "high"))
    found = scores(unnamed, np.arange(12.0), np.ones((12, 3)))
    assert found["pinball_skill"].note.startswith("the units (low, mid, high) do not say which quantiles they are")
    assert scores(ALIVE, np.ones((12, 3)), np.ones((12, 3)))["survival_score"].note.startswith(
        "a survival curve is not"
    )


def test_an_unknown_kind_lists_those_there_are():
    with pytest.raises(BadValues, match=r"'ranking'; expected regression, binary, .*, ordinal, quantile or survival"):
        Head("y", kind="ranking")


def test_ordinal_heads_are_explained_on_their_log_odds_and_curves_are_left():
    def model(x):
        return {"above": np.repeat(x[:, :1], 3, axis=1), "alive": np.repeat(x[:, :1], 3, axis=1)}

    adapted = xm.adapt(model, {"x": 1}, [ABOVE, ALIVE])
    x = {"x": np.array([[0.25], [0.5]], np.float32)}
    cut, words = on_logit(adapted, {"above", "alive"}, x)
    np.testing.assert_allclose(cut.predict(x)["above"][:, 0], [-np.log(3), 0.0], rtol=1e-6, atol=1e-7)
    assert cut.heads[0].unit == "cumulative log-odds"
    assert words["alive"] == "its output: a head of kind survival is none of probabilities"


@pytest.mark.parametrize("rows", [[np.nan, np.nan], [[np.nan], [np.nan]]])
def test_labels_of_which_none_is_known_are_refused(rows):
    with pytest.raises(BadValues, match=r"'hours' are NaN in every row, so nothing is known\. Leave"):
        check_labels({"hours": rows}, [HOURS], 2)
