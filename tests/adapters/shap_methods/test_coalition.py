"""Owen values: by hand, from orders of groups counted out, from shap alone, and what is refused."""

import itertools

import numpy as np
import pytest
from xai_mimo_adapters.shap_methods import ShapCoalition, ShapPartition
from xai_mimo_adapters.shap_methods.coalition import by_correlation, evaluations_of
from xai_mimo_adapters.shap_methods.hierarchy import linkage

from tests.helpers.frameworks import imported
from tests.helpers.games import Bilinear, Plain, brute_force_shapley, explain, rows_for
from xai_mimo.core.errors import BadSetting, DuplicateName, UnknownName
from xai_mimo.core.plugins import method
from xai_mimo.core.streams import Head, Stream

shap = imported("shap")
pytestmark = pytest.mark.all_frameworks
BOTH = pytest.mark.parametrize("kind", [ShapPartition, ShapCoalition], ids=lambda kind: kind.name)


class Glove:
    """y = min(left, right one + right two), each 0 or 1; z = 2 of the left: a game of three with a pair in it."""

    streams = (Stream("left", (1,), "float64"), Stream("right", (2,), "float64"))
    heads = (Head("y"), Head("z"))

    def fingerprint(self):
        return "glove"

    def predict(self, inputs):
        left, right = inputs["left"][:, 0], inputs["right"].sum(axis=1)
        return {"y": np.minimum(left, right)[:, None], "z": 2 * left[:, None]}


def owen_by_orders(worth, tree):
    """The mean marginal worth over all orders in which each group comes in one piece: Owen (1977), Winter (1989)."""

    def orders(node):
        if isinstance(node, int):
            return [(node,)]
        return [
            sum(parts, ())
            for order in itertools.permutations(node)
            for parts in itertools.product(*(orders(part) for part in order))
        ]

    found = orders(tree)
    values = np.zeros(len(found[0]))
    for order in found:
        for place, player in enumerate(order):
            values[player] += (worth(order[: place + 1]) - worth(order[:place])) / len(found)
    return values


def worth_of(function, row, background):
    def worth(coalition):
        masked = background.copy()
        masked[:, list(coalition)] = row[list(coalition)]
        return function(masked).mean()

    return worth


def tangled(x):
    return np.tanh(x[:, 0] * x[:, 2]) + x[:, 1] * x[:, 3] * x[:, 4] - x[:, 2] * x[:, 1]


@BOTH
def test_the_glove_game_is_that_found_by_hand(kind):
    """Shapley gives the left glove 2/3. Owen: left and the pair of right ones enter first or last, so each side 1/2."""
    ones = {"left": np.ones((1, 1)), "right": np.ones((1, 2))}
    zeros = {name: np.zeros_like(x) for name, x in ones.items()}
    found = explain(kind(), Glove(), ones, zeros)
    np.testing.assert_allclose(found.values["left"][:, 0], [[1 / 2], [2]], atol=1e-12)
    np.testing.assert_allclose(found.values["right"][:, 0], [[1 / 4, 1 / 4], [0, 0]], atol=1e-12)
    shapley = brute_force_shapley(lambda x: np.minimum(x[:, 0], x[:, 1] + x[:, 2]), np.ones(3), np.zeros((1, 3)))
    np.testing.assert_allclose(shapley, [2 / 3, 1 / 6, 1 / 6])


NAMED = {name: {"x": [i]} for i, name in enumerate("abcde")}
DEEP = {"one": ["a", "b"], "two": {"three": ["c", "e"], "four": ["d"]}}


@BOTH
def test_values_of_a_deep_hierarchy_are_means_over_the_orders_that_keep_groups_together(kind, rng):
    x, background = rng.standard_normal((2, 5)), rng.standard_normal((3, 5))
    found = explain(kind(players=NAMED, hierarchy=DEEP), Plain(tangled, 5), {"x": x}, {"x": background})
    for i, row in enumerate(x):
        slow = owen_by_orders(worth_of(tangled, row, background), ((0, 1), ((2, 4), 3)))
        np.testing.assert_allclose(found.players.values[0, i], slow, atol=1e-10)
    assert found.players.names == tuple("abcde")


def test_a_group_of_three_is_one_level_for_coalition_and_two_for_partition(rng):
    x, background = rng.standard_normal((1, 5)), rng.standard_normal((2, 5))
    three = {"three": ["a", "b", "c"], "two": ["d", "e"]}

    def function(v):
        return np.abs(v[:, 0] + v[:, 1] * v[:, 2]) * v[:, 3] + v[:, 4]

    worth, model = worth_of(function, x[0], background), Plain(function, 5)
    wide = explain(ShapCoalition(players=NAMED, hierarchy=three), model, {"x": x}, {"x": background})
    halved = explain(ShapPartition(players=NAMED, hierarchy=three), model, {"x": x}, {"x": background})
    np.testing.assert_allclose(wide.players.values[0, 0], owen_by_orders(worth, ((0, 1, 2), (3, 4))), atol=1e-10)
    np.testing.assert_allclose(halved.players.values[0, 0], owen_by_orders(worth, ((0, (1, 2)), (3, 4))), atol=1e-10)
    assert np.abs(wide.players.values - halved.players.values).max() > 1e-3


