"""What the Keras adapter reads off a model: names, shapes, kinds of heads, and how the model wants to be called."""

import keras
import numpy as np
import pytest

from xai_mimo.core.declare import unique
from xai_mimo.core.errors import BadSetting, DuplicateName, NotSupported, ShapeMismatch
from xai_mimo.core.plugins import adapt
from xai_mimo.core.streams import Head, Stream


def dense_model(**heads):
    """One stream 'x', and a Dense head of these units and activation for each name."""
    x = keras.Input((4,), name="x")
    outputs = [keras.layers.Dense(n, activation=activation, name=name)(x) for name, (n, activation) in heads.items()]
    return keras.Model(x, outputs)


def kinds(adapter):
    return {head.name: (head.kind, head.unit) for head in adapter.heads}


def test_streams_are_read_with_name_shape_and_dtype():
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    image = keras.Input((8, 6, 3), name="image")
    words = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(9, 2)(tokens))
    pixels = keras.layers.GlobalAveragePooling2D()(image)
    adapter = adapt(keras.Model([tokens, image], keras.layers.Concatenate(name="y")([words, pixels])))
    assert adapter.streams == (Stream("tokens", (None,), dtype="int32"), Stream("image", (8, 6, 3)))


def test_names_follow_the_mapping_in_its_own_order_through_saving(tmp_path, rng):
    b, a = keras.Input((2,), name="b"), keras.Input((3,), name="a")
    outputs = {"z": keras.layers.Dense(1)(b), "y": keras.layers.Dense(2)(a)}
    model = keras.Model({"b": b, "a": a}, outputs)
    model.save(tmp_path / "model.keras")
    data = {"a": rng.normal(size=(5, 3)), "b": rng.normal(size=(5, 2))}
    expected = adapt(model).predict(data)
    for read in (model, keras.models.load_model(tmp_path / "model.keras", safe_mode=True)):
        adapter = adapt(read)
        assert [s.name for s in adapter.streams] == ["b", "a"]
        assert [(h.name, h.shape) for h in adapter.heads] == [("z", (1,)), ("y", (2,))]
        for name, values in adapter.predict([data["b"], data["a"]]).items():
            np.testing.assert_allclose(values, expected[name], atol=1e-6)


def test_a_reloaded_model_has_the_same_fingerprint_and_another_model_has_not(tmp_path):
    model = dense_model(y=(1, None))
    model.save(tmp_path / "model.keras")
    assert adapt(keras.models.load_model(tmp_path / "model.keras")).fingerprint() == adapt(model).fingerprint()
    kernel, bias = model.get_weights()
    before = adapt(model).fingerprint()
    model.set_weights([kernel, bias + 1e-6])
    assert adapt(model).fingerprint() != before


def test_heads_without_keys_are_called_after_their_layers():
    assert [h.name for h in adapt(dense_model(risk=(1, None), kind=(3, None))).heads] == ["risk", "kind"]


def test_several_outputs_of_one_layer_are_numbered():
    class Two(keras.layers.Layer):
        def call(self, x):
            return [x, 2 * x]

    x = keras.Input((4,), name="x")
    assert [h.name for h in adapt(keras.Model(x, Two(name="two")(x))).heads] == ["two_0", "two_1"]


def test_numbering_never_takes_a_name_that_is_there():
    assert unique(["a", "a", "a_0", "b"]) == ["a_1", "a_2", "a_0", "b"]


def test_kinds_are_read_off_the_last_activation():
    adapter = adapt(dense_model(a=(1, "sigmoid"), b=(3, "sigmoid"), c=(3, "softmax"), d=(2, None), e=(1, "relu")))
    assert kinds(adapter) == {
        "a": ("binary", "probability"),
        "b": ("multilabel", "probability"),
        "c": ("multiclass", "probability"),
        "d": ("regression", ""),
        "e": ("regression", ""),
    }


def test_kinds_are_read_through_activation_layers_and_nested_models():
    x = keras.Input((4,), name="x")
    plain = keras.layers.Activation("sigmoid", name="gate")(keras.layers.Dense(1)(x))
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Softmax()], name="nested")
    called = keras.ops.sigmoid(keras.layers.Dense(1)(x))
    model = keras.Model(x, {"a": plain, "b": inner(x), "c": called})
    assert [kind for kind, _ in kinds(adapt(model)).values()] == ["binary", "multiclass", "binary"]


