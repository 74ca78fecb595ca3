"""Plain Python functions, partials and callable objects."""

import copy
import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from xai_mimo.core.declare import annotate_heads, declared_heads, declared_streams
from xai_mimo.core.door import check_inputs, count_rows
from xai_mimo.core.errors import BadValues, NotFinite, NotSupported, ShapeMismatch
from xai_mimo.core.from_data import first_rows, is_one_per_stream, streams_from
from xai_mimo.core.method import bytes_per_row
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.outputs import heads_from, named_outputs
from xai_mimo.core.precision import warn_of_lost_digits
from xai_mimo.core.streams import Array, Head, Stream, check_unique, name_values
from xai_mimo.core.tables import read_array
from xai_mimo_adapters.calls import Patience, in_threads
from xai_mimo_adapters.chunks import even_slices, rows_that_fit
from xai_mimo_adapters.functions import (
    bind,
    by_parameter,
    check_modes,
    check_parameters,
    label_of,
    names_for,
    torch_modules,
)
from xai_mimo_adapters.native import natively_adapted

DEFAULT_MAX_MEMORY = 2**29
_WORKING_COPIES = 8
"""A function is taken to need this many times the memory of its inputs and outputs."""


def CallableAdapter(
    function: Callable[..., Any],
    *,
    streams: Mapping[str, Any] | Sequence[Stream] | None = None,
    heads: Mapping[str, Any] | Sequence[Head] | None = None,
    max_memory: int | None = None,
    like: Any = None,
    concurrency: int = 1,
    retries: int = 0,
    wait: float = 0.5,
    timeout: float | None = None,
    rows_per_call: int | None = None,
) -> Model:
    """Adapt a function from one array per stream to one array per head.

    The function is called with arrays ``(row, *shape)``: by name where its parameters have the names of the streams;
    with all of them in one mapping (a list, where the data is one) where it has one parameter for several streams;
    else, where no name agrees, with one positional argument per stream in order. It returns a mapping by head name, a
    data class, a list or tuple in order, or one array; rows must not influence each other.

    What is not declared is read off the rows: streams by the keys of a mapping or the names of the parameters, columns
    of data frames as feature names (as streams, where they are the parameters), and heads by what the function answers
    to the first four rows. All such heads are quantities ("regression"): values do not tell what they mean, so that
    other kinds are declared.

    A function that computes with PyTorch, JAX or TensorFlow, and takes their tensors, is adapted as a function of that
    framework, which has gradients. Every other has none: none are made up by finite differences.

    A function has no dtype of its own: streams that are declared in a short form are handed over as float64, those
    that are read off the rows in the dtype of these, and either as float32 to a function that cannot take that, such
    as one that asks a network of float32. A ``Stream`` has the dtype that it says.

    A function that is slow or far away may be asked with patience: each row belongs to one call, and the order of the
    rows is kept whatever is answered first. Then the dtype is that of the streams, and no other is tried.

    Args:
        function: any callable.
        streams: name -> ``Stream``, shape, number of features or feature names; or ``Stream`` objects.
        heads: name -> ``Head``, number of units or kind; or ``Head`` objects. With ``like``, they annotate what the
            function answers.
        max_memory: bytes that one call may take; decides how many rows it gets. 512 MiB by default.
        like: rows, as ``explain`` takes them.
        concurrency: calls at a time, in threads. They share ``max_memory`` and the rows.
        retries: how often a call that failed is made again, whatever it raised.
        wait: seconds before the first of them; it doubles each time, up to 30 s.
        timeout: seconds that a call may take; None for any. A call that took longer is given up: it goes on by itself
            in its thread, and is made again as other failures are.
        rows_per_call: rows that a call may have; None for as many as memory holds.
    Raises:
        NotSupported: streams or heads are neither declared nor to be read off, or it is a method of a network of
            PyTorch. BadSetting: concurrency and the like are no numbers of that kind.

    Example:
        >>> model = CallableAdapter(lambda table: {"risk": table[:, 0]}, like={"table": [[1.0, 2.0]]})
        >>> model.streams[0].shape, model.heads[0].name
        ((2,), 'risk')
    """
    if like is None and (not streams or not heads):
        raise NotSupported(
            f"the {'heads' if streams else 'streams'} of '{label_of(function)}' cannot be read off a function. "
            "Name them, shapes without the batch axis: xai_mimo.adapt(f, streams={'sensors': (12,), 'age': 1}, "
            "heads={'risk': 'binary', 'hours': 1}); or give rows to read them off: xai_mimo.adapt(f, like=x)."
        )
    patience = Patience(concurrency, retries, wait, timeout, rows_per_call)
    if not patience.is_asked_for:
        native = natively_adapted(function, streams=streams, heads=heads, max_memory=max_memory, like=like)
        if native is not None:
            return native
    return ArrayFunction(function, streams=streams, heads=heads, max_memory=max_memory, like=like, patience=patience)


