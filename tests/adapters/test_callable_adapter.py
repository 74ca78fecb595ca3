"""Plain functions as models."""

import functools

import numpy as np
import pytest

from xai_mimo.core.errors import BadValues, NotSupported, ShapeMismatch, UnknownName
from xai_mimo.core.model import Differentiable, Interceptable, Model, Splittable
from xai_mimo.core.plugins import adapt
from xai_mimo.core.streams import Head, Stream

pytestmark = pytest.mark.all_frameworks


def weighted(a, b, scale=1.0):
    return {"total": scale * (a.sum(axis=1) + b[:, 0]), "pair": np.stack([a[:, 0], b[:, 0]], axis=1)}


STREAMS = {"a": 2, "b": ["q"]}
HEADS = {"total": "regression", "pair": 2}


@pytest.fixture
def rows(rng):
    return {"a": rng.normal(size=(50, 2)), "b": rng.normal(size=(50, 1))}


def test_a_function_is_a_model_and_nothing_more():
    model = adapt(weighted, streams=STREAMS, heads=HEADS)
    assert isinstance(model, Model)
    for capability in (Differentiable, Interceptable, Splittable):
        assert not isinstance(model, capability)
    assert model.streams == (Stream("a", (2,)), Stream("b", (1,), features=("q",)))
    assert model.heads == (Head("total"), Head("pair", (2,)))


def test_outputs_are_those_of_the_function(rows):
    predicted = adapt(weighted, streams=STREAMS, heads=HEADS).predict(rows)
    x = {name: values.astype("float32") for name, values in rows.items()}
    np.testing.assert_array_equal(predicted["total"], (x["a"].sum(axis=1) + x["b"][:, 0])[:, None])
    np.testing.assert_array_equal(predicted["pair"], np.stack([x["a"][:, 0], x["b"][:, 0]], axis=1))


def test_arguments_go_by_name_where_the_names_are_the_streams(rows):
    def swapped(b, a):
        return a[:, :1] - b

    by_name = adapt(swapped, streams={"a": 2, "b": 1}, heads={"y": 1}).predict(rows)["y"]
    np.testing.assert_allclose(by_name, rows["a"][:, :1] - rows["b"], rtol=1e-4, atol=1e-6)


def test_arguments_go_by_place_where_the_names_differ(rows):
    model = adapt(lambda first, second: first[:, :1] - second, streams={"a": 2, "b": 1}, heads={"y": 1})
    np.testing.assert_allclose(model.predict(rows)["y"], rows["a"][:, :1] - rows["b"], rtol=1e-4, atol=1e-6)


class Scaled:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, a, b):
        return [self.factor * a[:, 0], (b[:, 0] > 0)]


def test_partials_objects_and_built_in_functions_work(rows):
    partial = adapt(functools.partial(weighted, scale=2.0), streams=STREAMS, heads=HEADS)
    whole = adapt(weighted, streams=STREAMS, heads=HEADS)
    np.testing.assert_allclose(partial.predict(rows)["total"], 2 * whole.predict(rows)["total"], rtol=1e-6)
    assert partial.name == whole.name == "weighted"
    predicted = adapt(Scaled(3.0), streams=STREAMS, heads={"x": 1, "y": "binary"}).predict(rows)
    np.testing.assert_allclose(predicted["x"][:, 0], 3 * rows["a"][:, 0], rtol=1e-6)
    assert set(np.unique(predicted["y"])) == {0.0, 1.0}
    assert predicted["y"].dtype == np.float64
    np.testing.assert_array_equal(
        adapt(np.negative, streams={"x": 1}, heads={"y": 1}).predict(np.array([[2.0]]))["y"], [[-2.0]]
    )


def test_chunks_of_any_size_give_the_same_and_are_as_large_as_allowed(rows):
    seen = []

    def watched(a, b):
        seen.append(len(a))
        return a.sum(axis=1) + b[:, 0]

    whole = adapt(watched, streams=STREAMS, heads={"y": 1}).predict(rows)["y"]
    assert seen == [50]
    parts = adapt(watched, streams=STREAMS, heads={"y": 1}, max_memory=8 * 20 * 7).predict(rows)["y"]
    assert seen[1:] == [7] * 7 + [1]
    np.testing.assert_array_equal(parts, whole)


def test_one_row_and_one_unit():
    model = adapt(lambda x: 2 * x, streams={"x": 1}, heads={"y": 1})
    np.testing.assert_array_equal(model.predict(np.array([[3.0]]))["y"], [[6.0]])


@pytest.mark.parametrize(
    ("function", "error", "text"),
    [
        (lambda x: x[:1], ShapeMismatch, r"gave shape \(1, 2\) for head 'y'; expected \(4, 2\)"),
        (lambda x: x[:, :1], ShapeMismatch, r"gave shape \(4, 1\)"),
        (lambda x: x.astype(str), BadValues, "gave dtype <U"),
        (lambda x: np.where(x > 2, np.nan, x), BadValues, "NaN or infinity for head 'y', first in row 3"),
        (lambda x: {"z": x}, UnknownName, "no head is called 'z'"),
        (lambda x: [x, x], ShapeMismatch, "expected 1 values, one per head"),
    ],
)
def test_wrong_outputs_are_named(function, error, text):
    model = adapt(function, streams={"x": 2}, heads={"y": 2})
    with pytest.raises(error, match=text):
        model.predict(np.array([[0.0, 1.0], [1.0, 2.0], [0.5, 0.5], [3.0, 4.0]]))


def test_the_row_of_a_bad_output_counts_from_the_first_row_of_all():
    model = adapt(lambda x: np.where(x > 8, np.inf, x), streams={"x": 1}, heads={"y": 1}, max_memory=1)
    with pytest.raises(BadValues, match="first in row 9"):
        model.predict(np.arange(12.0)[:, None])


@pytest.mark.parametrize("given", [{}, {"streams": STREAMS}, {"heads": HEADS}])
def test_a_function_without_declarations_asks_for_them(given):
    missing = "heads" if "streams" in given else "streams"
    with pytest.raises(NotSupported, match=rf"the {missing} of 'weighted' cannot be read off.*adapt\(f, streams="):
        adapt(weighted, **given)


def test_fingerprints_tell_functions_apart():
    def fingerprint(function):
        return adapt(function, streams=STREAMS, heads=HEADS).fingerprint()

    assert fingerprint(weighted) == fingerprint(weighted)
    different = [
        weighted,
        functools.partial(weighted, scale=2.0),
        lambda a, b: a + 1,
        lambda a, b: a + 2,
        Scaled(1.0),
        np.add,
    ]
    assert len({fingerprint(f) for f in different}) == len(different)
