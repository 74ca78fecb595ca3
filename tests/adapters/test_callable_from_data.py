"""Plain functions with nothing declared: streams are read off the rows, heads off the first answer."""

import dataclasses
import functools
import json
import sys
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from xai_mimo_adapters.native import frameworks_of

import xai_mimo as xm
from tests.helpers.frameworks import imported
from xai_mimo.core.errors import BadValues, NotSupported, ShapeMismatch, UnknownName
from xai_mimo.core.model import Differentiable
from xai_mimo.core.streams import Stream
from xai_mimo.testing import check_adapter

pytestmark = pytest.mark.all_frameworks

ROWS = np.random.default_rng(3)
TABLE, IMAGE = ROWS.normal(size=(30, 3)), ROWS.normal(size=(30, 2, 2, 1))
DATA = {"table": TABLE, "image": IMAGE}
WEIGHTS = np.array([1.0, -2.0, 0.5])


def both(table, image):
    return {"risk": table @ WEIGHTS, "hours": np.stack([table[:, 0], image.sum(axis=(1, 2, 3))], axis=1)}


def by_hand(explained):
    """Occlusion by zero of a linear function is weight times value, exactly."""
    np.testing.assert_allclose(explained.variables["table"].values[0], TABLE * WEIGHTS, atol=1e-12)
    np.testing.assert_allclose(explained.variables["image"].values[2], IMAGE, atol=1e-12)


def heads_of(explained):
    return [(h["name"], tuple(h["shape"]), h["kind"]) for h in json.loads(explained.attrs["heads"])]


quiet = pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning")


class Answer(NamedTuple):
    risk: np.ndarray
    hours: np.ndarray


@dataclasses.dataclass
class Made:
    risk: np.ndarray
    hours: np.ndarray
    state: object = None


FUNCTIONS = {
    "by name": both,
    "by name in another order": lambda image, table: both(table, image),
    "in order": lambda first, second: both(first, second),
    "one mapping": lambda inputs: both(**inputs),
    "any keyword": lambda **inputs: both(**inputs),
    "any place": lambda *inputs: both(*inputs),
    "a partial": functools.partial(lambda scale, table, image: both(table, image), 1.0),
    "a named tuple": lambda table, image: Answer(**both(table, image)),
    "a data class": lambda table, image: Made(**both(table, image)),
    "tensors": lambda table, image: {name: torch.tensor(y) for name, y in both(table, image).items()},
}


@quiet
@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_function_and_a_mapping_are_enough(function):
    explained = xm.explain(function, DATA, "occlusion")
    by_hand(explained)
    assert heads_of(explained) == [("risk", (), "regression"), ("hours", (2,), "regression")]


@quiet
def test_a_list_goes_by_the_names_of_the_parameters_and_unnamed_heads_are_numbered():
    explained = xm.explain(lambda table, image: [*both(table, image).values()], [TABLE, IMAGE], "occlusion")
    by_hand(explained)
    assert [name for name, *_ in heads_of(explained)] == ["output_0", "output_1"]
    together = xm.adapt(lambda inputs: inputs[0].sum(axis=1) + inputs[1].sum(axis=(1, 2, 3)), like=[TABLE, IMAGE])
    assert [s.name for s in together.streams] == ["input_0", "input_1"]
    np.testing.assert_allclose(together.predict([TABLE, IMAGE])["output"], TABLE.sum(1) + IMAGE.sum((1, 2, 3)))


def test_columns_name_the_features_and_the_parameter_its_stream():
    frame = pd.DataFrame(TABLE, columns=["heat", "load", "wear"])
    explained = xm.explain(lambda vitals, scale=1.0: scale * vitals @ WEIGHTS, frame, "occlusion")
    np.testing.assert_allclose(explained["vitals"].sel(head="output", vitals_feature="load"), -2 * frame["load"])


def test_columns_that_are_the_parameters_are_streams():
    frame = pd.DataFrame({"bp": [120.0, 80.0], "age": [40, 20]})
    for data in (frame, iter([frame[:1], frame[["age", "bp"]][1:]])):
        explained = xm.explain(lambda age, bp: bp - 2.0 * age, data, "occlusion")
        np.testing.assert_allclose(explained["bp"].values[0], [120, 80])
        np.testing.assert_allclose(explained["age"].values[0], [-80, -40])
        assert explained["age"].dims == ("head", "sample")


