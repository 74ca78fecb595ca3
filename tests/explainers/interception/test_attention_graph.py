"""Rollout, flow and norms against the papers' formulas written slowly, and a graph that is solved by hand."""

import itertools

import numpy as np
import pytest

from xai_mimo.explainers.interception.attention_graph import edges_of, flow, head_norms, joined_norms, rollout

pytestmark = pytest.mark.all_frameworks


def stochastic(rng, *shape):
    weights = rng.random(shape)
    return weights / weights.sum(axis=-1, keepdims=True)


def test_rollout_is_the_product_of_the_matrices(rng):
    layers = [stochastic(rng, 3, 4, 4) for _ in range(3)]
    ours = rollout([edges_of(each, 0.5) for each in layers])
    for row in range(3):
        rolled = np.eye(4)
        for each in layers:
            raw = each[row] + np.eye(4)
            rolled = (raw / raw.sum(axis=1, keepdims=True)) @ rolled
        np.testing.assert_allclose(ours[row], rolled, rtol=1e-12)
    np.testing.assert_allclose(ours.sum(axis=2), 1)


def test_rollout_sums_over_all_paths(rng):
    first, second = (edges_of(stochastic(rng, 1, 3, 3), 0.3) for _ in range(2))
    ours = rollout([first, second])[0]
    for query, key in itertools.product(range(3), range(3)):
        assert ours[query, key] == pytest.approx(sum(second[0, query, k] * first[0, k, key] for k in range(3)))


def test_a_layer_that_looks_at_one_token_hands_over_that_token():
    look = np.zeros((1, 3, 3))
    look[0, :, 1] = 1
    np.testing.assert_array_equal(rollout([edges_of(look), edges_of(np.full((1, 1, 3), 1 / 3))])[0], [[0, 1, 0]])


def test_flow_through_a_graph_solved_by_hand():
    """Query 0 of layer 2 gives .6 to position 0 and .4 to position 1; to token 0 these let .25 and .9 through."""
    first = np.array([[[0.25, 0.75], [0.9, 0.1]]])
    second = np.array([[[0.6, 0.4], [0.5, 0.5]]])
    ours = flow([first, second], [0])
    np.testing.assert_allclose(ours[0, 0], [0.25 + 0.4, 0.6 + 0.1], atol=1e-6)


def least_cut(layers, query, token):
    """The smallest set of edges that parts a query from a token, by trying every set of nodes on the query's side."""
    tokens, count = layers[0].shape[-1], len(layers) + 1
    nodes = [(level, at) for level in range(count) for at in range(tokens)]
    source, sink = (count - 1, query), (0, token)
    inner = [node for node in nodes if node not in (source, sink)]
    best = np.inf
    for mask in itertools.product((False, True), repeat=len(inner)):
        side = {source} | {node for node, is_in in zip(inner, mask, strict=True) if is_in}
        cut = sum(
            layers[level - 1][at, below]
            for level, at in side
            if level > 0
            for below in range(tokens)
            if (level - 1, below) not in side
        )
        best = min(best, cut)
    return best


def test_flow_is_the_smallest_cut(rng):
    layers = [edges_of(stochastic(rng, 1, 3, 3), 0.5) for _ in range(2)]
    ours = flow(layers, [0, 2])
    for i, query in enumerate((0, 2)):
        for token in range(3):
            expected = least_cut([each[0] for each in layers], query, token)
            assert ours[0, i, token] == pytest.approx(expected, abs=1e-7)


def test_flow_of_one_layer_is_its_weights(rng):
    edges = edges_of(stochastic(rng, 2, 4, 4), 0.5)
    np.testing.assert_allclose(flow([edges], range(4)), edges, atol=1e-9)


def test_norms_are_the_lengths_of_the_moved_vectors(rng):
    weights, vectors = stochastic(rng, 2, 3, 4, 5), rng.normal(size=(2, 3, 5, 6))  # 3 heads, 4 queries, 5 keys
    values = np.einsum("bhke,bgke->bkhg", vectors, vectors)
    ours, joined = head_norms(weights, values), joined_norms(weights, values)
    for row, query, key in itertools.product(range(2), range(4), range(5)):
        moved = [weights[row, h, query, key] * vectors[row, h, key] for h in range(3)]
        np.testing.assert_allclose(ours[row, :, query, key], [np.linalg.norm(v) for v in moved], rtol=1e-9)
        assert joined[row, query, key] == pytest.approx(np.linalg.norm(sum(moved)), rel=1e-9)


def test_heads_that_cancel_move_nothing():
    vectors = np.array([[[[1.0, 2.0]], [[-1.0, -2.0]]]])
    values = np.einsum("bhke,bgke->bkhg", vectors, vectors)
    assert joined_norms(np.ones((1, 2, 1, 1)), values) == 0
    np.testing.assert_allclose(head_norms(np.ones((1, 2, 1, 1)), values).ravel(), np.sqrt(5))


def test_a_row_without_any_weight_stays_without():
    np.testing.assert_array_equal(edges_of(np.zeros((1, 2, 2)), 0.5)[0], 0.5 * np.eye(2))
