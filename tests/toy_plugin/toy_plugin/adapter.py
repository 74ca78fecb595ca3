"""An adapter: one class that gives a model of yours the members of ``xai_mimo.core.model``."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from toy_plugin.model import Scorecard
from xai_mimo.core.declare import annotate_heads, annotate_streams
from xai_mimo.core.door import check_inputs
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Head, Stream
from xai_mimo.core.targets import Selector


class ToyAdapter:
    """A scorecard as a model of one stream a table and one binary head an output, with gradients.

    Args:
        model: the scorecard; ``streams`` and ``heads`` rename or annotate what is read off it.
        max_memory: not needed: a row takes no more than itself.
    """

    def __init__(
        self,
        model: Scorecard,
        *,
        streams: Mapping[str, Any] | Sequence[Stream] | None = None,
        heads: Mapping[str, Any] | Sequence[Head] | None = None,
        max_memory: int | None = None,
    ) -> None:
        self.model = model
        tables = {table: w for of_tables in model.points.values() for table, w in of_tables.items()}
        read = tuple(Stream(table, w.shape, dtype="float64") for table, w in tables.items())
        self._tables, self._outputs = tuple(tables), tuple(model.points)
        self.streams = annotate_streams(read, streams)
        self.heads = annotate_heads(tuple(Head(output, kind="binary") for output in model.points), heads)

    def fingerprint(self) -> str:
        """SHA-256 over the points."""
        digest = hashlib.sha256()
        for output, of_tables in self.model.points.items():
            for table, w in of_tables.items():
                digest.update(f"{output}/{table}".encode() + w.tobytes())
        return digest.hexdigest()

    def predict(self, inputs: Any) -> Arrays:
        """Outputs ``{head: (sample, 1)}``."""
        scores = self.model.score(self._of_tables(inputs))
        return {h.name: scores[o][:, None] for h, o in zip(self.heads, self._outputs, strict=True)}

    def gradients(
        self, inputs: Any, selectors: Sequence[Selector], streams: Sequence[str] | None = None
    ) -> tuple[Arrays, Arrays]:
        """Outputs, and ``{stream: (target, sample, feature)}``: p (1 - p) times the points."""
        x, outputs = self._of_tables(inputs), self.predict(inputs)
        points = {h.name: self.model.points[o] for h, o in zip(self.heads, self._outputs, strict=True)}
        made = {}
        for stream, table in zip(self.streams, self._tables, strict=True):
            if streams is None or stream.name in streams:
                none = np.zeros(x[table].shape[1])
                slopes = [outputs[s.head] * (1 - outputs[s.head]) * points[s.head].get(table, none) for s in selectors]
                made[stream.name] = np.stack(slopes)
        return outputs, made

    def _of_tables(self, inputs: Any) -> Arrays:
        arrays = check_inputs(inputs, self.streams)  # the one door: every form of input, refused in the right words
        return dict(zip(self._tables, arrays.values(), strict=True))
