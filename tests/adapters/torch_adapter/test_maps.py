"""Maps that modules sow, by their paths, and others in their place."""

import numpy as np
import pytest
import torch
from torch import nn

import xai_mimo as xm
from tests.helpers import torch_nets as nets
from xai_mimo.core.errors import NotSupported, UnknownName
from xai_mimo.sowing import replacement, sow
from xai_mimo.testing import check_adapter

pytestmark = [pytest.mark.all_frameworks, pytest.mark.usefixtures("one_thread")]


class Gate(nn.Module):
    """Weights its features, and shows by how much."""

    def __init__(self, features):
        super().__init__()
        self.weigh = nn.Linear(features, features)

    def forward(self, x):
        own = torch.sigmoid(self.weigh(x))
        gate = replacement(self, "gate")
        gate = own if gate is None else gate
        sow(self, "gate", gate, axes=("feature",), coords={"feature": ["a", "b", "c"]})
        sow(self, "shown", own * 2, axes=("feature",))
        return gate * x


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.ModuleDict({"gate": Gate(3)})
        self.head = nn.Linear(3, 2)

    def forward(self, x):
        return self.head(self.inner["gate"](x))


def test_a_module_sows_under_its_path(rng):
    model, x = nets.seeded(Gated), nets.normal(rng, 4, x=(3,))
    found = xm.intercept(model, x)
    gate = torch.sigmoid(model.inner["gate"].weigh(torch.from_numpy(x["x"]))).detach().numpy()
    maps = xm.adapt(model, like=x).intercept(x)
    assert set(maps) == {"inner.gate/gate", "inner.gate/shown"}
    np.testing.assert_allclose(maps["inner.gate/gate"].values, gate, rtol=1e-6)
    assert maps["inner.gate/gate"].coords == {"feature": ("a", "b", "c")}
    assert found.sizes["sample"] == 4
    little = xm.adapt(model, like=x, max_memory=1).intercept(x)
    np.testing.assert_allclose(little["inner.gate/gate"].values, gate, rtol=1e-6)
    check_adapter(xm.adapt(model, like=x), x, state=lambda: nets.state(model))


def test_a_map_is_replaced_where_the_module_works_with_it(rng):
    model, x = nets.seeded(Gated), nets.normal(rng, 4, x=(3,))
    adapted = xm.adapt(model, like=x)
    closed = adapted.override({"inner.gate/gate": np.zeros((1, 3), np.float32)}).predict(x)["output"]
    np.testing.assert_allclose(closed, np.tile(model.head.bias.detach().numpy(), (4, 1)), rtol=1e-6)
    with pytest.raises(
        NotSupported, match=r"module 'inner\.gate' only shows its map 'shown' and does not work with it"
    ):
        adapted.override({"inner.gate/shown": np.zeros((1, 3), np.float32)}).predict(x)
    with pytest.raises(UnknownName, match=r"no map is called 'gate'; there are: inner\.gate/gate, inner\.gate/shown"):
        adapted.override({"gate": np.zeros((1, 3), np.float32)})


def test_the_model_itself_goes_by_its_class(rng):
    model, x = nets.seeded(lambda: Gate(3)), nets.normal(rng, 2, x=(3,))
    assert set(xm.adapt(model, like=x).intercept(x)) == {"Gate/gate", "Gate/shown"}
