"""What is called for a torch model, and how: a module, a scripted, compiled or exported one, a function of tensors."""

import functools
import hashlib
import inspect
import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import torch

from xai_mimo.core.errors import NotSupported
from xai_mimo.core.streams import Array
from xai_mimo_adapters.functions import Binding, bind, torch_modules

Tensors = dict[str, torch.Tensor]
Call = Callable[[Tensors], Tensors]
"""A model from the tensors of its inputs to those of its outputs, by their own names."""


@dataclass(frozen=True)
class Callee:
    """What is called.

    Attributes:
        function: takes tensors.
        forward: the function whose parameters tell how.
        parts: what was called holds; the modules in them take part, also such as are put in later.
        label: what it is called in errors.
        can_be_cut: whether it runs module by module in Python, so that hooks see what each reads.
        rows: the one number of rows that it takes; None for any.
        shown: the same without compilation, which hides the last operation; ``function`` itself where None.
    """

    function: Callable[..., Any]
    forward: Callable[..., Any]
    parts: tuple[torch.nn.Module, ...]
    label: str
    can_be_cut: bool = False
    rows: int | None = None
    shown: Callable[..., Any] | None = None

    @property
    def modules(self) -> tuple[torch.nn.Module, ...]:
        """Every module that takes part now, each once."""
        return tuple(dict.fromkeys(module for part in self.parts for module in part.modules()))

    @property
    def weights(self) -> Iterator[torch.Tensor]:
        """Parameters and buffers of all modules; one that two modules share comes twice."""
        for module in self.modules:
            yield from module.parameters(recurse=False)
            yield from module.buffers(recurse=False)

    def check(self) -> None:
        """Refuse weights that nothing can be computed from.

        Raises:
            NotSupported: a weight is on the device "meta", where there are no values, or was made in inference mode.
        """
        for weight in self.weights:
            if weight.is_inference():
                raise NotSupported(
                    f"weights of '{self.label}' were made inside torch.inference_mode(), so that nothing made of them "
                    "has a gradient. Make or load the model outside of it; it may be explained inside."
                )
            if weight.device.type == "meta":
                raise NotSupported(
                    f"weights of '{self.label}' are on the device 'meta', where they have no values. Load them first: "
                    "model.to_empty(device='cpu') and model.load_state_dict(...)."
                )

    @property
    def device(self) -> torch.device:
        """Where the first weight is, which is where inputs are wanted; the CPU without any."""
        first = next(self.weights, None)
        return torch.device("cpu") if first is None else first.device

    @property
    def dtype(self) -> torch.dtype | None:
        """Float dtype of the first parameter or buffer that has one; None without any."""
        return next((w.dtype for w in self.weights if w.is_floating_point()), None)

    @property
    def precision(self) -> str:
        """The coarsest float dtype among the weights, "" without any."""
        found = {w.dtype for w in self.weights if w.is_floating_point()}
        coarsest = max(found, key=lambda dtype: torch.finfo(dtype).eps, default=None)
        return "" if coarsest is None else str(coarsest).removeprefix("torch.")

    def fingerprint(self, part: str = "") -> str:
        """SHA-256 over classes, structure, settings, parameters and buffers, and of a function its compiled code."""
        sha = hashlib.sha256(f"{self.label}|{part}|".encode())
        for code in _codes(self.function):
            sha.update(code)
        for module in self.modules:
            own = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
            kind = getattr(module, "original_name", f"{type(module).__module__}.{type(module).__qualname__}")
            children = [name for name, _ in module.named_children()]
            sha.update(f"{kind}({module.extra_repr()}){children}".encode())
            for name, weight in own:
                sha.update(f"{name}{tuple(weight.shape)}{weight.dtype}".encode())
                sha.update(_bytes_of(weight))
        return sha.hexdigest()


def _bytes_of(weight: torch.Tensor) -> bytes:
    dense = weight.detach()
    dense = dense.dequantize() if dense.is_quantized else dense
    dense = (dense.to_dense() if dense.layout != torch.strided else dense).resolve_conj().cpu().contiguous()
    return dense.flatten().view(torch.uint8).numpy().tobytes() if dense.numel() else b""


