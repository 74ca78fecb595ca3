"""The arithmetic of IMV-LSTM behind its cell: which step, which variable, which number.

Symbols: B rows, T steps, N variables, d units per variable, H heads. Attention is computed in float32 or better,
whatever the policy.
"""

from collections.abc import Callable
from typing import Any

from keras import ops

from xai_mimo.layers.precision import precise, tanh

_NEVER = -1e9
"""Logit of a step that takes no part: far below every other, and finite, so that a row without any step is not NaN."""

LOGIT_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"tanh": tanh, "linear": lambda logits: logits}


def attended_steps(hidden: Any, mask: Any, *, attend_last: bool) -> Any:
    """Which steps temporal attention may weigh, ``(B or 1, T)``: all real ones, or all but each row's last.

    A row with one real step keeps it.

    Args:
        hidden: ``(B, T, N, d)``. mask: ``(B, T)``, true at real steps, or None.
    """
    real = ops.ones((1, ops.shape(hidden)[1]), "bool") if mask is None else ops.cast(mask, "bool")
    if attend_last:
        return real
    counted = ops.cast(real, "float32")
    later = ops.sum(counted, axis=1, keepdims=True) - ops.cumsum(counted, axis=1)
    earlier = ops.logical_and(real, later > 0)
    # Not by `where`: there is none of booleans in ONNX Runtime, which runs what PyTorch exports.
    single = ops.logical_not(ops.any(earlier, axis=1, keepdims=True))
    return ops.logical_or(earlier, ops.logical_and(real, single))


def weigh_steps(hidden: Any, kernel: Any, bias: Any, steps: Any, activation: str) -> Any:
    """alpha^n_t = softmax_t(act(w_n . h^n_t + beta_n)), ``(B, H, T, N)``.

    Args:
        hidden: ``(B, T, N, d)``. kernel: w, ``(H, N, d)``. bias: beta, ``(H, N)``.
        steps: those that take part, ``(B or 1, T)``.
    """
    scores = ops.einsum("btnk,hnk->bhtn", hidden, kernel) + ops.expand_dims(bias, 1)
    logits = LOGIT_ACTIVATIONS[activation](precise(scores))
    return _softmax(ops.where(steps[:, None, :, None], logits, _NEVER), axis=2)


def enrich(hidden: Any, alpha: Any) -> Any:
    """h^n_T (+) g^n with g^n = sum_t alpha^n_t h^n_t, ``(B, H, N, 2 d)``.

    The state stands still at masked steps, so that the last entry is the state after the last real step.
    """
    context = ops.einsum("bhtn,btnk->bhnk", ops.cast(alpha, hidden.dtype), hidden)
    last = ops.broadcast_to(ops.expand_dims(hidden[:, -1], 1), ops.shape(context))
    return ops.concatenate([last, context], axis=-1)


def weigh_variables(enriched: Any, kernel: Any, bias: Any, activation: str) -> Any:
    """log pi_n = log softmax_n(act(v . [h^n_T (+) g^n] + c)), ``(B, H, N)``.

    Args:
        enriched: ``(B, H, N, 2 d)``. kernel: v, ``(H, 2 d)``. bias: c, ``(H,)``.
    """
    scores = ops.einsum("bhnk,hk->bhn", enriched, kernel) + ops.expand_dims(bias, -1)
    logits = LOGIT_ACTIVATIONS[activation](precise(scores))
    return logits - ops.logsumexp(logits, axis=-1, keepdims=True)


def _softmax(logits: Any, axis: int) -> Any:
    """Softmax along an axis that may have length 1, which ``ops.softmax`` takes for a mistake."""
    weights = ops.exp(logits - ops.stop_gradient(ops.max(logits, axis=axis, keepdims=True)))
    return weights / ops.sum(weights, axis=axis, keepdims=True)
