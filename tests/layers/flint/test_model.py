"""FLINT around a predictor: its outputs kept bit by bit, who is trained by which loss, saving and loading."""

import keras
import numpy as np
import pytest
from keras import layers

from tests.helpers.flint_by_hand import HEADS, LOSSES, compiled, mixed_data, mixed_flint, mixed_predictor, numpy_of
from xai_mimo.layers import FLINT, InterpreterHead
from xai_mimo.testing.layer_contract import precision

# Interpreters that were never trained say little of their predictor; `test_cautions` reads the warning.
pytestmark = pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.InterpreterWarning")


def predicted(model, x):
    return model.predict(x, batch_size=8, verbose=0)


def assert_same(found, expected):
    for a, b in zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("post_hoc", [True, False])
def test_outputs_are_the_predictors_bit_by_bit(post_hoc, rng):
    f, (x, _) = mixed_predictor(), mixed_data(rng)
    assert_same(predicted(mixed_flint(predictor=f, post_hoc=post_hoc), x), predicted(f, x))


def test_post_hoc_training_leaves_every_weight_and_state_of_the_predictor(rng):
    f, (x, _) = mixed_predictor(), mixed_data(rng, rows=21)
    before, outputs = numpy_of(f.variables), predicted(f, x)
    model = mixed_flint(predictor=f, post_hoc=True, dropout=0.2)
    start = numpy_of(model.trainable_variables)
    model.compile(keras.optimizers.AdamW(0.01, weight_decay=0.1))
    losses = model.fit(x, batch_size=8, epochs=3, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert_same(numpy_of(f.variables), before)
    assert_same(predicted(f, x), outputs)
    assert_same(predicted(model, x), outputs)
    assert f.trainable
    assert all(v.trainable for v in f.trainable_variables)
    assert len(f.trainable_variables) == 10
    for old, new in zip(start, numpy_of(model.trainable_variables), strict=True):
        assert not np.array_equal(old, new)
    theirs = {id(v) for v in f.variables}
    assert not theirs & {id(v) for v in model.trainable_weights}
    assert theirs <= {id(v) for v in model.non_trainable_variables}


def test_post_hoc_a_predictor_with_dropout_and_batch_norm_is_read_in_inference_mode(rng):
    """In training mode its batch norm and dropout would make the loss of a step differ from that of ``evaluate``."""
    f, (x, _) = mixed_predictor(), mixed_data(rng, rows=16)
    model = mixed_flint(predictor=f, post_hoc=True, schedule=None)
    model.compile(keras.optimizers.SGD(0.0))
    trained = model.fit(x, batch_size=16, verbose=0).history["loss"][0]
    np.testing.assert_allclose(trained, model.evaluate(x, batch_size=16, verbose=0), rtol=1e-5)


def test_without_weights_the_predictor_trains_as_if_it_were_alone(rng):
    x, y = mixed_data(rng)
    alone, beside = mixed_predictor(seed=3), mixed_predictor(seed=3)
    compiled(alone)
    alone.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0)
    weights = dict.fromkeys(("fidelity", "reconstruction", "entropy", "sparsity"), 0.0)
    model = compiled(mixed_flint(predictor=beside, weights=weights, dropout=0.3))
    model.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0)
    for a, b in zip(numpy_of(alone.variables), numpy_of(beside.variables), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_by_design_the_terms_reach_the_tapped_layers_and_fidelity_never_the_heads(rng):
    x, y = mixed_data(rng)
    moved = {}
    for name in ("fidelity", "reconstruction"):
        f = mixed_predictor()
        model = mixed_flint(
            predictor=f,
            schedule=None,
            weights=dict.fromkeys(("fidelity", "reconstruction", "entropy", "sparsity"), 0.0) | {name: 1.0},
        )
        model.compile(keras.optimizers.SGD(0.1), loss=dict(LOSSES), loss_weights=dict.fromkeys(LOSSES, 0.0))
        before = {w.path: v for w, v in zip(f.weights, numpy_of(f.weights), strict=True)}
        model.fit(x, y, batch_size=10, verbose=0)
        moved[name] = {p: np.abs(v - before[p]).max() for p, v in zip(before, numpy_of(f.weights), strict=True)}
    for name in moved:
        assert moved[name]["first/kernel"] > 0
        assert moved[name]["kind/kernel"] == moved[name]["load/kernel"] == 0


def test_several_heads_are_compiled_and_measured_as_the_predictors(rng):
    x, y = mixed_data(rng, rows=13)
    model = compiled(mixed_flint(), metrics={"kind": ["accuracy"], "load": ["mae"]})
    history = model.fit(x, y, batch_size=5, validation_data=(x, y), epochs=2, verbose=0).history
    assert {"kind_accuracy", "load_mae", "val_kind_accuracy", "alarm_loss", "val_loss"} <= set(history)
    assert set(predicted(model, x)) == set(HEADS)
    assert all(len(values) == 2 and np.isfinite(values).all() for values in history.values())


@pytest.mark.all_frameworks
def test_outputs_in_order_keep_the_predictors_structure_and_names(rng):
    inputs = keras.Input((4,))
    hidden = layers.Dense(5, activation="relu", name="tap")(inputs)
    second = layers.Dense(1, name="b")(hidden)
    f = keras.Model(inputs, [layers.Dense(3, activation="softmax", name="a")(hidden), second])
    model = FLINT(f, ["tap"], 4, kinds={"b": "regression"}, seed=0)
    x, y = rng.normal(size=(9, 4)).astype("float32"), rng.integers(3, size=9)
    model.compile("sgd", loss={"a": "sparse_categorical_crossentropy", "b": "mse"})
    model.fit(x, [y, y.astype("float32")], batch_size=4, verbose=0)
    assert_same(predicted(model, x), predicted(f, x))
    assert list(model.interpret(x)["head"].values) == ["a", "b"]


@pytest.mark.all_frameworks
def test_heads_of_one_layer_are_numbered(rng):
    inputs, shared = keras.Input((4,)), layers.Dense(1, activation="sigmoid", name="b")
    hidden = [layers.Dense(3, activation="relu", name=name)(inputs) for name in ("tap", "other")]
    f = keras.Model(inputs, [layers.Dense(3, activation="softmax", name="a")(hidden[0]), *map(shared, hidden)])
    model = FLINT(f, ["tap"], 4, seed=0)
    x = rng.normal(size=(5, 4)).astype("float32")
    assert list(model.interpret(x)["head"].values) == ["a", "b_0", "b_1"]
    assert_same(predicted(model, x), predicted(f, x))


@pytest.mark.all_frameworks
def test_sequential_predictors_and_kinds_from_the_compiled_loss(rng):
    f = keras.Sequential(
        [keras.Input((6, 2)), layers.Conv1D(3, 2, name="tap"), layers.Flatten(), layers.Dense(4, name="y")]
    )
    f.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model = FLINT(f, ["tap"], 4, post_hoc=True, seed=0)
    head = model.networks.predictor.heads[0]
    assert (head.kind, head.from_logits) == ("multiclass", True)
    model.compile("adam")
    x = rng.normal(size=(7, 6, 2)).astype("float32")
    model.fit(x, batch_size=4, verbose=0)
    assert model.reconstruct(x).shape == x.shape


@pytest.mark.all_frameworks
def test_networks_can_be_replaced(rng):
    dictionary = keras.Sequential([keras.Input((8,)), layers.Dense(5, activation="softplus")])
    decoder = layers.Dense(4)
    interpreter = InterpreterHead(HEADS, use_bias=False, kernel_regularizer="l2")
    model = mixed_flint(dictionary=dictionary, decoder=decoder, interpreter=interpreter)
    x, _ = mixed_data(rng)
    found = model.interpret(x)
    expected = dictionary(
        keras.Model(model.networks.predictor.model.input, model.networks.predictor.model.get_layer("tap").output)(x)
    )
    np.testing.assert_allclose(found["attributes"], keras.ops.convert_to_numpy(expected), atol=1e-5)
    assert (found["bias"] == 0).all()
    assert any(v is decoder.kernel for v in model.trainable_variables)


@pytest.mark.all_frameworks
def test_a_head_may_be_called_like_an_input_as_forecasts_are(rng):
    inputs = keras.Input((4,), name="load")
    f = keras.Model(inputs, {"load": layers.Dense(1, name="linear")(layers.Dense(5, name="tap")(inputs))})
    model = FLINT(f, ["tap"], 3, kinds="regression", seed=0)
    model.compile("sgd", loss={"load": "mse"}, metrics={"load": ["mae"]})
    x = rng.normal(size=(6, 4)).astype("float32")
    measured = model.evaluate(x, {"load": x[:, :1]}, verbose=0, return_dict=True)
    assert measured["mae"] == pytest.approx(np.abs(predicted(f, x)["load"] - x[:, :1]).mean(), rel=1e-4)
    assert_same(predicted(model, x), predicted(f, x))
    assert list(model.interpret(x)["head"].values) == ["load"]


@pytest.mark.all_frameworks
def test_integer_inputs_need_no_decoder(rng):
    inputs = keras.Input((5,), dtype="int32", name="tokens")
    hidden = layers.GlobalAveragePooling1D(name="tap")(layers.Embedding(7, 4)(inputs))
    f = keras.Model(inputs, layers.Dense(2, activation="softmax", name="y")(hidden))
    with pytest.raises(ValueError, match=r"input 'tokens' of shape .None, 5. and dtype int32. Give your own `decoder`"):
        FLINT(f, ["tap"], 3)
    model = FLINT(f, ["tap"], 3, decoder=False, seed=0)
    x = rng.integers(7, size=(6, 5)).astype("int32")
    assert model.interpret(x).sizes["attribute"] == 3
    with pytest.raises(ValueError, match="Integers, such as tokens, cannot be changed little by little"):
        model.maximise(x[:1], [0])


@pytest.mark.parametrize("post_hoc", [True, False])
def test_save_and_load_keep_numbers_settings_and_training(post_hoc, rng, tmp_path):
    x, y = mixed_data(rng)
    model = mixed_flint(
        post_hoc=post_hoc,
        schedule="quickdraw",
        head_weights={"load": 0.1},
        weights={"entropy": 0.3},
        reconstruction_loss="absolute",
    )
    model.compile("adam", loss=None if post_hoc else dict(LOSSES))
    model.fit(x, None if post_hoc else y, batch_size=10, epochs=4, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert isinstance(loaded, FLINT)
    assert loaded.term_weights() == pytest.approx(model.term_weights())
    before, after = model.interpret(x), loaded.interpret(x)
    for name in before.data_vars:
        np.testing.assert_allclose(after[name], before[name], atol=1e-6, err_msg=name)
    assert {k: v for k, v in loaded.get_config().items() if k not in NETWORKS} == {
        k: v for k, v in model.get_config().items() if k not in NETWORKS
    }
    frozen = numpy_of(loaded.networks.predictor.model.variables)
    loaded.fit(x, None if post_hoc else y, batch_size=10, verbose=0)
    assert post_hoc == all(
        np.array_equal(a, b) for a, b in zip(frozen, numpy_of(loaded.networks.predictor.model.variables), strict=True)
    )


NETWORKS = ("predictor", "dictionary", "interpreter", "decoder")


@pytest.mark.all_frameworks
def test_interpreter_is_the_models_own_and_can_be_evaluated(rng):
    x, y = mixed_data(rng)
    model = mixed_flint()
    g = model.interpreter()
    scores = g.predict(x, verbose=0)
    found = model.interpret(x)
    np.testing.assert_allclose(scores["load"][:, 1], found["score"].sel(target="load:1"), atol=1e-5)
    losses = g.evaluate(x, y, verbose=0, return_dict=True)
    assert losses["load_loss"] == pytest.approx(np.square(scores["load"] - y["load"]).mean(), rel=1e-4)
    model.networks.interpreter.bias.assign(np.ones(6))
    np.testing.assert_allclose(g.predict(x, verbose=0)["load"], scores["load"] + 1, atol=1e-5)


@pytest.mark.all_frameworks
def test_by_design_needs_the_predictors_losses(rng):
    model = mixed_flint()
    model.compile("adam")
    with pytest.raises(ValueError, match=r"Expected `compile` with `loss`, .* make the model with post_hoc=True"):
        model.fit(mixed_data(rng)[0], verbose=0)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (
            {"taps": ["tp"]},
            "Expected `taps` to name layers of 'f': first, norm, tap, .*Received: 'tp'",
        ),
        ({"taps": "tap"}, "Expected `taps` to be a list of names of layers, each once. Received: taps='tap'"),
        ({"taps": []}, "Expected `taps` to be a list of names"),
        ({"taps": ["tap", "tap"]}, r"names of layers, each once. Received: taps=\['tap', 'tap'\]"),
        ({"taps": ["u"]}, "Expected `taps` to name layers of 'f': first, .* Received: 'u'"),
        ({"num_attributes": 0}, "Expected `num_attributes` to be an integer of 1 or more. Received: num_attributes=0"),
        ({"kinds": None}, "Expected to know what head 'load' is: .* Give `kinds={'load': ...}`"),
        ({"kinds": {"lod": "regression"}}, r"Expected `kinds` to give heads of \['kind', 'alarm', 'load'\]"),
        ({"kinds": {"load": "classes"}}, "one of 'regression', 'binary', 'multiclass', 'multilabel'"),
        ({"kinds": {"load": "binary"}}, "Expected a binary head of 1 unit. Received: head 'load' with 2"),
        ({"weights": {"beta": 1}}, "Expected `weights` to give finite numbers .* Received: beta=1"),
        ({"head_weights": {"kind": -1}}, r"Expected `head_weights` to give .* \['kind', 'alarm', 'load'\].*kind=-1"),
        ({"head_weights": {"sort": 1}}, "Received: sort=1"),
        ({"head_weights": {"kind": "1"}}, "Received: kind='1'"),
        ({"reconstruction_loss": "mse"}, "`reconstruction_loss` to be one of 'squared', 'absolute'"),
        ({"dictionary": layers.Dense(3)}, r"Expected `dictionary` to give tensors of shapes \[\(5,\)\]"),
        ({"decoder": layers.Dense(3)}, r"Expected `decoder` to give tensors of shapes \[\(4,\)\]"),
        ({"interpreter": layers.Dense(6)}, r"Expected `interpreter` to be an InterpreterHead.*Received: .*Dense"),
        ({"interpreter": InterpreterHead({"kind": 3})}, "Received: interpreter={'kind': 3}"),
    ],
)
@pytest.mark.all_frameworks
def test_arguments_are_checked(settings, text):
    given = {"taps": ["tap"], "num_attributes": 5, "kinds": {"load": "regression"}} | settings
    with pytest.raises(ValueError, match=text):
        FLINT(mixed_predictor(), **given)


