"""Activation maximisation: its objective written slowly, torch's Adam steps, and bounds that hold."""

import keras
import numpy as np
import pytest

from tests.helpers.flint_by_hand import mixed_flint
from tests.helpers.frameworks import needs
from xai_mimo.layers import FLINT, Maximisation
from xai_mimo.layers.flint.maximisation import maximise

# Interpreters that were never trained say little of their predictor; `test_cautions` reads the warning.
pytestmark = pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.InterpreterWarning")
SHORT = {"rounds": 2, "steps": 15}


def linear_encoder(shape, weights):
    """phi_j = <w_j, x>, so that the objective is known by hand."""
    inputs = keras.Input(shape)
    flat = keras.layers.Flatten()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(len(weights), use_bias=False)(flat))
    model.set_weights([np.reshape(weights, (len(weights), -1)).T])
    return model


def slow_objective(x, weight, recipe):
    """The formula for one image ``(height, width, channel)``."""
    phi = (weight * x).sum()
    variation = np.abs(x[1:] - x[:-1]).mean() + np.abs(x[:, 1:] - x[:, :-1]).mean()
    outside = np.mean(((x > recipe.high) | (x < recipe.low)) * np.abs(x))
    return (
        recipe.phi * phi - recipe.variation * variation - recipe.bound * outside - recipe.magnitude * np.abs(x).mean()
    )


def test_objective_equals_the_slow_formula_per_row(rng):
    weights = rng.normal(size=(2, 4, 3, 1)).astype("float32")
    x = rng.normal(size=(3, 4, 3, 1)).astype("float32")
    recipe = Maximisation(scale=1.0, magnitude=0.5, clip=False, **SHORT)
    found = maximise(linear_encoder((4, 3, 1), weights), x, [0, 1, 1], recipe)
    for n, j in enumerate((0, 1, 1)):
        np.testing.assert_allclose(found.objective_start[n], slow_objective(x[n], weights[j], recipe), rtol=1e-4)
        np.testing.assert_allclose(
            found.objective_end[n], slow_objective(found.inputs[n], weights[j], recipe), rtol=1e-4
        )
        np.testing.assert_allclose(found.start[n], (weights[j] * x[n]).sum(), rtol=1e-4, atol=1e-5)


@needs("torch")
def test_steps_are_those_of_torch(rng):
    import torch

    weights, x = rng.normal(size=(1, 4, 3, 1)).astype("float32"), rng.random((1, 4, 3, 1)).astype("float32")
    recipe = Maximisation(scale=0.5, variation=0.1, clip=False, low=-9, high=9, rounds=2, steps=7)
    ours = maximise(linear_encoder((4, 3, 1), weights), x, [0], recipe)
    point = torch.tensor(0.5 * x, requires_grad=True)
    for turn in range(2):
        adam = torch.optim.Adam([point], lr=0.05 * 0.5**turn)
        for _ in range(7):
            adam.zero_grad()
            variation = point.diff(dim=1).abs().mean() + point.diff(dim=2).abs().mean()
            (0.1 * variation - 2 * (torch.tensor(weights[0]) * point).sum()).backward()
            adam.step()
    np.testing.assert_allclose(ours.inputs, point.detach().numpy(), atol=1e-4)


@pytest.mark.parametrize("post_hoc", [False, True])
def test_what_is_found_activates_the_attribute_more_and_stays_in_range(post_hoc, rng):
    model = mixed_flint(post_hoc=post_hoc)
    x = rng.uniform(0, 1, size=(40, 4)).astype("float32")
    phi = model.interpret(x)["attributes"].values
    rows, chosen = np.arange(5), phi[:5].argmax(axis=1)
    found = model.maximise(x[rows], chosen, Maximisation(**SHORT))
    np.testing.assert_allclose(found.sample, phi[rows, chosen], atol=1e-5)
    assert (found.end > found.start).all()
    assert (found.objective_end > found.objective_start).all()
    assert found.inputs.min() >= 0
    assert found.inputs.max() <= 1
    again = model.interpret(found.inputs)["attributes"].values[rows, chosen]
    np.testing.assert_allclose(again, found.end, atol=1e-4)


