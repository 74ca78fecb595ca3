"""Models in ONNX."""

import copy
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xai_mimo.core.digest import digest
from xai_mimo.core.door import check_inputs, count_rows
from xai_mimo.core.errors import ShapeMismatch
from xai_mimo.core.method import bytes_per_row
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array, Head, Stream
from xai_mimo_adapters.chunks import even_slices, padded_rows, put, rows_that_fit
from xai_mimo_adapters.onnx_adapter.loading import load
from xai_mimo_adapters.onnx_adapter.spec import ask, read_spec

DEFAULT_MAX_MEMORY = 2**29
_WORKING_COPIES = 32
"""A row is taken to need this many times the memory of its inputs and outputs: a session does not tell its inside."""
_DIGITS = ".4e"
"""Answers take part in a fingerprint with so many digits, which do not depend on the number of threads."""


class OnnxAdapter:
    """A model in ONNX, which can be predicted and not differentiated.

    Names, shapes and dtypes of streams and heads are those of its inputs and outputs. What kind of value a head holds
    is seen from the operator that makes it (sigmoid, softmax, a classifier of scikit-learn's), where the package onnx
    is installed and the model is no session; else a head is taken as regression. Outputs of whole numbers or texts
    beside others are left out with a warning: differences of class ids mean nothing. An output of one mapping per row
    (ZipMap) is read as one unit per class. An input whose name results use for themselves ("label") ends in "_in".

    A file or bytes run on the CPU, with onnxruntime's own settings: for another device, other threads or operators of
    your own, make the ``InferenceSession`` yourself. Where the batch is fixed, rows are filled up to it with copies of
    the last one; with a batch of 1 they are asked one by one.

    Args:
        model: path of an ``.onnx`` file, its bytes, an ``onnx.ModelProto`` or an ``onnxruntime.InferenceSession``.
        streams: names, feature names or units for its inputs.
        heads: names, kinds or units for its outputs.
        max_memory: bytes that one call may take, by a rough estimate; 512 MiB by default.
        like: rows, in any form that ``explain`` takes: of axes of any length they tell what length outputs have.
    Raises:
        FileProblem: no such file, or none that onnxruntime reads. BadValues: bytes that it does not read.
        NotSupported: inputs or outputs that are no numbers in one row per row; an operator or opset that onnxruntime
            does not know.
        MissingDependency: onnxruntime is not installed.
    """

    backend = "onnx"

    def __init__(
        self,
        model: Any,
        *,
        streams: Mapping[str, Any] | Sequence[Stream] | None = None,
        heads: Mapping[str, Any] | Sequence[Head] | None = None,
        max_memory: int | None = None,
        like: Any = None,
    ) -> None:
        loaded = load(model)
        self.session = loaded.session
        self.name = loaded.name
        self._digest = loaded.digest
        what = f"'{os.fspath(model)}'" if isinstance(model, str | os.PathLike) else "the model in ONNX"
        spec = read_spec(loaded, what, streams, heads, like)
        self._streams, self._heads, self._batch = dict(spec.streams), dict(spec.heads), spec.batch
        self._max_memory = max_memory or DEFAULT_MAX_MEMORY

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The named inputs, in the model's order."""
        return tuple(self._streams.values())

    @property
    def heads(self) -> tuple[Head, ...]:
        """The named outputs, in the model's order."""
        return tuple(self._heads.values())

    @property
    def precision(self) -> str:
        """ "float16" where an input is of that dtype, else "": a session does not tell more."""
        return "float16" if any(stream.dtype == "float16" for stream in self.streams) else ""

    def fingerprint(self) -> str:
        """SHA-256 over the model's bytes; over names, shapes, metadata and answers to fixed rows for a session.

        Weak for a session: weights that these answers do not show to four digits are not seen.
        """
        if not self._digest:
            self._digest = self._seen_from_outside()
        return self._digest

    def predict(self, inputs: Any) -> Arrays:
        """Outputs ``{head: (sample, *head.shape)}``, called in chunks of rows, or of the model's fixed batch.

        Raises:
            ShapeMismatch: an output has another shape than it was seen to have.
        """
        arrays = check_inputs(inputs, self.streams)
        feeds = {name: arrays[stream.name] for name, stream in self._streams.items()}
        outputs: Arrays = {}
        total = count_rows(feeds)
        for rows in even_slices(total, self._rows_at_once(feeds)):
            filled = padded_rows(feeds, rows, self._batch or rows.stop - rows.start)
            put(outputs, self._answer(filled), rows, total)
        return {head.name: outputs[name] for name, head in self._heads.items()}

    def renamed(self, streams: Sequence[Stream]) -> "OnnxAdapter":
        """The same model under other descriptions of its streams; see ``Renamable``."""
        other = copy.copy(self)
        other._streams = dict(zip(self._streams, streams, strict=True))
        return other

    def _rows_at_once(self, feeds: Arrays) -> int:
        one_row = bytes_per_row(feeds) + 8 * sum(head.size for head in self.heads)
        return self._batch or rows_that_fit(_WORKING_COPIES * one_row, self._max_memory)

    def _answer(self, feeds: Arrays) -> Arrays:
        answer = ask(self.session, {name: head.units for name, head in self._heads.items()}, feeds)
        return {name: _checked(answer[name], head, count_rows(feeds)) for name, head in self._heads.items()}

    def _seen_from_outside(self) -> str:
        nodes = [*self.session.get_inputs(), *self.session.get_outputs()]
        meta = self.session.get_modelmeta()
        facts: dict[str, Any] = {
            "nodes": [[node.name, node.type, [str(n) for n in node.shape]] for node in nodes],
            "meta": [meta.producer_name, meta.domain, meta.version, dict(meta.custom_metadata_map)],
        }
        rng = np.random.default_rng(0)
        rows = {
            stream.name: rng.standard_normal((3, *(n or 16 for n in stream.shape))).astype(stream.dtype)
            if np.dtype(stream.dtype).kind == "f"
            else np.zeros((3, *(n or 16 for n in stream.shape)), stream.dtype)
            for stream in self.streams
        }
        answers = {
            name: np.array([format(value, _DIGITS) for value in values.astype(np.float64).ravel()])
            for name, values in self.predict(rows).items()
        }
        facts["answers"] = digest(answers)
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _checked(values: Array, head: Head, rows: int) -> Array:
    if values.shape != (rows, *head.shape):
        raise ShapeMismatch(
            f"the model in ONNX gave shape {values.shape} for head '{head.name}'; expected {(rows, *head.shape)}, as "
            "when it was adapted. Adapt it with rows of the length that you explain: xai_mimo.adapt(model, like=x)."
        )
    return values
