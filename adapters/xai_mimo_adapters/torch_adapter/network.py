"""A torch model as a model of named streams and heads: run on chunks of rows, all heads from one forward pass."""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Self

import numpy as np
import torch

from xai_mimo.core.digest import digest
from xai_mimo.core.door import check_inputs, count_rows
from xai_mimo.core.errors import NotSupported, ShapeMismatch
from xai_mimo.core.model import Arrays, Interceptions, instead_of_integers
from xai_mimo.core.streams import Array, Head, Stream, unknown
from xai_mimo.core.targets import Selector
from xai_mimo.sowing import MapLabels
from xai_mimo_adapters.chunks import border_dtype, check_float, even_slices, padded_rows, put, rows_that_fit
from xai_mimo_adapters.torch_adapter.calls import Call, Callee, Tensors, on, to_array
from xai_mimo_adapters.torch_adapter.links import before_links
from xai_mimo_adapters.torch_adapter.maps import checked_maps, interceptions, overriding, read_maps
from xai_mimo_adapters.torch_adapter.memory import bytes_of_a_row
from xai_mimo_adapters.torch_adapter.reading import differentiating, reading

DEFAULT_MAX_MEMORY = 2**29
_MEASURED = 2
"""So many rows are asked to see what one takes."""


class TorchNetwork:
    """A model that can be predicted, differentiated and intercepted, and not be cut or copied.

    It is what ``adapt`` gives for functions of tensors and for scripted, compiled and exported modules, and the part of
    a module behind a cut.

    Args:
        callee: what is called, for its modules, device and name.
        streams: what the call names each input -> the stream. heads: likewise.
        call: from the tensors of the inputs to those of the outputs.
        dtypes: that the call wants, by its own names of the inputs.
        max_memory: bytes that one pass may take, by what a pass of a few rows keeps; 512 MiB by default.
        part: the module behind which the network begins; "" for the whole model.
        held: what it reads beside its streams, by what the call names it; see ``Holding``.
        floats_begin: tells where to explain instead of at integers.
        plain: the call without compilation, which hides operations; ``call`` itself where None.
        few: makes a few rows of what the call is given, by its own names.
    """

    def __init__(
        self,
        callee: Callee,
        streams: Mapping[str, Stream],
        heads: Mapping[str, Head],
        call: Call,
        dtypes: Mapping[str, torch.dtype],
        *,
        max_memory: int | None = None,
        part: str = "",
        held: Mapping[str, Stream] | None = None,
        floats_begin: Callable[[], str | None] = lambda: None,
        plain: Call | None = None,
        few: Callable[[], Arrays] | None = None,
    ) -> None:
        self._callee = callee
        self._by_own = dict(streams)
        self._outputs = {head.name: own for own, head in heads.items()}
        self._heads = tuple(heads.values())
        self._call = call
        self._dtypes = dict(dtypes)
        self._max_memory = max_memory or DEFAULT_MAX_MEMORY
        self._part = part
        self._held = dict(held or {})
        self._floats_begin = floats_begin
        self._plain, self._few = plain or call, few
        self._cut_heads: tuple[str, ...] = ()
        self._held_row: Arrays = {}
        self._maps: Arrays = {}
        self._measured: dict[tuple[Any, ...], int] = {}

    @property
    def name(self) -> str:
        """What the model is called, for reports and errors."""
        return f"{self._callee.label} behind {self._part}" if self._part else self._callee.label

    @property
    def backend(self) -> str:
        """The framework that computes."""
        return "torch"

    @property
    def precision(self) -> str:
        """The coarsest float dtype of a weight; see ``core.precision.precision_of``."""
        return self._callee.precision

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The named inputs."""
        return tuple(self._by_own.values())

    @property
    def heads(self) -> tuple[Head, ...]:
        """The named outputs, in the order of the model's answer."""
        return self._heads

    @property
    def held(self) -> tuple[str, ...]:
        """What it reads beside its streams, in every call; see ``Holding``."""
        return () if self._held_row else tuple(stream.name for stream in self._held.values())

    def holding(self, row: Arrays) -> Self:
        """The same network with one row of what is held, for all rows that it is asked for; see ``Holding``."""
        other = copy.copy(self)
        other._held_row = check_inputs(row, tuple(self._held.values()))
        return other

    def fingerprint(self) -> str:
        """SHA-256 over class, structure, weights and buffers, over the cut where there is one, and replaced maps."""
        maps = f"|maps {digest(self._maps)}" if self._maps else ""
        links = f"|before links {self._cut_heads}" if self._cut_heads else ""
        return self._callee.fingerprint(f"{self._part}{maps}{links}")

    def where_floats_begin(self) -> str | None:
        """The first module at which every stream of the tail holds floats; None if there is none."""
        return self._floats_begin()

    def predict(self, inputs: Any) -> Arrays:
        """Outputs in evaluation mode: ``{head: (sample, *head.shape)}``, float32 or float64, or whole numbers."""
        arrays = self._checked(inputs)
        total, outputs = count_rows(arrays), Arrays()
        with self._reading(), torch.no_grad():
            for rows, chunk in self._chunks(arrays, total, copies=1):
                put(outputs, self._named(self._ask(chunk, rows, total)), rows, total)
        return outputs

    def gradients(
        self, inputs: Any, selectors: Sequence[Selector], streams: Sequence[str] | None = None
    ) -> tuple[Arrays, Arrays]:
        """Outputs and ``{stream: (target, sample, *stream.shape)}`` from one forward pass; see ``Differentiable``.

        Each target is one backward pass through the graph that all share. A stream that a head does not read, and
        whatever a head without a graph reads, gives exact zeros.

        Raises:
            UnknownName: no such stream. NotSupported: one of them holds integers, or a head gives integers.
        """
        wanted = self._differentiable(streams)
        arrays = self._checked(inputs)
        total, outputs = count_rows(arrays), Arrays()
        gradients = {
            self._by_own[own].name: np.zeros((len(selectors), *arrays[own].shape), border_dtype(arrays[own]))
            for own in wanted
        }
        with self._reading(), differentiating(self._callee.modules, self._callee.device):
            for rows, chunk in self._chunks(arrays, total, copies=2):
                leaves = {own: chunk[own].requires_grad_() for own in wanted}
                given = {own: leaf.clone() for own, leaf in leaves.items()}  # the model may write into what it is given
                answer = self._ask({**chunk, **given}, rows, total)
                put(outputs, self._named(answer), rows, total)
                self._pull_back(answer, leaves, selectors, rows, gradients)
        return outputs, gradients

    def intercept(self, inputs: Any) -> Interceptions:
        """Every map that modules show while reading the inputs, in evaluation mode; ``{}`` when none does."""
        arrays = self._checked(inputs)
        total, found = count_rows(arrays), Arrays()
        labels: dict[str, MapLabels] = {}
        with self._reading(), torch.no_grad():
            for rows, chunk in self._chunks(arrays, total, copies=2):
                with read_maps(self._callee.shown or self._callee.function, labels, self._callee.modules) as maps:
                    self._ask(chunk, rows, total)
                put(found, checked_maps(maps, labels, _length(chunk)), rows, total)
        return interceptions(found, labels)

    def override(self, maps: Mapping[str, Array]) -> Self:
        """The same network with these maps put in the place of those that its modules make; see ``Overridable``."""
        other = copy.copy(self)
        other._maps = self._checked_maps({**self._maps, **{key: np.asarray(values) for key, values in maps.items()}})
        return other

    def before_link(self, heads: Sequence[str]) -> tuple[Self, dict[str, str]]:
        """The same model, of which heads give what their final sigmoid or softmax reads; see ``Linked``.

        A few rows show which heads end in one; what is scripted shows none.

        Returns:
            The model, and in words where it was cut, ``{"risk": "before its final sigmoid"}``.
        """
        found: dict[str, str] = {}
        call = before_links(self._plain, [self._outputs[name] for name in heads], found)
        if self._few is not None:
            rows = self._few()
            with self._reading(), torch.no_grad():
                self._in_dtype(self._tensors(rows), call)
        seen = {name: found[self._outputs[name]] for name in heads if self._outputs[name] in found}
        if not seen:
            return self, {}
        other = copy.copy(self)
        other._cut_heads = tuple(seen)
        other._call = before_links(self._plain, [self._outputs[name] for name in seen], {})
        units = {"sigmoid": "log-odds", "softmax": "logit"}
        other._heads = tuple(
            dataclasses.replace(h, unit=units[seen[h.name]]) if h.name in seen else h for h in self._heads
        )
        return other, {name: f"before its final {link}" for name, link in seen.items()}

    def renamed(self, streams: Sequence[Stream]) -> Self:
        """The same network under other descriptions of its streams; see ``Renamable``."""
        other = copy.copy(self)
        other._by_own = dict(zip(self._by_own, streams, strict=True))
        return other

    def _reading(self) -> AbstractContextManager[None]:
        return reading(self._callee.modules, self._callee.device)

    def _checked(self, inputs: Any) -> Arrays:
        """What the call is given, by its own names."""
        arrays = check_inputs(inputs, (*self.streams, *(() if self._held_row else self._held.values())))
        rows = count_rows(arrays)
        for key, values in self._maps.items():
            if len(values) not in (1, rows):
                raise ShapeMismatch(
                    f"map '{key}' was replaced by one of {len(values)} rows, and {rows} rows are asked for. Give the "
                    "rows that the map is of, or one row of it for all."
                )
        given = {own: arrays[stream.name] for own, stream in self._by_own.items()}
        for own, stream in self._held.items():
            row = self._held_row.get(stream.name)
            given[own] = arrays[stream.name] if row is None else np.repeat(row, rows, axis=0)
        return given

    def _differentiable(self, streams: Sequence[str] | None) -> list[str]:
        """The call's names of the streams to differentiate by, in the order they were asked for."""
        owns = {stream.name: own for own, stream in self._by_own.items()}
        names = list(owns) if streams is None else list(streams)
        for name in names:
            if name not in owns:
                raise unknown(name, owns, "input stream")
            dtype = self._by_own[owns[name]].dtype
            if np.dtype(dtype).kind != "f":
                holds = "truth values" if dtype == "bool" else "integers"
                raise NotSupported(
                    f"input stream '{name}' holds {holds} ({dtype}), which have no gradient. "
                    f"{instead_of_integers(self)}"
                )
        return [owns[name] for name in names]

    def _named(self, outputs: Tensors) -> Arrays:
        return {name: to_array(outputs[own]) for name, own in self._outputs.items()}

    def _chunks(self, arrays: Arrays, total: int, *, copies: int) -> Iterator[tuple[slice, Tensors]]:
        """All rows, as tensors that the call may write into; so many at a time as memory holds ``copies`` of."""
        size = self._callee.rows or rows_that_fit(copies * self._bytes_of_a_row(arrays), self._max_memory)
        for rows in even_slices(total, size):
            chunk = padded_rows(arrays, rows, self._callee.rows or rows.stop - rows.start)
            yield rows, self._tensors(chunk)

    def _tensors(self, arrays: Arrays) -> Tensors:
        return on(self._callee.device, arrays)

    def _bytes_of_a_row(self, arrays: Arrays) -> int:
        """Of rows of this shape; asked of the model once."""
        shape = tuple((own, x.shape[1:]) for own, x in arrays.items())
        if count_rows(arrays) == 1:
            return 1  # there is nothing to divide
        if shape not in self._measured:
            with torch.enable_grad():
                few = self._tensors({own: x[:_MEASURED] for own, x in arrays.items()})
                given = {own: x.requires_grad_(x.is_floating_point()).clone() for own, x in few.items()}
                self._measured[shape] = bytes_of_a_row(self._in_dtype, given, self._callee.weights)
        return self._measured[shape]

    def _in_dtype(self, given: Tensors, call: Call | None = None) -> Tensors:
        """The answer to tensors as they came in, each in the dtype that the call wants."""
        return (call or self._call)(
            {own: x.to(self._dtypes[own]) if own in self._dtypes else x for own, x in given.items()}
        )

    def _ask(self, given: Tensors, rows: slice, total: int) -> Tensors:
        """The answer to some of all rows, with their maps in the place of the modules' own."""
        if not self._maps:
            return self._in_dtype(given)
        device, dtype = self._callee.device, self._callee.dtype
        maps = {key: values[rows] if len(values) == total else values for key, values in self._maps.items()}
        tensors = {
            key: torch.tensor(np.broadcast_to(v, (_length(given), *v.shape[1:])), device=device, dtype=dtype)
            for key, v in maps.items()
        }
        with overriding(self._callee.function, tensors) as taken:
            outputs = self._in_dtype(given)
        for key in self._maps:
            if key not in taken:
                layer, name = key.rsplit("/", 1)
                raise NotSupported(
                    f"module '{layer}' only shows its map '{name}' and does not work with it, so no other can take its "
                    "place. Replace a map that a module reads its inputs through."
                )
        return outputs

    def _checked_maps(self, maps: Arrays) -> Arrays:
        """The maps, where a few rows can tell that there are such."""
        if self._held or any(n is None for stream in self.streams for n in stream.shape):
            return maps
        rows = max((len(values) for values in self._maps.values()), default=1)
        sown = self.intercept(self._some_rows(rows))
        for key, values in maps.items():
            if key not in sown:
                raise unknown(key, sown, "map")
            if values.shape[1:] != sown[key].values.shape[1:]:
                raise ShapeMismatch(
                    f"map '{key}' wants {('batch', *sown[key].axes)}, here "
                    f"{('batch', *sown[key].values.shape[1:])}; got {values.shape}."
                )
        return maps

    def _some_rows(self, rows: int) -> Arrays:
        """Rows that it takes: those that it was made with, for zeros may be none (such as lengths of 0)."""
        few = None if self._few is None else self._few()
        if few is None:
            return {s.name: np.zeros((rows, *(n or 1 for n in s.shape)), s.dtype) for s in self.streams}
        return {stream.name: np.resize(few[own], (rows, *few[own].shape[1:])) for own, stream in self._by_own.items()}

    def _pull_back(
        self, answer: Tensors, leaves: Tensors, selectors: Sequence[Selector], rows: slice, into: Arrays
    ) -> None:
        """Write the gradients of some rows in their place, target by target."""
        count, names = rows.stop - rows.start, [self._by_own[own].name for own in leaves]
        for t, selector in enumerate(selectors):
            y = answer[self._outputs[selector.head]]
            check_float(selector.head, str(y.dtype))
            if not y.requires_grad or not leaves:
                continue  # a head that reads no input at all, or nothing to differentiate by
            flat = y[:count].reshape(count, -1)
            units = torch.as_tensor(selector.units[rows, None], device=y.device)
            target = flat.gather(1, units).sum()
            pulled = torch.autograd.grad(
                target, list(leaves.values()), retain_graph=t + 1 < len(selectors), allow_unused=True
            )
            for name, gradient in zip(names, pulled, strict=True):
                if gradient is not None:
                    into[name][t, rows] = to_array(gradient)[:count]


def _length(tensors: Tensors) -> int:
    return int(next(iter(tensors.values())).shape[0])