def test_the_numbers_are_those_of_shap_alone_on_one_table(rng):
    x, background = rng.standard_normal((3, 5)), rng.standard_normal((4, 5))
    links = linkage((0, 1, 2, 3, 4), 5)
    partition = shap.maskers.Partition(background, clustering=links)
    theirs = shap.explainers.Partition(tangled, partition)(x, max_evals=1000, silent=True).values
    ours = explain(ShapPartition(), Plain(tangled, 5), {"x": x}, {"x": background}).values["x"][0]
    np.testing.assert_allclose(ours, theirs, atol=1e-10)


@BOTH
def test_a_model_that_adds_up_gets_its_shapley_values(kind, rng):
    weights = rng.standard_normal(4)
    x, background = rng.standard_normal((3, 4)), rng.standard_normal((5, 4))
    found = explain(kind(), Plain(lambda x: x @ weights, 4), {"x": x}, {"x": background})
    np.testing.assert_allclose(found.values["x"][0], (x - background.mean(axis=0)) * weights, atol=1e-10)


@BOTH
@pytest.mark.parametrize("players", ["features", "variables", "streams"])
def test_values_sum_to_the_change_of_every_head(kind, players, rng):
    model = Bilinear()
    found = explain(kind(players=players), model, rows_for(model, rng, 4), rows_for(model, rng, 3))
    total = sum(v.reshape(2, 4, -1).sum(axis=-1) for v in found.values.values())
    np.testing.assert_allclose(total, found.prediction - found.baseline_prediction, atol=1e-9)


@BOTH
def test_one_player_takes_the_whole_change(kind):
    found = explain(kind(), Plain(lambda x: x[:, 0] ** 2, 1), {"x": np.array([[3.0]])}, {"x": np.array([[1.0]])})
    np.testing.assert_allclose(found.values["x"][0, :, 0], [8.0])


def test_too_few_evaluations_keep_the_sum_and_are_said(rng):
    x, background = {"x": rng.standard_normal((2, 5))}, {"x": rng.standard_normal((3, 5))}
    model = Plain(tangled, 5)
    whole, cut = (explain(ShapPartition(evaluations=n), model, x, background) for n in (1000, 6))
    assert whole.diagnostics["converged"].all()
    assert not cut.diagnostics["converged"].any()
    np.testing.assert_allclose(cut.values["x"].sum(axis=-1), whole.values["x"].sum(axis=-1), atol=1e-10)
    assert np.abs(cut.values["x"] - whole.values["x"]).max() > 1e-3


@pytest.mark.parametrize("players", [2, 3, 5, 8])
def test_the_evaluations_of_a_hierarchy_are_those_that_shap_uses(players, rng):
    links = linkage(tuple(range(players)), players)
    explainer = shap.explainers.Partition(
        lambda x: x.prod(axis=1), shap.maskers.Partition(np.zeros((1, players)), clustering=links)
    )
    explainer(np.ones((1, players)), max_evals=100_000, silent=True)
    assert evaluations_of(links) == explainer.last_eval_count + 2


def test_players_that_go_together_are_split_last(rng):
    base = rng.standard_normal((30, 2))
    table = np.stack([base[:, 0], base[:, 1], -(base[:, 0] ** 3), np.full(30, 2.0)], axis=1)
    links = by_correlation(table)
    assert set(links[0, :2].astype(int)) == {0, 2}
    worth = worth_of(lambda x: x[:, 0] * x[:, 1] * x[:, 2], table[0] + 1, table)
    found = explain(
        ShapPartition(hierarchy="correlation"),
        Plain(lambda x: x[:, 0] * x[:, 1] * x[:, 2], 4),
        {"x": table[:1] + 1},
        {"x": table},
    )
    np.testing.assert_allclose(found.values["x"][0, 0], owen_by_orders(worth, (((0, 2), 1), 3)), atol=1e-9)


@BOTH
def test_hierarchies_that_cannot_be_are_refused(kind, rng):
    model = Bilinear()
    x = rows_for(model, rng, 2)
    with pytest.raises(BadSetting, match=r"hierarchy must be 'streams'.*got 'tree'"):
        kind(hierarchy="tree")
    with pytest.raises(BadSetting, match="group 'all' of the hierarchy must be a list of names, or groups; got 'a'"):
        kind(hierarchy={"all": "a"})
    with pytest.raises(UnknownName, match="no stream or player of the hierarchy is called 'c'; there are: a, b"):
        explain(kind(hierarchy={"all": ["a", "c"]}), model, x, x)
    with pytest.raises(BadSetting, match=r"no place for the players of stream 'unused'\. It needs every player"):
        explain(kind(hierarchy={"all": ["a", "b"]}), model, x, x)
    with pytest.raises(DuplicateName, match="the players of stream 'a' in two groups; a player belongs to one"):
        explain(kind(hierarchy={"all": ["a", "b"], "more": ["a", "unused"]}), model, x, x)
    across = {"both": {"a": [0], "b": "all"}, "others": "rest"}
    with pytest.raises(BadSetting, match="player 'both' has values of several streams"):
        explain(kind(players=across), model, x, x)


def test_a_group_too_large_for_coalition_is_refused_with_a_way_out(rng):
    x = {"x": rng.standard_normal((1, 14))}
    with pytest.raises(BadSetting, match=r"would ask for 229376 coalitions.*'shap.partition', which splits in two"):
        explain(ShapCoalition(), Plain(lambda x: x.sum(axis=1), 14), x, x)


@BOTH
def test_they_are_found_by_name(kind):
    assert method(kind.name) == kind()
