"""Which scalar of each row is explained: by default, by prediction, by label, and what is refused."""

import numpy as np
import pytest

from xai_mimo.core.errors import BadSetting, BadValues, DuplicateName, ShapeMismatch, UnknownName
from xai_mimo.core.streams import Head
from xai_mimo.core.targets import Target, default_targets, rows_of, select, take

pytestmark = pytest.mark.all_frameworks

RISK = Head("risk")
MODE = Head("mode", (3,), kind="multiclass", units=("none", "wear", "heat"))
LIFE = Head("life", (2,), units=("p50", "p90"))
HEADS = (RISK, MODE, LIFE)


@pytest.fixture
def outputs(rng):
    return {"risk": rng.normal(size=(4, 1)), "mode": rng.normal(size=(4, 3)), "life": rng.normal(size=(4, 2))}


def test_by_default_nothing_is_left_out(outputs):
    assert default_targets(HEADS) == [
        Target("risk", 0),
        Target("mode", "predicted"),
        Target("life", 0),
        Target("life", 1),
    ]
    chosen = select(None, HEADS, outputs)
    assert [s.name for s in chosen] == ["risk", "mode", "life:p50", "life:p90"]


def test_predicted_is_the_largest_output_of_each_row(outputs):
    (mode,) = select(["mode"], HEADS, outputs)
    np.testing.assert_array_equal(mode.units, outputs["mode"].argmax(axis=1))


def test_label_takes_classes_or_one_hot_rows(outputs):
    classes = np.array([2, 0, 1, 1])
    for labels in (classes, classes[:, None], np.eye(3)[classes]):
        (mode,) = select([("mode", "label")], HEADS, outputs, {"mode": labels})
        np.testing.assert_array_equal(mode.units, classes)


def test_take_picks_each_rows_own_unit(outputs):
    chosen = select([("mode", "predicted"), ("life", -1)], HEADS, outputs)
    values = take(outputs, chosen)
    assert values.dtype == np.float64
    np.testing.assert_allclose(values[0], outputs["mode"].max(axis=1))
    np.testing.assert_allclose(values[1], outputs["life"][:, 1])


def test_rows_of_repeats_units_with_their_rows(outputs):
    chosen = select(["mode"], HEADS, outputs)
    index = np.array([0, 0, 3])
    np.testing.assert_array_equal(rows_of(chosen, index)[0].units, chosen[0].units[index])


@pytest.mark.parametrize(
    ("targets", "labels", "error", "text"),
    [
        (["rsk"], None, UnknownName, "no head is called 'rsk'.*Did you mean 'risk'"),
        ([("mode", 3)], None, BadSetting, "has 3 units; unit 3 does not exist"),
        ([("mode", "label")], None, BadSetting, "no labels were given"),
        ([("mode", "label")], {"mode": [0, 1, 2, 3]}, BadValues, "whole numbers from 0 to 2"),
        ([("mode", "label")], {"mode": [0, 1]}, ShapeMismatch, r"want \(4,\) classes"),
        (["risk", "risk"], None, DuplicateName, "two targets are called"),
        ([], None, BadSetting, "no targets"),
    ],
)
def test_bad_targets_are_refused_in_words(outputs, targets, labels, error, text):
    with pytest.raises(error, match=text):
        select(targets, HEADS, outputs, labels)
