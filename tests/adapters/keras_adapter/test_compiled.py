"""Nothing is compiled twice, what has become wrong is compiled again, and what nobody needs is forgotten."""

import copy
import gc
import logging
import weakref

import keras
import numpy as np
import pytest
from xai_mimo_adapters.keras_adapter import compiled
from xai_mimo_adapters.keras_adapter.marks import Marks

import xai_mimo as xm
from xai_mimo.core.errors import NotSupported
from xai_mimo.core.targets import select

COMPILES = keras.config.backend() != "torch"


def small_model(name="model"):
    x = keras.Input((4,), name="x")
    h = keras.layers.Dense(5, activation="relu", name="hidden")(keras.layers.Normalization(name="norm")(x))
    return keras.Model(x, keras.layers.Dense(1, name="y")(keras.layers.BatchNormalization(name="batch")(h)), name=name)


class OwnCall(keras.Model):
    """A subclassed model with a recurrent layer, which is a new loop whenever it is called eagerly."""

    def __init__(self):
        super().__init__()
        self.steps, self.out = keras.layers.GRU(3, name="steps"), keras.layers.Dense(1, name="out")
        self.build((None, 5, 2))

    def build(self, shape):
        self.steps.build(shape)
        self.out.build((None, 3))
        self.built = True

    def call(self, x):
        return self.out(self.steps(x))


@pytest.fixture
def x(rng):
    return rng.normal(size=(12, 4)).astype("float32")


@pytest.fixture
def compilations():
    """Counts what JAX compiles, whoever asks for it; of other backends nothing."""
    events = []
    if keras.config.backend() == "jax":
        import jax

        def note(name, *_, **__):
            if name.endswith("backend_compile_duration"):
                events.append(name)

        jax.monitoring.register_event_duration_secs_listener(note)
        yield events
        jax.monitoring.unregister_event_duration_listener(note)
    else:
        yield events


def gradients(adapted, x):
    return adapted.gradients(x, select(None, adapted.heads, adapted.predict(x)))[1]


def test_a_second_call_with_the_same_model_compiles_nothing(x, compilations):
    model = small_model()
    explanation = xm.explain(model, x, "integrated_gradients")
    xm.compare(model, x, methods=["integrated_gradients"], metrics=[], rows=8)
    traces = xm.adapt(model).traces
    assert (traces > 0) == COMPILES
    del compilations[:]
    again = xm.explain(model, x, "integrated_gradients")
    xm.compare(model, x, methods=["integrated_gradients"], metrics=[], rows=8)
    assert xm.adapt(model).traces == traces
    assert compilations == []
    np.testing.assert_array_equal(again["x"], explanation["x"])


def test_neither_do_cuts_maps_and_what_reads_up_to_a_layer(x, compilations):
    from xai_mimo.layers import MAIL

    inputs = keras.Input((4,), name="x")
    model = keras.Model(inputs, keras.layers.Dense(1, name="y")(MAIL({"y": 2}, name="mail")([inputs])["y"]))
    for _ in range(2):
        del compilations[:]
        xm.explain(model, x, "input_x_gradient", at="mail")
        xm.intercept(model, x)
        maps = xm.adapt(model).intercept(x)
        key = next(key for key in maps if key.endswith("attention"))
        xm.adapt(model).override({key: maps[key].values}).predict(x)
    assert compilations == []


def test_a_model_with_its_own_call_is_not_run_again_to_be_adapted(rng, compilations):
    model, x = OwnCall(), rng.normal(size=(6, 5, 2))
    for _ in range(2):
        del compilations[:]
        gradients(xm.adapt(model, streams={"x": (5, 2)}), x)
    assert compilations == []


def test_adapters_with_other_names_give_their_own_names_and_the_same_numbers(x):
    model = small_model()
    plain, named = xm.adapt(model), xm.adapt(model, streams={"sensors": list("abcd")}, heads={"risk": "binary"})
    np.testing.assert_array_equal(plain.predict(x)["y"], named.predict(x)["risk"])
    np.testing.assert_array_equal(gradients(plain, x)["x"], gradients(named, x)["sensors"])
    assert (plain.heads[0].kind, named.heads[0].kind) == ("regression", "binary")
    assert plain.traces == named.traces


