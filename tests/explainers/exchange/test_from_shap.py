"""SHAP values made elsewhere become an explanation of ours, or are refused."""

import doctest
import importlib.metadata
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xai_mimo as xm
from tests.helpers.frameworks import imported
from xai_mimo.core.errors import (
    BadSetting,
    BadValues,
    IncompleteWarning,
    NotSupported,
    ShapeMismatch,
    UnknownName,
)
from xai_mimo.core.explanation import stream_names, validate
from xai_mimo.explainers.exchange.from_shap import from_shap

shap = imported("shap")
pytestmark = pytest.mark.all_frameworks
ROWS = 6


def _heads(table: Any, series: Any) -> dict[str, Any]:
    level = table @ [3.0, -1.0, 0.5] + series[..., 0].sum(1)
    return {"level": level[:, None], "mode": np.stack([level * table[:, 0], np.tanh(level)], axis=1)}


STREAMS = {
    "table": xm.Stream("table", (3,), features=("oil", "heat", "age"), dtype="float64"),
    "series": xm.Stream("series", (2, 2), features=("x", "y"), dtype="float64"),
}


@pytest.fixture(scope="module")
def model() -> Any:
    return xm.adapt(_heads, streams=STREAMS, heads={"level": 1, "mode": 2})


@pytest.fixture(scope="module")
def x() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {"table": rng.normal(size=(ROWS, 3)), "series": rng.normal(size=(ROWS, 2, 2))}


@pytest.fixture(scope="module")
def ours(model: Any, x: Any) -> Any:
    return xm.explain(model, x, xm.explainers.Shapley(budget=300))


def table_of(ours: Any) -> np.ndarray:
    """``(sample, column, output)``, as shap has it."""
    parts = [ours[name].values.reshape(3, ROWS, -1) for name in ("table", "series")]
    return np.moveaxis(np.concatenate(parts, axis=2), 0, -1)


NAMES = ["table.oil", "table.heat", "table.age", *(f"series.{step}.{name}" for step in (0, 1) for name in "xy")]


def same(found: Any, ours: Any) -> None:
    for name in stream_names(ours):
        assert found[name].dims == ours[name].dims
        np.testing.assert_array_equal(found[name], ours[name])


def test_there_and_back_is_the_same_to_the_last_bit(model: Any, x: Any, ours: Any) -> None:
    for head in ours["head"].values:
        there = xm.to_shap(ours, head, data=x)
        back = xm.from_shap(there, model, x, targets=[head if ":" not in head else ("mode", int(head[-1]))])
        own = ours.sel(head=[head])
        for name in ("table", "series"):
            np.testing.assert_array_equal(back[name], own[name])
            assert back[name].dtype == own[name].dtype
            np.testing.assert_array_equal(back[f"{name}_standard_error"], own[f"{name}_standard_error"])
        for name in ("prediction", "baseline_prediction", "completeness_gap"):
            np.testing.assert_allclose(back[name], own[name], rtol=1e-6, atol=1e-9)
        for name in ("fingerprint", "data_sha256", "space", "streams", "heads", "reads", "on", "speaks_of", "signed"):
            assert back.attrs[name] == ours.attrs[name], name
        again = xm.to_shap(back, data=x)
        np.testing.assert_array_equal(again.values, there.values)
        np.testing.assert_array_equal(again.base_values, there.base_values)
        assert again.feature_names == there.feature_names


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_there_and_back_over_streams_of_any_shape(data: st.DataObject) -> None:
    shapes = data.draw(st.lists(st.lists(st.integers(1, 3), max_size=3).map(tuple), min_size=1, max_size=3))
    units, rows = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))
    streams = {f"s{i}": xm.Stream(f"s{i}", shape, dtype="float64") for i, shape in enumerate(shapes)}

    def sums(*arrays: Any) -> dict[str, Any]:
        total = sum(a.reshape(len(a), -1).sum(1) for a in arrays)
        return {"y": np.stack([total * (u + 1) for u in range(units)], axis=1)}

    model = xm.adapt(sums, streams=streams, heads={"y": units})
    rng = np.random.default_rng(rows)
    x = {name: rng.normal(size=(rows, *s.shape)) for name, s in streams.items()}
    width = sum(int(np.prod(shape)) for shape in shapes)
    values = rng.normal(size=(rows, width, units))
    found = xm.from_shap(values, model, x)
    assert found["head"].values.tolist() == (["y"] if units == 1 else [f"y:{u}" for u in range(units)])
    flat = np.concatenate([found[s].values.reshape(units, rows, -1) for s in streams], axis=2)
    np.testing.assert_array_equal(np.moveaxis(flat, 0, -1), values)
    np.testing.assert_array_equal(found["prediction"].T, model.predict(x)["y"])
    there = [
        xm.to_shap(found.assign(baseline_prediction=found["prediction"] * 0), h, data=x) for h in found["head"].values
    ]
    np.testing.assert_array_equal(np.stack([t.values for t in there], axis=-1), values)
    for t in there:
        np.testing.assert_array_equal(t.data, np.concatenate([x[s].reshape(rows, -1) for s in streams], axis=1))


