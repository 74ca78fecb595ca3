"""Functions of JAX and modules of flax and equinox: numbers by hand, by JAX itself, and what is compiled."""

import functools
import gc
import weakref

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
from flax import nnx
from flax.training.train_state import TrainState
from xai_mimo_adapters.jax_adapter import JaxAdapter

import xai_mimo as xm
from xai_mimo.core.errors import NotSupported, UnknownName
from xai_mimo.core.streams import Stream
from xai_mimo.core.targets import Selector
from xai_mimo.sowing import sow

pytestmark = pytest.mark.all_frameworks


@pytest.fixture
def rows(rng):
    return {
        "table": rng.normal(size=(20, 3)).astype("float32"),
        "series": rng.normal(size=(20, 4, 2)).astype("float32"),
    }


def of_unit(head, unit, rows=20):
    return Selector(f"{head}:{unit}", head, np.full(rows, unit))


def mixed(table, series):
    h = jnp.tanh(table).sum(axis=1, keepdims=True) * series.mean(axis=1)
    return {"pair": h, "sum": jnp.sin(series).sum(axis=(1, 2)) + table[:, 0] ** 3}


def test_gradients_are_those_of_jacrev_row_by_row(rows):
    model = xm.adapt(jax.jit(mixed), like=rows)
    selectors = [of_unit("pair", 0), of_unit("sum", 0), of_unit("pair", 1)]
    outputs, gradients = model.gradients(rows, selectors)
    for name, by_jax in jax.jit(mixed)(**rows).items():
        np.testing.assert_allclose(outputs[name], by_jax, rtol=1e-5, atol=1e-6)

    def of_one(table, series):
        return {name: y[0] for name, y in mixed(table[None], series[None]).items()}

    slow = jax.jit(jax.vmap(jax.jacrev(of_one, argnums=(0, 1))))(rows["table"], rows["series"])
    for i, stream in enumerate(("table", "series")):
        expected = [slow["pair"][i][:, 0], slow["sum"][i], slow["pair"][i][:, 1]]
        np.testing.assert_allclose(gradients[stream], np.stack(expected), rtol=1e-4, atol=1e-6)


def test_integrated_gradients_of_a_line_are_weight_times_input(rows):
    w = np.array([[2.0], [-1.0], [0.5]], "float32")
    explanation = xm.explain(jax.jit(lambda table: table @ w), rows["table"])
    np.testing.assert_allclose(explanation["table"][0], rows["table"] * w[:, 0], rtol=1e-5, atol=1e-6)


def test_more_targets_of_a_head_than_are_unrolled_have_the_gradient_of_each(rng):
    w = rng.normal(size=(3, 9)).astype("float32")
    model = xm.adapt(jax.jit(lambda x: x @ w), streams={"x": 3})
    _, gradients = model.gradients(np.ones((2, 3)), [of_unit("output", u, 2) for u in range(9)])
    np.testing.assert_allclose(gradients["x"][:, 0], w.T, rtol=1e-6)


def test_streams_and_heads_are_read_off_a_data_frame_and_declared_over(rng):
    frame = pd.DataFrame(rng.normal(size=(6, 2)), columns=["age", "dose"])
    model = xm.adapt(jax.jit(lambda x: x.sum(axis=1, keepdims=True)), like=frame, heads={"risk": "binary"})
    assert [(s.name, s.dtype, s.features) for s in model.streams] == [("x", "float32", ("age", "dose"))]
    assert [(h.name, h.kind, h.kind_from) for h in model.heads] == [("risk", "binary", "declared")]


def test_a_function_of_several_arrays_is_called_by_name_or_by_place(rows):
    by_name = xm.adapt(jax.jit(lambda series, table: series[:, 0] + table[:, :2]), like=rows)
    by_place = xm.adapt(jax.jit(lambda a, b: b[:, 0] + a[:, :2]), like=list(rows.values()))
    assert [s.name for s in by_place.streams] == ["a", "b"]
    expected = rows["series"][:, 0] + rows["table"][:, :2]
    np.testing.assert_allclose(by_name.predict(rows)["output"], expected, rtol=1e-6)
    np.testing.assert_allclose(by_place.predict(list(rows.values()))["output"], expected, rtol=1e-6)


def test_integers_are_held_and_have_no_gradient(rng):
    table = jnp.asarray(rng.normal(size=(5, 3)), jnp.float32)
    x = {"word": rng.integers(0, 5, size=(4, 2)), "scale": rng.normal(size=(4, 1)).astype("float32")}
    model = xm.adapt(jax.jit(lambda word, scale: table[word].sum(axis=1) * scale), like=x)
    assert [s.dtype for s in model.streams] == ["int32", "float32"]
    _, gradients = model.gradients(x, [of_unit("output", 1, 4)], streams=["scale"])
    np.testing.assert_allclose(gradients["scale"][0, :, 0], np.asarray(table)[x["word"]].sum(axis=1)[:, 1], rtol=1e-5)
    with pytest.raises(NotSupported, match="input stream 'word' holds integers"):
        model.gradients(x, [of_unit("output", 1, 4)])