def test_swapped_names_of_equal_streams_are_not_mixed_up_behind_a_cut(rng):
    u, v = keras.Input((3,), name="u"), keras.Input((3,), name="v")
    joined = keras.layers.Subtract(name="cut")([u, v])
    model = keras.Model([u, v], keras.layers.Dense(1, name="y")(joined))
    rows = {"u": rng.normal(size=(5, 3)), "v": rng.normal(size=(5, 3))}
    expected = xm.adapt(model, streams={"a": (3,), "b": (3,)}).tail("cut").predict({"a": rows["u"], "b": rows["v"]})
    swapped = xm.adapt(model, streams={"b": (3,), "a": (3,)}).tail("cut").predict({"b": rows["u"], "a": rows["v"]})
    np.testing.assert_allclose(swapped["y"], expected["y"], atol=1e-6)


def test_training_on_between_two_calls_is_seen_and_compiles_nothing(x):
    model = small_model()
    model.compile(optimizer="adam", loss="mse")
    model.fit(x, x[:, :1], verbose=0)
    before = xm.explain(model, x, "gradient")["x"]
    traces = xm.adapt(model).traces
    for _ in range(2):
        model.fit(x, 5 + x[:, :1], epochs=3, verbose=0)
        model.predict(x, verbose=0)
        after = xm.explain(model, x, "gradient")["x"]
    assert xm.adapt(model).traces == traces
    assert np.abs(after - before).max() > 1e-4
    np.testing.assert_allclose(xm.adapt(model).predict(x)["y"], model.predict(x, verbose=0), atol=1e-5)


def lora(model):
    model.get_layer("hidden").enable_lora(2)
    layer = model.get_layer("hidden")
    layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))


def statistics(model):
    model.get_layer("norm").adapt(np.arange(40.0).reshape(10, 4))


def activation(model):
    model.get_layer("hidden").activation = keras.activations.tanh


def frozen(model):
    model.trainable = False


def frozen_layer(model):
    model.get_layer("batch").trainable = False


def plain_value(model):
    model.get_layer("batch").epsilon = 0.5


def quantised(model):
    model.get_layer("hidden").quantize("int8")


CHANGES = [lora, statistics, activation, frozen, frozen_layer, plain_value, quantised]


