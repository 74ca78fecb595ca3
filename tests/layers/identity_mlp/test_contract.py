"""The identity-initialised MLP as a Keras layer: shapes, names, scaling, settings, dtypes, files, interception."""

import keras
import numpy as np
import pytest
from keras import ops

import xai_mimo as xm
from tests.helpers.frameworks import needs
from tests.helpers.identity_by_hand import HEADS, built, maps_of, randomize, trained, weights_of
from xai_mimo.layers import IdentityMLP
from xai_mimo.testing import check_backends, check_layer

UNITS = ("bias", "clip_residual", "direct_bias", "direct_clip_residual")
WEIGHTS = ("deviation", "diagonal", "off_diagonal")
LAYERS = ("layer", "target"), ("layer", "class"), ("target", "score")


def axes_of_maps(*leading):
    """Axes of every map, with these axes of the input in front of its last one."""
    maps = dict.fromkeys(("change", "increment"), (*leading, "layer", "feature"))
    maps |= dict.fromkeys(("contribution", "direct_contribution"), (*leading, "target", "feature"))
    maps |= dict(zip(("score", "class_likelihood", "score_contribution"), LAYERS, strict=True))
    return maps | dict.fromkeys(UNITS, ("target",)) | dict.fromkeys(WEIGHTS, ("layer",))


def test_layer_keeps_the_contract_of_self_explaining_layers(rng):
    x = rng.uniform(-1, 1, size=(3, 4)).astype("float32")
    check_layer(lambda: IdentityMLP(depth=2, heads=HEADS, regression=["load"]), x, maps=axes_of_maps())


def test_layer_for_images_keeps_the_contract(rng):
    x = rng.uniform(0, 9, size=(2, 3, 2, 2)).astype("float32")
    maps = axes_of_maps("height", "width")
    check_layer(lambda: IdentityMLP(3, 2, scale=(0, 9), scale_to=0.9), x, maps=maps, dtypes=("float32",))


@needs("jax", "tensorflow", "torch")
@pytest.mark.slow
@pytest.mark.all_frameworks
def test_three_backends_give_the_same_maps_and_gradients_at_the_kinks_too(rng):
    x = rng.uniform(-1, 1, size=(4, 3)).astype("float32")
    x[0] = (-1.0, 1.0, 0.0)
    check_backends(built(x)[0], x)
    adapted = IdentityMLP(2, 3, "leaky_relu", class_activation="linear", scale="adapt")
    adapted.adapt(x)
    randomize(adapted)
    check_backends(adapted, x)


def test_labels_name_layers_heads_units_and_features(rng):
    x = rng.uniform(-1, 1, size=(2, 2)).astype("float32")
    layer, _, _ = built(x, feature_names=["wind", "sun"], stream_name="weather", depth=3)
    _, _, labels = maps_of(layer, x)
    features = {"feature": ("wind", "sun"), "feature.stream": ("weather", "weather")}
    targets = {
        "target.head": ("kind", "kind", "kind", "load", "load"),
        "target.unit": ("0", "1", "2", "0", "1"),
    }
    assert labels["change"].coords == {"layer": ("1", "2", "3")} | features
    assert labels["contribution"].coords == targets | features
    assert labels["bias"].coords == targets
    assert labels["score_contribution"].coords["score.head"] == targets["target.head"]


@pytest.mark.parametrize(
    ("shape", "leading"),
    [
        ((3, 2), ("height",)),
        ((3, 2, 2), ("height", "width")),
        ((2, 2, 2, 1), ("axis_1", "axis_2", "axis_3")),
    ],
)
def test_images_are_flattened_and_put_back_in_every_map(shape, leading, rng):
    x = rng.uniform(-1, 1, size=(4, *shape)).astype("float32")
    flat, image = IdentityMLP(2, 3), IdentityMLP(2, 3)
    flat.build((None, int(np.prod(shape))))
    image.build(x.shape)
    randomize(flat)
    randomize(image)
    expected, maps, _ = maps_of(flat, x.reshape(4, -1))
    outputs, found, labels = maps_of(image, x)
    np.testing.assert_array_equal(outputs, expected)
    for name in ("change", "increment", "contribution", "direct_contribution"):
        assert labels[name].axes[: len(leading)] == leading
        back = np.moveaxis(found[name], -2, 1).reshape(maps[name].shape)
        np.testing.assert_array_equal(back, maps[name])


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        ({"num_classes": 4}, (None, 4)),
        ({"heads": [2, 3]}, [(None, 2), (None, 3)]),
        ({"heads": HEADS}, {"kind": (None, 3), "load": (None, 2)}),
    ],
)
def test_outputs_are_packed_as_the_heads_were_given(settings, shape):
    layer = IdentityMLP(depth=2, **settings)
    assert layer.compute_output_shape((None, 3)) == shape
    made = layer(keras.Input((3,)))
    assert keras.tree.map_structure(lambda t: tuple(t.shape), made) == shape


