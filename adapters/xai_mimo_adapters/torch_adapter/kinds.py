"""What a head is, as far as the last operation before it tells: softmax, log-softmax or sigmoid; never its values."""

from typing import Any

import numpy as np
import torch

from xai_mimo.core.head_kinds import FINAL_SIGMOID, FINAL_SOFTMAX
from xai_mimo.core.outputs import SeenKind

FINAL_LOG_SOFTMAX = "final log-softmax"
_HANDS_ON = frozenset(
    {"SqueezeBackward", "UnsqueezeBackward", "ViewBackward", "UnsafeViewBackward", "ReshapeAliasBackward"}
    | {"AliasBackward", "CloneBackward", "ToCopyBackward"}
)
"""Steps that give the values they read, perhaps in another shape or dtype."""
_PICKS = frozenset({"SelectBackward", "SliceBackward", "SplitBackward", "UnbindBackward", "SplitWithSizesBackward"})
"""Steps that give some of the values they read."""


def seen_kind(output: torch.Tensor) -> SeenKind | None:
    """Kind, where it was seen, and unit of one output ``(row, *shape)`` that was made with gradients on; or None.

    A softmax is one over the last axis, whose values all reach the output; one of two classes picked from a softmax is
    a binary head.
    """
    step, has_picked = output.grad_fn, False
    while step is not None and (kind := _kind(step)) in _HANDS_ON | _PICKS:
        has_picked = has_picked or kind in _PICKS
        step = step.next_functions[0][0]
    if step is None or not output.ndim:
        return None
    units = int(np.prod(output.shape[1:], dtype=np.int64))
    if _kind(step) == "SigmoidBackward":
        return ("binary" if units == 1 else "multilabel"), FINAL_SIGMOID, "probability"
    if _kind(step) not in ("SoftmaxBackward", "LogSoftmaxBackward"):
        return None
    classes = _classes(step)
    is_log = _kind(step) == "LogSoftmaxBackward"
    where, unit = (FINAL_LOG_SOFTMAX, "log-probability") if is_log else (FINAL_SOFTMAX, "probability")
    if classes > 1 and not has_picked and output.ndim > 1 and output.shape[-1] == classes:
        return "multiclass", where, unit
    return ("binary", where, unit) if classes == 2 and has_picked and units == 1 else None


def _kind(step: Any) -> str:
    return str(step.name()).rpartition("::")[2].rstrip("0123456789")


def _classes(step: Any) -> int:
    """How many values a softmax is over; 0 where that is not the last axis."""
    shape = step._saved_result.shape
    dim = int(step._saved_dim) % 2**64
    dim = dim - 2**64 if dim >= 2**63 else dim
    return int(shape[-1]) if len(shape) > 1 and dim in (-1, len(shape) - 1) else 0
