"""Shapley values: additive models, enumeration, axioms, standard errors, the shap package."""

from itertools import combinations, product
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import xai_mimo as xm
from tests.helpers import toys
from tests.helpers.frameworks import needs
from xai_mimo.core.errors import BadSetting, NotConvergedWarning
from xai_mimo.core.explanation import features_of, join
from xai_mimo.core.saved import load, save
from xai_mimo.core.streams import Head, Stream
from xai_mimo.explainers import Shapley

pytestmark = pytest.mark.all_frameworks

SAMPLED = Shapley(budget=30)  # 5 players have 32 coalitions, so this walks three pairs


def slow_shapley(forward, x, background):
    """The definition: all coalitions of all players, one row, one output at a time."""
    count = x.shape[1]

    def worth(row, known):
        mixed = background.copy()
        mixed[:, list(known)] = row[list(known)]
        return forward(mixed).mean()

    values = np.zeros_like(x)
    for n, row in enumerate(x):
        for i in range(count):
            others = [j for j in range(count) if j != i]
            for size in range(count):
                weight = factorial(size) * factorial(count - size - 1) / factorial(count)
                for known in combinations(others, size):
                    values[n, i] += weight * (worth(row, (*known, i)) - worth(row, known))
    return values


def flat(arrays):
    return np.concatenate([arrays["u"], arrays["v"]], axis=-1)


def test_enumeration_equals_the_definition_written_slowly():
    model = toys.mlp()
    x, background = toys.rows(model, 2), toys.rows(model, 4, seed=7)
    found = xm.explain(model, x, Shapley(), background=background, targets=[("z", 2)])
    slow = slow_shapley(lambda v: model.forward(v)["z"][:, 2], flat(x), flat(background))
    np.testing.assert_allclose(flat({s: found[s].values[0] for s in ("u", "v")}), slow, atol=1e-12)
    assert int(found["evaluations"].max()) == 32
    np.testing.assert_array_equal(found["u_standard_error"], 0)


@pytest.mark.parametrize("method", [Shapley(), SAMPLED], ids=["exact", "sampled"])
def test_an_additive_model_gives_each_term_its_own_change_from_the_background_mean(method):
    model = toys.additive()
    x, background = toys.rows(model, 6), toys.rows(model, 8, seed=7)
    found = xm.explain(model, x, method, background=background, targets=["y"])
    factor = np.array([4, 5])
    exact = np.sin(factor * x["v"]) - np.sin(factor * background["v"]).mean(axis=0)
    np.testing.assert_allclose(found["v"][0], exact, atol=1e-12)
    np.testing.assert_allclose(found["v_standard_error"], 0, atol=1e-12)


def test_a_product_is_shared_half_and_half():
    model = toys.product(1)
    x = toys.rows(model, 5)
    found = xm.explain(model, x, Shapley(), background={"u": np.zeros((1, 1)), "v": np.zeros((1, 1))})
    np.testing.assert_allclose(found["u"][0], x["u"] * x["v"] / 2, rtol=1e-12)


def test_streams_as_players_equal_the_formula_for_two():
    model = toys.product(3)
    x, background = toys.rows(model, 4), toys.rows(model, 6, seed=3)
    found = xm.explain(model, x, Shapley(players="streams"), background=background)
    assert found["u"].dims == ("head", "sample")

    def worth(u, v):
        return (u * v).sum(1).mean()

    for n in range(4):
        u, v, bu, bv = x["u"][n], x["v"][n], background["u"], background["v"]
        exact = 0.5 * (worth(u, bv) - worth(bu, bv)) + 0.5 * (worth(u, v[None]) - worth(bu, v))
        np.testing.assert_allclose(float(found["u"][0, n]), exact, rtol=1e-10)


