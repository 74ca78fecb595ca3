"""A network in plain NumPy with weights, a training mode and a counter, and its adapter with every capability.

level = a . tanh(u U + v V), kind = softmax(u K); the layer "top" reads c = tanh(u U + v V) and u itself.
"""

import hashlib
from contextlib import contextmanager

import numpy as np

from xai_mimo.core.door import check_inputs
from xai_mimo.core.errors import ShapeMismatch
from xai_mimo.core.model import InterceptionMap
from xai_mimo.core.streams import Head, Stream, unknown

STREAMS = (Stream("u", (3,), features=("air", "oil", "gap")), Stream("v", (2,)))
HEADS = (Head("level"), Head("kind", (4,), kind="multiclass"))


class Net:
    """What somebody else wrote: it has a mode, and forgets nothing that is done to it."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        sizes = {"U": (3, 5), "V": (2, 5), "a": (5, 1), "K": (3, 4)}
        self.weights = {name: rng.standard_normal(size) for name, size in sizes.items()}
        self.training, self.fails, self.passes = True, False, 0

    def code(self, u, v):
        self.passes += 1
        if self.fails:
            raise RuntimeError("the net broke")
        code = np.tanh(u @ self.weights["U"] + v @ self.weights["V"])
        return code * (np.random.default_rng().random(code.shape) > 0.5) if self.training else code

    def top(self, code, u):
        z = np.exp(u @ self.weights["K"])
        return {"level": code @ self.weights["a"], "kind": z / z.sum(axis=1, keepdims=True)}

    def state(self):
        return {"weights": self.weights, "training": self.training}

    @contextmanager
    def broken(self):
        self.fails = True
        try:
            yield
        finally:
            self.fails = False


class NetAdapter:
    """The network as a model of two streams and two heads; ``rows`` go at once."""

    def __init__(self, net, rows=1000, size=None):
        self.net, self.rows, self.size = net, rows, size

    streams, heads = STREAMS, HEADS
    randomisation = "shuffled"

    def fingerprint(self):
        parts = [*self.net.weights.values(), *([] if self.size is None else [self.size])]
        return hashlib.sha256(b"".join(p.tobytes() for p in parts)).hexdigest()

    @contextmanager
    def inference(self):
        mode, self.net.training = self.net.training, False
        try:
            yield
        finally:
            self.net.training = mode

    def read(self, inputs):
        """Checked inputs and the code, in chunks."""
        x = {name: values.astype(np.float64) for name, values in check_inputs(inputs, self.streams).items()}
        with self.inference():
            chunks = range(0, len(x["u"]), self.rows)
            code = [self.net.code(x["u"][i : i + self.rows], x["v"][i : i + self.rows]) for i in chunks]
        made = np.concatenate(code)
        return x, made if self.size is None else np.sign(made) * self.size

    def predict(self, inputs):
        x, code = self.read(inputs)
        return {name: y.astype("float32") for name, y in self.net.top(code, x["u"]).items()}

    def gradients(self, inputs, selectors, streams=None):
        x, code = self.read(inputs)
        outputs, w = self.net.top(code, x["u"]), self.net.weights
        p = outputs["kind"]
        of = {"u": [], "v": []}
        for s in selectors:
            if s.head == "level":
                slope = (1 - code**2) * w["a"][:, 0]
                of["u"].append(slope @ w["U"].T)
                of["v"].append(slope @ w["V"].T)
            else:
                rows = np.arange(len(p))
                slope = p[rows, s.units][:, None] * (np.eye(p.shape[1])[s.units] - p)
                of["u"].append(slope @ w["K"].T)
                of["v"].append(np.zeros((len(p), 2)))
        return (
            {name: y.astype("float32") for name, y in outputs.items()},
            {name: np.stack(of[name]).astype("float32") for name in streams or of},
        )

    def intercept(self, inputs):
        _, code = self.read(inputs)
        coords = {"feature": ("a", "b", "c", "d", "e")}
        return {"net/code/size": InterceptionMap("net/code", "size", np.abs(code), ("feature",), coords)}

    def override(self, maps):
        """The size of the code, put in the place of its own."""
        ((key, size),) = maps.items()
        if key != "net/code/size":
            raise unknown(key, ["net/code/size"], "map")
        if size.shape[1:] != (5,):
            raise ShapeMismatch(f"map '{key}' wants (batch, 5); got {size.shape}.")
        return type(self)(self.net, self.rows, size)

    def layers(self):
        return ("top",)

    def tail(self, layer):
        if layer != "top":
            raise unknown(layer, self.layers(), "layer")
        return Top(self.net)

    def activations(self, inputs, layer):
        self.tail(layer)
        x, code = self.read(inputs)
        return {"code": code, "u": x["u"].astype("float32")}

    def layer_streams(self, layer):
        self.tail(layer)
        return {"code": ("u", "v"), "u": ("u",)}

    def randomised(self, rng, layers=None):
        copy = Net()
        copy.weights = {name: rng.permuted(w.ravel()).reshape(w.shape) for name, w in self.net.weights.items()}
        return type(self)(copy, self.rows)


class Top:
    """What lies behind the layer "top"."""

    streams, heads = (Stream("code", (5,), dtype="float64"), STREAMS[0]), HEADS

    def __init__(self, net):
        self.net = net

    def fingerprint(self):
        return NetAdapter(self.net).fingerprint()

    def predict(self, inputs):
        x = check_inputs(inputs, self.streams)
        outputs = self.net.top(x["code"], x["u"].astype(np.float64))
        return {name: y.astype("float32") for name, y in outputs.items()}
