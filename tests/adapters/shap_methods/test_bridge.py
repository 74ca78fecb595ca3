"""SHAP on models of ours: values by hand, brute force over coalitions, SHAP's own numbers, what is refused."""

import sys

import numpy as np
import pytest
from xai_mimo_adapters.shap_methods import ShapKernel, ShapPermutation

from tests.helpers.frameworks import imported
from tests.helpers.games import Bilinear, Plain, brute_force_shapley, explain, rows_for
from xai_mimo.core.errors import BadSetting, MissingDependency, NotSupported
from xai_mimo.core.method import Context
from xai_mimo.core.model import Model
from xai_mimo.core.plugins import method
from xai_mimo.core.streams import Head, Stream
from xai_mimo.core.targets import Selector, select
from xai_mimo.explainers import Shapley

shap = imported("shap")
once = pytest.mark.all_frameworks
BOTH = pytest.mark.parametrize("explainer", [ShapPermutation(), ShapKernel()], ids=lambda e: e.name)


class Watched:
    """A model that notes what it is asked."""

    def __init__(self, model, seen):
        self.model, self.seen = model, seen
        self.streams, self.heads = model.streams, model.heads

    def fingerprint(self):
        return self.model.fingerprint()

    def predict(self, inputs):
        self.seen.append(inputs["x"])
        return self.model.predict(inputs)


@once
@BOTH
def test_values_of_a_bilinear_model_are_those_found_by_hand(explainer, rng):
    model = Bilinear()
    inputs, background = rows_for(model, rng, 6), rows_for(model, rng, 1)
    found = explain(explainer, model, inputs, background)
    a, b, a_, b_ = inputs["a"], inputs["b"][:, 0], background["a"][0], background["b"][0, 0]
    np.testing.assert_allclose(found.values["a"][0, :, 0], (a[:, 0] - a_[0]) * (b[:, 0] + b_[0]) / 2, atol=1e-10)
    np.testing.assert_allclose(found.values["a"][0, :, 1], 3 * (a[:, 1] - a_[1]), atol=1e-10)
    np.testing.assert_allclose(found.values["b"][0, :, 0, 0], (b[:, 0] - b_[0]) * (a[:, 0] + a_[0]) / 2, atol=1e-10)
    np.testing.assert_allclose(found.values["unused"], 0, atol=1e-10)


@once
@BOTH
def test_each_row_is_explained_for_its_own_predicted_class(explainer, rng):
    model = Bilinear()
    inputs, background = rows_for(model, rng, 30), rows_for(model, rng, 3)
    kind = select(None, model.heads, model.predict(inputs))[1].units
    assert set(kind) == {0, 1, 2}
    found = explain(explainer, model, inputs, background)
    change_a = inputs["a"][:, 0] - background["a"][:, 0].mean()
    change_b = inputs["b"][:, 0, 1] - background["b"][:, 0, 1].mean()
    np.testing.assert_allclose(found.values["a"][1, :, 0], np.where(kind == 0, change_a, 0), atol=1e-10)
    np.testing.assert_allclose(found.values["b"][1, :, 0, 1], np.where(kind == 1, 2 * change_b, 0), atol=1e-10)


@once
@BOTH
def test_values_sum_to_the_change_of_the_target(explainer, rng):
    model = Bilinear()
    found = explain(explainer, model, rows_for(model, rng, 8), rows_for(model, rng, 5))
    total = sum(v.reshape(2, 8, -1).sum(axis=-1) for v in found.values.values())
    np.testing.assert_allclose(total, found.prediction - found.baseline_prediction, atol=1e-9)


@once
@BOTH
def test_values_equal_brute_force_on_a_model_with_interactions(explainer, rng):
    def function(x):
        return np.tanh(x[:, 0] * x[:, 1]) + x[:, 2] ** 2 * x[:, 1]

    model, x, background = Plain(function, 3), rng.normal(size=(3, 3)), rng.normal(size=(4, 3))
    many = ShapPermutation(permutations=400) if explainer == ShapPermutation() else explainer
    found = explain(many, model, {"x": x}, {"x": background}).values["x"][0]
    slow = np.stack([brute_force_shapley(function, row, background) for row in x])
    np.testing.assert_allclose(found, slow, atol=0.02 if many is not explainer else 1e-9)


