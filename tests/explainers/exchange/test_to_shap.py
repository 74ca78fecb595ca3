"""What shap draws of an explanation is the explanation."""

import doctest
import sys
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")
from matplotlib import pyplot as plt

import xai_mimo as xm
from xai_mimo.core.errors import (
    BadSetting,
    BadValues,
    MissingDependency,
    NotSupported,
    SchemaError,
    ShapeMismatch,
    SubstituteWarning,
    UnknownName,
)
from xai_mimo.core.explanation import join
from xai_mimo.core.single import single
from xai_mimo.explainers.exchange.to_shap import to_shap

pytestmark = [
    pytest.mark.all_frameworks,
    pytest.mark.filterwarnings("ignore:The NumPy global RNG:FutureWarning"),  # shap's heatmap draws from it
    pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning"),
]
ROWS = 7
LEVELS = ("kind_a", "kind_b", "kind_c")


def _heads(table: Any, series: Any, age: Any, word: Any) -> dict[str, Any]:
    level = table[:, 0] * 3 - table[:, 1] + series[..., 1].sum(1) + 0.1 * age + np.char.str_len(word.astype(str))[:, 0]
    return {"level": level[:, None], "mode": np.stack([level * table[:, 3], level + table[:, 4]], axis=1)}


STREAMS = {
    "table": xm.Stream("table", (5,), features=("oil", "heat", *LEVELS), groups={"kind": LEVELS}),
    "series": xm.Stream("series", (3, 2), features=("x", "y")),
    "age": xm.Stream("age", ()),
    "word": xm.Stream("word", (2,), dtype="object", features=("city", "size")),
}


@pytest.fixture(scope="module")
def model() -> Any:
    """A table with a category, a series, a scalar, and words beside numbers; two heads, three targets."""
    return xm.adapt(_heads, streams=STREAMS, heads={"level": 1, "mode": 2})


@pytest.fixture(scope="module")
def x() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    words = np.empty((ROWS, 2), dtype=object)
    words[:, 0] = rng.choice(["Rome", "Ulm", "London"], ROWS)
    words[:, 1] = rng.integers(0, 9, ROWS)
    return {
        "table": np.hstack([rng.normal(size=(ROWS, 2)), np.eye(3)[rng.integers(0, 3, ROWS)]]).astype("f4"),
        "series": rng.normal(size=(ROWS, 3, 2)).astype("f4"),
        "age": rng.normal(size=ROWS).astype("f4"),
        "word": words,
    }


@pytest.fixture(scope="module")
def explanation(model: Any, x: dict[str, Any]) -> Any:
    return xm.explain(model, x, "shapley")


@pytest.fixture(autouse=True)
def _no_figures_left() -> Iterator[None]:
    yield
    plt.close("all")


def _decision(shap: Any, e: Any) -> None:
    shap.plots.decision(e.base_values[0], e.values, features=e.data, feature_names=list(e.feature_names), show=False)


PLOTS: dict[str, Callable[[Any, Any], Any]] = {
    "beeswarm": lambda shap, e: shap.plots.beeswarm(e, show=False),
    "waterfall": lambda shap, e: shap.plots.waterfall(e[2], show=False),
    "bar": lambda shap, e: shap.plots.bar(e, show=False),
    "bar of a row": lambda shap, e: shap.plots.bar(e[2], show=False),
    "heatmap": lambda shap, e: shap.plots.heatmap(e, show=False),
    "decision": _decision,
    "scatter": lambda shap, e: shap.plots.scatter(e[:, 0], show=False),
    "scatter by words": lambda shap, e: shap.plots.scatter(e[:, e.shape[1] - 1], color=e[:, 0], show=False),
}
MAPS: dict[str, Callable[[Any, Any], Any]] = {
    "values": lambda model, x: xm.explain(model, x, "shapley"),
    "streams": lambda model, x: xm.explain(model, x, xm.explainers.Shapley(players="streams")),
    "variables": lambda model, x: xm.explain(model, x, xm.explainers.Shapley(players="variables")),
    "named": lambda model, x: xm.explain(
        model, x, xm.explainers.Shapley(players={"engine": {"table": ["oil"], "series": "all"}, "others": "rest"})
    ),
}