def callee_of(model: Any) -> Callee:
    """What is called for a model.

    Raises:
        NotSupported: it is neither a module of PyTorch, nor an exported program, nor a function.
    """
    if isinstance(model, torch.export.ExportedProgram):
        return _exported(model.module())
    if isinstance(model, torch.jit.ScriptModule):
        label = str(getattr(model, "original_name", type(model).__name__))
        return Callee(model, _as_declared(model), (model,), label, shown=functools.partial(_call_anew, model))
    if isinstance(model, torch.fx.GraphModule) and hasattr(model, "_in_spec"):
        return _exported(model)
    if isinstance(model, torch.nn.Module):
        inner = getattr(model, "_orig_mod", None)
        if isinstance(inner, torch.nn.Module):
            return Callee(_quiet(model), inner.forward, (model,), type(inner).__name__, shown=inner)
        return Callee(model, model.forward, (model,), type(model).__name__, can_be_cut=True)
    if isinstance(model, torch.Tensor) or not callable(model):
        raise NotSupported(
            f"a {type(model).__name__} of PyTorch is no model; expected a torch.nn.Module, an exported program or a "
            "function of tensors."
        )
    plain = getattr(model, "_torchdynamo_orig_callable", model)
    label = getattr(plain, "__qualname__", type(plain).__qualname__)
    return Callee(model if plain is model else _quiet(model), plain, torch_modules(plain), label, shown=plain)


def _quiet(compiled: Callable[..., Any]) -> Callable[..., Any]:
    """A compiled model that may be given what is made of tensors that require gradients: compiling looks at them."""

    @functools.wraps(compiled)
    def call(*args: Any, **kwargs: Any) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor that is not a leaf")
            return compiled(*args, **kwargs)

    return call


def _exported(module: torch.fx.GraphModule) -> Callee:
    """An exported program, which takes what it was exported with by place and by name, each in the same way."""
    positional, named = (len(spec.children()) for spec in module._in_spec.children())
    names = list(inspect.signature(module.forward).parameters)
    keywords = module._in_spec.children()[1].context if named else []

    def forward(*args: Any, **kwargs: Any) -> Any:
        given = dict(zip(names, args, strict=False)) | kwargs
        return module(*(given[n] for n in names[:positional]), **{n: given[n] for n in keywords})

    forward.__signature__ = inspect.signature(module.forward)  # type: ignore[attr-defined]
    return Callee(forward, forward, (module,), "exported program", rows=_fixed_rows(module), shown=forward)


def _fixed_rows(module: torch.fx.GraphModule) -> int | None:
    """The length of the batch axis that a program was exported for; None where it takes any."""
    inputs = [node.meta.get("val") for node in module.graph.nodes if node.op == "placeholder"]
    sizes = [x.shape[0] for x in inputs if isinstance(x, torch.Tensor) and x.ndim]
    return sizes[0] if sizes and all(isinstance(size, int) and size == sizes[0] for size in sizes) else None


def _call_anew(module: torch.jit.ScriptModule, *args: Any, **kwargs: Any) -> Any:
    """The answer of a copy that was never called: after some calls the operations of a scripted module are fused."""
    written = io.BytesIO()
    torch.jit.save(module, written)
    written.seek(0)
    return torch.jit.load(written)(*args, **kwargs)


def _as_declared(module: torch.jit.ScriptModule) -> Callable[..., Any]:
    """A function with the parameters of a scripted module, which tells them in its schema alone."""
    arguments = module.forward.schema.arguments[1:]

    def forward(*args: Any, **kwargs: Any) -> Any:
        return module(*args, **kwargs)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    given = [
        inspect.Parameter(a.name, kind, default=a.default_value if a.has_default_value() else inspect.Parameter.empty)
        for a in arguments
    ]
    forward.__signature__ = inspect.Signature(given)  # type: ignore[attr-defined]
    return forward


def ways_to_call(callee: Callee, streams: Iterable[str]) -> Iterator[Binding]:
    """How the streams may be handed over: as the parameters say; then all as one mapping, or as one list."""
    names = tuple(streams)
    yield bind(callee.forward, names, callee.label)
    yield Binding(names, together="mapping")
    yield Binding(names, together="list")


def _codes(function: Any) -> Iterator[bytes]:
    """The compiled code of a function, with the code and constants inside it; nothing of a module."""
    if isinstance(function, FunctionType):
        yield from _of_code(function.__code__)


def _of_code(code: Any) -> Iterator[bytes]:
    yield code.co_code
    for constant in code.co_consts:
        yield from _of_code(constant) if hasattr(constant, "co_code") else (repr(constant).encode(),)


def on(device: torch.device, arrays: Mapping[str, Any]) -> Tensors:
    """Arrays as tensors on a device: copies, which a model may write into."""
    return {name: torch.tensor(x, device=device) for name, x in arrays.items()}


def to_array(tensor: torch.Tensor) -> Array:
    """A tensor as NumPy holds it; bfloat16, which it lacks, as float32."""
    tensor = tensor.detach()
    values: Array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).cpu().numpy()
    return values
