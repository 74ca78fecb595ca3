"""The output networks, several streams as inputs, and how initial values are drawn."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.helpers.imv_reference import HEADS, built, hidden_of, maps_of, randomize, read
from xai_mimo.layers import IMVLSTM
from xai_mimo.layers.heads import draw_alike


def train_output(layer, x):
    return ops.convert_to_numpy(ops.stop_gradient(layer(ops.convert_to_tensor(x), training=True)))


def test_dropout_acts_on_the_input_of_phi_in_training_only(rng):
    """With one unit and one variable phi reads two numbers, h_T and g, so that dropping gives four outputs."""
    x = np.repeat(rng.normal(size=(1, 4, 1)).astype("float32"), 2000, axis=0)
    layer, w = built(x, units=1, dropout=0.5)
    still, _, _ = maps_of(layer, x)
    found, counts = np.unique(train_output(layer, x).round(5), return_counts=True)
    (a, b), bias = w["mean_kernel"][0, :, 0], w["mean_bias"][0, 0]
    h, g = known_of(layer, x)
    np.testing.assert_allclose(
        found, np.sort([bias, bias + 2 * a * h, bias + 2 * b * g, 2 * (a * h + b * g) + bias]), atol=1e-4
    )
    assert (counts > 400).all()
    np.testing.assert_allclose(still, a * h + b * g + bias, atol=1e-5)


def known_of(layer, x):
    """h_T and g of the first row."""
    hidden = hidden_of(layer, x[:1])[0, :, 0, 0]
    _, maps, _ = maps_of(layer, x[:1])
    return hidden[-1], maps["temporal_attention"][0, 0, :, 0] @ hidden


def test_dropout_follows_its_seed_and_is_new_at_each_call(rng):
    x = rng.normal(size=(8, 3, 2)).astype("float32")
    layers = [IMVLSTM(3, dropout=0.5, hidden_layer=True, seed=seed) for seed in (1, 1, 2)]
    for layer in layers:
        layer.build(x.shape)
        randomize(layer)
    first, same, other = (train_output(layer, x) for layer in layers)
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 1e-3
    assert np.abs(first - train_output(layers[0], x)).max() > 1e-3


def test_hidden_layer_has_half_the_width_and_is_one_for_mean_and_scale(rng):
    x = rng.normal(size=(2, 4, 3)).astype("float32")
    layer, _ = built(x, units=5, heads=HEADS, output="mixture", hidden_layer=True)
    shapes = {w.name: tuple(w.shape) for w in layer.phi.weights}
    assert shapes == {
        "hidden_kernel": (3, 2, 10, 5),
        "hidden_bias": (3, 2, 5),
        "mean_kernel": (3, 5, 3),
        "mean_bias": (3, 3),
        "scale_kernel": (3, 5, 3),
        "scale_bias": (3, 3),
    }


def test_hidden_layer_is_rectified(rng):
    """With one unit and one variable phi reads h_T and g into one hidden number, here below zero in half of the rows."""
    x = rng.normal(size=(40, 4, 1)).astype("float32")
    layer, w = built(x, units=1, hidden_layer=True)
    read_in = np.stack([known_of(layer, x[i : i + 1]) for i in range(len(x))]) @ w["hidden_kernel"][0, 0, :, 0]
    middle = np.median(read_in)
    layer.phi.hidden_bias.assign(np.full((1, 1, 1), -middle, "float32"))
    found, _, _ = maps_of(layer, x)
    kernel, bias = w["mean_kernel"][0, 0, 0], w["mean_bias"][0, 0]
    np.testing.assert_allclose(found[:, 0], np.maximum(read_in - middle, 0) * kernel + bias, atol=1e-5)
    assert np.ptp(found) > 1e-3


@pytest.mark.parametrize("structure", ["list", "mapping"])
def test_streams_side_by_side_are_one_tensor_of_all_their_variables(structure, rng):
    wind, sun = rng.normal(size=(3, 4, 1)).astype("float32"), rng.normal(size=(3, 4, 2)).astype("float32")
    both = np.concatenate([wind, sun], axis=2)
    whole, _ = built(both, heads=HEADS)
    expected, maps, _ = maps_of(whole, both)
    inputs = {"wind": keras.Input((4, 1), name="wind"), "sun": keras.Input((4, 2), name="sun")}
    layer = IMVLSTM(3, heads=HEADS, stream_names=["wind", "sun"])
    outputs = layer(inputs if structure == "mapping" else list(inputs.values()))
    randomize(layer)
    found, parts, labels = read(keras.Model(inputs, outputs), {"wind": wind, "sun": sun})
    for head in HEADS:
        np.testing.assert_allclose(found[head], expected[head], atol=1e-6)
    prefix = next(iter(parts)).rsplit("/", 1)[0]
    np.testing.assert_allclose(parts[f"{prefix}/attention"], maps["attention"], atol=1e-6)
    coords = labels[f"{prefix}/attention"].coords
    assert coords["feature.stream"] == ("wind", "sun", "sun")
    assert coords["feature"] == ("wind.0", "sun.0", "sun.1")


def test_a_step_counts_where_it_counts_in_every_stream(rng):
    x = rng.normal(size=(2, 4, 1)).astype("float32")
    streams = [keras.Input((4, 1)), keras.Input((4, 1))]
    layer = IMVLSTM(2)
    outputs = layer([keras.layers.Masking()(stream) for stream in streams])
    first, second = x.copy(), x.copy()
    first[0, 3:], second[0, :1] = 0, 0
    _, maps, _ = read(keras.Model(streams, outputs), [first, second])
    mask = next(v for k, v in maps.items() if k.endswith("/mask"))
    np.testing.assert_array_equal(mask, [[0, 1, 1, 0], [1, 1, 1, 1]])


def test_streams_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match="Expected streams with equal leading axes"):
        IMVLSTM(2).build([(None, 4, 1), (None, 5, 1)])
    with pytest.raises(ValueError, match="Expected streams whose variables all have as many values at one step"):
        IMVLSTM(2).build([(None, 4, 1, 2), (None, 4, 1, 3)])
    with pytest.raises(ValueError, match=r"Expected one name per stream, 2 of them. Received: stream_names=\['a'\]"):
        IMVLSTM(2, stream_names=["a"]).build([(None, 4, 1), (None, 4, 1)])


@pytest.mark.parametrize("initializer", ["glorot_uniform", "he_normal", "lecun_uniform"])
def test_parts_drawn_together_spread_like_parts_drawn_alone(initializer):
    together = draw_alike(keras.initializers.get(initializer), (6, 3), 2000)
    alone = keras.initializers.get(initializer)((6, 3))
    assert together.shape == (2000, *alone.shape)
    values = ops.convert_to_numpy(together)
    variance = {"glorot_uniform": 2 / 9, "he_normal": 2 / 6, "lecun_uniform": 1 / 6}[initializer]
    np.testing.assert_allclose(values.var(), variance, rtol=0.03)
    assert abs(np.corrcoef(values[:-1].ravel(), values[1:].ravel())[0, 1]) < 0.02


def test_parts_follow_an_integer_seed_and_differ_from_each_other():
    initializer = keras.initializers.GlorotUniform(seed=5)
    first, again = (ops.convert_to_numpy(draw_alike(initializer, (4, 3), 2)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(np.concatenate([first, draw_alike(initializer, (4, 3), 2, first=2)]))) == 4 * 12
    orthogonal = ops.convert_to_numpy(draw_alike(keras.initializers.Orthogonal(seed=1), (3, 3), 2))
    for part in orthogonal:
        np.testing.assert_allclose(part @ part.T, np.eye(3), atol=1e-5)
    assert np.abs(orthogonal[0] - orthogonal[1]).max() > 0.1
