"""Small modules of PyTorch with several inputs and heads, and what reading one must leave as it was."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

Rows = dict[str, np.ndarray]


class Tables(nn.Module):
    """Two tables to a tuple of heads: classes, a choice, and a quantity that reads one of the tables alone."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(3, 6), nn.Linear(4, 6)
        self.norm, self.drop = nn.BatchNorm1d(6), nn.Dropout(0.5)
        self.classes, self.choice, self.hours = nn.Linear(6, 3), nn.Linear(6, 1), nn.Linear(3, 2)

    def forward(self, left, right):
        h = self.drop(self.norm(torch.tanh(self.left(left) + self.right(right))))
        return torch.softmax(self.classes(h), dim=-1), torch.sigmoid(self.choice(h)).squeeze(-1), self.hours(left)


class Pictures(nn.Module):
    """Pictures ``(channel, height, width)`` and a table to a mapping of heads; ReLU in place."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3, padding=1)
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.kind, self.size = nn.Linear(5, 3), nn.Linear(7, 1)

    def forward(self, picture, table):
        seen = self.pool(nn.functional.gelu(self.features(picture))).flatten(1)
        return {"kind": self.kind(seen), "size": self.size(torch.cat([seen, table], dim=1))}


class Sequence(nn.Module):
    """Sequences of numbers to one value of the last state and one of each step."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 5, batch_first=True)
        self.last, self.each = nn.Linear(5, 2), nn.Linear(5, 1)

    def forward(self, signal):
        states, _ = self.lstm(signal)
        return self.last(states[:, -1]), self.each(states).squeeze(-1)


class Tokens(nn.Module):
    """Token ids and a table to a probability."""

    def __init__(self):
        super().__init__()
        self.embedding, self.mix = nn.Embedding(11, 4), nn.Linear(4, 4)
        self.risk = nn.Linear(6, 1)

    def forward(self, ids, table):
        seen = torch.tanh(self.mix(self.embedding(ids))).mean(dim=1)
        return torch.sigmoid(self.risk(torch.cat([seen, table], dim=1)))


class Encoder(nn.Module):
    """A transformer encoder over steps, with two heads."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(3, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.risk, self.mode = nn.Linear(8, 1), nn.Linear(8, 3)

    def forward(self, steps):
        read = self.encoder(self.embed(steps)).mean(dim=1)
        return {"risk": torch.sigmoid(self.risk(read)), "mode": self.mode(read)}


def seeded(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """A module with weights of its own seed, in training mode; random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def normal(rng: np.random.Generator, rows: int, **shapes: Any) -> Rows:
    return {name: rng.standard_normal((rows, *shape)).astype(np.float32) for name, shape in shapes.items()}


def state(module: nn.Module) -> dict[str, Any]:
    """All that reading a module must leave as it was."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "modes": [m.training for m in module.modules()],
        "hooks": [len(getattr(m, name, ())) for m in module.modules() for name in hooks],
        "weights": [x.detach().float().numpy().copy() for x in (*module.parameters(), *module.buffers())],
        "grad flags": [p.requires_grad for p in module.parameters()],
        "grads": [p.grad is None for p in module.parameters()],
        "random state of PyTorch": torch.get_rng_state().numpy(),
        "random state of NumPy": np.random.get_state()[1],  # noqa: NPY002
        "gradients on": torch.is_grad_enabled(),
        "fast path of attention": torch.backends.mha.get_fastpath_enabled(),
    }


@contextmanager
def broken(module: nn.Module) -> Iterator[None]:
    """The module raises at its last step."""

    def fail(*_: Any) -> None:
        raise RuntimeError("broken on purpose")

    handle = module.register_forward_hook(fail)
    try:
        yield
    finally:
        handle.remove()