@pytest.mark.parametrize("change", CHANGES, ids=lambda each: each.__name__)
def test_an_adapted_model_answers_as_the_model_does_after(change, x):
    model = small_model()
    adapted = xm.adapt(model)
    tail, before = adapted.tail("batch"), gradients(adapted, x)
    tail.predict(adapted.activations(x, "batch"))
    change(model)
    expected = answer(model, x)
    np.testing.assert_allclose(adapted.predict(x)["y"], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(tail.predict(adapted.activations(x, "batch"))["y"], expected, rtol=1e-4, atol=1e-5)
    after = gradients(adapted, x)["x"]
    changed = np.abs(after - before["x"]).max() > 1e-3
    assert changed if change in (lora, statistics, activation, plain_value) else change is quantised or not changed
    compiled._OF_MODELS.clear()
    np.testing.assert_allclose(gradients(xm.adapt(model), x)["x"], after, atol=1e-5)


def answer(model, x):
    """What the model says without anything compiled; Keras itself keeps what it compiled for ``predict``."""
    return keras.ops.convert_to_numpy(model(x, training=False))


def test_a_changed_kind_of_head_is_read_again(x):
    model = small_model()
    adapted = xm.adapt(model)
    adapted.predict(x)
    model.get_layer("y").activation = keras.activations.sigmoid
    adapted.predict(x)
    assert adapted.heads[0].kind == xm.adapt(model).heads[0].kind == "binary"


def test_a_changed_model_with_its_own_call_answers_as_the_model_does_after(rng):
    model, x = OwnCall(), rng.normal(size=(6, 5, 2)).astype("float32")
    adapted = xm.adapt(model, streams={"x": (5, 2)})
    before = adapted.predict(x)["output"]
    model.out.activation = keras.activations.exponential
    np.testing.assert_allclose(adapted.predict(x)["output"], np.exp(before), rtol=1e-5)


def test_layers_added_and_removed_are_seen_and_old_parts_refused(x):
    model = keras.Sequential(
        [keras.Input((4,), name="x"), keras.layers.Dense(3, name="a"), keras.layers.Dense(2, name="b")]
    )
    adapted = xm.adapt(model)
    tail = adapted.tail("b")
    inner = adapted.activations(x, "b")
    tail.predict(inner)
    model.add(keras.layers.Dense(5, name="c"))
    np.testing.assert_allclose(adapted.predict(x)["c"], answer(model, x), atol=1e-6)
    assert [head.name for head in adapted.heads] == ["c"]
    with pytest.raises(NotSupported, match=r"layers of model .* were added or removed since"):
        tail.predict(inner)
    np.testing.assert_allclose(adapted.tail("b").predict(inner)["c"], answer(model, x), atol=1e-6)
    model.pop()
    model.pop()
    np.testing.assert_allclose(adapted.predict(x)["a"], answer(model, x), atol=1e-6)


def test_a_layer_that_writes_something_down_when_called_is_not_compiled_again_and_again(x):
    class Counting(keras.layers.Layer):
        calls = 0

        def call(self, x):
            self.calls += 1
            self.last = x
            return 2.0 * x

    inputs = keras.Input((4,), name="x")
    model = keras.Model(inputs, Counting()(inputs))
    for _ in range(3):
        np.testing.assert_allclose(next(iter(xm.adapt(model).predict(x).values())), 2 * x, atol=1e-6)
    assert xm.adapt(model).traces == (1 if COMPILES else 0)


def test_looking_for_changes_is_cheap_and_reads_no_weight(monkeypatch):
    model = small_model()
    monkeypatch.setattr(keras.ops, "convert_to_numpy", None)
    marks = Marks(model)
    assert marks.fit(model)
    model.get_layer("hidden").activation = keras.activations.relu
    assert marks.fit(model)  # the activation that it had
    model.get_layer("hidden").activation = keras.activations.tanh
    assert not marks.fit(model)


def test_models_that_are_dropped_leave_nothing_behind(x):
    gc.collect()
    known = len(compiled._OF_MODELS)
    models, parts = weakref.WeakSet(), []
    for i in range(10):
        model = small_model(f"model_{i}")
        # The model called on its own input: from its input layer one comes to the model itself.
        keras.Model(model.input, keras.layers.Dense(1)(model(model.input)))
        xm.explain(model, x, "gradient", at="batch")
        models.add(model)
        parts.append(weakref.ref(model.get_layer("hidden")))
    del model
    gc.collect()
    assert len(models) == 0
    assert [part for part in parts if part() is not None] == []
    assert len(compiled._OF_MODELS) == known


@pytest.mark.slow
def test_a_thousand_models_leave_no_memory_behind(x):
    import psutil

    sizes = []
    for i in range(1000):
        model = small_model(f"model_{i}")
        gradients(xm.adapt(model), x)
        del model
        if i % 100 == 99:
            keras.backend.clear_session()
            gc.collect()
            sizes.append(psutil.Process().memory_info().rss / 2**20)
    assert len(compiled._OF_MODELS) <= 1
    assert sizes[-1] - sizes[3] < 60  # MB over the last 600 models


def test_the_users_model_is_as_it_was(x, tmp_path):
    model = small_model()
    model.save(tmp_path / "before.keras")
    names, config = sorted(vars(model)), model.get_config()
    xm.explain(model, x, "gradient", at="batch")
    assert (sorted(vars(model)), model.get_config()) == (names, config)
    np.testing.assert_allclose(copy.deepcopy(model).predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)


@pytest.mark.skipif(not COMPILES, reason="PyTorch compiles nothing")
def test_every_length_is_compiled_for_once_at_most(rng):
    x = keras.Input((None, 2), name="x")
    model = keras.Model(x, keras.layers.Dense(1, name="y")(keras.layers.GRU(3)(x)))
    adapted = xm.adapt(model)
    lengths = range(3, 9)
    for length in lengths:
        rows = rng.normal(size=(3, length, 2)).astype("float32")
        np.testing.assert_allclose(adapted.predict(rows)["y"], model.predict(rows, verbose=0), atol=1e-5)
        assert xm.explain(model, rows, "gradient")["x"].shape == (1, 3, length, 2)
    assert adapted.traces <= len(lengths) + 1  # only the first is traced for outputs and for gradients


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="a warning of TensorFlow")
def test_tensorflow_says_nothing_about_retracing(rng, caplog):
    x = keras.Input((None, 2), name="x")
    with caplog.at_level(logging.WARNING, logger="tensorflow"):
        for n in range(8):
            model = keras.Model(x, keras.layers.Dense(1, name="y")(keras.layers.GlobalAveragePooling1D()(x)))
            for length in (3 + n, 20 + n):
                xm.explain(model, rng.normal(size=(3, length, 2)), "gradient")
    assert [record for record in caplog.records if "retracing" in record.getMessage()] == []