def test_kinds_are_read_off_a_loss_that_takes_logits():
    model = dense_model(a=(1, None), b=(3, None), c=(4, None), d=(1, None))
    losses = keras.losses
    model.compile(
        loss={
            "a": losses.BinaryCrossentropy(from_logits=True),
            "b": losses.SparseCategoricalCrossentropy(from_logits=True),
            "c": losses.BinaryCrossentropy(from_logits=True),
            "d": "mse",
        }
    )
    expected = [("binary", "log-odds"), ("multiclass", "logit"), ("multilabel", "log-odds"), ("regression", "")]
    assert list(kinds(adapt(model)).values()) == expected


def test_one_loss_or_a_list_of_losses_speaks_for_its_heads():
    logits = keras.losses.BinaryCrossentropy(from_logits=True)
    one = dense_model(a=(1, None), b=(1, None))
    one.compile(loss=logits)
    assert [kind for kind, _ in kinds(adapt(one)).values()] == ["binary", "binary"]
    one.compile(loss=["mse", logits])
    assert [kind for kind, _ in kinds(adapt(one)).values()] == ["regression", "binary"]
    assert list(kinds(adapt(dense_model(c=(3, None)))).values()) == [("regression", "")]


def test_losses_in_a_list_go_by_the_flattened_order_of_a_mapping():
    x = keras.Input((4,), name="x")
    outputs = {"b": keras.layers.Dense(1, name="b")(x), "a": keras.layers.Dense(3, name="a")(x)}
    model = keras.Model(x, outputs)
    model.compile(loss=["sparse_categorical_crossentropy", "binary_crossentropy"])
    labels = {"a": np.array([0, 2, 1]), "b": np.array([[0.0], [1.0], [1.0]])}
    model.fit(np.ones((3, 4)), labels, verbose=0)
    assert kinds(adapt(model)) == {"b": ("binary", "probability"), "a": ("multiclass", "probability")}


def test_kinds_are_read_through_wrappers_and_layers_that_hand_values_on():
    x = keras.Input((5, 4), name="x")
    soft = keras.layers.Dense(3, activation="softmax")
    each = keras.layers.TimeDistributed(keras.layers.Dense(3, activation="softmax"))(x)
    cast = keras.ops.cast(
        keras.layers.Dropout(0.1)(keras.layers.Activation("linear", dtype="float32")(soft(x))), "float32"
    )
    linear = keras.layers.TimeDistributed(keras.layers.Dense(2))(x)
    model = keras.Model(x, {"a": each, "b": cast, "c": linear})
    multiclass = ("multiclass", "probability")
    assert kinds(adapt(model)) == {"a": multiclass, "b": multiclass, "c": ("regression", "")}


def _rnn(layer, batch=None, **settings):
    shape = {"batch_shape": (batch, 5, 2)} if batch else {"shape": (5, 2)}
    s = keras.Input(**shape, name="s")
    return keras.Model(s, keras.layers.Dense(1, name="y")(layer(3, name="cell", **settings)(s)))


def _bidirectional(units, **settings):
    return keras.layers.Bidirectional(keras.layers.LSTM(units, stateful=settings["stateful"]), name="cell")


@pytest.mark.parametrize("layer", [keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN, _bidirectional])
@pytest.mark.parametrize("nested", [False, True])
def test_a_stateful_layer_is_refused_by_name(layer, nested):
    model = _rnn(layer, batch=4, stateful=True)
    if nested:
        model = keras.Sequential([keras.Input(batch_shape=(4, 5, 2)), model])
    with pytest.raises(NotSupported, match=r"layer '.*' of model '.*' is stateful.*stateful=False"):
        adapt(model)


def test_a_stateful_layer_of_a_subclassed_model_is_refused_by_name():
    class Remembers(keras.Model):
        def __init__(self):
            super().__init__()
            self.cell = keras.layers.GRU(2, stateful=True, name="cell")

        def call(self, x):
            return self.cell(x)

    model = Remembers()
    model(np.ones((4, 5, 2), "float32"))
    with pytest.raises(NotSupported, match=r"layer 'cell' of model 'remembers.*' is stateful"):
        adapt(model, streams={"s": (5, 2)})


