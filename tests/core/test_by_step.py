"""Targets of heads with steps: "all", the names that results print, and results as (head, unit, step)."""

import numpy as np
import pytest

import xai_mimo as xm
from xai_mimo.core.errors import BadSetting, SchemaError, UnknownName
from xai_mimo.core.streams import Head
from xai_mimo.core.targets import Target, expand, select

pytestmark = pytest.mark.all_frameworks

TAG = Head("tag", (3, 2), "multiclass", units=("noun", "verb"))
LOAD = Head("load", (3, 2), units=("low", "high"))
HEADS = (TAG, LOAD, Head("rul", (2,), "quantile", units=("p10", "p90")))


@pytest.mark.parametrize(
    ("asked", "targets"),
    [
        (("load", "all"), [Target("load", unit) for unit in range(6)]),
        (("load", ("all", 1)), [Target("load", 1), Target("load", 3), Target("load", 5)]),
        (("load", ("all", "high")), [Target("load", 1), Target("load", 3), Target("load", 5)]),
        (("load", (2, "all")), [Target("load", 4), Target("load", 5)]),
        (("tag", ("all", "predicted")), [Target("tag", "predicted", step) for step in range(3)]),
    ],
)
def test_all_stands_for_every_place(asked, targets):
    assert expand([asked], HEADS) == targets


def test_all_with_too_few_places_is_refused():
    with pytest.raises(BadSetting, match=r"has shape \(3, 2\); unit \('all',\) has not as many places"):
        expand([("load", ("all",))], HEADS)


@pytest.mark.parametrize(
    "targets",
    [["tag"], ["load"], ["rul"], ["tag", ("tag", (1, "noun"))], [("tag", (2, "label")), ("tag", (2, "predicted"))]],
)
def test_targets_are_taken_as_they_are_printed(targets):
    predictions = {h.name: np.arange(12.0).reshape(2, -1)[:, : h.size].reshape(2, *h.shape) for h in HEADS}
    labels = {"tag": np.zeros((2, 3), int)}
    first = select(targets, HEADS, predictions, labels)
    again = select([s.name for s in first], HEADS, predictions, labels)
    assert [s.target for s in again] == [s.target for s in first]


def test_a_printed_step_that_is_not_there_is_refused():
    with pytest.raises(BadSetting, match=r"head 'tag' has shape \(3, 2\); step \(7,\) does not exist in it"):
        expand(["tag:7"], HEADS)
    with pytest.raises(UnknownName, match="no unit of head 'rul' is called 'p50'"):
        expand(["rul:p50"], HEADS)


@pytest.fixture(scope="module")
def rows():
    return {"x": np.random.default_rng(5).normal(size=(4, 3)).astype(np.float32)}


@pytest.fixture(scope="module")
def model():
    """load at step s: (s + 1) x_s and minus that; tag likewise as scores of two classes."""

    def steps(x):
        each = x * np.arange(1.0, 4.0, dtype=np.float32)
        return {"tag": np.stack([each, -each], axis=2), "load": np.stack([each, -each], axis=2)}

    return xm.adapt(steps, {"x": 3}, [TAG, LOAD])


def test_units_and_steps_are_dimensions(model, rows):
    flat = xm.explain(model, rows, "occlusion", targets=["load"])
    laid_out = xm.by_step(flat)
    assert laid_out["x"].dims == ("head", "unit", "step", "sample", "x_feature")
    assert laid_out["unit"].values.tolist() == ["low", "high"]
    for unit, name in enumerate(("low", "high")):
        for step in range(3):
            one = laid_out.sel(head="load", unit=name, step=step)
            np.testing.assert_array_equal(one["x"], flat["x"].isel(head=2 * step + unit))
            assert (one["flat_unit"] == 2 * step + unit).all()


def test_predicted_classes_are_one_unit(model, rows):
    laid_out = xm.by_step(xm.explain(model, rows, "occlusion"), "tag")
    assert laid_out["unit"].values.tolist() == ["predicted"]
    assert laid_out.sizes["step"] == 3
    np.testing.assert_array_equal(laid_out["prediction"].isel(head=0, unit=0).values.T, np.abs(rows["x"] * [1, 2, 3]))


def test_a_layout_with_gaps_is_refused(model, rows):
    explanation = xm.explain(model, rows, "occlusion", targets=[("load", (0, "all")), ("load", (2, 1))])
    with pytest.raises(SchemaError, match="unit 'low' of head 'load' was not explained at step 2"):
        xm.by_step(explanation)
    with pytest.raises(UnknownName, match="no explained head is called 'tags'"):
        xm.by_step(explanation, "tags")
    del explanation.attrs["targets"]
    with pytest.raises(SchemaError, match="does not say what its targets are"):
        xm.by_step(explanation)
