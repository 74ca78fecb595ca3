"""Attention of PyTorch's and Hugging Face's own modules: sown while maps are read, by modules that know nothing of it.

``torch.nn.MultiheadAttention`` runs with a ``forward`` that asks for the weights of each head (the fast path, which
computes none, is off wherever a model is read). Modules of Hugging Face compute their attention in the open ("eager")
and are watched by hooks. Threads that do not read run on as before; class, configurations and hooks are put back by
the last reader, also after an error.
"""

import contextlib
import contextvars
import functools
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from xai_mimo.core.attention import AXES, AXES_OF_VALUES, CROSS_VALUES, CROSS_WEIGHTS, VALUES, WEIGHTS
from xai_mimo.sowing import sow
from xai_mimo_adapters.torch_adapter.forecasting import reading_forecasters

_reader: contextvars.ContextVar[object | None] = contextvars.ContextVar("xai_mimo_reads_attention", default=None)
_EAGER = "eager"
_ARGUMENTS = (
    "query",
    "key",
    "value",
    "key_padding_mask",
    "need_weights",
    "attn_mask",
    "average_attn_weights",
    "is_causal",
)


@contextlib.contextmanager
def reading_attention(modules: Sequence[torch.nn.Module]) -> Iterator[None]:
    """Let attention modules sow what they attend to, to whoever collects (``sowing.collect``).

    Of every call on rows, ``(row, *axes)``:

    - ``attention_weights``, ``(attention_head, query, key)``, of ``torch.nn.MultiheadAttention`` (also in
      ``TransformerEncoderLayer`` and the like) and of modules whose Hugging Face model can give their ``attentions``;
      the sum over keys is 1.
    - ``attention_values``, ``(key, attention_head, other_attention_head)``, of the first: inner products of the vectors
      f_h(x_j) that attention head h would give if key j had all the weight, f_h(x) = (x W_V + b_V) W_O.

    Where keys or values are not of the very tensor that the queries are of, ``cross_`` stands before both names.
    What a Temporal Fusion Transformer shows is said in ``forecasting``.

    Args:
        modules: all that run, submodules too.
    """
    reader = object()
    token = _reader.set(reader)
    try:
        with (
            _SHARED.reading(),
            _uncompiled(),
            _eager(modules),
            _watched(modules, reader),
            reading_forecasters(modules, lambda: _reader.get() is reader),
        ):
            yield
    finally:
        _reader.reset(token)