@pytest.fixture(scope="module", params=MAPS)
def drawn(request: Any, model: Any, x: dict[str, Any]) -> Any:
    return xm.to_shap(MAPS[request.param](model, x), "mode:1", data=x)


@pytest.mark.parametrize("plot", PLOTS)
def test_shap_draws_it(plot: str, drawn: Any) -> None:
    import shap

    PLOTS[plot](shap, drawn)
    assert plt.gcf().axes


def test_values_data_and_names_are_those_of_the_explanation(explanation: Any, x: dict[str, Any]) -> None:
    found = xm.to_shap(explanation, "mode:1", data=x)
    at = explanation.sel(head="mode:1")
    assert found.feature_names == [
        *("table.oil", "table.heat", "table.kind"),
        *(f"series.{step}.{name}" for step in range(3) for name in "xy"),
        *("age", "word.city", "word.size"),
    ]
    np.testing.assert_array_equal(found.values[:, :3], at["table"])
    np.testing.assert_array_equal(found.values[:, 3:9], at["series"].values.reshape(ROWS, 6))
    np.testing.assert_array_equal(found.values[:, 9], at["age"])
    np.testing.assert_array_equal(found.values[:, 10:], at["word"])
    np.testing.assert_array_equal(found.data[:, :2].astype("f4"), x["table"][:, :2])
    assert found.data[:, 2].tolist() == [("a", "b", "c")[i] for i in x["table"][:, 2:].argmax(1)]
    np.testing.assert_array_equal(found.data[:, 3:9].astype("f4"), x["series"].reshape(ROWS, 6))
    np.testing.assert_array_equal(found.data[:, 9].astype("f4"), x["age"])
    assert found.data[:, 10].tolist() == x["word"][:, 0].tolist()
    assert found.data[:, 11].tolist() == x["word"][:, 1].tolist()
    assert found.output_names == "mode:1"
    np.testing.assert_array_equal(found.base_values, at["baseline_prediction"])
    np.testing.assert_array_equal(found.error_std[:, 3:9], at["series_standard_error"].values.reshape(ROWS, 6))
    np.testing.assert_allclose(found.base_values + found.values.sum(1), at["prediction"], rtol=1e-4, atol=1e-4)


def test_what_stands_beside_players_of_several_values(model: Any, x: dict[str, Any]) -> None:
    streams = xm.to_shap(MAPS["streams"](model, x), "level", data=x)
    assert streams.feature_names == ["table", "series", "age", "word"]
    assert streams.data[0].tolist() == ["(5 values)", "(6 values)", float(x["age"][0]), "(2 values)"]
    variables = xm.to_shap(MAPS["variables"](model, x), "level", data=x)
    assert variables.feature_names[3:5] == ["series.x", "series.y"]
    np.testing.assert_allclose(variables.data[:, 3:5].astype("f8"), x["series"].mean(1), rtol=1e-6)
    explanation = MAPS["named"](model, x)
    named = xm.to_shap(explanation, "level", data=x)
    assert named.feature_names == ["engine", "others"]
    assert named.data[3].tolist() == ["(of table, series)", "(of table, age, word)"]
    np.testing.assert_array_equal(named.values, explanation["players"].sel(head="level"))
    alone = xm.to_shap(xm.by_players(explanation), "level", data=x)
    np.testing.assert_array_equal(alone.values, named.values)


def test_numbers_alone_are_floats_and_rows_of_any_form_do() -> None:
    model = xm.adapt(lambda a, b: {"y": a[:, :1] + b}, streams={"a": ["p", "q"], "b": 1}, heads={"y": 1})
    a, b = np.arange(6.0).reshape(3, 2), np.ones((3, 1))
    explanation = xm.explain(model, [a, b], "shapley")
    found = xm.to_shap(explanation, data=[a.tolist(), b])
    assert found.data.dtype == np.float64
    np.testing.assert_array_equal(found.data, np.hstack([a, b]))
    assert xm.to_shap(explanation).data is None