def test_sampling_agrees_with_enumeration_within_its_standard_error():
    model = toys.mlp(scale=2.0)
    x, background = toys.rows(model, 60), toys.rows(model, 5, seed=7)
    exact = xm.explain(model, x, Shapley(), background=background)
    wide = toys.mlp(scale=2.0)
    sampled = xm.explain(wide, x, Shapley(budget=31), background=background)
    assert int(sampled["evaluations"].max()) == 24
    error = np.maximum(sampled["u_standard_error"].values, 1e-9)
    runs = [xm.explain(model, x, Shapley(budget=31), background=background, seed=s)["u"].values for s in range(40)]
    z = (np.mean(runs, axis=0) - exact["u"].values) / np.maximum(np.std(runs, axis=0, ddof=1) / np.sqrt(40), 1e-12)
    assert np.abs(z).mean() < 1.1, "biased"
    stated, scatter = np.sqrt((error**2).mean()), np.sqrt(np.var(runs, axis=0, ddof=1).mean())
    np.testing.assert_allclose(stated, scatter, rtol=0.15)


@pytest.mark.parametrize("method", [Shapley(), SAMPLED], ids=["exact", "sampled"])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 4))
def test_values_sum_to_the_change_of_the_target(method, seed, count):
    model = toys.mlp(seed=seed)
    x, background = toys.rows(model, count, seed), toys.rows(model, 3, seed + 1)
    found = xm.explain(model, x, method, background=background)
    np.testing.assert_allclose(found["completeness_gap"], 0, atol=1e-12)
    np.testing.assert_allclose(
        found["baseline_prediction"][0], np.full(count, model.predict(background)["y"].mean()), atol=1e-12
    )


@pytest.mark.parametrize("method", [Shapley(), SAMPLED], ids=["exact", "sampled"])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_dummy_gets_exactly_zero(method, seed):
    model = toys.mlp(seed=seed, unused={"y": "v"})
    found = xm.explain(model, toys.rows(model, 3, seed), method, background=toys.rows(model, 3, 1), targets=[("z", 0)])
    assert np.abs(found["v"]).max() > 0
    weights = toys.linear({"y": [[1, 0, 0, 0, 2]]})
    found = xm.explain(weights, toys.rows(weights, 3, seed), method, background=toys.rows(weights, 3, 1))
    np.testing.assert_array_equal(found["u"][:, :, 1:], 0)
    np.testing.assert_array_equal(found["v"][:, :, 0], 0)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_equal_players_get_equal_shares(seed):
    rng = np.random.default_rng(seed)
    model = toys.linear({"y": [rng.standard_normal(5)]})
    twins = toys.Predictor(model.streams, model.heads, lambda x: {"y": np.sin(x[:, :1] + x[:, 1:2]) * (1 + x[:, 4:])})
    x = toys.rows(model, 3, seed)
    x["u"][:, 1] = x["u"][:, 0]
    background = toys.rows(model, 4, 3)
    background["u"][:, 1] = background["u"][:, 0]
    found = xm.explain(twins, x, Shapley(), background={n: b[:1] for n, b in background.items()})
    np.testing.assert_allclose(found["u"][:, :, 0], found["u"][:, :, 1], atol=1e-12)
    np.testing.assert_array_equal(found["u"][:, :, 2], 0)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), a=st.floats(0.1, 3), b=st.floats(-3, -0.1))
def test_values_are_linear_in_the_target(seed, a, b):
    one, two = toys.mlp(seed=seed), toys.mlp(seed=seed + 1)
    both = toys.Predictor(
        one.streams, one.heads, lambda x: {h: a * one.forward(x)[h] + b * two.forward(x)[h] for h in ("y", "z")}
    )
    x, background = toys.rows(one, 2, seed), toys.rows(one, 3, 5)
    found = [xm.explain(m, x, SAMPLED, background=background)["u"].values for m in (one, two, both)]
    np.testing.assert_allclose(a * found[0] + b * found[1], found[2], atol=1e-10)


@pytest.mark.parametrize("method", [Shapley(), SAMPLED, Shapley(budget=30, players="streams")], ids=str)
def test_the_numbers_do_not_depend_on_memory(method):
    model = toys.mlp()
    x = toys.rows(model, 9)
    wide, narrow = (xm.explain(model, x, method, max_memory=m) for m in (2**29, 2000))
    for name in ("u", "v", "u_standard_error"):
        np.testing.assert_allclose(wide[name], narrow[name], atol=1e-13)


