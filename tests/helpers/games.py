"""Models whose Shapley values can be written down or counted out, and a method run on them."""

import functools
import itertools
import math

import numpy as np

from xai_mimo.core.method import Context
from xai_mimo.core.streams import Head, Stream
from xai_mimo.core.targets import select


class Bilinear:
    """risk = a0 * b00 + 3 a1; kind = (a0, 2 b01, -1): Shapley values can be written down."""

    heads = (Head("risk"), Head("kind", (3,), kind="multiclass"))

    def __init__(self, a="float64", b="float64"):
        self.streams = (Stream("a", (2,), a), Stream("b", (1, 2), b), Stream("unused", (1,), "float64"))

    def fingerprint(self):
        return "bilinear"

    def predict(self, inputs):
        for stream in self.streams:
            assert inputs[stream.name].dtype == stream.dtype
        a, b = inputs["a"].astype("float64"), inputs["b"].astype("float64")
        kind = np.stack([a[:, 0], 2 * b[:, 0, 1], np.full(len(a), -1.0)], axis=1)
        return {"risk": (a[:, 0] * b[:, 0, 0] + 3 * a[:, 1])[:, None], "kind": kind}


class Plain:
    """One stream, one head, any function of the row."""

    heads = (Head("y"),)

    def __init__(self, function, width):
        self.function, self.streams = function, (Stream("x", (width,), "float64"),)

    def fingerprint(self):
        return "plain"

    def predict(self, inputs):
        return {"y": self.function(inputs["x"])[:, None]}


def rows_for(model, rng, rows):
    return {s.name: rng.normal(size=(rows, *s.shape)).astype(s.dtype) for s in model.streams}


def explain(explainer, model, inputs, background, *, seed=0, selectors=None, **options):
    selectors = selectors or select(None, model.heads, model.predict(inputs))
    return explainer(model, inputs, selectors, Context(np.random.default_rng(seed), background, **options))


def brute_force_shapley(function, row, background):
    """Every coalition, one by one: Lundberg and Lee (2017), equation 4."""
    players, values = len(row), np.zeros(len(row))

    @functools.cache
    def worth(coalition):
        masked = background.copy()
        masked[:, list(coalition)] = row[list(coalition)]
        return function(masked).mean()

    for i in range(players):
        others = [j for j in range(players) if j != i]
        for size in range(players):
            weight = math.factorial(size) * math.factorial(players - size - 1) / math.factorial(players)
            for coalition in itertools.combinations(others, size):
                values[i] += weight * (worth(frozenset((*coalition, i))) - worth(frozenset(coalition)))
    return values
