"""One seed, one result; and nobody else's random numbers are touched."""

import random

import keras
import numpy as np
import pytest
import torch

import xai_mimo as xm
from tests.helpers import networks_by_hand as by_hand
from tests.helpers import toys
from tests.helpers.frameworks import imported
from xai_mimo.explainers import ExpectedGradients, Shapley, SmoothGrad

once = pytest.mark.all_frameworks
pytestmark = pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning")
MODEL = toys.mlp("tanh", streams={"u": 7, "v": 4}, heads={"y": 1})
ROWS, BACKGROUND = toys.rows(MODEL, 3), toys.rows(MODEL, 6, seed=9)
DRAWING = [Shapley(60), "shap.kernel", SmoothGrad(5), ExpectedGradients(8)]


def explained(method, seed):
    return xm.explain(MODEL, ROWS, method, background=BACKGROUND, seed=seed, check=False)


def differ(one, other):
    return max(float(abs(one[name] - other[name]).max()) for name in ("u", "v"))


@once
@pytest.mark.parametrize("method", DRAWING, ids=str)
def test_equal_seeds_give_equal_results(method):
    """Results differ between runs; a seed is wanted. (shap/shap#1010, #1835, #2095, #2547)

    To the last bit, whatever the global generators hold; another seed gives other draws; the seed stands in the result.
    """
    if isinstance(method, str):  # with 11 players the default budget holds all coalitions
        method = xm.core.plugins.method(method).__class__(samples=60)
    np.random.seed(1)  # noqa: NPY002
    one = explained(method, 5)
    np.random.seed(2)  # noqa: NPY002
    again = explained(method, 5)
    assert differ(one, again) == 0
    assert differ(one, explained(method, 6)) > 1e-6
    assert one.attrs["seed"] == 5


@once
def test_expected_gradients_have_a_seed():
    """GradientShap is different in each run. (captum#742)"""
    one, again = explained(ExpectedGradients(8), 0), explained(ExpectedGradients(8), 0)
    assert differ(one, again) == 0
    assert differ(one, explained(ExpectedGradients(8), 1)) > 1e-4


def draws():
    import tensorflow as tf

    return [
        random.random(),
        np.random.rand(),  # noqa: NPY002
        float(torch.rand(())),
        float(tf.random.uniform(())),
        float(keras.random.uniform(())),
    ]


@pytest.mark.parametrize("kind", ["native", "keras"])
def test_no_global_random_state_is_changed(kind):
    """Seeds are set behind one's back, of NumPy and others. (shap/shap#1010, captum#742)

    Of the standard library, NumPy, PyTorch, TensorFlow and Keras, by every method that draws.
    """
    tf = imported("tensorflow")
    x, methods = by_hand.rows(2), [Shapley(24), "shap.kernel", SmoothGrad(3), ExpectedGradients(4)]
    model = by_hand.keras_model() if kind == "keras" else by_hand.torch_model()
    expected = []
    for explains in (False, True):
        keras.utils.set_random_seed(11)  # of the standard library, NumPy and the backend
        torch.manual_seed(11)
        tf.random.set_seed(11)
        if explains:
            for method in methods:
                xm.explain(model, x, method, targets=["second"], background=by_hand.rows(4, seed=1))
        expected.append(draws())
    assert expected[0] == expected[1]


class Importing(Shapley):
    """Draws from the standard library's generator, as packages do when they are imported."""

    def __call__(self, *given):
        random.random()
        return super().__call__(*given)


@once
def test_the_first_call_of_a_method_is_like_the_next():
    """Packages draw from Python's generator when a method imports them, and programs went on with other numbers."""
    random.seed(3)
    expected = random.getstate()
    explained(Importing(60), 0)
    assert random.getstate() == expected