def test_rows_stop_when_their_standard_error_is_reached():
    model = toys.mlp("tanh", {"u": 8, "v": 6}, {"y": 1, "z": 2}, scale=2.0)
    x = toys.rows(model, 30)
    method = Shapley(budget=26 * 60, standard_error=0.02)
    found = xm.explain(model, x, method)
    used = found["evaluations"].values[0]
    assert used.min() < 26 * 60
    assert len(np.unique(used)) > 1
    assert bool(found["converged"].all())
    total = sum(abs(found[s]).sum(f"{s}_feature") for s in ("u", "v"))
    assert (found["u_standard_error"].max("u_feature") <= 0.02 * total + 1e-12).all()


def test_rows_that_miss_the_standard_error_are_flagged():
    model = toys.mlp("tanh", {"u": 8, "v": 6}, scale=2.0)
    with pytest.warns(NotConvergedWarning, match="did not reach its tolerance"):
        found = xm.explain(model, toys.rows(model, 3), Shapley(budget=104, standard_error=1e-6))
    assert not found["converged"].any()


def test_a_budget_for_less_than_two_pairs_is_refused_with_the_number_needed():
    model = toys.mlp("tanh", {"u": 30, "v": 10})
    with pytest.raises(
        BadSetting, match=r"40 players need a budget of at least 156 .* players='variables' or players='streams'"
    ):
        xm.explain(model, toys.rows(model), Shapley(budget=155))
    assert int(xm.explain(model, toys.rows(model), Shapley(budget=156))["evaluations"].max()) == 156


@needs("shap")
def test_it_equals_the_shap_package_within_monte_carlo_error():
    import shap

    model = toys.mlp("tanh", {"u": 4, "v": 3}, {"y": 1, "z": 2}, scale=2.0)
    x, background = toys.rows(model, 3), toys.rows(model, 10, seed=7)
    exact = xm.explain(model, x, Shapley(), background=background)
    ours = np.concatenate([exact["u"].values, exact["v"].values], axis=2)

    def function(v):
        out = model.forward(v)
        return np.concatenate([out["y"], out["z"]], axis=1)

    masker = shap.maskers.Independent(flat(background), max_samples=10)
    theirs = shap.explainers.Exact(function, masker)(flat(x)).values
    np.testing.assert_allclose(ours, np.moveaxis(theirs, 2, 0), atol=1e-10)
    sampled = xm.explain(model, x, Shapley(budget=120), background=background)
    off = np.concatenate([sampled["u"].values, sampled["v"].values], axis=2) - ours
    error = np.concatenate([sampled["u_standard_error"].values, sampled["v_standard_error"].values], axis=2)
    assert np.sqrt((off**2).mean()) < 1.5 * np.sqrt((error**2).mean())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"budget": 0}, "budget must be a whole number"),
        ({"players": "pixels"}, "players 'pixels' is not one of features, levels, variables, patches, words, streams"),
        ({"standard_error": -1}, "standard_error must be a number above 0"),
        ({"background_rows": 0}, "background_rows must be a whole number"),
    ],
)
def test_bad_settings_are_refused(options, text):
    with pytest.raises(BadSetting, match=text):
        Shapley(**options)


def test_orders_of_their_own_for_each_background_row_beat_one_order_for_all():
    """Where all background rows lie on one side of the row, so that an order errs the same way before each of them."""
    model = toys.mlp()
    x = {name: rows + 2 for name, rows in toys.rows(model, 3).items()}
    background = {name: 0.3 * rows for name, rows in toys.rows(model, 12, seed=5).items()}
    exact = features_of(xm.explain(model, x, Shapley(budget=2**12), background=background)).values
    two_draws = Shapley(budget=4 * (exact.shape[-1] - 1))

    def own_orders(seed):
        return features_of(xm.explain(model, x, two_draws, background=background, seed=seed)).values

    def one_order(seed):
        """The same seed before each background row alone gives the same orders: as many predictions in all."""
        alone = [{name: rows[b : b + 1] for name, rows in background.items()} for b in range(12)]
        found = [features_of(xm.explain(model, x, two_draws, background=row, seed=seed)).values for row in alone]
        return np.mean(found, axis=0)

    errors = {f: np.mean([np.square(f(seed) - exact).mean() for seed in range(10)]) for f in (own_orders, one_order)}
    assert errors[own_orders] < 0.7 * errors[one_order]


