"""Truth by feature: who counts as true in which space, and what maps score that find it."""

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import xai_mimo as xm
from xai_mimo.comparison.settings import Settings
from xai_mimo.comparison.spaces import Space
from xai_mimo.comparison.truth import check_truth, true_features
from xai_mimo.core.cut import Cut
from xai_mimo.core.errors import DuplicateName
from xai_mimo.core.explanation import describe, to_dataset
from xai_mimo.core.method import Attribution
from xai_mimo.core.streams import Head, Stream
from xai_mimo.core.targets import Selector
from xai_mimo.metrics.aligned_maps import align, project_to_streams, project_to_variables

pytestmark = pytest.mark.all_frameworks

STREAMS = (Stream("thermal", (2,), features=("air", "process")), Stream("wear", (2,), features=("tool", "torque")))
SERIES = (Stream("s", (3, 2), features=("x", "y")),)
FAST = Settings(ceilings=False, resamples=200, steps=3, controls=1)


class Cuttable:
    """A model with one layer that reads what ``owners`` says."""

    streams = STREAMS
    heads = (Head("risk"),)

    def __init__(self, owners):
        self.owners = owners

    def fingerprint(self):
        return "00"

    def predict(self, inputs):
        return {"risk": np.ones((1, 1))}

    def layers(self):
        return ("mail",)

    def tail(self, layer):
        return self

    def activations(self, inputs, layer):
        return {name: inputs[owners[0]] for name, owners in self.owners.items()}

    def layer_streams(self, layer):
        return self.owners


def maps_of(space, streams, texts=()):
    """Maps of ones over these streams, as the space lays them out."""
    selector = Selector("risk", "risk", np.zeros(1, dtype=np.int64))
    attrs = {"method": "m", "settings": "{}", "space": "inputs", **describe(streams, (Head("risk"),))}
    ones = Attribution({s.name: np.ones((1, 1, *s.shape)) for s in streams}, prediction=np.ones((1, 1)))
    explanation = to_dataset(ones, streams=streams, selectors=[selector], samples=np.arange(1), attrs=attrs)
    if space.is_streams:
        explanation = project_to_streams(explanation, streams)
    if space.by_variable:
        explanation = project_to_variables(explanation, space.name)
    return align({"m": explanation}, {}, np.ones((100, 1)), texts)


def truth_of(truth, space, streams=STREAMS, raw=None, texts=()):
    known = check_truth(truth, ["risk"], raw or streams)
    return true_features(known, {"risk": "risk"}, space, streams, maps_of(space, streams, texts)).get("risk")


INPUTS, BY_VARIABLE, SHARES = (
    Space("inputs", ""),
    Space("inputs, by variable", "", by_variable=True),
    Space("streams", ""),
)


def test_truth_at_the_inputs_names_features():
    known = truth_of({"risk": {"thermal": ["process"], "wear": []}}, INPUTS)
    assert known.mask.tolist() == [False, True, False, False]
    assert known.feature_of.tolist() == [0, 1, 2, 3]
    assert truth_of({"risk": ["wear"]}, INPUTS).mask.tolist() == [False, False, True, True]
    assert truth_of({}, INPUTS) is None


@pytest.mark.parametrize(("space", "players"), [(INPUTS, [0, 1] * 3), (BY_VARIABLE, [0, 1])])
def test_truth_of_a_variable_is_one_feature_whatever_the_space(space, players):
    known = truth_of({"risk": {"s": ["y"]}}, space, SERIES)
    assert known.mask.tolist() == [False, True]
    assert known.feature_of.tolist() == players


def test_positions_are_one_feature_unless_the_truth_tells_them_apart():
    streams = (Stream("clock", (3,), axes=("time",), features=("dawn", "noon", "dusk")), STREAMS[1])
    whole = truth_of({"risk": ["clock"]}, INPUTS, streams)
    assert whole.mask.tolist() == [True, False, False]
    assert whole.feature_of.tolist() == [0, 0, 0, 1, 2]
    noon = truth_of({"risk": {"clock": ["noon"]}}, INPUTS, streams)
    assert noon.mask.tolist() == [False, True, False, False, False]
    assert noon.feature_of.tolist() == [0, 1, 2, 3, 4]


def test_an_image_and_a_text_are_true_as_a_whole():
    streams = (Stream("image", (2, 2, 1)), Stream("words", (3, 2), axes=("token", "width")), STREAMS[0])
    image = truth_of({"risk": ["image"]}, INPUTS, streams, texts=["words"])
    assert image.mask.tolist() == [True, False, False, False]
    assert image.feature_of.tolist() == [0] * 4 + [1] * 6 + [2, 3]
    words = truth_of({"risk": {"words": ["0", "1"], "thermal": ["air"]}}, INPUTS, streams, texts=["words"])
    assert words.mask.tolist() == [False, True, True, False]


def test_truth_behind_encoders_counts_whole_streams_and_says_so():
    owners = {"thermal_encoded": ("thermal",), "wear_encoded": ("wear",), "wear": ("wear",)}
    space = Space("at:mail", "", Cut(Cuttable(owners), Cuttable(owners), "mail"))
    streams = (Stream("thermal_encoded", (3,)), STREAMS[1], Stream("wear_encoded", (1,)))
    known = truth_of({"risk": {"thermal": ["air"]}}, space, streams, raw=STREAMS)
    assert known.mask.tolist() == [True] * 3 + [False] * 3
    assert "every value of thermal_encoded counts as true" in known.note
    both = truth_of({"risk": {"wear": ["tool"]}}, space, streams, raw=STREAMS)
    assert both.mask.tolist() == [False] * 3 + [True, False, True]


