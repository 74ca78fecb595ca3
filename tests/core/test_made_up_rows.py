"""Rows that the probes make up where all rows of the data are alike: whatever they do is nothing of the user's."""

import numpy as np
import pytest

import xai_mimo as xm
from xai_mimo.core.errors import NotSupported

pytestmark = pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning")

TABLES = np.arange(100.0), np.array([1.0, 5.0, 2.0])
TYPES = ["int32", "uint8", "int64", "float32"]


def looked_up(ids):
    return TABLES[0][ids[:, 0].astype(int)] + TABLES[1][ids[:, 1].astype(int)]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("rows", [1, 4])
def test_ids_are_never_those_of_another_column(rows, dtype):
    model = xm.adapt(looked_up, streams={"ids": xm.Stream("ids", (2,), dtype)}, heads={"y": 1})
    explanation = xm.explain(model, np.array([[99, 2]] * rows, dtype), "occlusion")
    assert explanation["ids"].shape == (1, rows, 2)


def seen_by(kinds, x):
    """What a model is asked for, with what is alike in all rows."""
    asked = []

    def model(**streams):
        asked.append(streams)
        return sum(np.asarray(v, float).reshape(len(v), -1).sum(axis=1) for v in streams.values())

    function = {
        ("a",): lambda a: model(a=a),
        ("a", "b"): lambda a, b: model(a=a, b=b),
    }[tuple(kinds)]
    streams = {n: xm.Stream(n, np.shape(v)[1:], np.asarray(v).dtype.name) for n, v in x.items()}
    xm.explain(xm.adapt(function, streams=streams, heads={"y": 1}), x, "shapley", background=x)
    return asked


@pytest.mark.parametrize("dtype", ["int32", "bool", "uint8"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_whole_numbers_and_truth_values_are_those_of_their_column(shape, dtype):
    one = np.arange(int(np.prod(shape))).reshape(1, *shape).astype(dtype)
    for x in ({"a": one.repeat(2, axis=0)}, {"a": one, "b": np.ones((1, 2))}):
        for asked in seen_by(x, x):
            np.testing.assert_array_equal(asked["a"], np.broadcast_to(one, asked["a"].shape))


def test_floats_beside_whole_numbers_are_still_tried_at_other_values():
    x = {"a": np.array([[7]]), "b": np.ones((1, 2))}
    assert {float(v) for asked in seen_by(x, x) for v in asked["b"].ravel()} > {1.0}


NAMES = {1.0: 0.5, 3.0: 2.0}


def test_an_error_of_a_row_that_was_made_up_is_not_the_users():
    def named(x):
        return np.array([NAMES[float(row[0])] for row in x])

    x = np.array([[3.0]])
    model = xm.adapt(named, streams={"x": 1}, heads={"y": 1})
    assert xm.explain(model, x, "shapley", background=x)["x"].shape == (1, 1, 1)
    with pytest.raises(KeyError, match=r"2\.0"):
        xm.explain(model, np.array([[2.0]]), "shapley", background=x)


def test_one_hot_rows_may_be_all_that_a_model_takes():
    def strict(x):
        if not np.isin(x, (0, 1)).all() or (x.sum(axis=1) != 1).any():
            raise ValueError("no one-hot row")
        return x @ [1.0, 2.0, 3.0]

    x = np.array([[0.0, 1.0, 0.0]])
    model = xm.adapt(strict, streams={"x": 3}, heads={"y": 1})
    assert xm.explain(model, x, "shapley", background=x)["x"].shape == (1, 1, 3)


def test_equal_rows_of_ids_are_refused_all_the_same_where_a_model_is_random():
    rng = np.random.default_rng(0)
    model = xm.adapt(
        lambda ids: looked_up(ids) + rng.normal(size=len(ids)),
        streams={"ids": xm.Stream("ids", (2,), "int32")},
        heads={"y": 1},
    )
    with pytest.raises(NotSupported, match="is random"):
        xm.explain(model, np.array([[99, 2]]), "occlusion")