@pytest.mark.all_frameworks
def test_predictors_that_cannot_be_read_are_refused():
    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(
        ValueError, match=r"Expected `predictor` to be a built functional or sequential .* predictor=Own"
    ):
        FLINT(Own(), ["tap"], 3)
    inputs = keras.Input((4, 4))
    same = layers.Dense(4, name="twice")
    f = keras.Model(inputs, same(same(inputs)))
    with pytest.raises(
        ValueError, match=r"called once and give one tensor. Received: 'twice', which is called 2 times"
    ):
        FLINT(f, ["twice"], 3)
    f = keras.Model(inputs, layers.Dense(3, activation="softmax", name="y")(inputs))
    with pytest.raises(ValueError, match=r"Expected heads of shape \(batch, units\). Received: head 'y' of shape"):
        FLINT(f, ["y"], 3)


@pytest.mark.parametrize("post_hoc", [True, False])
def test_a_clone_gives_the_same_outputs_and_losses_and_trains_networks_of_its_own(post_hoc, rng):
    """Keras clones a functional model as a plain one: without ``interpret``, with constant weights of the terms."""
    x, y = mixed_data(rng)
    model = compiled(mixed_flint(post_hoc=post_hoc, schedule=None))
    clone = keras.models.clone_model(model)
    model.set_weights([1.1 * w for w in model.get_weights()])
    clone.set_weights(model.get_weights())
    assert_same(predicted(clone, x), predicted(model, x))
    np.testing.assert_allclose(clone.evaluate(x, y, verbose=0), model.evaluate(x, y, verbose=0), rtol=1e-6)
    before = numpy_of(model.variables)
    clone.fit(x, y, batch_size=20, shuffle=False, verbose=0)
    assert_same(numpy_of(model.variables), before)
    model.fit(x, y, batch_size=20, shuffle=False, verbose=0)
    for ours, theirs in zip(model.trainable_variables, clone.trainable_variables, strict=True):
        np.testing.assert_allclose(*(numpy_of([v])[0] for v in (ours, theirs)), atol=1e-6)


