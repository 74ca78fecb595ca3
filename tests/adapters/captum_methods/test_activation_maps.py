"""Captum's class activation maps: as grad_cam, as Captum on a network joined by hand, and what is refused."""

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.frameworks import imported
from xai_mimo.core.errors import BadSetting, NotSupported
from xai_mimo.testing import check_method

captum_attr, torch = imported("captum.attr"), imported("torch")

from torch import nn  # noqa: E402 - behind the skip
from xai_mimo_adapters.captum_methods.activation_maps import (  # noqa: E402
    CaptumGuidedGradCam,
    CaptumLayerGradCam,
)

from tests.helpers import hookable_nets as nets  # noqa: E402
from tests.helpers import torch_nets  # noqa: E402
from xai_mimo.explainers.activation_maps.grad_cam import GradCAM  # noqa: E402

pytestmark = [
    pytest.mark.all_frameworks,
    pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning"),
]
TARGETS = [("kind", "all"), "size"]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def pictures(rng):
    rows = {"picture": rng.standard_normal((4, 2, 6, 6)), "table": rng.standard_normal((4, 2))}
    return torch_nets.seeded(nets.Pictures).double(), rows


def explained(model, rows, method, **options):
    return xm.explain(model, rows, method, check=False, **options)


@pytest.mark.parametrize("positive", [True, False])
def test_the_map_is_that_of_grad_cam(positive, pictures):
    model, rows = pictures
    for at in ("second", "mean"):
        settings = {"at": at, "stream": "picture", "positive": positive}
        ours = explained(model, rows, CaptumLayerGradCam(**settings), targets=TARGETS)
        other = explained(model, rows, GradCAM(**settings), targets=TARGETS)
        np.testing.assert_allclose(ours.picture.values, other.picture.values, rtol=1e-6, atol=1e-12)
        assert ours.picture.values.any()
        assert not ours.table.values.any()
        assert ours.attrs["unexplained"] == other.attrs["unexplained"]


@pytest.mark.filterwarnings("ignore:Setting backward hooks", "ignore:Couldn't appropriately interpolate")
@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
def test_guided_maps_are_captums_own_on_a_network_joined_by_hand(interpolation, pictures):
    model, rows = pictures
    method = CaptumGuidedGradCam(at="second", stream="picture", interpolation=interpolation)
    ours = explained(model, rows, method, targets=TARGETS)
    theirs = captum_attr.GuidedGradCam(nets.SideBySide(model).eval(), model.second)
    mode = {"nearest": "nearest", "linear": "bilinear"}[interpolation]
    given = tuple(torch.from_numpy(x).requires_grad_() for x in rows.values())
    for unit in range(4):
        found = theirs.attribute(given, unit, interpolate_mode=mode, attribute_to_layer_input=True)
        np.testing.assert_allclose(ours.picture.values[unit], found[0].detach().numpy(), rtol=1e-6, atol=1e-12)
    assert ours.picture.values.any()


def test_a_guided_map_is_guided_gradients_times_the_map(pictures):
    model, rows = pictures
    maps = explained(model, rows, CaptumLayerGradCam(at="act", stream="picture"), targets=TARGETS)
    guided = explained(model, rows, "captum.GuidedBackprop", targets=TARGETS)
    both = explained(model, rows, CaptumGuidedGradCam(at="act", stream="picture"), targets=TARGETS)
    times = guided.picture.values * maps.picture.values.sum(axis=2, keepdims=True)  # at the stream's own resolution
    np.testing.assert_allclose(both.picture.values, times, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("kind", [CaptumLayerGradCam, CaptumGuidedGradCam])
def test_they_keep_the_contract_of_methods(kind, pictures):
    model, rows = pictures
    method = kind(at="second", stream="picture")
    check_method(method, xm.adapt(model, like=rows), rows, uses_background=False)


def test_a_head_that_the_layer_does_not_reach_gets_zeros(rng):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.mean, self.flat = nn.Conv1d(2, 3, 3), nn.AdaptiveAvgPool1d(1), nn.Flatten()
            self.act, self.near, self.far = nn.ReLU(), nn.Linear(3, 1), nn.Linear(2, 1)

        def forward(self, signal, table):
            return self.near(self.flat(self.mean(self.act(self.conv(signal))))), self.far(table)

    rows = {"signal": rng.standard_normal((4, 2, 9)), "table": rng.standard_normal((4, 2))}
    model = torch_nets.seeded(Two).double()
    for method in (CaptumLayerGradCam(at="mean", stream="signal"), CaptumGuidedGradCam(at="mean", stream="signal")):
        found = explained(model, rows, method)
        assert found.signal.values[0].any()
        assert not found.signal.values[1].any()


@pytest.mark.parametrize("kind", [CaptumLayerGradCam, CaptumGuidedGradCam])
def test_other_streams_that_a_head_reads_are_left_out_by_name(kind, pictures):
    model, rows = pictures
    with pytest.raises(
        NotSupported, match=r"head 'size' also reads 'table', and captum\.\w+ at layer 'second' says not"
    ):
        explained(model, rows, kind(at="second"), targets=["size"])


def test_channels_that_stand_last_are_refused(rng):
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix, self.act, self.out = nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)

        def forward(self, steps):
            return self.out(self.act(self.mix(steps)).mean(dim=1))

    steps = rng.standard_normal((4, 5, 3)).astype(np.float32)
    with pytest.raises(
        NotSupported, match=r"takes the first axis .* for its channels, .*'act' reads .*Take 'grad_cam'"
    ):
        explained(torch_nets.seeded(Last), steps, CaptumLayerGradCam(at="act"))


def test_relus_that_are_functions_are_refused_where_gradients_are_guided(rng):
    model = torch_nets.seeded(
        lambda: nn.Sequential(nn.Conv1d(2, 3, 3), nn.Tanh(), nn.AdaptiveAvgPool1d(1), nn.Flatten())
    )
    signal = rng.standard_normal((4, 2, 9)).astype(np.float32)
    with pytest.raises(NotSupported, match=r"captum\.GuidedGradCam changes .* none lies on the way to"):
        explained(model, signal, CaptumGuidedGradCam(at="2"))
    assert explained(model, signal, CaptumLayerGradCam(at="2")).sizes["sample"] == 4


def test_what_cannot_be_hooked_is_refused_first(pictures):
    model, rows = pictures
    for kind in (CaptumLayerGradCam, CaptumGuidedGradCam):
        with pytest.raises(NotSupported, match=r"needs a model of PyTorch modules that can be hooked, and .* is none"):
            explained(lambda picture, table: model(picture, table), rows, kind(at="second"))


def test_settings_are_checked():
    with pytest.raises(BadSetting, match="interpolation 'cubic' is not one of nearest, linear"):
        CaptumGuidedGradCam(interpolation="cubic")
    with pytest.raises(BadSetting, match="at must be a name"):
        CaptumLayerGradCam(at=3)