def test_every_form_that_shap_has_is_the_same_map(model: Any, x: Any, ours: Any) -> None:
    table = table_of(ours)
    each_output = [table[..., t] for t in range(3)]
    each_stream = [np.moveaxis(ours[name].values, 0, -1) for name in ("table", "series")]
    for form in (table, table.tolist(), each_output, each_stream, tuple(each_stream), shap.Explanation(table)):
        found = xm.from_shap(form, model, x)
        assert found["head"].values.tolist() == ["level", "mode:0", "mode:1"]
        same(found, ours)
        assert validate(found) is found
        assert "baseline_prediction" not in found
    one = ours.isel(head=[0])
    for form in (table[..., 0], [table[..., 0]], [a[..., 0] for a in each_stream], table[..., :1]):
        same(xm.from_shap(form, model, x, targets="level"), one)
    alone = xm.adapt(lambda s: {"y": s.sum((1, 2))}, streams={"s": (2, 2)}, heads={"y": 1})
    for form in (table[:, 3:, 0], x["series"] * 1.0, [x["series"]], x["series"][..., None]):
        found = xm.from_shap(form, alone, x["series"])
        np.testing.assert_array_equal(found["s"].values.ravel(), np.asarray(form).ravel())


def test_coarser_maps_lie_where_ours_do(model: Any, x: Any) -> None:
    for players in ("streams", "variables"):
        ours = xm.explain(model, x, xm.explainers.Shapley(players=players), targets=["level"])
        there = xm.to_shap(ours, data=x)
        same(xm.from_shap(there, model, x, targets=["level"], players=players), ours)
        with pytest.raises(ShapeMismatch, match=r"expected \(6, 7\), the columns of all streams side by side"):
            xm.from_shap(there, model, x, targets=["level"])
    kinds = ("a", "b")
    streams = {"t": xm.Stream("t", (3,), features=("oil", *kinds), groups={"kind": kinds})}
    grouped = xm.adapt(lambda t: {"y": t @ [1.0, 2.0, 3.0]}, streams=streams, heads={"y": 1})
    rows = np.array([[0.5, 1, 0], [0.1, 0, 1]], dtype="f4")
    ours = xm.explain(grouped, rows, "shapley")
    there = xm.to_shap(ours, data=rows)
    assert there.feature_names == ["t.oil", "t.kind"]
    back = xm.from_shap(there, grouped, rows)
    same(back, ours)
    assert back["t_feature"].values.tolist() == ["oil", "kind"]


def test_columns_and_outputs_with_our_names_are_put_in_our_order(model: Any, x: Any, ours: Any) -> None:
    turn, outputs = [6, 2, 0, 1, 5, 4, 3], [2, 0, 1]
    data = np.concatenate([x["table"], x["series"].reshape(ROWS, 4)], axis=1)
    turned = shap.Explanation(
        table_of(ours)[:, turn][..., outputs],
        base_values=ours["baseline_prediction"].values.T[:, outputs],
        data=data[:, turn],
        feature_names=[NAMES[i] for i in turn],
        output_names=[ours["head"].values[i] for i in outputs],
        error_std=table_of(ours)[:, turn][..., outputs] * 0.5,
    )
    found = xm.from_shap(turned, model, x)
    same(found, ours)
    np.testing.assert_array_equal(found["baseline_prediction"], ours["baseline_prediction"])
    np.testing.assert_array_equal(found["series_standard_error"], ours["series"] * 0.5)
    bare = shap.Explanation(table_of(ours)[:, turn], feature_names=[NAMES[i].partition(".")[2] for i in turn])
    same(xm.from_shap(bare, model, x), ours)
    foreign = shap.Explanation(table_of(ours), feature_names=[f"Feature {i}" for i in range(7)])
    same(xm.from_shap(foreign, model, x), ours)
    mixed = shap.Explanation(table_of(ours), feature_names=["table.oli", *NAMES[1:]])
    with pytest.raises(UnknownName, match=r"no column of the map is called 'table\.oli'.*Did you mean 'table\.oil'"):
        xm.from_shap(mixed, model, x)
    wrong = shap.Explanation(table_of(ours), output_names=["level", "mode:0", "mode:7"])
    with pytest.raises(UnknownName, match="no output of the map is called 'mode:7'"):
        xm.from_shap(wrong, model, x)


