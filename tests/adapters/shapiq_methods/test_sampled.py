"""Estimated interactions: near the exact ones, exact where the budget holds every coalition, seeded, shared by heads."""

import warnings

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.frameworks import imported
from tests.helpers.toys import mlp, rows
from xai_mimo.core.errors import BadSetting
from xai_mimo.core.interactions import INDICES
from xai_mimo.core.plugins import load_plugin, plugins

shapiq = imported("shapiq")
sampled = imported("xai_mimo_adapters.shapiq_methods.sampled")
pytestmark = pytest.mark.all_frameworks

PAIRS = [(index, name) for index, names in sampled.APPROXIMATORS.items() for name in names]
FAST = pytest.mark.parametrize(("index", "approximator"), [pair for pair in PAIRS if pair[1] != "SVARMIQ"])
EACH = pytest.mark.parametrize(("index", "approximator"), PAIRS)
PLAYERS = 7
MOST = {"PermutationSamplingSTII": 200}  # of what it asks for, much of it twice


@pytest.fixture(scope="module")
def model():
    return mlp(streams={"u": 4, "v": 3}, heads={"y": 1, "z": 1})


@pytest.fixture(scope="module")
def data(model):
    return rows(model, 1), rows(model, 3, seed=7)


@pytest.fixture(scope="module")
def exact(model, data):
    return {index: asked(model, data, index=index) for index in INDICES}


def asked(model, data, **settings):
    return xm.interactions(model, data[0], players="features", background=data[1], **settings)


def test_every_index_has_an_approximator():
    assert set(sampled.APPROXIMATORS) == set(INDICES)


@pytest.mark.parametrize(("index", "approximator"), [pair for pair in PAIRS if pair[0] != "SII"])
def test_most_of_the_coalitions_come_near(model, data, exact, index, approximator):
    """Of six seeds, and the mean of these nearer than one of them."""
    settings = {"index": index, "approximator": approximator, "budget": MOST.get(approximator, 100), "targets": ["y"]}
    every = [asked(model, data, **settings, seed=seed)["interaction"].values for seed in range(6)]
    right = exact[index]["interaction"].sel(head=["y"]).values
    errors = [np.sqrt(np.mean((one - right) ** 2)) for one in every]
    assert 1e-6 < np.mean(errors) < 0.5 * np.sqrt(np.mean(right**2))
    of_the_mean = np.sqrt(np.mean((np.mean(every, axis=0) - right) ** 2))
    assert of_the_mean < 0.75 * np.mean(errors)


@pytest.mark.parametrize(("index", "approximator"), [pair for pair in PAIRS if pair[1] not in MOST])
def test_with_every_coalition_it_is_exact(model, data, exact, index, approximator):
    found = asked(model, data, index=index, approximator=approximator, budget=2**PLAYERS)
    np.testing.assert_allclose(found["interaction"].values, exact[index]["interaction"].values, atol=1e-5)
    assert found["evaluations"].values.tolist() == [[2**PLAYERS]] * 2


@EACH
def test_heads_share_their_coalitions(model, data, index, approximator):
    settings = {"index": index, "approximator": approximator, "budget": MOST.get(approximator, 100), "check": False}
    model.rows_seen.clear()
    found = asked(model, data, **settings)
    asked_of_all = sum(model.rows_seen)
    model.rows_seen.clear()
    one = asked(model, data, **settings, targets=["y"])
    assert sum(model.rows_seen) == asked_of_all
    evaluations = int(found["evaluations"][0, 0])
    assert evaluations <= settings["budget"]
    assert asked_of_all == evaluations * 3 + 2  # three background rows; the row's own prediction, and for its units
    np.testing.assert_array_equal(one["interaction"].values[0], found["interaction"].values[0])
    assert found.attrs["approximator"] == approximator