def test_sampling_follows_the_unit_of_each_row():
    model = toys.mlp(heads={"kind": 3})
    labels = {"kind": np.arange(8) % 3}
    found = xm.explain(model, toys.rows(model, 8), SAMPLED, targets=[("kind", "label")], labels=labels)
    np.testing.assert_array_equal(found["unit"][0], labels["kind"])
    np.testing.assert_allclose(found["completeness_gap"], 0, atol=1e-12)


class Sequences:
    """One stream of 2 steps by 3 features, beside a plain one; answers mix both, steps and features."""

    streams = (
        Stream("series", (2, 3), dtype="float64", features=("a", "b", "c")),
        Stream("age", (1,), dtype="float64"),
    )
    heads = (Head("y"), Head("z", (2,)))

    def fingerprint(self):
        return "5e"

    def predict(self, inputs):
        s, age = inputs["series"], inputs["age"][:, 0]
        y = s[:, 0, 0] * s[:, 1, 1] + np.sin(s[:, 1, 0] + age)
        z = np.stack([s[:, :, 2].prod(axis=1) * age, (s.sum(axis=(1, 2)) + age) ** 2], axis=1)
        return {"y": y[:, None], "z": z}


def slow_groups(model, head, unit, x, background):
    """The definition for four players, the three series and the age, row by row: ``(sample, player)``."""

    def worth(i, known):
        mixed = {name: rows.copy() for name, rows in background.items()}
        for player in known:
            if player < 3:
                mixed["series"][:, :, player] = x["series"][i][:, player]
            else:
                mixed["age"][:] = x["age"][i]
        return model.predict(mixed)[head][:, unit].mean()

    values = np.zeros((len(x["age"]), 4))
    for i, player in product(range(len(values)), range(4)):
        others = [p for p in range(4) if p != player]
        for size in range(4):
            weight = factorial(size) * factorial(3 - size) / factorial(4)
            for known in combinations(others, size):
                values[i, player] += weight * (worth(i, (*known, player)) - worth(i, known))
    return values


@pytest.mark.parametrize("budget", [16, 15], ids=["exact", "sampled"])
def test_whole_variables_as_players_equal_the_definition(budget):
    model = Sequences()
    x, background = toys.rows(model, 2), toys.rows(model, 3, seed=7)
    found = xm.explain(model, x, Shapley(budget=budget, players="variables"), background=background)
    assert found["series"].dims == ("head", "sample", "series_feature")
    np.testing.assert_array_equal(found["series_feature"], ["a", "b", "c"])
    np.testing.assert_allclose(found["completeness_gap"], 0, atol=1e-12)
    for name, head, unit in (("y", "y", 0), ("z:0", "z", 0), ("z:1", "z", 1)):
        ours = np.concatenate([found[s].sel(head=name) for s in ("series", "age")], axis=-1)
        error = np.concatenate([found[f"{s}_standard_error"].sel(head=name) for s in ("series", "age")], axis=-1)
        off = np.abs(ours - slow_groups(model, head, unit, x, background))
        assert (off <= (1e-10 if budget == 16 else 1e-10 + 8 * error.max())).all()
    assert (found["series_standard_error"].max() == 0) == (budget == 16)


def test_on_plain_streams_variables_are_features():
    model = toys.mlp()
    x, background = toys.rows(model, 2), toys.rows(model, 3, seed=7)
    by_variable, by_feature = (
        xm.explain(model, x, Shapley(players=p), background=background)["u"] for p in ("variables", "features")
    )
    np.testing.assert_array_equal(by_variable, by_feature)