@once
@BOTH
def test_columns_of_a_category_are_known_together(explainer, rng):
    model, weights = Plain(lambda x: x @ [3.0, 2.0, -1.0, 7.0], 4), np.array([3.0, -1.0, 7.0])
    days = ("Mon", "Tue", "Wed")
    model.streams = (Stream("x", (4,), "float64", features=("Mon", "heat", "Tue", "Wed"), groups={"day": days}),)
    level = np.eye(3)[rng.integers(0, 3, 9)]
    rows = np.stack([level[:, 0], rng.normal(size=9), level[:, 1], level[:, 2]], axis=1)
    x, background, seen = {"x": rows[:4]}, {"x": rows[4:]}, []
    found = explain(explainer, Watched(model, seen), x, background).values["x"]
    assert found.shape == (1, 4, 2)
    np.testing.assert_allclose(found[0, :, 0], level[:4] @ weights - (level[4:] @ weights).mean(), atol=1e-9)
    np.testing.assert_allclose(found[0, :, 1], 2 * (rows[:4, 1] - rows[4:, 1].mean()), atol=1e-9)
    for asked in seen:
        np.testing.assert_array_equal(asked[:, [0, 2, 3]].sum(axis=1), 1)


NAMED = {"both": {"a": [0], "b": "all"}, "slope": {"a": [1]}, "others": "rest"}


@once
@pytest.mark.parametrize("explainer", [ShapPermutation(players=NAMED), ShapKernel(players=NAMED)], ids=lambda e: e.name)
def test_players_by_name_span_streams_and_equal_our_exact_values(explainer, rng):
    model = Bilinear()
    x, background = rows_for(model, rng, 3), rows_for(model, rng, 4)
    context = Context(rng, background)
    selectors = select(None, model.heads, model.predict(x))
    found = explainer(model, x, selectors, context)
    exact = Shapley(players=NAMED)(model, x, selectors, context)
    assert found.players.names == exact.players.names == ("both", "slope", "others")
    assert found.players.streams[0] == ("a", "b")
    np.testing.assert_allclose(found.players.values, exact.players.values, atol=1e-6)
    np.testing.assert_allclose(found.values["b"], exact.values["b"], atol=1e-6)


@once
def test_shap_itself_gives_the_same_for_a_table_of_groups(rng):
    """shap's exact explainer, whose masker is handed our groups: it replaces all columns of a group at once."""
    groups = np.array([0, 0, 1, 2, 1])
    model = Plain(lambda x: np.tanh(x[:, 0] * x[:, 2]) + x[:, 1] * x[:, 3] + x[:, 4], 5)
    x, background = rng.standard_normal((2, 5)), rng.standard_normal((3, 5))
    players = {name: {"x": np.flatnonzero(groups == i).tolist()} for i, name in enumerate("abc")}
    selectors = select(None, model.heads, model.predict({"x": x}))
    ours = Shapley(players=players)(model, {"x": x}, selectors, Context(rng, {"x": background}))

    def masker(mask, row):
        return (np.where(mask[groups], row, background),)

    masker.shape, masker.mask_shapes = (lambda row: (len(background), 3)), (lambda row: [(3,)])
    for i in range(2):
        theirs = shap.explainers.Exact(lambda rows: model.predict({"x": rows})["y"][:, 0], masker)(x[i : i + 1])
        np.testing.assert_allclose(ours.players.values[0, i], theirs.values[0], atol=1e-10)


@once
@BOTH
def test_players_that_the_bridge_cannot_take_are_refused(explainer, rng):
    kind, model = type(explainer), Bilinear()
    with pytest.raises(BadSetting, match=r"no players='patches'; give label images"):
        kind(players="patches")
    with pytest.raises(BadSetting, match="player 'a' is empty"):
        kind(players={"a": {}})
    by_row = kind(players={"b": rng.integers(0, 2, (3, 1))})
    x = rows_for(model, rng, 3)
    with pytest.raises(
        NotSupported, match=f"{kind.name} has one table of players for all rows, and these labels differ"
    ):
        by_row(model, x, select(None, model.heads, model.predict(x)), Context(rng, x))


