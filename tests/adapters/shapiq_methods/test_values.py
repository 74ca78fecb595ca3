"""Shapley values by shapiq: exact against ours, estimated near them, refused with the budget needed."""

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.frameworks import imported
from tests.helpers.toys import mlp, rows
from xai_mimo.core.errors import BadSetting
from xai_mimo.explainers import Shapley

imported("shapiq")
methods = imported("xai_mimo_adapters.shapiq_methods")
pytestmark = pytest.mark.all_frameworks
KINDS = (methods.ShapiqKernelSHAP, methods.ShapiqUnbiasedKernelSHAP, methods.ShapiqSVARM)
EACH = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


@pytest.fixture(scope="module")
def model():
    return mlp(streams={"u": 4, "v": 3}, heads={"y": 1, "z": 2})


@pytest.fixture(scope="module")
def data(model):
    return rows(model, 2), rows(model, 3, seed=7)


def flat(found):
    return np.concatenate([found["u"].values, found["v"].values], axis=2)


def explained(model, data, method, **settings):
    return xm.explain(model, data[0], method, background=data[1], **settings)


@EACH
def test_with_every_coalition_values_are_those_of_the_definition(model, data, kind):
    ours = explained(model, data, Shapley())
    found = explained(model, data, kind())
    np.testing.assert_allclose(flat(found), flat(ours), atol=1e-10)
    np.testing.assert_allclose(found["completeness_gap"], 0, atol=1e-10)
    assert int(found["evaluations"].max()) == 128


@EACH
def test_some_coalitions_come_near_and_seeds_scatter(model, data, kind):
    ours = flat(explained(model, data, Shapley()))
    every = [flat(explained(model, data, kind(budget=64), seed=seed)) for seed in (0, 1, 2, 2)]
    np.testing.assert_array_equal(every[2], every[3])
    assert np.abs(every[0] - every[1]).max() > 1e-9
    errors = [np.sqrt(np.mean((one - ours) ** 2)) for one in every[:3]]
    assert np.mean(errors) < 0.4 * np.sqrt(np.mean(ours**2))


@EACH
def test_heads_share_their_coalitions(model, data, kind):
    model.rows_seen.clear()
    found = explained(model, data, kind(budget=64), check=False)
    counted = found["evaluations"].values
    assert (counted == counted[:1]).all()
    assert counted.max() <= 64
    assert sum(model.rows_seen) == counted[0].sum() * 3 + 2 * 2


def test_a_regression_of_a_model_that_adds_up_is_exact_by_hand():
    weights = np.arange(1.0, 15.0)
    model = xm.adapt(lambda table: {"y": table @ weights}, streams={"table": 14}, heads={"y": 1})
    method = methods.ShapiqKernelSHAP(budget=45)
    found = xm.explain(model, np.ones((1, 14)), method, background=np.zeros((1, 14)))
    np.testing.assert_allclose(found["table"].values[0, 0], weights, atol=1e-5)


def test_named_players_and_streams_are_players_too(model, data):
    players = {"left": {"u": [0, 1]}, "rest": "rest"}
    ours = explained(model, data, Shapley(players=players))
    found = explained(model, data, methods.ShapiqKernelSHAP(players=players))
    np.testing.assert_allclose(found["players"].values, ours["players"].values, atol=1e-10)
    streams = explained(model, data, methods.ShapiqKernelSHAP(players="streams"))
    assert streams["u"].dims == ("head", "sample")


def test_one_player_is_the_change_itself():
    model = mlp(streams={"table": 4}, heads={"y": 1})
    found = xm.explain(model, rows(model, 2), methods.ShapiqKernelSHAP(budget=1, players="streams"))
    np.testing.assert_allclose(found["table"], found["prediction"] - found["baseline_prediction"], atol=1e-12)


@EACH
def test_refusals(model, data, kind):
    with pytest.raises(
        BadSetting, match=f"{kind.name} needs a budget of at least 22 coalitions for 7 players; got budget=9"
    ):
        explained(model, data, kind(budget=9))
    with pytest.raises(BadSetting, match="has no players='patches'; give label images"):
        kind(players="patches")
    with pytest.raises(BadSetting, match="budget must be a whole number"):
        kind(budget=0)
