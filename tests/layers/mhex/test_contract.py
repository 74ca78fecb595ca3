"""An MHEX head as a Keras layer: contract, shapes, masks, dtypes, settings, the same numbers on three backends."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.helpers.frameworks import needs
from tests.helpers.mhex_by_hand import IMAGE, TOKENS, built, maps_of, pair
from xai_mimo.layers import MHEXHead
from xai_mimo.testing import check_backends, check_layer

IMAGE_MAPS = {"logits": ("target",), "gate": ("channel",), "class_map": ("height", "width", "target")}
TOKEN_MAPS = {"logits": ("target",), "gate": ("channel",), "class_map": ("token", "target")}


def test_head_for_images_keeps_the_contract():
    check_layer(lambda: MHEXHead(3, return_logits=True), pair(), maps=IMAGE_MAPS, dtypes=("mixed_float16",))


def test_head_for_tokens_keeps_the_contract():
    make = lambda: MHEXHead(heads=[2, 1], use_bias=True, return_logits=True)  # noqa: E731
    check_layer(make, pair(TOKENS), maps=TOKEN_MAPS, dtypes=("float64", "mixed_bfloat16"))


@needs("jax", "tensorflow", "torch")
@pytest.mark.slow
@pytest.mark.all_frameworks
@pytest.mark.parametrize("shape", [IMAGE, TOKENS], ids=["image", "tokens"])
def test_three_backends_give_the_same_outputs_maps_and_gradients(shape):
    layer, inputs = built(shape, heads={"kind": 3, "load": 2}, use_bias=True, return_logits=True)
    check_backends(layer, inputs)


def test_shapes_are_promised_as_they_come():
    shape = [(None, 8, 8, 4), (None, 8, 8, 4)]
    assert MHEXHead(3).compute_output_shape(shape) == (None, 8, 8, 4)
    assert MHEXHead(3, return_logits=True).compute_output_shape(shape) == ((None, 8, 8, 4), (None, 3))
    made = MHEXHead(3, return_logits=True)([keras.Input((None, 4)), keras.Input((7, 4))])
    assert [tuple(t.shape) for t in made] == [(None, 7, 4), (None, 3)]


def test_volumes_have_three_axes_of_positions():
    layer, inputs = built((2, 2, 3, 2, 4), num_classes=2)
    _, maps, labels = maps_of(layer, inputs)
    assert labels["class_map"].axes == ("axis_1", "axis_2", "axis_3", "target")
    np.testing.assert_allclose(maps["class_map"].mean(axis=(1, 2, 3)), maps["logits"], atol=1e-5)


def test_masks_of_both_inputs_are_joined_and_passed_on():
    first, second = (ops.convert_to_tensor(np.array([m])) for m in ([True, True, False], [True, False, True]))
    for return_logits in (False, True):
        joint = MHEXHead(2, return_logits=return_logits).compute_mask(None, [first, second])
        joint = joint[0] if return_logits else joint
        np.testing.assert_array_equal(ops.convert_to_numpy(joint), [[True, False, False]])
    assert MHEXHead(2).compute_mask(None, [None, None]) is None


def test_masks_of_keras_reach_the_head():
    text = keras.Input((6,), dtype="int32")
    x = keras.layers.Embedding(9, 5, mask_zero=True)(text)
    branch = keras.layers.Dense(5)(x)
    model = keras.Model(text, MHEXHead(2, name="head")([branch, x]))
    tokens = np.array([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 1]], "int32")
    _, maps, _ = maps_of(model, tokens)
    np.testing.assert_array_equal(maps["mask"], tokens != 0)
    real = maps["class_map"].sum(axis=1) / (tokens != 0).sum(axis=1)[:, None]
    np.testing.assert_allclose(real, maps["logits"], atol=1e-6)


def test_maps_of_a_float16_head_are_float32_and_near_those_of_float32():
    layer, inputs = built()
    half = MHEXHead.from_config({**layer.get_config(), "dtype": "mixed_float16"})
    half.build([IMAGE] * 2)
    half.set_weights(layer.get_weights())
    _, expected, _ = maps_of(layer, inputs)
    _, maps, _ = maps_of(half, inputs)
    for name, values in maps.items():
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, expected[name], atol=0.05)


def test_all_settings_survive_a_config():
    settings = {
        "heads": {"a": 2},
        "use_bias": True,
        "return_logits": True,
        "gate_initializer": keras.initializers.Zeros(),
        "class_initializer": keras.initializers.RandomNormal(seed=3),
    }
    config = MHEXHead(**settings).get_config()
    again = MHEXHead.from_config(config)
    assert again.get_config() == config
    assert again.heads == {"a": 2}
    assert (again.use_bias, again.return_logits) == (True, True)
    assert again.class_initializer.seed == 3
    assert MHEXHead.from_config(MHEXHead(heads=[2, 3]).get_config()).heads == {"head_0": 2, "head_1": 3}


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "Expected one of `num_classes` and `heads`. Received: num_classes=None, heads=None"),
        ({"num_classes": 2, "heads": [2]}, "Expected one of `num_classes` and `heads`"),
        ({"num_classes": 0}, "Expected `num_classes` to be an integer of 1 or more. Received: num_classes=0"),
        ({"heads": {"a": 0}}, "the width of head 'a' to be an integer of 1 or more"),
    ],
)
def test_arguments_are_checked(settings, text):
    with pytest.raises(ValueError, match=text):
        MHEXHead(**settings)


@pytest.mark.parametrize(
    "shape",
    [(None, 4, 3), [(None, 4, 3)], [(None, 4, 3), (None, 4, 2)], [(None, 3), (None, 3)], [(None, 4, None)] * 2],
)
def test_shapes_are_checked(shape):
    with pytest.raises(ValueError, match="Expected two inputs of one shape"):
        MHEXHead(2).build(shape)


def test_masks_are_checked():
    layer, inputs = built()
    with pytest.raises(ValueError, match=r"Expected a mask with one entry per position, .* mask of shape \(2, 3\)"):
        layer([ops.convert_to_tensor(x) for x in inputs], mask=ops.ones((2, 3), dtype="bool"))