def test_rows_that_were_picked_or_reordered_since_keep_their_data(explanation: Any, x: dict[str, Any]) -> None:
    found = xm.to_shap(explanation.isel(sample=[5, 0]), "level", data=x)
    np.testing.assert_array_equal(found.data[:, 0].astype("f4"), x["table"][[5, 0], 0])
    np.testing.assert_array_equal(found.values[:, 0], explanation["table"].sel(head="level").values[[5, 0], 0])


def test_the_explanations_of_a_comparison_go_with_all_its_rows(rng: np.random.Generator) -> None:
    model = xm.adapt(lambda u, v: {"y": u.sum(1) + v.sum((1, 2))}, streams={"u": 3, "v": (2, 2)}, heads={"y": 1})
    x = {"u": rng.normal(size=(30, 3)), "v": rng.normal(size=(30, 2, 2))}
    for space, width in ((None, 7), ("variables", 5)):
        methods = {"shapley": "shapley", "other": xm.explainers.Shapley(budget=64)}
        joined = xm.compare(model, x, methods, rows=12, seed=3, space=space).explanations
        numbers = joined["sample"].values
        assert len(numbers) == 12
        assert numbers.tolist() != list(range(12))
        found = xm.to_shap(joined, explainer="other", data=x)
        np.testing.assert_array_equal(found.data[:, :3], x["u"][numbers])
        np.testing.assert_array_equal(found.values[:, :3], joined["u"].sel(explainer="other", head="y"))
        assert found.values.shape == (12, width)
        few = xm.to_shap(joined.isel(sample=[4]).sel(explainer="shapley"), data=x)
        np.testing.assert_array_equal(few.data[:, :3], x["u"][numbers[[4]]])
        assert few.error_std is not None or space is not None


def test_a_method_of_a_joined_explanation_has_its_own_attributes_again(rng: np.random.Generator) -> None:
    model = xm.adapt(lambda u: {"y": u.sum(1)}, streams={"u": 3}, heads={"y": 1})
    x = rng.normal(size=(5, 3))
    each = {"one": xm.explain(model, x, "shapley"), "two": xm.explain(model, x, "occlusion", seed=4)}
    joined = join(each)
    for label, own in each.items():
        for found in (single(joined, label), single(joined.sel(explainer=label))):
            assert set(found.data_vars) == set(own.data_vars)
            for name in ("method", "settings", "seed", "signed", "speaks_of", "reference", "targets", "data_sha256"):
                assert found.attrs[name] == own.attrs[name], name
            assert "methods" not in found.attrs
            for name in own.data_vars:
                np.testing.assert_array_equal(found[name], own[name])
    assert single(each["one"]) is each["one"]
    with pytest.raises(UnknownName, match=r"no explainer is called 'tow'; there are: one, two\. Did you mean 'two'"):
        single(joined, "tow")
    with pytest.raises(BadSetting, match=r"several methods \(one, two\); say which: explainer='one'"):
        single(joined)
    with pytest.raises(BadSetting, match="explainer='one', and the explanation is of the one method 'occlusion'"):
        single(each["two"], "one")


def test_a_joined_map_alone_needs_no_label(explanation: Any, x: dict[str, Any]) -> None:
    found = xm.to_shap(join({"mine": explanation}), "level", data=x)
    np.testing.assert_array_equal(found.values, xm.to_shap(explanation, "level", data=x).values)


