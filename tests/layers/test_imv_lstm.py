import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from tests.layers.imv_reference import compiled, randomize, read, run_row
from xai_mimo.layers import IMVLSTM, IMVFullCell, IMVTensorCell, MixtureNLL
from xai_mimo.testing import check_layer

VARIANTS = ("tensor", "full")
HEADS = {"load": 1, "forces": 2}


def maps_of(layer, x, mask=None):
    """Outputs and maps by their short name."""
    inputs = keras.Input(x.shape[1:])
    masks = keras.Input(x.shape[1:2], dtype="bool")
    if mask is None:
        outputs, maps, labels = read(keras.Model(inputs, layer(inputs)), x)
    else:
        outputs, maps, labels = read(keras.Model([inputs, masks], layer(inputs, mask=masks)), [x, mask])
    return (
        outputs,
        {k.rsplit("/", 1)[1]: v for k, v in maps.items()},
        {k.rsplit("/", 1)[1]: v for k, v in labels.items()},
    )


def hidden_of(layer, x):
    """The hidden matrices ``(B, T, N, d)``."""
    sequence = ops.convert_to_tensor(x[..., None] if x.ndim == 3 else x)
    flat = ops.convert_to_numpy(ops.stop_gradient(compiled(lambda tensor: layer.rnn(tensor))(sequence)))
    return flat.reshape(*flat.shape[:2], layer.cell.num_variables, layer.units)


def built(x, seed=0, **settings):
    layer = IMVLSTM(settings.pop("units", 3), **settings)
    layer.build(x.shape)
    return layer, randomize(layer, seed)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"variant": "full"},
        {"output": "mixture", "heads": HEADS, "logit_activation": "linear"},
        {"variant": "full", "output": "mixture", "heads": [2, 1], "share_output": True, "attend_last": True},
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
        np.testing.assert_allclose(maps["attention"][b], alpha * prior[:, None], atol=1e-5)
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
    np.testing.assert_allclose(maps["attention"].sum(axis=(2, 3)), 1, atol=1e-5)
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


def test_labels_name_heads_units_variables_and_lags(rng):
    x = rng.normal(size=(2, 3, 2)).astype("float32")
    layer, _ = built(x, heads=HEADS, feature_names=["wind", "sun"], stream_name="weather")
    _, _, labels = maps_of(layer, x)
    step = labels["temporal_attention"]
    assert step.axes == ("head", "time", "feature")
    assert step.coords == {
        "head": ("load", "forces"),
        "feature": ("wind", "sun"),
        "feature.stream": ("weather", "weather"),
        "time": ("lag 3", "lag 2", "lag 1"),
    }
    unit = labels["contribution"]
    assert unit.axes == ("target", "feature")
    assert unit.coords["target.head"] == ("load", "forces", "forces")
    assert unit.coords["target.unit"] == ("0", "0", "1")
    assert set(labels["variable_attention"].coords) == {"head", "feature", "feature.stream"}


@pytest.mark.parametrize(
    ("heads", "output", "shape"),
    [
        (None, "prediction", (None, 1)),
        ([2, 3], "prediction", [(None, 2), (None, 3)]),
        (HEADS, "mixture", {"load": (None, 3, 3), "forces": (None, 3, 5)}),
    ],
)
def test_outputs_are_packed_as_the_heads_were_given(heads, output, shape):
    layer = IMVLSTM(4, heads=heads, output=output)
    assert layer.compute_output_shape((None, 6, 3)) == shape
    made = layer(keras.Input((6, 3)))
    assert keras.tree.map_structure(lambda t: tuple(t.shape), made) == shape


@pytest.mark.parametrize("variant", VARIANTS)
def test_save_and_load_keep_outputs_and_settings(variant, rng, tmp_path):
    x = rng.normal(size=(2, 4, 3)).astype("float32")
    inputs = keras.Input((4, 3))
    layer = IMVLSTM(
        3,
        variant,
        {"a": 1, "b": 2},
        output="mixture",
        attend_last=True,
        logit_activation="linear",
        share_output=True,
        unit_forget_bias=False,
        min_scale=0.1,
        feature_names=["x", "y", "z"],
        stream_name="u",
        cell_regularizer="l2",
        output_regularizer="l1",
    )
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    again = next(found for found in loaded.layers if isinstance(found, IMVLSTM))
    assert again.get_config() == layer.get_config()
    for head in ("a", "b"):
        np.testing.assert_allclose(loaded.predict(x, verbose=0)[head], model.predict(x, verbose=0)[head], atol=1e-6)
    assert len(loaded.losses) == len(model.losses) == {"tensor": 3, "full": 6}[variant] + 2


@pytest.mark.parametrize("cell", [IMVTensorCell, IMVFullCell])
def test_cells_run_under_keras_rnn_and_keep_their_settings(cell, rng):
    made = cell(3, 2, unit_forget_bias=False, regularizer="l2")
    assert cell.from_config(made.get_config()).get_config() == made.get_config()
    x = rng.normal(size=(2, 4, 3)).astype("float32")
    output, h, c = keras.layers.RNN(made, return_state=True)(ops.convert_to_tensor(x))
    assert tuple(output.shape) == tuple(h.shape) == tuple(c.shape) == (2, 6)


