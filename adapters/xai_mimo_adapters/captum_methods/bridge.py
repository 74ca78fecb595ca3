"""Captum's gradient methods on any differentiable model, whatever its framework.

Captum asks each of its gradient methods' ``gradient_func`` for gradients; here that asks the adapter, in NumPy. Captum
never sees the framework behind it, nor does its own way apply, which divides the answer into a tensor for each row and
so takes longer than many a model. It explains one target at a time, so the heads are a loop here;
``integrated_gradients`` of this package shares the passes and is the faster one.

Methods that draw do so from the global generators of torch and NumPy. ``seeded`` is the only place where those are
touched: both are seeded from the method's own random stream for the duration of a call and put back, also after an
error. (Other threads that draw from them meanwhile would see it.) Every target of a block is explained with the same
draws.

Methods that hook torch modules (DeepLift, GuidedBackprop, LRP) do not go this way: behind the bridge, as on a Keras
model on torch, there is no module to hook, and they would silently return a plain gradient. ``hooked`` opens the user's
own modules for them.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import MissingDependency
from xai_mimo.core.method import Context, bytes_per_row
from xai_mimo.core.model import Arrays, Differentiable, Model, require, require_floats
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, rows_of, take

# A point lives as scaled input, gradient, weighted gradient and its copy inside the model.
_COPIES = 4


@dataclass(frozen=True)
class Plan:
    """How a method of Captum is to be run.

    Attributes:
        kind: name of Captum's class.
        attribute: ``(method, streams, baselines, units, room) -> tensors``: one for each stream, perhaps followed by
            Captum's convergence delta, ``(sample * points,)``. ``room`` is how many points may be held at once. What a
            NoiseTunnel is asked for comes as keywords.
        baselines: rows to attribute from, run one after the other and averaged; None for methods without any.
        are_drawn: Captum draws from the baselines, so that they are handed over together.
        points: how many points Captum makes of each row at once, which it cannot divide.
        is_random: Captum draws random numbers.
    """

    kind: str
    attribute: Callable[..., Any]
    baselines: Arrays | None = None
    are_drawn: bool = False
    points: int = 1
    is_random: bool = False


def captum_attr() -> Any:
    """Captum's attribution classes, imported on the first call that wants them."""
    try:
        import captum.attr
    except ImportError as err:
        raise MissingDependency("the Captum bridge needs captum: pip install 'xai-mimo[captum]'") from err
    return captum.attr


def differentiable(model: Model, method: str) -> Differentiable:
    """The model, refused here before Captum turns what has no gradient into zeros or an error of its own.

    Raises:
        NotSupported: it has no gradients, or a stream holds integers.
    """
    able = require(model, Differentiable, for_=method)
    require_floats(model, for_=method)
    return able


def explain_targets(
    plan: Plan, model: Differentiable, inputs: Arrays, selectors: Sequence[Selector], context: Context
) -> tuple[Arrays, Array]:
    """Run Captum for every target, baseline and block of rows that fits the memory allowed.

    Returns:
        ``{stream: (target, sample, *shape)}`` in float64, averaged over the baselines; and ``(target, sample)``,
        Captum's mean convergence delta, 0 where the plan gives none.
    """
    kind = getattr(captum_attr(), plan.kind)
    room = context.chunk(_COPIES * bytes_per_row(inputs))
    rows, block = len(selectors[0].units), max(1, room // plan.points)
    values = {name: np.zeros((len(selectors), *x.shape)) for name, x in inputs.items()}
    delta = np.zeros((len(selectors), rows))
    baselines = _one_by_one(plan)
    for start in range(0, rows, block):
        part = slice(start, min(start + block, rows))
        seed = int(context.rng.integers(2**32)) if plan.is_random else None
        for t, selector in enumerate(rows_of(selectors, part)):
            method = kind(forward(model, selector))
            method.gradient_func = gradients(model, selector)
            for baseline in baselines:
                tensors = as_tensors({name: x[part] for name, x in inputs.items()})
                with seeded(seed):
                    found = plan.attribute(method, tensors, baseline, _units(selector), room)
                for name, value in zip(inputs, found[: len(inputs)], strict=True):
                    values[name][t, part] += value.detach().numpy() / len(baselines)
                for value in found[len(inputs) :]:
                    each = value.detach().numpy().reshape(part.stop - part.start, -1)
                    delta[t, part] += each.mean(axis=1) / len(baselines)
            context.advance((part.stop - part.start) / len(selectors))
    return values, delta


def _one_by_one(plan: Plan) -> list[Any]:
    """What each run of Captum is given as its baselines."""
    if plan.baselines is None:
        return [None]
    if plan.are_drawn:
        return [as_tensors(plan.baselines)]
    count = count_rows(plan.baselines)
    return [as_tensors({name: x[b : b + 1] for name, x in plan.baselines.items()}) for b in range(count)]


@contextlib.contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Seed the global generators of torch (on the CPU) and NumPy, and put their states back; None does nothing."""
    if seed is None:
        yield
        return
    import torch

    generator, numpys = torch.default_generator, np.random.get_state()  # noqa: NPY002 - Captum knows no other generator
    torchs = generator.get_state()
    generator.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(numpys)  # noqa: NPY002
        generator.set_state(torchs)


def as_tensors(arrays: Arrays) -> Any:
    """One tensor per stream."""
    import torch

    wide = {name: np.require(_wide(x), requirements=["C", "W"]) for name, x in arrays.items()}
    return tuple(torch.from_numpy(x) for x in wide.values())


def watched(streams: Any) -> Any:
    """The streams as Captum's plain gradients want them; it warns of tensors that ask for none."""
    return tuple(x.requires_grad_() for x in streams)


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
