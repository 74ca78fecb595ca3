"""Gradients of torch models: by hand, against Captum, in any surroundings."""

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, Saliency
from torch import nn

import xai_mimo as xm
from tests.helpers import torch_nets as nets
from xai_mimo.core.errors import NotSupported, UnknownName
from xai_mimo.core.targets import Selector

pytestmark = [pytest.mark.all_frameworks, pytest.mark.usefixtures("one_thread")]


class Linear(nn.Module):
    """Heads that are linear: gradients are the weights. One reads nothing, one is made without a graph."""

    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.tensor([[1.0, -2.0], [0.5, 4.0]]))
        self.b = nn.Parameter(torch.tensor([3.0, -1.0, 2.0]))

    def forward(self, u, v):
        return {
            "both": u @ self.a + (v @ self.b)[:, None],
            "u": u.sum(1),
            "nothing": self.b[:1].expand(len(u), 1),
            "cut": v.detach() * 2,
        }


def every(heads, rows):
    return [Selector(f"{h.name}{i}", h.name, np.full(rows, i)) for h in heads for i in range(h.size)]


def test_gradients_of_linear_heads_are_their_weights(rng):
    x = nets.normal(rng, 3, u=(2,), v=(3,))
    model = Linear()
    adapted = xm.adapt(model, like=x)
    outputs, slopes = adapted.gradients(x, every(adapted.heads, 3))
    a, b = np.array([[1.0, -2.0], [0.5, 4.0]]), np.array([3.0, -1.0, 2.0])
    zero_u, zero_v = np.zeros(2), np.zeros(3)
    by_u = [a[:, 0], a[:, 1], np.ones(2), zero_u, zero_u, zero_u, zero_u]
    by_v = [b, b, zero_v, zero_v, zero_v, zero_v, zero_v]
    np.testing.assert_array_equal(slopes["u"], np.repeat(np.array(by_u)[:, None], 3, axis=1))
    np.testing.assert_array_equal(slopes["v"], np.repeat(np.array(by_v)[:, None], 3, axis=1))
    np.testing.assert_allclose(outputs["both"], x["u"] @ a + (x["v"] @ b)[:, None], rtol=1e-5)


def test_units_differ_by_row_and_streams_restrict(rng):
    x = nets.normal(rng, 3, u=(2,), v=(3,))
    adapted = xm.adapt(Linear(), like=x)
    slopes = adapted.gradients(x, [Selector("both", "both", np.array([0, 1, 0]))], streams=["u"])[1]
    assert list(slopes) == ["u"]
    np.testing.assert_array_equal(slopes["u"][0], [[1.0, 0.5], [-2.0, 4.0], [1.0, 0.5]])
    with pytest.raises(UnknownName, match="no input stream is called 'w'; there are: u, v"):
        adapted.gradients(x, [Selector("u", "u", np.zeros(3, int))], streams=["w"])


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_gradients_are_right_inside_what_switches_them_off(around, rng):
    x, model = nets.normal(rng, 2, u=(2,), v=(3,)), Linear()
    with around():
        adapted = xm.adapt(model, like=x)
        slopes = adapted.gradients(x, [Selector("u", "u", np.zeros(2, int))])[1]
    np.testing.assert_array_equal(slopes["u"], np.ones((1, 2, 2)))


def test_all_targets_share_one_forward_pass_and_leave_no_gradient_behind(rng):
    model, x = nets.seeded(nets.Tables), nets.normal(rng, 6, left=(3,), right=(4,))
    adapted = xm.adapt(model, like=x)
    adapted.predict(x)  # measures what a row takes
    calls = []
    handle = model.register_forward_hook(lambda *_: calls.append(1))
    adapted.gradients(x, every(adapted.heads, 6))
    handle.remove()
    assert len(calls) == 1
    assert all(p.grad is None for p in model.parameters())


def _captum(method, model, x, unit_of):
    """One call of Captum for each unit of each head, as its users write it."""
    given = tuple(torch.from_numpy(v) for v in x.values())
    found = []
    for pick in unit_of:
        values = method(lambda *inputs, pick=pick: pick(model(*inputs)))
        found.append([v.detach().numpy() for v in values(given)])
    return [np.stack(stream) for stream in zip(*found, strict=True)]


TABLES = [lambda y, i=i: y[0][:, i] for i in range(3)] + [lambda y: y[1]] + [lambda y, i=i: y[2][:, i] for i in (0, 1)]
TARGETS = [("output_0", 0), ("output_0", 1), ("output_0", 2), "output_1", ("output_2", 0), ("output_2", 1)]


@pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning", "ignore:Input Tensor")
def test_saliency_and_integrated_gradients_are_those_of_captum(rng):
    x = nets.normal(rng, 5, left=(3,), right=(4,))
    model = nets.seeded(nets.Tables)
    ours = xm.explain(model, x, "gradient", targets=TARGETS)
    paths = xm.explain(model, x, xm.explainers.IntegratedGradients(steps=64), targets=TARGETS)
    assert model.training
    model.eval()

    def saliency(f):
        return lambda given: Saliency(f).attribute(given, abs=False)

    def integrated(f):
        return lambda given: IntegratedGradients(f).attribute(given, n_steps=64, method="gausslegendre")

    for result, method in ((ours, saliency), (paths, integrated)):
        # Captum asks for gradients that do not exist where a head leaves a stream out.
        theirs = _captum(method, model, x, TABLES[:4])
        np.testing.assert_allclose(result.left.values[:4], theirs[0], atol=1e-5)
        np.testing.assert_allclose(result.right.values[:4], theirs[1], atol=1e-5)
        assert not result.right.values[4:].any()


def test_a_head_of_whole_numbers_has_no_gradient_and_says_so(rng):
    class Votes(nn.Linear):
        def forward(self, x):
            return {"score": super().forward(x), "vote": super().forward(x).argmax(1)}

    x = nets.normal(rng, 3, x=(2,))
    adapted = xm.adapt(Votes(2, 3), like=x)
    assert adapted.predict(x)["vote"].dtype == np.int64
    with pytest.raises(NotSupported, match=r"head 'vote' gives torch\.int64, which has no gradient"):
        adapted.gradients(x, [Selector("vote", "vote", np.zeros(3, int))])
