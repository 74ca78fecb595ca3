"""Which scalar of each row is explained: by default, by prediction, by label, and what is refused."""

import numpy as np
import pandas as pd
import pytest

import xai_mimo as xm
from xai_mimo.core.errors import BadSetting, BadValues, DuplicateName, ShapeMismatch, UnknownName
from xai_mimo.core.labels import check_labels
from xai_mimo.core.streams import Head
from xai_mimo.core.targets import Target, default_targets, expand, labels_of, rows_of, select, take

pytestmark = pytest.mark.all_frameworks

RISK = Head("risk")
MODE = Head("mode", (3,), kind="multiclass", units=("none", "wear", "heat"))
LIFE = Head("life", (2,), units=("p50", "p90"))
STEPS = Head("steps", (2, 3))
FAULT = Head("fault", kind="binary")
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
        ([("mode", "label")], {"mode": ["0", "1", "2", "1"]}, BadValues, "hold '0', which names none of its units"),
        ([("fault", "label")], {"fault": [0, 1, 2, 1]}, BadValues, "whole numbers from 0 to 1"),
        ([("risk", "label")], {"risk": [0, 1, 2, 1]}, BadSetting, r"'risk' is a regression head: it has no classes"),
        ([("life", "p95")], None, UnknownName, r"no unit of head 'life' is called 'p95'.*Did you mean 'p90'"),
        ([("steps", (2, 0))], None, BadSetting, r"head 'steps' has shape \(2, 3\); unit \(2, 0\) does not exist"),
        ([("steps", (1,))], None, BadSetting, r"unit \(1,\) does not exist"),
        ([("steps", 1.5)], None, BadSetting, r"the unit of a target of head 'steps' is a whole number.*got 1\.5"),
        ([("steps", True)], None, BadSetting, r"the unit of a target of head 'steps'.*got True"),
        ([3], None, BadSetting, r"targets are a list of head names.*one of them is 3"),
        ([("risk", 0, 1)], None, BadSetting, r"targets are a list.*one of them is \('risk', 0, 1\)"),
        ([(0, 0)], None, BadSetting, r"targets are a list.*the head of one is 0"),
        (0, None, BadSetting, r"targets are a list.*got 0"),
        ("rsk", None, UnknownName, "no head is called 'rsk'.*Did you mean 'risk'"),
        ([("mode", "label")], {"mode": [0, 1, 2, 3]}, BadValues, r"got 3 in row 3\..*targets=\[\('mode', 0\)\]"),
        ([("mode", "label")], {"mode": [0, 1]}, ShapeMismatch, r"want \(4,\) classes"),
        (["risk", "risk"], None, DuplicateName, "two targets are called"),
        ([], None, BadSetting, "no targets"),
    ],
)
def test_bad_targets_are_refused_in_words(outputs, targets, labels, error, text):
    outputs |= {"steps": np.zeros((4, 2, 3)), "fault": np.zeros((4, 1))}
    with pytest.raises(error, match=text):
        select(targets, (*HEADS, STEPS, FAULT), outputs, labels)


def test_one_head_or_target_needs_no_list(outputs):
    assert expand("mode", HEADS) == [Target("mode", "predicted")]
    assert expand(Target("life", 1), HEADS) == expand([("life", "p90")], HEADS) == [Target("life", 1)]


def test_a_unit_may_be_named_by_its_place_on_each_axis():
    assert expand([("steps", (1, 1)), ["steps", (-1, -1)], ("steps", np.int64(2))], (STEPS,)) == [
        Target("steps", 4),
        Target("steps", 5),
        Target("steps", 2),
    ]
    (selector,) = select([("steps", (1, 1))], (STEPS,), {"steps": np.arange(6.0).reshape(1, 2, 3)})
    assert selector.units.tolist() == [4]
    assert type(selector.unit) is int


def test_labels_may_be_the_names_of_units(outputs):
    (mode,) = select([("mode", "label")], HEADS, outputs, {"mode": np.array(["heat", "none", "wear", "wear"])})
    np.testing.assert_array_equal(mode.units, [2, 0, 1, 1])
    checked = check_labels({"mode": pd.Series(["heat", "none"])}, HEADS, 2)
    np.testing.assert_array_equal(checked["mode"], [2, 0])


