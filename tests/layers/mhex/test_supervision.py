"""Deep supervision: the loss by hand, labels in every structure, nothing left of it at inference."""

import keras
import numpy as np
import pytest
from keras import layers

from xai_mimo.layers import DeepSupervision, MHEXHead, add_mhex
from xai_mimo.layers.mhex.supervision import Supervised

ROWS = 12


def network(outputs=None, blocks=2, dropout=0.0, **head):
    """Two residual blocks of dense layers over four tokens; an output per name, ``{name: (width, activation)}``."""
    outputs = outputs or {"kind": (3, "softmax")}
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 5), name="x")
    x = inputs
    for i in range(1, blocks + 1):
        branch = layers.Dropout(dropout)(layers.Dense(5, "relu", name=f"block_{i}_dense")(x))
        settings = head or {"heads": {name: width for name, (width, _) in outputs.items()}}
        x = MHEXHead(**settings, name=f"block_{i}_mhex")([branch, x])
    pooled = layers.GlobalAveragePooling1D()(x)
    made = {name: layers.Dense(w, activation, name=name)(pooled) for name, (w, activation) in outputs.items()}
    return keras.Model(inputs, made if len(made) > 1 else next(iter(made.values())))


@pytest.fixture
def x(rng):
    return rng.normal(size=(ROWS, 4, 5)).astype("float32")


def supervised_loss(model, x, y, sample_weight=None):
    """The loss of training on these rows, and the main one."""
    tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, (x, y))
    weights = None if sample_weight is None else keras.ops.convert_to_tensor(sample_weight)
    made = model(tensors[0], training=True)
    assert isinstance(made, Supervised)
    whole = model.compute_loss(tensors[0], tensors[1], made, weights, training=True)
    main = model.compute_loss(tensors[0], tensors[1], made.outputs, weights, training=False)
    logits = keras.tree.map_structure(keras.ops.convert_to_numpy, made.logits)
    return float(keras.ops.convert_to_numpy(whole - main)), logits


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def log_sigmoid(logits):
    return -np.log1p(np.exp(-logits))


def test_classes_by_hand_each_block_with_its_share_of_the_weight(x, rng):
    y = rng.integers(0, 3, ROWS)
    model = DeepSupervision(network(), weight=0.6, block_weights={"block_2_mhex": 3.0})
    model.compile("sgd", "sparse_categorical_crossentropy")
    added, logits = supervised_loss(model, x, y)
    losses = [-log_softmax(logits[f"block_{i}_mhex"]["kind"])[np.arange(ROWS), y].mean() for i in (1, 2)]
    np.testing.assert_allclose(added, 0.6 * (0.25 * losses[0] + 0.75 * losses[1]), rtol=1e-4)


KINDS = {"kind": "multiclass", "ill": "binary", "tags": "multilabel", "load": "regression"}
OUTPUTS = {"kind": (3, None), "ill": (1, None), "tags": (2, None), "load": (1, None)}


def test_every_kind_of_output_by_hand(x, rng):
    y = {
        "kind": np.eye(3)[rng.integers(0, 3, ROWS)],
        "ill": rng.integers(0, 2, (ROWS, 1)).astype("float32"),
        "tags": rng.integers(0, 2, (ROWS, 2)).astype("float32"),
        "load": rng.normal(size=(ROWS, 1)).astype("float32"),
    }
    weight = {"kind": 1.0, "ill": 2.0, "tags": 3.0, "load": 4.0}
    model = DeepSupervision(network(OUTPUTS, blocks=1), kinds=KINDS, weight=weight)
    model.compile("sgd", dict.fromkeys(OUTPUTS, "mse"))
    rows = rng.uniform(0.5, 2.0, ROWS).astype("float32")
    for weights in (None, rows):
        added, logits = supervised_loss(model, x, y, weights)
        found = logits["block_1_mhex"]
        w = np.ones(ROWS) if weights is None else weights
        expected = 1.0 * (w * -(y["kind"] * log_softmax(found["kind"])).sum(axis=1)).mean()
        for name in ("ill", "tags"):
            z, t = found[name], y[name]
            entropy = -(t * log_sigmoid(z) + (1 - t) * log_sigmoid(-z)).mean(axis=1)
            expected += weight[name] * (w * entropy).mean()
        expected += 4.0 * (w * np.square(found["load"] - y["load"])[:, 0]).mean()
        np.testing.assert_allclose(added, expected, rtol=1e-4)