def test_pixels_leave_the_range_without_clipping_and_a_larger_penalty_holds_them(rng):
    weights = np.full((1, 4, 4, 1), 3.0, "float32")
    encoder, x = linear_encoder((4, 4, 1), weights), np.full((1, 4, 4, 1), 0.5, "float32")
    free = maximise(encoder, x, [0], Maximisation(clip=False, rounds=3, steps=40))
    held = maximise(encoder, x, [0], Maximisation(clip=False, bound=1000, rounds=3, steps=40))
    clipped = maximise(encoder, x, [0], Maximisation(rounds=3, steps=40))
    assert free.inputs.max() > 2
    assert held.inputs.max() < 1.2
    np.testing.assert_allclose(clipped.inputs, 1.0, atol=1e-6)


def test_points_that_are_worse_than_the_best_are_not_kept(rng):
    encoder = linear_encoder((4, 4, 1), 1e-3 * rng.normal(size=(1, 4, 4, 1)).astype("float32"))
    x = np.full((1, 4, 4, 1), 0.5, "float32")  # even, so that every step makes the variation larger
    found = maximise(encoder, x, [0], Maximisation(scale=1.0, variation=1e3, rate=1.0, clip=False, **SHORT))
    np.testing.assert_array_equal(found.inputs, x)
    assert found.objective_end == found.objective_start
    assert found.end == found.start


def test_several_inputs_are_changed_together_and_the_model_is_left_alone(rng):
    inputs = {"image": keras.Input((4, 4, 1), name="image"), "table": keras.Input((3,), name="table")}
    flat = keras.layers.Flatten()(inputs["image"])
    hidden = keras.layers.Dense(6, activation="tanh", name="tap")(keras.layers.Concatenate()([flat, inputs["table"]]))
    f = keras.Model(inputs, keras.layers.Dense(2, activation="softmax", name="y")(keras.layers.Dropout(0.5)(hidden)))
    model = FLINT(f, ["tap"], 4, attribute_activation="softplus", seed=1)  # has a gradient wherever it starts
    before = [keras.ops.convert_to_numpy(v).copy() for v in model.variables]
    x = {"image": rng.random((2, 4, 4, 1)).astype("float32"), "table": rng.random((2, 3)).astype("float32")}
    chosen = model.interpret(x)["attributes"].values.argmax(axis=1)
    found = model.maximise(x, chosen, Maximisation(variation=0.0, **SHORT))  # the attribute alone, so it has to grow
    assert set(found.inputs) == {"image", "table"}
    assert found.inputs["image"].shape == (2, 4, 4, 1)
    assert (found.end > found.start).all()
    assert all(np.abs(found.inputs[name] - 0.3 * x[name]).max() > 0.01 for name in x)
    for old, new in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(new), old)


@pytest.mark.parametrize(
    ("x", "attributes", "text"),
    [
        (np.zeros((0, 2, 2, 1), "float32"), [], "Expected one row or more"),
        (np.zeros((2, 2, 2, 1), "float32"), [0], "for each an attribute from 0 to 0. Received: 2 rows, attributes=.0."),
        (np.zeros((1, 2, 2, 1), "float32"), [1], "an attribute from 0 to 0"),
        (np.zeros((1, 2, 2, 1), "int64"), [0], "samples of finite floating numbers. Received: .'int64'.. Integers"),
        (np.full((1, 2, 2, 1), np.nan, "float32"), [0], "Expected samples of finite floating numbers"),
    ],
)
def test_samples_and_attributes_are_checked(x, attributes, text):
    with pytest.raises(ValueError, match=text):
        maximise(linear_encoder((2, 2, 1), np.ones((1, 2, 2, 1))), x, attributes, Maximisation())


@pytest.mark.parametrize(
    "wrong", [{"rounds": 0}, {"rate": 0.0}, {"bound": -1}, {"scale": float("nan")}, {"low": 1.0, "high": 1.0}]
)
def test_settings_are_checked(wrong):
    with pytest.raises(ValueError, match="Expected finite settings, weights of 0 or more"):
        Maximisation(**wrong)
