"""A Keras network on PyTorch: run eagerly, gradients by ``torch.autograd``, every module's mode put back.

Networks may be run by several threads at once, and inside ``torch.inference_mode()``.
"""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import torch

from xai_mimo.core.errors import NotSupported
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array
from xai_mimo.sowing import MapLabels
from xai_mimo_adapters.chunks import check_float, split_floats
from xai_mimo_adapters.keras_adapter.attention import collecting
from xai_mimo_adapters.keras_adapter.compiled import Call


class TorchEngine:
    """Runs a network on chunks of rows, without compiling anything.

    Attributes:
        traces: always 0.
        labels: what the sown maps mean, known after the first ``maps``.
    """

    fixed_shapes = False

    def __init__(self, variables: Sequence[keras.Variable]) -> None:
        self.traces = 0
        self.labels: dict[str, MapLabels] = {}
        self._variables = variables

    def reading(self, model: Any) -> contextlib.AbstractContextManager[None]:
        """Every module in evaluation mode while the model is read."""
        return _evaluating(tuple(model.modules()))

    def is_current(self, call: Call, inputs: Arrays, tolerance: float) -> bool:
        """Always: nothing is compiled."""
        return True

    def forward(self, call: Call, inputs: Arrays) -> Arrays:
        """Outputs for one chunk: ``{head: (row, ...)}``."""
        with torch.no_grad(), keras.StatelessScope():
            return _to_numpy(call(_to_tensors(inputs)))

    def maps(self, call: Call, inputs: Arrays) -> Arrays:
        """Every map sown while reading one chunk, by key."""
        with torch.no_grad(), keras.StatelessScope(), collecting(self.labels) as maps:
            call(_to_tensors(inputs))
        return _to_numpy(maps)

    def gradients(self, call: Call, inputs: Arrays, heads: Sequence[str], units: Array) -> tuple[Arrays, Arrays]:
        """Outputs, and ``{stream: (target, row, ...)}`` from one forward and one backward pass per target.

        Raises:
            NotSupported: a layer holds a constant that was made inside ``torch.inference_mode()``.
        """
        with torch.inference_mode(False), torch.enable_grad():  # inside either, every gradient would be zero
            try:
                return self._gradients(call, inputs, heads, units)
            except RuntimeError as err:
                if "Inference tensors" not in str(err):
                    raise
                raise NotSupported(
                    "a layer of the model holds a constant that was made inside torch.inference_mode(), which has no "
                    "gradient. Build or adapt the model outside of it."
                ) from err

    def _gradients(self, call: Call, inputs: Arrays, heads: Sequence[str], units: Array) -> tuple[Arrays, Arrays]:
        tensors = _to_tensors(inputs)
        floats, _ = split_floats(inputs)
        leaves = [tensors[name].requires_grad_() for name in floats]
        gradients = {name: np.zeros((len(heads), *x.shape), x.dtype) for name, x in floats.items()}
        with keras.StatelessScope(state_mapping=[(v, v.value.clone()) for v in self._variables if _is_inference(v)]):
            outputs = call(tensors)
            chosen = torch.as_tensor(np.ascontiguousarray(units), device=leaves[0].device)
            for i, head in enumerate(heads):
                check_float(head, str(outputs[head].dtype))
                y = outputs[head].flatten(1) if outputs[head].ndim > 1 else outputs[head][:, None]
                target = y.gather(1, chosen[i][:, None]).sum()
                if not target.requires_grad:
                    continue  # a head that reads no input at all
                partial = torch.autograd.grad(target, leaves, retain_graph=i + 1 < len(heads), allow_unused=True)
                for name, gradient in zip(floats, partial, strict=True):
                    if gradient is not None:
                        gradients[name][i] = _array(gradient)
        return _to_numpy(outputs), gradients


_LOCK = threading.Lock()
_MODES: dict[torch.nn.Module, tuple[int, bool]] = {}
"""Of the modules that are being read: by how many passes, and the mode to put back when the last of them ends."""


@contextlib.contextmanager
def _evaluating(modules: Sequence[torch.nn.Module]) -> Iterator[None]:
    """Every module in evaluation mode; modes are put back by whoever reads a module last, also after an error."""
    with _LOCK:
        for module in modules:
            count, training = _MODES.get(module, (0, module.training))
            _MODES[module] = count + 1, training
            module.training = False
    try:
        yield
    finally:
        with _LOCK:
            for module in modules:
                count, training = _MODES.pop(module)
                if count > 1:
                    _MODES[module] = count - 1, training
                else:
                    module.training = training


def _is_inference(variable: keras.Variable) -> bool:
    return bool(variable.value.is_inference())


def _to_tensors(inputs: Arrays) -> dict[str, torch.Tensor]:
    device = keras.ops.zeros(()).device
    return {name: torch.tensor(x, device=device) for name, x in inputs.items()}


def _to_numpy(tensors: dict[str, torch.Tensor]) -> Arrays:
    return {name: _array(t) for name, t in tensors.items()}


def _array(tensor: torch.Tensor) -> Array:
    tensor = tensor.detach()
    values: Array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).cpu().numpy()
    return values