def test_labels_may_be_a_data_frame_of_heads():
    frame = pd.DataFrame({"mode": [0, 2], "risk": pd.array([1, 2], dtype="Int64")})
    checked = check_labels(frame, (RISK, MODE), 2)
    assert {name: values.tolist() for name, values in checked.items()} == {"mode": [0, 2], "risk": [1, 2]}
    assert np.isnan(check_labels({"risk": [np.nan, 1.0]}, HEADS, 2)["risk"][0])
    assert check_labels([0.5, 1.5, 2.5], (RISK,), 3)["risk"].tolist() == [0.5, 1.5, 2.5]


@pytest.mark.parametrize(
    ("labels", "error", "text"),
    [
        ({"mode": [0, 3, 1, 4]}, BadValues, "'mode' must be whole numbers from 0 to 2, its classes; got 3 in row 1"),
        ({"mode": [0, np.nan, 1, 1]}, BadValues, "'mode' must be known for every row; got nan in row 1"),
        ({"mode": np.zeros((4, 7))}, ShapeMismatch, r"'mode' want \(4,\) classes; got \(4, 7\)"),
        ({"mode": np.eye(4, 3)}, BadValues, r"must be 1 for the class of each row .* got \[0.0, 0.0, 0.0\] in row 3"),
        ({"mode": np.full((4, 3), 2.5)}, BadValues, "must be 1 for the class of each row and 0 for the others"),
        ({"mode": ["none", "cold", "wear", "wear"]}, BadValues, "hold 'cold', which names none of its units"),
        ({"risk": [1.0, np.inf, 1, 1]}, BadValues, "'risk' must be known for every row; got inf in row 1"),
        ({"risk": np.zeros((4, 2))}, ShapeMismatch, r"'risk' want \(4,\), one number for each unit; got \(4, 2\)"),
        ({"risk": ["x", "y", "x", "y"]}, BadValues, "'risk' are words, e.g. 'x'; expected numbers"),
        ({"risk": np.ma.masked_array([1.0, 2, 3, 4], [0, 1, 0, 0])}, BadValues, "masked array with 1 masked values"),
        (
            {"life": [1.0, 2, 3, 4]},
            BadValues,
            "'life' must be whole numbers from 0 to 1, its classes; got 2.0 in row 1",
        ),
        ({"life": np.zeros((4, 3))}, ShapeMismatch, r"'life' want \(4, 2\), one number for each unit"),
        ({"fault": [0, 2, 1, 1]}, BadValues, "'fault' must be whole numbers from 0 to 1"),
        ({"fault": ["yes", "no", "no", "no"]}, BadValues, "hold 'yes', which names none of its units"),
        ({"many": [[0, 1], [1, 2], [0, 0], [0, 0]]}, BadValues, r"must be 0 or 1 for each unit; got \[1, 2\] in row 1"),
        ({"mode": None}, BadValues, "labels of head 'mode' is None"),
        ({3: [1, 2, 3, 4]}, UnknownName, "no head is called '3'"),
    ],
)
def test_labels_that_do_not_fit_their_head_are_refused(labels, error, text):
    with pytest.raises(error, match=text):
        check_labels(labels, (*HEADS, FAULT, Head("many", (2,), kind="multilabel")), 4)


@pytest.mark.parametrize("kind", ["series", "frame"])
@pytest.mark.parametrize("inputs", ["frame", "mapping", "list"])
def test_labels_whose_rows_are_in_another_order_than_the_inputs_are_refused(kind, inputs):
    x = pd.DataFrame({"p": [1.0, 2.0, 3.0]}, index=[7, 8, 9])
    given = {"frame": x, "mapping": {"s": x}, "list": [np.zeros(3), x]}[inputs]
    y = pd.Series([0, 1, 2], index=[9, 7, 8], name="mode")
    labels = {"mode": y} if kind == "series" else y.to_frame()
    with pytest.raises(BadValues, match=r"the labels.* have the same index as those of the inputs.*y.loc\[x.index\]"):
        check_labels(labels, (RISK, MODE), 3, given)
    assert check_labels({"mode": y.loc[x.index]}, HEADS, 3, given)["mode"].tolist() == [1, 2, 0]
    assert check_labels({"mode": y.reset_index(drop=True)}, HEADS, 3, given)["mode"].tolist() == [0, 1, 2]
    assert check_labels({"mode": y.tolist()}, HEADS, 3, given)["mode"].tolist() == [0, 1, 2]


