"""Captum's methods on any differentiable model, whatever its framework.

Captum asks each of its gradient methods' ``gradient_func`` for gradients; here that asks the adapter, in NumPy. Captum
never sees the framework behind it, nor does its own way apply, which divides the answer into a tensor for each row and
so takes longer than many a model. It explains one target at a time, so the heads are a loop here;
``integrated_gradients`` of this package shares the passes and is the faster one.

Methods that hook torch modules (DeepLift, GuidedBackprop, LRP) are left out on purpose: behind this bridge, as on a
Keras model on torch, there is no module to hook, and they would silently return a plain gradient.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import MissingDependency
from xai_mimo.core.method import Context
from xai_mimo.core.model import Arrays, Differentiable, Model
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, rows_of, take


def captum_attr() -> Any:
    """Captum's attribution classes, imported on the first call that wants them."""
    try:
        import captum.attr
    except ImportError as err:
        raise MissingDependency("the Captum bridge needs captum: pip install 'xai-mimo[captum]'") from err
    return captum.attr


def explain_targets(
    model: Differentiable,
    inputs: Arrays,
    selectors: Sequence[Selector],
    baselines: Arrays,
    attribute: Callable[[Selector, Any, Any, Any], Any],
    *,
    block: int,
    context: Context,
) -> Arrays:
    """Run Captum for every target, baseline and block of rows.

    Args:
        attribute: ``(target, rows, baseline, units) -> one tensor per stream``.
        block: rows that go at once.
    Returns:
        ``{stream: (target, sample, *shape)}`` in float64, averaged over the baselines.
    """
    rows, count = len(selectors[0].units), count_rows(baselines)
    values = {name: np.zeros((len(selectors), *x.shape)) for name, x in inputs.items()}
    for start in range(0, rows, block):
        part = slice(start, min(start + block, rows))
        tensors = _tensors({name: x[part] for name, x in inputs.items()})
        for t, selector in enumerate(rows_of(selectors, part)):
            for b in range(count):
                baseline = _tensors({name: x[b : b + 1] for name, x in baselines.items()})
                found = attribute(selector, tensors, baseline, _units(selector))
                for name, value in zip(inputs, found, strict=True):
                    values[name][t, part] += value.detach().numpy() / count
            context.advance((part.stop - part.start) / len(selectors))
    return values


def _tensors(arrays: Arrays) -> Any:
    """One tensor per stream."""
    import torch

    return tuple(torch.from_numpy(np.require(_wide(x), requirements=["C", "W"])) for x in arrays.values())


def _units(selector: Selector) -> Any:
    import torch

    return torch.from_numpy(np.require(selector.units, requirements=["C", "W"]))


def forward(model: Model, selector: Selector) -> Callable[..., Any]:
    """One target of the model as Captum calls it: ``(*streams, units) -> (sample,)``.

    Captum repeats ``units`` together with the rows, so that each path point keeps the unit of its row.
    """
    import torch

    def outputs(*arguments: Any) -> Any:
        *streams, units = arguments
        return torch.from_numpy(take(model.predict(_arrays(model, streams)), [_at(selector, units)])[0])

    return outputs


def gradients(model: Differentiable, selector: Selector) -> Callable[..., Any]:
    """What Captum asks for gradients, in the place of its ``compute_gradients``, whose arguments it takes.

    Returns:
        ``(forward_fn, streams, no target, units) -> one gradient per stream``.
    """
    import torch

    def slopes_of(
        forward_fn: Any, inputs: Any, target_ind: None = None, additional_forward_args: Any = None
    ) -> tuple[Any, ...]:
        (units,) = additional_forward_args
        _, slopes = model.gradients(_arrays(model, inputs), [_at(selector, units)])
        return tuple(
            torch.from_numpy(np.require(_wide(slopes[stream.name][0]), requirements=["C", "W"]))
            for stream in model.streams
        )

    return slopes_of


def _arrays(model: Model, streams: Any) -> Arrays:
    return {stream.name: x.detach().numpy() for stream, x in zip(model.streams, streams, strict=True)}


def _at(selector: Selector, units: Any) -> Selector:
    return selector._replace(units=units.numpy())


def _wide(x: Array) -> Array:
    """Half precision widened, because the path between two rows and the sum over it need the digits."""
    return x if x.dtype in (np.float32, np.float64) else x.astype(np.float32)
