"""The last step of a head, seen in a program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from xai_mimo_adapters.jax_adapter.links import before_link, link_of

import xai_mimo as xm
from xai_mimo.core.targets import Selector

pytestmark = pytest.mark.all_frameworks

W = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3)), jnp.float32)
X = np.random.default_rng(1).normal(size=(7, 3)).astype("float32")


def by_hand(x):
    e = jnp.exp(x @ W)
    return e / e.sum(axis=-1, keepdims=True)


def with_exponential_twice(x):
    z = x @ W
    return jnp.exp(z) / jnp.exp(z).sum(axis=-1, keepdims=True)


def both(x):
    return jax.nn.softmax(x @ W), jax.nn.softmax(2 * x)


@jax.custom_jvp
def of_its_own_slope(x):
    return jax.nn.sigmoid(x @ W)


of_its_own_slope.defjvp(lambda primals, tangents: (of_its_own_slope(*primals), tangents[0]))

LINKS = {
    "sigmoid": (lambda x: jax.nn.sigmoid(x @ W), "sigmoid"),
    "softmax": (lambda x: jax.nn.softmax(x @ W), "softmax"),
    "inside jit": (jax.jit(lambda x: jax.nn.softmax(x @ W)), "softmax"),
    "twice inside jit": (jax.jit(lambda x: jax.jit(jax.nn.sigmoid)(x @ W)), "sigmoid"),
    "by hand": (by_hand, "softmax"),
    "with the exponential twice": (with_exponential_twice, "softmax"),
    "mapped": (jax.vmap(lambda row: jax.nn.softmax(row @ W)), "softmax"),
    "in half precision": (lambda x: jax.nn.softmax((x @ W).astype("bfloat16")).astype("float32"), "softmax"),
    "in another form": (lambda x: jax.nn.sigmoid(x @ W).reshape(7, 1, 3), "sigmoid"),
}
OTHERS = {
    "over the rows": lambda x: jax.nn.softmax(x @ W, axis=0),
    "tanh": lambda x: jnp.tanh(x @ W),
    "a share of absolute values": lambda x: jnp.abs(x) / jnp.abs(x).sum(axis=-1, keepdims=True),
    "over the sum of other exponentials": lambda x: jnp.exp(x) / jnp.exp(x @ W).sum(axis=-1, keepdims=True),
    "half of a sigmoid": lambda x: 0.5 * jax.nn.sigmoid(x @ W),
}


@pytest.mark.parametrize("case", LINKS)
def test_a_final_sigmoid_or_softmax_is_seen_and_taken_off(case):
    f, kind = LINKS[case]
    program = jax.make_jaxpr(f)(X)
    assert link_of(program, 0).kind == kind
    before = before_link(program, 0)
    (logits,) = jax.core.eval_jaxpr(before.jaxpr, before.consts, X)
    tolerance = 2e-2 if "half" in case else 1e-6
    np.testing.assert_allclose(np.asarray(logits, "float32").reshape(7, 3), X @ W, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("case", OTHERS)
def test_what_ends_otherwise_is_no_link(case):
    program = jax.make_jaxpr(OTHERS[case])(X)
    assert link_of(program, 0) is None
    assert before_link(program, 0) is None


def test_each_output_has_its_own_and_the_others_stay():
    before = before_link(jax.make_jaxpr(jax.jit(both))(X), 1)
    first, second = jax.core.eval_jaxpr(before.jaxpr, before.consts, X)
    np.testing.assert_allclose(first, both(X)[0], rtol=1e-6)
    np.testing.assert_allclose(second, 2 * X, rtol=1e-6)


def test_a_link_with_a_derivative_of_its_own_tells_the_kind_and_is_not_cut():
    program = jax.make_jaxpr(of_its_own_slope)(X)
    assert link_of(program, 0).kind == "sigmoid"
    assert before_link(program, 0) is None


def test_kinds_of_heads_follow_their_links_and_say_so():
    def f(x):
        z = x @ W
        return {
            "one": jax.nn.sigmoid(z[:, :1]),
            "several": jax.nn.sigmoid(z),
            "classes": jax.nn.softmax(z),
            "per_step": jax.nn.softmax(jnp.stack([z, -z], axis=1)),
            "line": jax.nn.sigmoid(z[:, 0]),
            "other": z,
        }

    heads = {h.name: h for h in xm.adapt(jax.jit(f), like=X).heads}
    seen = {name: (h.kind, h.kind_from) for name, h in heads.items()}
    assert seen == {
        "one": ("binary", "final sigmoid"),
        "several": ("multilabel", "final sigmoid"),
        "classes": ("multiclass", "final softmax"),
        "per_step": ("multiclass", "final softmax"),
        "line": ("binary", "final sigmoid"),
        "other": ("regression", ""),
    }
    assert heads["classes"].unit == "probability"


def test_a_model_before_its_links_gives_logits_and_their_gradients():
    @jax.jit
    def f(x):
        z = jax.nn.relu(x) @ W
        return {"risk": jax.nn.sigmoid(z[:, :1]), "kind": jax.nn.softmax(z), "raw": z}

    model = xm.adapt(f, like=X)
    cut, found = model.before_link(["risk", "kind", "raw"])
    assert found == {"risk": "before its final sigmoid", "kind": "before its final softmax"}
    assert {h.name: h.unit for h in cut.heads} == {"kind": "logit", "raw": "", "risk": "log-odds"}
    assert cut.fingerprint() != model.fingerprint()
    z = np.maximum(X, 0) @ np.asarray(W)
    asked = [Selector("kind:2", "kind", np.full(7, 2)), Selector("risk", "risk", np.zeros(7, int))]
    outputs, gradients = cut.gradients(X, asked)
    np.testing.assert_allclose(outputs["kind"], z, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(outputs["risk"], z[:, :1], rtol=1e-5, atol=1e-6)
    expected = np.stack([(X > 0) * np.asarray(W)[:, unit] for unit in (2, 0)])
    np.testing.assert_allclose(gradients["x"], expected, rtol=1e-5)
    np.testing.assert_allclose(model.predict(X)["kind"], jax.nn.softmax(z), rtol=1e-5)


def test_a_rectifier_at_zero_has_the_same_gradient_before_a_link():
    f = jax.jit(lambda x: jax.nn.sigmoid(jax.nn.relu(x).sum(axis=1, keepdims=True)))
    zeros = np.zeros((2, 3), "float32")
    cut, _ = xm.adapt(f, like=zeros).before_link(["output"])
    _, gradients = cut.gradients(zeros, [Selector("output", "output", np.zeros(2, int))])
    np.testing.assert_array_equal(gradients["x"], 0.0)
