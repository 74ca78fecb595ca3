"""What the modules of ``pytorch_forecasting`` show of their own reading: variable selection, and attention over steps.

Both hand their weights on in their answer, where hooks see them; the package is not imported for it.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from xai_mimo.core.attention import AXES, CROSS_WEIGHTS, WEIGHTS
from xai_mimo.sowing import sow

SELECTION = "variable_selection"
"""How much of each variable goes on, over steps where there are some; the sum over variables is 1."""

_MODULES = "pytorch_forecasting.models.temporal_fusion_transformer.sub_modules"


@contextlib.contextmanager
def reading_forecasters(modules: Sequence[torch.nn.Module], is_reading: Callable[[], bool]) -> Iterator[None]:
    """Let modules of a Temporal Fusion Transformer sow their weights, to whoever collects (``sowing.collect``).

    Of every call on rows, ``(row, *axes)``:

    - ``variable_selection``, ``(time, feature)``, or ``(feature,)`` of static variables, by the names of the variables.
    - ``cross_attention_weights``, ``(attention_head, query, key)``: of each step ahead to all steps, past ones first.

    Args:
        modules: all that run, submodules too.
        is_reading: whether this thread is the one that reads.

    Source: Lim et al. (2021), "Temporal Fusion Transformers for Interpretable Multi-horizon Time Series Forecasting",
    Equations 6 and 14.
    """
    known: Any = sys.modules.get(_MODULES)
    with contextlib.ExitStack() as hooks:
        for module in modules if known is not None else ():
            if isinstance(module, known.VariableSelectionNetwork):
                hooks.callback(module.register_forward_hook(_selecting(is_reading)).remove)
            elif isinstance(module, known.InterpretableMultiHeadAttention):
                handle = module.register_forward_hook(_attending(is_reading), with_kwargs=True)
                hooks.callback(handle.remove)
        yield


def _selecting(is_reading: Callable[[], bool]) -> Callable[..., None]:
    def hook(module: Any, args: Any, output: Any) -> None:
        weights, names = output[1], tuple(module.input_sizes)
        if names and is_reading():
            axes = ("time", "feature") if weights.dim() == 4 else ("feature",)
            sow(module, SELECTION, lambda: weights.squeeze(-2), axes=axes, coords={"feature": names})

    return hook


def _attending(is_reading: Callable[[], bool]) -> Callable[..., None]:
    def hook(module: Any, args: Any, kwargs: Any, output: Any) -> None:
        if is_reading():
            given = dict(zip(("q", "k"), args, strict=False)) | kwargs
            name = WEIGHTS if given["q"] is given["k"] else CROSS_WEIGHTS
            sow(module, name, lambda: output[1].transpose(1, 2), axes=AXES)

    return hook
