"""Models that do not do what an explanation assumes: each is refused by name, or warned of."""

import numpy as np
import pytest

import xai_mimo as xm
from xai_mimo.core.errors import NotFinite, NotSupported, ShapeMismatch
from xai_mimo.core.rounding import relative_rounding

ROWS = np.random.default_rng(0).normal(size=(7, 3))


def adapted(function, heads=None):
    return xm.adapt(function, streams={"x": 3}, heads=heads or {"y": 1})


def explained(function, x=ROWS, **more):
    return xm.explain(adapted(function), x, "occlusion", **more)


BY_COMPANY = {
    "standardised by batch": lambda x: ((x - x.mean(axis=0)) / (x.std(axis=0) + 1e-3)).sum(axis=1),
    "not a number alone": lambda x: ((x - x.mean(axis=0)) / x.std(axis=0)).sum(axis=1),
    "centred": lambda x: (x - x.mean(axis=0)).sum(axis=1),
    "softmax over rows": lambda x: np.exp(x[:, 0]) / np.exp(x[:, 0]).sum(),
    "share of the largest": lambda x: x.sum(axis=1) / np.abs(x).max(),
    "with a large offset": lambda x: 1e6 + (x - x.mean(axis=0)).sum(axis=1),
}


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("function", BY_COMPANY.values(), ids=BY_COMPANY)
def test_rows_that_see_each_other_are_refused(function, rows):
    with pytest.raises(NotSupported, match="lets rows depend on each other: its head 'y' answers"):
        explained(function, ROWS[:rows])


def test_a_row_by_itself_is_told_from_rows_by_their_number():
    with pytest.raises(NotSupported, match=r"by the rows that are asked for with it: .* alone and .* among 6 rows"):
        explained(lambda x: x.sum(axis=1) / len(x))
    with pytest.raises(ShapeMismatch, match="gave shape"):
        explained(lambda x: (x @ np.ones((3, 1))).squeeze())


def test_random_answers_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(NotSupported, match="is random: asked again, its head 'y'"):
        explained(lambda x: x.sum(axis=1) + rng.normal(size=len(x)))
    with pytest.raises(NotSupported, match="is random, or keeps a state"):
        explained(lambda x: x.sum(axis=1) + rng.normal())
    with pytest.raises(NotSupported, match="random with a fixed seed"):
        explained(lambda x: x.sum(axis=1) + np.random.default_rng(0).normal(size=len(x)))


def test_a_state_that_is_kept_between_calls_is_refused():
    calls = []

    def drifting(x):
        calls.append(1)
        return x.sum(axis=1) + len(calls)

    with pytest.raises(NotSupported, match="keeps a state from call to call: asked again"):
        explained(drifting)


def test_who_knows_better_goes_on():
    explanation = explained(lambda x: (x - x.mean(axis=0)).sum(axis=1), check=False)
    assert explanation.sizes["sample"] == len(ROWS)


ORDINARY = {
    "linear": lambda x: x @ [1.0, 2.0, 3.0],
    "constant": lambda x: np.full(len(x), 0.1),
    "zero": lambda x: np.zeros(len(x)),
    "offset": lambda x: x.sum(axis=1) + 1e12,
    "tiny": lambda x: x.sum(axis=1) * 1e-30,
    "single": lambda x: np.tanh(x.astype(np.float32) @ np.ones(3, np.float32)),
    "half": lambda x: np.tanh(x.astype(np.float16) @ np.ones(3, np.float16)),
    "truth": lambda x: x.sum(axis=1) > 0,
}


@pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning")
@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("function", ORDINARY.values(), ids=ORDINARY)
def test_ordinary_functions_pass(function, rows):
    assert explained(function, ROWS[:rows]).sizes["sample"] == rows