def test_a_fixed_batch_without_state_takes_any_number_of_rows(rng):
    model = _rnn(keras.layers.LSTM, batch=4)
    rows = rng.normal(size=(8, 5, 2)).astype("float32")
    expected = model.predict(rows, batch_size=4, verbose=0)
    np.testing.assert_allclose(adapt(model).predict(rows[:6])["y"], expected[:6], atol=1e-6)


def test_users_rename_in_order_and_annotate_by_name():
    model = dense_model(risk=(1, None), kind=(3, "softmax"))
    renamed = adapt(model, streams={"sensors": ["a", "b", "c", "d"]}, heads={"r": "binary", "k": 3})
    assert renamed.streams == (Stream("sensors", (4,), features=("a", "b", "c", "d")),)
    assert [(h.name, h.kind, h.shape) for h in renamed.heads] == [("r", "binary", (1,)), ("k", "multiclass", (3,))]
    kind = Head("kind", (3,), "multiclass", units=("low", "mid", "high"))
    annotated = adapt(model, heads=[kind])
    assert annotated.heads == (adapt(model).heads[0], kind)
    data = np.ones((2, 4), "float32")
    np.testing.assert_array_equal(renamed.predict({"sensors": data})["k"], annotated.predict({"x": data})["kind"])


def test_heads_named_in_another_order_are_matched_by_name():
    model = dense_model(risk=(1, None), kind=(3, "softmax"))
    adapter = adapt(model, heads={"kind": "multilabel", "risk": "binary"})
    assert [(h.name, h.kind) for h in adapter.heads] == [("risk", "binary"), ("kind", "multilabel")]


def test_feature_names_of_a_stream_over_time():
    x = keras.Input((6, 2), name="x")
    model = keras.Model(x, keras.layers.Flatten(name="y")(x))
    assert adapt(model, streams={"x": ["p", "q"]}).streams[0] == Stream("x", (6, 2), features=("p", "q"))


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"streams": {"x": (5,)}}, ShapeMismatch, r"declared with shape \(5,\).*'x' has \(4,\)"),
        ({"streams": {"x": 4, "w": 2}}, ShapeMismatch, "the model has 1 streams"),
        ({"streams": {"x": ["a", "b"]}}, ShapeMismatch, "4 features on its last axis but 2"),
        ({"heads": {"kind": 2}}, ShapeMismatch, "declared with 2 units.*'kind' has 3"),
        ({"heads": {"kind": "binary", "other": 1}}, BadSetting, "mix names of the model"),
        ({"heads": [Head("a"), Head("a", (3,))]}, DuplicateName, "two heads are called 'a'"),
    ],
)
def test_declarations_that_contradict_the_model_are_refused(given, error, text):
    with pytest.raises(error, match=text):
        adapt(dense_model(risk=(1, None), kind=(3, None)), **given)


def test_a_head_with_an_axis_of_any_length_is_refused():
    x = keras.Input((None, 2), name="x")
    with pytest.raises(NotSupported, match=r"head 'y' has shape \(None, 1\).*no countable units"):
        adapt(keras.Model(x, keras.layers.Dense(1, name="y")(x)))


class Own(keras.Model):
    """A subclassed model; ``wants`` says how it takes its two inputs, ``gives`` what it returns."""

    def __init__(self, wants, gives):
        super().__init__()
        self.wants, self.gives = wants, gives
        self.drop = keras.layers.Dropout(0.5)
        self.one, self.two = keras.layers.Dense(1), keras.layers.Dense(2)

    def call(self, inputs):
        u, v = [inputs["u"], inputs["v"]] if self.wants == "mapping" else inputs
        one, two = self.one(self.drop(u)), self.two(v)
        return {"mapping": {"first": one, "second": two}, "list": [one, two], "tuple": (one, two), "one": one}[
            self.gives
        ]


