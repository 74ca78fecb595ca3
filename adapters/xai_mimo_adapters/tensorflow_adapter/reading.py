"""Streams and heads of a model of TensorFlow: from its signature, the declaration or the rows given, and one trace."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from xai_mimo.core.declare import annotate_streams, declared_streams
from xai_mimo.core.door import check_inputs, count_rows
from xai_mimo.core.errors import NotSupported
from xai_mimo.core.from_data import first_rows, streams_from
from xai_mimo.core.model import Arrays
from xai_mimo.core.outputs import heads_from
from xai_mimo.core.streams import Array, Head, Stream, check_unique
from xai_mimo_adapters.chunks import border_dtype
from xai_mimo_adapters.tensorflow_adapter.network import Network
from xai_mimo_adapters.tensorflow_adapter.source import Source

_PROBE_LENGTHS = (16, 12)
"""Axes of any length are tried with these."""
_PROBE_ROWS = 3


Read = tuple[tuple[Stream, ...], tuple[Head, ...], Network, int | None]


def read(source: Source, streams: Mapping[str, Any] | Sequence[Stream] | None, like: Any) -> Read:
    """Streams, heads as the model names them, its graphs, and how many rows every call has (None for any number).

    Args:
        source: the model. streams: as declared, or None. like: rows, or None.
    Raises:
        NotSupported: streams that cannot be read off, or are no numbers in one row per row.
    """
    dtype, *others = _float_dtypes(source) if source.specs is None and streams is None else (None,)
    try:
        return _read(source, streams, like, dtype)
    except NotSupported as err:
        for other in others:  # a function does not tell what its weights are
            with contextlib.suppress(NotSupported):
                return _read(source, streams, like, other)
        raise err


def _read(source: Source, streams: Any, like: Any, float_dtype: str | None) -> Read:
    named, specs = _streams(source, streams, like, float_dtype)
    check_unique([s.name for s in named], "input stream")
    batch = _fixed_batch(specs)
    is_list = isinstance(like, list | tuple)
    together: Literal["mapping", "list"] = "list" if is_list and streams is None else "mapping"
    call, plain = source.calls([s.name for s in named], together)
    rows = _rows(named, like, batch, _PROBE_LENGTHS[0])
    network = Network(source, call, plain, specs, rows, batch)
    answers = _answer(network, rows)
    if like is None and any(n is None for s in named for n in s.shape):
        _check_lengths(source, answers, _answer(network, _rows(named, None, batch, _PROBE_LENGTHS[1])))
    kinds = {}
    for name, values in answers.items():
        seen = network.program.kind_seen(network.tensor_of(name), int(np.prod(values.shape[1:], dtype=np.int64)))
        if seen is not None:
            kinds[name] = seen
    return named, heads_from(answers, count_rows(rows), kinds=kinds), network, batch


def _streams(
    source: Source, streams: Any, like: Any, float_dtype: str | None
) -> tuple[tuple[Stream, ...], dict[str, tf.TensorSpec]]:
    specs = source.specs
    if specs is not None and all(spec.shape.rank is not None for spec in specs.values()):
        named = annotate_streams(tuple(_stream(name, spec, source) for name, spec in specs.items()), streams)
        return named, dict(zip((s.name for s in named), specs.values(), strict=True))
    if streams is not None:
        named = declared_streams(streams)
    elif like is not None:
        names = tuple(specs) if specs is not None else source.parameters
        named = streams_from(like, parameters=names, float_dtype=float_dtype)
    else:
        raise NotSupported(
            f"the inputs of '{source.label}' cannot be read off, because it has no signature. Name them, shapes "
            "without the batch axis: xai_mimo.adapt(model, streams={'sensors': (12,), 'tokens': Stream('tokens', "
            "(20,), dtype='int32')}), or give rows of your data: xai_mimo.adapt(model, like=x)."
        )
    if specs is not None and len(named) != len(specs):
        raise NotSupported(
            f"'{source.label}' takes {len(specs)} tensors ({', '.join(specs)}); got {len(named)} streams."
        )
    return named, {s.name: tf.TensorSpec([None, *s.shape], s.dtype) for s in named}


def _float_dtypes(source: Source) -> tuple[str | None, ...]:
    """Dtypes of floats to try: that of a module's weights where they have one; else float32, then the data's own."""
    variables = () if source.owner is None else source.owner.variables
    dtypes = {v.dtype.name for v in variables if v.dtype.is_floating}
    known = dtypes.pop() if len(dtypes) == 1 and dtypes <= {"float32", "float64", "float16"} else None
    return ("float32", None) if known is None else (known,)


def _stream(name: str, spec: tf.TensorSpec, source: Source) -> Stream:
    dtype = spec.dtype.name
    if not (spec.dtype.is_floating or spec.dtype.is_integer or spec.dtype.is_bool):
        raise NotSupported(
            f"input '{name}' of '{source.label}' holds {dtype}; expected numbers. Give the part behind the encoding of "
            "text, which takes ids or the encoded columns."
        )
    if not spec.shape.rank:
        raise NotSupported(
            f"input '{name}' of '{source.label}' has no axes, so it has no rows: it is a setting of the whole batch. "
            "Give a function in which this value is fixed."
        )
    return Stream(name, tuple(spec.shape.as_list()[1:]), "float32" if dtype == "bfloat16" else dtype)


def _fixed_batch(specs: Mapping[str, tf.TensorSpec]) -> int | None:
    fixed = {name: spec.shape[0] for name, spec in specs.items() if spec.shape[0] is not None}
    if len(set(fixed.values())) > 1:
        raise NotSupported(
            f"the inputs have first axes of different fixed lengths ({fixed}), so they do not all hold one row per "
            "row. Give a signature with one batch axis, the first of every input."
        )
    return next(iter(fixed.values()), None)


def _rows(streams: Sequence[Stream], like: Any, batch: int | None, length: int) -> Arrays:
    """Rows to probe with: the first of those given, else zeros."""
    if like is None:
        count = batch or _PROBE_ROWS
        return {s.name: np.zeros((count, *(n or length for n in s.shape)), s.dtype) for s in streams}
    arrays = check_inputs(first_rows(like, batch or _PROBE_ROWS), streams)
    count = batch or count_rows(arrays)
    return {name: np.resize(x, (count, *x.shape[1:])) for name, x in arrays.items()}


def _answer(network: Network, rows: Arrays) -> Arrays:
    answers = network.forward(rows)
    return {name: _plain(answers[name]) for name in network.outputs}


def _plain(values: Array) -> Array:
    return values.astype(border_dtype(values), copy=False)


def _check_lengths(source: Source, one: Arrays, other: Arrays) -> None:
    for name, values in one.items():
        if values.shape[1:] != other[name].shape[1:]:
            raise NotSupported(
                f"output '{name}' of '{source.label}' has an axis whose length depends on the input, so its units "
                "cannot be counted. Give rows of the length that you will explain: xai_mimo.adapt(model, like=x)."
            )
