"""shap's ``GradientExplainer`` on any differentiable model, whatever its framework.

shap reads gradients off PyTorch modules of tensors, so that is what it is given: a module whose one operation asks the
adapter for values and gradients in NumPy. All targets of a row come from the same points, which shap asks for once more
for each target; they are computed the first time.

shap keeps its points in float32. It is handed streams less the mean of their background, and the model gets that added
again: so the digits are those of the differences, also where a stream has a large offset.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from xai_mimo.core.errors import BadSetting
from xai_mimo.core.method import Attribution, Context, bytes_per_row, whole
from xai_mimo.core.model import Arrays, Differentiable, Model, require, require_floats
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, rows_of, take, take_mean
from xai_mimo_adapters.shap_methods.bridge import seeded, shap_package, torch_package

Slopes = tuple[Array, tuple[Array, ...]]
"""Targets ``(row, target)``, and for each stream their gradients ``(target, row, *shape)``."""


@dataclass(frozen=True)
class ShapGradient:
    """shap's ``GradientExplainer``, expected gradients: gradients at random points between a row and the background.

    ``expected_gradients`` of this package estimates the same and is many times faster. The sums are complete on average
    alone; the completeness gap says by how much they miss. ``standard_error`` is the standard deviation of the draws
    over the root of their number, made of shap's ``return_variances``, which is the variance over the root of the
    number and neither that nor the variance of the mean.

    Attributes:
        samples: points per row, at least 2.

    Source: Erion et al. (2021), "Improving Performance of Deep Learning Models with Axiomatic Attribution Priors and
    Expected Gradients", equation 3; Lundberg and Lee (2017) for the package.
    """

    samples: int = 200

    name: ClassVar[str] = "shap.gradient"
    reference: ClassVar[str] = "erion2021improving"
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    needs: ClassVar[tuple[type[Model], ...]] = (Differentiable,)
    packages: ClassVar[tuple[str, ...]] = ("shap", "torch")

    def __post_init__(self) -> None:
        whole(self.samples, "samples")
        if self.samples < 2:
            raise BadSetting(f"samples must be at least 2, of which a standard error can be told; got {self.samples}.")

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Explain all targets of each row from the same points."""
        able = require(model, Differentiable, for_=self.name)
        require_floats(model, for_=self.name)
        shap, torch = shap_package(), torch_package()
        rows, targets = len(selectors[0].units), len(selectors)
        block = context.chunk((targets + 4) * bytes_per_row(inputs), at_most=self.samples)
        keeps = self.samples * targets * bytes_per_row(inputs) <= context.max_memory
        asked = _Asked(able, inputs, context.background, keeps)
        tensors = {n: _tensor(x, asked.offsets[n]) for n, x in inputs.items()}
        behind = [_tensor(x, asked.offsets[n]) for n, x in context.background.items() if n in inputs]
        values = {name: np.zeros((targets, *x.shape)) for name, x in inputs.items()}
        errors = {name: np.zeros((targets, *x.shape)) for name, x in inputs.items()}
        seeds = context.rng.integers(2**32, size=rows)
        asked.row(rows_of(selectors, slice(0, 1)))
        with seeded(int(seeds[0])):
            explainer = shap.GradientExplainer(_module(torch, asked), behind, batch_size=block)
            for row in range(rows):
                asked.row(rows_of(selectors, slice(row, row + 1)))
                found, scatter = explainer.shap_values(
                    [x[row : row + 1] for x in tensors.values()],
                    nsamples=self.samples,
                    rseed=int(seeds[row]),
                    return_variances=True,
                )
                for i, name in enumerate(inputs):
                    for t in range(targets):
                        values[name][t, row] = (found[i] if len(inputs) > 1 else found)[0, ..., t]
                        # shap's "variances" are sum of squares / n / sqrt(n).
                        variance = scatter[t][i][0] * np.sqrt(self.samples)
                        errors[name][t, row] = np.sqrt(variance / (self.samples - 1))
                context.advance(1)
        return Attribution(
            values=values,
            prediction=take(model.predict(inputs), selectors),
            baseline_prediction=take_mean(model.predict(context.background), selectors),
            standard_error=errors,
            draws=np.full((targets, rows), self.samples),
        )


class _Asked:
    """What shap asks of the model for one row, remembered until the next."""

    def __init__(self, model: Differentiable, inputs: Arrays, background: Arrays, keeps: bool) -> None:
        self._model, self._keeps = model, keeps
        self._dtypes = {name: x.dtype for name, x in inputs.items()}
        self.offsets = {name: background[name].mean(axis=0, dtype=np.float64) for name in inputs}
        self._selectors: Sequence[Selector] = ()
        self._known: dict[bytes, Slopes] = {}

    def row(self, selectors: Sequence[Selector]) -> None:
        """From now on these are the targets, of one row."""
        self._selectors, self._known = selectors, {}

    def values(self, streams: Sequence[Array]) -> Array:
        """The targets ``(row, target)`` at some points."""
        return take(self._model.predict(self._whole(streams)), self._at(len(streams[0]))).T

    def slopes(self, streams: Sequence[Array]) -> Slopes:
        """The targets and their gradients at some points."""
        key = hashlib.blake2b(b"".join(np.ascontiguousarray(x).tobytes() for x in streams), digest_size=16).digest()
        if key not in self._known:
            at = self._at(len(streams[0]))
            outputs, gradients = self._model.gradients(self._whole(streams), at)
            found = take(outputs, at).T, tuple(gradients[name] for name in self._dtypes)
            if not self._keeps:
                return found
            self._known[key] = found
        return self._known[key]

    def _at(self, rows: int) -> list[Selector]:
        return rows_of(self._selectors, np.zeros(rows, dtype=np.int64))

    def _whole(self, streams: Sequence[Array]) -> Arrays:
        return {
            name: (np.asarray(x, np.float64) + self.offsets[name]).astype(dtype)
            for (name, dtype), x in zip(self._dtypes.items(), streams, strict=True)
        }


def _tensor(rows: Array, offset: Array) -> Any:
    import torch

    return torch.from_numpy(np.asarray(np.asarray(rows, np.float64) - offset, np.float32).reshape(rows.shape))


def _module(torch: Any, asked: _Asked) -> Any:
    """What is asked of the model as a module that shap can differentiate: ``(*streams) -> (row, target)``."""

    class Explained(torch.autograd.Function):  # type: ignore[misc] # torch is untyped here
        @staticmethod
        def forward(ctx: Any, *streams: Any) -> Any:
            arrays = [x.detach().numpy() for x in streams]
            if not any(ctx.needs_input_grad):
                return torch.from_numpy(np.ascontiguousarray(asked.values(arrays)))
            values, ctx.slopes = asked.slopes(arrays)
            return torch.from_numpy(np.array(values))

        @staticmethod
        def backward(ctx: Any, upstream: Any) -> Any:
            weights = upstream.numpy().T
            return tuple(
                torch.from_numpy(np.einsum("tn...,tn->n...", np.asarray(s, np.float64), weights)) for s in ctx.slopes
            )

    class Module(torch.nn.Module):  # type: ignore[misc]
        def forward(self, *streams: Any) -> Any:
            return Explained.apply(*streams)

    return Module()