def test_adapt_maps_each_feature_to_its_own_range(rng, tmp_path):
    data = rng.uniform(size=(50, 3)) * [1.0, 100.0, 0.0] + [5.0, -30.0, 7.0]
    layer = IdentityMLP(2, 2, scale="adapt", scale_to=0.9)
    layer.adapt(data)
    randomize(layer)
    rows = data[:6].astype("float32")
    low, high = data.min(axis=0), data.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    scaled = np.where(high > low, 0.9 * (2 * (rows - low) / span - 1), 0.0).astype("float32")
    plain = IdentityMLP(2, 2)
    plain.build((None, 3))
    randomize(plain)
    expected, maps, _ = maps_of(plain, scaled)
    outputs, found, _ = maps_of(layer, rows)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    np.testing.assert_allclose(found["change"], maps["change"], atol=1e-5)
    assert {w.name for w in layer.non_trainable_weights} == {"low", "high"}
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(rows, verbose=0), model.predict(rows, verbose=0))


def test_declared_range_is_that_of_all_features(rng):
    pixels = rng.integers(0, 256, size=(4, 3)).astype("float32")
    declared, _, _ = built(pixels, scale=(0, 255))
    plain, _, _ = built(pixels)
    ours, theirs = maps_of(declared, pixels)[0], maps_of(plain, pixels / 127.5 - 1)[0]
    for head in HEADS:
        np.testing.assert_allclose(ours[head], theirs[head], atol=1e-5)


def test_layer_that_was_not_adapted_gives_nan():
    outputs = IdentityMLP(2, 2, scale="adapt")(ops.ones((1, 3)))
    assert np.isnan(ops.convert_to_numpy(outputs)).all()


@pytest.mark.parametrize(
    ("settings", "data", "text"),
    [
        ({}, np.ones((2, 3)), r"Expected a layer with scale='adapt'. Received: adapt\(\) with scale='none'"),
        ({"scale": "adapt"}, np.ones((0, 3)), "Expected one row or more of finite data. Received: 0 rows"),
        ({"scale": "adapt"}, np.full((2, 3), np.nan), "Received: 2 rows, 6 values that are not finite"),
    ],
)
def test_adapt_checks_its_data(settings, data, text):
    with pytest.raises(ValueError, match=text):
        IdentityMLP(2, 2, **settings).adapt(data)


def test_adapt_wants_rows_of_the_shape_that_the_layer_was_built_for():
    layer = IdentityMLP(2, 2, scale="adapt")
    layer.build((None, 4))
    with pytest.raises(ValueError, match=r"Expected rows of shape \(4,\). Received: rows of \(3,\)"):
        layer.adapt(np.ones((2, 3)))


def test_all_settings_survive_the_file(rng, tmp_path):
    x = rng.uniform(size=(4, 2)).astype("float32")
    layer = IdentityMLP(
        depth=3,
        activation="tanh",
        alpha=0.9,
        class_activation="linear",
        heads=HEADS,
        regression=["load"],
        scale=(0, 1),
        scale_to=0.8,
        initializer=keras.initializers.Orthogonal(seed=3),
        identity_penalty=0.1,
        feature_names=["a", "b"],
        stream_name="u",
    )
    inputs = keras.Input((2,))
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    again = next(found for found in loaded.layers if isinstance(found, IdentityMLP))
    assert again.get_config() == layer.get_config()
    before, after = maps_of(model, x)[1], maps_of(loaded, x)[1]
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values)