class ArrayFunction:
    """A function of arrays as a model without gradients; see ``CallableAdapter``, which makes it.

    Args:
        function, streams, heads, max_memory, like: see there.
        patience: how it is asked.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        streams: Mapping[str, Any] | Sequence[Stream] | None,
        heads: Mapping[str, Any] | Sequence[Head] | None,
        max_memory: int | None,
        like: Any,
        patience: Patience,
    ) -> None:
        self.function = function
        self._patience = patience
        self._max_memory = max_memory or DEFAULT_MAX_MEMORY
        self._modules = torch_modules(function)
        if getattr(function, "__name__", "") == "forward" and getattr(function, "__self__", None) in self._modules:
            raise NotSupported(
                f"'{self.name}' is a method of a network of PyTorch, which takes tensors; expected a function "
                "of arrays. Wrap it: xai_mimo.adapt(lambda sensors: model(torch.from_numpy(sensors)).detach().numpy(), "
                "streams={'sensors': (12,)}, heads={'risk': 1})."
            )
        rows = None if like is None else first_rows(like)
        if not streams:
            rows = by_parameter(function, rows)
            self._streams = streams_from(rows, parameters=names_for(function, rows))
            self._free = frozenset(s.name for s in self._streams if s.dtype == "float64")
        else:
            self._streams = declared_streams(streams, dtype="float64")
            self._free = _undeclared_dtypes(streams)
        if patience.is_asked_for:
            self._free = frozenset()
        check_unique([s.name for s in self._streams], "input stream")
        names = [s.name for s in self._streams]
        is_list = isinstance(rows, list | tuple) and is_one_per_stream(rows)
        self._binding = bind(function, names, self.name, together="list" if is_list else "mapping")
        self._answers: dict[str, str] = {}
        if rows is None:
            self._heads = declared_heads(heads or ())
        else:
            if not streams:
                check_parameters(function, self._binding, self.name)
            seen = self._seen_heads(check_inputs(rows, self._streams))
            self._heads = annotate_heads(seen, heads or None)
            self._answers = {head.name: read.name for head, read in zip(self._heads, seen, strict=True)}
        check_unique([h.name for h in self._heads], "head")

    def _seen_heads(self, rows: Arrays) -> tuple[Head, ...]:
        """Heads as the function's answer to some rows describes them."""
        check_modes(self._modules, self.name)
        answer = named_outputs(self._ask(rows, slice(0, count_rows(rows))))
        arrays = {name: read_array(values, f"output '{name}' of '{self.name}'") for name, values in answer.items()}
        return heads_from(arrays, count_rows(rows))

    @property
    def name(self) -> str:
        """What the function is called."""
        return label_of(self.function)

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The named inputs, as declared."""
        return self._streams

    @property
    def heads(self) -> tuple[Head, ...]:
        """The named outputs, as declared."""
        return self._heads

    def fingerprint(self) -> str:
        """SHA-256 over the function's qualified name, compiled code and constants.

        Weak: data that the function reads from elsewhere (closures, globals, attributes) is not seen.
        """
        digest = hashlib.sha256()
        for part in _identity(self.function):
            digest.update(part + b"\0")
        return digest.hexdigest()

    def predict(self, inputs: Any) -> Arrays:
        """Outputs ``{head: (sample, *head.shape)}``, called in chunks of rows.

        Raises:
            UnknownName, ShapeMismatch: the function returned other heads or shapes than declared.
            BadValues: it returned something that is not a number, NaN or infinity.
            NotSupported: it asks a network of PyTorch that is in training mode.
        """
        arrays = check_inputs(inputs, self._streams)
        check_modes(self._modules, self.name)
        one_row = bytes_per_row(arrays) + 8 * sum(head.size for head in self._heads)
        fitting = rows_that_fit(_WORKING_COPIES * one_row, self._max_memory)
        slices = list(even_slices(count_rows(arrays), self._patience.rows_at_once(fitting, count_rows(arrays))))
        calls = [functools.partial(self._call, arrays, rows) for rows in slices]
        if self._patience.concurrency == 1:
            parts = [call() for call in calls]
        else:
            parts = in_threads(calls, min(self._patience.concurrency, len(calls)))
        if len(parts) == 1:
            return parts[0]
        # Not written into one array: a function may give another dtype for other rows.
        return {head.name: np.concatenate([part[head.name] for part in parts]) for head in self._heads}

    def renamed(self, streams: Sequence[Stream]) -> "ArrayFunction":
        """The same function with other words for its streams' features; see ``Renamable``."""
        other = copy.copy(self)
        other._streams = tuple(streams)
        return other

    def _call(self, arrays: Arrays, rows: slice) -> Arrays:
        answer = self._ask({name: x[rows] for name, x in arrays.items()}, rows)
        named = self._by_head(answer)
        return {head.name: _checked(named[head.name], head, rows.stop - rows.start, rows.start) for head in self._heads}

    def _by_head(self, answer: Any) -> dict[str, Any]:
        """What the function returned by the names of the heads, which the user may have renamed."""
        if self._answers:
            named = name_values(named_outputs(answer), list(self._answers.values()), "head")
            return {name: named[read] for name, read in self._answers.items()}
        values = named_outputs(answer) if dataclasses.is_dataclass(answer) else answer
        return name_values(values, [h.name for h in self._heads], "head")

    def _ask(self, arrays: Arrays, rows: slice) -> Any:
        if not self._patience.is_asked_for:
            return self._answer(arrays)
        return self._patience.ask(lambda: self._answer(arrays), f"'{self.name}'", rows)

    def _answer(self, arrays: Arrays) -> Any:
        """What the function returns, in the widest dtype that it takes.

        Which that is is seen in every call, so that no answer depends on the calls before. A function may write into
        what it is given: that is a copy.
        """
        try:
            return self._binding.call(self.function, {name: x.copy() for name, x in arrays.items()})
        except Exception as err:  # whatever a framework says to a dtype that its weights have not
            if not self._free:
                raise
            narrow = self._narrow(arrays)
            try:
                return self._binding.call(self.function, narrow)
            except Exception:
                raise err from None

    def _narrow(self, arrays: Arrays) -> Arrays:
        with np.errstate(over="ignore"):
            narrow = {name: x.astype(np.float32) if name in self._free else x for name, x in arrays.items()}
        for stream in self._streams:
            if stream.name in self._free:
                before, after = arrays[stream.name], narrow[stream.name]
                warn_of_lost_digits(before, after, stream.features, f"input stream '{stream.name}'")
                if not np.isfinite(after).all():
                    raise BadValues(
                        f"input stream '{stream.name}' has values too large for float32, which is what "
                        f"'{self.name}' takes; rescale them."
                    )
        return narrow


