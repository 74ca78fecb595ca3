"""IMV-LSTM against its slow equations, Keras' LSTM as a special case, and symmetries of its maps."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from tests.helpers.imv_reference import HEADS, VARIANTS, built, compiled, hidden_of, maps_of, read, run_row


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"variant": "full"},
        {"output": "mixture", "heads": HEADS, "logit_activation": "linear"},
        {"variant": "full", "output": "mixture", "heads": [2, 1], "share_output": True, "attend_last": True},
        {"output": "mixture", "heads": HEADS, "hidden_layer": True, "dropout": 0.5},
        {"heads": [2, 1], "hidden_layer": True, "share_output": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("values", [1, 2])
@pytest.mark.parametrize("masked", [False, True])
def test_layer_and_maps_equal_the_slow_equations(options, values, masked, rng):
    x = rng.normal(size=(4, 5, 3) if values == 1 else (4, 5, 3, values)).astype("float32")
    mask = None
    real = np.ones((4, 5), bool)
    if masked:
        mask = real = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [0, 1, 0, 0, 0]], bool)
    layer, weights = built(x, **options)
    outputs, maps, _ = maps_of(layer, x, mask)
    packed = keras.tree.flatten(outputs) if not isinstance(outputs, dict) else [outputs[name] for name in HEADS]
    rows = x.astype("float64")[..., None] if values == 1 else x.astype("float64")
    for b in range(4):
        _, alpha, prior, means, scales = run_row(layer, weights, rows[b], real[b])
        np.testing.assert_allclose(maps["temporal_attention"][b], alpha, atol=1e-5)
        np.testing.assert_allclose(maps["variable_attention"][b], prior, atol=1e-5)
        np.testing.assert_allclose(maps["attention"][b], (alpha * prior[:, None]).transpose(1, 0, 2), atol=1e-5)
        np.testing.assert_allclose(maps["mean"][b], np.concatenate(means, axis=1).T, atol=1e-5)
        terms = [mean.T * prior[j] for j, mean in enumerate(means)]
        np.testing.assert_allclose(maps["contribution"][b], np.concatenate(terms), atol=1e-5)
        if scales:
            np.testing.assert_allclose(maps["variance"][b], np.concatenate(scales, axis=1).T ** 2, atol=1e-5)
        for j, output in enumerate(packed):
            expected = terms[j].sum(axis=1)
            if scales:
                expected = np.concatenate([np.log(prior[j])[:, None], means[j], scales[j]], axis=1)
            np.testing.assert_allclose(output[b], expected, atol=1e-5)


def test_each_row_of_imv_tensor_is_a_keras_lstm(rng):
    x = rng.normal(size=(3, 6, 4)).astype("float32")
    layer, _ = built(x, units=5)
    ours = hidden_of(layer, x)
    for n in range(4):
        peer = keras.layers.LSTM(5, return_sequences=True)
        peer.build((3, 6, 1))
        cell = layer.cell
        peer.set_weights([ops.convert_to_numpy(w)[n] for w in (cell.kernel, cell.recurrent_kernel, cell.bias)])
        theirs = ops.convert_to_numpy(ops.stop_gradient(compiled(peer.call)(ops.convert_to_tensor(x[..., n : n + 1]))))
        np.testing.assert_allclose(ours[:, :, n], theirs, atol=1e-6)


def test_with_one_variable_full_and_tensor_and_lstm_are_the_same(rng):
    x = rng.normal(size=(3, 6, 1)).astype("float32")
    tensor, w = built(x, units=4)
    full, _ = built(x, units=4, variant="full")
    i, f, j, o = (slice(4 * g, 4 * g + 4) for g in range(4))
    kernel, recurrent, bias = w["cell.kernel"][0], w["cell.recurrent_kernel"][0], w["cell.bias"][0]

    def gates(values):
        return np.concatenate([values[..., gate] for gate in (i, f, o)], axis=-1)

    parts = [kernel[None, :, j], recurrent[None, :, j], bias[None, j], gates(kernel), gates(recurrent), gates(bias)]
    names = ("kernel", "recurrent_kernel", "bias", "gate_kernel", "gate_recurrent_kernel", "gate_bias")
    for name, value in zip(names, parts, strict=True):
        getattr(full.cell, name).assign(value)
    np.testing.assert_allclose(hidden_of(tensor, x), hidden_of(full, x), atol=1e-6)


def test_another_variable_changes_nothing_in_imv_tensor_and_something_in_imv_full(rng):
    x = rng.normal(size=(4, 6, 3)).astype("float32")
    changed = x.copy()
    changed[..., 1] += rng.normal(size=(4, 6))
    others = [0, 2]
    seen = {}
    for variant in VARIANTS:
        layer, _ = built(x, variant=variant, output="mixture")
        _, before, _ = maps_of(layer, x)
        _, after, _ = maps_of(layer, changed)
        names = ("temporal_attention", "mean", "variance")
        seen[variant] = [np.abs(before[k][..., others] - after[k][..., others]).max() for k in names]
        moved = np.abs(hidden_of(layer, x) - hidden_of(layer, changed))[:, :, others].max()
        seen[variant].append(moved)
        assert np.abs(before["variable_attention"] - after["variable_attention"]).max() > 1e-4
    assert seen["tensor"] == [0.0] * 4  # bit-equal
    assert min(seen["full"]) > 1e-4


@pytest.mark.parametrize("variant", VARIANTS)
def test_permuting_variables_with_their_weights_permutes_the_maps(variant, rng):
    x = rng.normal(size=(3, 5, 4)).astype("float32")
    order = np.array([2, 0, 3, 1])
    layer, w = built(x, variant=variant, output="mixture")
    other, _ = built(x[..., order], variant=variant, output="mixture")
    units = (order[:, None] * 3 + np.arange(3)).ravel()
    gates = np.concatenate([units + g * 12 for g in range(3)])
    for weight in other.weights:
        value = w[f"cell.{weight.name}" if "cell" in weight.path else weight.name]
        if weight.name == "gate_kernel":
            value = value[order][:, gates]
        elif weight.name == "gate_recurrent_kernel":
            value = value[units][:, gates]
        elif weight.name == "gate_bias":
            value = value[gates]
        elif weight.name.startswith("temporal"):
            value = value[:, order]
        elif not weight.name.startswith("variable"):
            value = value[order]
        weight.assign(value)
    first, maps, _ = maps_of(layer, x)
    second, permuted, _ = maps_of(other, x[..., order])
    for name, values in maps.items():
        np.testing.assert_allclose(values[..., order], permuted[name], atol=1e-6, err_msg=name)
    np.testing.assert_allclose(first[:, order], second, atol=1e-6)
    np.testing.assert_allclose(maps["contribution"].sum(-1), permuted["contribution"].sum(-1), atol=1e-6)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.1, 1.0, 30.0]))
def test_weights_sum_to_one_and_keep_the_bounds_of_tanh(seed, scale):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(2, 4, 3)) * scale).astype("float32")
    layer, w = built(x, seed, heads=HEADS, units=2)
    layer.variable_kernel.assign(w["variable_kernel"] * scale)
    outputs, maps, _ = maps_of(layer, x)
    alpha, pi = maps["temporal_attention"], maps["variable_attention"]
    np.testing.assert_allclose(alpha.sum(axis=2), 1, atol=1e-5)
    np.testing.assert_allclose(pi.sum(axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(maps["attention"].sum(axis=(1, 3)), 1, atol=1e-5)
    assert (alpha[:, :, -1] == 0).all()
    e = np.e
    for weights, n in ((pi, 3), (alpha[:, :, :-1], 3)):
        assert (weights >= (1 / e) / (1 / e + (n - 1) * e) - 1e-6).all()
        assert (weights <= e / (e + (n - 1) / e) + 1e-6).all()
    means = maps["mean"]
    made = np.concatenate([outputs["load"], outputs["forces"]], axis=1)
    np.testing.assert_allclose(maps["contribution"].sum(-1), made, rtol=1e-5, atol=1e-5)
    slack = 1e-5 * (1 + np.abs(means).max())
    assert (made >= means.min(-1) - slack).all()
    assert (made <= means.max(-1) + slack).all()


def test_linear_logits_may_leave_the_bounds_of_tanh(rng):
    x = rng.normal(size=(4, 5, 3)).astype("float32")
    layer, w = built(x, logit_activation="linear")
    layer.variable_kernel.assign(w["variable_kernel"] * 30)
    _, maps, _ = maps_of(layer, x)
    assert maps["variable_attention"].max() > 0.95 > np.e / (np.e + 2 / np.e)


@pytest.mark.parametrize("variant", VARIANTS)
def test_padding_on_either_side_changes_nothing(variant, rng):
    short = rng.normal(size=(3, 4, 2)).astype("float32")
    layer, _ = built(short, variant=variant)
    plain, wanted, _ = maps_of(layer, short)
    noise = rng.normal(size=(3, 2, 2)).astype("float32")
    real = np.ones((3, 4), bool)
    for left in (True, False):
        parts = [noise, short] if left else [short, noise]
        masks = [~real[:, :2], real] if left else [real, ~real[:, :2]]
        padded, maps, labels = maps_of(layer, np.concatenate(parts, axis=1), np.concatenate(masks, axis=1))
        np.testing.assert_allclose(padded, plain, atol=1e-6)
        own, rest = (slice(2, 6), slice(0, 2)) if left else (slice(0, 4), slice(4, 6))
        alpha = maps["temporal_attention"]
        np.testing.assert_allclose(alpha[:, :, own], wanted["temporal_attention"], atol=1e-6)
        assert (alpha[:, :, rest] == 0).all()
        assert labels["temporal_attention"].coords["time"] == tuple(f"step {t}" for t in range(1, 7))
        np.testing.assert_array_equal(maps["mask"], np.concatenate(masks, axis=1))


def test_a_mask_of_keras_masking_reaches_the_layer_and_stops_there(rng):
    x = rng.normal(size=(2, 4, 2)).astype("float32")
    x[0, 2:] = 0
    layer, _ = built(x)
    inputs = keras.Input((4, 2))
    outputs = layer(keras.layers.Masking()(inputs))
    _, maps, _ = read(keras.Model(inputs, keras.layers.Dense(1)(outputs)), x)
    alpha = next(v for k, v in maps.items() if k.endswith("temporal_attention"))
    assert (alpha[0, :, 1:] == 0).all()
    np.testing.assert_allclose(alpha[0, :, 0], 1)
    assert (alpha[1, :, :3] > 0).all()


def test_rows_with_one_or_no_real_step_are_finite(rng):
    x = rng.normal(size=(2, 3, 2)).astype("float32")
    layer, _ = built(x)
    outputs, maps, _ = maps_of(layer, x, np.array([[0, 0, 1], [0, 0, 0]], bool))
    np.testing.assert_array_equal(maps["temporal_attention"][0, 0], [[0, 0], [0, 0], [1, 1]])
    assert np.isfinite(outputs).all()
    single, maps, _ = maps_of(layer, x[:, :1])
    np.testing.assert_allclose(maps["temporal_attention"], 1)
    assert np.isfinite(single).all()


def test_rows_do_not_see_each_other(rng):
    x = rng.normal(size=(5, 4, 3)).astype("float32")
    layer, _ = built(x)
    outputs, _, _ = maps_of(layer, x)
    for b in (0, 4):
        alone, _, _ = maps_of(layer, x[b : b + 1])
        np.testing.assert_allclose(alone, outputs[b : b + 1], atol=1e-6)
