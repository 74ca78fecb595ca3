"""Conditional curves in comparisons: where they run, what they say of copies, and what they are held against."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers import toys
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.errors import NotSupported
from xai_mimo.core.method import Attribution
from xai_mimo.core.streams import Head, Stream
from xai_mimo.core.targets import Selector, take
from xai_mimo.metrics.removal import removal_curves
from xai_mimo.metrics.symmetric_gain import symmetric_gain

pytestmark = pytest.mark.all_frameworks

FAST = Settings(resamples=200, ceilings=False, replacement_rows=4)
NAME = "conditional_symmetric_gain"


def rows(rho, count, rng):
    """Two streams of three features; the first of each go together."""
    x = rng.standard_normal((count, 6))
    x[:, 3] = rho * x[:, 0] + np.sqrt(1 - rho**2) * x[:, 3]
    return {"one": x[:, :3], "two": x[:, 3:]}


@dataclass(frozen=True)
class Fixed:
    """The same map for every row."""

    one: tuple[float, ...]
    two: tuple[float, ...]

    name: ClassVar[str] = "fixed"
    reference: ClassVar[str] = ""

    def __call__(self, model, inputs, selectors, context):
        values = {
            name: np.broadcast_to(np.array(own), (len(selectors), *inputs[name].shape))
            for name, own in (("one", self.one), ("two", self.two))
        }
        return Attribution(values, take(model.predict(inputs), selectors))


@pytest.fixture
def model():
    """y = 3 a + b + c/2 + f/10: d, the first feature of the second stream, is read by nobody."""
    return toys.linear({"y": [[3.0, 1.0, 0.5, 0.0, 0.0, 0.1]]}, {"one": 3, "two": 3})


def scores(result, name=NAME):
    return {s.method: s for s in result.record.scores if s.metric == name and s.role == "value"}


def test_they_run_by_default_where_features_go_together_and_say_so(model, rng):
    result = xm.compare(model, rows(0.99, 60, rng), ["shapley", "gradient"], settings=FAST)
    own = scores(result)
    assert set(own) == {"shapley", "gradient"}
    assert all("unknown features taken from the 4 nearest rows" in s.note for s in own.values())
    assert own["shapley"].estimate > 0
    held = [d for d in result.record.differences if d.metric == NAME]
    assert {(d.method, d.other) for d in held} == {("shapley", "chance"), ("gradient", "chance")}


def test_random_orders_gain_nothing_among_neighbours_either(model, rng):
    inputs = rows(0.9, 3000, rng)
    background = {name: x[:40] for name, x in rows(0.9, 40, rng).items()}
    curves, _ = removal_curves(
        model.predict,
        inputs,
        {"m": rng.standard_normal((1, 3000, 6))},
        [Selector("y", "y", np.zeros(3000, dtype=np.int64))],
        background,
        streams=model.streams,
        nearest=3,
        rng=rng,
    )
    gain = symmetric_gain(curves["m"])[0]
    assert abs(gain.mean()) < 4 * gain.std() / np.sqrt(len(gain))


@pytest.mark.parametrize("reason", ["independent", "nearest already"])
def test_they_are_left_out_with_a_reason(model, rng, reason):
    data = rows(0.0 if reason == "independent" else 0.99, 60, rng)
    settings = FAST if reason == "independent" else Settings(resamples=200, ceilings=False, replacement="nearest")
    assert not scores(xm.compare(model, data, ["gradient"], settings=settings))
    words = f"metric '{NAME}' does not apply here: no two features of the background have a rank correlation of 0.5"
    with pytest.raises(NotSupported, match=words):
        xm.compare(model, data, ["gradient"], metrics=[NAME], settings=settings)


def test_a_map_on_a_copy_is_as_good_as_one_on_the_original(model, rng):
    """The second stream's first feature is a copy that the model does not read, and tells what the first one is."""
    data = rows(1.0, 300, rng)  # ties of the two maps are broken apart, which many rows even out
    maps = {"original": Fixed((1.0, 0.2, 0.1), (0.0, 0.0, 0.01)), "copy": Fixed((0.0, 0.2, 0.1), (1.0, 0.0, 0.01))}
    result = xm.compare(model, data, maps, settings=FAST)
    marginal, conditional = scores(result, "insertion_area"), scores(result)
    assert marginal["copy"].estimate > 2 * marginal["original"].estimate
    np.testing.assert_allclose(conditional["copy"].estimate, conditional["original"].estimate, rtol=0.25)


def test_of_more_than_200_features_they_are_left_out(rng):
    x = np.repeat(rng.standard_normal((30, 3)), 67, axis=1)
    model = toys.Predictor(
        (Stream("s", (201,), dtype="float64"),), (Head("y"),), lambda rows: {"y": rows.sum(axis=1, keepdims=True)}
    )
    with pytest.raises(NotSupported, match=f"metric '{NAME}' does not apply here: what it costs grows with the feat"):
        xm.compare(model, {"s": x[:3]}, ["occlusion"], metrics=[NAME], background={"s": x}, settings=FAST)
    assert not scores(xm.compare(model, {"s": x[:3]}, ["occlusion"], background={"s": x}, settings=FAST))


def test_they_are_the_curves_over_as_many_nearest_rows_as_the_settings_ask_for(model, rng):
    data, background = rows(0.95, 20, rng), rows(0.95, 50, rng)
    fixed = Fixed((3.0, 1.0, 0.5), (0.3, 0.0, 0.1))
    result = xm.compare(model, data, [fixed], metrics=[NAME], background=background, settings=FAST)
    everywhere = np.broadcast_to([*fixed.one, *fixed.two], (1, 20, 6))
    selector = Selector("y", "y", np.zeros(20, dtype=np.int64))
    by_hand = []
    for nearest in (4, 1, None):
        curves, _ = removal_curves(
            model.predict, data, {"m": everywhere}, [selector], background, nearest=nearest, rng=rng
        )
        by_hand.append(symmetric_gain(curves["m"]).mean())
    own = scores(result)["fixed"]
    assert "the 4 nearest rows" in own.note
    assert own.estimate == pytest.approx(by_hand[0], rel=1e-6)
    assert all(abs(own.estimate / other - 1) > 1e-3 for other in by_hand[1:])