def test_dtypes_are_those_of_the_data_and_floats_are_narrowed_where_they_must():
    network = torch.nn.Linear(3, 1)

    def asked(x, n):
        assert n.dtype == np.int64
        return network(torch.from_numpy(x)).detach().numpy() + n[:, None]

    data = {"x": TABLE, "n": np.arange(30)}
    model = xm.adapt(asked, like=data)
    assert model.streams == (Stream("x", (3,), "float64"), Stream("n", (), "int64"))
    np.testing.assert_allclose(model.predict(data)["output"], asked(TABLE.astype("float32"), np.arange(30)))


def test_what_is_declared_is_laid_over_what_was_read():
    model = xm.adapt(both, heads={"risk": "binary"}, like=DATA)
    assert [(h.name, h.kind, h.kind_from) for h in model.heads] == [
        ("risk", "binary", "declared"),
        ("hours", "regression", ""),
    ]
    named = xm.adapt(both, streams={"table": ["a", "b", "c"], "image": (2, 2, 1)}, like=DATA)
    assert named.streams[0].features == ("a", "b", "c")
    other = xm.adapt(both, heads={"danger": "binary", "left": 2}, like=DATA)
    np.testing.assert_array_equal(other.predict(DATA)["left"], both(**DATA)["hours"])


def test_one_probe_of_few_rows_is_all_that_is_asked():
    seen = []

    def watched(table):
        seen.append(table.shape)
        return table.sum(axis=1)

    xm.adapt(watched, like={"table": TABLE})
    assert seen == [(4, 3)]


@quiet
def test_a_generator_of_batches_describes_the_streams():
    batches = ({name: x[i : i + 8] for name, x in DATA.items()} for i in range(0, 30, 8))
    by_hand(xm.explain(both, batches, "occlusion"))
    pairs = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.tensor(TABLE), torch.zeros(30)), 8)
    with pytest.raises(NotSupported, match=r"DataLoader holds 2 values, and nothing tells whether .*\(x for x, y in"):
        xm.explain(lambda table: table.sum(axis=1), pairs, "occlusion")
    one = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.tensor(TABLE)), 8)
    np.testing.assert_allclose(xm.explain(lambda table: table @ WEIGHTS, one, "occlusion")["table"][0], TABLE * WEIGHTS)


def test_compare_takes_a_plain_function():
    from xai_mimo.comparison.settings import Settings

    compared = xm.compare(
        lambda table: table @ WEIGHTS, {"table": TABLE}, ["occlusion", "shapley"], metrics=["spearman"],
        settings=Settings(resamples=200),
    )  # fmt: skip
    assert [m.label for m in compared.record.methods] == ["occlusion", "shapley"]


REFUSED = {
    "nothing given": (lambda: xm.adapt(both), NotSupported, r"cannot be read off a function.*adapt\(f, like=x\)"),
    "a parameter without a stream": (
        lambda: xm.explain(both, {"table": TABLE}, "occlusion"),
        UnknownName,
        "no stream for a parameter of 'both' is called 'image'",
    ),
    "a stream without a parameter": (
        lambda: xm.explain(both, {"a": TABLE, "b": IMAGE, "c": TABLE}, "occlusion"),
        NotSupported,
        r"'both' takes table, image, and the data has the input streams a, b, c; which is which",
    ),
    "one array for two": (
        lambda: xm.explain(both, TABLE, "occlusion"),
        NotSupported,
        "'both' takes table, image, and the data has the input streams input; which is which",
    ),
    "rows that are lost": (
        lambda: xm.explain(lambda table: table.sum(), {"table": TABLE}, "occlusion"),
        ShapeMismatch,
        r"output 'output' has shape \(\) for 4 rows; expected the batch axis first",
    ),
    "text": (
        lambda: xm.explain(lambda table: table.astype(str), {"table": TABLE}, "occlusion"),
        BadValues,
        "output 'output' of .* holds text",
    ),
    "nothing": (lambda: xm.explain(lambda table: None, {"table": TABLE}, "occlusion"), BadValues, "returned None"),
}


