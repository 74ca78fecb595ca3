"""What Keras expects of every layer and model, asked of all of ours: written, cloned, typed, trained, exported."""

import json

import keras
import numpy as np
import pytest

import xai_mimo.layers
from tests.helpers.every_layer import CASES, answers, around, made
from xai_mimo.layers import IMVLSTM, MAIL, IMVFullCell, IMVTensorCell, MHEXHead
from xai_mimo.layers.flint.predictor import Frozen
from xai_mimo.testing.layer_contract import precision

every = pytest.mark.parametrize("case", CASES, ids=str)
BACKEND = keras.backend.backend()

compiles = pytest.mark.slow if BACKEND != "torch" else lambda test: test
"""A step of training is compiled for each model: a second each on JAX and TensorFlow, nothing on PyTorch."""

# Of the encoder equipped for inference: its heads are trained by DeepSupervision alone.
pytestmark = pytest.mark.filterwarnings("ignore:Gradients do not exist for variables .*mhex/class_kernel")


def own_layers(model):
    """Our layers in a model, and the model if it is one."""
    return [layer for layer in model._flatten_layers() if type(layer).__module__.startswith("xai_mimo.")]


def assert_close(found, expected, tolerance):
    """Within the tolerance, as a share of the largest value."""
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1.0, np.abs(b).max()))


def losses(model, x, **settings):
    """Of two steps of training towards ones; none where there is nothing to train."""
    if not model.trainable_variables:
        return []
    model.compile(keras.optimizers.SGD(0.01), loss="mse", **settings)
    ones = keras.tree.map_structure(lambda y: np.ones(y.shape, "float32"), model(x, training=False))
    return model.fit(x, ones, epochs=2, batch_size=len(keras.tree.flatten(x)[0]), shuffle=False, verbose=0).history[
        "loss"
    ]


def test_every_public_layer_and_model_is_asked():
    classes = [getattr(xai_mimo.layers, name) for name in xai_mimo.layers.__all__]
    public = {c for c in classes if isinstance(c, type) and issubclass(c, keras.Layer)}
    asked = {type(layer) for case in CASES for layer in own_layers(made(case))}
    assert public <= asked


@every
def test_configurations_are_plain_and_make_the_same_layer(case):
    for layer in own_layers(made(case)):
        if type(layer).get_config is keras.Layer.get_config and not isinstance(layer, keras.Model):
            continue
        plain = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
        again = keras.saving.deserialize_keras_object(plain)
        assert type(again) is type(layer)
        if not isinstance(layer, Frozen):  # nobody trains the network of a copy
            assert json.loads(json.dumps(keras.saving.serialize_keras_object(again))) == plain


@every
def test_files_of_models_and_of_weights_give_the_same_answers(case, tmp_path):
    model, x = made(case), case.inputs()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model)
    assert_close(answers(loaded, x), answers(model, x), 0.0)
    model.save_weights(tmp_path / "model.weights.h5")
    other = made(case)
    other.set_weights([w + 1 for w in other.get_weights()])
    other.load_weights(tmp_path / "model.weights.h5")
    assert_close(answers(other, x), answers(model, x), 0.0)


@every
def test_clones_have_weights_of_their_own_and_give_the_same_answers(case):
    model, x = made(case), case.inputs()
    clone = keras.models.clone_model(model)
    clone(x)
    assert not {id(v) for v in model.variables} & {id(v) for v in clone.variables}
    clone.set_weights(model.get_weights())
    assert_close(answers(clone, x), answers(model, x), 0.0)


@every
def test_shapes_and_dtypes_are_those_that_symbols_have(case):
    model = made(case)
    for rows in (1, 3):
        x = case.inputs(rows)
        symbols = keras.tree.map_structure(lambda v: keras.KerasTensor((None, *v.shape[1:]), str(v.dtype)), x)
        promised = keras.tree.flatten(model.compute_output_spec(symbols))
        for spec, values in zip(promised, keras.tree.flatten(model(x)), strict=True):
            assert (None, *values.shape[1:]) == spec.shape
            assert values.shape[0] == rows
            assert keras.backend.standardize_dtype(values.dtype) == spec.dtype


@every
def test_rows_do_not_see_each_other_in_inference(case):
    model, x = made(case), case.inputs(5)
    alone = [answers(model, keras.tree.map_structure(lambda v, i=i: v[i : i + 1], x)) for i in range(5)]
    assert_close([np.concatenate(parts) for parts in zip(*alone, strict=True)], answers(model, x), 1e-6)


