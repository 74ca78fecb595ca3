"""A mask or the lengths of sequences as streams that no method changes, whatever the model."""

import pickle

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.frameworks import imported
from xai_mimo.core.cut import cut_at
from xai_mimo.core.errors import BadSetting, UnknownName
from xai_mimo.core.held_streams import without_held
from xai_mimo.core.model import Differentiable, Holding
from xai_mimo.core.streams import Stream
from xai_mimo.core.targets import Selector

torch = imported("torch")
pytestmark = pytest.mark.all_frameworks

WEIGHTS = np.array([2.0, -1.0], np.float32)


def mean_of_steps(series, lengths):
    """The mean over the steps there are of a weighted sum."""
    there = np.arange(series.shape[1]) < lengths[:, None]
    return {"y": ((series @ WEIGHTS) * there).sum(axis=1, keepdims=True) / lengths[:, None]}


class MeanOfSteps(torch.nn.Module):
    """The same in torch, with lengths as a tensor of whole numbers."""

    def __init__(self):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.tensor(WEIGHTS))

    def forward(self, series, lengths):
        there = torch.arange(series.shape[1]) < lengths[:, None]
        return {"y": ((series @ self.weights) * there).sum(1, keepdim=True) / lengths[:, None]}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(4)
    return {
        "series": rng.normal(size=(5, 4, 2)).astype(np.float32),
        "lengths": np.array([1, 3, 4, 3, 2]),
    }


@pytest.fixture(scope="module")
def module(rows):
    return xm.adapt(MeanOfSteps(), like=rows, held=["lengths"])


@pytest.fixture(scope="module")
def function():
    streams = [Stream("series", (4, 2)), Stream("lengths", (), "int64")]
    return xm.adapt(mean_of_steps, streams, {"y": 1}, held=["lengths"])


def by_hand(rows):
    """Attributions from a background of zeros under each row's own lengths."""
    there = np.arange(4) < rows["lengths"][:, None]
    return rows["series"] * WEIGHTS * there[:, :, None] / rows["lengths"][:, None, None]


@pytest.mark.parametrize("method", ["integrated_gradients", "shapley"])
def test_held_streams_are_not_explained_and_stay_with_their_rows(module, rows, method):
    zeros = {"series": np.zeros((1, 4, 2), np.float32), "lengths": np.array([4])}
    explanation = xm.explain(module, rows, method, background=zeros)
    assert "lengths" not in explanation
    np.testing.assert_allclose(explanation["series"].values[0], by_hand(rows), atol=1e-5)
    np.testing.assert_allclose(explanation["prediction"].values[0], mean_of_steps(**rows)["y"][:, 0], atol=1e-5)


def test_functions_too(function, rows):
    zeros = {"series": np.zeros((1, 4, 2), np.float32), "lengths": np.array([1])}
    explanation = xm.explain(function, rows, "occlusion", background=zeros)
    np.testing.assert_allclose(explanation["series"].values[0], by_hand(rows), atol=1e-5)


def test_a_background_of_the_data_brings_no_lengths_of_its_own(function, rows):
    explanation = xm.explain(function, rows, "shapley")
    steps = explanation["series"].values[0]
    assert np.abs(steps[0, 1:]).max() == 0.0
    assert np.abs(steps[2]).min() > 0.0


def test_the_part_wants_rows_with_what_they_hold_or_one_row_of_it(module, rows):
    part = cut_at(module, None).part
    assert isinstance(part, Holding)
    assert isinstance(part, Differentiable)
    assert part.held == ("lengths",)
    assert [s.name for s in part.streams] == ["series"]
    np.testing.assert_allclose(part.predict(rows)["y"], mean_of_steps(**rows)["y"], atol=1e-6)
    held = part.holding({"lengths": np.array([2])})
    assert held.held == ()
    shorter = {**rows, "lengths": np.full(5, 2)}
    np.testing.assert_allclose(held.predict({"series": rows["series"]})["y"], mean_of_steps(**shorter)["y"], atol=1e-6)
    gradients = held.gradients({"series": rows["series"]}, [Selector("y", "y", np.zeros(5, np.int64))])[1]
    assert list(gradients) == ["series"]
    np.testing.assert_allclose(gradients["series"][0, :, :2], np.tile(WEIGHTS / 2, (5, 2, 1)), atol=1e-6)
    assert not gradients["series"][0, :, 2:].any()


def test_a_part_of_a_function_cannot_be_differentiated_and_can_be_pickled(rows):
    part = without_held(
        xm.adapt(mean_of_steps, [Stream("series", (4, 2)), Stream("lengths", (), "int64", held=True)], {"y": 1})
    )
    assert not isinstance(part, Differentiable)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(part)).predict(rows)["y"], part.predict(rows)["y"])


def test_a_part_behind_a_layer_holds_them_too(rows):
    class Behind(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Linear(2, 2)
            self.mean = MeanOfSteps()

        def forward(self, series, lengths):
            return self.mean(torch.tanh(self.scale(series)), lengths)

    torch.manual_seed(0)
    model = xm.adapt(Behind(), like=rows, held=["lengths"])
    explanation = xm.explain(model, rows, at="mean")
    assert "lengths" not in explanation
    gap = explanation["completeness_gap"]
    assert np.abs(gap).max() < 1e-3
    steps = explanation[next(iter(explanation.data_vars))].values[0]
    assert not steps[0, 1:].any()


def test_names_to_hold_are_checked(module, function):
    with pytest.raises(UnknownName, match=r"no input stream is called 'length'; .* Did you mean 'lengths'"):
        xm.adapt(function, held=["length"])
    with pytest.raises(BadSetting, match=r"are all streams of .*: nothing would be left to explain"):
        xm.adapt(function, held=["series", "lengths"])
    with pytest.raises(BadSetting, match=r"held is a list of names of streams, e.g. held=\['lengths'\]; got 'lengths'"):
        xm.adapt(function, held="lengths")