def test_a_model_is_asked_fourteen_rows_more_and_once_for_all_blocks():
    sizes = []

    def counted(x):
        sizes.append(len(x))
        return x.sum(axis=1)

    def rows_asked(**more):
        sizes.clear()
        explained(counted, np.tile(ROWS, (10, 1)), **more)
        return sum(sizes), len(sizes)

    for more in ({}, {"rows_per_block": 7}):
        rows, calls = rows_asked(check=False, **more)
        assert rows_asked(**more) == (rows + 13, calls + 3)


@pytest.mark.parametrize("answer", [np.nan, np.inf])
@pytest.mark.parametrize("row", [0, 3, 20])
def test_an_answer_that_is_no_number_names_head_and_row(answer, row):
    x = np.random.default_rng(1).normal(size=(30, 3))

    def broken(values):
        return {"y": values[:, 0], "z": np.where(values[:, 0] == x[row, 0], answer, 1.0)}

    with pytest.raises(NotFinite, match=f"model '.*broken' answers NaN or infinity for head 'z', first in row {row},"):
        xm.explain(adapted(broken, {"y": 1, "z": 1}), x, "occlusion", rows_per_block=8)


def test_a_bad_setting_of_the_check_is_named():
    with pytest.raises(xm.core.errors.BadSetting, match="check must be True or False"):
        explained(lambda x: x.sum(axis=1), check="no")


def test_rounding_is_that_of_the_numbers():
    exact = np.array([1.0, 0.3, 2.7])
    assert relative_rounding(exact) == 2.0**-52
    assert relative_rounding(exact.astype(np.float32)) == 2.0**-23
    assert relative_rounding(exact.astype(np.float32).astype(np.float64)) == 2.0**-23
    assert relative_rounding(exact.astype(np.float16).astype(np.float32)) == 2.0**-10
    assert relative_rounding((exact.astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)) == 2.0**-7
    assert relative_rounding(np.array([1, 2])) == 0.0


def test_a_place_that_only_two_rows_of_one_call_show_is_refused():
    """Copies answer alike at the places that are compared with copies; rows 0 and 2 of a call are one row."""
    with pytest.raises(NotSupported, match="reads a row's place among the others"):
        explained(lambda x: x.sum(axis=1) + np.arange(len(x)) // 2 * (x[:1] != x[1:2]).any())


def test_a_large_offset_hides_no_dependence_of_some_dozens_of_roundings():
    with pytest.raises(NotSupported, match="lets rows depend on each other"):
        explained(lambda x: (1000 + 0.01 * (x - x.mean(axis=0)).sum(axis=1)).astype(np.float32))


def test_rows_from_all_over_the_data_are_asked():
    x = np.random.default_rng(0).normal(size=(50, 3))
    x[49] = 7.0
    with pytest.raises(NotSupported, match="depend on each other"):
        explained(lambda rows: rows.sum(axis=1) + (rows == 7.0).all(axis=1).any(), x)


def test_what_the_model_does_not_answer_is_named_where_a_method_asked_for_it():
    """A logarithm has no value at a baseline of zero: that is not the method's fault."""
    function = adapted(lambda x: x.sum(axis=1))

    class Logarithm:
        streams, heads, fingerprint = function.streams, function.heads, function.fingerprint

        def predict(self, x):
            with np.errstate(all="ignore"):
                return {"y": np.log(x["x"]).sum(axis=1, keepdims=True)}

    with pytest.raises(NotFinite, match=r"Logarithm answers NaN or infinity for head 'y' to row 0 with features repl"):
        xm.explain(Logarithm(), 1 + np.abs(ROWS), "occlusion")


def test_a_comparison_goes_on_too_for_who_knows_better():
    model = adapted(lambda x: (x - x.mean(axis=0)).sum(axis=1))
    settings = xm.Settings(ceilings=False, resamples=100)
    with pytest.raises(NotSupported, match="depend on each other"):
        xm.compare(model, ROWS, ["occlusion"], settings=settings, metrics=["gini"])
    assert xm.compare(model, ROWS, ["occlusion"], settings=settings, metrics=["gini"], check=False).record.targets
