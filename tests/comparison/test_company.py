"""What a verdict does not depend on: what else stands in the comparison; and of what nothing can be said at all."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers import toys
from xai_mimo.core.method import Attribution
from xai_mimo.core.targets import take
from xai_mimo.record.words import CONTROLS

pytestmark = pytest.mark.all_frameworks

FAST = xm.Settings(ceilings=False, resamples=200)


@dataclass(frozen=True)
class Tied:
    """The sign of each value: a map of ties."""

    name: ClassVar[str] = "tied"
    signed: ClassVar[bool] = True
    reference: ClassVar[str] = ""

    def __call__(self, model, inputs, selectors, context):
        values = {name: np.tile(np.sign(x), (len(selectors), *([1] * x.ndim))) for name, x in inputs.items()}
        return Attribution(values, prediction=take(model.predict(inputs), selectors))


@pytest.fixture(scope="module")
def model():
    return toys.linear({"y": [[2.0, -1.0, 0.5, 0.0, 0.0, 0.1]]}, {"one": 3, "two": 3})


def rows(count, rng):
    return {name: rng.standard_normal((count, 3)) for name in ("one", "two")}


def test_no_test_of_a_map_against_its_controls_changes_with_its_company(model, rng):
    x = rows(30, rng)

    def held(methods):
        record = xm.compare(model, x, methods, settings=FAST, seed=3).record
        of_map = [d for d in record.differences if d.method == "map" and d.other in CONTROLS]
        return of_map, [v for v in record.verdicts if v.method == "map"]

    alone, verdicts = held({"map": Tied()})
    for company in ({"map": Tied(), "other": "occlusion"}, {"other": "shapley", "first": "occlusion", "map": Tied()}):
        tests, words = held(company)
        assert tests == alone
        assert [(v.order, v.shares, v.sign) for v in words] == [(v.order, v.shares, v.sign) for v in verdicts]


def test_copies_of_one_row_are_one_row(model, rng):
    x = {name: np.repeat(values, 5, axis=0) for name, values in rows(9, rng).items()}
    result = xm.compare(model, x, ["occlusion"], background=rows(5, rng), settings=FAST)
    (verdict,) = result.record.verdicts
    assert verdict.verdict == "undecided"
    assert "of the 45 rows that were explained only 9 are different" in verdict.text
    copies = {name: np.repeat(values, 20, axis=0) for name, values in rows(1, rng).items()}
    (verdict,) = xm.compare(model, copies, ["occlusion"], background=rows(5, rng), settings=FAST).record.verdicts
    assert "only 1 is different" in verdict.text


def test_one_input_alone_has_nothing_to_rank(rng):
    model = toys.linear({"y": [[2.0]]}, {"u": 1})
    result = xm.compare(model, {"u": rng.standard_normal((30, 1))}, ["occlusion"], settings=FAST)
    (verdict,) = result.record.verdicts
    assert (verdict.verdict, verdict.order, verdict.shares, verdict.sign) == ("undecided",) * 4
    assert "one input alone has nothing to rank" in verdict.text


def test_a_map_that_is_silent_in_most_rows_is_not_supported_by_the_rest(model, rng):
    @dataclass(frozen=True)
    class Silent(Tied):
        name: ClassVar[str] = "silent"

        def __call__(self, model, inputs, selectors, context):
            weights = {"one": np.array([2.0, -1.0, 0.5]), "two": np.array([0.0, 0.0, 0.1])}
            speaks = np.arange(len(inputs["one"]))[:, None] >= 25
            values = {name: (x * weights[name] * speaks)[None] for name, x in inputs.items()}
            return Attribution(values, prediction=take(model.predict(inputs), selectors))

    result = xm.compare(model, rows(30, rng), [Silent()], settings=FAST, background=rows(20, rng))
    (verdict,) = result.record.verdicts
    assert verdict.shares != "supported"


def test_streams_have_no_sign_whatever_the_method(model, rng):
    record = xm.compare(model, rows(30, rng), ["occlusion"], space="streams", settings=FAST).record
    assert record.verdicts[0].sign is None
    assert any("shares of whole streams have none" in s for s in record.verdicts[0].evidence)


def test_metrics_of_curves_are_those_of_the_closed_form(rng):
    """f = 3 a + b - c at rows of ones, zero background: contributions 3, 1 and -1, of which Shapley's values are made."""
    model = toys.linear({"y": [[3.0, 1.0, -1.0]]}, {"u": 3})
    x, zeros = {"u": np.ones((12, 3))}, {"u": np.zeros((2, 3))}
    record = xm.compare(model, x, ["shapley", "gradient"], background=zeros, settings=FAST).record

    def value(metric, role="value", method="shapley"):
        return next(s for s in record.scores if (s.metric, s.role, s.method) == (metric, role, method))

    # By value: 3, then 1, then -1. Kept alone 0, 3, 4, 3; without them 3, 0, -1, 0: gained -3, 3, 5, 3 over thirds.
    assert value("signed_gain").estimate == pytest.approx((-3 / 2 + 3 + 5 + 3 / 2) / 3)
    none = value("signed_gain", method="gradient")
    assert none.estimate is None
    assert "sensitivity" in none.note
    assert value("effect_overlap").estimate == pytest.approx(1)
    assert value("effect_overlap", "floor_permuted").estimate < 1
    assert value("idle_mass").estimate == 0
    gain = value("symmetric_gain").estimate
    assert gain == pytest.approx(value("deletion_area").estimate - value("insertion_area").estimate)
    assert {d.metric for d in record.differences if (d.method, d.other) == ("gradient", "chance")} == {"symmetric_gain"}
