"""A model of two streams and three heads that can be solved by hand, with its gradients."""

import numpy as np
import pytest

from xai_mimo.core.streams import Head, Stream

WEIGHTS = {
    "thermal": np.array([[4.0, 0.0, 0.0], [-3.0, 0.0, 0.0], [2.0, 0.0, 0.0]]),
    "wear": np.array([[0.0, -2.0, 0.0], [0.0, 3.0, 0.0]]),
}
"""Head "risk" reads thermal alone, "life" wear alone, "dead" nothing."""


class Linear:
    """y = sum over streams of x W, plus 1; "life" goes through tanh."""

    streams = (
        Stream("thermal", (3,), dtype="float64", features=("air", "process", "gap")),
        Stream("wear", (2,), dtype="float64", features=("tool", "torque")),
    )
    heads = (Head("risk"), Head("life", unit="h"), Head("dead"))
    fingerprint = "c0ffee"

    def __init__(self):
        self.rows_seen = 0

    def predict(self, inputs):
        y = 1 + sum(inputs[s] @ w for s, w in WEIGHTS.items())
        self.rows_seen += len(y)
        return {"risk": y[:, :1], "life": np.tanh(y[:, 1:2]), "dead": y[:, 2:]}

    def gradients(self, inputs, selectors):
        outputs = self.predict(inputs)
        slopes = {"risk": 1.0, "life": 1 - outputs["life"] ** 2, "dead": 1.0}
        column = {"risk": 0, "life": 1, "dead": 2}
        rows = np.ones((len(outputs["risk"]), 1))
        return outputs, {
            s: np.stack([rows * slopes[t.head] * w[:, column[t.head]] for t in selectors]) for s, w in WEIGHTS.items()
        }


@pytest.fixture
def model():
    return Linear()


@pytest.fixture
def data(rng):
    return {"thermal": rng.standard_normal((40, 3)), "wear": rng.standard_normal((40, 2))}