def test_other_rows_are_refused(explanation: Any, model: Any, x: dict[str, Any]) -> None:
    turned = {name: values[::-1] for name, values in x.items()}
    with pytest.raises(BadValues, match=r"the rows in data are not those that were explained: their digest is \w{12}"):
        xm.to_shap(explanation, "level", data=turned)
    with pytest.raises(BadValues, match=r"same\s+order; got 3"):
        xm.to_shap(explanation, "level", data={name: values[:3] for name, values in x.items()})
    with pytest.raises(ShapeMismatch, match="input stream 'series' wants"):
        xm.to_shap(explanation, "level", data={**x, "series": x["series"][:, :2]})
    with pytest.raises(BadValues, match=r"samples \(90, 91.*\) are no numbers of the 7 rows"):
        xm.to_shap(explanation.assign_coords(sample=np.arange(90, 97)), "level", data=x)
    del (undated := explanation.copy()).attrs["data_sha256"]
    with pytest.raises(BadValues, match="does not say which rows it was made from"):
        xm.to_shap(undated, "level", data=x)


def test_a_target_is_named_where_there_are_several(explanation: Any) -> None:
    with pytest.raises(BadSetting, match=r"has 3: level, mode:0, mode:1\. Name one: head='level'"):
        xm.to_shap(explanation)
    with pytest.raises(UnknownName, match=r"no target is called 'levl'; .*Did you mean 'level'"):
        xm.to_shap(explanation, "levl")
    with pytest.raises(SchemaError, match="laid out by steps"):
        xm.to_shap(xm.by_step(explanation, "mode"))


def test_maps_that_do_not_add_up_are_refused(explanation: Any) -> None:
    with pytest.raises(NotSupported, match=r"the map of 'shapley' has no sign.*e\.g\. 'shapley' or"):
        xm.to_shap(explanation.assign_attrs(signed=0), "level")
    with pytest.raises(NotSupported, match=r"speaks of sensitivity \(what happens when a feature grows\)"):
        xm.to_shap(explanation.assign_attrs(speaks_of="sensitivity"), "level")
    with pytest.raises(NotSupported, match="neither a baseline nor predictions"):
        xm.to_shap(explanation.drop_vars(["prediction", "baseline_prediction"]), "level")


def test_a_method_without_a_baseline_gets_a_substitute_that_is_said(explanation: Any) -> None:
    without = explanation.drop_vars("baseline_prediction").assign_attrs(method="mine")
    with pytest.warns(SubstituteWarning, match=r"'mine' has no baseline: base_values are the prediction less"):
        found = xm.to_shap(without, "mode:0")
    np.testing.assert_allclose(
        found.base_values + found.values.sum(1), explanation["prediction"].sel(head="mode:0"), rtol=1e-12
    )


def test_streams_of_which_nothing_is_said_are_left_out(explanation: Any, x: dict[str, Any]) -> None:
    silent = explanation.assign_attrs(unexplained='["series", "word"]')
    found = xm.to_shap(silent, "level", data=x)
    assert found.feature_names == ["table.oil", "table.heat", "table.kind", "age"]
    assert found.values.shape == found.data.shape == (ROWS, 4)
    with pytest.raises(SchemaError, match="says nothing of any stream"):
        xm.to_shap(explanation.assign_attrs(unexplained='["series", "word", "age", "table"]'), "level")


def test_tokens_stand_beside_the_map_of_a_text() -> None:
    def tokenizer(texts: list[str]) -> list[list[int]]:
        return [[len(word) for word in text.split()] for text in texts]

    model = xm.adapt(
        lambda ids: {"mood": ids.sum(1).astype("f8")},
        streams={"ids": xm.Stream("ids", (2,), dtype="int64", axes=("token",))},
        heads={"mood": 1},
        tokenizer={"ids": tokenizer},
    )
    texts = ["so good", "quite bad"]
    found = xm.to_shap(xm.explain(model, {"ids": texts}, "shapley"), data={"ids": tokenizer(texts)})
    assert found.data.tolist() == [["2", "4"], ["5", "3"]]
    assert found.values.tolist() == [[-1.5, 0.5], [1.5, -0.5]]


def test_without_shap_it_says_what_to_install(explanation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(MissingDependency, match=r"pip install 'xai-mimo\[shap\]'"):
        xm.to_shap(explanation, "level")


def test_the_example_runs() -> None:
    (example,) = doctest.DocTestFinder().find(to_shap, "to_shap")
    assert doctest.DocTestRunner().run(example) == doctest.TestResults(failed=0, attempted=7)
