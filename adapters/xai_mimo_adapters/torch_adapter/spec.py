"""What a torch model is: streams from the data or as declared, heads from one call on a few rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from xai_mimo.core.declare import annotate_heads, annotate_streams, declared_streams
from xai_mimo.core.door import check_inputs, count_rows
from xai_mimo.core.errors import NotSupported, ShapeMismatch, XaiMimoError
from xai_mimo.core.from_data import first_rows, streams_from
from xai_mimo.core.model import Arrays
from xai_mimo.core.outputs import heads_from, named_outputs
from xai_mimo.core.streams import Head, Stream, check_unique
from xai_mimo_adapters.functions import Binding, parameters_of
from xai_mimo_adapters.torch_adapter.axes import with_axes
from xai_mimo_adapters.torch_adapter.calls import Call, Callee, Tensors, on, to_array, ways_to_call
from xai_mimo_adapters.torch_adapter.kinds import seen_kind
from xai_mimo_adapters.torch_adapter.reading import differentiating, reading

_NARROW = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Spec:
    """A model's streams and heads, and how to call it.

    Attributes:
        streams: the model's own name of each input -> the stream, under the name the user chose.
        heads: the model's own name of each output -> the head, likewise.
        call: own name -> tensor to own name -> tensor. plain: the same without compilation.
        dtypes: what floats are turned into for the model, by own name of the input.
        rows: the few rows that the model was asked, by own name.
        binding: how it is handed its streams.
    """

    streams: Mapping[str, Stream]
    heads: Mapping[str, Head]
    call: Call
    plain: Call
    dtypes: Mapping[str, torch.dtype]
    rows: Arrays
    binding: Binding

    def renamed(self, streams: Sequence[Stream]) -> "Spec":
        """The same under other descriptions of the streams."""
        return replace(self, streams=dict(zip(self.streams, streams, strict=True)))

    def of(self, callee: Callee) -> "Spec":
        """The same of another model of this class."""
        call = _checked_call(callee, callee.function, self.binding, self.heads)
        return replace(self, call=call, plain=call)


def read_model(callee: Callee, streams: Any, heads: Any, like: Any) -> Spec:
    """Read streams off data or a declaration, and heads off the answer to the first rows (of zeros without data).

    Raises:
        NotSupported: there is neither data nor a declaration, or the model does not take or give tensors.
        ShapeMismatch, BadValues: an output has no batch axis, or no numbers.
    """
    callee.check()
    if callee.dtype is not None:
        return _read(callee, streams, heads, like, callee.dtype)
    try:
        return _read(callee, streams, heads, like, None)
    except NotSupported:  # floats of the data's own dtype, where there are no weights to have another
        return _read(callee, streams, heads, like, torch.float32)


def _read(callee: Callee, streams: Any, heads: Any, like: Any, wanted: torch.dtype | None) -> Spec:
    read = _read_streams(callee, streams, like, None if wanted is None else _border(wanted))
    named = tuple(with_axes(stream, callee.modules) for stream in annotate_streams(read, streams))
    check_unique([s.name for s in named], "input stream")
    dtypes = {s.name: wanted if wanted and "float" in s.dtype else _torch_dtype(s.dtype) for s in read}
    rows = _rows(callee, named, like)
    inner = {own.name: rows[stream.name] for own, stream in zip(read, named, strict=True)}
    binding, answer = _first_answer(callee, inner, dtypes)
    answer = _of_rows(answer, count_rows(inner), heads)
    kinds = {name: kind for name, y in answer.items() if (kind := seen_kind(y)) is not None}
    read_heads = heads_from({name: to_array(y) for name, y in answer.items()}, count_rows(inner), kinds=kinds)
    by_own = dict(zip(answer, annotate_heads(read_heads, heads), strict=True))
    return Spec(
        streams={own.name: stream for own, stream in zip(read, named, strict=True)},
        heads=by_own,
        call=_checked_call(callee, callee.function, binding, by_own),
        plain=_checked_call(callee, callee.shown or callee.function, binding, by_own),
        dtypes=dtypes,
        rows=inner,
        binding=binding,
    )


def _of_rows(answer: Tensors, rows: int, heads: Any) -> Tensors:
    """The outputs that are heads: all, or where ``heads`` names some, these and what else has real values for each row;
    whole numbers that a model hands on, such as lengths, are none of its answers."""
    named = [h if isinstance(h, str) else getattr(h, "name", "") for h in heads or ()]
    if not named or not set(named) <= set(answer):
        return answer
    by_row = {name for name, y in answer.items() if y.ndim and y.shape[0] == rows and y.is_floating_point()}
    return {name: y for name, y in answer.items() if name in named or name in by_row}


def _border(dtype: torch.dtype) -> str:
    """The dtype in which floats come in: NumPy has no bfloat16, and half precision would round the data twice."""
    return "float32" if dtype in _NARROW else str(dtype).removeprefix("torch.")


def _torch_dtype(dtype: str) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype)).dtype


def _read_streams(callee: Callee, streams: Any, like: Any, float_dtype: str | None) -> tuple[Stream, ...]:
    if like is not None:
        return streams_from(like, parameters=parameters_of(callee.forward), float_dtype=float_dtype)
    if streams is None:
        raise NotSupported(
            f"the input streams of '{callee.label}' cannot be read off it: a torch model does not say what it takes. "
            "Give rows, xai_mimo.adapt(model, like=x), or name them, shapes without the batch axis: "
            "xai_mimo.adapt(model, streams={'sensors': (12,), 'tokens': Stream('tokens', (20,), dtype='int64')})."
        )
    return declared_streams(streams, dtype=float_dtype or "float32")


def _rows(callee: Callee, streams: Sequence[Stream], like: Any) -> Arrays:
    """A few rows, by the streams' names; as many as the model takes where that is fixed."""
    count = callee.rows or 4
    if like is not None:
        rows = check_inputs(first_rows(like, count), streams)
    else:
        rows = {s.name: np.zeros((2, *(1 if n is None else n for n in s.shape)), s.dtype) for s in streams}
    if callee.rows is not None:
        rows = {name: np.resize(x, (callee.rows, *x.shape[1:])) for name, x in rows.items()}
    return rows


