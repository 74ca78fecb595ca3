"""What FLINT does on scikit-learn's digits: 8 x 8 pixels in [0, 1], 12 attributes, a small convolutional predictor.

The bounds are those that our prototype met with two seeds, with room. Accuracies are of 450 test rows.
"""

import functools

import keras
import numpy as np
import pytest
from keras import layers, ops

from xai_mimo.core.errors import InterpreterWarning
from xai_mimo.layers import FLINT, Maximisation
from xai_mimo.layers.flint import losses as flint_losses
from xai_mimo.layers.flint.networks import as_torch

pytestmark = pytest.mark.slow
EPOCHS, BATCH, RATE, ATTRIBUTES = 40, 32, 1e-3, 12
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@functools.cache
def digits():
    """Training and test rows and labels, 75 to 25, each class as often in both."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    return train_test_split(
        (x / 16).astype("float32").reshape(-1, 8, 8, 1), y, test_size=0.25, stratify=y, random_state=0
    )


def predictor(seed):
    """The authors' network for MNIST, its weights fixed by the seed."""
    keras.utils.set_random_seed(seed)
    settings = {"kernel_initializer": as_torch(None)}
    image = keras.Input((8, 8, 1), name="image")
    maps = layers.Conv2D(16, 3, padding="same", activation="relu", **settings)(image)
    maps = layers.MaxPooling2D(2)(layers.Conv2D(32, 3, padding="same", **settings)(maps))
    tap = layers.ReLU(name="tap")(layers.Dropout(0.5)(maps))
    hidden = layers.Dense(128, activation="relu", **settings)(layers.Flatten()(tap))
    return keras.Model(image, layers.Dense(10, name="digit", **settings)(layers.Dropout(0.5)(hidden)))


@functools.cache
def by_design(seed, entropy=0.2):
    """A FLINT trained together with its predictor, and what it says of the test rows."""
    x, x_test, y, _ = digits()
    model = FLINT(predictor(seed), ["tap"], ATTRIBUTES, kinds="multiclass", weights={"entropy": entropy}, seed=seed)
    model.compile(keras.optimizers.Adam(RATE), CROSS_ENTROPY)
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    return model, model.interpret(x_test)


@functools.cache
def base(seed):
    """The predictor trained alone."""
    x, _, y, _ = digits()
    model = predictor(seed)
    model.compile(keras.optimizers.Adam(RATE), CROSS_ENTROPY)
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    return model


def accuracy(scores):
    return float((np.asarray(scores).argmax(axis=1) == digits()[3]).mean())


def test_training_by_design_costs_no_accuracy_and_the_interpreter_is_faithful():
    _, found = by_design(0)
    alone = accuracy(base(0).predict(digits()[1], verbose=0))
    assert accuracy(found["output"]) >= 0.96
    assert accuracy(found["output"]) >= alone - 0.02
    assert float(found["fidelity"][0]) >= 0.95
    assert accuracy(found["score"]) >= 0.93


def test_explanations_are_concise_and_no_less_so_for_the_entropies():
    """The mean of two seeds, as the difference is smaller than that between seeds."""
    with_entropy = np.mean([float(by_design(seed)[1]["conciseness"].sel(tau=3)[0]) for seed in (0, 1)])
    without = np.mean([float(by_design(seed, 0.0)[1]["conciseness"].sel(tau=3)[0]) for seed in (0, 1)])
    assert with_entropy <= 2.0
    assert with_entropy <= without + 0.1


def test_post_hoc_training_is_faithful_and_changes_nothing():
    x, x_test, _, _ = digits()
    f = base(0)
    before, outputs = [ops.convert_to_numpy(v).copy() for v in f.variables], f.predict(x_test, verbose=0)
    model = FLINT(f, ["tap"], ATTRIBUTES, post_hoc=True, seed=0)
    model.compile(keras.optimizers.Adam(RATE))
    model.fit(x, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    assert float(model.interpret(x_test)["fidelity"][0]) >= 0.95
    np.testing.assert_array_equal(f.predict(x_test, verbose=0), outputs)
    for old, new in zip(before, f.variables, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(new), old)


def test_switching_off_the_top_attribute_changes_the_answer_and_a_random_one_seldom_does(rng):
    _, found = by_design(0)
    phi, answer = found["attributes"].values, found["unit"].values[0]

    def changed(off):
        without = phi.copy()
        without[np.arange(len(phi)), off] = 0
        return (without @ found["weight"].values.T + found["bias"].values).argmax(axis=1) != answer

    top = changed(found["relevance"].values[0].argmax(axis=1)).mean()
    assert top >= 0.5
    assert top > changed(rng.integers(ATTRIBUTES, size=len(phi))).mean() + 0.3


def test_maximisation_makes_every_used_attribute_larger_within_the_range():
    model, found = by_design(0)
    used = np.flatnonzero(found["attribute_use"].values.any(axis=0))
    rows = found["attributes"].values[:, used].argmax(axis=0)
    made = model.maximise(digits()[1][rows], used, Maximisation(variation=20.0))
    assert (made.end > made.start).all()
    assert made.end.mean() > made.sample.mean()
    assert made.inputs.min() >= 0
    assert made.inputs.max() <= 1


def test_formula_of_fidelity_as_printed_fails_both_networks(monkeypatch):
    """-sum_c q_c log p_c, nothing detached: the predictor learns to please an interpreter that knows nothing."""

    def printed(outputs, scores, kind, from_logits):
        return -ops.mean(ops.sum(ops.softmax(scores, axis=-1) * ops.log_softmax(outputs, axis=-1), axis=-1))

    monkeypatch.setattr(flint_losses, "output_fidelity", printed)
    x, x_test, y, _ = digits()
    model = FLINT(predictor(0), ["tap"], ATTRIBUTES, kinds="multiclass", seed=0)
    model.compile(keras.optimizers.Adam(RATE), CROSS_ENTROPY)
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS // 2, verbose=0)
    with pytest.warns(InterpreterWarning, match=r"fidelity 0\.\d+"):
        found = model.interpret(x_test)
    assert float(found["fidelity"][0]) <= 0.5
    assert accuracy(found["score"]) <= 0.5
