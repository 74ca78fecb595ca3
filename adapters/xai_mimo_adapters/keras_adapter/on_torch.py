"""A Keras network on PyTorch: run eagerly, gradients by ``torch.autograd``, every module's mode put back."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import torch

from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array
from xai_mimo.sowing import MapLabels, collect
from xai_mimo_adapters.chunks import check_float, split_floats


class TorchEngine:
    """Runs a network on chunks of rows, without compiling anything.

    Attributes:
        traces: always 0.
        labels: what the sown maps mean, known after the first ``maps``.
    """

    fixed_shapes = False

    def __init__(self, call: Callable[[dict[str, Any]], dict[str, Any]], model: keras.Model) -> None:
        self.traces = 0
        self.labels: dict[str, MapLabels] = {}
        self._call = call
        self._model = model

    def forward(self, inputs: Arrays) -> Arrays:
        """Outputs for one chunk: ``{head: (row, ...)}``."""
        with torch.no_grad(), _inference(self._model):
            return _to_numpy(self._call(_to_tensors(inputs)))

    def maps(self, inputs: Arrays) -> Arrays:
        """Every map sown while reading one chunk, by key."""
        with torch.no_grad(), _inference(self._model), collect(self.labels) as maps:
            self._call(_to_tensors(inputs))
        return _to_numpy(maps)

    def gradients(self, inputs: Arrays, heads: Sequence[str], units: Array) -> tuple[Arrays, Arrays]:
        """Outputs, and ``{stream: (target, row, ...)}`` from one forward and one backward pass per target.

        Args:
            inputs: one chunk.
            heads: the head of each target.
            units: ``(target, row)`` flat unit of each row.
        """
        tensors = _to_tensors(inputs)
        floats, _ = split_floats(inputs)
        leaves = [tensors[name].requires_grad_() for name in floats]
        gradients = {name: np.zeros((len(heads), *x.shape), x.dtype) for name, x in floats.items()}
        with torch.enable_grad(), _inference(self._model):
            outputs = self._call(tensors)
            chosen = torch.as_tensor(np.ascontiguousarray(units), device=leaves[0].device)
            for i, head in enumerate(heads):
                check_float(head, str(outputs[head].dtype))
                y = outputs[head].flatten(1) if outputs[head].ndim > 1 else outputs[head][:, None]
                target = y.gather(1, chosen[i][:, None]).sum()
                if not target.requires_grad:
                    continue  # a head that reads no input at all
                found = torch.autograd.grad(target, leaves, retain_graph=i + 1 < len(heads), allow_unused=True)
                for name, gradient in zip(floats, found, strict=True):
                    if gradient is not None:
                        gradients[name][i] = _array(gradient)
        return _to_numpy(outputs), gradients


@contextlib.contextmanager
def _inference(model: keras.Model) -> Iterator[None]:
    """Every module in evaluation mode and no variable written; modes are put back, also after an error."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with keras.StatelessScope():
            yield
    finally:
        for module, training in modes:
            module.training = training


def _to_tensors(inputs: Arrays) -> dict[str, torch.Tensor]:
    device = keras.ops.zeros(()).device
    return {name: torch.tensor(x, device=device) for name, x in inputs.items()}


def _to_numpy(tensors: dict[str, torch.Tensor]) -> Arrays:
    return {name: _array(t) for name, t in tensors.items()}


def _array(tensor: torch.Tensor) -> Array:
    tensor = tensor.detach()
    values: Array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).cpu().numpy()
    return values
