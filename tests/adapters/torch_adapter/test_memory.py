"""Memory of a row, as measured on the model, and chunks that keep to it."""

import gc

import numpy as np
import pytest
import torch
from torch import nn
from xai_mimo_adapters.torch_adapter.memory import bytes_of_a_row

import xai_mimo as xm
from xai_mimo.core.targets import Selector

pytestmark = [pytest.mark.all_frameworks, pytest.mark.usefixtures("one_thread")]


def test_a_row_takes_what_is_kept_of_it_and_no_weights():
    model, x = nn.Linear(3, 1000), torch.ones(5, 3, requires_grad=True)
    # Kept are the answers of tanh and the inputs, which the weights' gradients need; besides 4 times what goes in and out.
    wanted = 4 * (1000 + 3) + 4 * 4 * (3 + 1000)
    assert bytes_of_a_row(lambda g: {"y": torch.tanh(model(g["x"]))}, {"x": x}, model.parameters()) == wanted
    assert bytes_of_a_row(lambda g: {"y": torch.tanh(model(g["x"]))}, {"x": x}, []) > wanted + 3 * 1000 * 4 // 5 - 1


def test_measuring_leaves_no_tensors_behind():
    """What tanh gives and keeps is part of its own graph: handed back, it would hold itself."""
    model, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh()), torch.ones(5, 3, requires_grad=True)

    def tensors():
        gc.collect()
        return sum(isinstance(each, torch.Tensor) for each in gc.get_objects())

    before = tensors()
    bytes_of_a_row(lambda g: {"y": model(g["x"])}, {"x": x}, model.parameters())
    assert tensors() == before


def test_chunks_keep_to_the_memory_that_is_given(rng):
    model, x = nn.Sequential(nn.Linear(3, 1000), nn.Tanh()), rng.standard_normal((40, 3)).astype(np.float32)
    rows = []
    handle = model.register_forward_hook(lambda module, args, output: rows.append(len(output)))
    adapted = xm.adapt(model, like=x, max_memory=10 * 20_060)
    adapted.predict(x)
    rows.clear()
    adapted.predict(x)
    assert rows == [10] * 4
    rows.clear()
    adapted.gradients(x, [Selector("y", "output", np.zeros(40, int))])  # needs twice as much
    assert rows == [5] * 8
    handle.remove()