def test_other_initializers_draw_each_layer_anew():
    layer = IdentityMLP(2, 3, initializer=keras.initializers.Orthogonal(seed=1))
    layer.build((None, 4))
    kernel = weights_of(layer)["kernel"]
    for matrix in kernel:
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(6), atol=1e-5)
    assert np.abs(kernel[0] - kernel[1]).max() > 0.1


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_maps_are_float32_and_complete_to_the_precision_of_the_policy(policy, rng):
    x = rng.uniform(-1, 1, size=(3, 4)).astype("float32")
    layer, _, _ = built(x, dtype=policy, num_classes=3, heads=None)
    _, maps, _ = maps_of(layer, x)
    assert {values.dtype for values in maps.values()} == {np.dtype("float32")}
    whole = maps["contribution"].sum(-1) + maps["bias"] + maps["clip_residual"]
    np.testing.assert_allclose(whole, maps["score"][:, -1], atol=0.05)


def test_intercept_names_every_map_and_shows_the_deviation_beside_it(rng):
    x = rng.uniform(-1, 1, size=(4, 3)).astype("float32")
    layer, _, _ = built(x, num_classes=2, heads=None, name="mlp", stream_name="u")
    inputs = keras.Input((3,), name="u")
    found = xm.intercept(keras.Model(inputs, layer(inputs)), x)
    assert found["mlp/change"].dims == ("sample", "mlp_layer", "mlp_feature")
    assert found["mlp/deviation"].dims == ("sample", "mlp_layer")
    assert list(found["mlp_layer"].values) == ["1", "2", "3", "4"]
    np.testing.assert_allclose(found["mlp/contribution"], maps_of(layer, x)[1]["contribution"], atol=1e-6)


def test_fit_lowers_the_loss_of_every_head_when_compiled_by_xla(rng):
    x = rng.uniform(-1, 1, size=(64, 3)).astype("float32")
    y = {"kind": (x[:, 0] > 0).astype(int), "load": x[:, 1:]}
    layer = IdentityMLP(depth=3, heads=HEADS, regression=["load"])
    start = trained(x, y, layer, epochs=1, loss=losses()).evaluate(x, y, verbose=0, return_dict=True)
    model = trained(x, y, layer, epochs=5, loss=losses())
    after = model.evaluate(x, y, verbose=0, return_dict=True)
    assert after["kind_loss"] < start["kind_loss"]
    assert after["load_loss"] < start["load_loss"]


def losses():
    return {"kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "load": "mse"}


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "Expected one of `num_classes` and `heads`. Received: num_classes=None, heads=None"),
        ({"num_classes": 2, "heads": [2]}, "Expected one of `num_classes` and `heads`"),
        ({"num_classes": 0}, "Expected `num_classes` to be an integer of 1 or more. Received: num_classes=0"),
        ({"heads": {"a": 0}}, "the width of head 'a' to be an integer of 1 or more"),
        ({"num_classes": 2, "depth": 0}, "Expected `depth` to be an integer of 1 or more. Received: depth=0"),
        ({"num_classes": 2, "alpha": 0}, "Expected `alpha` to be finite and not zero. Received: alpha=0"),
        ({"num_classes": 2, "class_activation": "tanh"}, "Expected `class_activation` to be one of 'hidden_same'"),
        ({"heads": HEADS, "regression": ["lod"]}, r"Expected `regression` to name heads of \['kind', 'load'\]"),
        (
            {"num_classes": 2, "scale": "minmax"},
            "Expected `scale` to be 'none', 'adapt' or .low, high. with low < high",
        ),
        ({"num_classes": 2, "scale": 255}, "or .low, high. with low < high. Received: scale=255"),
        ({"num_classes": 2, "scale": (1, 1)}, "Expected `scale` to be 'none', 'adapt' or .low, high. with low < high"),
        (
            {"num_classes": 2, "scale_to": 2.0},
            r"Expected `scale_to` to be finite and in \(0, 1\]. Received: scale_to=2",
        ),
        ({"num_classes": 2, "identity_penalty": -1}, "Expected `identity_penalty` to be finite and 0 or more"),
        ({"num_classes": 2, "feature_names": ["a", "a"]}, "Expected `feature_names` without duplicates"),
    ],
)
def test_arguments_are_checked(settings, text):
    with pytest.raises(ValueError, match=text):
        IdentityMLP(**settings)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"axes behind the batch are of fixed length. Received: shape=\(None, None"):
        IdentityMLP(2).build((None, None))
    with pytest.raises(ValueError, match="Expected one input of shape"):
        IdentityMLP(2).build([(None, 3), (None, 2)])
    with pytest.raises(ValueError, match="Expected 3 feature names, one for each entry of the last axis"):
        IdentityMLP(2, feature_names=["a"]).build((None, 3))