@pytest.mark.filterwarnings("ignore:Gradients do not exist:UserWarning")
@pytest.mark.parametrize(
    ("gives", "loss", "expected"),
    [
        ("one", "binary_crossentropy", {"output": "binary"}),
        ("one", keras.losses.binary_crossentropy, {"output": "binary"}),
        ("one", keras.losses.BinaryFocalCrossentropy(), {"output": "binary"}),
        ("one", "bce", {"output": "binary"}),
        ("one", "mse", {"output": "regression"}),
        (
            "mapping",
            {"first": "bce", "second": "sparse_categorical_crossentropy"},
            {"first": "binary", "second": "multiclass"},
        ),
        ("mapping", ["mse", "categorical_crossentropy"], {"first": "regression", "second": "multiclass"}),
        (
            "list",
            ["mse", keras.losses.SparseCategoricalCrossentropy()],
            {"output_0": "regression", "output_1": "multiclass"},
        ),
        ("tuple", (keras.losses.BinaryCrossentropy(), "mse"), {"output_0": "binary", "output_1": "regression"}),
    ],
)
def test_heads_of_a_fitted_subclassed_model_are_what_their_losses_say(gives, loss, expected, pair):
    model = Own("mapping", gives)
    model(pair)
    model.compile("sgd", loss=loss)
    one = np.zeros((5, 1), "float32")
    is_sparse = "sparse" in str(loss).lower()
    two = np.zeros(5) if is_sparse else np.eye(2)[np.zeros(5, int)]
    labels = {"one": one, "mapping": {"first": one, "second": two}, "list": [one, two], "tuple": (one, two)}[gives]
    model.fit(pair, labels, verbose=0)
    assert {h.name: h.kind for h in adapt(model, streams={"u": 4, "v": 3}).heads} == expected


def test_a_head_per_step_of_a_fitted_subclassed_model_is_multiclass():
    class Tagger(keras.Model):
        def __init__(self):
            super().__init__()
            self.tag = keras.layers.Dense(4)

        def call(self, x):
            return self.tag(x)

    model = Tagger()
    model.compile("sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(np.ones((3, 5, 2)), np.zeros((3, 5)), verbose=0)
    (head,) = adapt(model, streams={"s": (5, 2)}).heads
    assert (head.shape, head.kind, head.unit) == ((5, 4), "multiclass", "logit")


class ByKeyword(keras.Model):
    """Takes its inputs as arguments, and ``training``."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(2)

    def call(self, u, v=None, training=True):
        return self.dense(keras.ops.concatenate([u, v], axis=-1)) + (100 if training else 0)


@pytest.fixture
def pair(rng):
    return {"u": rng.normal(size=(5, 4)).astype("float32"), "v": rng.normal(size=(5, 3)).astype("float32")}


@pytest.mark.parametrize(
    ("wants", "gives", "names"),
    [
        ("mapping", "mapping", ["first", "second"]),
        ("list", "list", ["output_0", "output_1"]),
        ("tuple", "tuple", ["output_0", "output_1"]),
        ("list", "one", ["output"]),
    ],
)
def test_subclassed_models_are_called_as_they_were_built(wants, gives, names, pair):
    model = Own(wants, gives)
    model({"mapping": pair, "list": [*pair.values()], "tuple": (*pair.values(),)}[wants])
    adapter = adapt(model, streams={"u": 4, "v": 3})
    predicted = adapter.predict(pair)
    assert list(predicted) == names
    kernel = model.one.get_weights()[0]
    np.testing.assert_allclose(predicted[names[0]], pair["u"] @ kernel, atol=1e-5)


def test_subclassed_models_may_take_streams_by_keyword(pair):
    model = ByKeyword()
    model(pair["u"], v=pair["v"])
    adapter = adapt(model, streams={"u": 4, "v": 3}, heads={"y": 2})
    kernel = model.dense.get_weights()[0]
    both = np.concatenate([pair["u"], pair["v"]], axis=1)
    np.testing.assert_allclose(adapter.predict(pair)["y"], both @ kernel, atol=1e-5)


def test_a_subclassed_model_without_declared_streams_asks_for_them(pair):
    model = Own("mapping", "one")
    model(pair)
    with pytest.raises(NotSupported, match=r"cannot be read off.*adapt\(model, streams="):
        adapt(model)


def test_a_model_without_weights_is_refused():
    with pytest.raises(NotSupported, match="has no weights yet"):
        adapt(Own("mapping", "one"), streams={"u": 4, "v": 3})
    with pytest.raises(NotSupported, match="has no weights yet"):
        adapt(keras.Sequential([keras.layers.Dense(1)]), streams={"x": 4})


def test_wrong_widths_for_a_subclassed_model_say_which_streams_were_declared(pair):
    model = Own("mapping", "one")
    model(pair)
    with pytest.raises(ShapeMismatch, match=r"does not take the declared streams.*u \(7,\)"):
        adapt(model, streams={"u": 7, "v": 3})
