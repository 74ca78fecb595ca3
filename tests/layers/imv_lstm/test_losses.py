"""The losses of the mixture: SciPy's densities, the gradient of the likelihood, and the bound's terms."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from scipy import stats
from scipy.optimize import minimize

from xai_mimo.layers import IMVLSTM, MixtureEM, MixtureMean, MixtureNLL, em_bound, mixture_posterior


def draw(rng, rows=6, variables=3, units=1):
    """Targets and parameters of a mixture, float32, and the same taken apart in float64."""
    prior = rng.dirichlet(np.ones(variables), size=rows)
    mean = rng.normal(size=(rows, variables, units))
    scale = rng.uniform(0.3, 1.5, size=(rows, variables, units))
    y = rng.normal(size=(rows, units))
    parameters = np.concatenate([np.log(prior)[..., None], mean, scale], axis=-1)
    return y.astype("float32"), parameters.astype("float32"), (prior, mean, scale)


def density(y, parts):
    """pi_n prod_u Normal, ``(B, N)``, by SciPy."""
    prior, mean, scale = parts
    return prior * stats.norm.pdf(y[:, None].astype("float64"), mean, scale).prod(axis=-1)


def gradient(function, at):
    """Gradient of a scalar function of one tensor, on the active backend."""
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(function)(ops.convert_to_tensor(at)))
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        variable = tf.Variable(at)
        with tf.GradientTape() as tape:
            value = function(variable)
        return tape.gradient(value, variable).numpy()
    tensor = ops.convert_to_tensor(at).requires_grad_(True)
    function(tensor).backward()
    return tensor.grad.cpu().numpy()


def number(value):
    return ops.convert_to_numpy(value).astype("float64")


@pytest.mark.parametrize("units", [1, 2])
def test_nll_and_posterior_equal_scipy(units, rng):
    y, parameters, parts = draw(rng, units=units)
    joint = density(y, parts)
    np.testing.assert_allclose(
        number(MixtureNLL(reduction="sum")(y, parameters)), -np.log(joint.sum(1)).sum(), rtol=1e-5
    )
    np.testing.assert_allclose(number(MixtureNLL()(y, parameters)), -np.log(joint.sum(1)).mean(), rtol=1e-5)
    q = number(mixture_posterior(y, parameters))
    np.testing.assert_allclose(q, joint / joint.sum(1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(q.sum(1), 1, atol=1e-6)


def test_one_variable_is_a_plain_gaussian_and_flat_targets_are_one_unit(rng):
    y, parameters, (_, mean, scale) = draw(rng, variables=1)
    expected = -stats.norm.logpdf(y[:, 0], mean[:, 0, 0], scale[:, 0, 0])
    np.testing.assert_allclose(number(MixtureNLL(reduction=None)(y[:, 0], parameters)), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(number(mixture_posterior(y, parameters)), 1)


def test_far_targets_give_a_finite_loss_and_gradient(rng):
    y, parameters, _ = draw(rng)
    y = y + 1e4
    assert np.isfinite(number(MixtureNLL()(y, parameters)))
    assert np.isfinite(gradient(lambda p: MixtureNLL()(y, p), parameters)).all()


@pytest.mark.parametrize("units", [1, 2])
def test_em_loss_has_the_gradient_of_the_likelihood(units, rng):
    y, parameters, _ = draw(rng, units=units)
    by_em = gradient(lambda p: MixtureEM(reduction="sum")(y, p), parameters)
    by_nll = gradient(lambda p: MixtureNLL(reduction="sum")(y, p), parameters)
    by_bound = gradient(lambda p: ops.sum(em_bound(y, p)), parameters)
    assert np.abs(by_nll).max() > 0.1
    np.testing.assert_allclose(by_em, by_nll, atol=2e-5)
    np.testing.assert_allclose(by_bound, by_nll, atol=2e-5)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_bound_exceeds_the_likelihood_by_kl_entropy_and_cross_entropy(seed):
    rng = np.random.default_rng(seed)
    y, parameters, parts = draw(rng)
    joint = density(y, parts)
    exact = joint / joint.sum(1, keepdims=True)
    q, importance = rng.dirichlet(np.ones(3), size=6), rng.dirichlet(np.ones(3))
    gap = number(em_bound(y, parameters, q, importance)) + np.log(joint.sum(1))
    expected = (q * np.log(q / exact)).sum(1) - (q * np.log(q)).sum(1) - (q * np.log(importance)).sum(1)
    np.testing.assert_allclose(gap, expected, rtol=1e-3, atol=1e-4)
    assert (gap > 0).all()
    shares = exact.mean(0)
    least = number(em_bound(y, parameters)) + np.log(joint.sum(1))
    np.testing.assert_allclose(least, -(exact * np.log(exact * shares)).sum(1), rtol=1e-3, atol=1e-4)


def test_mean_posterior_minimises_the_bound_over_importances(rng):
    y, parameters, _ = draw(rng, rows=20)
    q = number(mixture_posterior(y, parameters))
    best = number(em_bound(y, parameters, q)).sum()
    for _ in range(10):
        assert number(em_bound(y, parameters, q, rng.dirichlet(np.ones(3)))).sum() >= best - 1e-4

    def third_term(logits):
        shares = np.exp(logits) / np.exp(logits).sum()
        return -(q * np.log(shares)).sum()

    found = minimize(third_term, np.zeros(3)).x
    np.testing.assert_allclose(np.exp(found) / np.exp(found).sum(), q.mean(0), atol=1e-4)


def test_bound_is_infinite_where_a_variable_of_no_importance_is_used(rng):
    y, parameters, _ = draw(rng, rows=2)
    q = np.array([[0.5, 0.5, 0], [1, 0, 0]])
    bound = number(em_bound(y, parameters, q, np.array([1.0, 0.0, 0.0])))
    assert bound[0] == np.inf
    assert np.isfinite(bound[1])


def test_em_by_epochs_never_raises_the_likelihood(rng):
    """Exact E step, then gradient steps on the held posterior; the E step alone changes nothing."""
    x = rng.normal(size=(40, 4, 2)).astype("float32")
    y = np.where(rng.random(40) < 0.5, x[:, -1, 0], -x[:, -1, 1]).astype("float32")[:, None]
    keras.utils.set_random_seed(1)
    inputs = keras.Input((4, 2))
    model = keras.Model(inputs, IMVLSTM(3, output="mixture", logit_activation="linear")(inputs))
    model.compile(keras.optimizers.SGD(0.05), MixtureEM("epoch"))
    likelihood = MixtureNLL()
    curve = []
    for _ in range(6):
        parameters = model.predict(x, verbose=0)
        curve.append(float(number(likelihood(y, parameters))))
        held = np.concatenate([y, number(mixture_posterior(y, parameters))], axis=1)
        by_batch, by_epoch = MixtureEM()(y, parameters), MixtureEM("epoch")(held, parameters)
        np.testing.assert_allclose(number(by_epoch), number(by_batch), rtol=1e-5)
        model.fit(x, held, batch_size=40, epochs=3, verbose=0)
    assert (np.diff(curve) <= 1e-6).all()
    assert curve[-1] < curve[0] - 1e-3


def test_mixture_mean_is_the_prediction_of_the_same_weights(rng):
    x = rng.normal(size=(3, 4, 2)).astype("float32")
    inputs = keras.Input((4, 2))
    mixture = IMVLSTM(3, output="mixture", heads=[2])(inputs)
    model = keras.Model(inputs, [mixture[0], MixtureMean()(mixture[0])])
    parameters, prediction = model.predict(x, verbose=0)
    expected = (np.exp(parameters[..., :1]) * parameters[..., 1:3]).sum(axis=1)
    np.testing.assert_allclose(prediction, expected, atol=1e-6)
    assert MixtureMean().compute_output_shape((None, 2, 5)) == (None, 2)


@pytest.mark.parametrize("loss", [MixtureNLL(reduction="sum"), MixtureEM("epoch", name="em")])
def test_losses_are_saved_and_loaded(loss):
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()


def test_wrong_shapes_and_settings_say_how_to_mend_them(rng):
    y, parameters, _ = draw(rng)
    with pytest.raises(ValueError, match=r"Expected the parameters of a mixture, .* Received: shape=\(6, 1\)"):
        MixtureNLL()(y, y)
    with pytest.raises(ValueError, match=r"Expected targets of shape \(batch, 1\).*Received: shape=\(6, 2\)"):
        MixtureNLL()(np.concatenate([y, y], axis=1), parameters)
    with pytest.raises(ValueError, match=r"Expected targets of shape \(batch, 4\), 1 values and the 3 probabilities"):
        MixtureEM("epoch")(y, parameters)
    with pytest.raises(ValueError, match=r"Expected `e_step` to be one of 'batch', 'epoch'. Received: e_step='step'"):
        MixtureEM("step")