@pytest.mark.parametrize("structure", ["by name", "in order"])
def test_labels_come_by_name_or_in_order(structure, x, rng):
    y = {"kind": rng.integers(0, 3, ROWS), "load": rng.normal(size=(ROWS, 1)).astype("float32")}
    outputs = {"kind": (3, None), "load": (1, None)}
    net = network(outputs, blocks=1)
    if structure == "in order":
        net = keras.Model(net.input, [net.output["kind"], net.output["load"]])
    model = DeepSupervision(net, kinds={"kind": "multiclass", "load": "regression"})
    model.compile("sgd", {"kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "load": "mse"})
    added, logits = supervised_loss(model, x, y if structure == "by name" else [y["kind"], y["load"]])
    found = logits["block_1_mhex"]
    expected = -log_softmax(found["kind"])[np.arange(ROWS), y["kind"]].mean()
    expected += np.square(found["load"] - y["load"]).mean()
    np.testing.assert_allclose(added, 0.5 * expected, rtol=1e-4)


def test_supervision_is_gone_at_inference_and_predictions_are_equal_to_the_bit(x, rng):
    y = rng.integers(0, 3, ROWS)
    model = DeepSupervision(network(dropout=0.3))
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=2, batch_size=6, verbose=0)
    net = model.inference()
    np.testing.assert_array_equal(model.predict(x, verbose=0), net.predict(x, verbose=0))
    exposed = _with_logits(net)
    np.testing.assert_array_equal(exposed.predict(x, verbose=0)[0], net.predict(x, verbose=0))
    predicted = net.predict(x, verbose=0)
    main = [-np.log(predicted[np.arange(ROWS), y]).mean(), (predicted.argmax(axis=1) == y).mean()]
    np.testing.assert_allclose(model.evaluate(x, y, verbose=0), main, rtol=1e-5)


def _with_logits(net):
    """The same network with the logits of its heads as further outputs."""

    def copy(layer):
        if not isinstance(layer, MHEXHead):
            return layer
        made = MHEXHead.from_config({**layer.get_config(), "return_logits": True})
        made.build([tensor.shape for tensor in layer.input])
        made.set_weights(layer.get_weights())
        return made

    logits = []

    def call(layer, *args, **kwargs):
        found = layer(*args, **kwargs)
        if isinstance(layer, MHEXHead):
            logits.append(found[1])
            return found[0]
        return found

    clone = keras.models.clone_model(net, clone_function=copy, call_function=call)
    return keras.Model(clone.input, [clone.output, *logits])


def test_with_weight_zero_class_kernels_stay_and_gate_kernels_move(x, rng):
    y = rng.integers(0, 3, ROWS)
    model = DeepSupervision(network(), weight=0.0)
    before = {w.path: keras.ops.convert_to_numpy(w).copy() for w in model.trainable_weights}
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=3, verbose=0)
    moved = {w.path: not np.array_equal(keras.ops.convert_to_numpy(w), before[w.path]) for w in model.trainable_weights}
    assert {path for path, has in moved.items() if not has} == {f"block_{i}_mhex/class_kernel" for i in (1, 2)}


def test_a_file_keeps_the_network_the_kinds_and_the_weights(x, rng, tmp_path):
    y = rng.integers(0, 3, ROWS)
    model = DeepSupervision(network(), weight=0.7, block_weights={"block_1_mhex": 2.0})
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for either in (model, loaded):
        either.compile("adam", "sparse_categorical_crossentropy")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert (loaded.kinds, loaded.weight) == ({"kind": "multiclass"}, {"kind": 0.7})
    assert loaded.block_weights == {"block_1_mhex": 2.0, "block_2_mhex": 1.0}
    np.testing.assert_allclose(supervised_loss(loaded, x, y)[0], supervised_loss(model, x, y)[0], rtol=1e-5)


LOSSES = {
    "kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "ill": keras.losses.BinaryCrossentropy(from_logits=True),
    "tags": keras.losses.BinaryCrossentropy(from_logits=True),
    "load": "mse",
}


def test_kinds_of_logits_are_read_off_the_losses_they_are_trained_with(x, rng):
    late = DeepSupervision(network(OUTPUTS, blocks=1))
    assert late.kinds == {}
    late.compile("sgd", LOSSES)
    net = network(OUTPUTS, blocks=1)
    net.compile("sgd", LOSSES)
    assert late.kinds == DeepSupervision(net).kinds == KINDS
    y = {"kind": rng.integers(0, 3, ROWS), "load": np.zeros((ROWS, 1))}
    y |= {"ill": np.ones((ROWS, 1)), "tags": np.ones((ROWS, 2))}
    told = DeepSupervision(network(OUTPUTS, blocks=1), kinds=KINDS)
    told.compile("sgd", LOSSES)
    assert supervised_loss(late, x, y)[0] == pytest.approx(supervised_loss(told, x, y)[0])


def test_a_told_kind_stands_whatever_the_loss_says():
    model = DeepSupervision(network({"kind": (1, None)}, blocks=1), kinds="binary")
    model.compile("sgd", "mse")
    assert model.kinds == {"kind": "binary"}