@pytest.mark.parametrize("draws", [2, 4, 8])
def test_intervals_by_students_t_cover_the_exact_values_however_few_the_draws(draws):
    model = toys.mlp(streams={"u": 6, "v": 4})
    x, background = toys.rows(model, 120), toys.rows(model, 5, seed=7)
    exact = xm.explain(model, x, Shapley(), background=background)
    found = xm.explain(model, x, Shapley(budget=18 * draws), background=background)
    np.testing.assert_array_equal(found["draws"], draws)
    misses = {}
    for name, times in (("t", stats.t.ppf(0.975, found["draws"] - 1)[..., None]), ("normal", 1.96)):
        error = found["u_standard_error"].values
        misses[name] = (abs(found["u"] - exact["u"]).values > times * error).mean()
    assert 0.035 < misses["t"] < 0.075
    assert misses["normal"] > {2: 0.25, 4: 0.12, 8: 0.08}[draws]


def test_exact_values_have_no_draws():
    model = toys.mlp()
    found = xm.explain(model, toys.rows(model), Shapley())
    assert "draws" not in found
    np.testing.assert_array_equal(found["u_standard_error"], 0)


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_files_keep_the_number_of_draws_of_each_row(tmp_path, suffix):
    model = toys.mlp(scale=2.0)
    x, background = toys.rows(model, 9), toys.rows(model, 5, seed=7)
    found = xm.explain(model, x, SAMPLED, background=background)
    read = load(save(found, tmp_path / f"map.{suffix}"))
    assert read["draws"].dtype.kind == "i"
    np.testing.assert_array_equal(read["draws"], found["draws"])
    both = join({"sampled": found, "exact": xm.explain(model, x, Shapley(), background=background)})
    assert both["draws"].attrs["methods"] == '["sampled"]'
    assert np.isnan(both["draws"].sel(explainer="exact")).all()


def test_blocks_with_different_numbers_of_draws_are_put_together(tmp_path):
    """Rows stop where they are settled: each row has its own number, in memory and on disk."""
    model = toys.mlp(scale=2.0, streams={"u": 6, "v": 4})
    x, background = toys.rows(model, 12), toys.rows(model, 2, seed=7)
    method = Shapley(budget=18 * 50, standard_error=0.05)
    call = {"background": background, "rows_per_block": 4}
    found = xm.explain(model, x, method, **call)
    assert len(np.unique(found["draws"])) > 2
    np.testing.assert_array_equal(found["draws"] * 18, found["evaluations"])
    on_disk = xm.explain(model, x, method, store=tmp_path / "run.zarr", **call)
    np.testing.assert_array_equal(on_disk["draws"], found["draws"])


@pytest.mark.parametrize("budget", [1, 2, 2048])
def test_a_single_player_gets_the_whole_change_whatever_the_budget(budget):
    model = toys.linear({"y": [[2.0]]}, {"u": 1})
    found = xm.explain(model, {"u": np.array([[3.0], [5.0]])}, Shapley(budget=budget), background=np.array([[1.0]]))
    np.testing.assert_allclose(found["u"][0], [[4.0], [8.0]])
    np.testing.assert_array_equal(found["u_standard_error"], 0)


@pytest.mark.parametrize(
    "method", ["shapley", "occlusion", Shapley(players="streams"), Shapley(players="variables")], ids=str
)
def test_a_stream_of_single_values_is_one_player(method):
    model = xm.adapt(
        lambda a, b: {"y": 2 * a + b[:, 0]},
        streams=[xm.Stream("a", ()), xm.Stream("b", (1,))],
        heads=[xm.Head("y", ())],
    )
    rows = {"a": np.array([1.0, 3.0]), "b": np.array([[5.0], [6.0]])}
    found = xm.explain(model, rows, method, background={"a": np.zeros(1), "b": np.zeros((1, 1))})
    np.testing.assert_allclose(found["a"][0], [2.0, 6.0])
    assert found["a"].dims == ("head", "sample")