def test_float64_is_computed_where_the_user_switched_it_on_alone(rows):
    x = rows["table"].astype("float64")
    f = lambda x: x.sum(axis=1) / 3.0  # noqa: E731
    assert xm.adapt(jax.jit(f), like=x).streams[0].dtype == "float32"
    assert xm.adapt(jax.jit(f), streams={"x": 3}).streams[0].dtype == "float32"
    with jax.enable_x64(True):
        model = xm.adapt(jax.jit(f), like=x)
        outputs, gradients = model.gradients(x, [of_unit("output", 0)])
        assert model.streams[0].dtype == model.precision == "float64"
    np.testing.assert_allclose(outputs["output"], x.sum(axis=1) / 3.0, rtol=1e-15)
    np.testing.assert_allclose(gradients["x"], 1 / 3, rtol=1e-15)
    assert not jax.config.jax_enable_x64


def test_a_second_adapter_of_a_function_compiles_nothing(rows):
    times = []

    def f(table):
        times.append(1)
        return jnp.tanh(table)

    JaxAdapter(f, like=rows["table"]).predict(rows["table"])
    second = JaxAdapter(f, like=rows["table"])
    before = len(times)
    second.predict(rows["table"])
    assert len(times) == before > 0


def test_what_a_function_closes_over_is_read_by_each_adapter(rows):
    held = {"factor": jnp.full(1, 2.0)}

    def f(table):
        return table[:, 0] * held["factor"]

    before = JaxAdapter(f, like=rows["table"])
    twice, print_before = before.predict(rows["table"])["output"], before.fingerprint()
    held["factor"] = jnp.full(1, 3.0)
    after = JaxAdapter(f, like=rows["table"])
    np.testing.assert_allclose(after.predict(rows["table"])["output"], 1.5 * twice, rtol=1e-6)
    assert after.fingerprint() != print_before


def test_what_was_compiled_goes_with_the_model(rows):
    f = jax.jit(lambda table: table * 2.0)
    xm.adapt(f, like=rows["table"]).predict(rows["table"])
    seen = weakref.ref(f)
    del f
    gc.collect()
    assert seen() is None


class Net(nn.Module):
    @nn.compact
    def __call__(self, table, deterministic: bool):
        h = nn.Dense(4, name="first")(table)
        sow(self, "gate", jax.nn.sigmoid(h), axes=("feature",))
        return nn.Dense(2, name="second")(nn.Dropout(0.5)(h, deterministic=deterministic))


@pytest.fixture(scope="module")
def net():
    module = Net()
    return module, jax.jit(functools.partial(module.init, deterministic=True))(jax.random.key(0), jnp.ones((1, 3)))


def test_a_module_of_linen_is_the_same_with_variables_bound_and_partly_applied(net, rows):
    module, variables = net
    x = rows["table"]
    expected = module.apply(variables, x, deterministic=True)
    for model in (
        xm.adapt(module, variables=variables, like=x),
        xm.adapt(module.bind(variables), like=x),
        JaxAdapter(functools.partial(module.apply, variables), like=x),
        JaxAdapter(functools.partial(module.apply, variables, deterministic=True), like=x),
        xm.adapt(TrainState.create(apply_fn=module.apply, params=variables["params"], tx=optax.identity()), like=x),
    ):
        assert [s.name for s in model.streams] == ["table"]
        assert model.name == "Net"
        np.testing.assert_allclose(model.predict(x)["output"], expected, rtol=1e-5, atol=1e-6)


def test_layers_are_shuffled_by_their_paths_and_nothing_is_compiled_for_it(net, rows, rng):
    module, variables = net
    model = xm.adapt(module, variables=variables, like=rows["table"])
    before, traces = model.predict(rows["table"]), model.traces
    first, second = (w := variables["params"])["first"]["kernel"], w["second"]["kernel"]
    other = model.randomised(rng, ["first"])
    weights = other._reading.source.weights()["params"]
    np.testing.assert_array_equal(weights["second"]["kernel"], second)
    np.testing.assert_array_equal(np.sort(weights["first"]["kernel"], axis=None), np.sort(first, axis=None))
    assert not np.allclose(other.predict(rows["table"])["output"], before["output"])
    assert other.traces == traces
    with pytest.raises(UnknownName, match=r"no layer is called 'frist'.*first, second.*Did you mean 'first'"):
        model.randomised(rng, ["frist"])


def test_what_modules_sow_is_read_by_their_paths(net, rows):
    module, variables = net
    x = rows["table"]
    model = xm.adapt(module.bind(variables), like=x)
    model.predict(x)  # what was compiled for predictions shows no maps
    maps = model.intercept(x)
    w = variables["params"]["first"]
    expected = jax.nn.sigmoid(x @ w["kernel"] + w["bias"])
    assert list(maps) == ["Net/gate"]
    np.testing.assert_allclose(maps["Net/gate"].values, expected, rtol=1e-5)
    assert maps["Net/gate"].axes == ("feature",)


