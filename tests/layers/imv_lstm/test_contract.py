"""IMV-LSTM as a Keras layer: labels, shapes, saving, initial values, dtype policies."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.helpers.imv_reference import HEADS, VARIANTS, built, maps_of
from xai_mimo.layers import IMVLSTM, IMVFullCell, IMVTensorCell, MixtureNLL
from xai_mimo.testing import check_layer


def test_labels_name_heads_units_variables_and_lags(rng):
    x = rng.normal(size=(2, 3, 2)).astype("float32")
    layer, _ = built(x, heads=HEADS, feature_names=["wind", "sun"], stream_names=["weather"])
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
        hidden_layer=True,
        dropout=0.25,
        seed=7,
        unit_forget_bias=False,
        min_scale=0.1,
        feature_names=["x", "y", "z"],
        stream_names=["u"],
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
    assert len(loaded.losses) == len(model.losses) == {"tensor": 3, "full": 6}[variant] + 3


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
    maps = {"temporal_attention": per_step, "variable_attention": per_head, "attention": ("time", "head", "feature")}
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
    jit = keras.backend.backend() != "torch"  # there it takes a minute, see the slow test
    losses = {"load": MixtureNLL(), "forces": MixtureNLL()}
    model.compile(keras.optimizers.Adam(0.02), losses, jit_compile=jit)
    history = model.fit(x, y, epochs=6, batch_size=32, verbose=0).history
    assert history["load_loss"][-1] < history["load_loss"][0]
    assert history["forces_loss"][-1] < history["forces_loss"][0]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch warns of each place where it breaks the graph
def test_compiled_training_gives_the_losses_of_uncompiled_training(rng):
    """XLA on JAX and TensorFlow; ``torch.compile`` on PyTorch, which needs a C++ compiler."""
    x = rng.normal(size=(32, 2, 2)).astype("float32")
    losses = {}
    for jit in (True, False):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((2, 2))
        model = keras.Model(inputs, IMVLSTM(2, output="mixture")(inputs))
        model.compile(keras.optimizers.Adam(0.02), MixtureNLL(), jit_compile=jit)
        assert model.jit_compile == jit
        losses[jit] = model.fit(x, x[:, -1, :1], epochs=3, batch_size=32, shuffle=False, verbose=0).history["loss"]
    np.testing.assert_allclose(losses[True], losses[False], rtol=1e-4)
    assert losses[True][-1] < losses[True][0]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"units": 0}, "Expected `units` to be an integer of 1 or more. Received: units=0"),
        ({"variant": "half"}, "Expected `variant` to be one of 'tensor', 'full'. Received: variant='half'"),
        ({"output": "both"}, "Expected `output` to be one of 'prediction', 'mixture'"),
        ({"logit_activation": "relu"}, "Expected `logit_activation` to be one of 'tanh', 'linear'"),
        ({"dropout": 1.0}, "Expected `dropout` to be a rate from 0 to below 1. Received: dropout=1.0"),
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