def test_an_explanation_of_other_rows_is_refused(model: Any, x: Any, ours: Any) -> None:
    data = np.concatenate([x["table"], x["series"].reshape(ROWS, 4)], axis=1)
    xm.from_shap(shap.Explanation(table_of(ours), data=data.astype("f4")), model, x)
    with pytest.raises(BadValues, match=r"other rows than data: column 'table\.oil' has .* in row 0 there"):
        xm.from_shap(shap.Explanation(table_of(ours), data=data[::-1]), model, x)
    swapped = np.concatenate([x["series"].reshape(ROWS, 4), x["table"]], axis=1)  # the streams in another order
    with pytest.raises(BadValues, match=r"columns are those\s+of the streams side by side, table\.oil"):
        xm.from_shap(shap.Explanation(table_of(ours), data=swapped), model, x)
    words = xm.adapt(
        lambda w: {"y": np.char.str_len(w.astype(str))[:, 0].astype(float)},
        streams={"w": xm.Stream("w", (1,), dtype="str")},
        heads={"y": 1},
    )
    rows = np.array([["oil"], ["gas!"]], dtype=object)
    xm.from_shap(shap.Explanation(np.ones((2, 1)), data=rows), words, {"w": rows})
    with pytest.raises(BadValues, match=r"column 'w\.0' has 'oil' in row 1 there, and 'gas!' in data"):
        xm.from_shap(shap.Explanation(np.ones((2, 1)), data=rows[[0, 0]]), words, {"w": rows})


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (lambda t: t[:4], r"have shape \(4, 7, 3\); expected \(6, 7, 3\).*They are of 4 rows, and data has 6"),
        (lambda t: t[:, :5], r"expected \(6, 7, 3\), the columns of all streams side by side \(table 3, series 4\)"),
        (lambda t: np.moveaxis(t, -1, 0), r"Outputs come last: numpy\.moveaxis\(values, 0, -1\)"),
        (lambda t: t.transpose(0, 2, 1), r"Outputs come last: values\.transpose\(0, 2, 1\)"),
        (lambda t: t[..., 0], r"They are of 1 output, and of 3 targets here: level, mode:0, mode:1\. Name what each"),
        (lambda t: t[0, :, 0], r"keep its axis: explanation\[0:1\]"),
        (
            lambda t: [t[..., 0], t[..., 1]],
            r"a list of 2 arrays of shapes \(6, 7\), \(6, 7\); expected one for each of",
        ),
        (lambda t: [t[:, 3:].reshape(6, 2, 2, 3), t[:, :3]], r"one for each input\s+stream \(table, series\)"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(form: Any, words: str, model: Any, x: Any, ours: Any) -> None:
    with pytest.raises(ShapeMismatch, match=words):
        xm.from_shap(form(table_of(ours)), model, x)


def test_values_that_are_no_numbers_are_refused(model: Any, x: Any, ours: Any) -> None:
    broken = table_of(ours).copy()
    broken[4, 5, 2] = np.nan
    with pytest.raises(BadValues, match=r"1 values .* target 'mode:1' in row 4 of stream 'series' at \(1, 0\)"):
        xm.from_shap(broken, model, x)
    with pytest.raises(BadValues, match="base_values hold NaN"):
        xm.from_shap(table_of(ours), model, x, base_values=[1.0, np.nan, 2.0])


def test_base_values_of_every_form(model: Any, x: Any, ours: Any) -> None:
    base = ours["baseline_prediction"].values
    table = table_of(ours)
    for form in (base.T, base[:, 0].tolist(), base[:, 0]):
        found = xm.from_shap(table, model, x, base_values=form)
        np.testing.assert_array_equal(found["baseline_prediction"], base)
        np.testing.assert_allclose(found["completeness_gap"], ours["completeness_gap"], atol=1e-9)
    for form in (base[0, 0], [base[0, 0]], base[0], base[:1].T):
        found = xm.from_shap(table[..., 0], model, x, base_values=form, targets=["level"])
        np.testing.assert_array_equal(found["baseline_prediction"], base[:1])
    explanation = shap.Explanation(table, base_values=base.T)
    np.testing.assert_array_equal(xm.from_shap(explanation, model, x)["baseline_prediction"], base)
    with pytest.raises(
        ShapeMismatch, match=r"base_values have shape \(4,\); expected one number, .*\s3 outputs, or \(6"
    ):
        xm.from_shap(table, model, x, base_values=np.zeros(4))


def test_values_that_do_not_add_up_are_warned_of(model: Any, x: Any, ours: Any) -> None:
    table, base = table_of(ours), ours["baseline_prediction"].values.T
    with pytest.warns(IncompleteWarning, match=r"'mine' do not add up .*relative gap\s+in the middle row: mode:0"):
        xm.from_shap(table[..., [0, 2, 1]], model, x, base_values=base[:, [0, 2, 1]], name="mine")


def test_log_odds_are_told_from_probabilities(rng: Any) -> None:
    def risk(u: Any) -> dict[str, Any]:
        return {"risk": 1 / (1 + np.exp(-3 * u.sum(1)))}

    model = xm.adapt(risk, streams={"u": 3}, heads={"risk": "binary"})
    x = rng.normal(size=(8, 3))
    with pytest.warns(IncompleteWarning, match="on='logit'"):
        xm.from_shap(3 * x, model, x, base_values=0.0)
    found = xm.from_shap(3 * x, model, x, base_values=0.0, on="logit")
    assert found.attrs["on"] == "logit"
    assert "log-odds" in json.loads(found.attrs["explained_value"])["risk"]
    np.testing.assert_allclose(found["completeness_gap"], 0, atol=1e-5)
    result = xm.compare(model, x, {"mine": found, "s": "shapley"}, on="logit", metrics=["gini"])
    assert [m.label for m in result.record.methods] == ["mine", "s"]


def test_it_says_where_it_comes_from(model: Any, x: Any, ours: Any) -> None:
    found = xm.from_shap(table_of(ours), model, x, name="my TreeExplainer")
    version = importlib.metadata.version("shap")
    assert found.attrs["method"] == "my TreeExplainer"
    assert found.attrs["made_with"] == f"shap {version}; settings unknown"
    assert json.loads(found.attrs["settings"]) == {}
    assert "seed" not in found.attrs
    assert found.attrs["signed"] == 1
    told = xm.from_shap(table_of(ours), model, x, settings={"nsamples": 100}, signed=False, speaks_of="sensitivity")
    assert told.attrs["made_with"] == f"shap {version}"
    assert json.loads(told.attrs["settings"]) == {"nsamples": 100}
    assert (told.attrs["signed"], told.attrs["speaks_of"]) == (0, "sensitivity")
    with pytest.raises(NotSupported, match="has no sign"):
        xm.to_shap(told, "level")
    for arguments, words in (
        ({"name": " "}, "name is what results call the method"),
        ({"signed": 2}, "signed must be True or False"),
        ({"speaks_of": "love"}, "speaks_of 'love' is not one of attribution, sensitivity"),
        ({"settings": 3}, "settings are a mapping"),
        ({"on": "odds"}, "on='odds' is not one of"),
        ({"players": "pixels"}, "players 'pixels' is not one of features, variables, streams"),
    ):
        with pytest.raises(BadSetting, match=words):
            xm.from_shap(table_of(ours), model, x, **arguments)


def test_a_map_of_shuffled_rows_is_shown_as_wrong(rng: Any) -> None:
    model = xm.adapt(lambda u, v: {"y": (u * v).sum(1)}, streams={"u": 3, "v": 3}, heads={"y": 1})
    x = {"u": rng.normal(size=(60, 3)), "v": rng.normal(size=(60, 3))}
    right = np.tile(x["u"] * x["v"] / 2, 2)
    good = xm.from_shap(right, model, x, name="good")
    bad = xm.from_shap(right[rng.permutation(60)], model, x, name="bad")
    nothing = {name: np.zeros((1, 3)) for name in x}
    result = xm.compare(model, x, [good, bad, "shapley"], background=nothing)
    words = result.verdicts.set_index("method")["verdict"]
    assert words["good"] == "supported"
    assert words["bad"] != "supported"
    agreement = result.scores.query("metric == 'spearman' and role == 'value'").set_index(["method", "other"])
    assert agreement.loc[("good", "shapley"), "estimate"] > 0.9
    assert agreement.loc[("bad", "shapley"), "estimate"] < 0.2


def test_the_example_runs() -> None:
    (example,) = doctest.DocTestFinder().find(from_shap, "from_shap")
    assert doctest.DocTestRunner().run(example) == doctest.TestResults(failed=0, attempted=8)
