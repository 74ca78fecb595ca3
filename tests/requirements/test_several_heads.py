"""Heads by name, in whatever form a model gives them; any of them in one call, at a cost that is shared."""

import collections
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

import xai_mimo as xm
from tests.helpers import networks_by_hand as by_hand
from xai_mimo.explainers import Shapley

# Each head leaves some stream alone, which is said every time.
pytestmark = pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning")
once = pytest.mark.all_frameworks
ROWS = by_hand.rows()


@once
@pytest.mark.parametrize("framework", by_hand.NATIVE)
def test_three_inputs_and_four_heads(framework):
    """A classifier of 3 inputs and 4 outputs; how does each input bear on each output? (shap/shap#2436)"""
    found = xm.explain(by_hand.NATIVE[framework](), ROWS, "integrated_gradients")
    by_hand.assert_maps(found, by_hand.attributions(ROWS))
    assert found.sizes["head"] == 5


def test_a_keras_model_of_several_outputs():
    """A TensorFlow model with 3 outputs: "only one output is accepted at once". (shap/shap#2868)"""
    found = xm.explain(by_hand.keras_model(), ROWS, "integrated_gradients")
    by_hand.assert_maps(found, by_hand.attributions(ROWS))


@once
def test_no_head_is_given_the_map_of_another():
    """Of several outputs the last one's map is returned, whichever is asked for. (shap/shap#439)"""
    model = by_hand.torch_model(lambda made: list(made.values()))
    model = xm.adapt(model, like=ROWS, heads=dict.fromkeys(by_hand.HEADS[:3], 1) | {"two": 2})
    expected = by_hand.attributions(ROWS)
    for place, target in enumerate(by_hand.TARGETS):
        for method in ("integrated_gradients", Shapley(2**9)):
            found = xm.explain(model, ROWS, method, targets=[target], background=by_hand.ZEROS)
            by_hand.assert_maps(found, expected, targets=[place])


@dataclasses.dataclass
class Answer:
    first: Any
    second: Any
    third: Any
    two: Any


FORMS = {
    "tuple": lambda made: tuple(made.values()),
    "list": lambda made: list(made.values()),
    "mapping": dict,
    "named tuple": lambda made: collections.namedtuple("Answer", made)(**made),
    "data class": lambda made: Answer(**made),
}


@once
@pytest.mark.parametrize("form", FORMS)
def test_heads_in_every_form(form):
    """A model that returns a tuple or a list: "'tuple' object has no attribute 'shape'". (captum#444, #308, #642, #665,
    #1230)"""
    model = xm.adapt(by_hand.torch_model(FORMS[form]), like=ROWS)
    if form not in ("tuple", "list"):
        assert [head.name for head in model.heads] == list(by_hand.HEADS)
    found = xm.explain(model, ROWS, "gradient")
    by_hand.assert_maps(found, by_hand.gradients(ROWS))


@once
def test_a_layer_that_returns_a_tuple():
    """Modules inside a model whose output is a tuple. (captum#1215)"""

    class Pair(torch.nn.Module):
        def forward(self, x):
            return 2 * x, 3 * x

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.pair, self.join = Pair(), torch.nn.Bilinear(2, 2, 1, bias=False)
            torch.nn.init.ones_(self.join.weight)

        def forward(self, x):
            return self.join(*self.pair(x))

    x = ROWS["a"]
    # y = (2 x_0 + 2 x_1)(3 x_0 + 3 x_1): of the product of two things that the layer reads, each has half.
    y = 6 * x.sum(axis=1) ** 2
    found = xm.explain(Network(), x, "integrated_gradients", at="join")
    for values in (found[name] for name in found.data_vars if found[name].dims[2:]):
        np.testing.assert_allclose(values.sum(dim=values.dims[2]).squeeze(), y / 2, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["prediction"].squeeze(), y, rtol=1e-5)


@once
def test_integrated_gradients_of_several_tasks_sum_to_the_change_of_each():
    """Integrated Gradients for models of several tasks. (alibi#343)"""
    found = xm.explain(by_hand.torch_model(), ROWS, "integrated_gradients")
    total = sum(found[name].sum(dim=f"{name}_feature") for name in by_hand.STREAMS)
    outputs = by_hand.heads(**ROWS)
    expected = np.concatenate([outputs[head] for head in by_hand.HEADS], axis=1).T
    np.testing.assert_allclose(total, expected, atol=1e-4)
    assert float(abs(found["completeness_gap"]).max()) < 1e-4


class _Counted(torch.autograd.Function):
    """Passes a value on, and counts how often it comes by forward and backward."""

    forward_passes = backward_passes = rows = 0

    @staticmethod
    def forward(ctx, x):
        _Counted.forward_passes += 1
        _Counted.rows += len(x)
        return x.clone()

    @staticmethod
    def backward(ctx, slope):
        _Counted.backward_passes += 1
        return slope


def counted() -> Any:
    class Network(torch.nn.Module):
        def forward(self, a, b, c):
            return by_hand.heads(*(_Counted.apply(x) if x is c else x for x in (a, b, c)))

    model = xm.adapt(Network(), like=ROWS)
    passes(model, "gradient", ALL)  # what is looked at once in a model's life is over
    return model


def passes(model, method, targets) -> tuple[int, int, int]:
    _Counted.forward_passes = _Counted.backward_passes = _Counted.rows = 0
    xm.explain(model, ROWS, method, targets=targets, background=by_hand.ZEROS, check=False)
    return _Counted.forward_passes, _Counted.backward_passes, _Counted.rows


ONE, ALL = [("two", 1)], [(head, unit) for head, unit in by_hand.TARGETS if head in ("second", "two")]


@once
def test_one_head_of_many_costs_what_one_costs():
    """Explain the one output that is of interest, without paying for all. (shap/shap#2009)"""
    model = counted()
    forward, backward, _ = passes(model, "gradient", ONE)
    assert backward == 1
    forward_of_all, backward_of_all, _ = passes(model, "gradient", ALL)
    assert backward_of_all == len(ALL) == 3
    assert forward_of_all == forward


@once
@pytest.mark.parametrize("method", [Shapley(2**9), "occlusion", "shap.kernel"], ids=str)
def test_all_heads_share_what_a_model_is_asked(method):
    """Many targets of the same input at once: "this isn't directly possible". (captum#612)"""
    model = counted()
    (_, _, rows), (_, backward, rows_of_all) = passes(model, method, ONE), passes(model, method, ALL)
    assert rows_of_all == rows > 0
    assert backward == 0
    by_hand.assert_maps(
        xm.explain(model, ROWS, Shapley(2**9), targets=ALL, background=by_hand.ZEROS),
        by_hand.attributions(ROWS),
        targets=[1, 3, 4],
    )