@FAST
def test_seeds_decide_and_nothing_else(model, data, index, approximator):
    settings = {"index": index, "approximator": approximator, "budget": MOST.get(approximator, 100)}
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - that it stays is what is tested
    one, again, other = (asked(model, data, **settings, seed=seed)["interaction"].values for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-9
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_rows_have_coalitions_of_their_own(model):
    twice = {name: np.repeat(x, 2, axis=0) for name, x in rows(model, 1).items()}
    found = asked(model, (twice, rows(model, 3, seed=7)), approximator="KernelSHAPIQ", budget=90)
    assert np.abs(found["interaction"][:, 0] - found["interaction"][:, 1]).max() > 1e-9


def test_where_the_budget_does_not_hold_all_coalitions_it_is_estimated(model, data, exact):
    found = asked(model, data, budget=2**PLAYERS - 1)
    assert found["evaluations"].values.tolist() == [[2**PLAYERS - 2]] * 2  # in pairs with their complements
    assert found.attrs["approximator"] == "KernelSHAPIQ"
    assert (
        asked(model, data, budget=2**PLAYERS).attrs["approximator"] == exact["k-SII"].attrs["approximator"] == "exact"
    )
    np.testing.assert_allclose(found["completeness_gap"].values, 0, atol=1e-6)


@pytest.mark.parametrize(("seed", "odd"), [(0, 0), (1, 0), (1, 1)])
@pytest.mark.parametrize(("index", "approximator"), [(i, a) for i, a in PAIRS if a not in (*MOST, "SVARMIQ", "SHAPIQ")])
def test_the_least_budget_finds_all_of_a_model_of_pairs(index, approximator, seed, odd):
    """Of 16384 coalitions 316 are asked for: y = sum of w_ij x_i x_j, by hand w_ij x_i x_j each."""
    count = 14
    weights = np.triu(np.random.default_rng(seed).standard_normal((count, count)), 1)

    def forms(table):
        return {"y": np.einsum("ni,ij,nj->n", table, weights, table)}

    model = xm.adapt(forms, streams={"table": count}, heads={"y": 1})
    x = np.random.default_rng(seed + 10).standard_normal((1, count))
    least = sampled.least_budget(approximator, count, 2)
    found = xm.interactions(
        model, x, index=index, players="features", background=np.zeros((1, count)), budget=least + odd, seed=seed
    )
    assert (found.attrs["approximator"], least) == (approximator, 316)
    by_hand = (weights + weights.T) * x[0] * x[0][:, None]
    got = found["interaction"].values[0, 0].copy()
    np.fill_diagonal(got, 0)
    # Weights of the regression span 1e8, and shapiq solves its normal equations.
    np.testing.assert_allclose(got, by_hand, atol=5e-4)


@pytest.mark.parametrize("approximator", ["KernelSHAPIQ"])
def test_triples_are_estimated_too(model, data, approximator):
    right = asked(model, data, order=3)
    found = asked(model, data, order=3, approximator=approximator, budget=2**PLAYERS)
    np.testing.assert_allclose(found["interaction_3"].values, right["interaction_3"].values, atol=1e-5)
    np.testing.assert_allclose(found["interaction"].values, right["interaction"].values, atol=1e-5)


@pytest.mark.parametrize("order", [2, 3])
@FAST
def test_less_than_the_least_budget_is_refused_and_the_least_is_enough(model, data, index, approximator, order):
    least = sampled.least_budget(approximator, PLAYERS, order)
    settings = {"index": index, "approximator": approximator, "order": order}
    with pytest.raises(BadSetting, match=rf"{approximator} of order {order} .* at least {least} coalitions"):
        asked(model, data, **settings, budget=least - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = asked(model, data, **settings, budget=least)
    assert np.isfinite(found["interaction"].values).all()
    assert np.count_nonzero(found["interaction"].values[0, 0]) == PLAYERS**2


def test_the_plugin_is_found_by_its_entry_point():
    entry = plugins("xai_mimo.interactions")["shapiq"]
    assert load_plugin(entry).name == "interactions"
