"""lime on models of ours: slopes by hand, lime alone, categories of every kind, what each number speaks of, refusals."""

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.frameworks import imported, needs
from tests.helpers.one_network import rows as network_rows
from tests.helpers.one_network import torch_network
from tests.helpers.toys import mlp, rows
from xai_mimo.core.errors import BadSetting
from xai_mimo.core.method import Context
from xai_mimo.core.streams import Head, Stream
from xai_mimo.core.targets import Selector
from xai_mimo.testing import check_method

lime_tabular = imported("lime.lime_tabular") if imported("lime") else None
LimeTabular = imported("xai_mimo_adapters.lime_methods").LimeTabular
pytestmark = pytest.mark.all_frameworks

FEW = {"samples": 400}


@pytest.fixture(scope="module")
def lines():
    """Two heads that add up, with slopes that can be read off."""

    def answer(a, b):
        return {"up": 3 * a[:, 0] - 2 * a[:, 1] + b[:, 0, 1], "down": -10 * a[:, 0] + 7}

    model = xm.adapt(answer, streams={"a": 2, "b": (1, 2)}, heads={"up": 1, "down": 1})
    rng = np.random.default_rng(0)
    background = {"a": rng.normal(5, [1, 4], size=(60, 2)), "b": rng.normal(size=(60, 1, 2))}
    return model, {"a": [[6.0, 1.0], [4.0, 9.0]], "b": [[[1.0, 2.0]], [[0.0, -1.0]]]}, background


def explained(lines, method, **settings):
    return xm.explain(lines[0], lines[1], method, background=lines[2], **settings)


def test_coefficients_of_numbers_are_slopes(lines):
    found = explained(lines, LimeTabular(discretize=False, values="coefficients"))
    np.testing.assert_allclose(found["a"].sel(head="up").values, [[3, -2]] * 2, rtol=2e-2)
    np.testing.assert_allclose(found["b"].sel(head="up").values, [[[0, 1]]] * 2, atol=2e-2)
    np.testing.assert_allclose(found["a"].sel(head="down").values, [[-10, 0]] * 2, atol=0.1)
    assert found.attrs["speaks_of"] == "sensitivity"


def test_it_is_listed_with_what_its_defaults_speak_of():
    listed = xm.methods().loc["lime.tabular"]
    assert (listed["speaks_of"], listed["reference"]) == ("attribution", "ribeiro2016why")


def test_contributions_of_numbers_are_slopes_times_the_distance_to_the_mean(lines):
    found = explained(lines, LimeTabular(discretize=False))
    by_hand = [3, -2] * (np.array(lines[1]["a"]) - lines[2]["a"].mean(axis=0))
    np.testing.assert_allclose(found["a"].sel(head="up").values, by_hand, rtol=2e-2, atol=2e-2)
    assert found.attrs["speaks_of"] == "attribution"
    assert "baseline_prediction" not in found


@pytest.mark.parametrize("discretize", [True, False])
def test_contributions_and_intercept_sum_to_the_local_prediction(lines, discretize):
    found = explained(lines, LimeTabular(discretize=discretize, **FEW))
    total = found["a"].values.sum(axis=2) + found["b"].values.sum(axis=(2, 3)) + found["intercept"].values
    np.testing.assert_allclose(total, found["local_prediction"].values, atol=1e-9)


def test_r_squared_is_of_each_head():
    model = xm.adapt(
        lambda x: {"line": x[:, 0] - x[:, 1], "wave": np.sin(9 * x[:, 0]) * x[:, 1]},
        streams={"x": 2},
        heads={"line": 1, "wave": 1},
    )
    background = np.random.default_rng(1).normal(size=(50, 2))
    found = xm.explain(model, np.ones((1, 2)), LimeTabular(discretize=False, samples=1000), background=background)
    line, wave = found["local_r_squared"].values[:, 0]
    assert line > 0.99
    assert 0 <= wave < 0.3


@pytest.mark.parametrize(
    "settings", [{}, {"discretize": False}, {"discretize": False, "around_row": True}, {"most": 2}]
)
def test_lime_alone_gives_the_same(settings):
    """One head, a regression by lime's own door, seeded alike."""
    model = mlp(streams={"u": 4}, heads={"y": 1}, activation="tanh")
    x, background = rows(model, 1), rows(model, 40, seed=7)
    context = Context(np.random.default_rng(5), background)
    found = LimeTabular(**settings, **FEW)(model, x, [Selector("y", "y", np.zeros(1, dtype=int))], context)
    alone = lime_tabular.LimeTabularExplainer(
        background["u"],
        mode="regression",
        discretize_continuous=settings.get("discretize", True),
        sample_around_instance=settings.get("around_row", False),
        feature_selection="none" if "most" not in settings else "auto",
        random_state=np.random.RandomState(np.random.default_rng(5).integers(2**32)),
    )
    told = alone.explain_instance(
        x["u"][0], lambda table: model.forward(table)["y"][:, 0], num_features=settings.get("most", 4), num_samples=400
    )
    weights = np.zeros(4)
    for column, weight in told.local_exp[1]:
        weights[column] = weight
    if not settings.get("discretize", True):
        weights *= (x["u"][0] - background["u"].mean(axis=0)) / background["u"].std(axis=0)
    np.testing.assert_allclose(found.values["u"][0, 0], weights, atol=1e-9)
    np.testing.assert_allclose(found.diagnostics["local_r_squared"], told.score)
    np.testing.assert_allclose(found.diagnostics["intercept"], told.intercept[1])
    assert np.count_nonzero(found.values["u"]) == settings.get("most", 4)


