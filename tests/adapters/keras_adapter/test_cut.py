"""Cutting functional Keras models at a layer, and the names that maps get from the graph."""

import keras
import numpy as np
import pytest

from xai_mimo.core.errors import BadSetting, NotSupported, UnknownName
from xai_mimo.core.model import Differentiable, Randomisable, Splittable, require
from xai_mimo.core.plugins import adapt
from xai_mimo.core.targets import select
from xai_mimo.sowing import sow


class Mixer(keras.layers.Layer):
    """Gives every head its own share of what it reads; sows labels as self-explaining layers do by default."""

    def __init__(self, heads=("head_0", "head_1"), as_mapping=False, **kwargs):
        super().__init__(**kwargs)
        self.heads, self.as_mapping = heads, as_mapping

    def call(self, streams):
        named = streams if isinstance(streams, dict) else {f"stream_{i}": x for i, x in enumerate(streams)}
        x = keras.ops.concatenate(list(named.values()), axis=-1)
        weights = [keras.ops.softmax((i + 1) * x) for i in range(len(self.heads))]
        owners = [name for name, part in named.items() for _ in range(part.shape[-1])]
        places = [owners[:i].count(name) for i, name in enumerate(owners)]
        coords = {
            "head": self.heads,
            "feature": [f"{name}.{place}" for name, place in zip(owners, places, strict=True)],
            "feature.stream": owners,
        }
        sow(self, "attention", keras.ops.stack(weights, axis=1), axes=("head", "feature"), coords=coords)
        outputs = [w * x for w in weights]
        return dict(zip(self.heads, outputs, strict=True)) if self.as_mapping else outputs


def encoded_model(nested=False, skip=False, mapping=False, **mixer):
    """'u' is encoded before the mixer, 'v' is read as it is; one head behind each output of the mixer."""
    u, v = keras.Input((4,), name="u"), keras.Input((3,), name="v")
    encoder = keras.layers.Dense(5, activation="tanh", name="encoder")
    if nested:
        inner_u, inner_v = keras.Input((4,)), keras.Input((3,))
        mixed = Mixer(name="mixer", **mixer)([encoder(inner_u), inner_v])
        outputs = keras.Model([inner_u, inner_v], mixed, name="core")([u, v])
    else:
        streams = {"first": encoder(u), "second": v} if mapping else [encoder(u), v]
        outputs = Mixer(name="mixer", **mixer)(streams)
        outputs = [outputs[name] for name in mixer["heads"]] if isinstance(outputs, dict) else outputs
    one = keras.layers.Concatenate()([outputs[0], u]) if skip else outputs[0]
    heads = [keras.layers.Dense(1, name="risk")(one), keras.layers.Dense(2, name="kind")(outputs[1])]
    return keras.Model([u, v], heads)


@pytest.fixture
def rows(rng):
    return {"u": rng.normal(size=(7, 4)).astype("float32"), "v": rng.normal(size=(7, 3)).astype("float32")}


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("skip", [False, True])
def test_the_tail_on_the_activations_equals_the_model(nested, skip, rows):
    adapter = adapt(encoded_model(nested=nested, skip=skip))
    tail, inner = adapter.tail("mixer"), adapter.activations(rows, "mixer")
    assert list(inner) == [stream.name for stream in tail.streams]
    for name, values in adapter.predict(rows).items():
        np.testing.assert_allclose(tail.predict(inner)[name], values, atol=1e-6)


def test_the_chain_rule_holds_across_the_cut(rows):
    model = encoded_model()
    adapter = adapt(model)
    chosen = select(None, adapter.heads, adapter.predict(rows))
    _, whole = adapter.gradients(rows, chosen)
    inner = adapter.activations(rows, "mixer")
    _, behind = adapter.tail("mixer").gradients(inner, chosen)
    kernel = model.get_layer("encoder").get_weights()[0]
    slope = 1 - inner["u_encoded"].astype(np.float64) ** 2
    np.testing.assert_allclose(whole["u"], (behind["u_encoded"] * slope) @ kernel.T, atol=1e-5)
    np.testing.assert_allclose(whole["v"], behind["v"], atol=1e-6)


