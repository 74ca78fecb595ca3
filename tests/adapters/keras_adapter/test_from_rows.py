"""Keras models that say nothing of their inputs: built by the first rows, or with a call of their own."""

import json

import keras
import numpy as np
import pandas as pd
import pytest

import xai_mimo as xm
from xai_mimo.core.errors import NotSupported, ShapeMismatch
from xai_mimo.core.streams import Stream
from xai_mimo.explainers import Occlusion

RNG = np.random.default_rng(7)
SENSORS, IMAGE = RNG.normal(size=(12, 3)).astype("float32"), RNG.normal(size=(12, 4, 4, 1)).astype("float32")
TOKENS = RNG.integers(0, 5, size=(12, 6))
BOTH = {"sensors": SENSORS, "image": IMAGE}


def heads_of(explained):
    return [(h["name"], h["kind"], h.get("kind_from", "")) for h in json.loads(explained.attrs["heads"])]


@keras.saving.register_keras_serializable("from_rows")
class ByName(keras.Model):
    """Reads its inputs as parameters, and gives two heads by name."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.flat = keras.layers.Flatten()
        self.risk = keras.layers.Dense(1, activation="sigmoid")
        self.hours = keras.layers.Dense(2)

    def call(self, sensors, image, training=None):
        x = keras.ops.concatenate([sensors, self.flat(image)], axis=-1)
        return {"risk": self.risk(x), "hours": self.hours(x)}


class ByMapping(ByName):
    def call(self, inputs):
        return super().call(inputs["sensors"], inputs["image"])


class ByList(ByName):
    def call(self, inputs):
        risk, hours = super().call(*inputs).values()
        return risk, hours


def expected(model, *inputs, **named):
    answer = model(*inputs, **named, training=False)
    values = list(answer.values()) if isinstance(answer, dict) else list(answer)
    return [keras.ops.convert_to_numpy(y) for y in values]


@pytest.mark.parametrize("is_built", [False, True])
@pytest.mark.parametrize(
    ("kind", "rows", "names"),
    [
        (ByName, BOTH, ["sensors", "image"]),
        (ByName, [SENSORS, IMAGE], ["sensors", "image"]),
        (ByMapping, BOTH, ["sensors", "image"]),
        (ByList, [SENSORS, IMAGE], ["input_0", "input_1"]),
    ],
)
def test_a_model_with_a_call_of_its_own_needs_rows_alone(kind, rows, names, is_built):
    model = kind()
    given = ([], dict(zip(names, rows, strict=True))) if kind is ByName and isinstance(rows, list) else ([rows], {})
    if kind is ByName and not isinstance(rows, list):
        given = ([], rows)
    if is_built:
        expected(model, *given[0], **given[1])
    adapted = xm.adapt(model, like=rows)
    assert [s.name for s in adapted.streams] == names
    assert {s.dtype for s in adapted.streams} == {"float32"}
    for ours, theirs in zip(adapted.predict(rows).values(), expected(model, *given[0], **given[1]), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert [h.name for h in adapted.heads] == (["output_0", "output_1"] if kind is ByList else ["risk", "hours"])


def test_the_weights_are_those_of_its_own_first_call():
    keras.utils.set_random_seed(3)
    own = ByName()
    own(**BOTH)
    keras.utils.set_random_seed(3)
    ours = ByName()
    xm.adapt(ours, like={name: x[:5] for name, x in BOTH.items()})
    assert len(ours.weights) == len(own.weights) == 4
    for one, other in zip(ours.get_weights(), own.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_kinds_of_heads_are_those_of_the_compiled_losses():
    model, occlusion = ByName(), Occlusion(players="streams")
    model.risk.activation = keras.activations.linear
    assert {kind_from for _, _, kind_from in heads_of(xm.explain(model, BOTH, occlusion))} == {""}
    loss = {"risk": keras.losses.BinaryCrossentropy(from_logits=True), "hours": "mse"}
    model.compile(loss=loss)
    assert heads_of(xm.explain(model, BOTH, occlusion)) == [
        ("risk", "binary", "the loss it was compiled with"),
        ("hours", "regression", "the loss it was compiled with"),
    ]


def sequential():
    return keras.Sequential([keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(1, activation="sigmoid")])


def test_a_sequential_model_is_built_and_its_input_called_as_the_rows_call_it():
    model = sequential()
    first = xm.explain(model, {"sensors": SENSORS}, "occlusion")
    again = xm.explain(model, {"sensors": SENSORS}, "occlusion")
    np.testing.assert_array_equal(first["sensors"], again["sensors"])
    assert heads_of(first)[0][1:] == ("binary", "final sigmoid")
    frame = xm.explain(sequential(), {"sensors": pd.DataFrame(SENSORS, columns=["a", "b", "c"])}, "occlusion")
    assert frame["sensors_feature"].values.tolist() == ["a", "b", "c"]


class Words(keras.Model):
    def __init__(self):
        super().__init__()
        self.embed, self.out = keras.layers.Embedding(5, 2), keras.layers.Dense(1)

    def call(self, inputs):
        return self.out(keras.ops.mean(self.embed(inputs["tokens"]), axis=1))


def test_whole_numbers_and_one_input_by_name():
    model = Words()
    adapted = xm.adapt(model, like={"tokens": TOKENS})
    assert adapted.streams == (Stream("tokens", (6,), dtype="int32"),)
    np.testing.assert_allclose(
        adapted.predict({"tokens": TOKENS})["output"],
        keras.ops.convert_to_numpy(model({"tokens": TOKENS.astype("int32")})),
        rtol=1e-5,
        atol=1e-6,
    )


def test_batches_build_and_describe_a_model():
    unbuilt = ByName()
    xm.explain(
        unbuilt,
        ({name: x[i : i + 5] for name, x in BOTH.items()} for i in range(0, 12, 5)),
        Occlusion(players="streams"),
    )
    assert unbuilt.built


def test_what_is_missing_is_said():
    with pytest.raises(NotSupported, match=r"has no weights yet.* or give rows, xai_mimo\.adapt\(model, like=x\)"):
        xm.adapt(ByName())
    model = ByName()
    expected(model, **BOTH)
    with pytest.raises(NotSupported, match=r"cannot be read off, .*or give rows to read them off.*like=x\)"):
        xm.adapt(model)
    with pytest.raises(
        ShapeMismatch, match=r"has no weights yet, and its first call does not take the rows \(a \(3,\)"
    ):
        xm.explain(ByMapping(), {"a": SENSORS, "b": IMAGE}, "gradient")


def own_loader(rows):
    """The rows in batches of five, as the backend's own loaders give them."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.data.Dataset.from_tensor_slices(rows).batch(5)
    if keras.backend.backend() == "torch":
        import torch

        class Rows(torch.utils.data.Dataset):
            def __len__(self):
                return 12

            def __getitem__(self, i):
                return {name: torch.tensor(x[i]) for name, x in rows.items()}

        return torch.utils.data.DataLoader(Rows(), batch_size=5)
    import jax.numpy as jnp

    return ({name: jnp.asarray(x[i : i + 5]) for name, x in rows.items()} for i in range(0, 12, 5))