class Gate(nnx.Module):
    def __init__(self, rngs):
        self.dense = nnx.Linear(3, 3, rngs=rngs)

    def __call__(self, x):
        gate = nnx.sigmoid(self.dense(x))
        sow(self, "gate", gate, axes=("feature",))
        return x * gate


class Gated(nnx.Module):
    def __init__(self, rngs):
        self.gates = nnx.List([Gate(rngs), Gate(rngs)])

    def __call__(self, x):
        for gate in self.gates:
            x = gate(x)
        return x


class GateOfRow(eqx.Module):
    dense: eqx.nn.Linear

    def __call__(self, x):
        gate = jax.nn.sigmoid(self.dense(x))
        sow(self, "gate", gate, axes=("feature",))
        return x * gate


class GatedRow(eqx.Module):
    gates: list[GateOfRow]

    def __call__(self, x):
        for gate in self.gates:
            x = gate(x)
        return x


def test_maps_of_modules_that_know_no_path_go_by_their_places(rows):
    x = rows["table"]
    model = Gated(nnx.Rngs(0))
    maps = xm.adapt(model, like=x).intercept(x)
    assert list(maps) == ["gates/0/gate", "gates/1/gate"]
    np.testing.assert_allclose(maps["gates/0/gate"].values, nnx.sigmoid(model.gates[0].dense(x)), rtol=1e-5)
    of_row = GatedRow([GateOfRow(eqx.nn.Linear(3, 3, key=jax.random.key(i))) for i in range(2)])
    maps = xm.adapt(of_row, like=x).intercept(x)
    assert list(maps) == ["gates/0/gate", "gates/1/gate"]
    np.testing.assert_allclose(
        maps["gates/0/gate"].values, jax.nn.sigmoid(jax.vmap(of_row.gates[0].dense)(x)), rtol=1e-5
    )


def test_a_module_of_nnx_that_is_changed_is_read_again(rows):
    x = rows["table"]
    module = nnx.Sequential(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), nnx.relu)
    model = xm.adapt(module, like=x)
    raw = np.asarray(module.layers[0](x))
    np.testing.assert_allclose(model.predict(x)["output"], np.maximum(raw, 0), rtol=1e-5, atol=1e-6)
    module.layers[1] = nnx.tanh
    np.testing.assert_allclose(model.predict(x)["output"], np.tanh(raw), rtol=1e-5, atol=1e-6)


def test_a_recurrent_module_of_nnx_that_counts_random_numbers_leaves_no_trace(rows):
    module = nnx.RNN(nnx.LSTMCell(2, 3, rngs=nnx.Rngs(0)))
    model = xm.adapt(module, like=rows["series"])
    expected = module(rows["series"])
    for _ in range(2):
        np.testing.assert_allclose(model.predict(rows["series"])["output"], expected, rtol=1e-5, atol=1e-6)


class OfBatches(eqx.Module):
    dense: eqx.nn.Linear

    def __call__(self, x):
        return jax.vmap(self.dense)(x.reshape(x.shape[0], -1))


def test_a_module_of_equinox_may_take_rows_or_one(rows):
    dense = eqx.nn.Linear(8, 2, key=jax.random.key(0))
    flat = rows["series"].reshape(20, 8)
    expected = flat @ dense.weight.T + dense.bias
    for module, x in (
        (dense, flat),
        (OfBatches(dense), rows["series"]),
        (eqx.filter_jit(eqx.filter_vmap(dense)), flat),
    ):
        np.testing.assert_allclose(xm.adapt(module, like=x).predict(x)["output"], expected, rtol=1e-5, atol=1e-5)


def test_a_function_of_one_row_is_mapped_where_that_is_said(rows):
    model = xm.adapt(jax.jit(lambda x: x.sum()), like=rows["table"], takes="row")
    np.testing.assert_allclose(model.predict(rows["table"])["output"], rows["table"].sum(axis=1), rtol=1e-5, atol=1e-6)


def test_streams_of_any_length_are_traced_at_one_and_run_at_another(rng):
    model = xm.adapt(jax.jit(lambda x: x.sum(axis=1)), streams=[Stream("x", (None, 2))])
    for length in (3, 5):
        x = rng.normal(size=(2, length, 2)).astype("float32")
        np.testing.assert_allclose(model.predict(x)["output"], x.sum(axis=1), rtol=1e-5, atol=1e-6)


def test_half_precision_is_told_and_comes_out_as_float32(rows):
    model = xm.adapt(jax.jit(lambda x: x.astype("bfloat16") * 2), like=rows["table"])
    assert model.precision == "bfloat16"
    assert model.predict(rows["table"])["output"].dtype == np.float32
