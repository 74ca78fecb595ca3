"""MAIL inside models of every kind: training, saving, masks, the published listing, and errors at the door."""

import keras
import numpy as np
import pytest
from keras import ops

from xai_mimo.layers import MAIL, InterceptionHistory, MIMOAttentionLayer
from xai_mimo.layers.interception import read_maps
from xai_mimo.sowing import collect


def streams_of(rng, rows=6):
    return {"u": rng.normal(size=(rows, 3)).astype("float32"), "v": rng.normal(size=(rows, 2)).astype("float32")}


def functional():
    inputs = {"u": keras.Input((3,), name="u"), "v": keras.Input((2,), name="v")}
    return keras.Model(inputs, MAIL({"a": 1, "b": 2}, name="mail")(inputs))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.mail = MAIL({"a": 1, "b": 2}, name="mail")

    def call(self, inputs):
        return self.mail(inputs)


def nested():
    inputs = {"u": keras.Input((3,), name="u"), "v": keras.Input((2,), name="v")}
    return keras.Model(inputs, functional()(inputs))


@pytest.mark.parametrize("make", [functional, Subclassed, nested], ids=lambda m: m.__name__)
def test_maps_are_read_before_and_after_fit(make, rng):
    model, x = make(), streams_of(rng)
    outputs, maps, _ = read_maps(model, x)
    model.compile("adam", loss="mse", jit_compile=keras.backend.backend() != "torch")
    model.fit(x, {name: np.ones_like(y) for name, y in outputs.items()}, epochs=1, verbose=0)
    after, maps_after, _ = read_maps(model, x)
    assert set(maps) == set(maps_after)
    assert {key.rsplit("/", 1)[1] for key in maps} == {"attention", "context", "contribution"}
    key = next(k for k in maps if k.endswith("attention"))
    assert maps_after[key].shape == (6, 2, 5)
    assert np.abs(maps_after[key] - maps[key]).max() > 0
    for name, values in model.predict(x, verbose=0).items():
        np.testing.assert_allclose(values, after[name], atol=1e-5)


def test_sequential_model_of_one_stream(rng):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), MAIL([2], name="mail")])
    _, maps, _ = read_maps(model, rng.normal(size=(5, 4)).astype("float32"))
    assert next(v for k, v in maps.items() if k.endswith("attention")).shape == (5, 1, 3)


def test_clone_and_file_give_the_same_numbers(rng, tmp_path):
    model, x = functional(), streams_of(rng)
    wanted, _, _ = read_maps(model, x)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    model.save(tmp_path / "model.keras")
    for other in (clone, keras.saving.load_model(tmp_path / "model.keras")):
        outputs, _, labels = read_maps(other, x)
        np.testing.assert_allclose(outputs["b"], wanted["b"], atol=1e-6)
        assert next(iter(labels.values())).coords["feature.stream"] == ("u", "u", "u", "v", "v")


@pytest.mark.parametrize("stream_names", [None, ["v", "u"], ["u", "v"]])
@pytest.mark.parametrize("order", [("u", "v"), ("v", "u")])
def test_the_order_of_a_dict_of_streams_survives_the_file(order, stream_names, rng, tmp_path):
    widths = {"u": 3, "v": 2}
    inputs = {name: keras.Input((widths[name],), name=name) for name in order}
    model = keras.Model(inputs, MAIL({"a": 1, "b": 2}, stream_names=stream_names, name="mail")(inputs))
    model.save(tmp_path / "model.keras")
    x = streams_of(rng, rows=4)
    before, maps, labels = read_maps(model, x)
    after, maps_after, labels_after = read_maps(keras.saving.load_model(tmp_path / "model.keras"), x)
    owners = tuple(name for name in stream_names or order for _ in range(widths[name]))
    assert labels["mail/attention"].coords["feature.stream"] == owners
    assert labels_after == labels
    np.testing.assert_array_equal(after["b"], before["b"])
    np.testing.assert_array_equal(maps_after["mail/attention"], maps["mail/attention"])


def test_masks_of_steps_are_joined_and_passed_on(rng):
    tokens, values = keras.Input((4,), dtype="int32"), keras.Input((4, 2))
    embedded = keras.layers.Embedding(5, 3, mask_zero=True)(tokens)
    masked = keras.layers.Masking(0.0)(values)
    steps = MAIL({"y": 2}, name="mail")([embedded, masked])["y"]
    model = keras.Model([tokens, values], keras.layers.GlobalAveragePooling1D()(steps))
    ids = np.array([[1, 2, 0, 3]], "int32")
    x = rng.normal(size=(1, 4, 2)).astype("float32")
    x[0, 3] = 0.0
    outputs, maps, labels = read_maps(model, [ids, x])
    mask = maps["mail/mask"]
    np.testing.assert_array_equal(mask, [[1, 1, 0, 0]])
    assert labels["mail/mask"].axes == ("time",)
    bias = ops.convert_to_numpy(model.get_layer("mail").output_bias)
    steps_by_hand = maps["mail/contribution"].sum(-1) + bias
    np.testing.assert_allclose(outputs, steps_by_hand[:, :2].mean(1), atol=1e-5)


