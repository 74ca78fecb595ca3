"""Captum's methods of a layer along a path of the inputs: by hand, as Captum itself, and what is refused."""

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.frameworks import imported
from xai_mimo.core.completeness import relative_gap
from xai_mimo.core.errors import BadSetting, NotSupported

captum_attr, torch = imported("captum.attr"), imported("torch")

from torch import nn  # noqa: E402 - behind the skip
from xai_mimo_adapters.captum_methods.layers import (  # noqa: E402
    CaptumInternalInfluence,
    CaptumLayerConductance,
)

from tests.helpers import hookable_nets as nets  # noqa: E402
from tests.helpers import torch_nets  # noqa: E402

pytestmark = [
    pytest.mark.all_frameworks,
    pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning"),
]
KINDS = pytest.mark.parametrize("kind", [CaptumLayerConductance, CaptumInternalInfluence])


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def relus(rng):
    rows = {"left": rng.standard_normal((5, 3)), "right": rng.standard_normal((5, 4))}
    return torch_nets.seeded(nets.Relus).double(), rows


def explained(model, rows, method, at, **options):
    return xm.explain(model, rows, method, at=at, check=False, **options)


def test_conductance_of_what_the_last_layer_reads_is_weight_times_change_by_hand(relus):
    """df/dh is the weight all along the path, so that the integral is w_j times the change of h_j between the first and
    the last of the points that Captum takes, the nodes of Gauss and Legendre."""
    model, rows = relus
    baseline = {"left": np.full(3, 0.2), "right": np.full(4, -0.4)}
    ours = explained(
        model, rows, CaptumLayerConductance(baseline=baseline), "choice", targets=[("choice", "all"), ("hours", 0)]
    )
    (stream,) = (name for name in ours.data_vars if ours[name].ndim == 3 and ours[name].shape[2] == 5)
    ends = (1 + np.polynomial.legendre.leggauss(51)[0][[-1, 0]]) / 2
    with torch.no_grad():
        h = [
            _hidden(model, *(torch.from_numpy(baseline[name] + a * (x - baseline[name])) for name, x in rows.items()))
            for a in ends
        ]
    weight = model.choice.weight.detach().numpy()
    for unit in range(3):
        np.testing.assert_allclose(
            ours[stream].values[unit], weight[unit] * (h[0] - h[1]).numpy(), rtol=1e-6, atol=1e-12
        )
    assert not ours[stream].values[3].any()
    influence = explained(model, rows, CaptumInternalInfluence(), "choice", targets=[("choice", 1)])
    np.testing.assert_allclose(influence[stream].values[0], np.tile(weight[1], (5, 1)), rtol=1e-6)


def _hidden(model, left, right):
    return model.mixed(model.mix(model.inside(torch.cat([model.left(left), model.right(right)], dim=1))))


@KINDS
def test_every_unit_is_captums_own_on_a_network_joined_by_hand(kind, relus):
    model, rows = relus
    background = {name: x[::-1][:2] + 0.1 for name, x in rows.items()}
    options = {"background": background, "targets": [("choice", "all")], "max_memory": 20_000}
    ours = explained(model, rows, kind(steps=20, baseline="background"), "mix", **options)
    (stream,) = (name for name in ours.data_vars if ours[name].ndim == 3 and ours[name].shape[2] == 12)
    theirs = getattr(captum_attr, kind.name.removeprefix("captum."))(nets.SideBySide(model).eval(), model.mix)
    given = tuple(torch.from_numpy(x) for x in rows.values())
    for unit in range(3):
        both = [
            theirs.attribute(
                given,
                tuple(torch.from_numpy(x[b : b + 1].copy()) for x in background.values()),
                target=unit,
                n_steps=20,
                attribute_to_layer_input=True,
            )
            for b in range(2)
        ]
        expected = torch.stack([x[0] if isinstance(x, tuple) else x for x in both]).mean(dim=0)
        np.testing.assert_allclose(ours[stream].values[unit], expected.detach().numpy(), rtol=1e-6, atol=1e-12)


def test_conductances_sum_to_the_change_where_all_passes_through_the_layer(rng):
    model = torch_nets.seeded(lambda: nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 2))).double()
    x = rng.standard_normal((4, 3))
    gaps = [
        float(
            relative_gap(explained(model, x, CaptumLayerConductance(steps=n), "1", targets=[("output", "all")])).max()
        )
        for n in (20, 400)
    ]
    assert gaps[1] < gaps[0] / 5
    assert gaps[1] < 0.02


def test_streams_beside_the_layer_are_called_unexplained(rng):
    class Beside(nn.Module):
        def __init__(self):
            super().__init__()
            self.into, self.act, self.out = nn.Linear(3, 4), nn.Tanh(), nn.Linear(6, 1)

        def forward(self, x, table):
            return self.out(torch.cat([self.act(self.into(x)), table], dim=1))

    rows = {"x": rng.standard_normal((4, 3)), "table": rng.standard_normal((4, 2))}
    found = explained(torch_nets.seeded(Beside).double(), rows, CaptumLayerConductance(), "act")
    assert "table" in found.attrs["unexplained"]
    assert not found.table.values.any()
    assert "baseline_prediction" not in found


@KINDS
def test_what_cannot_be_is_refused(kind, relus, rng):
    model, rows = relus
    with pytest.raises(NotSupported, match=rf"{kind.name} explains what a layer reads: say which, .*at='<layer>'"):
        xm.explain(model, rows, kind(), check=False)
    tokens = {"ids": rng.integers(0, 11, (4, 5)), "table": rng.standard_normal((4, 2)).astype(np.float32)}
    with pytest.raises(
        NotSupported, match=r"input stream 'ids' \(int64\) has none\. Take 'captum\.IntegratedGradients'"
    ):
        explained(torch_nets.seeded(torch_nets.Tokens), tokens, kind(), "mix")
    with pytest.raises(BadSetting, match="steps must be a whole number"):
        kind(steps=0)


def test_a_keras_model_that_can_be_cut_cannot_be_hooked(rng):
    import keras

    inner = keras.layers.Dense(4, name="inner")
    model = keras.Sequential([keras.Input((3,), name="x"), inner, keras.layers.Dense(2, name="outer")])
    with pytest.raises(NotSupported, match=r"captum\.LayerConductance needs a model of PyTorch modules .* is none"):
        explained(model, rng.standard_normal((4, 3)).astype(np.float32), CaptumLayerConductance(), "outer")