@once
def test_the_numbers_are_those_of_shap_itself(rng):
    weights = rng.normal(size=(5, 5))

    def function(x):
        return np.tanh(x @ weights).prod(axis=1)

    model, x, background = Plain(function, 5), rng.normal(size=(3, 5)), rng.normal(size=(7, 5))
    seed = int(np.random.default_rng(11).integers(2**32))
    masker = shap.maskers.Independent(background)
    theirs = shap.explainers.Permutation(function, masker, seed=seed)(x, max_evals=4 * 11, silent=True).values
    ours = explain(ShapPermutation(permutations=4), model, {"x": x}, {"x": background}, seed=11)
    np.testing.assert_allclose(ours.values["x"][0], theirs, rtol=1e-12)

    np.random.seed(seed)  # noqa: NPY002
    theirs = shap.KernelExplainer(function, background).shap_values(x, nsamples=20, l1_reg=0, silent=True)
    ours = explain(ShapKernel(samples=20), model, {"x": x}, {"x": background}, seed=11)
    np.testing.assert_allclose(ours.values["x"][0], theirs, rtol=1e-9)


@once
@BOTH
def test_a_feature_with_a_large_offset_keeps_its_attribution(explainer, rng):
    model = Plain(lambda x: 1000 * (x[:, 0] - 300) + x[:, 1], 2)
    x = np.array([[300.002, 1.0]])
    found = explain(explainer, model, {"x": x}, {"x": np.array([[300.001, 0.0]])}).values["x"][0, 0]
    np.testing.assert_allclose(found, [1.0, 1.0], atol=1e-6)


@once
@BOTH
def test_integer_streams_are_passed_through_as_integers(explainer, rng):
    model = Bilinear(a="int64")
    inputs, background = rows_for(model, rng, 4), rows_for(model, rng, 2)
    inputs["a"] = np.array([[2, 5], [7, 1], [3, 3], [9, 8]])
    background["a"] = np.array([[1, 0], [3, 2]])
    found = explain(explainer, model, inputs, background)
    np.testing.assert_allclose(found.values["a"][0, :, 1], 3 * (inputs["a"][:, 1] - 1.0), atol=1e-9)


class Odd:
    """y = 10 where a number is odd."""

    streams = (Stream("number", (1,), "int64"), Stream("other", (1,)))
    heads = (Head("y"),)

    def fingerprint(self):
        return "odd"

    def predict(self, inputs):
        return {"y": 10.0 * (inputs["number"] % 2) + inputs["other"]}


@once
@BOTH
def test_whole_numbers_that_float64_does_not_tell_apart(explainer, rng):
    large, other = np.array([[2**53 + 1], [-(2**60) - 1]]), np.ones((2, 1), np.float32)
    found = explain(
        explainer, Odd(), {"number": large, "other": other}, {"number": large - 1, "other": np.zeros_like(other)}
    )
    np.testing.assert_allclose(found.values["number"][0, :, 0], 10, atol=1e-9)
    np.testing.assert_allclose(found.values["other"][0, :, 0], 1, atol=1e-9)


@once
@BOTH
def test_a_row_that_equals_its_background_gets_zeros(explainer, rng):
    model = Bilinear()
    inputs = rows_for(model, rng, 1)
    found = explain(explainer, model, inputs, {name: x.copy() for name, x in inputs.items()})
    for values in found.values.values():
        np.testing.assert_array_equal(values, 0)


@once
@BOTH
def test_one_player_takes_the_whole_change(explainer, rng):
    model = Plain(lambda x: x[:, 0] ** 2, 1)
    found = explain(explainer, model, {"x": np.array([[3.0], [1.0]])}, {"x": np.array([[1.0]])})
    np.testing.assert_allclose(found.values["x"][0, :, 0], [8.0, 0.0], atol=1e-12)


@once
@pytest.mark.parametrize("explainer", [ShapPermutation(permutations=1), ShapKernel(samples=60)], ids=lambda e: e.name)
def test_the_seed_decides_and_numpys_global_generator_is_put_back(explainer, rng):
    weights = rng.normal(size=(12, 12))
    model = Plain(lambda x: np.tanh(x @ weights).prod(axis=1), 12)
    x, background = {"x": rng.normal(size=(2, 12))}, {"x": rng.normal(size=(3, 12))}
    before = np.random.get_state()  # noqa: NPY002
    one, same, other = (explain(explainer, model, x, background, seed=s).values["x"] for s in (1, 1, 2))
    after = np.random.get_state()  # noqa: NPY002
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-6
    assert before[2:] == after[2:]
    np.testing.assert_array_equal(before[1], after[1])


