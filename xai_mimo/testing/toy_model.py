"""The model that methods are tried on when none is given: small, in plain NumPy, with gradients worked out by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from xai_mimo.core.door import check_inputs
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array, Head, Stream
from xai_mimo.core.targets import Selector

_U = np.array([[0.9, -0.4, 0.3], [0.2, 0.7, -0.8], [-0.5, 0.6, 0.4]])
_V = np.array([0.8, -1.1])


class ToyModel:
    """Two streams u (3) and v (2), three heads, in float64.

    level = tanh(u_0 - u_1 / 2 + v W) + u_2 v_0: reads both streams, and what they do together
    kind = tanh(u U), three classes: does not read v
    still = 1/2: reads nothing
    """

    streams = (Stream("u", (3,), dtype="float64"), Stream("v", (2,), dtype="float64"))
    heads = (Head("level"), Head("kind", (3,), kind="multiclass"), Head("still"))

    def fingerprint(self) -> str:
        """The model has no weights that change."""
        return "70" * 8

    def predict(self, inputs: Any) -> Arrays:
        """Outputs ``{head: (sample, unit)}``."""
        x = check_inputs(inputs, self.streams)
        level = np.tanh(_score(x)) + x["u"][:, 2] * x["v"][:, 0]
        return {"level": level[:, None], "kind": np.tanh(x["u"] @ _U), "still": np.full((len(level), 1), 0.5)}

    def gradients(
        self, inputs: Any, selectors: Sequence[Selector], streams: Sequence[str] | None = None
    ) -> tuple[Arrays, Arrays]:
        """Outputs and ``{stream: (target, sample, feature)}``."""
        x = check_inputs(inputs, self.streams)
        slopes = [self._slopes(x, selector) for selector in selectors]
        return self.predict(x), {name: np.stack([s[name] for s in slopes]) for name in streams or x}

    def _slopes(self, x: Arrays, selector: Selector) -> Arrays:
        rows = len(x["u"])
        by = {name: np.zeros((rows, values.shape[1])) for name, values in x.items()}
        if selector.head == "level":
            slope = (1 - np.tanh(_score(x)) ** 2)[:, None]
            by["u"] = slope * [1.0, -0.5, 0.0] + x["v"][:, :1] * [0.0, 0.0, 1.0]
            by["v"] = slope * _V + x["u"][:, 2:] * [1.0, 0.0]
        elif selector.head == "kind":
            chosen = np.tanh(x["u"] @ _U)[np.arange(rows), selector.units]
            by["u"] = (1 - chosen**2)[:, None] * _U.T[selector.units]
        return by


def _score(x: Arrays) -> Array:
    score: Array = x["u"][:, 0] - x["u"][:, 1] / 2 + x["v"] @ _V
    return score
