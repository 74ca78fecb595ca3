"""What a function of JAX is, read off its program: nothing is executed for it."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.extend import core

from xai_mimo.core.errors import NotSupported, ShapeMismatch, XaiMimoError
from xai_mimo.core.outputs import named_outputs
from xai_mimo.core.streams import Stream

Tensors = dict[str, Any]
Run = Callable[[Any, Tensors], Tensors]
"""A network: from its weights and the arrays of its streams to those of its outputs, by name."""

ROWS = 7
"""A model is traced with so many: a batch axis can then be told from most others."""
LENGTH = 16
"""Of axes of any length, where a model is traced."""


@dataclass(frozen=True)
class Traced:
    """A model's program for ``ROWS`` rows.

    Attributes:
        program: of the weights and the streams, in the order of their tree.
        outputs: shape and dtype of each output, in the model's own order; those of the program have this order.
    """

    program: core.ClosedJaxpr
    outputs: dict[str, jax.ShapeDtypeStruct]


def trace(run: Run, weights: Any, streams: Sequence[Stream], label: str, *, is_plain: bool = False) -> Traced:
    """Trace a network for rows of its streams.

    Args:
        run: the network. weights: of it. streams: by its own names. label: of the model, for errors.
        is_plain: whether it may do with arrays what nothing that is traced can do, and any error may be of that.
    Raises:
        NotSupported: it leaves JAX, or what it does depends on values.
    """
    rows = {s.name: shape_of_rows(s) for s in streams}
    names: list[str] = []

    def anew(weights: Any, inputs: Tensors) -> list[Any]:
        """A function that JAX has not seen: of one that it has seen, it would give what it kept."""
        outputs = run(weights, inputs)
        names[:] = outputs
        return list(outputs.values())

    try:
        program, shapes = jax.make_jaxpr(anew, return_shape=True)(weights, rows)
    except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError) as err:
        raise leaves_jax(label, err) from err
    except Exception as err:
        if not is_plain or isinstance(err, XaiMimoError):
            raise
        raise leaves_jax(label, err) from err
    return Traced(program, dict(zip(names, shapes, strict=True)))


def leaves_jax(label: str, err: Exception) -> NotSupported:
    """The error for a model that cannot be traced."""
    return NotSupported(
        f"'{label}' cannot be traced by JAX: it hands an array to NumPy or Python, writes into it, or decides by its "
        f"values ({first_line(err)}). Write it with jax.numpy, jax.lax.cond and jnp.where; or give it without jax.jit, "
        "as a function of NumPy arrays, which has predictions and no gradients."
    )


def first_line(err: Exception) -> str:
    """An error's type and the first line of its text."""
    return f"{type(err).__name__}: {err}".split("\n")[0].rstrip(". ")


def shape_of_rows(stream: Stream) -> jax.ShapeDtypeStruct:
    """``ROWS`` rows of a stream."""
    shape = (ROWS, *(LENGTH if n is None else n for n in stream.shape))
    return jax.ShapeDtypeStruct(shape, jax.dtypes.canonicalize_dtype(stream.dtype))


def outputs_of(answer: Any, rows: int, label: str) -> Tensors:
    """A model's outputs by name, each with one row for every row that was asked.

    Raises:
        ShapeMismatch: another number of rows.
    """
    outputs = {name: jax.numpy.asarray(value) for name, value in named_outputs(answer).items()}
    for name, values in outputs.items():
        if values.shape[:1] != (rows,):
            raise ShapeMismatch(
                f"'{label}' gives output '{name}' of shape {values.shape} for {rows} rows; expected the batch axis "
                f"first, ({rows}, ...). If it is a function of one row, give jax.vmap(f), or takes='row'."
            )
    return outputs


def every_step(jaxpr: core.Jaxpr) -> Iterator[tuple[core.JaxprEqn, int]]:
    """Every operation of a program, also of those inside, with how often a loop of known length does it."""
    for step in jaxpr.eqns:
        yield step, 1
        times = int(step.params.get("length", 1)) if step.primitive.name == "scan" else 1
        for inner in inner_programs(step):
            for deeper, often in every_step(inner):
                yield deeper, often * times


def inner_programs(step: core.JaxprEqn) -> list[core.Jaxpr]:
    """The programs that an operation runs: of a call, a loop, a branch."""
    found = []
    for value in step.params.values():
        for each in value if isinstance(value, tuple | list) else (value,):
            if isinstance(each, core.ClosedJaxpr):
                found.append(each.jaxpr)
            elif isinstance(each, core.Jaxpr):
                found.append(each)
    return found


def values_of_a_row(traced: Traced) -> int:
    """How many values one row takes in a forward pass, at most."""
    total = sum(
        times * math.prod(getattr(out.aval, "shape", ()))
        for step, times in every_step(traced.program.jaxpr)
        for out in step.outvars
    )
    return max(1, total // ROWS)


def precision(traced: Traced) -> str:
    """The coarsest float dtype that the program computes in; "" where there is none."""
    dtypes = {
        str(getattr(out.aval, "dtype", "")) for step, _ in every_step(traced.program.jaxpr) for out in step.outvars
    }
    return next((dtype for dtype in ("bfloat16", "float16", "float32", "float64") if dtype in dtypes), "")


def zeros_like(outputs: Mapping[str, jax.ShapeDtypeStruct]) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays of these shapes, for what reads shapes off arrays."""
    return {
        name: np.broadcast_to(np.zeros((), np.float32 if "float" in str(x.dtype) else x.dtype), x.shape)
        for name, x in outputs.items()
    }