def test_the_published_listing_runs_and_its_maps_are_readable(rng):
    first, second = keras.Input((128,)), keras.Input((64,))
    dense_1 = keras.layers.Dense(64, activation="relu")(first)
    dense_2 = keras.layers.Dense(32, activation="relu")(second)
    layer = MIMOAttentionLayer(num_output_streams=3, output_stream_dims=[10, 1, 5], attention_hidden_units=64)
    streams = layer([dense_1, dense_2])
    outputs = [
        keras.layers.Dense(10, activation="linear", name="output_Reg10")(streams[0]),
        keras.layers.Dense(1, activation="sigmoid", name="output_ClassBin")(streams[1]),
        keras.layers.Dense(5, activation="linear", name="output_Reg5")(streams[2]),
    ]
    model = keras.Model([first, second], outputs)
    model.compile("adam", loss=["mse", "binary_crossentropy", "mae"])
    x = [rng.random((100, 128)).astype("float32"), rng.random((100, 64)).astype("float32")]
    y = [rng.random((100, 10)), rng.integers(0, 2, (100, 1)), rng.random((100, 5))]
    history = InterceptionHistory([v[:4] for v in x])
    model.fit(x, y, epochs=3, batch_size=50, verbose=0, callbacks=[history])
    key = f"{layer.path}/attention"
    assert history.epochs == [0, 1, 2, 3]
    assert history.maps[key].shape == (4, 4, 3, 96)
    assert history.labels[key].coords["head"] == ("head_0", "head_1", "head_2")
    np.testing.assert_array_equal(history.maps[key][-1], read_maps(model, [v[:4] for v in x])[1][key])
    assert np.abs(history.maps[key][0] - history.maps[key][-1]).max() > 0
    model.fit(x, y, epochs=1, batch_size=50, verbose=0, callbacks=[history])
    assert history.epochs == [0, 1]
    assert history.maps[key].shape == (2, 4, 3, 96)
    again = MIMOAttentionLayer.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


def test_published_errors():
    with pytest.raises(ValueError, match=r"one width per output stream.*Received: output_stream_dims=\[1\]"):
        MIMOAttentionLayer(2, [1])
    with pytest.raises(ValueError, match="Expected the inputs to be a list of tensors"):
        MIMOAttentionLayer(1, [1])(ops.ones((2, 3)))


def test_history_refuses_a_model_without_maps(rng):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = rng.normal(size=(4, 2)).astype("float32")
    with pytest.raises(ValueError, match="Expected a model that holds a layer which sows maps"):
        model.fit(x, x[:, :1], verbose=0, callbacks=[InterceptionHistory(x)])


def test_a_layer_called_twice_sows_twice(rng):
    layer = MAIL([1])
    x = ops.convert_to_tensor(rng.normal(size=(2, 3)).astype("float32"))
    with collect() as maps:
        layer(x)
        layer(x)
    assert {f"{layer.path}/attention", f"{layer.path}@1/attention"} <= set(maps)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"heads": []}, r"at least one head. Received: heads=\[\]"),
        ({"heads": 3}, "mapping name -> width or a sequence of widths. Received: heads=3"),
        ({"heads": {"": 1}}, "non-empty strings"),
        ({"heads": {"y": 0}}, "the width of head 'y' to be an integer of 1 or more"),
        ({"heads": [1.5]}, "integer of 1 or more"),
        ({"heads": [1], "hidden_units": 0}, "Received: hidden_units=0"),
        ({"heads": [1], "scoring": "loud"}, "one of 'dense', 'stream', .* Received: scoring='loud'"),
        ({"heads": [1], "normalizer": "max"}, "Received: normalizer='max'"),
        ({"heads": [1], "streams": "tree"}, "Received: streams='tree'"),
        ({"heads": [1], "temperature": 0.0}, "positive and finite. Received: temperature=0.0"),
        ({"heads": [1], "temperature": float("nan")}, "Received: temperature=nan"),
        ({"heads": [1], "stream_names": ["a", "a"]}, "without duplicates. Received: 'a' more than once"),
        ({"heads": [1], "feature_names": ["a"]}, "mapping stream -> names"),
    ],
)
def test_constructor_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        MAIL(**arguments)


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({}, [(None,)], "rank 2 or more"),
        ({}, [(None, 3), (None, 4, 3)], "equal leading axes"),
        ({}, [(5, 3), (6, 3)], "equal leading axes"),
        ({}, [(None, None)], "last axis has a fixed length"),
        ({}, [], "at least one stream"),
        ({}, {}, "at least one stream"),
        ({"stream_names": ["a"]}, [(None, 3), (None, 4)], "one name per stream, 2 of them"),
        ({"stream_names": ["a"]}, {"b": (None, 3)}, "Received: inputs with keys"),
        ({"feature_names": {"c": ["x"]}}, {"b": (None, 1)}, "Received: names for 'c'"),
        ({"feature_names": {"b": ["x"]}}, {"b": (None, 2)}, "Expected 2 feature names for stream 'b'"),
        ({"feature_names": {"b": ["x"], "a": ["x"]}}, {"b": (None, 1), "a": (None, 1)}, "'x' more than once"),
    ],
)
def test_build_errors(options, shape, message):
    with pytest.raises(ValueError, match=message):
        MAIL([1], **options).build(shape)