def test_loaders_and_tensors_of_the_backend_are_rows():
    model = ByName()
    whole = xm.explain(model, BOTH, "gradient")
    tensors = {name: keras.ops.convert_to_tensor(x) for name, x in BOTH.items()}
    for rows in (own_loader(BOTH), tensors, [*tensors.values()]):
        found = xm.explain(model, rows, "gradient")
        np.testing.assert_array_equal(found["sensors"], whole["sensors"])
        assert found.attrs["data_sha256"] == whole.attrs["data_sha256"]
    rounded = {name: keras.ops.cast(x, "bfloat16") for name, x in BOTH.items()}
    same = {name: keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")) for name, x in rounded.items()}
    np.testing.assert_array_equal(
        xm.explain(model, rounded, "gradient")["image"], xm.explain(model, same, "gradient")["image"]
    )


class Ends(ByName):
    """Heads that end in an activation of a layer, in a layer of its own, in a network, in nothing, and in arithmetic."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.kind, self.softmax = keras.layers.Dense(3), keras.layers.Softmax()
        self.tags = keras.Sequential([keras.layers.Dense(2, "sigmoid")])

    def call(self, sensors, image):
        made = super().call(sensors, image)
        kind = self.softmax(self.kind(sensors))
        return made | {"kind": kind, "tags": self.tags(sensors), "half": made["risk"] / 2}


def test_kinds_are_seen_in_the_layer_that_makes_a_head():
    call = keras.layers.Layer.__call__
    heads = xm.adapt(Ends(), like=BOTH).heads
    assert {h.name: (h.kind, h.kind_from) for h in heads} == {
        "risk": ("binary", "final sigmoid"),
        "hours": ("regression", ""),
        "kind": ("multiclass", "final softmax"),
        "tags": ("multilabel", "final sigmoid"),
        "half": ("regression", ""),
    }
    assert keras.layers.Layer.__call__ is call


def test_the_class_of_layers_is_put_back_after_an_error():
    class Fails(ByName):
        def call(self, sensors, image):
            raise RuntimeError("broken")

    call, model = keras.layers.Layer.__call__, Fails()
    model.built = True
    with pytest.raises(ShapeMismatch, match="broken"):
        xm.adapt(model, like=BOTH)
    assert keras.layers.Layer.__call__ is call


def test_a_name_that_keras_counted_is_no_name():
    made = keras.Sequential([keras.layers.Dense(1)])
    assert [s.name for s in xm.adapt(made, like=SENSORS).streams] == ["input"]
