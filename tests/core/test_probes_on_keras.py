"""The same on Keras, on the backend that runs: batches, random layers, cuts, and gradients that are none."""

import re
import warnings

import keras
import numpy as np
import pytest

import xai_mimo as xm
from xai_mimo.core import gradient_probe
from xai_mimo.core.errors import GradientWarning, LeftOutWarning, NotFinite, NotSupported
from xai_mimo.core.probes import Probe

ROWS = np.random.default_rng(0).normal(size=(7, 3)).astype("float32")
ops = keras.ops


class Centred(keras.layers.Layer):
    def call(self, t):
        return t - ops.mean(t, axis=0, keepdims=True)


class TrainingStatistics(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm = keras.layers.BatchNormalization()

    def call(self, t):
        return self.norm(t, training=True)


class Noise(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed = keras.random.SeedGenerator(3)

    def call(self, t):
        return t + keras.random.normal(ops.shape(t), seed=self.seed)


def model_of(layer, *, size=3, last=None):
    keras.utils.set_random_seed(0)
    x = keras.Input((size,), name="x")
    h = layer(x)
    return keras.Model(x, (last or keras.layers.Dense(1, name="y"))(h), name="m")


@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("layer", [Centred, TrainingStatistics])
def test_rows_that_see_each_other_are_refused(layer, rows):
    with pytest.raises(NotSupported, match="model 'm' lets rows depend on each other: its head 'y' answers one row"):
        xm.explain(model_of(layer()), ROWS[:rows], "occlusion")


def test_a_layer_that_is_random_in_inference_is_refused():
    with pytest.raises(NotSupported, match="model 'm' is random"):
        xm.explain(model_of(Noise()), ROWS, "shapley")
    with pytest.raises(NotSupported, match="model 'm' is random"):
        xm.compare(model_of(Noise()), ROWS, ["shapley"])


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype float64")
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16", "float64"])
@pytest.mark.parametrize("rows", [1, 7])
def test_ordinary_networks_pass_in_any_precision(policy, rows):
    keras.utils.set_random_seed(1)
    layers = keras.layers
    x = keras.Input((6, 4), name="x", dtype="float32")
    h = layers.BatchNormalization(dtype=policy)(layers.Conv1D(8, 3, activation="relu", dtype=policy)(x))
    h = layers.Dropout(0.5, dtype=policy)(layers.GRU(8, dtype=policy, name="gru")(h))
    y = layers.Dense(1, name="y", dtype=policy)(h)
    p = layers.Dense(3, activation="softmax", dtype="float32", name="p")(h)
    net = keras.Model(x, [y, p])
    data = np.random.default_rng(0).normal(size=(rows, 6, 4)).astype("float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error", GradientWarning)
        xm.explain(net, data, "gradient")
        xm.explain(net, data, "gradient", at="gru")


def test_a_cut_that_is_another_model_is_refused(monkeypatch):
    whole = xm.adapt(model_of(keras.layers.Dense(4, activation="tanh", name="h")))
    other = xm.adapt(model_of(keras.layers.Dense(4, activation="relu", name="h")))
    monkeypatch.setattr(whole, "tail", other.tail)
    assert xm.explain(whole, ROWS, "gradient", at="y").sizes["sample"] == 7
    with pytest.raises(NotSupported, match=r"behind layer 'h' of model 'm' is another model than the whole: head 'y'"):
        xm.explain(whole, ROWS, "shapley", at="h")
    assert xm.explain(whole, ROWS, "gradient", at="h", check=False).sizes["sample"] == 7


@ops.custom_gradient
def _reversed(x):
    def grad(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream
        return -upstream

    return x, grad


class Reversal(keras.layers.Layer):
    def call(self, t):
        return _reversed(t)


class Rounded(keras.layers.Layer):
    def call(self, t):
        return ops.floor(2 * t)


def gradient_warnings(model, x=ROWS, method="gradient"):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        xm.explain(model, x, method)
    return [str(w.message) for w in caught if issubclass(w.category, GradientWarning)]


@pytest.mark.parametrize("rows", [1, 7])
def test_a_reversed_gradient_is_warned_of_with_both_numbers(rows):
    (text,) = gradient_warnings(model_of(Reversal()), ROWS[:rows])
    by_gradient, by_output = map(float, re.search(r"it says (\S+), and the output changes by (\S+)\. ", text).groups())
    assert "the gradient of head 'y' of model 'm' is not that of its output" in text
    assert by_gradient == pytest.approx(-by_output, rel=0.05)


def test_a_gradient_of_zero_beside_a_changing_output_is_warned_of():
    (text,) = gradient_warnings(model_of(Rounded()), method="integrated_gradients")
    assert "the gradient of head 'y' of model 'm' is 0 while its output changes (by" in text


def test_right_gradients_are_not_warned_of():
    for layer in (
        keras.layers.Dense(8, activation="relu"),
        keras.layers.Dense(8, activation="tanh"),
        keras.layers.Lambda(lambda t: ops.maximum(t, 0.0)),
        keras.layers.Lambda(lambda t: 1e4 + t),
        keras.layers.Lambda(lambda t: 0.0 * t),
        keras.layers.Lambda(lambda t: ops.sin(30.0 * t)),
    ):
        for rows in (1, 2, 7):
            assert gradient_warnings(model_of(layer), ROWS[:rows]) == []


def test_a_row_of_padding_that_gives_no_number_is_named():
    logarithm = keras.layers.Lambda(lambda t: ops.log(ops.sum(ops.abs(t), axis=1, keepdims=True)) * 0.0)
    data = ROWS.copy()
    data[5] = 0
    for method in ("gradient", "occlusion"):
        with pytest.raises(NotFinite, match="model 'm' answers NaN or infinity for head 'y', first in row 5,"):
            xm.explain(model_of(logarithm), data, method)
    with pytest.raises(NotFinite, match="first in row 5,"):
        xm.compare(model_of(logarithm), data, ["gradient"], rows=7)


def with_class_numbers():
    keras.utils.set_random_seed(0)
    x = keras.Input((3,), name="x")
    scores = keras.layers.Dense(4, name="scores")(x)
    best = keras.layers.Lambda(lambda t: ops.cast(ops.argmax(t, axis=-1, keepdims=True), "int32"), name="best")(scores)
    return xm.adapt(keras.Model(x, [scores, best], name="m"))


def test_a_head_of_whole_numbers_is_left_out_by_name_or_refused():
    model = with_class_numbers()
    for method in ("gradient", "integrated_gradients"):
        with pytest.warns(LeftOutWarning, match=rf"{method}: left out: head 'best' gives whole numbers .*\(int32\)"):
            explanation = xm.explain(model, ROWS, method)
        assert {name.split(":")[0] for name in explanation["head"].values} == {"scores"}
        with pytest.raises(
            NotSupported, match=r"head 'best' gives whole numbers .* put them out as a head of their own"
        ):
            xm.explain(model, ROWS, method, targets=["best"])
        assert "scores:0" in xm.explain(model, ROWS, method, targets=["scores"])["head"]


def test_a_comparison_leaves_such_a_head_out_and_says_so():
    model, settings = with_class_numbers(), xm.Settings(ceilings=False, resamples=100)
    for methods in (None, ["integrated_gradients", "occlusion"]):
        with pytest.warns(LeftOutWarning, match="compare: left out: head 'best' gives whole numbers"):
            result = xm.compare(model, ROWS, methods, settings=settings, metrics=["gini"])
        assert {target.head for target in result.record.targets} == {"scores"}
        assert "left out: head 'best'" in result.record.settings["targets"]
    named = xm.compare(model, ROWS, targets=["best"], settings=settings, metrics=["gini"])
    assert "integrated_gradients (head 'best' gives whole numbers)" in named.record.settings["methods"]
    with pytest.raises(NotSupported, match="head 'best' gives whole numbers"):
        xm.compare(model, ROWS, ["gradient"], targets=["best"], settings=settings, metrics=["gini"])


@pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning")
def test_a_comparison_warns_of_a_gradient_that_is_none():
    settings = xm.Settings(ceilings=False, resamples=100)
    with pytest.warns(GradientWarning, match="the gradient of head 'y' of model 'm' is 0 while its output changes"):
        xm.compare(model_of(Rounded()), ROWS, ["gradient", "occlusion"], settings=settings, metrics=["gini"])


@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_pictures_of_whole_numbers_get_the_maps_of_floats(dtype):
    net = xm.adapt(model_of(keras.layers.Dense(2), size=3))
    data = np.random.default_rng(0).integers(0, 256, (3, 3)).astype(dtype)
    for method in ("integrated_gradients", "shapley"):
        expected, maps = (xm.explain(net, x, method, background=x) for x in (data.astype("float32"), data))
        np.testing.assert_array_equal(maps["x"], expected["x"])
    function = xm.adapt(lambda x: (x - 128) @ [1.0, 2, 3], streams={"x": 3}, heads={"y": 1})
    np.testing.assert_array_equal(function.predict(data)["y"], function.predict(data.astype(float))["y"])


def test_a_picture_whose_network_scales_bytes_is_sent_to_the_layer_behind():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    x = keras.Input((4, 4, 1), name="x", dtype="uint8")
    flat = layers.Flatten(name="flat")(layers.Rescaling(1 / 255)(x))
    net = keras.Model(x, layers.Dense(1, name="y")(flat), name="m")
    data = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 1)).astype("uint8")
    with pytest.raises(NotSupported, match=r"'x' holds integers \(uint8\), .*at='flat'"):
        xm.explain(net, data, "integrated_gradients")
    weights = net.get_layer("y").get_weights()[0].reshape(4, 4, 1)
    maps = xm.explain(net, data, "integrated_gradients", at="flat")
    np.testing.assert_allclose(next(iter(maps.data_vars.values()))[0], data / 255 * weights, rtol=1e-4, atol=1e-6)


def test_a_background_that_the_model_has_no_answer_to_is_named():
    logarithm = keras.layers.Lambda(lambda t: ops.log(ops.sum(ops.abs(t), axis=1, keepdims=True)))
    with pytest.raises(NotFinite, match="for head 'y' to row 1 of the background"):
        xm.explain(model_of(logarithm), ROWS, "shapley", background=np.array([[1.0, 1, 1], [0, 0, 0]]))


@pytest.mark.parametrize("rows", [1, 3])
def test_equal_rows_of_ids_of_different_vocabularies_are_explained(rows):
    a = keras.Input((2,), name="ids", dtype="int32")
    tables = [keras.layers.Embedding(100, 2)(a[:, :1]), keras.layers.Embedding(3, 2)(a[:, 1:])]
    y = keras.layers.Dense(1, name="y")(keras.layers.Flatten()(keras.layers.Concatenate()(tables)))
    explanation = xm.explain(keras.Model(a, y), np.array([[99, 2]] * rows), "occlusion")
    assert explanation["ids"].shape == (1, rows, 2)


def test_steps_that_leave_what_a_model_takes_are_nothing_of_the_users():
    model = xm.adapt(model_of(keras.layers.Dense(2)))

    class Bounded:
        """The model, with an error for every value that is not in the data."""

        def __getattr__(self, name):
            return getattr(model, name)

        def predict(self, inputs):
            if not np.isin(np.asarray(inputs["x"], "float32"), ROWS.astype("float32")).all():
                raise IndexError("no such id")
            return model.predict(inputs)

    rows = {"x": ROWS[:3].astype("float32")}
    probe = Probe(rows, np.arange(3), model.predict(rows))
    assert gradient_probe.gradient_warnings(Bounded(), probe, None, {}) == []
