"""Streams of rank 0 to 5 through perturbation, gradients, players by name and a comparison: a model solved by hand."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xai_mimo as xm
from tests.helpers.frameworks import needs
from xai_mimo.core.door import check_inputs
from xai_mimo.core.method import Context
from xai_mimo.core.streams import Head, Stream
from xai_mimo.core.targets import select
from xai_mimo.explainers import IntegratedGradients, Occlusion, Shapley

pytestmark = pytest.mark.all_frameworks

SHAPES = st.dictionaries(
    st.sampled_from("abc"), st.lists(st.integers(1, 2), min_size=0, max_size=5).map(tuple), min_size=1, max_size=3
)


@dataclass(frozen=True)
class Linear:
    """``y = sum of weight * value`` over all streams, ``z = 2 y``: attributions are weight * (value - baseline)."""

    weights: dict
    heads: tuple = (Head("y", ()), Head("z", (1,)))

    @property
    def streams(self):
        return tuple(Stream(name, np.shape(w), "float64") for name, w in self.weights.items())

    def fingerprint(self):
        return "linear"

    def predict(self, inputs):
        rows = check_inputs(inputs, self.streams)
        y = sum((x * self.weights[n]).reshape(len(x), -1).sum(axis=1) for n, x in rows.items())
        return {"y": y, "z": 2 * y[:, None]}

    def gradients(self, inputs, selectors, streams=None):
        outputs = self.predict(inputs)
        factor = np.array([1.0 if s.head == "y" else 2.0 for s in selectors])
        count = len(outputs["y"])
        return outputs, {
            name: np.broadcast_to(
                np.multiply.outer(factor, np.broadcast_to(w, (count, *np.shape(w)))),
                (len(selectors), count, *np.shape(w)),
            )
            for name, w in self.weights.items()
            if streams is None or name in streams
        }


def made(shapes, seed=0, rows=3):
    rng = np.random.default_rng(seed)
    model = Linear({name: rng.uniform(1, 2, shape) for name, shape in shapes.items()})
    return model, {name: rng.uniform(1, 2, (rows, *shape)) for name, shape in shapes.items()}


def check(model, x, found):
    for name, weight in model.weights.items():
        assert found[name].shape == (2, *x[name].shape)
        np.testing.assert_allclose(found[name][0], x[name] * weight, rtol=1e-9)
        np.testing.assert_allclose(found[name][1], 2 * x[name] * weight, rtol=1e-9)


@settings(max_examples=12, deadline=None)
@given(shapes=SHAPES)
def test_streams_of_any_rank_get_weight_times_value(shapes):
    model, x = made(shapes)
    zero = {name: np.zeros_like(v[:1]) for name, v in x.items()}
    budget = 4 * sum(v[0].size for v in x.values())
    for method in (Occlusion(), IntegratedGradients(), Shapley(budget=max(4, budget))):
        check(model, x, xm.explain(model, x, method, background=zero, check=False))


@settings(max_examples=12, deadline=None)
@given(shapes=SHAPES)
def test_players_of_any_rank_get_the_sums_of_their_values(shapes):
    model, x = made(shapes)
    zero = {name: np.zeros_like(v[:1]) for name, v in x.items()}
    names = list(shapes)
    players = {"first": {names[0]: "all"}} | ({"others": "rest"} if len(names) > 1 else {})
    terms = {name: (x[name] * w).reshape(3, -1).sum(axis=1) for name, w in model.weights.items()}
    by_hand = [terms[names[0]], *([sum(terms[n] for n in names[1:])] if len(names) > 1 else [])]
    for found in (
        xm.explain(model, x, Shapley(players=players), background=zero, check=False),
        xm.explain(model, x, Occlusion(players=players), check=False),
        xm.by_players(xm.explain(model, x, IntegratedGradients(), check=False), players),
    ):
        np.testing.assert_allclose(found["players"][0], np.stack(by_hand, axis=1), rtol=1e-9)


@pytest.mark.parametrize("players", ["features", "levels", "variables", "streams", "patches"])
def test_a_value_without_axes_is_one_player_however_players_are_cut(players):
    model, x = made({"a": (), "b": (2, 2)})
    patch = {"b": 2} if players == "patches" else None
    for method in (Occlusion(players=players, patch=patch), Shapley(players=players, patch=patch)):
        zero = {name: np.zeros_like(v[:1]) for name, v in x.items()}
        found = xm.explain(model, x, method, background=zero)
        assert found["a"].dims == ("head", "sample")
        np.testing.assert_allclose(found["a"][0], x["a"] * model.weights["a"])
        np.testing.assert_allclose(found.get("completeness_gap", 0), 0, atol=1e-9)


def test_a_comparison_takes_streams_of_rank_0_and_5_side_by_side():
    model, x = made({"a": (), "b": (1, 2, 1, 2, 1)}, rows=12)
    quick = xm.Settings(resamples=100, steps=2, controls=1)
    zero = {name: np.zeros_like(v[:1]) for name, v in x.items()}
    for options in ({}, {"space": "streams"}, {"space": "variables"}, {"players": {"one": {"a": "all"}}}):
        found = xm.compare(
            model, x, ["integrated_gradients", "shapley", "occlusion"], background=zero, settings=quick, **options
        )
        agreement = found.scores.query("metric == 'spearman' and role == 'value'")["estimate"]
        np.testing.assert_allclose(agreement.dropna(), 1, atol=1e-9)
        assert set(xm.to_dataframe(found.explanations)["explainer"]) == set(found.explanations["explainer"].values)


@needs("shap", "captum")
def test_the_bridges_take_streams_of_rank_0():
    from xai_mimo_adapters.captum_methods import CaptumIntegratedGradients
    from xai_mimo_adapters.shap_methods import ShapPermutation

    model, x = made({"a": (), "b": (2, 1, 2)})
    zero = {name: np.zeros_like(v[:1]) for name, v in x.items()}
    selectors = select(None, model.heads, model.predict(x))
    for method in (CaptumIntegratedGradients(steps=4), ShapPermutation(permutations=1)):
        found = method(model, x, selectors, Context(np.random.default_rng(0), zero))
        for name, weight in model.weights.items():
            np.testing.assert_allclose(found.values[name][0], x[name] * weight, rtol=1e-5)