def test_heads_share_one_neighbourhood():
    model = mlp(streams={"u": 3, "v": 2}, heads={"y": 1, "z": 3})
    x, background = rows(model, 2), rows(model, 30, seed=7)
    model.rows_seen.clear()
    found = xm.explain(model, x, LimeTabular(**FEW), background=background, check=False)
    assert sum(model.rows_seen) == 400 * 2 + 2 * 2
    model.rows_seen.clear()
    one = xm.explain(model, x, LimeTabular(**FEW), background=background, targets=[("z", 2)])
    np.testing.assert_allclose(one["u"].values[0], found["u"].values[3], atol=1e-9)


class Mixed:
    """y = 5 where the colour is red, + 2 on Mondays, + 3 for a count of 4, + the size."""

    streams = (
        Stream("words", (1,), "str", features=("colour",)),
        Stream("count", (1,), "int64"),
        Stream("table", (3,), "float64", features=("Mon", "Tue", "size"), groups={"weekday": ("Mon", "Tue")}),
    )
    heads = (Head("y"),)

    def fingerprint(self):
        return "mixed"

    def predict(self, inputs):
        assert inputs["words"].dtype == object
        assert inputs["count"].dtype == np.int64
        day = inputs["table"][:, :2]
        assert (day.sum(axis=1) == 1).all(), "a row that is two days, or none"
        y = 5.0 * (inputs["words"][:, 0] == "red") + 3.0 * (inputs["count"][:, 0] == 4) + 2.0 * day[:, 0]
        return {"y": (y + inputs["table"][:, 2])[:, None]}


def mixed_rows(count, seed=0):
    rng = np.random.default_rng(seed)
    monday = rng.integers(2, size=count)
    return {
        "words": rng.choice(["red", "blue", "green"], size=(count, 1)).astype(object),
        "count": rng.integers(3, 6, size=(count, 1)),
        "table": np.stack([monday, 1 - monday, rng.normal(size=count)], axis=1).astype(float),
    }


def test_words_whole_numbers_and_groups_are_categories():
    model = Mixed()
    x = {
        "words": np.array([["red"]], dtype=object),
        "count": np.array([[4]]),
        "table": np.array([[1.0, 0.0, 0.5]]),
    }
    method = LimeTabular(discretize=False, values="coefficients")
    found = xm.explain(model, x, method, background=mixed_rows(80))
    np.testing.assert_allclose(float(found["words"].values[0, 0, 0]), 5, rtol=2e-2)
    np.testing.assert_allclose(float(found["count"].values[0, 0, 0]), 3, rtol=2e-2)
    assert found["table_feature"].values.tolist() == ["weekday", "size"]
    np.testing.assert_allclose(found["table"].values[0, 0], [2, 1], rtol=2e-2)


def test_a_word_that_no_background_row_has_is_taken():
    x = {"words": np.array([["violet"]], dtype=object), "count": np.array([[9]]), "table": np.array([[0.0, 1.0, 2.0]])}
    found = xm.explain(Mixed(), x, LimeTabular(**FEW), background=mixed_rows(80))
    assert np.isfinite(found["words"].values).all()


def test_all_columns_may_be_categories():
    model = xm.adapt(
        lambda ids: {"y": 2.0 * (np.asarray(ids)[:, 0] == 1)},
        streams=[Stream("ids", (2,), "int64")],
        heads={"y": 1},
    )
    background = np.random.default_rng(0).integers(0, 3, size=(50, 2))
    found = xm.explain(model, np.array([[1, 2]]), LimeTabular(), background=background)
    np.testing.assert_allclose(found["ids"].values[0, 0], [2, 0], atol=2e-2)


def test_seeds_decide_and_the_global_generator_stays(lines):
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - that it stays is what is tested
    one, again, other = (explained(lines, LimeTabular(**FEW), seed=seed)["a"].values for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-9
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_little_memory_changes_nothing(lines):
    found = explained(lines, LimeTabular(**FEW))
    small = explained(lines, LimeTabular(**FEW), max_memory=70_000)
    np.testing.assert_allclose(small["a"].values, found["a"].values, atol=1e-9)


def test_coefficients_keep_the_contract_of_methods_too():
    method = LimeTabular(discretize=False, values="coefficients", samples=150)
    check_method(method, complete=None, zero_where_unused=False)


@needs("torch")
def test_a_torch_network_of_three_streams_and_a_spare_one():
    inputs = network_rows(2)
    method = LimeTabular(samples=2000, discretize=False)
    found = xm.explain(torch_network(), inputs, method, targets=["hours", "risk"], background=network_rows(30, seed=9))
    assert found["image"].shape == (2, 2, 4, 4, 2)
    assert np.abs(found["table"]).max() > 4 * np.abs(found["spare"]).max()


class TestRefusals:
    def test_a_background_of_one_row(self, lines):
        one = {name: x[:1] for name, x in lines[2].items()}
        with pytest.raises(BadSetting, match="this background has 1 row; give at least 2"):
            xm.explain(lines[0], lines[1], LimeTabular(), background=one)

    def test_too_little_memory(self, lines):
        with pytest.raises(BadSetting, match="for the 5000 drawn rows of 4 columns, more than max_memory"):
            explained(lines, LimeTabular(), max_memory=10_000)

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"values": "coefficients"}, "a number that is discretized has quarters and no units"),
            ({"around_row": True}, "take one of them"),
            ({"values": "weights"}, "values 'weights' is not one of contributions, coefficients"),
            ({"samples": 0}, "samples must be a whole number"),
            ({"most": 0}, "most must be a whole number"),
            ({"kernel_width": -1}, "kernel_width must be a number above 0"),
            ({"discretize": "quartile"}, "discretize must be True or False"),
        ],
    )
    def test_settings(self, settings, words):
        with pytest.raises(BadSetting, match=words):
            LimeTabular(**settings)