@once
@BOTH
def test_numpys_global_generator_is_put_back_after_an_error(explainer, rng):
    def breaks(x):
        if len(x) > 3:
            raise RuntimeError("the model breaks on many rows")
        return x[:, 0]

    before = np.random.get_state()  # noqa: NPY002
    with pytest.raises(RuntimeError, match="breaks on many rows"):
        explain(explainer, Plain(breaks, 4), {"x": rng.normal(size=(2, 4))}, {"x": rng.normal(size=(2, 4))})
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


@once
def test_progress_reaches_the_number_of_rows(rng):
    model, done = Bilinear(), []
    explain(ShapPermutation(), model, rows_for(model, rng, 7), rows_for(model, rng, 2), advance=done.append)
    assert sum(done) == 7


@once
@BOTH
def test_more_masked_rows_than_memory_is_refused_with_a_way_out(explainer, rng):
    model = Bilinear()
    with pytest.raises(BadSetting, match=r"more than max_memory \(0 MB\). Use a smaller background.*'shapley'"):
        explain(explainer, model, rows_for(model, rng, 1), rows_for(model, rng, 3), max_memory=1000)


@once
def test_settings_are_checked():
    with pytest.raises(BadSetting, match="permutations must be a whole number of at least 1; got 0"):
        ShapPermutation(permutations=0)
    with pytest.raises(BadSetting, match=r"samples must be a whole number of at least 1; got 10\.5"):
        ShapKernel(samples=10.5)


@once
@BOTH
def test_without_shap_the_error_says_what_to_install(explainer, rng, monkeypatch):
    monkeypatch.setitem(sys.modules, "shap", None)
    model = Bilinear()
    with pytest.raises(MissingDependency, match=r"the SHAP bridge needs shap: pip install 'xai-mimo\[shap\]'"):
        explain(explainer, model, rows_for(model, rng, 1), rows_for(model, rng, 1))


@once
def test_the_methods_are_found_by_name():
    assert method("shap.permutation") == ShapPermutation()
    assert method("shap.kernel") == ShapKernel()


@BOTH
def test_a_keras_model_with_two_streams_and_two_heads_is_explained_exactly(explainer, rng):
    import keras
    from xai_mimo_adapters.keras_adapter import KerasAdapter

    keras.utils.set_random_seed(3)
    a, b = keras.Input((2,), name="a"), keras.Input((1,), name="b")
    hidden = keras.layers.Dense(5, activation="tanh")(keras.layers.Concatenate()([a, b]))
    network = keras.Model([a, b], {"y": keras.layers.Dense(1, name="y")(hidden), "z": keras.layers.Dense(1)(hidden)})
    model = KerasAdapter(network)
    assert isinstance(model, Model)
    inputs = {"a": rng.normal(size=(2, 2)).astype("float32"), "b": rng.normal(size=(2, 1)).astype("float32")}
    background = {"a": rng.normal(size=(3, 2)).astype("float32"), "b": rng.normal(size=(3, 1)).astype("float32")}
    selectors = [Selector(h, h, np.zeros(2, dtype=np.int64)) for h in ("y", "z")]
    many = ShapPermutation(permutations=200) if explainer == ShapPermutation() else explainer
    found = many(model, inputs, selectors, Context(rng, background))
    for t, head in enumerate(("y", "z")):

        def function(x, head=head):
            return model.predict({"a": x[:, :2], "b": x[:, 2:]})[head][:, 0]

        columns = np.concatenate([inputs["a"], inputs["b"]], axis=1)
        reference = np.concatenate([background["a"], background["b"]], axis=1)
        slow = np.stack([brute_force_shapley(function, row, reference) for row in columns])
        ours = np.concatenate([found.values["a"][t], found.values["b"][t]], axis=1)
        np.testing.assert_allclose(ours, slow, atol=0.02 if many is not explainer else 1e-5)