def test_labels_and_inputs_in_two_orders_are_refused_by_explain():
    x = pd.DataFrame({"p": [1.0, 2.0, 3.0]}, index=[7, 8, 9])
    f = xm.adapt(lambda a: np.concatenate([a, -a], 1), streams={"a": 1}, heads={"c": xm.Head("c", (2,), "multiclass")})
    y = pd.Series([0, 1, 1], index=[9, 7, 8])
    with pytest.raises(BadValues, match="in another order"):
        xm.explain(f, x, "occlusion", targets=[("c", "label")], labels=y)


TAG = Head("tag", (4, 3), kind="multiclass", units=("none", "wear", "heat"))
LOGITS = Head("map", (2, 2, 3), kind="multiclass")


def tags(rng, rows=5):
    return {"tag": rng.normal(size=(rows, 4, 3)), "map": rng.normal(size=(rows, 2, 2, 3))}


def test_a_head_with_classes_at_each_step_has_a_target_for_each(rng):
    outputs = tags(rng)
    chosen = select(None, (TAG,), outputs)
    assert [s.name for s in chosen] == ["tag:0", "tag:1", "tag:2", "tag:3"]
    assert [(s.unit, s.step) for s in chosen] == [("predicted", step) for step in range(4)]
    for step, selector in enumerate(chosen):
        np.testing.assert_array_equal(selector.units, 3 * step + outputs["tag"][:, step].argmax(axis=1))
    np.testing.assert_allclose(take(outputs, chosen), outputs["tag"].max(axis=2).T)
    assert [s.name for s in select(["map"], (LOGITS,), outputs)] == ["map:0,0", "map:0,1", "map:1,0", "map:1,1"]
    assert select([s.target for s in chosen], (TAG,), outputs)[2].step == 2


def test_classes_of_a_single_step_are_one_target_and_steps_of_one_value_are_units():
    assert default_targets([Head("h", (1, 3), kind="multiclass")]) == [Target("h", "predicted")]
    assert default_targets([Head("h", (3, 1))]) == [Target("h", 0), Target("h", 1), Target("h", 2)]
    assert Head("h", (3, 1)).units == ("0", "1", "2")


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 1), (5, 4, 3)])
def test_labels_may_name_a_class_at_each_step(rng, shape):
    classes = rng.integers(0, 3, (5, 4))
    labels = np.eye(3)[classes] if shape[-1] == 3 else classes.reshape(shape)
    checked = check_labels({"tag": labels}, (TAG,), 5)
    chosen = select([("tag", "label")], (TAG,), tags(rng), checked)
    assert [s.name for s in chosen] == ["tag:0", "tag:1", "tag:2", "tag:3"]
    np.testing.assert_array_equal([s.units for s in chosen], (3 * np.arange(4) + classes).T)
    words = np.array(["none", "wear", "heat"])[classes]
    np.testing.assert_array_equal(check_labels({"tag": words}, (TAG,), 5)["tag"], classes)
    for selector, step in zip(chosen, range(4), strict=True):
        np.testing.assert_array_equal(labels_of(selector, TAG, checked), 3 * step + classes[:, step])


@pytest.mark.parametrize("shape", [(3,), (1, 3)])
def test_labels_of_a_head_of_one_step_are_as_they_were_given(shape, rng):
    head, classes = Head("y", shape, kind="multiclass"), np.array([2, 0, 1, 2])
    outputs = {"y": rng.normal(size=(4, *shape))}
    checked = check_labels({"y": classes}, [head], 4)
    (selector,) = select([("y", "label")], [head], outputs, checked)
    np.testing.assert_array_equal(labels_of(selector, head, checked), classes)
    np.testing.assert_array_equal(selector.units, classes)
    hot = np.eye(3)[classes]
    np.testing.assert_array_equal(labels_of(selector, head, check_labels({"y": hot}, [head], 4)), hot)


