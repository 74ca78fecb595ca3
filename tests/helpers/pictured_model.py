"""Models with places, solvable by hand: an image and a series, a text of ids, and a layer that sows maps."""

import numpy as np

from xai_mimo.core.model import InterceptionMap
from xai_mimo.core.streams import Head, Stream

IMAGE = Stream("scan", (4, 6, 2), dtype="float64")
SERIES = Stream("series", (5, 3), dtype="float64", features=("wind", "rain", "sun"))
TEXT = Stream("text", (4,), dtype="int32", axes=("token",))


class Pictured:
    """up = sum of scan * M + series[3, "rain"]; down = - series[0, "wind"]. Its one layer, "reader", sows."""

    streams = (IMAGE, SERIES)
    heads = (Head("up"), Head("down"))
    weights = {"scan": np.zeros((4, 6, 2)), "series": np.zeros((2, 5, 3))}
    weights["scan"][1:3, 2, :] = [[2.0, -1.0], [1.0, 0.5]]
    weights["series"][0, 3, 1], weights["series"][1, 0, 0] = 1.0, -1.0

    def __init__(self, *, sows: dict | None = None):
        self.sows = {} if sows is None else sows
        self.blocks: list[int] = []

    def fingerprint(self):
        return "ab"

    def predict(self, inputs):
        image = (inputs["scan"] * self.weights["scan"]).sum(axis=(1, 2, 3))
        up, down = ((inputs["series"] * w).sum(axis=(1, 2)) for w in self.weights["series"])
        return {"up": (up + image)[:, None], "down": down[:, None]}

    def gradients(self, inputs, selectors, streams=None):
        rows = len(inputs["scan"])
        by_head = {"up": (self.weights["scan"], 0), "down": (np.zeros_like(self.weights["scan"]), 1)}
        scan = [np.repeat(by_head[s.head][0][None], rows, axis=0) for s in selectors]
        series = [np.repeat(self.weights["series"][by_head[s.head][1]][None], rows, axis=0) for s in selectors]
        return self.predict(inputs), {"scan": np.stack(scan), "series": np.stack(series)}

    def intercept(self, inputs):
        self.blocks.append(len(inputs["scan"]))
        return {
            f"reader/{name}": InterceptionMap("reader", name, make(inputs), axes, coords, "guo2019imvlstm")
            for name, (make, axes, coords) in self.sows.items()
        }


class Reader:
    """good = sum over tokens of the value of each id."""

    streams = (TEXT,)
    heads = (Head("good"),)
    values = np.array([0.0, 3.0, -2.0, 0.5])

    def fingerprint(self):
        return "cd"

    def predict(self, inputs):
        return {"good": self.values[inputs["text"]].sum(axis=1)[:, None]}


def pictured_data(rng, rows=12):
    return {"scan": rng.standard_normal((rows, 4, 6, 2)), "series": rng.standard_normal((rows, 5, 3))}
