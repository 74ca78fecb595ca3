"""What a method is held against, by which test, and over which tests its p-value is corrected."""

import dataclasses
from typing import ClassVar

import numpy as np
import pytest
from scipy import stats

from xai_mimo.comparison.differences import differences
from xai_mimo.metrics.metric import Quantity, held_against, is_tested
from xai_mimo.metrics.statistics import holm, mean_interval
from xai_mimo.record.words import RANDOM

pytestmark = pytest.mark.all_frameworks

ROWS = 20


def metric(
    name="size", *, better="larger", bounds=(None, None), tested: bool | tuple[str, ...] = ("methods", "controls")
):
    @dataclasses.dataclass(frozen=True)
    class Made:
        family: ClassVar[str] = "faithfulness"

    for fact, value in {"name": name, "better": better, "bounds": bounds, "tested": tested}.items():
        setattr(Made, fact, value)
    return Made()


def q(method, values, role="value", target="y", **rest):
    return Quantity(method=method, target=target, values=np.asarray(values, float), role=role, **rest)


def chance(method, value, target="y"):
    return q(method, np.broadcast_to(value, ROWS), "floor_random", target, exact=True)


def held(rows):
    return [(r.head, r.method, r.other) for r in rows]


def test_a_method_is_held_against_the_others_and_against_what_says_nothing(rng):
    a, b, drawn = rng.exponential(size=(3, ROWS))
    quantities = [
        *(q(m, v, target=t) for t in ("y", "z") for m, v in (("a", a), ("b", b))),
        q(RANDOM, drawn, "control_random"),
        q("a", a / 2, "floor_permuted"),
        q("b", b / 2, "floor_random"),  # drawn, so not exact: no test of its own
        chance("b", 0.1, "z"),
        q("a", a, "ceiling"),
    ]
    rows = differences([(metric(), quantities)])
    assert held(rows) == [
        ("y", "a", "b"),
        ("z", "a", "b"),
        ("y", "a", "random"),
        ("y", "a", "permuted"),
        ("y", "b", "random"),
        ("z", "b", "chance"),
    ]
    for row, gained in zip(rows, (a - b, a - b, a - drawn, a / 2, b - drawn, b - 0.1), strict=True):
        i = mean_interval(gained, null=0.0)
        assert (row.estimate, row.low, row.high, row.p) == pytest.approx((i.estimate, i.low, i.high, i.p))
        assert (row.rows, row.family, row.metric) == (ROWS, "faithfulness", "size")


def test_where_smaller_is_better_a_smaller_value_is_a_gain(rng):
    a, b = rng.exponential(size=(2, ROWS))
    quantities = [q("a", a), q("b", b), q(RANDOM, a + 1, "control_random"), chance("b", 3.0)]
    pair, control, by_chance = differences([(metric(better="smaller"), quantities)])
    assert pair.estimate == pytest.approx(b.mean() - a.mean())
    assert control.estimate == pytest.approx(1.0)
    assert by_chance.estimate == pytest.approx(3 - b.mean())
    assert by_chance.low <= by_chance.estimate <= by_chance.high


@pytest.mark.parametrize(
    ("tested", "others"),
    [
        ((), []),
        (False, []),
        (("methods",), ["b"]),
        (("controls",), ["random", "random"]),
        (True, ["b", "random", "random"]),
    ],
)
def test_a_metric_says_what_it_is_held_against(rng, tested, others):
    a, b, drawn = rng.random((3, ROWS))
    made = metric(tested=tested)
    rows = differences([(made, [q("a", a), q("b", b), q(RANDOM, drawn, "control_random")])])
    assert [r.other for r in rows] == others
    assert is_tested(made) == bool(others)
    assert held_against(metric(tested=True)) == ("methods", "controls")


def test_known_chance_is_tested_in_the_place_of_drawn_chance(rng):
    a, drawn = rng.random((2, ROWS))
    quantities = [q("a", a), chance("a", 0.5), q(RANDOM, drawn, "control_random")]
    assert held(differences([(metric(), quantities)])) == [("y", "a", "chance")]


@pytest.mark.parametrize("better", ["larger", "smaller"])
def test_hits_and_misses_are_held_against_chance_as_such(better):
    hits = (np.arange(ROWS) < 18).astype(float)
    by_row = np.linspace(0.3, 0.5, ROWS)
    (row,) = differences([(metric(better=better, bounds=(0.0, 1.0)), [q("a", hits), chance("a", by_row)])])
    peer = stats.binomtest(18, ROWS).proportion_ci(method="exact")
    sign = 1 if better == "larger" else -1
    ends = sorted([sign * (peer.low - 0.4), sign * (peer.high - 0.4)])
    assert row.estimate == pytest.approx(sign * 0.5)
    np.testing.assert_allclose([row.low, row.high], ends)
    assert row.p == pytest.approx(2 * stats.binomtest(18, ROWS, 0.4, "greater").pvalue)
    # Without the bounds of a share 0 and 1 are numbers like others.
    (number,) = differences([(metric(better=better), [q("a", hits), chance("a", by_row)])])
    assert number.p == pytest.approx(mean_interval(hits - by_row, null=0.0).p)


