"""Any PyTorch model, or a function of tensors."""

from collections.abc import Mapping, Sequence
from typing import Any

from xai_mimo.core.streams import Head, Stream
from xai_mimo_adapters.torch_adapter.calls import callee_of
from xai_mimo_adapters.torch_adapter.network import TorchNetwork
from xai_mimo_adapters.torch_adapter.spec import read_model


def TorchAdapter(
    model: Any,
    *,
    streams: Mapping[str, Any] | Sequence[Stream] | None = None,
    heads: Mapping[str, Any] | Sequence[Head] | None = None,
    max_memory: int | None = None,
    like: Any = None,
) -> TorchNetwork:
    """Adapt a module."""
    callee = callee_of(model)
    spec = read_model(callee, streams, heads, like)
    return TorchNetwork(callee, spec.streams, spec.heads, spec.call, spec.dtypes, max_memory=max_memory)