def _first_answer(callee: Callee, rows: Arrays, dtypes: Mapping[str, torch.dtype]) -> tuple[Binding, Tensors]:
    """The first way of calling that works, and its answer with the graph that made it."""
    first: Exception | None = None
    with (
        reading(callee.modules, callee.device),
        differentiating(callee.modules, callee.device),
        torch.jit.optimized_execution(False),  # code that was fused does not show its last operation
    ):
        given = {name: x.requires_grad_(x.is_floating_point()) for name, x in on(callee.device, rows).items()}
        for binding in ways_to_call(callee, rows):
            try:
                tensors = {name: x.clone().to(dtypes[name]) for name, x in given.items()}
                answer = binding.call(callee.shown or callee.function, tensors)
            except XaiMimoError:
                raise
            except Exception as err:  # whatever a module says to inputs that it does not take
                first = first or err
                continue
            return binding, _tensors(callee, answer)
    raise _refused(callee, rows, dtypes, first) from first


def _refused(callee: Callee, rows: Arrays, dtypes: Mapping[str, torch.dtype], err: Exception | None) -> NotSupported:
    shapes = ", ".join(f"{name} {x.shape} {str(dtypes[name]).removeprefix('torch.')}" for name, x in rows.items())
    parameters = parameters_of(callee.forward)
    takes, cause = ", ".join(parameters) or "any arguments", str(err).strip().rstrip(".")
    has_all = bool(parameters) and set(parameters) <= set(rows)
    remedy = (
        "It has them all; are the rows of the shape that it reads, the batch axis first?"
        if has_all
        else "Give every tensor that it needs, under the name of its parameter: x={'sensors': ..., 'mask': ...}."
    )
    return NotSupported(
        f"'{callee.label}' does not take the streams ({shapes}): {type(err).__name__}: {cause}. Its parameters are "
        f"{takes}. {remedy}"
    )


def _tensors(callee: Callee, answer: Any) -> Tensors:
    outputs = named_outputs(answer)
    strange = {name: type(y).__name__ for name, y in outputs.items() if not isinstance(y, torch.Tensor)}
    if strange:
        name, kind = next(iter(strange.items()))
        raise NotSupported(
            f"'{callee.label}' gives a {kind} as output '{name}'; expected tensors. A function of arrays is adapted "
            "with its streams and heads named."
        )
    return outputs


def _checked_call(callee: Callee, function: Callable[..., Any], binding: Binding, heads: Mapping[str, Head]) -> Call:
    """The model as a call of named tensors, whose answer has the shape that it had at first."""

    def call(tensors: Tensors) -> Tensors:
        rows = next(iter(tensors.values())).shape[0]
        outputs = _tensors(callee, binding.call(function, tensors))
        if not set(heads) <= set(outputs):
            raise ShapeMismatch(
                f"'{callee.label}' gave the outputs {', '.join(outputs)} for {rows} rows, and {', '.join(heads)} when "
                "it was adapted; expected the same for all rows."
            )
        for name, head in heads.items():
            if tuple(outputs[name].shape) != (rows, *head.shape):
                raise ShapeMismatch(
                    f"'{callee.label}' gave shape {tuple(outputs[name].shape)} for head '{head.name}'; expected "
                    f"{(rows, *head.shape)}: one row per input row, of the shape that it had when it was adapted."
                )
        return outputs

    return call
