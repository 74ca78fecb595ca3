"""A NumPy model whose layers attend from position to position, for methods that read attention."""

from dataclasses import dataclass, field

import numpy as np

from xai_mimo.core.model import InterceptionMap
from xai_mimo.core.streams import Head, Stream

AXES = ("attention_head", "query", "key")


@dataclass
class Attending:
    """Two heads that sum a stream up, and attention maps that are drawn for each row from a seed.

    ``maps`` holds ``(layer, map name, shape)``; values are ``(key, head, other head)`` and follow from vectors.
    """

    streams: tuple = (Stream("series", (4, 2), axes=("time", "feature")),)
    maps: tuple = (("a", "attention_weights", (2, 4, 4)), ("b", "attention_weights", (2, 4, 4)))
    heads: tuple = (Head("risk", (1,)), Head("kind", (3,)))
    given: dict = field(default_factory=dict)

    def fingerprint(self):
        return "0" * 16

    def predict(self, inputs):
        total = sum(x.reshape(len(x), -1).sum(axis=1) for x in inputs.values())
        return {"risk": total[:, None], "kind": total[:, None] * np.array([1.0, 2.0, 3.0])}

    def intercept(self, inputs):
        rows = len(next(iter(inputs.values())))
        numbers = next(iter(inputs.values())).reshape(rows, -1)[:, 0]
        found = {}
        for layer, name, shape in self.maps:
            values = self.given.get((layer, name))
            if values is None:
                values = np.stack([self.drawn(layer, name, shape, number) for number in numbers])
            axes = AXES if name.endswith("weights") else ("key", "attention_head", "other_attention_head")
            axes = ("outer", *axes) if len(shape) == 4 else axes
            found[f"{layer}/{name}"] = InterceptionMap(layer, name, values[:rows], axes)
        return found

    @staticmethod
    def drawn(layer, name, shape, number):
        rng = np.random.default_rng([ord(layer[0]), abs(int(number * 1000))])
        if name.endswith("values"):
            vectors = rng.normal(size=(shape[1], shape[0], 5))
            return np.einsum("hke,gke->khg", vectors, vectors)
        weights = rng.random(shape)
        return weights / weights.sum(axis=-1, keepdims=True)
