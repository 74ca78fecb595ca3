"""Captum's methods that hook modules, run on a model's own: what all of them share.

Every module that Captum hooks on the way back reads a copy of its own. Captum puts its hooks on the tensor that a
module reads, which others may read as well, or which may be what another hooked module gave: without copies the rule of
a max pooling behind a ReLU is lost, and so is a residual connection beside an activation.
"""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from xai_mimo.core.errors import MissingDependency, NotSupported
from xai_mimo.core.method import Context, bytes_per_row
from xai_mimo.core.model import Arrays, Differentiable, Hookable, Model, require, require_floats
from xai_mimo.core.precision import precision_of
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, rows_of
from xai_mimo_adapters.captum_methods.passes import Pass, read_pass
from xai_mimo_adapters.chunks import check_float

NEEDS: tuple[type[Model], ...] = (Differentiable, Hookable)
PACKAGES = ("captum", "torch")
_LOOKED_AT = 7
"""Rows that are asked to see what a model computes: a number that hardly is the length of another axis."""
_COPIES = 4
"""Of what modules give, for each row: inputs and outputs that Captum keeps, and both again inside autograd."""
_NEAR = {"float16": 1e-2, "bfloat16": 1e-1}
"""How near two passes of one model must come, of half precision; of others 1e-4."""


@dataclass(frozen=True)
class Opened:
    """A model whose modules can be hooked, as long as its context lasts.

    Attributes:
        name: of the method, for error texts.
        module: from a tensor for each stream to all units of all heads, ``(row, unit)``.
        seen: what a pass of a few rows computes.
        selectors: the targets. offsets: of each head, the number of its first unit among all.
        inputs: rows to explain.
    """

    name: str
    module: Any
    seen: Pass
    selectors: Sequence[Selector]
    offsets: dict[str, int]
    inputs: Arrays

    @property
    def heads(self) -> tuple[str, ...]:
        """Heads that are explained, each once."""
        return tuple(dict.fromkeys(selector.head for selector in self.selectors))

    def rows_at_once(self, context: Context, copies: int = 1) -> int:
        """How many rows fit into the memory allowed, each so many times."""
        return context.chunk(_COPIES * copies * (self.seen.bytes_per_row + bytes_per_row(self.inputs)))

    def units(self, selector: Selector) -> Any:
        """A target's unit of each row among all units, as a tensor."""
        import torch

        return torch.from_numpy(selector.units + self.offsets[selector.head])

    def explain(
        self,
        attribute: Callable[[tuple[Any, ...], Any, slice, Selector], Sequence[Any]],
        context: Context,
        rows_at_once: int,
    ) -> Arrays:
        """Run Captum for every target and block of rows.

        Args:
            attribute: ``(a tensor for each stream, target unit of each row, which rows, the target) -> values``, a
                tensor or an array for each stream.
            context: told of progress.
            rows_at_once: rows of a block.
        Returns:
            ``{stream: (target, sample, *shape)}`` in float64.
        """
        rows = len(self.selectors[0].units)
        values = {name: np.zeros((len(self.selectors), *x.shape)) for name, x in self.inputs.items()}
        for start in range(0, rows, rows_at_once):
            part = slice(start, min(start + rows_at_once, rows))
            for t, selector in enumerate(rows_of(self.selectors, part)):
                some = tensors({name: x[part] for name, x in self.inputs.items()})
                found = attribute(some, self.units(selector), part, selector)
                for name, value in zip(self.inputs, found, strict=True):
                    values[name][t, part] = value if isinstance(value, np.ndarray) else value.detach().double().numpy()
                context.advance((part.stop - part.start) / len(self.selectors))
        return values


def tensors(arrays: Arrays) -> tuple[Any, ...]:
    """A tensor for each stream, which requires a gradient; half precision as float32."""
    import torch

    wide = (x if x.dtype in (np.float32, np.float64) else x.astype(np.float32) for x in arrays.values())
    return tuple(torch.tensor(x).requires_grad_() for x in wide)


@contextmanager
def opened(
    model: Model,
    inputs: Arrays,
    selectors: Sequence[Selector],
    context: Context,
    *,
    name: str,
    hooked: Callable[[Any], bool],
    layer: str | None = None,
) -> Iterator[Opened]:
    """A model whose modules Captum may hook.

    Args:
        model: that is explained. inputs: rows. selectors: targets. context: with background rows.
        name: of the method, for error texts.
        hooked: which modules Captum hooks on the way back; these read copies of their own.
        layer: path of a layer that Captum hands a copy itself.
    Raises:
        NotSupported: the model is none of torch modules, or reads integers; or it answers otherwise when a module reads
            a copy, since it goes on with what the module wrote into.
    """
    able = require(model, Hookable, for_=name)
    require_floats(model, for_=name)
    few = {n: _spread(np.concatenate([x, context.background[n]])) for n, x in inputs.items()}
    expected = model.predict(few)
    for selector in selectors:
        check_float(selector.head, str(expected[selector.head].dtype))
    sizes = np.cumsum([0, *(head.size for head in model.heads)])
    offsets = {head.name: int(offset) for head, offset in zip(model.heads, sizes, strict=False)}
    with able.hookable() as module, _quiet():
        cut = None if layer is None else module.get_submodule(layer)
        seen = read_pass(module, tensors(few), model.heads, cloned=lambda each: hooked(each) or each is cut)
        _check_same(name, seen, np.concatenate([y.reshape(len(y), -1) for y in expected.values()], axis=1), model)
        for each in module.modules():
            if hooked(each):
                each.register_forward_pre_hook(_with_a_copy)
        yield Opened(name, module, seen, selectors, offsets, inputs)


def _spread(rows: Array) -> Array:
    """A few rows from all over the data, which may be sorted: neighbours lie on one side of most thresholds."""
    places = np.arange(_LOOKED_AT) % len(rows)
    if len(rows) > _LOOKED_AT:
        places = np.linspace(0, len(rows) - 1, _LOOKED_AT).round().astype(int)
    few: Array = rows[places]
    return few


def _with_a_copy(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    del module
    return tuple(x.clone() for x in args)


def captum_attr() -> Any:
    """``captum.attr``.

    Raises:
        MissingDependency: captum is not installed.
    """
    try:
        import captum.attr
    except ImportError as err:
        raise MissingDependency("the Captum bridge needs captum: pip install 'xai-mimo[captum]'") from err
    return captum.attr


def _check_same(name: str, seen: Pass, expected: Array, model: Model) -> None:
    answer = np.asarray(seen.answer, dtype=np.float64)
    near = _NEAR.get(precision_of(model), 1e-4)
    if not np.allclose(answer, expected, rtol=near, atol=near * max(1.0, float(np.abs(expected).max(initial=0.0)))):
        raise NotSupported(
            f"{name} hands modules copies of what they read, and with copies the model answers otherwise: it goes on "
            "with a tensor that a module wrote into (inplace=True) instead of with what the module gives. Write "
            "h = self.act(h), or take 'integrated_gradients', which hooks nothing."
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Captum warns of its own hooks at each call."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        for message in ("Setting forward, backward hooks", "Setting backward hooks on ReLU"):
            warnings.filterwarnings("ignore", message=message)
        yield