def test_a_new_clone_trains_towards_the_same_terms():
    weights = {"fidelity": 0.7, "reconstruction": 0.3, "entropy": 0.2, "sparsity": 0.1}
    model = mixed_flint(weights=weights, head_weights={"load": 2.0})
    clone = keras.models.clone_model(model)
    for name, term in model.networks.terms.items():
        copied = clone.get_layer(term.name)
        assert copied is not term
        np.testing.assert_allclose(keras.ops.convert_to_numpy(copied.weight), model.term_weights()[name], rtol=1e-6)


@pytest.mark.parametrize("post_hoc", [True, False])
def test_a_clone_is_saved_and_loaded(post_hoc, rng, tmp_path):
    x, _ = mixed_data(rng)
    clone = keras.models.clone_model(mixed_flint(post_hoc=post_hoc))
    clone.save(tmp_path / "clone.keras")
    loaded = keras.saving.load_model(tmp_path / "clone.keras")
    assert_same(predicted(loaded, x), predicted(clone, x))
    assert len(loaded.trainable_variables) == len(clone.trainable_variables) == (10 if post_hoc else 20)


@pytest.mark.parametrize("post_hoc", [True, False])
def test_a_flint_of_float64_trains_on_rows_of_float32(post_hoc, rng):
    x, y = mixed_data(rng)
    with precision("float64"):
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy("float64")
        try:
            model = compiled(mixed_flint(post_hoc=post_hoc, schedule=None))
        finally:
            keras.config.set_dtype_policy(before)
        losses = model.fit(x, y, batch_size=20, epochs=2, verbose=0).history["loss"]
        outputs = model(x)
    assert losses[1] < losses[0]
    assert {keras.backend.standardize_dtype(value.dtype) for value in outputs.values()} == {"float64"}
