"""Attention as a graph from the last layer's positions to the tokens: rollout, flow, and norms of what is moved.

A layer's weights are ``(row, attention_head, query, key)``, those of one head or of all together ``(row, query, key)``.
Layers stand in the order in which they run. Everything is computed in float64.
"""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from xai_mimo.core.streams import Array

_UNITS = 2**30
"""A capacity of 1 in the whole numbers (of 32 bits) that the flow is computed in."""


def head_norms(weights: Array, values: Array) -> Array:
    """How long the vector is that each attention head takes from a key: a_ij ||f(x_j)||.

    Args:
        weights: ``(row, attention_head, query, key)``.
        values: inner products ``(row, key, attention_head, other_attention_head)`` of the vectors f_h(x_j).
    Returns:
        ``(row, attention_head, query, key)``, in the unit of the layer's output.
    Source: Kobayashi et al. (2020), "Attention is Not Only a Weight: Analyzing Transformers with Vector Norms", eq. 5.
    """
    own = np.diagonal(values, axis1=2, axis2=3).astype(np.float64)
    lengths: Array = np.sqrt(np.maximum(own, 0.0))
    return weights * lengths.transpose(0, 2, 1)[:, :, None, :]


def joined_norms(weights: Array, values: Array) -> Array:
    """The same of all attention heads together, || sum over h of a_hij f_h(x_j) ||: ``(row, query, key)``.

    The square is a sum of inner products, so where heads cancel each other the length is known to no better than 1e-3
    of the longest among them (values are of single precision).
    """
    wide = weights.astype(np.float64)
    squares = np.einsum("bhqk,bgqk,bkhg->bqk", wide, wide, values.astype(np.float64), optimize=True)
    return np.asarray(np.sqrt(np.maximum(squares, 0.0)))


def edges_of(weights: Array, residual: float = 0.0) -> Array:
    """A layer's weights and its residual connection: (1 - r) A + r I, each row of A scaled to the sum 1.

    Args:
        weights: ``(row, query, key)``, not negative; as many queries as keys unless r is 0.
        residual: r, from 0 to 1.
    """
    wide = weights.astype(np.float64)
    sums = wide.sum(axis=-1, keepdims=True)
    scaled = np.divide(wide, sums, out=np.zeros_like(wide), where=sums > 0)
    return scaled if residual == 0 else np.asarray((1.0 - residual) * scaled + residual * np.eye(wide.shape[-1]))


def rollout(layers: Sequence[Array]) -> Array:
    """How much of each token reaches each position behind the last layer, if attention were all that mixes them.

        R = W_L ... W_2 W_1,   W_l = (1 - r) A_l + r I

    Args:
        layers: W of each layer, see ``edges_of``.
    Returns:
        ``(row, query, key)``, from the last layer's queries to the first one's keys; the sum over keys is 1.
    Source: Abnar and Zuidema (2020), "Quantifying Attention Flow in Transformers", Section 3, with r = 1/2.
    """
    rolled = layers[0]
    for edges in layers[1:]:
        rolled = edges @ rolled
    return rolled


def flow(layers: Sequence[Array], queries: Sequence[int]) -> Array:
    """The largest flow from a position behind the last layer to each token, through edges as wide as their weights.

    One maximum flow for each row, query and key. It is computed in whole numbers: each edge is rounded to the next
    2^-30, so a flow is wrong by at most 2^-31 times the number of edges of its smallest cut (1e-6 for 2000 edges).

    Args:
        layers: W of each layer, see ``edges_of``.
        queries: positions to start at.
    Returns:
        ``(row, query, key)``, each from 0 to 1; flows to different keys share edges, so their sum has no meaning.
    Source: Abnar and Zuidema (2020), Section 3, with r = 1/2.
    """
    rows, tokens = len(layers[0]), layers[0].shape[-1]
    flows = np.zeros((rows, len(queries), tokens))
    for row in range(rows):
        graph, first = _graph([edges[row] for edges in layers])
        for i, query in enumerate(queries):
            for token in range(tokens):
                flows[row, i, token] = maximum_flow(graph, first + query, token).flow_value / _UNITS
    return flows


def _graph(layers: Sequence[Array]) -> tuple[csr_array, int]:
    """Edges from queries to the keys below them, the tokens being the first nodes; and the node of the last query 0."""
    starts, ends, widths, below = [], [], [], 0
    for edges in layers:
        query, key = np.nonzero(edges)
        above = below + edges.shape[1]
        starts.append(above + query)
        ends.append(below + key)
        widths.append(np.rint(edges[query, key] * _UNITS).astype(np.int32))
        below = above
    size = below + len(layers[-1])
    made = (np.concatenate(widths), (np.concatenate(starts), np.concatenate(ends)))
    return csr_array(made, shape=(size, size), dtype=np.int32), below
