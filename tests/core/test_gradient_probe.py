"""No gradient is warned of that is right, however sharp the network; one that is another's is, and one that is none."""

import itertools

import numpy as np
import pytest

from xai_mimo.core.cut import cut_at
from xai_mimo.core.gradient_probe import gradient_warnings
from xai_mimo.core.model import Head
from xai_mimo.core.probes import check_model
from xai_mimo.core.streams import Stream
from xai_mimo.core.targets import Target


class Written:
    """A model of one stream and one head, whose gradient is written by hand: ``gradient`` gives ``(row, unit, *x)``."""

    def __init__(
        self, function, gradient, *, units=1, dtype="float32", task="regression", width=3, precision="float32"
    ):
        self.function, self.gradient, self.dtype, self.precision = function, gradient, dtype, precision
        self.streams = (Stream("x", (width,), dtype=dtype),)
        self.heads = (Head("y", (units,), task),)

    def predict(self, x):
        return {"y": self.function(x["x"]).reshape(len(x["x"]), -1).astype(self.dtype)}

    def gradients(self, x, selectors, streams=None):
        rows = x["x"]
        slopes = self.gradient(rows).reshape(len(rows), -1, *rows.shape[1:])
        each = [slopes[np.arange(len(rows)), s.units] for s in selectors]
        return self.predict(x), {"x": np.stack(each).astype(self.dtype)}

    def fingerprint(self):
        return "written"


def warned(model, x, targets=None, labels=None):
    cut = cut_at(model, None)
    probe = check_model(cut, {"x": x.astype(model.dtype)}, {"y"})
    return [str(w) for w in gradient_warnings(model, probe, targets, labels or {})]


