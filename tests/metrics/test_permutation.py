"""Permutation importance: by a slow re-implementation, in closed form, and beside maps in a comparison."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from scipy import stats

import xai_mimo as xm
from tests.helpers import toys
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.errors import BadSetting, NotSupported
from xai_mimo.core.method import Attribution
from xai_mimo.core.players import Masker
from xai_mimo.core.streams import Head, Stream
from xai_mimo.core.targets import Selector, take
from xai_mimo.metrics.permutation import PermutationAgreement, permutation_importance, rank_correlation_of_means

pytestmark = pytest.mark.all_frameworks

FAST = Settings(resamples=200, ceilings=False)
NAME = "permutation_agreement"
ROWS = 9


def selectors(heads, rows=ROWS):
    return [Selector(head, head, np.zeros(rows, dtype=np.int64)) for head in heads]


def bent(rows):
    """Two heads of a series of three steps and two features, and of a table."""
    series, table = rows["series"], rows["table"]
    return {
        "one": np.tanh(series[:, :, 0].sum(axis=1, keepdims=True) * table[:, :1]),
        "two": series[:, :1, 1] ** 2 - table[:, 1:],
    }


@pytest.fixture
def inputs(rng):
    return {"series": rng.standard_normal((ROWS, 3, 2)), "table": rng.standard_normal((ROWS, 2))}


@pytest.mark.parametrize("players", ["features", "variables", "streams"])
def test_over_all_shuffles_it_is_the_mean_over_all_other_rows_whatever_the_memory(players, inputs, rng):
    masker = Masker.of(inputs, players)
    marks = masker.marks(np.eye(masker.count, dtype=bool))
    full = bent(inputs)
    expected = np.zeros((2, ROWS, masker.count))
    for h, head in enumerate(("one", "two")):
        for row in range(ROWS):
            for player in range(masker.count):
                moved = []
                for other in set(range(ROWS)) - {row}:
                    mixed = {s: np.where(marks[s][player], x[other], x[row])[None] for s, x in inputs.items()}
                    moved.append(abs(bent(mixed)[head][0, 0] - full[head][row, 0]))
                expected[h, row, player] = np.mean(moved)
    for memory in (1, 2**26):
        ours = permutation_importance(
            bent, inputs, selectors(("one", "two")), masker, shuffles=50, rng=rng, max_memory=memory
        )
        np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_all_heads_share_the_predictions_and_no_row_keeps_its_value(inputs, rng):
    asked = []

    def counted(rows):
        asked.append(len(rows["table"]))
        return bent(rows)

    masker = Masker.of(inputs, "features")
    moved = permutation_importance(counted, inputs, selectors(("one", "two")), masker, shuffles=3, rng=rng)
    assert sum(asked) == ROWS + masker.count * 3 * ROWS
    assert (moved[1][:, 1] > 0).all()  # the second feature at the first step moves head two, in every row
    np.testing.assert_array_equal(moved[1][:, [0, 2, 4]], 0.0)


def test_a_group_is_shuffled_as_a_whole(rng):
    """y = 1 where exactly one of three columns is 1: columns of one row stay together, so nothing ever moves."""
    rows = {"s": np.concatenate([np.eye(3)[rng.integers(0, 3, 30)], rng.standard_normal((30, 1))], axis=1)}
    stream = Stream("s", (4,), features=("mon", "tue", "wed", "heat"), groups={"day": ("mon", "tue", "wed")})

    def is_day(given):
        return {"y": (given["s"][:, :3].sum(axis=1, keepdims=True) == 1).astype(np.float64) + given["s"][:, 3:]}

    grouped = permutation_importance(is_day, rows, selectors("y", 30), Masker.of(rows, "features", [stream]), rng=rng)
    apart = permutation_importance(is_day, rows, selectors("y", 30), Masker.of(rows, "features"), rng=rng)
    np.testing.assert_array_equal(grouped[0][:, 0], 0.0)
    assert (apart[0][:, :3].mean(axis=0) > 0.1).all()


def test_without_another_row_there_is_nothing_to_shuffle(inputs, rng):
    one = {name: x[:1] for name, x in inputs.items()}
    with pytest.raises(BadSetting, match="at least 1 shuffle and 2 rows; got 5 and 1"):
        permutation_importance(bent, one, selectors(("one",), 1), Masker.of(one, "features"), rng=rng)


def test_the_correlation_is_spearmans_and_rounding_is_no_order(rng):
    a, b = rng.random((2, 20, 7))
    expected = [stats.spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(rank_correlation_of_means(a, b), expected)
    flat = 0.2 * (1 + 1e-9 * rng.standard_normal((20, 7)))
    assert np.isnan(rank_correlation_of_means(flat, b)).all()
    assert np.isnan(rank_correlation_of_means(a, np.zeros((20, 7)))).all()
    half, rest = [5.0, 3.0, 0.0, 0.0, 0.0], [9.0, 4.0, 1e-12, 3e-12, 2e-12]
    np.testing.assert_allclose(rank_correlation_of_means([half], [rest]), 1.0)


@dataclass(frozen=True)
class Uniform:
    """A map that says nothing, up to rounding."""

    name: ClassVar[str] = "uniform"
    reference: ClassVar[str] = ""

    def __call__(self, model, inputs, selectors, context):
        values = {
            name: np.full((len(selectors), *x.shape), 0.2) * (1 + 1e-9 * context.rng.standard_normal(x.shape))
            for name, x in inputs.items()
        }
        return Attribution(values, take(model.predict(inputs), selectors), signed=False)


def scores(result):
    return {(s.method, s.role): s for s in result.record.scores if s.metric == NAME}


def test_exact_values_of_a_linear_model_have_its_order_and_a_uniform_map_has_none(rng):
    model = toys.linear({"y": [[8.0, -4.0, 2.0, 1.0, -0.5]]}, {"one": 3, "two": 2})
    data = {"one": rng.standard_normal((60, 3)), "two": rng.standard_normal((60, 2))}
    result = xm.compare(model, data, {"shapley": "shapley", "uniform": Uniform()}, settings=FAST)
    own = scores(result)
    assert own["shapley", "value"].estimate == own["shapley", "value"].high == 1.0
    assert own["uniform", "value"].estimate is None
    assert own["uniform", "value"].note == "undefined: the mean map is the same for all features"
    for label in ("shapley", "uniform"):
        floor = own[label, "floor_random"]
        assert (floor.estimate, floor.low, floor.high) == (0.0, None, None)
    assert not [d for d in result.record.differences if d.metric == NAME]


def test_the_reverse_of_the_order_scores_minus_one(rng):
    @dataclass(frozen=True)
    class Reverse(Uniform):
        def __call__(self, model, inputs, selectors, context):
            values = {"s": np.broadcast_to([1.0, 2.0, 3.0], (1, *inputs["s"].shape))}
            return Attribution(values, take(model.predict(inputs), selectors))

    model = toys.linear({"y": [[9.0, -3.0, 1.0]]}, {"s": 3})
    result = xm.compare(model, {"s": rng.standard_normal((40, 3))}, [Reverse()], metrics=[NAME], settings=FAST)
    assert scores(result)["uniform", "value"].estimate == -1.0


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (1, "one row: there is no other to shuffle with"),
        (20, "undefined: permutation importance is the same for all features"),
    ],
)
def test_where_it_cannot_be_computed_it_says_why(rows, words, rng):
    model = toys.linear({"y": [[1.0, 2.0]]}, {"s": 2})
    data = {"s": np.ones((rows, 2)) if rows > 1 else rng.standard_normal((1, 2))}
    background = {"s": rng.standard_normal((5, 2))}
    result = xm.compare(model, data, ["occlusion"], metrics=[NAME], background=background, settings=FAST)
    own = scores(result)["occlusion", "value"]
    assert (own.estimate, own.note) == (None, words)


@pytest.mark.parametrize(
    ("width", "words"), [(1, "one feature has no order"), (201, "there are more than 200; compare")]
)
def test_it_is_left_out_where_it_says_nothing_or_costs_too_much(width, words, rng):
    model = toys.Predictor(
        (Stream("s", (width,), dtype="float64"),), (Head("y"),), lambda x: {"y": x.sum(axis=1, keepdims=True)}
    )
    data = {"s": rng.standard_normal((3, width))}
    assert not scores(xm.compare(model, data, ["occlusion"], settings=FAST))
    with pytest.raises(NotSupported, match=f"metric '{NAME}' does not apply here: .*{words}"):
        xm.compare(model, data, ["occlusion"], metrics=[NAME], settings=FAST)


def test_resamples_without_the_only_row_that_has_an_order_count_as_chance(rng):
    @dataclass(frozen=True)
    class InOneRow(Uniform):
        def __call__(self, model, inputs, selectors, context):
            x = inputs["s"]
            values = np.where(x[:, :1] == 9.0, [3.0, 2.0, 1.0], 1.0)[None]
            return Attribution({"s": values}, take(model.predict(inputs), selectors))

    model = toys.linear({"y": [[9.0, -3.0, 1.0]]}, {"s": 3})
    x = rng.standard_normal((12, 3))
    x[0, 0] = 9.0
    result = xm.compare(model, {"s": x}, [InOneRow()], metrics=[NAME], settings=FAST)
    own = scores(result)["uniform", "value"]
    assert (own.estimate, own.low, own.high) == (1.0, 0.0, 1.0)


@pytest.mark.parametrize(("width", "shuffles"), [(100, 5), (101, 4), (200, 2)])
def test_of_many_features_each_is_shuffled_less_often(width, shuffles, rng):
    """At most 500 predictions are asked for each row."""
    data = {"s": rng.standard_normal((8, width))}
    asked = {}
    for most in (5, 1):
        model = toys.Predictor(
            (Stream("s", (width,), dtype="float64"),), (Head("y"),), lambda x: {"y": x.sum(axis=1, keepdims=True)}
        )
        xm.compare(model, data, [Uniform()], metrics=[PermutationAgreement(shuffles=most)], settings=FAST)
        asked[most] = sum(model.rows_seen)
    assert asked[5] - asked[1] == (shuffles - 1) * width * 8