@compiles
@every
@pytest.mark.parametrize(("policy", "tolerance"), [("mixed_float16", 0.01), ("mixed_bfloat16", 0.08)])
def test_mixed_precision_stays_near_float32_and_trains(case, policy, tolerance):
    whole, x = made(case), case.inputs()
    mixed = made(case, policy, like=whole)
    assert_close(answers(mixed, x), answers(whole, x), tolerance)
    assert np.isfinite(losses(mixed, x)).all()


@every
def test_float64_gives_the_numbers_of_float32(case):
    whole, x = made(case), case.inputs()
    with precision("float64"):
        fine = made(case, "float64", like=whole)
        outputs = keras.tree.flatten(fine(x))
        assert {keras.backend.standardize_dtype(y.dtype) for y in outputs} == {"float64"}
        assert_close(answers(fine, x), answers(whole, x), 1e-5)


@compiles
@every
def test_float64_trains(case):
    with precision("float64"):
        history = losses(made(case, "float64"), case.inputs())
    assert np.isfinite(history).all()
    assert len(history) < 2 or history[1] != history[0]  # a term that begins in the second epoch may raise the sum


def modes():
    """Ways to run a step; PyTorch's compiler needs one of C++, and Keras leaves it out unless told otherwise."""
    return [{"jit_compile": False}, {"run_eagerly": True}, *([{"jit_compile": True}] if BACKEND != "torch" else [])]


@compiles
@every
def test_training_gives_the_same_losses_however_it_is_run(case):
    x, first = case.inputs(8), made(case)
    by_mode = [losses(made(case, like=first), x, **mode) for mode in modes()]
    for other in by_mode[1:]:
        np.testing.assert_allclose(other, by_mode[0], rtol=1e-4)


STEPS = {
    "MAIL": lambda: around(MAIL({"a": 2}, 3, stream_names=["s"]), (None, 2), masked=True),
    "IMVLSTM": lambda: around(IMVLSTM(2), (None, 2), masked=True),
    "IMVLSTM full": lambda: around(IMVLSTM(2, "full", {"a": 1, "b": 2}, attend_last=True), (None, 2), masked=True),
    "IMVTensorCell": lambda: around(keras.layers.RNN(IMVTensorCell(2, 3)), (None, 2), masked=True),
    "IMVFullCell": lambda: around(keras.layers.RNN(IMVFullCell(2, 3)), (None, 2), masked=True),
    "MHEXHead": lambda: around(MHEXHead(2, return_logits=True), (None, 2), (None, 2), masked=True),
}
"""Models over steps of any number, with layers that take masks: steps of zeros are masked."""


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("padding", ["behind", "in front"])
def test_padded_steps_have_no_influence_whatever_their_number(name, padding, rng):
    """The rows of three steps give what they give alone, and steps that are kept stay where they are."""
    keras.utils.set_random_seed(0)
    model = STEPS[name]()
    count = len(model.inputs)
    real = [rng.uniform(0.1, 1, size=(2, 3, 2)).astype("float32") for _ in range(count)]
    for more in (1, 4):
        sides = (0, more) if padding == "behind" else (more, 0)
        padded = [np.pad(x, ((0, 0), sides, (0, 0))) for x in real]
        kept = slice(sides[0], sides[0] + 3)
        for short, long in zip(answers(model, _one_or_all(real)), answers(model, _one_or_all(padded)), strict=True):
            own = long[:, kept] if long.shape[1:2] == (3 + more,) else long
            np.testing.assert_allclose(own, short, atol=1e-6)


def _one_or_all(values):
    return values if len(values) > 1 else values[0]


@every
def test_layers_that_take_a_mask_say_so_and_pass_on_those_of_steps(case):
    by_type = {type(layer).__name__: layer for layer in own_layers(made(case))}
    for name in ("MAIL", "MIMOAttentionLayer", "IMVLSTM", "MHEXHead"):
        assert name not in by_type or by_type[name].supports_masking


@every
def test_training_and_inference_differ_by_dropout_alone(case):
    """Without dropout a layer of ours is the same in both modes; batch norm and dropout of a predictor are Keras's."""
    model, x = made(case), case.inputs()
    if any(isinstance(layer, keras.layers.BatchNormalization) for layer in model._flatten_layers()):
        return
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    trained = keras.tree.flatten(model(x, training=True))
    assert_close([keras.ops.convert_to_numpy(y) for y in trained], answers(model, x), 1e-6)