def test_streams_of_the_tail_know_the_model_inputs_they_come_from():
    model = encoded_model()
    adapter = adapt(model, streams={"u": ["a", "b", "c", "d"], "v": ["x", "y", "z"]})
    assert adapter.layer_streams("mixer") == {"u_encoded": ("u",), "v": ("v",)}
    assert adapter.tail("mixer").streams[1] == adapter.streams[1]
    assert adapter.layer_streams("encoder") == {"u": ("u",), "v": ("v",)}  # v reaches the heads beside the encoder
    assert adapter.layer_streams("kind") == {"mixer": ("u", "v"), "u": ("u",), "v": ("v",)}


def test_an_equal_name_always_means_the_raw_input(rows):
    u, v = keras.Input((4,), name="u"), keras.Input((4,), name="v")
    flipped = Mixer(name="mixer")({"u": keras.layers.Dense(4, name="d")(v), "v": u})
    adapter = adapt(keras.Model([u, v], flipped))
    assert adapter.layer_streams("mixer") == {"u_encoded": ("v",), "u": ("u",)}


def test_a_stream_made_from_two_inputs_is_called_after_its_layer():
    u, v = keras.Input((4,), name="u"), keras.Input((4,), name="v")
    both = keras.layers.Add(name="sum")([u, v])
    twice = keras.layers.Dense(2, name="sum_0")(u)
    mixed = Mixer(name="mixer")([both, twice, keras.layers.Dense(3, name="other")(u)])
    adapter = adapt(keras.Model([u, v], mixed))
    assert adapter.layer_streams("mixer") == {"sum": ("u", "v"), "sum_0": ("u",), "other": ("u",)}


def test_a_model_input_beside_the_layer_becomes_a_stream_of_the_tail(rows):
    adapter = adapt(encoded_model(skip=True))
    assert adapter.layer_streams("mixer") == {"stream": ("u",), "v": ("v",), "u": ("u",)} or (
        adapter.layer_streams("mixer") == {"encoder": ("u",), "v": ("v",), "u": ("u",)}
    )
    assert set(adapter.activations(rows, "mixer")) == {"encoder", "v", "u"}


@pytest.mark.parametrize("nested", [False, True])
def test_maps_carry_the_names_of_streams_features_and_heads(nested, rows):
    adapter = adapt(encoded_model(nested=nested), streams={"u": ["a", "b", "c", "d"], "v": ["x", "y", "z"]})
    (found,) = adapter.intercept(rows).values()
    assert found.coords["head"] == ("risk", "kind")
    assert found.coords["feature.stream"] == ("u_encoded",) * 5 + ("v",) * 3
    assert found.coords["feature"] == (*(f"u_encoded.{i}" for i in range(5)), "x", "y", "z")
    (behind,) = adapter.tail("mixer").intercept(adapter.activations(rows, "mixer")).values()
    assert behind.coords == found.coords
    np.testing.assert_allclose(behind.values, found.values, atol=1e-6)


def test_maps_of_a_layer_called_with_a_mapping_carry_its_keys(rows):
    adapter = adapt(encoded_model(mapping=True))
    (found,) = adapter.intercept(rows).values()
    assert found.coords["feature.stream"] == ("first",) * 5 + ("v",) * 3
    assert [stream.name for stream in adapter.tail("mixer").streams] == ["first", "v"]


def test_heads_of_a_mapping_are_matched_by_name_not_by_sorted_place(rows):
    adapter = adapt(encoded_model(heads=("zeta", "alpha"), as_mapping=True))
    (found,) = adapter.intercept(rows).values()
    assert found.coords["head"] == ("risk", "kind")


def test_heads_that_mix_keep_the_names_of_the_layer(rows):
    u, v = keras.Input((4,), name="u"), keras.Input((3,), name="v")
    one, two = Mixer(name="mixer")([u, v])
    joined = keras.layers.Concatenate()([one, two])
    heads = [keras.layers.Dense(1, name="risk")(joined), keras.layers.Dense(2, name="kind")(two)]
    (found,) = adapt(keras.Model([u, v], heads)).intercept(rows).values()
    assert found.coords["head"] == ("head_0", "head_1")


def test_an_unknown_layer_lists_those_that_sow_first():
    with pytest.raises(UnknownName, match=r"no layer is called 'mixr'; there are: mixer, .*Did you mean 'mixer'"):
        adapt(encoded_model()).tail("mixr")


def test_a_layer_called_twice_is_refused():
    x = keras.Input((4,), name="x")
    shared = keras.layers.Dense(4, name="shared")
    adapter = adapt(keras.Model(x, shared(shared(x))))
    with pytest.raises(NotSupported, match="'shared' is called 2 times"):
        adapter.activations(np.ones((1, 4)), "shared")