def test_an_encoded_stream_that_keeps_its_features_is_true_by_feature():
    owners = {"thermal_scaled": ("thermal",), "wear": ("wear",)}
    space = Space("at:mail", "", Cut(Cuttable(owners), Cuttable(owners), "mail"))
    streams = (Stream("thermal_scaled", (2,), features=("air", "process")), STREAMS[1])
    known = truth_of({"risk": {"thermal": ["air"]}}, space, streams, raw=STREAMS)
    assert known.mask.tolist() == [True, False, False, False]
    assert known.note == ""


def test_truth_at_streams_and_truths_that_cannot_be_scored():
    assert truth_of({"risk": {"wear": ["tool"]}}, SHARES).mask.tolist() == [False, True]
    everything = truth_of({"risk": ["thermal", "wear"]}, SHARES)
    assert everything.mask is None
    assert "every stream of this space is true" in everything.note
    assert "nothing is true" in truth_of({"risk": []}, SHARES).note
    alone = truth_of({"risk": ["image"]}, INPUTS, (Stream("image", (2, 2, 1)),))
    assert alone.mask is None
    assert "every feature of this space is true: maps cannot be told apart" in alone.note


def test_a_targets_own_truth_wins_over_its_heads():
    known = check_truth({"rul": ["wear"], "rul:p90": ["thermal"]}, ["rul", "rul:p10", "rul:p90"], STREAMS)
    targets = {"rul:p10": "rul", "rul:p90": "rul"}
    found = true_features(known, targets, SHARES, STREAMS, maps_of(SHARES, STREAMS))
    assert found["rul:p10"].mask.tolist() == [False, True]
    assert found["rul:p90"].mask.tolist() == [True, False]


def test_a_feature_named_twice_is_refused():
    with pytest.raises(DuplicateName, match="'tool'"):
        check_truth({"risk": {"wear": ["tool", "tool"]}}, ["risk"], STREAMS)


@dataclass(frozen=True)
class Flat:
    """A map of ones."""

    name: ClassVar[str] = "flat"
    reference: ClassVar[str] = ""

    def __call__(self, model, inputs, selectors, context):
        values = {name: np.ones((len(selectors), *x.shape)) for name, x in inputs.items()}
        return Attribution(values, np.ones((len(selectors), len(inputs["s"]))))


def at_lags(s):
    return {"y": s[:, 6, 0] + 0.6 * s[:, 7, 1]}


@pytest.mark.parametrize("space", [None, "variables"])
def test_maps_that_find_the_right_variables_at_the_right_lags_are_perfect(rng, space):
    """Scored cell by cell they would have an AUROC of .56: the other steps of the true variables do nothing."""
    names = tuple(f"x{i}" for i in range(1, 7))
    streams = {"s": Stream("s", (8, 6), axes=("time", "feature"), features=names)}
    model = xm.adapt(at_lags, streams=streams, heads={"y": "regression"})
    x = rng.normal(size=(30, 8, 6))
    truth = {"y": {"s": ["x1", "x2"]}}
    result = xm.compare(model, x, ["shapley", "occlusion"], truth=truth, space=space, settings=FAST)
    scores = result.scores.query("family == 'ground_truth'").set_index(["metric", "role"]).sort_index()["estimate"]
    for metric, chance in (("share", 1 / 3), ("auroc", 0.5), ("auroc_mean_map", 0.5)):
        assert scores[metric, "value"].tolist() == pytest.approx([1.0, 1.0])
        assert scores[metric, "floor_random"].tolist() == pytest.approx([chance, chance])
    assert result.record.true_features == {"y": {"s": ("x1", "x2")}}


def test_a_map_that_says_nothing_gets_the_mass_that_chance_gets_where_streams_are_unequally_wide(rng):
    streams = {"s": Stream("s", (20, 2), features=("x", "y")), "table": 3}

    def net(s, table):
        return {"y": s[:, -1, 0] + table[:, 0]}

    model = xm.adapt(net, streams=streams, heads={"y": "regression"})
    data = {"s": rng.normal(size=(12, 20, 2)), "table": rng.normal(size=(12, 3))}
    truth = {"y": {"s": ["x"], "table": ["0"]}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = xm.compare(model, data, {"flat": Flat()}, truth=truth, settings=FAST)
    share = result.scores.query("metric == 'share'").set_index("role")["estimate"]
    assert share["value"] == pytest.approx(21 / 43)
    assert share["floor_random"] == pytest.approx(21 / 43)


def test_of_a_stream_that_is_one_feature_elsewhere_the_last_axis_is_told_apart():
    """Of a text's tokens each has every value of the last axis, one after the other."""
    streams = (STREAMS[0], Stream("words", (3, 2), axes=("token", "width")))
    known = truth_of({"risk": {"words": ["1"]}}, INPUTS, streams, texts=["words"])
    assert known.mask.tolist() == [False, False, False, True]
    assert known.feature_of.tolist() == [0, 1, 2, 3, 2, 3, 2, 3]
