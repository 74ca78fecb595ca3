"""What models of JAX are refused for, in words."""

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
from xai_mimo.core.errors import BadSetting, NotSupported, ShapeMismatch
from xai_mimo.core.targets import Selector
from xai_mimo.sowing import sow

pytestmark = pytest.mark.all_frameworks

X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")


def refused(model, error, match, **options):
    with pytest.raises(error, match=match):
        JaxAdapter(model, **{"like": X, **options})


def test_a_model_whose_inputs_nobody_tells():
    with pytest.raises(
        NotSupported, match=r"inputs of '.*<lambda>' cannot be read off it\. Give rows, .*like=x.*streams="
    ):
        xm.adapt(jax.jit(lambda x: x))


def f(x):
    return x * np.tanh(np.asarray(x))


def by_value(x):
    return x if x.sum() > 0 else -x


def writing(x):
    x[:, 0] = 0.0
    return jnp.tanh(x)


@pytest.mark.parametrize(("function", "name"), [(f, "f"), (by_value, "by_value"), (writing, "writing")])
def test_a_function_that_leaves_jax(function, name):
    refused(
        function,
        NotSupported,
        rf"'{name}' cannot be traced by JAX: it hands an array to NumPy or Python.*jax\.lax\.cond",
    )


def test_a_plain_function_that_leaves_jax_is_a_function_of_arrays_all_the_same():
    model = xm.adapt(writing, like=X)
    expected = np.tanh(X) * [0, 1, 1]
    np.testing.assert_allclose(model.predict(X)["output"], expected, rtol=1e-6)


def test_a_plain_function_with_noise_of_numpy_is_another_one_each_time():
    noise = np.random.default_rng(0)
    refused(lambda x: jnp.tanh(x) + noise.normal(), NotSupported, "does another thing each time that it is traced")


def noisy(x, key):
    return x + jax.random.normal(key, x.shape)


def test_a_function_that_wants_a_random_key():
    refused(noisy, NotSupported, r"'noisy' wants a random key \('key'\).*functools\.partial\(noisy, key=\.\.\.\)")


def test_a_function_that_draws_other_numbers_for_each_row():
    with_key = functools.partial(noisy, key=jax.random.key(0))
    refused(with_key, NotSupported, r"'noisy' draws random numbers for each row \(of shape \(7, 3\) for 7 rows\)")


def test_random_features_that_are_the_same_for_all_rows_are_no_noise():
    model = JaxAdapter(lambda x: jnp.cos(x @ jax.random.normal(jax.random.key(0), (3, 2))), like=X)
    assert model.predict(X)["output"].shape == (4, 2)


def test_outputs_that_are_not_one_a_row():
    refused(
        lambda x: x.mean(axis=0),
        ShapeMismatch,
        r"output 'output' of shape \(3,\) for 7 rows; expected the batch axis first, \(7, \.\.\.\)\. .*takes='row'",
    )
    refused(lambda x: {"risk": x, "all": x.T}, ShapeMismatch, r"output 'all' of shape \(3, 7\)")


def test_a_module_of_linen_without_variables_or_with_other_ones():
    dense = nn.Dense(2)
    refused(
        dense, NotSupported, r"flax module 'Dense' has no weights of its own\. Give its variables:.*bind\(variables\)"
    )
    parameters = dense.init(jax.random.key(0), X)["params"]
    refused(
        dense,
        NotSupported,
        r"does not find its weights in the variables \['bias', 'kernel'\].*'params': params",
        variables=parameters,
    )
    refused(f, BadSetting, "variables are those of a module of flax.linen; got them with a function", variables={})


class Noisy(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dropout(0.5, deterministic=False)(nn.Dense(2)(x))


class Counting(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.BatchNorm(use_running_average=False)(x)


def test_a_module_of_linen_that_is_random_or_changes_its_variables():
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    noisy, counting = Noisy(), Counting()
    refused(noisy.bind(noisy.init(keys, X)), NotSupported, "flax module 'Noisy' draws random numbers.*'deterministic'")
    refused(
        counting.bind(counting.init(keys, X)), NotSupported, "'Counting' changes its variables.*'use_running_average'"
    )


class Stateful(eqx.Module):
    norm: eqx.nn.BatchNorm

    def __call__(self, x, state):
        return self.norm(x, state)


def test_a_module_of_equinox_with_a_state_or_of_other_shapes():
    model, _ = eqx.nn.make_with_state(Stateful)(eqx.nn.BatchNorm(3, "batch", mode="ema"))
    refused(
        model, NotSupported, r"equinox module 'Stateful' keeps a state.*jax\.vmap\(lambda x: model\(x, state\)\[0\]"
    )
    wide = eqx.nn.Linear(8, 2, key=jax.random.key(0))
    refused(
        wide, NotSupported, r"'Linear' takes neither one row nor a batch of them\. Given one row: TypeError: .*x \(3,\)"
    )


class Either(eqx.Module):
    def __call__(self, x):
        return x.reshape(x.shape[0], -1)


def test_a_module_of_equinox_that_answers_otherwise_to_a_row():
    refused(
        Either(),
        NotSupported,
        r"'Either' takes one row and a batch of rows, and answers differently: output \(7, 3, 1\) or output \(7, 3\).*takes='row'",
    )
    assert JaxAdapter(Either(), like=X, takes="rows").heads[0].shape == (3,)


def test_an_option_of_another_word():
    refused(f, BadSetting, "takes is 'rows' or 'row'.*got 'batch'", takes="batch")


def test_a_loop_that_has_no_way_back():
    def loop(x):
        return jax.lax.while_loop(lambda x: x.sum() < 0, lambda x: x + 1, x)

    model = xm.adapt(jax.jit(loop), like=X)
    assert model.predict(X)["output"].shape == (4, 3)
    with pytest.raises(NotSupported, match=r"'.*loop' has no gradient: JAX cannot go backwards through a loop"):
        model.gradients(X, [Selector("output", "output", np.zeros(4, int))])


def test_what_is_no_model():
    refused(3.0, NotSupported, r"a builtins\.float is no model: it cannot be called")


def test_a_map_that_is_sown_where_it_cannot_be_read():
    @jax.jit
    def inner(x):
        sow("inner", "gate", x, axes=("feature",))
        return x * 2

    model = xm.adapt(jax.jit(lambda x: inner(x)), like=X)
    with pytest.raises(NotSupported, match="keeps arrays of a trace beyond it, such as a map that is sown inside"):
        model.intercept(X)


def test_a_module_of_nnx_with_other_outputs_than_before():
    module = nnx.Sequential(nnx.Linear(3, 2, rngs=nnx.Rngs(0)))
    model = xm.adapt(module, like=X)
    module.layers[0] = nnx.Linear(3, 4, rngs=nnx.Rngs(0))
    with pytest.raises(NotSupported, match="'Sequential' has other outputs than when it was adapted; adapt it again"):
        model.predict(X)
