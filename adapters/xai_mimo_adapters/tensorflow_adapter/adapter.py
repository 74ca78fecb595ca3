"""Models of TensorFlow that are none of Keras: ``tf.Module``, ``tf.function``, SavedModel."""

import copy
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xai_mimo.core.declare import annotate_heads
from xai_mimo.core.digest import digest
from xai_mimo.core.door import check_inputs, count_rows
from xai_mimo.core.errors import NotSupported
from xai_mimo.core.model import Arrays, InterceptionMap, Interceptions, instead_of_integers
from xai_mimo.core.streams import Head, Stream, unknown
from xai_mimo.core.targets import Selector
from xai_mimo_adapters.chunks import padded_rows, put, row_slices, rows_that_fit
from xai_mimo_adapters.tensorflow_adapter.reading import read
from xai_mimo_adapters.tensorflow_adapter.source import source_of

DEFAULT_MAX_MEMORY = 2**29
_WORKING_COPIES = 16
"""A row is taken to need this many times the memory of its inputs and outputs, where a graph does not tell more."""


class TensorFlowAdapter:
    """A model of TensorFlow, which can be predicted, differentiated and intercepted.

    It is traced once for any number of rows, and once more for gradients; variables are read at every call, so that
    training on is seen, and other changes of a Python object are not: adapt it again. A parameter ``training`` is
    False. Streams are the tensors of its signature; without one they are those declared, or those of the rows given.
    Heads are named by what the model returns; what kind of value they hold is seen from the operation that makes them.
    A parameter whose name results use for themselves ("label") ends in "_in".

    Args:
        model: a callable ``tf.Module``, a ``tf.function``, a concrete function, what ``tf.saved_model.load`` gives, or
            a plain function of tensors.
        streams: names, shapes or feature names of its inputs; needed where it has no signature and no rows are given.
        heads: names, kinds or units for its outputs.
        max_memory: bytes that one pass may take, estimated from the sizes of the graph's tensors; 512 MiB by default.
        like: rows, in any form that ``explain`` takes.
        signature: of a SavedModel; "serving_default" by default.
    Raises:
        UnknownName: no such signature. NotSupported: it cannot be traced, or a call of it changes variables; it has
            inputs or outputs that are no numbers in one row per row.
    """

    backend = "tensorflow"

    def __init__(
        self,
        model: Any,
        *,
        streams: Mapping[str, Any] | Sequence[Stream] | None = None,
        heads: Mapping[str, Any] | Sequence[Head] | None = None,
        max_memory: int | None = None,
        like: Any = None,
        signature: str | None = None,
    ) -> None:
        self.model = model
        source = source_of(model, signature)
        self.name = source.label
        self._streams, found, self._network, self._batch = read(source, streams, like)
        named = annotate_heads(found, heads)
        self._heads = {head.name: name.name for head, name in zip(named, found, strict=True)}
        self.heads = named
        self._max_memory = max_memory or DEFAULT_MAX_MEMORY
        self._inner = [stream.name for stream in self._streams]

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The named inputs, in the order of the signature or as declared."""
        return self._streams

    @property
    def precision(self) -> str:
        """The coarsest float dtype that the model computes in; see ``core.precision.precision_of``."""
        return self._network.precision

    @property
    def traces(self) -> int:
        """How often the model was traced."""
        return self._network.traces

    def fingerprint(self) -> str:
        """SHA-256 over the traced operations, the variables that they read and the tensors that they close over."""
        outputs = [self._network.tensor_of(name) for name in self._network.outputs]
        sha = hashlib.sha256(self._network.program.digest(outputs).encode())
        for name, values in self._network.held():
            sha.update(digest({name: np.atleast_1d(values)}).encode())
        return sha.hexdigest()

    def predict(self, inputs: Any) -> Arrays:
        """Outputs ``{head: (sample, *head.shape)}``, float32 or float64."""
        outputs: Arrays = {}
        arrays = self._checked(inputs)
        for rows, size in self._chunks(arrays, passes=3):
            part = self._network.forward(padded_rows(arrays, rows, size))
            put(outputs, part, rows, count_rows(arrays))
        return self._named(outputs)

    def gradients(
        self, inputs: Any, selectors: Sequence[Selector], streams: Sequence[str] | None = None
    ) -> tuple[Arrays, Arrays]:
        """Outputs and ``{stream: (target, sample, *stream.shape)}`` from one forward pass; see ``Differentiable``.

        Args:
            inputs: as ``predict`` takes them.
            selectors: one per target.
            streams: those to differentiate by; the others are held, and may be integers or truth values. None for all.
        Raises:
            UnknownName: no such stream. NotSupported: one of them holds integers, or a head gives them; an operation
                has no gradient.
        """
        names = self._differentiable(streams)
        arrays = self._checked(inputs)
        heads = [self._heads[selector.head] for selector in selectors]
        units = np.stack([selector.units for selector in selectors]).astype(np.int32)
        outputs: Arrays = {}
        gradients: Arrays = {}
        for rows, size in self._chunks(arrays, passes=4 + len(heads)):
            chosen = padded_rows({"units": units.T}, rows, size)["units"].T
            y, g = self._network.gradients(padded_rows(arrays, rows, size), heads, chosen)
            put(outputs, y, rows, count_rows(arrays))
            put(gradients, g, rows, count_rows(arrays), axis=1)
        inner = dict(zip((s.name for s in self._streams), self._inner, strict=True))
        return self._named(outputs), {name: gradients[inner[name]] for name in names}

    def intercept(self, inputs: Any) -> Interceptions:
        """Every map that the model's layers sow while reading the inputs; ``{}`` when none sows.

        Raises:
            NotSupported: a layer sows inside a ``tf.function`` of its own.
        """
        maps: Arrays = {}
        arrays = self._checked(inputs)
        for rows, size in self._chunks(arrays, passes=3):
            put(maps, self._network.maps(padded_rows(arrays, rows, size)), rows, count_rows(arrays))
        labels = self._network.labels
        return {
            key: InterceptionMap(
                labels[key].layer, labels[key].name, maps[key], labels[key].axes, dict(labels[key].coords),
                labels[key].reference,
            )
            for key in labels
            if key in maps
        }  # fmt: skip

    def renamed(self, streams: Sequence[Stream]) -> "TensorFlowAdapter":
        """The same model, with its graphs, under other descriptions of its streams; see ``Renamable``."""
        other = copy.copy(self)
        other._streams = tuple(streams)
        return other

    def _checked(self, inputs: Any) -> Arrays:
        return dict(zip(self._inner, check_inputs(inputs, self._streams).values(), strict=True))

    def _named(self, outputs: Arrays) -> Arrays:
        return {head: outputs[name] for head, name in self._heads.items()}

    def _chunks(self, arrays: Arrays, passes: int) -> Any:
        total = count_rows(arrays)
        if self._batch is not None:
            return ((slice(i, min(i + self._batch, total)), self._batch) for i in range(0, total, self._batch))
        one_row = sum(x[:1].nbytes for x in arrays.values()) + 8 * sum(head.size for head in self.heads)
        per_row = passes * max(4 * self._network.width, _WORKING_COPIES * one_row)
        return row_slices(total, rows_that_fit(per_row, self._max_memory))

    def _differentiable(self, streams: Sequence[str] | None) -> list[str]:
        by_name = {stream.name: stream for stream in self._streams}
        names = list(by_name) if streams is None else list(streams)
        for name in names:
            if name not in by_name:
                raise unknown(name, by_name, "input stream")
            if np.dtype(by_name[name].dtype).kind != "f":
                holds = "truth values" if by_name[name].dtype == "bool" else "integers"
                raise NotSupported(
                    f"input stream '{name}' holds {holds} ({by_name[name].dtype}), which have no gradient. "
                    f"{instead_of_integers(self)}"
                )
        return names