def test_parameter_counts_are_those_of_the_paper():
    for d0 in (1, 3):
        tensor, full = IMVTensorCell(4, 6), IMVFullCell(4, 6)
        tensor.build((None, 4, d0))
        full.build((None, 4, d0))
        assert tensor.count_params() == 4 * (4 * 36 + 4 * 6 * d0 + 24)
        assert full.count_params() == (4 * 36 + 4 * 6 * d0 + 24) + 3 * 24 * (4 * d0 + 24 + 1)


def test_initial_values_have_the_fans_of_one_variable_and_gate_and_a_unit_forget_bias():
    cell = IMVTensorCell(5, 8, kernel_initializer=keras.initializers.GlorotUniform(seed=1))
    cell.build((None, 5))
    kernel = ops.convert_to_numpy(cell.kernel)
    assert 0.8 * np.sqrt(6 / 9) < np.abs(kernel).max() <= np.sqrt(6 / 9)
    assert len(np.unique(kernel)) == kernel.size  # no two variables or gates start alike
    bias = ops.convert_to_numpy(cell.bias)
    np.testing.assert_array_equal(bias, np.tile(np.repeat([0.0, 1.0, 0.0, 0.0], 8), (5, 1)))
    full = IMVFullCell(2, 3)
    full.build((None, 2))
    np.testing.assert_array_equal(ops.convert_to_numpy(full.gate_bias), np.repeat([0.0, 1.0, 0.0], 6))


@pytest.mark.parametrize("variant", VARIANTS)
def test_layer_keeps_the_contract_of_self_explaining_layers(variant, rng):
    per_head, per_step, per_unit = ("head", "feature"), ("head", "time", "feature"), ("target", "feature")
    maps = {"temporal_attention": per_step, "variable_attention": per_head, "attention": per_step}
    maps |= {"mean": per_unit, "contribution": per_unit, "variance": per_unit}
    x = rng.normal(size=(3, 4, 2)).astype("float32")
    check_layer(lambda: IMVLSTM(2, variant, HEADS, output="mixture"), x, maps=maps, dtypes=("float32",))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype")  # JAX computes in float32 unless told otherwise
def test_dtype_policies_reach_outputs_and_stay_near_float32(policy, rng):
    x = rng.normal(size=(3, 4, 2)).astype("float32")
    reference, _ = built(x)
    layer, _ = built(x, dtype=policy)
    exact, _, _ = maps_of(reference, x)
    outputs, maps, _ = maps_of(layer, x)
    np.testing.assert_allclose(outputs.astype("float64"), exact, atol=0.05)
    assert maps["variable_attention"].dtype in (np.float32, np.float64)
    made = layer(ops.convert_to_tensor(x))
    if keras.backend.backend() != "jax" or policy != "float64":
        assert keras.backend.standardize_dtype(made.dtype) == layer.compute_dtype


def test_fit_lowers_the_loss_of_every_head_when_compiled_by_xla(rng):
    x = rng.normal(size=(64, 5, 3)).astype("float32")
    y = {"load": x[:, -1, :1], "forces": x[:, -2, 1:]}
    inputs = keras.Input((5, 3))
    keras.utils.set_random_seed(0)
    model = keras.Model(inputs, IMVLSTM(4, heads=HEADS, output="mixture")(inputs))
    jit = keras.backend.backend() != "torch"  # torch compiles elsewhere and for minutes
    losses = {"load": MixtureNLL(), "forces": MixtureNLL()}
    model.compile(keras.optimizers.Adam(0.02), losses, jit_compile=jit)
    history = model.fit(x, y, epochs=6, batch_size=32, verbose=0).history
    assert history["load_loss"][-1] < history["load_loss"][0]
    assert history["forces_loss"][-1] < history["forces_loss"][0]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"units": 0}, "Expected `units` to be an integer of 1 or more. Received: units=0"),
        ({"variant": "half"}, "Expected `variant` to be one of 'tensor', 'full'. Received: variant='half'"),
        ({"output": "both"}, "Expected `output` to be one of 'prediction', 'mixture'"),
        ({"logit_activation": "relu"}, "Expected `logit_activation` to be one of 'tanh', 'linear'"),
        ({"min_scale": 0}, "Expected `min_scale` to be positive and finite. Received: min_scale=0"),
        ({"heads": {"a": 0}}, "the width of head 'a' to be an integer of 1 or more"),
        ({"heads": {}}, "Expected at least one head"),
        ({"feature_names": ["a", "a"]}, "Expected `feature_names` without duplicates"),
    ],
)
def test_arguments_are_checked(settings, text):
    with pytest.raises(ValueError, match=text):
        IMVLSTM(**{"units": 2} | settings)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"Expected inputs of shape \(batch, time, variables\)"):
        IMVLSTM(2).build((None, 3))
    with pytest.raises(ValueError, match="with the last axes of fixed length"):
        IMVLSTM(2).build((None, 3, None))
    with pytest.raises(ValueError, match="Expected 3 feature names, one per variable"):
        IMVLSTM(2, feature_names=["a"]).build((None, 4, 3))
    with pytest.raises(ValueError, match=r"Expected steps of shape \(batch, 3\)"):
        IMVTensorCell(3, 2).build((None, 4))
    with pytest.raises(ValueError, match="Expected `num_variables` to be an integer"):
        IMVFullCell(0, 2)