def test_a_name_that_fits_two_layers_asks_for_the_path(rows):
    def block(name):
        x = keras.Input((4,))
        return keras.Model(x, keras.layers.Dense(4, name="same")(x), name=name)

    u = keras.Input((4,), name="u")
    model = keras.Model(u, block("two")(block("one")(u)))
    adapter = adapt(model)
    paths = [layer.path for name in ("one", "two") for layer in model.get_layer(name).layers[1:]]
    if len(set(paths)) == 2:
        with pytest.raises(BadSetting, match="several layers are called 'same'"):
            adapter.tail("same")
    else:
        with pytest.raises(NotSupported, match="'same' is called 2 times"):
            adapter.tail("same")


def test_a_subclassed_model_is_not_cut_but_read(rows):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.mixer = Mixer(name="mixer")

        def call(self, inputs):
            return self.mixer([inputs["u"], inputs["v"]])

    model = Own()
    model(rows)
    adapter = adapt(model, streams={"u": 4, "v": 3})
    (found,) = adapter.intercept(rows).values()
    assert found.values.shape == (7, 2, 7)
    assert isinstance(adapter, Differentiable)
    assert not isinstance(adapter, Splittable | Randomisable)
    with pytest.raises(NotSupported, match=r"at='mixer' needs .* model 'own.*' cannot be cut\. Build it as a"):
        require(adapter, Splittable, for_="at='mixer'")


def test_a_sequential_model_is_cut_like_a_functional_one(rng):
    model = keras.Sequential(
        [keras.Input((4,), name="x"), keras.layers.Dense(3, name="a"), keras.layers.Dense(1, name="b")]
    )
    adapter = adapt(model)
    data = rng.normal(size=(5, 4)).astype("float32")
    inner = adapter.activations(data, "b")
    assert list(inner) == ["x_encoded"]
    np.testing.assert_allclose(adapter.tail("b").predict(inner)["b"], adapter.predict(data)["b"], atol=1e-6)


def test_a_cut_has_its_own_fingerprint():
    adapter = adapt(encoded_model())
    digests = {adapter.fingerprint(), adapter.tail("mixer").fingerprint(), adapter.tail("kind").fingerprint()}
    assert len(digests) == 3


def test_features_keep_their_names_through_layers_that_treat_each_value_by_itself(rows):
    u = keras.Input((4,), name="u")
    scaled = keras.layers.Dropout(0.5)(keras.layers.Normalization(mean=[1.0] * 4, variance=[4.0] * 4)(u))
    mixed = Mixer(name="mixer", heads=("risk",))({"scaled": scaled, "dense": keras.layers.Dense(4)(scaled)})
    model = adapt(keras.Model({"u": u}, {"risk": mixed[0]}), streams={"u": ["air", "process", "speed", "torque"]})
    scaled_stream, dense_stream = model.tail("mixer").streams
    assert scaled_stream.features == ("air", "process", "speed", "torque")
    assert dense_stream.features == ("0", "1", "2", "3")
    activations = model.activations({"u": rows["u"]}, "mixer")
    np.testing.assert_allclose(activations["scaled"], (rows["u"] - 1) / 2, rtol=1e-5, atol=1e-6)


def test_maps_name_the_article_that_their_layer_is_from(rows):
    model = adapt(encoded_model())
    assert {found.reference for found in model.intercept(rows).values()} == {""}
    model.model.get_layer("mixer").reference = "somebody2026mixer"
    again = adapt(model.model)
    assert {found.reference for found in again.intercept(rows).values()} == {"somebody2026mixer"}


def test_maps_of_a_layer_called_with_keyword_tensors_carry_the_streams_of_the_tail(rows):
    u, v = keras.Input((4,), name="u"), keras.Input((3,), name="v")
    one, two = Mixer(name="mixer")(streams=[u, v])
    heads = [keras.layers.Dense(1, name="risk")(one), keras.layers.Dense(2, name="kind")(two)]
    adapter = adapt(keras.Model([u, v], heads))
    (found,) = adapter.intercept(rows).values()
    assert found.coords["head"] == ("risk", "kind")
    assert found.coords["feature.stream"] == ("u",) * 4 + ("v",) * 3
    for name, values in adapter.predict(rows).items():
        np.testing.assert_allclose(
            adapter.tail("mixer").predict(adapter.activations(rows, "mixer"))[name], values, atol=1e-6
        )
