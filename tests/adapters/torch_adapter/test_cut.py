"""Modules cut at a submodule: what it reads, what lies behind, what is refused."""

import copy

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from torch import nn

import xai_mimo as xm
from tests.helpers import torch_nets as nets
from xai_mimo.core.errors import NotSupported, UnknownName
from xai_mimo.core.held import held_by
from xai_mimo.core.model import Holding, Splittable
from xai_mimo.core.positions import resize
from xai_mimo.core.targets import Selector
from xai_mimo.explainers import GradCAM, IntegratedGradients
from xai_mimo.testing import check_adapter

pytestmark = [pytest.mark.all_frameworks, pytest.mark.usefixtures("one_thread")]


def names(part):
    return [s.name for s in part.streams]


@pytest.fixture
def pictures(rng):
    model, x = nets.seeded(nets.Pictures), nets.normal(rng, 4, picture=(2, 6, 6), table=(2,))
    return model, x, xm.adapt(model, like=x)


def test_layers_are_the_modules_that_read_rows_in_the_order_of_their_calls(pictures):
    model, _, adapted = pictures
    inner, before = [f"features.{i}" for i in range(4)], nets.state(model)
    assert adapted.layers() == ("features", *inner, "pool", "kind", "size")
    assert adapted.layer_streams("size") == {"input": ("picture", "table"), "picture": ("picture",)}
    assert adapted.tail("pool").streams[0].axes == ("channel", "height", "width")
    np.testing.assert_equal(nets.state(model), before)


def test_what_a_module_reads_is_taken_before_it_writes_into_it(pictures):
    model, x, adapted = pictures
    picture = torch.from_numpy(x["picture"])
    with torch.no_grad():
        before = model.features[0](picture)
    read = adapted.activations(x, "features.1")  # a ReLU in place
    np.testing.assert_allclose(read["picture_encoded"], before.numpy(), rtol=1e-6)
    assert (read["picture_encoded"] < 0).any()
    np.testing.assert_array_equal(read["table"], x["table"])


@pytest.mark.parametrize("layer", ["features.3", "pool"])
def test_grad_cam_is_that_of_captum(layer, pictures):
    model, x, _ = pictures
    targets = [("kind", 0), ("kind", 2), ("size", 0)]
    ours = xm.explain(model, x, GradCAM(at=layer, stream="picture"), targets=targets)
    model.eval()
    given, module = tuple(torch.from_numpy(v) for v in x.values()), model.get_submodule(layer)
    for t, (head, unit) in enumerate(targets):
        cam = LayerGradCam(lambda *a, head=head, unit=unit: model(*a)[head][:, unit], module)
        found = cam.attribute(given, attribute_to_layer_input=True, relu_attributions=True)
        theirs = resize(found[:, 0].detach().numpy(), (6, 6))
        assert theirs.any()
        np.testing.assert_allclose(ours.picture.values[t].sum(axis=1), theirs, atol=1e-5)


class Residual(nn.Module):
    """A residual step around a layer, whose input is used beside it too."""

    def __init__(self):
        super().__init__()
        self.first, self.inside, self.norm = nn.Linear(3, 4), nn.Linear(4, 4), nn.LayerNorm(4)
        self.last = nn.Linear(4, 1)

    def forward(self, x):
        h = torch.tanh(self.first(x))
        return self.last(h + self.inside(self.norm(h)))


def test_a_residual_connection_reads_what_is_put_in_the_place_of_the_layers_input(rng):
    model, x = nets.seeded(Residual), nets.normal(rng, 3, x=(3,))
    part = xm.adapt(model, like=x).tail("norm")
    assert names(part) == ["x_encoded"]
    h = torch.from_numpy(rng.standard_normal((3, 4)).astype(np.float32)).requires_grad_()
    y = model.last(h + model.inside(model.norm(h)))
    slope = torch.autograd.grad(y.sum(), h)[0]
    outputs, gradients = part.gradients(
        {"x_encoded": h.detach().numpy()}, [Selector("output", "output", np.zeros(3, int))]
    )
    np.testing.assert_allclose(outputs["output"], y.detach().numpy(), rtol=1e-5)
    np.testing.assert_allclose(gradients["x_encoded"][0], slope.numpy(), rtol=1e-4, atol=1e-6)