def test_kinds_are_read_from_activations():
    outputs = {"kind": (3, "softmax"), "ill": (1, "sigmoid"), "tags": (2, "sigmoid")}
    assert DeepSupervision(network(outputs, blocks=1)).kinds == {
        "kind": "multiclass",
        "ill": "binary",
        "tags": "multilabel",
    }


def test_one_unnamed_head_is_that_of_the_one_output():
    assert DeepSupervision(network(num_classes=3)).kinds == {"kind": "multiclass"}


class Written(keras.Model):
    """A network whose call is its own code."""

    def __init__(self):
        super().__init__()
        self.dense, self.head, self.score = layers.Dense(5), MHEXHead(heads={"kind": 3}), layers.Dense(3)

    def call(self, inputs):
        return {"kind": self.score(self.head([self.dense(inputs), inputs])[:, 0])}


def test_a_network_with_code_of_its_own_is_trained_too(x, rng):
    keras.utils.set_random_seed(0)
    net = Written()
    net(x)
    model = DeepSupervision(net, kinds="multiclass")
    model.compile("adam", {"kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True)})
    history = model.fit(x, {"kind": rng.integers(0, 3, ROWS)}, epochs=2, verbose=0).history
    assert history["loss"][1] < history["loss"][0]


def test_supervised_heads_of_an_equipped_network_learn(x):
    """The class is the sign of the first feature, which each head can read off the sum."""
    y = (x[..., 0].mean(axis=1) > 0).astype(int)
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 5), name="x")
    h = layers.Add(name="block_add")([layers.Dense(5, "tanh")(inputs), inputs])
    plain = keras.Model(inputs, layers.Dense(2, "softmax", name="sign")(layers.GlobalAveragePooling1D()(h)))
    model = add_mhex(plain, weight=1.0)
    model.compile(keras.optimizers.Adam(0.03), "sparse_categorical_crossentropy")
    first, _ = supervised_loss(model, x, y)
    model.fit(x, y, epochs=25, verbose=0)
    assert supervised_loss(model, x, y)[0] < 0.5 * first


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: DeepSupervision(network(OUTPUTS)).compile("sgd", ["poisson"] * 4),
            r"what output 'kind' is: it ends in no softmax or sigmoid.*Give `kinds=\{'kind': ...\}`, one of 'regression'",
        ),
        (lambda: DeepSupervision(network(), kinds="classes"), "Received: kinds='classes'"),
        (
            lambda: DeepSupervision(network(), kinds={"knd": "binary"}),
            r"for outputs out of \['kind'\]. Received: kinds={'knd",
        ),
        (lambda: DeepSupervision(network(), weight=-1.0), "Expected `weight` to be finite and 0 or more"),
        (
            lambda: DeepSupervision(network(), weight={"x": 1}),
            r"for names out of \['kind'\]. Received: weight={'x': 1}",
        ),
        (
            lambda: DeepSupervision(network(), block_weights={"block_3": 1}),
            r"Expected `block_weights` to be finite and 0 or more, for names out of \['block_1_mhex', 'block_2_mhex'\]",
        ),
        (
            lambda: DeepSupervision(network(heads={"other": 3, "kind": 3})),
            r"Expected heads named like the network's outputs \['kind'\]. Received: heads=\['other', 'kind'\]",
        ),
        (
            lambda: DeepSupervision(keras.Sequential([keras.Input((3,)), layers.Dense(2)], name="plain")),
            "Expected a network that holds MHEXHead layers. Received: 'plain', without one",
        ),
    ],
)
def test_arguments_are_checked(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_heads_that_differ_between_blocks_are_refused():
    inputs = keras.Input((4, 5))
    x = MHEXHead(heads={"kind": 3})([inputs, inputs])
    x = MHEXHead(heads={"kind": 2})([x, x])
    net = keras.Model(inputs, layers.Dense(3, "softmax", name="kind")(layers.GlobalAveragePooling1D()(x)))
    with pytest.raises(ValueError, match="Expected the same heads in all blocks"):
        DeepSupervision(net)


def test_labels_that_miss_an_output_are_refused(x):
    outputs = {"kind": (3, "softmax"), "ill": (1, "sigmoid")}
    model = DeepSupervision(network(outputs, blocks=1))
    made = model(keras.ops.convert_to_tensor(x), training=True)
    with pytest.raises(
        ValueError, match=r"Expected labels for the outputs \['kind', 'ill'\], by name or in this order"
    ):
        model._supervision({"kind": np.zeros(ROWS)}, made.logits, None)
    with pytest.raises(ValueError, match="Received: NoneType"):
        model._supervision(None, made.logits, None)
