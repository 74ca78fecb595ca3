"""Small torch networks whose every non-linear operation is a module, and some in which it is not."""

import torch
from torch import nn

from tests.helpers.torch_nets import seeded


class Relus(nn.Module):
    """Two tables to a choice of three, a quantity that reads one table alone, and one that is constant."""

    def __init__(self):
        super().__init__()
        self.left, self.right, self.alone = nn.Linear(3, 6), nn.Linear(4, 6), nn.Linear(3, 6)
        self.inside, self.mixed, self.own = nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU()
        self.mix = nn.Linear(12, 5)
        self.choice, self.hours = nn.Linear(5, 3), nn.Linear(6, 2)

    def forward(self, left, right):
        mixed = self.mixed(self.mix(self.inside(torch.cat([self.left(left), self.right(right)], dim=1))))
        return {
            "choice": self.choice(mixed),
            "hours": self.hours(self.own(self.alone(left))),
            "still": torch.full((len(left), 1), 0.5, dtype=left.dtype),
        }


class SideBySide(nn.Module):
    """``Relus`` as Captum wants it, written by hand: all units side by side."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, left, right):
        return torch.cat(list(self.model(left, right).values()), dim=1)


class Pictures(nn.Module):
    """Pictures ``(channel, height, width)`` and a table to two heads; a max pooling stands right behind a ReLU."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 5, 3, padding=1)
        self.act, self.pool, self.last = nn.ReLU(), nn.MaxPool2d(2), nn.ReLU()
        self.mean, self.flat = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.kind, self.size = nn.Linear(5, 3), nn.Linear(7, 1)

    def forward(self, picture, table):
        seen = self.flat(self.mean(self.last(self.second(self.pool(self.act(self.first(picture)))))))
        return {"kind": self.kind(seen), "size": self.size(torch.cat([seen, table], dim=1))}


class Residual(nn.Module):
    """An activation that reads what is also added behind it."""

    def __init__(self):
        super().__init__()
        self.into, self.act, self.out = nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2)

    def forward(self, x):
        h = self.into(x)
        return self.out(self.act(h) + h)


class Between(nn.Module):
    """One table to two units, with something of the test's choice in the middle: ``middle(self, h)``."""

    def __init__(self, middle, **modules):
        super().__init__()
        self.into, self.middle, self.out = nn.Linear(3, 4), middle, nn.Linear(4, 2)
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x):
        return self.out(self.middle(self, self.into(x)))


def between(middle, **modules):
    return seeded(lambda: Between(middle, **modules))


class Probabilities(nn.Module):
    """A softmax that is a module, and a sigmoid that is a function."""

    def __init__(self):
        super().__init__()
        self.into, self.act = nn.Linear(3, 6), nn.ReLU()
        self.kind, self.soft, self.risk = nn.Linear(6, 3), nn.Softmax(dim=-1), nn.Linear(6, 1)

    def forward(self, x):
        h = self.act(self.into(x))
        return {"kind": self.soft(self.kind(h)), "risk": torch.sigmoid(self.risk(h))}
