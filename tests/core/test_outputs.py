"""Names of a model's outputs, and heads read off an answer."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

from xai_mimo.core.errors import BadValues, ShapeMismatch
from xai_mimo.core.outputs import heads_from, named_outputs

pytestmark = pytest.mark.all_frameworks
Y = np.ones((4, 2))


class Pair(NamedTuple):
    risk: Any
    hours: Any


@dataclass
class Answer:
    logits: Any
    loss: Any = None
    cache: Any = None


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        (Y, ["output"]),
        ((Y,), ["output"]),
        ([Y, Y], ["output_0", "output_1"]),
        ({"risk": Y, "hours": Y}, ["risk", "hours"]),
        (OrderedDict(b=Y, a=Y), ["b", "a"]),
        (Pair(Y, Y), ["risk", "hours"]),
        (Answer(Y), ["logits"]),
        (Answer(Y, cache=object()), ["logits"]),
        ({"time": (Y, Y), "risk": {"low": Y}}, ["time_0", "time_1", "risk_low"]),
        ((Y, (Y, Y)), ["output_0", "output_1_0", "output_1_1"]),
        (Pair(Y, (Y, Y)), ["risk", "hours_0", "hours_1"]),
        ([1.0, 2.0, 3.0], ["output"]),
        ([[1.0], [2.0]], ["output"]),
        ({"risk": [1.0, 2.0]}, ["risk"]),
    ],
)
def test_names(answer, names):
    assert list(named_outputs(answer)) == names


@pytest.mark.parametrize(("answer", "words"), [(None, "None"), ((), "an empty tuple"), (object(), "a object")])
def test_what_is_no_answer_is_refused(answer, words):
    with pytest.raises(BadValues, match=f"returned {words}"):
        named_outputs(answer)


def test_heads_have_the_shapes_of_the_answer_and_the_kinds_that_were_seen():
    heads = heads_from(
        {"risk": Y[:, :1], "hours": Y[:, 0], "mask": np.ones((4, 3, 3))},
        4,
        kinds={"risk": ("binary", "final sigmoid", "probability")},
    )
    assert [(h.name, h.shape, h.kind, h.kind_from, h.unit) for h in heads] == [
        ("risk", (1,), "binary", "final sigmoid", "probability"),
        ("hours", (), "regression", "", ""),
        ("mask", (3, 3), "regression", "", ""),
    ]


@pytest.mark.parametrize(
    ("array", "error", "words"),
    [
        (np.ones((3, 2)), ShapeMismatch, r"'y' has shape \(3, 2\) for 4 rows; expected the batch axis first"),
        (np.float64(1.0), ShapeMismatch, r"shape \(\) for 4 rows"),
        (np.ones((4, 0)), ShapeMismatch, "no unit"),
        (np.array(["a"] * 4), BadValues, "dtype <U1; expected numbers"),
    ],
)
def test_an_answer_without_a_row_for_each_is_refused(array, error, words):
    with pytest.raises(error, match=words):
        heads_from({"y": np.asarray(array)}, 4)