def test_labels_of_quantiles_at_each_step_are_that_of_the_step_that_is_explained(rng):
    head = Head("sales", (3, 2), kind="quantile", units=("p10", "p90"))
    outputs, sold = {"sales": rng.normal(size=(4, 3, 2))}, rng.normal(size=(4, 3))
    checked = check_labels({"sales": sold}, [head], 4)
    for selector in select(None, [head], outputs, checked):
        step = int(selector.units[0]) // 2
        np.testing.assert_array_equal(labels_of(selector, head, checked), sold[:, step])


@pytest.mark.parametrize("shares", [[2.0, -1.0, 0.0], [1.5, 0.0, -0.5]])
def test_shares_of_classes_below_0_are_refused(shares):
    head = Head("y", (3,), kind="multiclass")
    with pytest.raises(BadValues, match=r"must be 1 for the class of each row and 0 .* got \[.*-.*\] in row 1"):
        check_labels({"y": [[0.0, 1.0, 0.0], shares]}, [head], 2)


def test_one_step_and_one_class_can_be_asked_for(rng):
    asked = [("tag", (3, "predicted")), ("tag", (-1, "label")), ("tag", (2, 1)), ("tag", "2,heat"), ("tag", (0, 0))]
    chosen = select(asked, (TAG,), tags(rng), {"tag": np.ones((5, 4), int)})
    assert [s.name for s in chosen] == ["tag:3:predicted", "tag:3:label", "tag:2,wear", "tag:2,heat", "tag:0,none"]
    assert [s.units[0] for s in chosen[1:]] == [10, 7, 8, 0]
    assert TAG.units[:4] == ("0,none", "0,wear", "0,heat", "1,none")
    assert LOGITS.units[-1] == "1,1,2"
    assert select([Target("tag", "predicted", 1)], (TAG,), tags(rng))[0].name == "tag:1"


@pytest.mark.parametrize(
    ("target", "labels", "error", "text"),
    [
        (("tag", (4, "predicted")), None, BadSetting, r"has shape \(4, 3\); step \(4,\) does not exist"),
        (("tag", ("predicted",)), None, BadSetting, r"step \(\) does not exist"),
        (("tag", ("x", "label")), None, BadSetting, r"step \('x',\) does not exist"),
        (("risk", (0, "predicted")), None, BadSetting, "kind regression has no classes at each of several steps"),
        (Target("tag", 3, 1), None, BadSetting, r"the unit 3 and the step 1; .*\('tag', \(step, class\)\)"),
        (Target("tag", "label", "x"), None, BadSetting, r"step \('x',\) does not exist"),
        (
            ("tag", "label"),
            [[0, 1, 2, 3]] * 5,
            BadValues,
            r"from 0 to 2, its classes; got 3 in row 0.*\('tag', \(0, 0\)\)",
        ),
        (("tag", "label"), [0, 1, 2, 2, 1], ShapeMismatch, r"want \(5, 4\) classes; got \(5,\)"),
        (("tag", "label"), np.full((5, 4, 3), 0.5), BadValues, "must be 1 for the class of each row"),
    ],
)
def test_steps_that_do_not_exist_are_refused_in_words(rng, target, labels, error, text):
    outputs = {**tags(rng), "risk": np.zeros((5, 1))}
    with pytest.raises(error, match=text):
        select([target], (TAG, RISK), outputs, None if labels is None else {"tag": labels})


def test_more_targets_than_anybody_wants_have_to_be_asked_for():
    picture = Head("mask", (40, 40, 5), kind="multiclass")
    with pytest.raises(BadSetting, match=r"1601 targets.*'mask'.*targets=\[\('mask', \(0, 0, 'predicted'\)\)\]"):
        default_targets([picture, RISK])
    assert len(expand([("mask", "predicted")], [picture])) == 1600
