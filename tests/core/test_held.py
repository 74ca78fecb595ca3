"""What rows hold beside streams: methods are called once for each kind of row, and never see it."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from xai_mimo.core.errors import NotFinite
from xai_mimo.core.held import call_method
from xai_mimo.core.method import Attribution, Context
from xai_mimo.core.players import Masker
from xai_mimo.core.streams import Head, Stream
from xai_mimo.core.targets import select, take
from xai_mimo.explainers import ExpectedGradients, Gradient, IntegratedGradients, SmoothGrad

LOST = 100.0


@dataclass(frozen=True)
class Masked:
    """Sums powers of what the mask leaves; ``row`` is the mask where it is held. Gradients are those of squares, and NaN
    where the first value is near ``LOST``."""

    row: dict | None = None
    power: int = 1

    streams = (Stream("x", (3,)),)
    heads = (Head("y"),)

    @property
    def held(self):
        return () if self.row else ("mask",)

    def fingerprint(self):
        return "0"

    def holding(self, row):
        return replace(self, row=row)

    def gradients(self, inputs, targets):
        outputs = self.predict(inputs)
        slope = 2 * inputs["x"] * self.row["mask"]
        slope = np.where(inputs["x"][:, :1] > LOST / 2, np.nan, slope)
        return outputs, {"x": np.repeat(slope[None], len(targets), axis=0)}

    def predict(self, inputs):
        mask = self.row["mask"] if self.row else inputs["mask"]
        assert set(inputs) == {"x", *self.held}
        return {"y": (inputs["x"] ** self.power * mask).sum(axis=1, keepdims=True)}


@dataclass(frozen=True)
class Whole:
    """Gives each value its part of the sum."""

    name = "whole"
    reference = ""

    def __call__(self, model, inputs, selectors, context):
        assert set(context.background) == {"x"}
        ones = model.predict({"x": np.ones((1, 3))})["y"]
        prediction = take(model.predict(inputs), selectors)
        each = np.full((1, *inputs["x"].shape), ones[0, 0])
        return Attribution({"x": each}, prediction, diagnostics={"rows": np.full(prediction.shape, len(inputs["x"]))})


def test_each_row_is_explained_under_its_own_mask_and_stands_in_its_place():
    masks = np.array([[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 0, 0]], bool)
    rows = {"x": np.arange(15.0).reshape(5, 3), "mask": masks}
    model = Masked()
    selectors = select(None, model.heads, model.predict(rows))
    said = call_method(Whole(), model, rows, selectors, Context(np.random.default_rng(0), rows))
    np.testing.assert_array_equal(said.values["x"][0, :, 0], [3, 1, 2, 3, 1])
    np.testing.assert_array_equal(said.prediction, take(model.predict(rows), selectors))
    np.testing.assert_array_equal(said.diagnostics["rows"], [[2, 2, 1, 2, 2]])


def test_what_rows_hold_is_no_player_and_stays_their_own():
    rows = {"x": np.ones((2, 3)), "mask": np.array([[1, 0, 0], [1, 1, 0]], bool)}
    background = {"x": np.zeros((3, 3)), "mask": np.zeros((3, 3), bool)}
    masker = Masker.of(rows, "features", Masked.streams)
    assert masker.count == 3
    nobody = np.zeros((2, 3), bool)
    crossed = masker.against_each(rows, background, nobody)
    np.testing.assert_array_equal(crossed["mask"], np.repeat(rows["mask"], 3, axis=0))
    assert not crossed["x"].any()
    own = masker.against_own(rows, {name: b[:2] for name, b in background.items()}, nobody)
    np.testing.assert_array_equal(own["mask"], rows["mask"])


KINDS = np.array([[1, 1, 1], [1, 1, 0], [1, 1, 1], [1, 1, 0], [1, 1, 0], [1, 1, 1], [1, 1, 1], [1, 1, 0]], bool)


def explained(method, x, masks, seed=0, first_row=0):
    """What a method says of rows ``(row, 3)`` with masks."""
    rows, model = {"x": x, "mask": masks}, Masked(power=2)
    background = {"x": np.array([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]]), "mask": np.ones((2, 3), bool)}
    context = Context(np.random.default_rng(seed), background, first_row=first_row)
    return call_method(method, model, rows, select(None, model.heads, model.predict(rows)), context)


@pytest.mark.parametrize("method", [SmoothGrad(samples=3), ExpectedGradients(samples=3)], ids=lambda m: m.name)
def test_no_two_rows_share_their_draws_whatever_their_masks(method):
    first = explained(method, np.ones((8, 3)), KINDS).values["x"][0, :, 0]
    assert len(set(first)) == 8
    np.testing.assert_array_equal(explained(method, np.ones((8, 3)), KINDS).values["x"][0, :, 0], first)


@dataclass(frozen=True)
class Drawing:
    """Draws some numbers for each row, and says the last."""

    count: int
    name = "drawing"
    reference = ""

    def __call__(self, model, inputs, selectors, context):
        count = self.count if model.row["mask"].all() else 1
        for _ in range(count):
            drawn = context.rng.normal(size=(1, *inputs["x"].shape))
        return Attribution({"x": drawn}, take(model.predict(inputs), selectors))


def test_what_rows_of_one_mask_draw_changes_nothing_for_the_others():
    one, many = (explained(Drawing(count), np.ones((8, 3)), KINDS).values["x"][0] for count in (1, 5))
    np.testing.assert_array_equal(one[~KINDS[:, 2]], many[~KINDS[:, 2]])
    assert len(np.unique(one)) == one.size


@pytest.mark.parametrize(
    ("method", "place"),
    [
        (Gradient(), "row 107"),
        (SmoothGrad(samples=2, noise=0.0), "a noisy copy of row 107"),
        (IntegratedGradients(steps=3), "of the way from its baseline to row 107"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_row_without_a_gradient_is_named_by_its_number_in_the_data(method, place):
    x = np.ones((8, 3))
    x[7, 0] = LOST
    with pytest.raises(NotFinite, match=f"{place}[ .]"):
        explained(method, x, KINDS, first_row=100)
