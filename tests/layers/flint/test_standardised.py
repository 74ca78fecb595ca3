"""Standardised attributes against slow formulas: batch moments in training, running ones afterwards, none dies."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from xai_mimo.layers import FLINT
from xai_mimo.layers.flint.networks import default_dictionary
from xai_mimo.layers.flint.standardised import Standardised
from xai_mimo.testing import check_layer
from xai_mimo.testing.layer_contract import precision


def numpy_of(layer, x, training):
    return ops.convert_to_numpy(layer(ops.convert_to_tensor(x), training=training))


def slow(v, mean, variance):
    return np.stack([[(v[b, j] - mean[j]) / (variance[j] + 1e-3) ** 0.5 for j in range(3)] for b in range(len(v))])


def test_training_standardises_by_the_batch_and_inference_by_all_batches(rng):
    steps = [rng.normal(loc=[5, -2, 0], scale=[0.3, 2, 1], size=(8, 3)).astype("float32") for _ in range(4)]
    layer = Standardised()
    for batch in steps:
        np.testing.assert_allclose(numpy_of(layer, batch, True), slow(batch, batch.mean(0), batch.var(0)), atol=1e-4)
    rows = np.concatenate(steps)
    found = numpy_of(layer, steps[0], False)
    np.testing.assert_allclose(found, slow(steps[0], rows.mean(0), rows.var(0)), atol=1e-3)
    np.testing.assert_array_equal(numpy_of(layer, steps[0], False), found, err_msg="inference changes nothing")


@pytest.mark.parametrize("training", [True, False])
def test_float64_has_the_digits_of_float64_far_from_0(training, rng):
    x = rng.normal(size=(64, 3)) * [1.0, 2.0, 0.5] + 1e6
    with precision("float64"):
        layer = Standardised(dtype="float64")
        for _ in range(1 if training else 3):
            found = numpy_of(layer, x, True)
        found = found if training else numpy_of(layer, x, False)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, slow(x, x.mean(0), x.var(0)), atol=1e-8)


def test_scale_is_learned_per_attribute(rng):
    x, layer = rng.normal(size=(8, 3)).astype("float32"), Standardised()
    before = numpy_of(layer, x, True)
    layer.scale.assign([1.0, 2.0, -3.0])
    np.testing.assert_allclose(numpy_of(layer, x, True), before * [1, 2, -3], rtol=1e-5)
    assert [v.name for v in layer.trainable_variables] == ["scale"]


@pytest.mark.parametrize("push", [-1e3, -3.0, 40.0])
def test_what_moves_all_rows_alike_moves_no_attribute(push, rng):
    x = rng.normal(size=(16, 3)).astype("float32")
    np.testing.assert_allclose(numpy_of(Standardised(), x + push, True), numpy_of(Standardised(), x, True), atol=2e-3)


def test_values_of_one_row_or_of_a_constant_are_zero():
    np.testing.assert_array_equal(numpy_of(Standardised(), np.full((1, 3), 7, "float32"), True), 0)
    np.testing.assert_array_equal(numpy_of(Standardised(), np.full((4, 3), 7, "float32"), True), 0)


def test_it_keeps_keras_conventions(rng):
    check_layer(Standardised, rng.normal(size=(4, 5)).astype("float32"), maps={})


@pytest.mark.parametrize("activation", ["relu", "softplus", layers.LeakyReLU(0.01)], ids=str)
def test_default_dictionary_has_it_before_the_activation(activation, rng):
    model = default_dictionary([(None, 4)], 3, activation=activation, standardise=True, seed=0)
    x = ops.convert_to_tensor(rng.normal(size=(32, 4)).astype("float32"))
    values = model.get_layer("attributes")(keras.Model(model.input, model.get_layer("attributes").input)(x))
    expected = keras.activations.get(activation)(Standardised()(values, training=True))
    np.testing.assert_allclose(ops.convert_to_numpy(model(x, training=True)), ops.convert_to_numpy(expected), atol=1e-5)
    assert model.get_layer("attributes").bias is None


def few_rows_of_digits():
    from sklearn.datasets import load_digits

    return (load_digits().data[:320] / 16).astype("float32")


def dead_after_training(rate, **settings):
    """Attributes, by number, that are 0 in all rows after some epochs of reconstruction alone."""
    keras.utils.set_random_seed(0)
    f = keras.Sequential([keras.Input((64,)), layers.Dense(32, activation="relu", name="tap"), layers.Dense(10)])
    only = {"fidelity": 0.0, "sparsity": 0.0, "entropy": 0.0}
    model = FLINT(f, ["tap"], 12, kinds="multiclass", weights=only, seed=0, **settings)
    post_hoc = settings.get("post_hoc", False)
    model.compile(keras.optimizers.Adam(rate), None if post_hoc else keras.losses.SparseCategoricalCrossentropy())
    x = few_rows_of_digits()
    model.fit(x, None if post_hoc else np.zeros(len(x)), batch_size=32, epochs=6, verbose=0)
    encoded = model.networks.encoder.predict(x, verbose=0)
    assert (encoded >= 0).all()
    return np.flatnonzero((encoded == 0).all(axis=0)).tolist()


@pytest.mark.parametrize("post_hoc", [True, False])
def test_of_reconstruction_alone_attributes_die_without_it_and_hardly_with_it(post_hoc):
    """Which ones die turns on roundings, and so on the processor: of 12, none or one with it and four to six without."""
    with_it = dead_after_training(0.01, post_hoc=post_hoc, standardise=True)
    without = dead_after_training(0.01, post_hoc=post_hoc, standardise=False)
    assert len(with_it) <= 1
    assert len(without) >= len(with_it) + 2


def test_it_is_the_default_post_hoc_and_not_by_design():
    inputs = keras.Input((4,))
    f = keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.Dense(5, name="tap")(inputs)))

    def has_it(**settings):
        names = [layer.name for layer in FLINT(f, ["tap"], 3, **settings).networks.dictionary.layers]
        return "standardised" in names

    assert has_it(post_hoc=True)
    assert not has_it()
    assert has_it(standardise=True)
    assert not has_it(post_hoc=True, standardise=False)