def _undeclared_dtypes(streams: Mapping[str, Any] | Sequence[Stream]) -> frozenset[str]:
    """Streams whose declaration says nothing of a dtype."""
    if not isinstance(streams, Mapping):
        return frozenset()
    return frozenset(name for name, form in streams.items() if not isinstance(form, Stream))


MODELS = {"a plain function of arrays": ArrayFunction}
"""Kinds of models that it takes, in words, and the class that each is adapted to; ``xai-mimo doctor`` shows them."""


def _checked(values: Any, head: Head, rows: int, first: int) -> Array:
    """One head's output as floats of the declared shape."""
    expected = (rows, *head.shape)
    is_tensor = hasattr(values, "detach")  # of PyTorch, perhaps with a tape, or of a dtype that NumPy has not
    array = read_array(values, f"head '{head.name}'") if is_tensor else np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise BadValues(f"the function gave dtype {array.dtype} for head '{head.name}'; expected numbers.")
    one_value = head.size == 1 and array.shape == (rows,)
    if array.shape != expected and not one_value:
        raise ShapeMismatch(
            f"the function gave shape {array.shape} for head '{head.name}'; expected {expected}: one row per input "
            "row. Correct the function, or declare the head's shape."
        )
    if array.dtype.kind != "f" or array.dtype.itemsize < 4:
        array = array.astype(np.float32 if array.dtype.kind == "f" else np.float64)
    if not np.isfinite(array).all():
        row = first + int(np.argwhere(~np.isfinite(array))[0][0])
        raise NotFinite(
            f"the function gave NaN or infinity for head '{head.name}', first in row {row}.", head.name, row
        )
    return array.reshape(expected).copy()  # it may be a buffer that the function's next call writes into


def _identity(function: Any) -> list[bytes]:
    """What is known of a function: its name, its code with the code inside it, and a partial's bound arguments."""
    if isinstance(function, functools.partial):
        bound = repr((function.args, sorted(function.keywords.items())))
        return [b"partial", bound.encode(), *_identity(function.func)]
    code = getattr(function, "__code__", None)
    if code is None:  # an object whose class defines how it is called
        code = getattr(type(function).__call__, "__code__", None)
    return [(getattr(function, "__module__", "") or "").encode(), f"'{label_of(function)}'".encode(), *_code(code)]


def _code(code: Any) -> list[bytes]:
    if code is None:
        return []
    inner = [part for c in code.co_consts if hasattr(c, "co_code") for part in _code(c)]
    constants = [repr(c).encode() for c in code.co_consts if not hasattr(c, "co_code")]
    return [code.co_code, " ".join(code.co_names).encode(), *constants, *inner]
