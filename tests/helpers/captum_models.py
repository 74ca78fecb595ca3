"""Models on which Captum's methods are tried: one solved by hand, and a torch module that Captum can explain itself."""

import contextlib

import numpy as np

from tests.helpers.frameworks import imported
from xai_mimo.core.method import Context
from xai_mimo.core.streams import Head, Stream
from xai_mimo.core.targets import select

torch = imported("torch")


class Bilinear:
    """risk = a0 * b00 + a1 ** 2; kind = (a0 ** 2, 2 b01, -1): the integral along the path can be written down."""

    heads = (Head("risk"), Head("kind", (3,), kind="multiclass"))

    def __init__(self, dtype="float64"):
        self.streams = (Stream("a", (2,), dtype), Stream("b", (1, 2), dtype), Stream("unused", (1,), dtype))
        self.largest_batch = 0

    def fingerprint(self):
        return "bilinear"

    def predict(self, inputs):
        a, b = inputs["a"].astype("float64"), inputs["b"].astype("float64")
        kind = np.stack([a[:, 0] ** 2, 2 * b[:, 0, 1], np.full(len(a), -1.0)], axis=1)
        return {"risk": (a[:, 0] * b[:, 0, 0] + a[:, 1] ** 2)[:, None], "kind": kind}

    def gradients(self, inputs, selectors, streams=None):
        a, b = inputs["a"], inputs["b"]
        self.largest_batch = max(self.largest_batch, len(a))
        slopes = {name: np.zeros((len(selectors), *x.shape), x.dtype) for name, x in inputs.items()}
        for t, selector in enumerate(selectors):
            if selector.head == "risk":
                slopes["a"][t] = np.stack([b[:, 0, 0], 2 * a[:, 1]], axis=1)
                slopes["b"][t, :, 0, 0] = a[:, 0]
            else:
                slopes["a"][t, :, 0] = np.where(selector.units == 0, 2 * a[:, 0], 0)
                slopes["b"][t, :, 0, 1] = np.where(selector.units == 1, 2, 0)
        return self.predict(inputs), slopes


class TwoHeads(torch.nn.Module):
    """Two streams, two heads of two units; one forward returns them side by side: ``(batch, 4)``."""

    def __init__(self, dtype):
        super().__init__()
        torch.manual_seed(5)
        self.inside = torch.nn.Linear(5, 8, dtype=dtype)
        self.outside = torch.nn.Linear(8, 4, dtype=dtype)

    def forward(self, a, b):
        return self.outside(torch.tanh(self.inside(torch.cat([a, b.flatten(1)], dim=1))))


class TorchModel:
    """``TwoHeads`` behind the border of this package."""

    heads = (Head("left", (2,)), Head("right", (2,), kind="multiclass"))

    def __init__(self, dtype):
        self.module = TwoHeads(getattr(torch, dtype)).requires_grad_(False)
        self.streams = (Stream("a", (3,), dtype), Stream("b", (2, 1), dtype))

    def _split(self, outputs):
        values = outputs.detach().numpy()
        return {"left": values[:, :2], "right": values[:, 2:]}

    def fingerprint(self):
        return "torch"

    def predict(self, inputs):
        return self._split(self.module(*(torch.from_numpy(np.asarray(x)) for x in inputs.values())))

    def gradients(self, inputs, selectors, streams=None):
        tensors = [torch.from_numpy(np.asarray(x)).clone().requires_grad_() for x in inputs.values()]
        with torch.enable_grad():
            outputs = self.module(*tensors)
            slopes = [torch.autograd.grad(_chosen(outputs, s).sum(), tensors, retain_graph=True) for s in selectors]
        stacked = (torch.stack(stream).numpy() for stream in zip(*slopes, strict=True))
        return self._split(outputs), dict(zip(inputs, stacked, strict=True))


def _chosen(outputs, selector):
    columns = torch.from_numpy(selector.units + (0 if selector.head == "left" else 2))
    return outputs.gather(1, columns[:, None])[:, 0]


def rows_for(model, rng, rows):
    return {s.name: rng.normal(size=(rows, *s.shape)).astype(s.dtype) for s in model.streams}


def explain(explainer, model, inputs, background, **options):
    selectors = select(None, model.heads, model.predict(inputs))
    return explainer(model, inputs, selectors, Context(np.random.default_rng(0), background, **options))


def as_tensors(arrays):
    return tuple(torch.from_numpy(x.copy()) for x in arrays.values())


def columns_of(model, inputs):
    """The columns of the module of ``TorchModel`` that ``explain`` asks for: both units of left, the class of right."""
    right = model.predict(inputs)["right"].argmax(axis=1)
    return [torch.from_numpy(column) for column in (np.zeros(len(right), int), np.ones(len(right), int), 2 + right)]


@contextlib.contextmanager
def natively_seeded(block=0):
    """The global generators as ``explain`` has them for its first block of rows, or a later one."""
    torchs, numpys = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002 - what Captum draws from
    seed = int(np.random.default_rng(0).integers(2**32, size=block + 1)[block])
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    yield
    np.random.set_state(numpys)  # noqa: NPY002
    torch.set_rng_state(torchs)
