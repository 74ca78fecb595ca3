"""Plain functions as models."""

import functools

import numpy as np
import pandas as pd
import pytest
import torch

import xai_mimo as xm
from xai_mimo.core.errors import (
    BadSetting,
    BadValues,
    NotSupported,
    PrecisionWarning,
    ShapeMismatch,
    UnknownName,
)
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
    assert model.streams == (Stream("a", (2,), "float64"), Stream("b", (1,), "float64", features=("q",)))
    assert model.heads == (Head("total"), Head("pair", (2,)))


def test_outputs_are_those_of_the_function(rows):
    predicted = adapt(weighted, streams=STREAMS, heads=HEADS).predict(rows)
    np.testing.assert_array_equal(predicted["total"], (rows["a"].sum(axis=1) + rows["b"][:, 0])[:, None])
    np.testing.assert_array_equal(predicted["pair"], np.stack([rows["a"][:, 0], rows["b"][:, 0]], axis=1))


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
    parts = adapt(watched, streams=STREAMS, heads={"y": 1}, max_memory=8 * 32 * 7).predict(rows)["y"]
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


def test_a_function_is_handed_the_digits_that_the_data_has():
    since = 1.6e9 + np.array([[850.0], [636.0], [511.0]])
    model = adapt(lambda t: (t[:, :1] - 1.6e9) / 100, streams={"t": ["time"]}, heads={"y": 1})
    np.testing.assert_array_equal(model.predict(since)["y"], [[8.50], [6.36], [5.11]])
    maps = xm.explain(model, since, "occlusion")
    np.testing.assert_array_equal(maps["prediction"].values, [[8.50, 6.36, 5.11]])
    declared = adapt(lambda t: (t[:, :1] - 1.6e9) / 100, streams=[Stream("t", (1,))], heads={"y": 1})
    with pytest.warns(PrecisionWarning, match="'t' is read as float32"):
        declared.predict(since)


def test_a_function_that_takes_no_float64_gets_float32_and_a_word_on_lost_digits():
    network = torch.nn.Linear(1, 1)

    def asked(t):
        return network(torch.from_numpy(t)).detach().numpy()

    rows = np.array([[0.5], [1.5]])
    expected = asked(rows.astype("float32"))
    model = adapt(asked, streams={"t": 1}, heads={"y": 1})
    np.testing.assert_array_equal(model.predict(rows)["y"], expected)
    with pytest.warns(PrecisionWarning, match="moves values of feature '0' by up to"):
        model.predict(1.6e9 + 100 * rows)
    with pytest.raises(BadValues, match="too large for float32, which is what"):
        model.predict(1e300 * rows)


def test_what_is_answered_does_not_depend_on_the_calls_before():
    def asked(t):
        if t.dtype == np.float64 and (t < 0).any():
            raise TypeError("expected Float but found Double")
        return t[:, :1] * 10.0

    fine, other = np.array([[1 / 3]]), np.array([[-1 / 3]])
    for first in (fine, other):
        model = adapt(asked, streams={"t": 1}, heads={"y": 1})
        model.predict(first)
        np.testing.assert_array_equal(model.predict(fine)["y"], fine * 10.0)
        np.testing.assert_array_equal(model.predict(other)["y"], asked(other.astype("float32")))


class OfArrays(torch.nn.Linear):
    """A network whose own pass reads what no tensor is."""

    def forward(self, x):
        return super().forward(torch.from_numpy(x))


def test_a_pass_of_a_torch_network_that_takes_no_tensors_is_refused_with_a_way_out_that_works():
    model = OfArrays(12, 1).eval()
    with pytest.raises(NotSupported, match=r"'OfArrays\.forward' is a method of a network of PyTorch") as refusal:
        adapt(model.forward, streams={"x": 12}, heads={"y": 1})
    example = str(refusal.value).split("Wrap it: ")[1].removesuffix(".")
    adapted = eval(example, {"xai_mimo": xm, "model": torch.nn.Linear(12, 1), "torch": torch})
    assert adapted.predict(np.ones((2, 12)))["risk"].shape == (2, 1)


def test_a_tensor_that_remembers_its_gradient_is_read():
    model = torch.nn.Linear(3, 1)
    adapted = adapt(lambda x: model(torch.from_numpy(x)), streams={"x": 3}, heads={"y": 1})
    rows = np.ones((2, 3), "float32")
    np.testing.assert_array_equal(adapted.predict(rows)["y"], model(torch.from_numpy(rows)).detach().numpy())


def test_a_function_that_fails_fails_with_its_own_error():
    def broken(t):
        raise KeyError("no such table")

    with pytest.raises(KeyError, match="no such table"):
        adapt(broken, streams={"t": 1}, heads={"y": 1}).predict(np.ones((2, 1)))


