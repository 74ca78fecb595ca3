"""Attention between positions, as adapters read it off layers that explain nothing of themselves: what its maps hold.

An attention *head* is a part of such a layer and none of the model's heads, so its axis has a name of its own.
"""

from xai_mimo.core.model import InterceptionMap

WEIGHTS = "attention_weights"
"""What each query takes of each key, where keys and values are those of the queries: self-attention."""

CROSS_WEIGHTS = "cross_attention_weights"
"""The same where keys or values are of something else."""

VALUES = "attention_values"
"""Inner products of the vectors that attention heads make of each key; see ``AXES_OF_VALUES``."""

CROSS_VALUES = "cross_attention_values"
"""The same of cross-attention."""

AXES = ("attention_head", "query", "key")
"""Of weights; the sum over keys is 1. An axis ``outer`` in front holds what is not attended over."""

AXES_OF_VALUES = ("key", "attention_head", "other_attention_head")
"""Of values: <f_h(x_j), f_g(x_j)>; f_h(x) = (x W_V + b_V) W_O is what attention head h makes of one key alone."""

READ_BY = "'attention_map', 'attention_rollout' and 'attention_flow'"
"""The methods that read these maps, for error texts."""


def is_attention(name: str) -> bool:
    """Whether a map of this name is one of attention between positions."""
    return name in (WEIGHTS, CROSS_WEIGHTS, VALUES, CROSS_VALUES)


def is_between_positions(sown: InterceptionMap) -> bool:
    """Whether a map is one of attention between positions, which is over no features of the model's streams."""
    return is_attention(sown.name)
