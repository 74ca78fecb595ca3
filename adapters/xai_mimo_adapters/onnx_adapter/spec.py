"""What a session says of its model, and what rows of zeros or of the user's tell: streams, heads, a fixed batch."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xai_mimo.core.declare import annotate_heads, annotate_streams
from xai_mimo.core.door import check_inputs, count_rows
from xai_mimo.core.errors import LeftOutWarning, NotSupported
from xai_mimo.core.from_data import first_rows
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import RESERVED, Array, Head, Stream
from xai_mimo_adapters.onnx_adapter.kinds import Seen, kind_seen
from xai_mimo_adapters.onnx_adapter.loading import Loaded

_DTYPES = {
    "float": "float32",
    "double": "float64",
    **{name: name for name in ("float16", "int8", "int16", "int32", "int64")},
    **{name: name for name in ("uint8", "uint16", "uint32", "uint64", "bool")},
}
_PROBE_LENGTHS = (16, 12)
"""Axes of any length are tried with these."""
_PROBE_ROWS = 3
_MAPS = ("seq(map(int64,tensor(float)))", "seq(map(string,tensor(float)))")
"""One mapping from class to number per row, as exporters of scikit-learn write probabilities (ZipMap)."""


@dataclass(frozen=True)
class Spec:
    """A model's streams and heads, and how many rows it takes.

    Attributes:
        streams: the model's own name of each input -> the stream, under the name the user chose.
        heads: the model's own name of each output -> the head, likewise.
        batch: how many rows every call has; None for any number.
    """

    streams: Mapping[str, Stream]
    heads: Mapping[str, Head]
    batch: int | None


def read_spec(loaded: Loaded, what: str, streams: Any, heads: Any, like: Any) -> Spec:
    """Read a model.

    Args:
        loaded: the model. what: it is called, for error texts.
        streams, heads: as declared by the user, or None.
        like: rows to probe it with, in any form; None for zeros.
    Raises:
        NotSupported: an input or output that is no array of numbers with one row per row.
    """
    inputs = loaded.session.get_inputs()
    read = tuple(_stream(node, what) for node in inputs)
    batch = _fixed_batch(inputs, what)
    named = annotate_streams(read, streams)
    by_input = dict(zip((node.name for node in inputs), named, strict=True))
    shapes = _shapes(loaded.session, by_input, batch, like, what)
    kept = [node for node in loaded.session.get_outputs() if _is_kept(node, loaded.session, what, heads)]
    found = tuple(_head(loaded, node, shapes[node.name]) for node in kept)
    return Spec(by_input, dict(zip((node.name for node in kept), annotate_heads(found, heads), strict=True)), batch)


def ask(session: Any, outputs: Mapping[str, tuple[str, ...]], feeds: Arrays) -> Arrays:
    """What a model answers, in arrays.

    Args:
        session: of it.
        outputs: names of outputs, with the keys of those that give a mapping for each row.
        feeds: ``{input: (row, *shape)}``.
    """
    values = session.run(list(outputs), {name: np.ascontiguousarray(x) for name, x in feeds.items()})
    return {
        name: _from_maps(value, units) if isinstance(value, list) else np.asarray(value)
        for (name, units), value in zip(outputs.items(), values, strict=True)
    }


def _from_maps(rows: list[Any], units: tuple[str, ...]) -> Array:
    by_name = [{str(key): number for key, number in row.items()} for row in rows]
    names = units or (tuple(by_name[0]) if by_name else ())
    return np.array([[row[name] for name in names] for row in by_name], dtype=np.float32)


def _stream(node: Any, what: str) -> Stream:
    dtype = _dtype(node.type)
    if dtype == "string":
        raise NotSupported(
            f"input '{node.name}' of {what} holds strings, which no method replaces by others; expected numbers. "
            "Export the part behind the encoding of the text, and give it ids or the encoded columns."
        )
    if dtype not in _DTYPES.values():
        raise NotSupported(
            f"input '{node.name}' of {what} is of type {node.type}; expected an array of numbers that NumPy has. "
            "Export the model with inputs of float32 or int64."
        )
    if not node.shape:
        raise NotSupported(
            f"input '{node.name}' of {what} has no axes, so it has no rows: it is a setting of the whole batch. Export "
            "the model with this value fixed."
        )
    name = f"{node.name}_in" if node.name in RESERVED else node.name
    return Stream(name, tuple(n if isinstance(n, int) else None for n in node.shape[1:]), dtype)


def _dtype(kind: str) -> str:
    inner = kind.removeprefix("tensor(").removesuffix(")") if kind.startswith("tensor(") else kind
    return _DTYPES.get(inner, inner)


def _fixed_batch(inputs: list[Any], what: str) -> int | None:
    fixed = {node.name: node.shape[0] for node in inputs if isinstance(node.shape[0], int)}
    if len(set(fixed.values())) > 1:
        raise NotSupported(
            f"the inputs of {what} have first axes of different fixed lengths ({fixed}), so they do not all hold one "
            "row per row. Export it with one batch axis, the first of every input."
        )
    return next(iter(fixed.values()), None)


def _is_kept(node: Any, session: Any, what: str, heads: Any) -> bool:
    """Whether an output is a head; others are left out with a warning, or refused where nothing is left."""
    dtype, outputs = _dtype(node.type), session.get_outputs()
    if node.type in _MAPS or dtype.startswith("float"):
        return True
    is_number = dtype in _DTYPES.values()
    is_named = node.name in (heads if isinstance(heads, Mapping) else [h.name for h in heads or ()])
    others = [o.name for o in outputs if o.type in _MAPS or _dtype(o.type).startswith("float")]
    if is_number and (is_named or not others):
        return True
    if not others:
        raise NotSupported(
            f"output '{node.name}' of {what} is of type {node.type}; expected numbers. Export it with the scores that "
            "this is made from as outputs."
        )
    holds = f"whole numbers ({dtype}), such as ids of classes" if is_number else f"values of type {node.type}"
    mend = f"To keep it, name it: heads={{'{node.name}': 1, ...}}." if is_number else "Its scores are heads."
    warnings.warn(
        f"output '{node.name}' of {what} gives {holds}, whose differences mean nothing, and is left out. {mend}",
        LeftOutWarning,
        stacklevel=2,
    )
    return False


def _head(loaded: Loaded, node: Any, probed: tuple[tuple[int, ...], tuple[str, ...]]) -> Head:
    shape, keys = probed
    seen = kind_seen(loaded.proto, node.name, shape)
    if keys and not seen.kind_from:
        seen = Seen("multiclass", "a number for each class (ZipMap)", "", keys)
    units = seen.units if set(seen.units) == set(keys) or not keys else keys
    return Head(node.name, shape, seen.kind, units, seen.unit, seen.kind_from)


def _shapes(
    session: Any, streams: Mapping[str, Stream], batch: int | None, like: Any, what: str
) -> dict[str, tuple[tuple[int, ...], tuple[str, ...]]]:
    """For each output its shape without the batch axis, and the keys of an output of mappings.

    Rows of zeros are asked, or those given; not where a row's length is free, for which zeros of some length may mean
    nothing, and every output has its shape declared.
    """
    outputs = {node.name: node for node in session.get_outputs()}
    declared = {
        name: tuple(node.shape[1:])
        for name, node in outputs.items()
        if node.type not in _MAPS and node.shape and all(isinstance(n, int) for n in node.shape[1:])
    }
    is_open = any(n is None for stream in streams.values() for n in stream.shape)
    if like is None and is_open and len(declared) == len(outputs):
        return {name: (shape, ()) for name, shape in declared.items()}
    if like is not None:
        rows = _by_input(like, streams)
        return _probed(session, rows, batch, what, "the rows given")
    zeros = [_zeros(streams, batch or _PROBE_ROWS, length) for length in _PROBE_LENGTHS[: 2 if is_open else 1]]
    tries = [_probed(session, rows, batch, what, _in_words(rows)) for rows in zeros]
    for name, (shape, _) in tries[0].items():
        if any(other[name][0] != shape for other in tries):
            raise NotSupported(
                f"output '{name}' of {what} has an axis whose length depends on the input, so its units cannot be "
                "counted. Give rows of the length that you will explain: xai_mimo.adapt(model, like=x)."
            )
    return tries[0]


def _by_input(rows: Any, streams: Mapping[str, Stream]) -> Arrays:
    arrays = check_inputs(first_rows(rows, _PROBE_ROWS), tuple(streams.values()))
    return {name: arrays[stream.name] for name, stream in streams.items()}


def _zeros(streams: Mapping[str, Stream], rows: int, length: int) -> Arrays:
    return {name: np.zeros((rows, *(n or length for n in s.shape)), s.dtype) for name, s in streams.items()}


def _in_words(rows: Arrays) -> str:
    return "zeros of shape " + ", ".join(f"{x.shape} for '{name}'" for name, x in rows.items())


def _probed(
    session: Any, rows: Arrays, batch: int | None, what: str, given: str
) -> dict[str, tuple[tuple[int, ...], tuple[str, ...]]]:
    count = batch or count_rows(rows)
    feeds = {name: np.resize(x, (count, *x.shape[1:])) for name, x in rows.items()}
    names = [node.name for node in session.get_outputs()]
    try:
        values = session.run(names, feeds)
    except Exception as err:  # its errors have no root of their own
        raise NotSupported(
            f"{what} does not run on {given}: {' '.join(str(err).split())} Give rows of your data, of which it is told "
            "the lengths of its axes: xai_mimo.adapt(model, like=x)."
        ) from err
    return {name: _shape(name, value, count, what) for name, value in zip(names, values, strict=True)}


def _shape(name: str, value: Any, rows: int, what: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
    keys = tuple(map(str, value[0])) if isinstance(value, list) and value and isinstance(value[0], Mapping) else ()
    shape = (len(value), len(keys)) if keys else np.shape(value)
    if not shape or shape[0] != rows:
        raise NotSupported(
            f"output '{name}' of {what} has shape {shape} for {rows} rows; expected one row for each. Export it "
            "without what joins rows (a mean or a sum over the batch), or with the batch axis first."
        )
    return tuple(shape[1:]), keys
