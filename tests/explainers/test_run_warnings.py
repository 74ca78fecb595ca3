"""What a run warns of: facts of all its blocks together, in whatever order they were done."""

import itertools

import numpy as np
import pytest
import xarray as xr

import xai_mimo as xm
from tests.helpers import toys
from xai_mimo.core.errors import UnusedStreamWarning
from xai_mimo.core.explanation import describe
from xai_mimo.core.streams import Head, Stream
from xai_mimo.explainers import Occlusion
from xai_mimo.explainers.run_warnings import RunWarnings

pytestmark = pytest.mark.all_frameworks


def block(zeros, *, rows=3, converged=None, signed=1, unexplained="[]"):
    """Heads y and z over streams u and v; ``zeros`` lists the (head, stream) that are zero in it."""
    heads = ["y", "z"]
    values = {s: np.ones((2, rows, 2)) for s in ("u", "v")}
    for head, stream in zeros:
        values[stream][heads.index(head)] = 0.0
    data = {s: (("head", "sample", f"{s}_feature"), v) for s, v in values.items()}
    if converged is not None:
        data["converged"] = (("head", "sample"), np.array(converged))
    attrs = {
        "signed": signed,
        "unexplained": unexplained,
        **describe((Stream("u", (2,)), Stream("v", (2,))), (Head("y"),)),
    }
    return xr.Dataset(data, {"head": heads}, attrs)


def merged(*accounts):
    total = RunWarnings()
    for account in accounts:
        total = total.merge(account)
    return total


def texts(account):
    return [str(w) for w in account.warnings("gradient")]


def test_a_stream_that_is_unused_in_one_block_only_is_no_unused_stream():
    some, other = block([("y", "u"), ("z", "v")]), block([("y", "u")], rows=5)
    (text,) = texts(merged(RunWarnings.of(some), RunWarnings.of(other)))
    assert text.startswith("gradient gives head 'y' exact zeros on input stream 'u' for all 8 rows")
    assert texts(merged(RunWarnings.of(some), RunWarnings.of(block([])))) == []
    assert texts(merged(RunWarnings.of(block([])), RunWarnings.of(some))) == []


def test_explain_does_not_warn_of_a_stream_that_matters_to_later_rows_alone(recwarn):
    # y reads v only where u's first feature is above zero: nowhere in the first block, everywhere in the second.
    def forward(x):
        return {"y": (x[:, :1] + (x[:, :1] > 0) * x[:, 3:4])}

    def jacobian(x):
        slopes = np.zeros((len(x), 1, 5))
        slopes[:, 0, 0], slopes[:, 0, 3] = 1.0, x[:, 0] > 0
        return {"y": slopes}

    plain = toys.mlp()
    model = toys.Toy(plain.streams, (Head("y"),), forward, jacobian=jacobian)
    u, v = -np.ones((8, 3)), np.ones((8, 2))
    u[4:] = 1.0
    xm.explain(model, {"u": u, "v": v}, "gradient", rows_per_block=4)
    assert not recwarn.list
    with pytest.warns(UnusedStreamWarning, match="head 'y' exact zeros on input stream 'v' for all 4 rows"):
        xm.explain(model, {"u": u[:4], "v": v[:4]}, "gradient", rows_per_block=2)


@pytest.mark.parametrize("method", ["shapley", "expected_gradients", Occlusion(baseline="mean")])
def test_a_row_that_was_its_own_background_is_not_said_to_be_unread(method, recwarn):
    model = toys.mlp()
    x = toys.rows(model, 3)
    one = {name: rows[:1] for name, rows in x.items()}
    with pytest.warns(UnusedStreamWarning) as told:
        xm.explain(model, one, method)
    (text,) = (str(warning.message) for warning in told)
    assert "compared the one row of x with itself, since background=None draws from x" in text
    xm.explain(model, one, method, background=x)
    assert not recwarn.list


def test_accounts_merge_alike_in_any_order_and_grouping():
    accounts = [
        RunWarnings.of(block([("y", "u"), ("z", "v")], converged=[[1, 0, 1], [1, 1, 1]])),
        RunWarnings.of(block([("y", "u"), ("y", "v")], rows=2, converged=[[1, 0], [0, 0]])),
        RunWarnings.of(block([("y", "u")], rows=1, converged=[[1], [1]])),
    ]
    expected = RunWarnings(6, frozenset({("y", "u")}), {"y": 2, "z": 2}, 0)
    for order in itertools.permutations(accounts):
        assert merged(*order) == expected
        a, b, c = order
        assert a.merge(b.merge(c)) == a.merge(b).merge(c) == expected
    assert RunWarnings().merge(expected) == expected.merge(RunWarnings()) == expected
    assert RunWarnings.from_json(expected.to_json()) == expected
    assert "(y: 2 of 6, z: 2 of 6)" in texts(expected)[1]


def test_rows_that_rounding_kept_from_the_tolerance_add_up():
    one, other = RunWarnings(3, frozenset(), {"y": 1}, 1), RunWarnings(4, frozenset(), {"y": 3}, 2)
    assert one.merge(other) == RunWarnings(7, frozenset(), {"y": 4}, 3)


def test_unsigned_maps_and_streams_left_out_say_nothing_of_unused_streams():
    unsigned = block([("y", "u")], signed=0)
    left_out = block([("y", "u"), ("y", "v")], unexplained='["u"]')
    assert RunWarnings.of(unsigned).unused == frozenset()
    assert RunWarnings.of(left_out).unused == {("y", "v")}


@pytest.mark.parametrize("rows", [1, 12])
def test_rows_that_are_their_own_background_are_not_said_to_be_unread(rows):
    model = xm.adapt(lambda u, v: {"y": u.sum(1) + v.sum(1)}, streams={"u": 2, "v": 1}, heads={"y": 1})
    x = {"u": np.tile([[1.0, 2.0]], (rows, 1)), "v": np.full((rows, 1), 3.0)}
    what = "the one row of x with itself" if rows == 1 else "the 12 rows of x, all alike, with one of them"
    for background, why in (
        (None, "since background=None draws from x"),
        (x, "since the background is that row again"),
    ):
        with pytest.warns(UnusedStreamWarning, match=f"shapley compared {what}, {why}: its zeros say nothing"):
            xm.explain(model, x, "shapley", background=background)
    with pytest.warns(UnusedStreamWarning, match=f"shapley compared {what}, since the background is that row again"):
        xm.compare(model, x, ["shapley"], metrics=["gini"])
    other = {"u": x["u"] + 1, "v": x["v"]}
    with pytest.warns(UnusedStreamWarning, match="exact zeros on input stream 'v' for all"):
        xm.explain(model, x, "shapley", background=other)
    if rows > 1:
        x["u"][3] += 1
        with pytest.warns(UnusedStreamWarning, match="exact zeros on input stream 'v' for all 12 rows"):
            xm.explain(model, x, "shapley", background=x)
