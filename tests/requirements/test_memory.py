"""Memory is bounded by what is given, whatever the steps, samples and background; nothing stays; loaders are read."""

import gc
import tracemalloc

import numpy as np
import pytest
import torch

import xai_mimo as xm
from tests.helpers import networks_by_hand as by_hand
from tests.helpers.frameworks import imported
from xai_mimo.explainers import ExpectedGradients, IntegratedGradients, Occlusion, Shapley, SmoothGrad

pytestmark = [
    pytest.mark.all_frameworks,
    pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning"),
]
ROWS = by_hand.rows(4)
CALLS = 200


class Largest(torch.nn.Module):
    """The model by hand behind 4000 numbers a row, which remembers how many rows came at once."""

    def __init__(self):
        super().__init__()
        self.rows = 0

    def forward(self, a, b, c):
        self.rows = max(self.rows, len(a))
        wide = torch.tanh(a[:, :1] * torch.ones(4000))
        return by_hand.heads(a + 0 * wide[:, :2], b, c)


def largest(method, max_memory):
    network, rows = Largest(), by_hand.rows(8)
    model = xm.adapt(network, like=rows, max_memory=max_memory)
    network.rows = 0
    ask = {"targets": ["second"], "background": by_hand.rows(10, seed=1), "check": False}
    found = xm.explain(model, rows, method, **ask)
    return network.rows, found


BOUNDED = {
    "background": Shapley(8, players="streams"),
    "steps": IntegratedGradients(steps=50),
    "samples": ExpectedGradients(50),
    "perturbed": Occlusion(),
}


@pytest.mark.parametrize("kind", BOUNDED)
def test_rows_at_once_are_bounded_by_memory(kind):
    """All background samples in one batch; steps or samples that multiply the rows; a batch size that is ignored for
    perturbed samples: out of memory. (shap/shap#306, captum#538, #245, #632, captum#1350, xplique#137)

    A row takes 16 kB at least: with 128 kB no more than 8 go at once, whatever the method multiplies them by, and the
    numbers are the same.
    """
    (many, one), (few, other) = (largest(BOUNDED[kind], memory) for memory in (2**29, 2**17))
    assert few <= 8
    assert many >= 50
    for name in by_hand.STREAMS:
        np.testing.assert_allclose(other[name], one[name], atol=1e-5)


def hooks_of(network):
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in network.modules() for kind in kinds)


def live_tensors():
    gc.collect()
    return sum(1 for each in gc.get_objects() if issubclass(type(each), torch.Tensor))


def test_two_hundred_calls_leave_no_hook_and_no_tensor():
    """Memory grows with each call: hooks are not removed, tensors are kept; collecting garbage by hand is needed on a
    GPU. (shap/shap#4839, #2291, captum#1055)"""
    network = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    x = ROWS["a"][:2]
    model, method = xm.adapt(network, like=x), IntegratedGradients(steps=2)
    xm.explain(model, x, method, check=False)
    hooks, tensors = hooks_of(network), live_tensors()
    for _ in range(CALLS):
        xm.explain(model, x, method, check=False)
    assert hooks_of(network) == hooks == 0
    assert live_tensors() == tensors
    assert all(parameter.grad is None for parameter in network.parameters())


def test_two_hundred_calls_leave_no_array_on_jax():
    """The same on JAX: arrays of its devices, and compiled functions. (captum#1055)"""
    jax = imported("jax")
    model = xm.adapt(by_hand.jax_model(), like=ROWS)
    ask = {"method": "gradient", "targets": ["second"], "check": False}
    xm.explain(model, ROWS, **ask)
    gc.collect()
    arrays = len(jax.live_arrays())
    for _ in range(CALLS):
        xm.explain(model, ROWS, **ask)
    gc.collect()
    assert len(jax.live_arrays()) == arrays


def test_two_hundred_calls_take_no_more_memory():
    """The same of Python's own memory: after 200 calls there is no more than after 20. (captum#1055)"""
    model = xm.adapt(lambda a, b, c: by_hand.heads(a, b, c), like=ROWS)
    ask = {"method": "occlusion", "targets": ["second"], "check": False}

    def repeat(calls):
        for _ in range(calls):
            xm.explain(model, ROWS, **ask)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = repeat(20)
        after = repeat(CALLS)
    finally:
        tracemalloc.stop()
    assert (after - before) / CALLS < 500  # bytes a call; an explanation takes twenty times as much


class Pairs(torch.utils.data.Dataset):
    def __len__(self):
        return len(ROWS["a"])

    def __getitem__(self, i):
        return {name: torch.from_numpy(values[i]) for name, values in ROWS.items()}


LOADED = [
    "gradient",
    "input_x_gradient",
    IntegratedGradients(steps=2),
    SmoothGrad(3),
    ExpectedGradients(4),
    "occlusion",
]
LOADED += [Shapley(24), "shap.kernel", "captum.IntegratedGradients"]


@pytest.mark.parametrize("method", LOADED, ids=str)
def test_every_method_reads_a_data_loader(method):
    """Take a DataLoader in every method. (captum#494)"""
    model = xm.adapt(by_hand.torch_model(), like=ROWS)
    ask = {"method": method, "targets": ["second"], "background": by_hand.rows(2, seed=1)}
    whole = xm.explain(model, ROWS, **ask)
    found = xm.explain(model, torch.utils.data.DataLoader(Pairs(), batch_size=3), **ask)
    for name in by_hand.STREAMS:
        np.testing.assert_array_equal(found[name], whole[name])