@pytest.mark.parametrize(("door", "error", "text"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_off_is_refused(door, error, text):
    with pytest.raises(error, match=text):
        door()


def test_heads_that_come_and_go_are_refused():
    model = xm.adapt(lambda table: {"y": table[:, 0]} if len(table) == 4 else {"z": table[:, 0]}, like={"table": TABLE})
    with pytest.raises(UnknownName, match="no head is called 'z'; there are: y"):
        model.predict({"table": TABLE})


NETWORK = torch.nn.Linear(3, 1)


def test_frameworks_are_seen_where_a_function_names_them(monkeypatch):
    def by_closure():
        network = torch.nn.Linear(3, 1)
        return lambda x: [network(row) for row in x]

    def within(x):
        import torch as own

        return own.tanh(x)

    class Own(torch.nn.Module):
        def forward(self, x):
            return x

    network = Own()
    assert frameworks_of(lambda x: network(x)) == ("torch",)
    assert frameworks_of(lambda x: NETWORK(x)) == ("torch",)
    assert frameworks_of(by_closure()) == ("torch",)
    assert frameworks_of(lambda x: [torch.tanh(row) for row in x]) == ("torch",)
    assert frameworks_of(within) == ("torch",)
    assert frameworks_of(functools.partial(torch.add, other=1)) == ("torch",)
    assert frameworks_of(both) == ()
    monkeypatch.delitem(sys.modules, "torch")
    assert frameworks_of(lambda x: NETWORK(x)) == ()


def held_back(x):
    with torch.no_grad():
        return NETWORK(x)


TENSORS = {
    "tensors in and out": (lambda x: NETWORK(x), True),
    "a method of a network": (NETWORK.forward, True),
    "arrays in": (lambda x: NETWORK(torch.from_numpy(x)).detach().numpy(), False),
    "arrays out": (lambda x: NETWORK(torch.as_tensor(x)).detach().numpy(), False),
    "without a gradient": (held_back, False),
    "that cuts its gradient": (lambda x: torch.as_tensor(x).detach() @ NETWORK.weight.T + NETWORK.bias, False),
}


@pytest.mark.parametrize("is_declared", [False, True])
@pytest.mark.parametrize(("function", "has_gradients"), TENSORS.values(), ids=TENSORS)
def test_a_function_of_tensors_is_one_of_its_framework(function, has_gradients, is_declared):
    rows = TABLE.astype("float32")
    given = {"streams": {"x": 3}, "heads": {"y": 1}} if is_declared else {"like": {"x": rows}}
    model = xm.adapt(function, **given)
    expected = NETWORK(torch.from_numpy(rows)).detach().numpy()
    np.testing.assert_allclose(model.predict(rows)["y" if is_declared else "output"], expected, rtol=1e-5, atol=1e-6)
    assert isinstance(model, Differentiable) == has_gradients
    if has_gradients:
        slopes = xm.explain(model, rows, "gradient")["x"].values[0]
        np.testing.assert_allclose(slopes, np.tile(NETWORK.weight.detach(), (30, 1)), rtol=1e-6)
    else:
        values = xm.explain(model, rows, "occlusion")["x"].values[0]
        np.testing.assert_allclose(values, rows * NETWORK.weight.detach().numpy(), rtol=1e-3, atol=1e-5)


def test_functions_of_jax_are_seen_and_those_that_leave_it_stay_functions_of_arrays():
    jnp = imported("jax.numpy")
    weights = jnp.asarray(WEIGHTS)

    def traced(x):
        return jnp.tanh(x @ weights)

    def left(x):
        return np.asarray(jnp.tanh(x @ weights)) * 1.0

    rows, reference = TABLE.astype("float32"), np.tanh(TABLE @ WEIGHTS)
    for function, has_gradients in ((traced, True), (left, False)):
        model = xm.adapt(function, like={"x": rows})
        np.testing.assert_allclose(model.predict(rows)["output"], reference, rtol=1e-5, atol=1e-6)
        assert isinstance(model, Differentiable) == has_gradients
    slopes = xm.explain(traced, {"x": rows}, "gradient")["x"].values[0]
    np.testing.assert_allclose(slopes, (1 - reference[:, None] ** 2) * WEIGHTS, rtol=1e-3, atol=1e-5)


def test_functions_read_off_data_keep_the_contract():
    held = xm.adapt(held_back, like={"x": TABLE.astype("float32")})
    check_adapter(held, TABLE[:6].astype("float32"))
    check_adapter(xm.adapt(both, like=DATA), {name: x[:6] for name, x in DATA.items()})