def network(seed, *, sharp, activation, head, dtype, width=6):
    """A dense network and its gradient, by hand."""
    rng = np.random.default_rng(seed)
    sizes = [width, *([16, 8] if seed % 2 else [32, 32]), 1]
    weights = [sharp * rng.uniform(-1, 1, s) * np.sqrt(6 / sum(s)) for s in itertools.pairwise(sizes)]
    weights = [w.astype(dtype) for w in weights]
    function, slope = {
        "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(z.dtype)),
        "leaky": (lambda z: np.maximum(z, z * z.dtype.type(0.2)), lambda z: np.where(z > 0, 1, 0.2).astype(z.dtype)),
        "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    }[activation]

    def sigmoid(z):
        return (1 + np.tanh(z / 2)) / 2

    def forward(x):
        h = x.astype(dtype)
        for w in weights[:-1]:
            h = function(h @ w)
        return sigmoid(h @ weights[-1]) if head == "sigmoid" else h @ weights[-1]

    def gradient(x):
        h, slopes = x.astype(dtype), []
        for w in weights[:-1]:
            slopes.append(slope(h @ w))
            h = function(h @ w)
        p = sigmoid(h @ weights[-1])
        back = p * (1 - p) if head == "sigmoid" else np.ones_like(p)
        for w, s in zip(weights[:0:-1], slopes[::-1], strict=True):
            back = (back @ w.T) * s
        return back @ weights[0].T

    return Written(forward, gradient, width=width, precision=dtype, task="binary" if head else "regression")


@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value")
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("activation", ["relu", "leaky", "tanh"])
@pytest.mark.parametrize("sharp", [1, 3, 6])
def test_right_gradients_are_never_warned_of(sharp, activation, dtype):
    for seed in range(40):
        model = network(seed, sharp=sharp, activation=activation, head=("sigmoid", "")[seed % 4 < 2], dtype=dtype)
        x = np.random.default_rng(seed).normal(size=((1, 4, 9)[seed % 3], 6))
        assert warned(model, x) == [], seed


ROWS = np.random.default_rng(0).normal(size=(7, 3))
SLOPES = np.array([1.0, -2.0, 0.5])


@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("factor", [-1.0, 2.0, 0.5, 0.0])
def test_a_gradient_that_is_off_by_a_factor_is_warned_of(factor, rows):
    wrong = Written(lambda x: np.tanh(x @ SLOPES / 4), lambda x: factor * _slope_of_tanh(x))
    (text,) = warned(wrong, ROWS[:rows])
    assert ("is 0 while its output changes" if factor == 0 else "is not that of its output: for a small step") in text


def _slope_of_tanh(x):
    return (1 - np.tanh(x @ SLOPES / 4) ** 2)[:, None] * SLOPES / 4


@pytest.mark.parametrize("rows", [2, 7])
def test_what_rounds_or_takes_the_largest_is_warned_of(rows):
    largest = Written(lambda x: (x[:, 0] > x[:, 1]) * 1.0, lambda x: 0 * x)
    rounded = Written(lambda x: np.round(3 * x @ SLOPES), lambda x: 0 * x)
    passed_on = Written(lambda x: np.round(3 * x @ SLOPES), lambda x: np.tile(3 * SLOPES, (len(x), 1)))
    for model in (largest, rounded):
        (text,) = warned(model, ROWS[:rows])
        assert "is 0 while its output changes" in text
    (text,) = warned(passed_on, ROWS[:rows])
    assert "a straight-through estimator" in text


@pytest.mark.parametrize("rows", [[[1.0, 0, 0]], [[1.0, 0, 0], [-1, 0, 0], [1.5, 1, 0], [-1.5, 0, 1], [2, 0, 0]]])
def test_a_saturated_output_is_no_jump(rows):
    """Steep as a step and 0 or 1 at every row: on the way from one to the other it has a gradient."""

    def steep(x):
        return (1 + np.tanh(100 * x[:, :1].astype("float32"))) / 2

    def slope(x):
        return 200 * steep(x) * (1 - steep(x)) * [1, 0, 0]

    assert not slope(np.array(rows)).any()
    assert warned(Written(steep, slope), np.array(rows)) == []


def test_a_kink_in_the_row_itself_is_no_fault():
    """|x| at 0, of which either slope is right and 0 too, and a unit that is just off."""
    zeros = np.zeros((4, 3))
    assert warned(Written(lambda x: np.abs(x).sum(1), np.sign), zeros) == []
    assert warned(Written(lambda x: np.maximum(x, 0).sum(1), lambda x: (x > 0) * 1.0), zeros) == []


def test_the_gradient_is_that_of_the_label_that_was_given():
    """Right for class 0, of another sign for class 1: labels say which of them is explained."""

    def half_right(x):
        right = np.stack([np.tile(SLOPES, (len(x), 1)), np.tile(SLOPES[::-1], (len(x), 1))], axis=1)
        return right * np.array([1.0, -1.0])[:, None]

    model = Written(lambda x: np.stack([x @ SLOPES, x @ SLOPES[::-1]], axis=1), half_right, units=2, task="multilabel")
    one = np.random.default_rng(0).normal(size=(1, 3))
    for unit, count in ((0, 0), (1, 1)):
        assert len(warned(model, one, targets=[Target("y", unit)])) == count


def test_a_step_that_leaves_what_the_model_is_made_for_says_nothing():
    """Roots of rows that are nearer to 0 than a step: there is no answer on their other side."""

    def root(x):
        if (x < 0).any():
            raise ValueError("no root of what is negative")
        return np.sqrt(x).sum(axis=1)

    near = np.array([[1e-8, 1.0, 2.0], [3.0, 1e-8, 1.0], [1e-8, 2.0, 1e-8]])
    assert warned(Written(root, lambda x: 0.5 / np.sqrt(x)), near) == []


def test_a_gradient_within_rounding_is_not_looked_at():
    """An offset of 10 000 hides a change of a thousandth in single precision."""
    hidden = Written(lambda x: (1e4 + x @ SLOPES / 1000).astype("float32"), lambda x: -SLOPES / 1000 + 0 * x)
    assert warned(hidden, ROWS) == []


def test_rows_of_one_range_are_moved_by_it():
    """A feature that never changes moves by a tenth of the largest value, and not by nothing."""
    wrong = Written(lambda x: np.tanh(x @ SLOPES / 4), lambda x: -_slope_of_tanh(x))
    assert len(warned(wrong, np.ones((4, 3)))) == 1
