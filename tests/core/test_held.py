"""What rows hold beside streams: methods are called once for each kind of row, and never see it."""

from dataclasses import dataclass

import numpy as np

from xai_mimo.core.held import call_method
from xai_mimo.core.method import Attribution, Context
from xai_mimo.core.players import Masker
from xai_mimo.core.streams import Head, Stream
from xai_mimo.core.targets import select, take


@dataclass(frozen=True)
class Masked:
    """Sums what the mask leaves; ``row`` is the mask where it is held."""

    row: dict | None = None

    streams = (Stream("x", (3,)),)
    heads = (Head("y"),)

    @property
    def held(self):
        return () if self.row else ("mask",)

    def fingerprint(self):
        return "0"

    def holding(self, row):
        return Masked(row)

    def predict(self, inputs):
        mask = self.row["mask"] if self.row else inputs["mask"]
        assert set(inputs) == {"x", *self.held}
        return {"y": (inputs["x"] * mask).sum(axis=1, keepdims=True)}


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
    masks = np.array([[1, 1, 1], [1, 0, 0], [1, 1, 1], [1, 1, 0]], bool)
    rows = {"x": np.arange(12.0).reshape(4, 3), "mask": masks}
    model = Masked()
    selectors = select(None, model.heads, model.predict(rows))
    said = call_method(Whole(), model, rows, selectors, Context(np.random.default_rng(0), rows))
    np.testing.assert_array_equal(said.values["x"][0, :, 0], [3, 1, 3, 2])
    np.testing.assert_array_equal(said.prediction, take(model.predict(rows), selectors))
    np.testing.assert_array_equal(said.diagnostics["rows"], [[2, 1, 2, 1]])


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
