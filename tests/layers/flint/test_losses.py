"""FLINT's losses against slow formulas, with their bounds; no gradient reaches the predictor."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops

from tests.helpers.flint_by_hand import entropy, sigmoid, softmax
from xai_mimo.layers.flint import losses as losses

VECTORS = arrays("float64", st.integers(2, 6), elements=st.floats(-20, 20, width=32))


def as_float(value):
    return float(ops.convert_to_numpy(value))


@given(VECTORS, st.floats(-5, 5))
@settings(max_examples=25, deadline=None)
def test_entropy_equals_the_slow_formula_is_bounded_and_ignores_a_shift(values, shift):
    found = as_float(losses.entropy(ops.convert_to_tensor(values.astype("float32"))))
    np.testing.assert_allclose(found, entropy(values.astype("float32").astype("float64")), atol=1e-4)
    assert -1e-6 <= found <= np.log(len(values)) + 1e-5
    shifted = as_float(losses.entropy(ops.convert_to_tensor((values + shift).astype("float32"))))
    np.testing.assert_allclose(shifted, found, atol=2e-3)


def test_entropy_of_equal_values_is_the_logarithm_of_their_number():
    np.testing.assert_allclose(as_float(losses.entropy(ops.ones((7,)) * 3)), np.log(7), rtol=1e-6)


def test_entropy_pair_is_that_of_rows_less_that_of_the_mean_row(rng):
    phi = rng.normal(size=(6, 4)).astype("float32")
    slow = np.mean([entropy(np.abs(row)) for row in phi]) - entropy(np.abs(phi).mean(axis=0))
    np.testing.assert_allclose(as_float(losses.entropy_pair(ops.convert_to_tensor(phi))), slow, rtol=1e-5)


def test_entropy_pair_tends_to_its_lower_bound_where_each_row_has_one_attribute_and_the_batch_all():
    found = as_float(losses.entropy_pair(ops.eye(5) * 1000.0))
    np.testing.assert_allclose(found, -np.log(5), atol=1e-5)


def test_sparsity_is_the_mean_over_rows_and_attributes(rng):
    phi = rng.normal(size=(6, 4)).astype("float32")
    np.testing.assert_allclose(as_float(losses.sparsity(ops.convert_to_tensor(phi))), np.abs(phi).mean(), rtol=1e-6)


@pytest.mark.parametrize("from_logits", [True, False])
def test_fidelity_of_classes_is_the_cross_entropy_with_the_predictor_as_target(from_logits, rng):
    f, s = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    p = softmax(f)
    slow = np.mean([-sum(p[i, c] * np.log(softmax(s)[i, c]) for c in range(3)) for i in range(5)])
    given_ = (f if from_logits else p).astype("float32")
    found = losses.output_fidelity(ops.convert_to_tensor(given_), s.astype("float32"), "multiclass", from_logits)
    np.testing.assert_allclose(as_float(found), slow, rtol=1e-5)


@pytest.mark.parametrize("kind", ["binary", "multilabel"])
@pytest.mark.parametrize("from_logits", [True, False])
def test_fidelity_of_choices_between_no_and_yes_is_the_mean_over_their_units(kind, from_logits, rng):
    f, s = rng.normal(size=(5, 2)), rng.normal(size=(5, 2))
    p, q = sigmoid(f), sigmoid(s)
    slow = np.mean(-(p * np.log(q) + (1 - p) * np.log(1 - q)))
    given_ = (f if from_logits else p).astype("float32")
    found = losses.output_fidelity(
        ops.convert_to_tensor(given_), ops.convert_to_tensor(s.astype("float32")), kind, from_logits
    )
    np.testing.assert_allclose(as_float(found), slow, rtol=1e-5)


def test_fidelity_of_quantities_is_the_mean_squared_difference(rng):
    f, s = rng.normal(size=(2, 5, 2)).astype("float32")
    found = losses.output_fidelity(ops.convert_to_tensor(f), ops.convert_to_tensor(s), "regression", False)
    np.testing.assert_allclose(as_float(found), np.square(f - s).mean(), rtol=1e-5)


@pytest.mark.parametrize(("error", "size"), [("squared", np.square), ("absolute", np.abs)])
def test_input_fidelity_is_the_mean_over_the_inputs_whatever_their_sizes(error, size, rng):
    x, rebuilt = ([rng.normal(size=shape).astype("float32") for shape in ((4, 3), (4, 5, 2))] for _ in range(2))
    term, passed = losses.InputFidelity(error), ops.ones((4, 2))
    term.weight.assign(0.5)
    assert term([passed, *map(ops.convert_to_tensor, [*x, *rebuilt])], training=True) is passed
    slow = np.mean([size(a - b).mean() for a, b in zip(x, rebuilt, strict=True)])
    np.testing.assert_allclose(as_float(term.losses[0]), 0.5 * slow, rtol=1e-5)


def test_a_term_keeps_its_mean_over_training_steps_before_weighting(rng):
    term, phi = losses.Sparsity(), rng.normal(size=(3, 6, 4)).astype("float32")
    term.weight.assign(0.5)
    for rows, training in zip(phi, (True, True, False), strict=True):
        term([ops.ones((6, 1)), ops.convert_to_tensor(rows)], training=training)
    np.testing.assert_allclose(term.take_mean(), np.abs(phi[:2]).mean(), rtol=1e-5)
    assert np.isnan(term.take_mean())


def charged(term, f, s, training=True):
    """What a term adds to the loss at weight 1."""
    term.weight.assign(1.0)
    term([ops.convert_to_tensor(f.astype("float32")), ops.convert_to_tensor(s.astype("float32"))], training=training)
    return as_float(term.losses[0])


def quantity():
    return losses.OutputFidelity("regression", 2, None, False, name="load")


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e4])
def test_fidelity_of_quantities_is_in_deviations_of_the_predictor_whatever_their_unit(unit, rng):
    f, s = rng.normal(3.0, (0.5, 2.0), size=(2, 8, 2))
    slow = np.mean([np.mean((f[:, u] - s[:, u]) ** 2) / np.var(f[:, u]) for u in (0, 1)])
    np.testing.assert_allclose(charged(quantity(), unit * f, unit * s), slow, rtol=1e-3)
    np.testing.assert_allclose(charged(quantity(), unit * f, 0 * s + unit * f.mean(axis=0)), 1, rtol=1e-3)


def test_deviations_of_equal_steps_are_those_of_all_their_rows_and_then_run_along(rng):
    term, rows = quantity(), rng.normal(50.0, (0.5, 20.0), size=(7, 8, 2)).astype("float32")
    for step in rows:
        charged(term, step, step)
    np.testing.assert_allclose(term.deviations(), rows.reshape(56, 2).std(axis=0), rtol=1e-4)
    for _ in range(600):  # each counts a hundredth from the hundredth on
        term._spread(rows[0], training=True)
    np.testing.assert_allclose(term.deviations(), rows[0].std(axis=0), rtol=1e-2)


def test_deviations_are_those_of_training_and_one_before(rng):
    term, f = quantity(), rng.normal(size=(2, 8, 2))
    np.testing.assert_allclose(charged(term, f[0], f[1], training=False), np.square(f[0] - f[1]).mean(), rtol=1e-5)
    charged(term, 5 * f[0], f[1])
    expected = (np.square(f[0] - f[1]) / (5 * f[0]).var(axis=0)).mean()
    np.testing.assert_allclose(charged(term, f[0], f[1], training=False), expected, rtol=1e-4)


def test_a_unit_that_never_varies_is_measured_as_it_is_and_a_batch_of_one_row_does_no_harm(rng):
    term = quantity()
    f = np.stack([np.full(8, 1e3), rng.normal(size=8)], axis=1)
    found = charged(term, f, f + 0.5)
    np.testing.assert_allclose(found, 0.5 * (0.25 + 0.25 / f[:, 1].var()), rtol=1e-3)
    before = term.deviations()
    assert charged(term, f[:1], f[:1] + 0.5) < 2 * found
    assert before[1] / 2 < term.deviations()[1] < before[1] * 2
    assert charged(quantity(), f[:1], f[:1] + 0.5) == pytest.approx(0.25, rel=1e-3)


@given(arrays("float64", (4, 3), elements=st.floats(-6, 6)), arrays("float64", (4, 3), elements=st.floats(-6, 6)))
@settings(max_examples=25, deadline=None)
def test_fidelity_is_at_least_the_entropy_of_the_predictor_and_equal_to_it_for_equal_shares(f, s):
    least = np.mean([entropy(row) for row in f])

    def fidelity(scores):
        tensors = [ops.convert_to_tensor(v.astype("float32")) for v in (f, scores)]
        return as_float(losses.output_fidelity(*tensors, "multiclass", True))

    assert fidelity(s) >= least - 1e-4
    np.testing.assert_allclose(fidelity(f + 1.5), least, atol=1e-4)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel", "regression"])
def test_no_gradient_reaches_the_predictors_outputs(kind, rng):
    f, s = rng.normal(size=(2, 4, 3)).astype("float32")
    of_outputs, of_scores = gradients(lambda a, b: losses.output_fidelity(a, b, kind, True), f, s)
    np.testing.assert_array_equal(of_outputs, 0)
    assert np.abs(of_scores).max() > 0


def gradients(function, *arrays):
    """Gradients of a scalar on the active backend; zero where none flows."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return [np.asarray(g) for g in jax.grad(function, argnums=tuple(range(len(arrays))))(*arrays)]
    if backend == "tensorflow":
        import tensorflow as tf

        tensors = [tf.constant(a) for a in arrays]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors)
        return [g.numpy() for g in tape.gradient(value, tensors, unconnected_gradients="zero")]
    import torch

    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    found = torch.autograd.grad(function(*tensors), tensors, allow_unused=True)
    return [np.zeros_like(a) if g is None else g.numpy() for a, g in zip(arrays, found, strict=True)]
