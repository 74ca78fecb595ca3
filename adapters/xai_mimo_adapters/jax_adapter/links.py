"""The last step of a head, seen in its program: a sigmoid or a softmax, and what it is taken of.

A program is looked into from its output backwards, through calls (jitted parts, functions with derivatives of their
own). What only changes the form of an array is looked through; anything else in between, and there is no link to see.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
from jax.extend import core

from xai_mimo.core.errors import NotSupported
from xai_mimo.core.head_kinds import head_nature
from xai_mimo.core.outputs import SeenKind
from xai_mimo_adapters.jax_adapter.tracing import Run, Tensors, Traced

_CALLS = ("jit", "pjit", "closed_call", "core_call")
"""Calls that are nothing but their program, so that it may stand in their place."""
_RULED = ("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr", "checkpoint", "remat2")
"""Calls with a rule of their own for derivatives or memory."""
_FORMS = ("reshape", "squeeze", "expand_dims", "broadcast_in_dim", "convert_element_type", "copy", "copy_p")
_PROGRAMS = ("jaxpr", "call_jaxpr", "fun_jaxpr")


@dataclass(frozen=True, eq=False)
class _Frame:
    """A program that runs inside another one."""

    jaxpr: core.Jaxpr
    outer: "_Frame | None" = None
    step: core.JaxprEqn | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Frame) and self.step is other.step and self.outer == other.outer

    def __hash__(self) -> int:
        return hash(id(self.step))

    def maker(self, var: Any) -> core.JaxprEqn | None:
        """The operation that makes a value; None for what comes in."""
        return next((step for step in self.jaxpr.eqns if any(out is var for out in step.outvars)), None)


@dataclass(frozen=True, eq=False)
class _Value:
    """A value at a place of a program."""

    frame: _Frame
    var: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Value) and self.frame == other.frame and self.var is other.var

    def __hash__(self) -> int:
        return hash((self.frame, id(self.var)))


@dataclass(frozen=True)
class Link:
    """A head's last step.

    Attributes:
        kind: of the function.
        operand: what it is taken of; of a softmax without the largest value subtracted.
        classes: how many values it is normalised over, 1 for a sigmoid.
    """

    kind: Literal["sigmoid", "softmax"]
    operand: _Value
    classes: int = 1


def kinds_of(traced: Traced) -> dict[str, SeenKind]:
    """The kind of each head that ends in a sigmoid or a softmax, where it was seen, and the unit of its values."""
    kinds: dict[str, SeenKind] = {}
    for i, (name, shape) in enumerate(traced.outputs.items()):
        link = link_of(traced.program, i)
        classes = shape.shape[-1] if len(shape.shape) > 1 else 1
        if link is None or (link.kind == "softmax" and (classes < 2 or link.classes != classes)):
            continue
        units = 1
        for n in shape.shape[1:]:
            units *= n
        nature = head_nature(link.kind, units)
        if nature is not None:
            kinds[name] = nature.kind, nature.kind_from, nature.unit
    return kinds


def link_of(program: core.ClosedJaxpr, output: int) -> Link | None:
    """The sigmoid or softmax that makes an output; None where it ends otherwise."""
    top = _Frame(program.jaxpr)
    value = _through_forms(_Value(top, program.jaxpr.outvars[output]), _FORMS)
    step = _maker(value)
    if value is None or step is None:
        return None
    at, name = _settled(value), step.primitive.name
    if at is None:
        return None
    if name == "logistic":
        return Link("sigmoid", _Value(at.frame, step.invars[0]))
    return _softmax(at.frame, step) if name == "div" else None


def before_link(program: core.ClosedJaxpr, output: int) -> core.ClosedJaxpr | None:
    """A program with an output replaced by what its last sigmoid or softmax is taken of, in the same shape.

    Args:
        program: as ``jax.make_jaxpr`` gives it.
        output: place among its outputs.
    Returns:
        The program from the same inputs to the same outputs, but for this one; None where the output ends otherwise,
        or in a function whose derivative is its own business.
    """
    link = link_of(program, output)
    operand = None if link is None else _settled(link.operand)
    if operand is None or isinstance(operand.var, core.Literal):
        return None
    path: list[_Frame] = []
    frame: _Frame | None = operand.frame
    while frame is not None and frame.outer is not None:
        if frame.step is None or frame.step.primitive.name not in _CALLS:
            return None
        path.insert(0, frame)
        frame = frame.outer
    shape = program.out_avals[output].shape

    def replaced(*inputs: Any) -> list[Any]:
        found: list[Any] = []
        outputs = _run(program.jaxpr, program.consts, inputs, path, operand.var, found.append)
        outputs[output] = jax.numpy.reshape(found[0], shape)
        return outputs

    return jax.make_jaxpr(replaced)(*program.in_avals)


def ends_before_links(run: Run, cut: Sequence[str], weights: Any, inputs: Tensors) -> Tensors:
    """Run a network of which some outputs end before their sigmoid or softmax.

    Args:
        run: the network. cut: names of these outputs; each ends in one. weights, inputs: as it takes them.
    """
    names: list[str] = []

    def anew(weights: Any, inputs: Tensors) -> list[Any]:
        outputs = run(weights, inputs)
        names[:] = outputs
        return list(outputs.values())

    program = jax.make_jaxpr(anew)(weights, inputs)
    for name in cut:
        ended = before_link(program, names.index(name))
        if ended is None:
            raise NotSupported(f"output '{name}' ends in no sigmoid or softmax any more; ask for its logit anew.")
        program = ended
    values = jax.core.eval_jaxpr(program.jaxpr, program.consts, *jax.tree.leaves((weights, inputs)))
    return dict(zip(names, values, strict=True))


def _softmax(frame: _Frame, step: core.JaxprEqn) -> Link | None:
    """exp(z) over its sum along the last axis."""
    above = _through_forms(_Value(frame, step.invars[0]), ("convert_element_type",))
    below = _through_forms(_Value(frame, step.invars[1]), _FORMS)
    exp, total = _maker(above), _maker(below)
    if exp is None or total is None or above is None or below is None:
        return None
    if exp.primitive.name != "exp" or total.primitive.name != "reduce_sum":
        return None
    at, sum_at = _settled(above), _settled(below)
    if at is None or sum_at is None:
        return None
    summed = _through_forms(_Value(sum_at.frame, total.invars[0]), ("convert_element_type",))
    rank = len(exp.outvars[0].aval.shape)
    if tuple(total.params["axes"]) != (rank - 1,) or not _is_same(above, summed):
        return None
    operand = _Value(at.frame, exp.invars[0])
    return Link("softmax", _without_largest(operand), exp.outvars[0].aval.shape[-1])


def _is_same(one: _Value | None, other: _Value | None) -> bool:
    """Whether two values are one, or the same exponential of one."""
    if one is None or other is None:
        return False
    a, b = _settled(one), _settled(other)
    if a is None or b is None or a == b:
        return a == b and a is not None
    first, second = _maker(a), _maker(b)
    is_exp = first is not None and second is not None and first.primitive.name == second.primitive.name == "exp"
    return is_exp and _settled(_Value(a.frame, first.invars[0])) == _settled(_Value(b.frame, second.invars[0]))  # type: ignore[union-attr]


def _without_largest(operand: _Value) -> _Value:
    """The value from which its largest was subtracted; itself where none was."""
    at, step = _settled(operand), _maker(operand)
    if at is None or step is None or step.primitive.name != "sub":
        return operand
    whole = _Value(at.frame, step.invars[0])
    largest: _Value | None = _Value(at.frame, step.invars[1])
    for _ in range(4):  # broadcast, stop_gradient, max with -inf, reduce_max
        largest = _through_forms(largest, (*_FORMS, "stop_gradient"))
        maker = _maker(largest)
        if largest is None or maker is None:
            return operand
        frame = _settled(largest).frame  # type: ignore[union-attr]
        if maker.primitive.name == "reduce_max":
            return whole if _settled(_Value(frame, maker.invars[0])) == _settled(whole) else operand
        if maker.primitive.name != "max":
            return operand
        largest = next((_Value(frame, v) for v in maker.invars if not isinstance(v, core.Literal)), None)
    return operand


def _settled(value: _Value) -> _Value | None:
    """A value where it is made: out of the calls that hand it in, and into the call that gives it; None for a constant
    of a program inside."""
    while True:
        if isinstance(value.var, core.Literal):
            return value
        frame, step = value.frame, value.frame.maker(value.var)
        if step is None:
            place = _place(frame.jaxpr.invars, value.var)
            if frame.outer is None or frame.step is None:
                return value
            if place is None:
                return None
            value = _Value(frame.outer, frame.step.invars[place])
            continue
        inner = _called(step)
        if inner is None or len(inner.invars) != len(step.invars):
            return value
        value = _Value(_Frame(inner, frame, step), inner.outvars[_place(step.outvars, value.var) or 0])


def _maker(value: _Value | None) -> core.JaxprEqn | None:
    at = None if value is None else _settled(value)
    return None if at is None or isinstance(at.var, core.Literal) else at.frame.maker(at.var)


def _through_forms(value: _Value | None, forms: Sequence[str]) -> _Value | None:
    """The value behind operations that only change the form of an array."""
    while value is not None:
        at, step = _settled(value), _maker(value)
        if at is None or step is None or step.primitive.name not in forms:
            return at
        value = _Value(at.frame, step.invars[0])
    return None


def _called(step: core.JaxprEqn) -> core.Jaxpr | None:
    """The program of a call."""
    if step.primitive.name not in (*_CALLS, *_RULED):
        return None
    inner = next((step.params[name] for name in _PROGRAMS if name in step.params), None)
    return inner.jaxpr if isinstance(inner, core.ClosedJaxpr) else inner


def _place(among: Sequence[Any], var: Any) -> int | None:
    return next((i for i, each in enumerate(among) if each is var), None)


def _run(
    jaxpr: core.Jaxpr,
    consts: Sequence[Any],
    inputs: Sequence[Any],
    path: Sequence[_Frame],
    wanted: Any,
    found: Callable[[Any], None],
) -> list[Any]:
    """Run a program operation by operation, those on the path inside; ``found`` is called with the value wanted."""
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *inputs], strict=True))

    def read(var: Any) -> Any:
        return var.val if isinstance(var, core.Literal) else known[var]

    for step in jaxpr.eqns:
        values = [read(var) for var in step.invars]
        is_on_path = bool(path) and path[0].step is step
        if is_on_path:
            inner: core.ClosedJaxpr = next(step.params[name] for name in _PROGRAMS if name in step.params)
            outputs = _run(path[0].jaxpr, inner.consts, values, path[1:], wanted, found)
        else:
            bound = step.primitive.get_bind_params(step.params)
            functions, parameters = bound if isinstance(bound, tuple) else ((), bound)  # a pair until JAX 0.9
            answer = step.primitive.bind(*functions, *values, **parameters)
            outputs = answer if step.primitive.multiple_results else [answer]
        known.update(zip(step.outvars, outputs, strict=True))
    if not path:
        found(read(wanted))
    return [read(var) for var in jaxpr.outvars]