def test_chance_that_differs_from_row_to_row_is_tested_on_the_safe_side():
    rng = np.random.default_rng(5)
    by_row = rng.random(ROWS) ** 2
    made = metric(bounds=(0.0, 1.0))
    p = [
        differences([(made, [q("a", rng.random(ROWS) < by_row), chance("a", by_row)])])[0].p
        for _ in range(300)
    ]  # fmt: skip
    assert np.mean(np.array(p) < 0.05) <= 0.05


def test_rows_without_a_value_are_left_out(rng):
    hits = (np.arange(ROWS) < 15).astype(float)
    hits[:4] = np.nan
    by_row = np.where(np.isnan(hits), np.nan, 0.5)
    (row,) = differences([(metric(bounds=(0.0, 1.0)), [q("a", hits), chance("a", by_row)])])
    assert row.rows == 16
    assert row.p == pytest.approx(2 * stats.binomtest(11, 16, 0.5, "greater").pvalue)
    (nothing,) = differences([(metric(bounds=(0.0, 1.0)), [q("a", np.full(ROWS, np.nan)), chance("a", 0.5)])])
    assert (nothing.estimate, nothing.p, nothing.p_corrected, nothing.rows) == (None, None, None, 0)
    assert "undefined in all 20 rows" in nothing.note


def test_what_differs_by_rounding_alone_does_not_differ(rng):
    a = 5 + rng.random(ROWS)
    (row,) = differences([(metric(), [q("a", a), q("b", a.astype(np.float32) + np.float32(1e-6))])])
    assert (row.estimate, row.p) == (0.0, 1.0)
    (row,) = differences([(metric(), [q("a", 1e-9 * a), q("b", 1.1e-9 * a)])])
    assert row.p < 1e-6


def test_p_values_are_corrected_over_the_tests_of_one_question(rng):
    """All of one method against its controls, for one head; and all pairs, for one head; over all metrics."""
    a, b, c, drawn = rng.normal(0.2, 1, size=(4, ROWS))
    quantities = [
        *(q(m, v + (t == "z"), target=t) for t in ("y", "z") for m, v in (("a", a), ("b", b), ("c", c))),
        *(q(RANDOM, drawn, "control_random", t) for t in ("y", "z")),
        *(q(m, v / 3, "floor_permuted", t) for t in ("y", "z") for m, v in (("a", a), ("b", b), ("c", c))),
    ]
    other = [q("a", a**3), q("b", b**3), q(RANDOM, drawn, "control_random")]
    rows = differences([(metric("one"), quantities), (metric("two", better="smaller"), other)])
    families: dict[tuple[str, ...], list] = {}
    for row in rows:
        family = (row.head, row.method) if row.other in ("random", "permuted", "chance") else (row.head,)
        families.setdefault(family, []).append(row)
    assert {family: len(tests) for family, tests in families.items()} == {
        ("y",): 4, ("z",): 3, ("y", "a"): 3, ("y", "b"): 3, ("y", "c"): 2, ("z", "a"): 2, ("z", "b"): 2, ("z", "c"): 2,
    }  # fmt: skip
    for tests in families.values():
        assert [t.p_corrected for t in tests] == holm([t.p for t in tests])


def test_a_test_against_controls_does_not_depend_on_what_else_stands_in_the_comparison(rng):
    a, drawn = rng.normal(0.3, 1, size=(2, ROWS))
    own = [q("a", a), q(RANDOM, drawn, "control_random"), q("a", a / 2, "floor_permuted")]
    beside = [*own, *(q(f"b{i}", rng.normal(size=ROWS)) for i in range(5))]
    alone = differences([(metric(), own)])
    assert [r for r in differences([(metric(), beside)]) if r.method == "a" and r.other in ("random", "permuted")] == (
        list(alone)
    )


def test_a_metric_brings_its_own_p_value(rng):
    a, b = rng.random((2, ROWS, 3))
    own = q("a", a, of_mean=lambda means: means.max(axis=1), p=0.03, note="tested over features")
    other = q("b", b, of_mean=lambda means: means.max(axis=1), p=0.2, note="tested over features")
    quantities = [own, other, chance("a", 0.1), chance("b", 0.1)]
    rows = differences([(metric(tested=("controls",), better="smaller"), quantities), (metric("more"), [])])
    assert held(rows) == [("y", "a", "chance"), ("y", "b", "chance")]
    row = rows[0]
    assert row.estimate == pytest.approx(0.1 - a.mean(axis=0).max())
    assert (row.low, row.high, row.p, row.p_corrected, row.note) == (None, None, 0.03, 0.03, "tested over features")
