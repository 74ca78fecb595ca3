"""Which scalar of each row is explained: by default, by prediction, by label, and what is refused."""

import numpy as np
import pytest

from xai_mimo.core.errors import BadSetting, BadValues, DuplicateName, ShapeMismatch, UnknownName
from xai_mimo.core.streams import Head
from xai_mimo.core.targets import Target, check_labels, default_targets, expand, rows_of, select, take

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


@pytest.mark.parametrize(
    "labels", [[0, 1, 1, 0], [[0], [1], [1], [0]], [False, True, True, False], [0.0, 1.0, 1.0, 0.0]]
)
def test_the_one_unit_of_a_binary_head_speaks_for_both_classes(outputs, labels):
    fault = Head("risk", kind="binary")
    (risk,) = select([("risk", "label")], (fault,), outputs, {"risk": labels})
    np.testing.assert_array_equal(risk.units, [0, 0, 0, 0])
    np.testing.assert_array_equal(take(outputs, [risk]), [outputs["risk"][:, 0]])


def test_a_selector_holds_the_target_it_was_asked_for(outputs):
    asked = [("life", -1), "mode", Target("risk"), ("life", 0)]
    chosen = select(asked, HEADS, outputs)
    assert [s.target for s in chosen] == expand(asked, HEADS)
    assert expand(asked, HEADS) == [Target("life", -1), Target("mode", "predicted"), Target("risk"), Target("life", 0)]
    assert rows_of(chosen, slice(0, 2))[1].target == Target("mode", "predicted")


def test_labels_are_given_names_and_counted():
    assert check_labels(None, HEADS, 2) == {}
    every = check_labels([[0, 1], [2, 0], [[1, 2], [3, 4]]], HEADS, 2)
    assert {head: values.shape for head, values in every.items()} == {"risk": (2,), "mode": (2,), "life": (2, 2)}
    assert list(check_labels({"mode": (2, 0)}, HEADS, 2)) == ["mode"]
    with pytest.raises(UnknownName, match=r"no head is called 'mod'.*Did you mean 'mode'"):
        check_labels({"mod": [1, 2]}, HEADS, 2)
    with pytest.raises(ShapeMismatch, match=r"labels of head 'mode' want one value per row, 3 as in the inputs; got"):
        check_labels({"mode": [1, 2]}, HEADS, 3)
    with pytest.raises(ShapeMismatch, match=r"labels of head 'mode' want one value per row, 2 as in the inputs; got"):
        check_labels({"mode": [1, 2, 0]}, HEADS, 2)
    with pytest.raises(ShapeMismatch, match="expected 3 values, one per head"):
        check_labels([[1, 2]], HEADS, 2)


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
        ([("rsk", 0)], None, UnknownName, "no head is called 'rsk'.*Did you mean 'risk'"),
        ([("mode", 3)], None, BadSetting, "has 3 units; unit 3 does not exist. Give a number from 0 to 2"),
        ([("risk", 3)], None, BadSetting, "'risk' has 1 unit; unit 3 does not exist. Give 0"),
        ([("mode", "label")], None, BadSetting, r"no labels were given for it.*labels=\{'mode': ...\}"),
        ([("mode", "label")], {"mode": [0, 1.5, 2, 1]}, BadValues, r"from 0 to 2, its classes; got 1\.5 in row 1"),
        ([("mode", "label")], {"mode": [0, np.nan, 2, 1]}, BadValues, "whole numbers from 0 to 2"),
        ([("mode", "label")], {"mode": ["0", "1", "2", "1"]}, BadValues, "got '0' in row 0. Write each class as its"),
        ([("risk", "label")], {"risk": [0, 1, 2, 1]}, BadValues, "whole numbers from 0 to 1"),
        ([("mode", "label")], {"mode": [0, 1, 2, 3]}, BadValues, r"got 3 in row 3\..*targets=\[\('mode', 0\)\]"),
        ([("mode", "label")], {"mode": [0, 1]}, ShapeMismatch, r"want \(4,\) classes"),
        (["risk", "risk"], None, DuplicateName, "two targets are called"),
        ([], None, BadSetting, "no targets"),
    ],
)
def test_bad_targets_are_refused_in_words(outputs, targets, labels, error, text):
    with pytest.raises(error, match=text):
        select(targets, HEADS, outputs, labels)
