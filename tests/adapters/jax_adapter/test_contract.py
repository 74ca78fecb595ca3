"""The contract of adapters, on a model of every kind that JAX has."""

import contextlib
import functools

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from xai_mimo_adapters.jax_adapter import JaxAdapter

import xai_mimo as xm
from xai_mimo.core.model import Differentiable, Interceptable, Randomisable
from xai_mimo.testing import check_adapter

pytestmark = pytest.mark.all_frameworks


class Switch:
    """Breaks what looks at it while it is traced, as long as a context is open."""

    def __init__(self):
        self.is_on = False

    def check(self):
        if self.is_on:
            raise RuntimeError("broken inside")

    @contextlib.contextmanager
    def broken(self):
        self.is_on = True
        try:
            yield
        finally:
            self.is_on = False


SWITCH = Switch()


@pytest.fixture
def rows(rng):
    return {
        "table": rng.normal(size=(3, 3)).astype("float32"),
        "series": rng.normal(size=(3, 4, 2)).astype("float32"),
        "spare": rng.normal(size=(3, 2)).astype("float32"),
    }


def checked(make, x, *, randomisable=False, **more):
    """Run the contract on a model that is read off rows; what it is adapted to."""
    options, adapt = more.pop("options", {}), more.pop("adapt", xm.adapt)
    adapted = adapt(make(), like=x, **options)

    def anew(memory):
        """For another object of the same model nothing is compiled yet, so that it can break."""
        return adapt(make(), like=x, max_memory=memory, **options)

    assert isinstance(adapted, Differentiable)
    assert isinstance(adapted, Interceptable)
    assert isinstance(adapted, Randomisable) == randomisable
    check_adapter(adapted, x, limited=anew, broken=SWITCH.broken, **more)
    return adapted


W = jnp.asarray(np.random.default_rng(3).normal(size=(3, 3)), jnp.float32)


def three_heads(table, series):
    SWITCH.check()
    z = table @ W
    return {
        "risk": jax.nn.sigmoid(z[:, :1] * series.sum((1, 2))[:, None]),
        "kind": jax.nn.softmax(z),
        "hours": jnp.tanh(z[:, 0]) + series[:, 0, 1] ** 2,
    }


def test_a_jitted_function_of_two_streams_and_one_that_is_not_read(rows):
    adapted = checked(lambda: jax.jit(lambda table, series, spare: three_heads(table, series)), rows)
    assert [(h.name, h.kind, h.kind_from, h.shape) for h in adapted.heads] == [
        ("hours", "regression", "", ()),  # JAX sorts the keys of a mapping that a jitted function gives
        ("kind", "multiclass", "final softmax", (3,)),
        ("risk", "binary", "final sigmoid", (1,)),
    ]


def test_a_function_of_a_tree(rows):
    def make():
        return jax.jit(lambda batch: (three_heads(batch["table"], batch["series"])["hours"], [batch["spare"] * 2.0]))

    adapted = checked(make, rows)
    assert [h.name for h in adapted.heads] == ["output_0", "output_1_0"]


def test_a_function_with_its_weights_bound(rows):
    weights = {"w": np.array(W), "b": np.zeros(3, "float32")}

    def f(weights, table):
        SWITCH.check()
        return jnp.tanh(table @ weights["w"] + weights["b"])

    def change():
        weights["b"] += 1.0

    checked(
        lambda: functools.partial(f, weights),
        {"table": rows["table"]},
        adapt=JaxAdapter,
        randomisable=True,
        change_weights=change,
        state=lambda: weights,
    )


class Linen(nn.Module):
    @nn.compact
    def __call__(self, table, series, train: bool):
        SWITCH.check()
        h = nn.BatchNorm(use_running_average=not train)(nn.Dense(4)(table))
        h = nn.Dropout(0.5, deterministic=not train)(nn.tanh(h))
        return {"risk": nn.sigmoid(nn.Dense(1)(h)), "trend": nn.Dense(2)(series[:, -1])}


def test_a_module_of_linen_with_its_variables(rows):
    two = {name: rows[name] for name in ("table", "series")}
    module = Linen()
    variables = jax.jit(functools.partial(module.init, train=False))(jax.random.key(0), **two)

    def change():
        variables["params"]["Dense_0"]["kernel"] *= 2.0

    adapted = checked(
        Linen, two, options={"variables": variables}, randomisable=True, change_weights=change, state=lambda: variables
    )
    assert [(h.name, h.kind) for h in adapted.heads] == [("risk", "binary"), ("trend", "regression")]
    assert adapted.name == "Linen"


class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.dense, self.norm = nnx.Linear(3, 4, rngs=rngs), nnx.BatchNorm(4, rngs=rngs)
        self.dropout, self.out = nnx.Dropout(0.5, rngs=rngs), nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, table):
        SWITCH.check()
        return nnx.softmax(self.out(self.dropout(nnx.tanh(self.norm(self.dense(table))))))


def state_of(module):
    leaves = jax.tree.leaves(nnx.split(module)[1])
    arrays = [jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x for x in leaves]
    modes = module.dropout.deterministic, module.norm.use_running_average
    return {**{str(i): np.asarray(x) for i, x in enumerate(arrays)}, "modes": modes}


def test_a_module_of_nnx_in_training_mode(rows):
    module = Nnx(nnx.Rngs(0))

    def change():
        module.out.kernel[...] = module.out.kernel[...] * 2.0

    made = iter([module])
    adapted = checked(
        lambda: next(made, None) or Nnx(nnx.Rngs(0)),
        rows["table"],
        randomisable=True,
        change_weights=change,
        state=lambda: state_of(module),
    )
    assert [(s.name, s.shape) for s in adapted.streams] == [("table", (3,))]
    assert adapted.heads[0].kind_from == "final softmax"
    assert not module.dropout.deterministic


class OfOneRow(eqx.Module):
    mlp: eqx.nn.MLP
    dropout: eqx.nn.Dropout

    def __init__(self, key):
        self.mlp, self.dropout = eqx.nn.MLP(3, 2, 4, 1, key=key), eqx.nn.Dropout(0.5)

    def __call__(self, table, *, key):
        SWITCH.check()
        return jax.nn.sigmoid(self.mlp(self.dropout(table, key=key)))


def test_a_module_of_equinox_that_takes_one_row(rows):
    adapted = checked(lambda: OfOneRow(jax.random.key(0)), rows["table"], randomisable=True)
    assert [(h.name, h.kind, h.shape) for h in adapted.heads] == [("output", "multilabel", (2,))]