def test_a_module_with_a_scripted_one_inside_is_cut_at(rng):
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.inside = torch.jit.script(nn.Linear(4, 1))

        def forward(self, x):
            return self.inside(x)

    class Partly(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(3, 4), Last()

        def forward(self, x):
            return self.last(torch.tanh(self.first(x)))

    model, x = nets.seeded(Partly), nets.normal(rng, 3, x=(3,))
    adapted = xm.adapt(model, like=x)
    assert adapted.layers() == ("first", "last")
    read = rng.standard_normal((3, 4)).astype(np.float32)
    expected = model.last(torch.from_numpy(read)).detach().numpy()
    np.testing.assert_allclose(adapted.tail("last").predict(read)["output"], expected, rtol=1e-5)


def test_a_stream_that_is_looked_at_in_python_reaches_every_head(rng):
    class Deciding(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 1)

        def forward(self, x, level):
            sign = 1.0 if bool((level > -100).all()) else -1.0
            return self.b(sign * self.a(x))

    x = nets.normal(rng, 3, x=(2,), level=(1,))
    assert names(xm.adapt(Deciding(), like=x).tail("b")) == ["x_encoded", "level"]


def test_masks_are_held_and_no_stream_of_a_tail(rng):
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(7, 8)
            self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 8, batch_first=True), 1)
            self.risk = nn.Linear(8, 1)

        def forward(self, ids, padding):
            return self.risk(self.encoder(self.embedding(ids), src_key_padding_mask=padding)[:, 0])

    padding = np.zeros((4, 5), bool)
    padding[1:3, 3:] = True
    x = {"ids": rng.integers(0, 7, (4, 5)), "padding": padding}
    model = nets.seeded(Masked)
    adapted = xm.adapt(model, like=x)
    part = adapted.tail("encoder.layers.0.self_attn")
    assert names(part) == ["ids_encoded"]
    assert isinstance(part, Holding)
    assert held_by(part) == ("padding",)
    check_adapter(adapted, x, state=lambda: nets.state(model), layers=["encoder", "encoder.layers.0.self_attn"])
    read = adapted.activations(x, "encoder")
    one = {name: v[1:2] for name, v in read.items()}
    held = adapted.tail("encoder").holding({"padding": one.pop("padding")})
    assert held.held == ()
    np.testing.assert_allclose(held.predict(one)["output"], adapted.predict(x)["output"][1:2], rtol=1e-5)
    assert adapted.where_floats_begin() == "encoder"
    with pytest.raises(NotSupported, match=r"'ids' holds integers.*at='encoder'"):
        xm.explain(model, x)
    paths = xm.explain(model, x, IntegratedGradients(baseline="mean"), at="encoder")
    assert paths.ids_encoded.shape == (1, 4, 5, 8)
    assert not paths.ids_encoded.values[0, 1:3, 3:].any()
    assert float(np.abs(paths.completeness_gap).max()) < 1e-3


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.same, self.never, self.flat = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
        self.last = nn.Linear(2, 1)

    def forward(self, x):
        h = self.same(self.same(x))
        return self.last(self.flat(h[:, None].repeat(1, 3, 1).flatten(0, 1)).unflatten(0, (-1, 3)).mean(1))


@pytest.mark.parametrize(
    ("layer", "error", "text"),
    [
        ("same", NotSupported, "layer 'same' of 'Twice' is called 2 times in this model.*Explain at one of: last"),
        ("never", NotSupported, "layer 'never' of 'Twice' is not called as a module when the model runs"),
        (
            "flat",
            NotSupported,
            r"layer 'flat' of 'Twice' reads 'input' of shape \(21, 2\) for 7 rows, which has no batch",
        ),
        ("lst", UnknownName, "no layer is called 'lst'; there are: last. Did you mean 'last'?"),
    ],
)
def test_modules_that_cannot_be_cut_at_are_refused_by_name(layer, error, text, rng):
    x = nets.normal(rng, 3, x=(2,))
    adapted = xm.adapt(Twice(), like=x)
    assert adapted.layers() == ("last",)
    for read in (adapted.tail, adapted.layer_streams, lambda name: adapted.activations(x, name)):
        with pytest.raises(error, match=text):
            read(layer)


def test_a_layer_that_some_rows_pass_only_is_named(rng):
    class Sometimes(nn.Linear):
        def __init__(self):
            super().__init__(2, 1)
            self.extra = nn.Linear(2, 2)

        def forward(self, x):
            h = 2 * x
            return super().forward(self.extra(h) if bool(h.sum() > 0) else h)

    x = {"x": np.ones((3, 2), np.float32)}
    adapted = xm.adapt(nets.seeded(Sometimes), like=x)
    with pytest.raises(NotSupported, match="layer 'extra' was called once when the model was adapted, and 0 times now"):
        adapted.activations({"x": -x["x"]}, "extra")


def test_a_failing_module_leaves_no_hook_and_no_mode_behind(pictures):
    model, x, adapted = pictures
    part, read = adapted.tail("pool"), adapted.activations(x, "pool")
    before = nets.state(model)
    fails = model.size.register_forward_pre_hook(lambda *_: 1 / 0)
    for call in (
        lambda: part.predict(read),
        lambda: xm.adapt(copy.deepcopy(model), like=x),
        lambda: adapted.predict(x),
    ):
        with pytest.raises((ZeroDivisionError, NotSupported)):
            call()
    fails.remove()
    after = nets.state(model)
    for name, value in before.items():
        np.testing.assert_equal(after[name], value)


def test_a_scripted_module_cannot_be_cut(rng):
    x = nets.normal(rng, 3, left=(3,), right=(4,))
    scripted = torch.jit.script(nets.seeded(nets.Tables))
    assert not isinstance(xm.adapt(scripted, like=x), Splittable)


def test_a_randomised_copy_keeps_the_values_of_each_parameter(pictures):
    model, x, adapted = pictures
    twin = adapted.randomised(np.random.default_rng(0), ["features"])
    for (name, old), new in zip(model.named_parameters(), twin.model.parameters(), strict=True):
        assert torch.equal(old, new) is not name.startswith("features")
        assert torch.equal(old.flatten().sort().values, new.flatten().sort().values)
    assert not np.allclose(twin.predict(x)["kind"], adapted.predict(x)["kind"])
    with pytest.raises(UnknownName, match="no layer is called 'feature'"):
        adapted.randomised(np.random.default_rng(0), ["feature"])