class _Shared:
    """What all readers switch together: by the first who comes, until the last who goes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._forward: Any = None

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        kind = torch.nn.MultiheadAttention
        with self._lock:
            self._readers += 1
            if self._readers == 1:
                self._forward = kind.forward
                kind.forward = _telling(self._forward)
        try:
            yield
        finally:
            with self._lock:
                self._readers -= 1
                if not self._readers:
                    kind.forward = self._forward


_SHARED = _Shared()


def _telling(forward: Callable[..., Any]) -> Callable[..., Any]:
    """``MultiheadAttention.forward`` that sows its weights in threads that read, and answers what it was asked for."""

    @functools.wraps(forward)
    def telling(module: Any, *args: Any, **kwargs: Any) -> Any:
        given = dict(zip(_ARGUMENTS, args, strict=False)) | kwargs
        if _reader.get() is None or given["query"].dim() != 3:
            return forward(module, *args, **kwargs)
        wants, means = given.pop("need_weights", True), given.pop("average_attn_weights", True)
        output, weights = forward(module, **given, need_weights=True, average_attn_weights=False)
        is_self = given["query"] is given["key"] and given["key"] is given["value"]
        sow(module, WEIGHTS if is_self else CROSS_WEIGHTS, lambda: _single(weights), axes=AXES)
        if module.bias_v is None and not module.add_zero_attn:
            name = VALUES if is_self else CROSS_VALUES
            sow(module, name, lambda: _products(module, given["value"]), axes=AXES_OF_VALUES)
        if not wants:
            return output, None
        return output, (weights.mean(dim=1) if means else weights)

    return telling


def _products(module: Any, value: torch.Tensor) -> torch.Tensor:
    """Inner products of what attention heads make of each key: ``(row, key, head, other head)``."""
    if not module.batch_first:
        value = value.transpose(0, 1)
    width, heads = module.embed_dim, module.num_heads
    kernel = module.in_proj_weight[2 * width :] if module._qkv_same_embed_dim else module.v_proj_weight
    bias = None if module.in_proj_bias is None else _single(module.in_proj_bias[2 * width :])
    projected = torch.nn.functional.linear(_single(value), _single(kernel), bias)
    out = _single(module.out_proj.weight).reshape(width, heads, width // heads)
    vectors = torch.einsum("bkhs,ehs->bkhe", projected.unflatten(-1, (heads, -1)), out)
    return torch.einsum("bkhe,bkge->bkhg", vectors, vectors)


def _single(values: torch.Tensor) -> torch.Tensor:
    """In single precision at least."""
    return values if values.dtype == torch.float64 else values.float()


def _uncompiled() -> contextlib.AbstractContextManager[Any]:
    """What ``torch.compile`` made runs as its source, which alone sees a replaced ``forward`` and hooks."""
    can_compile = "torch._dynamo" in sys.modules  # importing it takes seconds
    return torch.compiler.set_stance("force_eager") if can_compile else contextlib.nullcontext()


_LOCK = threading.Lock()
_IMPLEMENTATIONS: dict[int, tuple[Any, int, Any]] = {}
"""Of the configurations of models that are being read: each, by how many, and the implementation to put back."""


@contextlib.contextmanager
def _eager(modules: Sequence[torch.nn.Module]) -> Iterator[None]:
    """Modules of Hugging Face compute their attention in the open, where weights and masks are those of the formula."""
    configs = _configs(modules)
    with _LOCK:
        for config in configs:
            _, count, before = _IMPLEMENTATIONS.get(id(config), (config, 0, config._attn_implementation_internal))
            _IMPLEMENTATIONS[id(config)] = config, count + 1, before
        for config in configs:
            config._attn_implementation_internal = _EAGER
    try:
        yield
    finally:
        with _LOCK:
            for config in configs:
                _, count, before = _IMPLEMENTATIONS.pop(id(config))
                if count > 1:
                    _IMPLEMENTATIONS[id(config)] = config, count - 1, before
                else:
                    config._attn_implementation_internal = before


def _configs(modules: Sequence[torch.nn.Module]) -> list[Any]:
    """The configurations of Hugging Face that modules hold, each once."""
    held = [getattr(module, "config", None) for module in modules]
    return list({id(each): each for each in held if hasattr(each, "_attn_implementation_internal")}.values())


@contextlib.contextmanager
def _watched(modules: Sequence[torch.nn.Module], reader: object) -> Iterator[None]:
    """Hooks on the modules of Hugging Face that give attention weights, for one reader."""
    inner = {id(child) for module in modules for child in module.children()}
    with contextlib.ExitStack() as hooks:
        for root in modules:
            for module, index, is_cross in () if id(root) in inner else _recordable(root, "", []):
                handle = module.register_forward_hook(_sowing(reader, index, CROSS_WEIGHTS if is_cross else WEIGHTS))
                hooks.callback(handle.remove)
        yield


def _sowing(reader: object, index: int, name: str) -> Callable[..., None]:
    def hook(module: torch.nn.Module, args: Any, output: Any) -> None:
        weights = output[index] if isinstance(output, tuple) else None
        if _reader.get() is reader and isinstance(weights, torch.Tensor) and weights.dim() == 4:
            sow(module, name, lambda: _single(weights), axes=AXES)

    return hook


_Task = tuple[Any, str, str, int, bool]
"""Which modules give attention: of this class, with this end of their path, within this part; where; whether cross."""


def _recordable(module: torch.nn.Module, path: str, tasks: list[_Task]) -> Iterator[tuple[torch.nn.Module, int, bool]]:
    """Modules that give attention weights, where in their answer, and whether of cross-attention.

    As ``transformers`` finds them for ``output_attentions``: each model of Hugging Face says for its own modules.
    """
    if "transformers" not in sys.modules:
        return
    if isinstance(module, sys.modules["transformers"].PreTrainedModel):
        tasks = [task for key, specs in _specs(module) for task in _tasks(key, specs)]
    for kind, ending, within, index, is_cross in tasks:
        fits = (kind is not None and isinstance(module, kind)) or (ending and path.endswith(ending))
        if fits and (not within or f".{within.strip('.')}." in f".{path}."):
            yield module, index, is_cross
            break
    for name, child in module.named_children():
        yield from _recordable(child, f"{path}.{name}" if path else name, tasks)


def _specs(model: Any) -> list[tuple[str, Any]]:
    given = getattr(model, "_can_record_outputs", None) or {}
    return [(key, each) for key, each in given.items() if key.endswith("attentions")]


def _tasks(key: str, specs: Any) -> Iterator[_Task]:
    for spec in specs if isinstance(specs, list | tuple) else [specs]:
        if isinstance(spec, str):
            yield None, spec, "", 1, "cross" in key
        elif isinstance(spec, type):
            yield spec, "", "", 1, "cross" in key
        else:
            ending, within = getattr(spec, "class_name", None) or "", getattr(spec, "layer_name", None) or ""
            yield spec.target_class, ending, within, spec.index, "cross" in key
