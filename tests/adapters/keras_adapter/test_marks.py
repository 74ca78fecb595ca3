"""What changes a model leaves a mark; what Keras writes down while it trains, saves or runs one leaves none."""

import gc
import tempfile
import weakref

import keras
import numpy as np
import pytest
from xai_mimo_adapters.keras_adapter import marks as room
from xai_mimo_adapters.keras_adapter.marks import Marks

import xai_mimo as xm

COMPILES = keras.config.backend() != "torch"
X = np.random.default_rng(0).normal(size=(12, 5, 4)).astype("float32")
Y = X[:, :, :1]
RATES = {"dropout": 0.3, "recurrent_dropout": 0.3}


class Slope(keras.layers.Layer):
    """Settings of several kinds, and records of its last call."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.gains, self.table, self.kind = [1.0], [[1.0, 2.0]], Kind(1.0)
        self.last = self.noted = None

    def call(self, x):
        self.last = x * self.gains[0] * self.table[0][0] * self.kind.factor
        self.note(x)
        return x * self.gains[0] * self.table[0][0] * self.kind.factor * getattr(self, "scale", 1.0)

    def note(self, x):
        self.noted = [x]


class Kind:
    def __init__(self, factor):
        self.factor = factor


def built(*before, after=()):
    """``before``, a slope, statistics, ``after`` and a nested model in a row."""
    inner = keras.Sequential([keras.Input((5, 4)), keras.layers.Dense(3, "relu", name="hidden")], name="inner")
    x = h = keras.Input((5, 4), name="x")
    layers = (*before, Slope(name="slope"), keras.layers.BatchNormalization(name="batch"), *after)
    for layer in (*layers, inner, keras.layers.Dense(1, name="y")):
        h = layer(h, h) if isinstance(layer, keras.layers.MultiHeadAttention) else layer(h)
    return keras.Model(x, h)


def small_model():
    return built(keras.layers.Normalization(name="norm"))


def rich_model():
    rnn = keras.layers.LSTM(3, return_sequences=True, **RATES)
    after = (
        keras.layers.Dropout(0.2),
        rnn,
        keras.layers.Bidirectional(keras.layers.GRU(2, return_sequences=True, **RATES)),
    )
    return built(keras.layers.MultiHeadAttention(2, 3, dropout=0.1), after=after)


class Own(keras.Model):
    """A subclassed model."""

    def __init__(self):
        super().__init__()
        self.slope, self.steps, self.out = (
            Slope(),
            keras.layers.LSTM(3, return_sequences=True, **RATES),
            keras.layers.Dense(1),
        )
        self(X)

    def call(self, x, training=False):
        return self.out(self.steps(self.slope(x), training=training))


def compiled_model(model):
    model.compile(optimizer="adam", loss="mse", metrics=["mae"], jit_compile=False)
    return model


def load(model, folder):
    model.save_weights(folder / "m.weights.h5")
    model.load_weights(folder / "m.weights.h5")


def logging_callback(model, _):
    class Logging(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.evaluate(X, Y, verbose=0)

    model.fit(X, Y, epochs=2, verbose=0, callbacks=[Logging(), keras.callbacks.EarlyStopping("loss")])


# fmt: off
NO_CHANGES = {
    "predict": lambda model, _: model.predict(X, verbose=0),
    "compile": lambda model, _: compiled_model(model),
    "fit": lambda model, _: model.fit(X, Y, verbose=0),
    "fit_with_validation": lambda model, _: model.fit(X, Y, validation_split=0.5, epochs=2, verbose=0),
    "fit_with_callbacks": logging_callback,
    "evaluate": lambda model, _: model.evaluate(X, Y, verbose=0),
    "train_on_batch": lambda model, _: model.train_on_batch(X, Y),
    "test_on_batch": lambda model, _: model.test_on_batch(X, Y),
    "predict_on_batch": lambda model, _: model.predict_on_batch(X),
    "save": lambda model, folder: model.save(folder / "model.keras"),
    "load_weights": load,
    "get_weights": lambda model, _: model.set_weights(model.get_weights()),
    "get_config": lambda model, _: (model.get_config(), [layer.get_config() for layer in model.layers]),
    "summary": lambda model, _: model.summary(print_fn=lambda *_, **__: None),
    "count_params": lambda model, _: model.count_params(),
    "reset_metrics": lambda model, _: model.reset_metrics(),
    "call": lambda model, _: model(X),
    "call_in_training": lambda model, _: model(X, training=True),
    "call_on_symbols": lambda model, _: model(keras.Input((5, 4))),
}
# fmt: on


# Its recurrent layers are compiled anew by each of Keras's actions, which takes JAX minutes.
long_on_jax = [pytest.mark.slow] if keras.config.backend() == "jax" else []


@pytest.mark.parametrize("build", [pytest.param(rich_model, marks=long_on_jax), Own])
def test_what_keras_does_with_a_model_leaves_no_mark(build, tmp_path):
    model = compiled_model(build())
    marks = Marks(model)
    for name, act in NO_CHANGES.items():
        if not (build is Own and name in ("save", "get_config")):  # it has no config
            act(model, tmp_path)
            assert marks.fit(model), name


def test_neither_does_a_clone_or_another_model_of_the_same_layers():
    model = small_model()
    marks = Marks(model)
    keras.models.clone_model(model)
    keras.Model(model.input, model.get_layer("batch").output)
    assert marks.fit(model)


@pytest.mark.skipif(not COMPILES, reason="PyTorch compiles nothing")
def test_explaining_before_within_and_after_training_compiles_once():
    traces = []

    class Explaining(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            explain(self.model)

    def explain(model):
        explained = xm.explain(model, X, "gradient", check=False)
        traces.append(xm.adapt(model).traces)
        return explained

    model = compiled_model(small_model())
    before = explain(model)
    model.predict(X, verbose=0)
    explain(model)
    model.fit(X, Y, epochs=2, validation_split=0.5, verbose=0, callbacks=[Explaining()])
    model(X, training=True)
    after = explain(model)
    compiled_model(model)
    model.train_on_batch(X, Y)
    explain(model)
    assert traces[0] > 0
    assert traces == traces[:1] * 6
    assert np.abs(after["x"] - before["x"]).max() > 0


def nested(model):
    model.get_layer("slope").table[0][0] = 5.0


def in_a_list(model):
    model.get_layer("slope").gains[0] = 5.0


def new_attribute(model):
    model.get_layer("slope").scale = 5.0


def new_object(model):
    model.get_layer("slope").kind = Kind(5.0)


def adapted(model):
    model.get_layer("norm").adapt(3 * X)


def loaded_statistics(model):
    other = keras.models.clone_model(model)
    other.get_layer("norm").adapt(3 * X)
    with tempfile.TemporaryDirectory() as folder:
        other.save_weights(f"{folder}/m.weights.h5")
        model.load_weights(f"{folder}/m.weights.h5")


def activation_of_a_nested_layer(model):
    model.get_layer("inner").get_layer("hidden").activation = keras.activations.tanh


def lora(model):
    model.get_layer("inner").get_layer("hidden").enable_lora(2)


def quantised(model):
    model.get_layer("y").quantize("int8")


def frozen(model):
    model.get_layer("batch").trainable = False


def added(model):
    model.get_layer("inner").add(keras.layers.Dense(2))


def popped(model):
    model.get_layer("inner").pop()


# fmt: off
CHANGES = [
    nested, in_a_list, new_attribute, new_object, adapted, loaded_statistics, activation_of_a_nested_layer, lora,
    quantised, frozen, added, popped,
]
# fmt: on


@pytest.mark.parametrize("change", CHANGES, ids=lambda each: each.__name__)
def test_what_changes_a_model_leaves_a_mark(change):
    model = small_model()
    marks = Marks(model)
    assert marks.fit(model)
    change(model)
    assert not marks.fit(model)
    assert Marks(model).fit(model)


@pytest.mark.parametrize("change", [nested, in_a_list, new_attribute, new_object], ids=lambda each: each.__name__)
def test_a_changed_setting_is_in_the_next_answer(change):
    x = keras.Input((4,), name="x")
    model = keras.Model(x, Slope(name="slope")(x))
    rows = X[:, 0]
    before = next(iter(xm.adapt(model).predict(rows).values()))
    change(model)
    np.testing.assert_allclose(next(iter(xm.adapt(model).predict(rows).values())), 5 * before, rtol=1e-5)


def test_an_object_that_took_the_place_and_the_identity_of_another_is_another():
    model = small_model()
    slope = model.get_layer("slope")
    marks = Marks(model)
    for _ in range(1000):
        old = id(slope.kind)
        slope.kind = None
        slope.kind = Kind(5.0)
        if id(slope.kind) == old:
            break
    else:
        pytest.fail("Python gave no identity away again")
    assert not marks.fit(model)


def test_marks_end_with_a_model_and_its_classes():
    class Passing(keras.layers.Layer):
        def call(self, x):
            return x

    x = keras.Input((4,))
    model = keras.Model(x, Passing()(x))
    marks, kind = Marks(model), weakref.ref(Passing)
    assert marks.fit(model)
    del model, x, Passing
    keras.backend.clear_session()
    gc.collect()
    assert kind() is None


def test_what_call_assigns_is_a_record_unless_it_is_read():
    class Layer(keras.layers.Layer):
        def call(self, x):
            self.record, self.count, self.cache, self.texted = x, self.count + 1, x, x
            self.inner()
            return x * getattr(self, "texted") * self.product  # noqa: B009

        def inner(self):
            self.kept = [self.count for _ in range(2)]

        @property
        def product(self):
            return self.cache

        def show(self):
            return self.record

    assert room._no_settings(Layer()) - room._NOTES == {"record", "kept"}


def test_an_attribute_with_a_name_of_training_is_a_setting_where_call_reads_it():
    class Reading(keras.Model):
        def call(self, x):
            return x * self.loss

    class Other(keras.Model):
        def call(self, x):
            return x

    for kind in (Reading, Other):
        model = kind()
        model.loss = 1.0
        marks = Marks(model)
        model.loss = 2.0
        assert marks.fit(model) == (kind is Other)


def test_the_loss_of_a_layer_is_a_setting_and_that_of_a_model_is_not():
    model = small_model()
    marks = Marks(model)
    model.loss = "mae"
    assert marks.fit(model)
    model.get_layer("slope").loss = "mae"
    assert not marks.fit(model)
