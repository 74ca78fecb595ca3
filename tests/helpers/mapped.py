"""A model whose layers' maps over positions are given, for methods that read maps."""

from dataclasses import dataclass

import numpy as np

from xai_mimo.core.model import InterceptionMap
from xai_mimo.core.streams import Head, Stream


@dataclass(frozen=True)
class Mapped:
    """A model whose layers' maps are given: ``{layer: (sample, *positions, target)}``, heads y (2 units) and z (1)."""

    maps: dict
    streams: tuple = (Stream("image", (4, 6, 3)),)
    heads: tuple = (Head("y", (2,)), Head("z", (1,)))
    names: tuple = ("y", "z")

    def fingerprint(self):
        return "f" * 16

    def predict(self, inputs):
        numbers = self._numbers(inputs)[:, None]
        return {h.name: (numbers * h.size + np.arange(h.size)).astype(float) for h in self.heads}

    def intercept(self, inputs):
        rows = self._numbers(inputs)
        coords = {"target.head": (self.names[0], *self.names), "target.unit": ("0", "1", "0")}
        axes = {4: ("height", "width", "target"), 3: ("token", "target")}
        return {
            f"{layer}/class_map": InterceptionMap(layer, "class_map", v[rows], axes[v.ndim], coords, "sun2025multihead")
            for layer, v in self.maps.items()
        }

    def _numbers(self, inputs):
        return next(iter(inputs.values())).reshape(-1, inputs[self.streams[0].name][0].size)[:, 0].astype(int)


def rows_for(model, count=4):
    """Rows that tell their own number, so that the toy finds their maps in any block."""
    return {s.name: np.stack([np.full(s.shape, i) for i in range(count)]).astype(s.dtype) for s in model.streams}