def test_a_mistyped_stream_name_is_refused_and_swaps_nothing():
    def hours(wear, thermal):
        return wear.sum(axis=1) * 100 + thermal.sum(axis=1)

    with pytest.raises(UnknownName, match=r"no parameter of '.*hours' is called 'wears'.*Did you mean 'wear'"):
        adapt(hours, streams={"thermal": 2, "wears": 2}, heads={"y": 1})
    with pytest.raises(UnknownName, match=r"no stream for a parameter of '.*hours' is called 'wear'"):
        adapt(hours, streams={"thermal": 2}, heads={"y": 1})


def test_parameters_with_defaults_and_places_leave_names_their_streams(rows):
    def with_default(a, b, scale=10.0):
        return scale * a[:, :1] - b

    def by_place(a, b, /):
        return 10.0 * a[:, :1] - b

    def with_others(a, **others):
        return 10.0 * a[:, :1] - others["b"]

    for function in (with_default, by_place, with_others):
        predicted = adapt(function, streams={"b": 1, "a": 2}, heads={"y": 1}).predict(rows)["y"]
        np.testing.assert_array_equal(predicted, 10.0 * rows["a"][:, :1] - rows["b"])


class Asking:
    def __init__(self, network):
        self.network = network

    def __call__(self, x):
        return self.network(torch.from_numpy(x)).detach().numpy()


def test_a_network_in_training_mode_is_seen_within_a_function():
    network = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 1))

    def closed(x):
        return network(torch.from_numpy(x)).detach().numpy()

    def partly(model, x):
        return model(torch.from_numpy(x)).detach().numpy()

    rows = np.ones((3, 2), "float32")
    for function in (closed, Asking(network), Asking(network).__call__, functools.partial(partly, network)):
        network.train()
        model = adapt(function, streams={"x": 2}, heads={"y": 1})
        with pytest.raises(NotSupported, match=r"\(Sequential\) in training mode.*layer '1' \(Dropout\).*\.eval\(\)"):
            model.predict(rows)
        network.eval()
        np.testing.assert_array_equal(model.predict(rows)["y"], closed(rows))
    plain = torch.nn.Linear(2, 1).train()
    adapt(Asking(plain), streams={"x": 2}, heads={"y": 1}).predict(rows)


@pytest.mark.parametrize(
    ("streams", "heads", "text"),
    [
        ({"x": "abc"}, {"y": 1}, "input stream 'x' is declared as 'abc'; expected a Stream"),
        ({"x": np.bool_(True)}, {"y": 1}, "input stream 'x' is declared as"),
        ({"x": 10**30}, {"y": 1}, "input stream 'x' is declared as"),
        ({"x": 2}, {"y": (None, 2)}, r"head 'y' is declared as \(None, 2\); expected a Head"),
        ({"x": 2}, {"y": 0}, "head 'y' is declared as 0"),
        (3, {"y": 1}, "streams is a list of Stream objects"),
    ],
)
def test_what_declares_nothing_is_refused(streams, heads, text):
    with pytest.raises(BadSetting, match=text):
        adapt(lambda x: x, streams=streams, heads=heads)


def test_numbers_and_names_of_other_libraries_declare_too():
    model = adapt(lambda x: x[:, :1], streams={"x": pd.Index(["p", "q"])}, heads={"y": np.int64(1)})
    assert model.streams[0].features == ("p", "q")
    assert model.heads[0].shape == (1,)


def test_a_function_may_write_into_its_input(rng):
    def function(z):
        z -= 1
        return {"y": z @ [1.0, 2.0, 3.0]}

    x = rng.normal(size=(12, 3))
    before = x.copy()
    model = xm.adapt(function, streams={"z": 3}, heads={"y": 1})
    explained = xm.explain(model, x, "occlusion", background=np.zeros((1, 3)))
    np.testing.assert_array_equal(x, before)
    np.testing.assert_allclose(explained["prediction"][0], (x - 1) @ [1, 2, 3])
    np.testing.assert_allclose(explained["z"][0], x * [1, 2, 3], atol=1e-12)


def test_a_function_may_return_one_buffer_again_and_again(rng):
    buffer = np.empty((64, 1))

    def function(z):
        answer = buffer[: len(z)]
        np.matmul(z, [[1.0], [2.0], [3.0]], out=answer)
        return {"y": answer}

    x = rng.normal(size=(50, 3))
    model = xm.adapt(function, streams={"z": 3}, heads={"y": 1}, max_memory=5000)
    first, second = model.predict(x), model.predict(-x)
    np.testing.assert_allclose(first["y"][:, 0], x @ [1, 2, 3])
    np.testing.assert_allclose(second["y"], -first["y"])


def test_a_function_of_any_keywords_gets_its_streams_by_name(rng):
    model = xm.adapt(lambda **z: {"y": z["a"] - z["b"]}, streams={"b": 1, "a": 1}, heads={"y": 1})
    x = {"a": rng.normal(size=(5, 1)), "b": rng.normal(size=(5, 1))}
    np.testing.assert_allclose(model.predict(x)["y"], x["a"] - x["b"])
