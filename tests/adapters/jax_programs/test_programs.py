"""Programs of JAX that are told apart, and those that are the same."""

import keras
import numpy as np
import pytest

if keras.config.backend() != "jax":
    pytest.skip("programs of JAX", allow_module_level=True)

import jax
import jax.numpy as jnp
from xai_mimo_adapters.jax_programs.programs import same_program


def scaled(k):
    return lambda x, y: jnp.where(x > 0, x * k, y)


def by_an_array(k):
    return lambda x, y: x * np.full(3, k, "float32") + y


def in_a_loop(k):
    return lambda x, y: jax.lax.scan(lambda c, _: (jnp.tanh(c * k), None), x, length=4)[0] + y


def in_a_branch(k):
    return lambda x, y: jax.lax.cond(x.sum() > 0, lambda: x * k, lambda: y)


def inside_jit(k):
    return lambda x, y: jax.jit(lambda t: jax.nn.gelu(t) * k)(x) + y


def by_order(k):
    return lambda x, y: x - y if k == 2 else y - x


def by_random_numbers(k):
    return lambda x, y: x + y * jax.random.normal(jax.random.key(k), (3,))


KINDS = [scaled, by_an_array, in_a_loop, in_a_branch, inside_jit, by_order, by_random_numbers]


@pytest.mark.parametrize("kind", KINDS, ids=lambda each: each.__name__)
def test_a_program_is_the_same_until_a_number_or_the_wiring_is_another(kind):
    x = np.ones(3, "float32")
    one, same, other = (jax.make_jaxpr(kind(k))(x, x) for k in (2, 2, 3))
    assert same_program(one, same)
    assert not same_program(one, other)


def test_gradients_of_functions_with_their_own_are_compared():
    x = np.ones(3, "float32")
    one, same, other = (jax.make_jaxpr(jax.grad(lambda t, k=k: jax.nn.relu(t * k).sum()))(x) for k in (2, 2, 3))
    assert same_program(one, same)
    assert not same_program(one, other)


def test_no_number_equals_no_number():
    one, same = (jax.make_jaxpr(lambda t: t + float("nan"))(1.0) for _ in range(2))
    assert same_program(one, same)
