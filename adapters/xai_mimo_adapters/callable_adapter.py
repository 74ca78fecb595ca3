"""Plain Python functions, partials and callable objects."""

import copy
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from xai_mimo.core.declare import declared_heads, declared_streams
from xai_mimo.core.door import check_inputs, count_rows
from xai_mimo.core.errors import BadValues, NotFinite, NotSupported, ShapeMismatch
from xai_mimo.core.method import bytes_per_row
from xai_mimo.core.model import Arrays
from xai_mimo.core.precision import warn_of_lost_digits
from xai_mimo.core.streams import Array, Head, Stream, check_unique, name_values
from xai_mimo_adapters.chunks import even_slices, rows_that_fit
from xai_mimo_adapters.functions import bind, check_modes, torch_modules

DEFAULT_MAX_MEMORY = 2**29
_WORKING_COPIES = 8
"""A function is taken to need this many times the memory of its inputs and outputs."""


class CallableAdapter:
    """A function from one array per stream to one array per head.

    The function is called with arrays ``(row, *shape)``: by name where its parameters have the names of the streams,
    else, where no name agrees, one positional argument per stream in declared order. It returns a mapping by head name,
    a list or tuple in declared order, or one array for one head; rows must not influence each other.

    A function has no dtype of its own: streams that are declared in a short form are handed over as float64, and as
    float32 to a function that cannot take that, such as one that asks a network of float32. A ``Stream`` has the dtype
    that it says.

    It has no gradients: none are made up by finite differences. Adapt the framework's own model for those.

    Args:
        function: any callable.
        streams: name -> ``Stream``, shape, number of features or feature names; or ``Stream`` objects.
        heads: name -> ``Head``, number of units or kind; or ``Head`` objects.
        max_memory: bytes that one call may take; decides how many rows it gets. 512 MiB by default.
    Raises:
        NotSupported: streams or heads are not declared, or it is a method of a network of PyTorch.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        streams: Mapping[str, Any] | Sequence[Stream] | None = None,
        heads: Mapping[str, Any] | Sequence[Head] | None = None,
        max_memory: int | None = None,
    ) -> None:
        if not streams or not heads:
            raise NotSupported(
                f"the {'streams' if not streams else 'heads'} of '{_label(function)}' cannot be read off a function. "
                "Name them, shapes without the batch axis: xai_mimo.adapt(f, streams={'sensors': (12,), 'age': 1}, "
                "heads={'risk': 'binary', 'hours': 1})."
            )
        self.function = function
        self._streams = declared_streams(streams, dtype="float64")
        self._free = _undeclared_dtypes(streams)
        self._heads = declared_heads(heads)
        self._max_memory = max_memory or DEFAULT_MAX_MEMORY
        check_unique([s.name for s in self._streams], "input stream")
        check_unique([h.name for h in self._heads], "head")
        self._binding = bind(function, [s.name for s in self._streams], _label(function))
        self._modules = torch_modules(function)
        if any(module is getattr(function, "__self__", None) for module in self._modules):
            raise NotSupported(
                f"'{_label(function)}' is a method of a network of PyTorch, which takes tensors; expected a function "
                "of arrays. Wrap it: xai_mimo.adapt(lambda sensors: model(torch.from_numpy(sensors)).detach().numpy(), "
                "streams={'sensors': (12,)}, heads={'risk': 1})."
            )

    @property
    def name(self) -> str:
        """What the function is called."""
        return _label(self.function)

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
        size = rows_that_fit(_WORKING_COPIES * one_row, self._max_memory)
        parts = [
            self._call({name: x[rows] for name, x in arrays.items()}, rows.start)
            for rows in even_slices(count_rows(arrays), size)
        ]
        if len(parts) == 1:
            return parts[0]
        # Not written into one array: a function may give another dtype for other rows.
        return {head.name: np.concatenate([part[head.name] for part in parts]) for head in self._heads}

    def renamed(self, streams: Sequence[Stream]) -> "CallableAdapter":
        """The same function with other words for its streams' features; see ``Renamable``."""
        other = copy.copy(self)
        other._streams = tuple(streams)
        return other

    def _call(self, arrays: Arrays, first: int) -> Arrays:
        outputs = self._answer(arrays)
        rows = count_rows(arrays)
        named = name_values(outputs, [h.name for h in self._heads], "head")
        return {head.name: _checked(named[head.name], head, rows, first) for head in self._heads}

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


def _checked(values: Any, head: Head, rows: int, first: int) -> Array:
    """One head's output as floats of the declared shape."""
    expected = (rows, *head.shape)
    array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)  # a tensor that may have a tape
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


def _label(function: Any) -> str:
    if isinstance(function, functools.partial):
        return _label(function.func)
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def _identity(function: Any) -> list[bytes]:
    """What is known of a function: its name, its code with the code inside it, and a partial's bound arguments."""
    if isinstance(function, functools.partial):
        bound = repr((function.args, sorted(function.keywords.items())))
        return [b"partial", bound.encode(), *_identity(function.func)]
    code = getattr(function, "__code__", None)
    if code is None:  # an object whose class defines how it is called
        code = getattr(type(function).__call__, "__code__", None)
    return [getattr(function, "__module__", "").encode(), f"'{_label(function)}'".encode(), *_code(code)]


def _code(code: Any) -> list[bytes]:
    if code is None:
        return []
    inner = [part for c in code.co_consts if hasattr(c, "co_code") for part in _code(c)]
    constants = [repr(c).encode() for c in code.co_consts if not hasattr(c, "co_code")]
    return [code.co_code, " ".join(code.co_names).encode(), *constants, *inner]
