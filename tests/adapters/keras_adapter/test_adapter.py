"""The Keras adapter on the backend that Keras was started with: values, gradients, chunks, and what it leaves alone."""

import contextlib

import keras
import numpy as np
import pytest
from xai_mimo_adapters.keras_adapter import KerasAdapter

from xai_mimo.core.errors import BadValues, EmptyData, NotSupported, ShapeMismatch, UnknownName
from xai_mimo.core.model import Differentiable, Interceptable, Model, Splittable
from xai_mimo.core.plugins import adapt
from xai_mimo.core.streams import Stream
from xai_mimo.core.targets import Target, select
from xai_mimo.sowing import sow


class Gate(keras.layers.Layer):
    """A self-explaining toy: softmax over all it reads, times what it reads."""

    def call(self, streams):
        x = keras.ops.concatenate(streams, axis=-1)
        weights = keras.ops.softmax(x)
        sow(self, "attention", weights, axes=("feature",))
        return weights * x


class Failing(keras.layers.Layer):
    """Raises once it is armed."""

    armed = False

    def call(self, x):
        if self.armed:
            raise RuntimeError("the layer broke")
        return x


def two_stream_mlp(width=5):
    """Two heads: 'level' reads both streams, 'kind' the first only."""
    u, v = keras.Input((4,), name="u"), keras.Input((3,), name="v")
    shared = keras.layers.Dense(width, activation="tanh", name="shared")(keras.layers.Concatenate()([u, v]))
    own = keras.layers.Dense(width, activation="tanh", name="own")(u)
    level = keras.layers.Dense(1, name="level")(shared)
    kind = keras.layers.Dense(3, name="kind")(own)
    model = keras.Model({"u": u, "v": v}, {"level": level, "kind": kind})
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(scale=0.7, size=w.shape) for w in model.get_weights()])
    return model


def by_hand(model, x):
    """Outputs and gradients of ``two_stream_mlp``, the chain rule written out."""
    w = {layer.name: [np.asarray(a, np.float64) for a in layer.get_weights()] for layer in model.layers}
    both = np.concatenate([x["u"], x["v"]], axis=1).astype(np.float64)
    h = np.tanh(both @ w["shared"][0] + w["shared"][1])
    o = np.tanh(x["u"].astype(np.float64) @ w["own"][0] + w["own"][1])
    outputs = {"level": h @ w["level"][0] + w["level"][1], "kind": o @ w["kind"][0] + w["kind"][1]}
    d_level = ((1 - h**2) * w["level"][0][:, 0]) @ w["shared"][0].T
    d_kind = [((1 - o**2) * w["kind"][0][:, c]) @ w["own"][0].T for c in range(3)]
    gradients = {
        "u": np.stack([d_level[:, :4], *d_kind]),
        "v": np.stack([d_level[:, 4:], *np.zeros((3, len(h), 3))]),
    }
    return outputs, gradients


@pytest.fixture
def model():
    return two_stream_mlp()


@pytest.fixture
def rows(rng):
    return {"u": rng.normal(size=(37, 4)).astype("float32"), "v": rng.normal(size=(37, 3)).astype("float32")}


ALL = [Target("level", 0), Target("kind", 0), Target("kind", 1), Target("kind", 2)]


def targets(adapter, rows, wanted=ALL):
    return select(wanted, adapter.heads, adapter.predict(rows))


def test_the_adapter_has_every_capability(model):
    adapter = adapt(model)
    for capability in (Model, Differentiable, Interceptable, Splittable):
        assert isinstance(adapter, capability)
    assert isinstance(adapter.tail("level"), Differentiable)


def test_asking_what_an_adapter_can_do_hashes_no_weights(model, monkeypatch):
    adapter = adapt(model)
    asked = []
    monkeypatch.setattr(type(adapter), "fingerprint", lambda self: asked.append(self))
    for capability in (Model, Differentiable, Interceptable, Splittable):
        assert isinstance(adapter, capability)
    assert adapt(adapter) is adapter
    assert not asked


def test_predictions_equal_the_formula_by_hand(model, rows):
    outputs, _ = by_hand(model, rows)
    predicted = adapt(model).predict(rows)
    assert list(predicted) == ["level", "kind"]
    for name, values in outputs.items():
        np.testing.assert_allclose(predicted[name], values, atol=1e-5)
        assert predicted[name].dtype == np.float32


def test_gradients_equal_the_chain_rule_by_hand(model, rows):
    adapter = adapt(model)
    outputs, expected = by_hand(model, rows)
    predicted, gradients = adapter.gradients(rows, targets(adapter, rows))
    for name in ("u", "v"):
        assert gradients[name].shape == (4, *rows[name].shape)
        np.testing.assert_allclose(gradients[name], expected[name], atol=1e-5)
    for name, values in outputs.items():
        np.testing.assert_allclose(predicted[name], values, atol=1e-5)


def test_gradients_equal_central_differences(model, rows):
    adapter = adapt(model)
    _, gradients = adapter.gradients(rows, targets(adapter, rows))
    for stream, column in (("u", 1), ("v", 2)):
        step = np.zeros_like(rows[stream])
        step[:, column] = 1e-2
        up, down = (adapter.predict({**rows, stream: rows[stream] + sign * step}) for sign in (1, -1))
        slope = {name: (up[name] - down[name]) / 2e-2 for name in up}
        np.testing.assert_allclose(gradients[stream][0, :, column], slope["level"][:, 0], atol=2e-3)
        np.testing.assert_allclose(gradients[stream][2, :, column], slope["kind"][:, 1], atol=2e-3)


def test_a_stream_that_a_head_does_not_read_gets_exact_zeros(model, rows):
    adapter = adapt(model)
    _, gradients = adapter.gradients(rows, targets(adapter, rows))
    assert (gradients["v"][1:] == 0).all()
    assert (gradients["v"][0] != 0).any()


def test_a_head_that_reads_no_stream_gets_exact_zeros():
    x = keras.Input((2,), name="x")
    constant = keras.layers.Lambda(lambda t: keras.ops.ones((keras.ops.shape(t)[0], 1)), output_shape=(1,), name="one")(
        x
    )
    adapter = adapt(keras.Model(x, [constant, keras.layers.Dense(1, name="y")(x)]))
    data = np.ones((3, 2), "float32")
    _, gradients = adapter.gradients(data, select(None, adapter.heads, adapter.predict(data)))
    assert (gradients["x"][0] == 0).all()
    assert (gradients["x"][1] != 0).any()


def test_units_may_differ_from_row_to_row(model, rows):
    adapter = adapt(model)
    chosen = targets(adapter, rows, [Target("kind", "predicted")])
    _, each = adapter.gradients(rows, targets(adapter, rows))
    _, gradients = adapter.gradients(rows, chosen)
    assert len(set(chosen[0].units)) > 1
    expected = np.stack([each["u"][1 + unit, row] for row, unit in enumerate(chosen[0].units)])
    np.testing.assert_allclose(gradients["u"][0], expected, atol=1e-6)


@pytest.mark.parametrize("max_memory", [1, 3000, 20_000, 10**9])
def test_results_do_not_depend_on_the_memory_allowed(model, rows, max_memory):
    whole, parts = adapt(model), adapt(model, max_memory=max_memory)
    for name, values in whole.predict(rows).items():
        np.testing.assert_allclose(parts.predict(rows)[name], values, atol=1e-6)
    _, expected = whole.gradients(rows, targets(whole, rows))
    _, gradients = parts.gradients(rows, targets(whole, rows))
    for name, values in expected.items():
        np.testing.assert_allclose(gradients[name], values, atol=1e-6)


def test_nothing_is_traced_twice(model, rng):
    adapter = adapt(model, max_memory=20_000)
    data = {"u": rng.normal(size=(1000, 4)), "v": rng.normal(size=(1000, 3))}
    adapter.predict(data)
    first = adapter.traces
    for count in (1000, 999, 960):
        adapter.predict({name: x[:count] for name, x in data.items()})
    assert adapter.traces - first <= 1  # the size of the smallest remainders, which 1000 rows may not have had
    chosen = targets(adapter, data)
    adapter.gradients(data, chosen)
    known = adapter.traces
    adapter.gradients(data, chosen)
    adapter.predict(data)
    assert adapter.traces == known
    assert (known == 0) == (keras.config.backend() == "torch")


def test_changed_weights_are_seen_without_a_new_trace(model, rows):
    adapter = adapt(model)
    adapter.predict(rows)
    traces, before = adapter.traces, adapter.fingerprint()
    model.set_weights([0.5 * w for w in model.get_weights()])
    outputs, _ = by_hand(model, rows)
    np.testing.assert_allclose(adapter.predict(rows)["kind"], outputs["kind"], atol=1e-5)
    assert adapter.traces == traces
    assert adapter.fingerprint() != before


def test_toggling_trainable_flags_between_calls_changes_no_number(model, rows):
    adapter = adapt(model)
    expected = adapter.predict(rows)
    model.get_layer("shared").trainable = False
    for name, values in adapter.predict(rows).items():
        np.testing.assert_array_equal(values, expected[name])


def stateful_model():
    """Dropout, batch normalisation, noise: layers that behave differently while training, and a random seed."""
    x = keras.Input((6,), name="x")
    h = keras.layers.BatchNormalization(name="norm")(keras.layers.Dense(8)(x))
    h = keras.layers.GaussianNoise(1.0, seed=3)(keras.layers.Dropout(0.5, seed=2)(h))
    h = Failing(name="fuse")(h)
    return keras.Model(x, keras.layers.Dense(1, name="y")(h))


def state_of(model):
    """Everything of a model that reading it must not change."""
    state = [keras.ops.convert_to_numpy(v) for v in model.variables]
    flags = [layer.trainable for layer in model.layers]
    modes = [m.training for m in model.modules()] if keras.config.backend() == "torch" else []
    grads = [p.requires_grad for p in model.parameters()] if keras.config.backend() == "torch" else []
    nodes = [len(layer._inbound_nodes) for layer in model.layers]
    return state, [flags, modes, grads, nodes]


def assert_untouched(model, before):
    variables, flags = state_of(model)
    assert flags == before[1]
    for now, then in zip(variables, before[0], strict=True):
        np.testing.assert_array_equal(now, then)


def read_everything(adapter, x):
    chosen = select(None, adapter.heads, adapter.predict(x))
    adapter.gradients(x, chosen)
    adapter.intercept(x)
    adapter.tail("y").gradients(adapter.activations(x, "y"), chosen)


def test_reading_leaves_the_model_as_it_was(rng):
    model = stateful_model()
    model.get_layer("norm").trainable = False
    if keras.config.backend() == "torch":
        model.train()
        model.get_layer("norm").eval()
    before = state_of(model)
    read_everything(adapt(model), rng.normal(size=(9, 6)))
    assert_untouched(model, before)


def test_an_error_inside_the_model_leaves_it_as_it_was(rng):
    model = stateful_model()
    if keras.config.backend() == "torch":
        model.train()
    adapter, x = adapt(model), rng.normal(size=(9, 6))
    before = state_of(model)
    model.get_layer("fuse").armed = True
    with pytest.raises(RuntimeError, match="the layer broke"):
        adapter.predict(x)
    with pytest.raises(RuntimeError, match="the layer broke"):
        adapter.intercept(x)
    with pytest.raises(RuntimeError, match="the layer broke"):
        adapter.gradients(x, select([("y", 0)], adapter.heads, {"y": np.zeros((9, 1))}))
    assert_untouched(model, before)
    model.get_layer("fuse").armed = False
    read_everything(adapter, x)
    assert_untouched(model, before)


def test_a_model_is_read_in_inference_mode_whatever_its_mode(rng):
    model = stateful_model()
    x = rng.normal(size=(9, 6)).astype("float32")
    expected = keras.ops.convert_to_numpy(model(x, training=False))
    if keras.config.backend() == "torch":
        model.train()
    adapter = adapt(model)
    np.testing.assert_allclose(adapter.predict(x)["y"], expected, atol=1e-6)
    np.testing.assert_allclose(adapter.tail("y").predict(adapter.activations(x, "y"))["y"], expected, atol=1e-6)


def test_a_layer_called_for_training_in_the_graph_is_read_in_inference_mode_too(rng):
    x = keras.Input((6,), name="x")
    model = keras.Model(x, keras.layers.Dense(1, name="y")(keras.layers.Dropout(0.5)(x, training=True)))
    data = rng.normal(size=(5, 6)).astype("float32")
    kernel, bias = model.get_layer("y").get_weights()
    adapter = adapt(model)
    np.testing.assert_allclose(adapter.predict(data)["y"], data @ kernel + bias, atol=1e-5)
    np.testing.assert_allclose(adapter.activations(data, "y")["x_encoded"], data, atol=1e-6)


def test_one_row_of_one_stream_with_one_unit(rng):
    x = keras.Input((1,), name="x")
    model = keras.Model(x, keras.layers.Dense(1, name="y")(x))
    adapter = adapt(model)
    data = np.array([[2.0]])
    kernel = model.get_layer("y").get_weights()[0]
    _, gradients = adapter.gradients(data, select(None, adapter.heads, adapter.predict(data)))
    np.testing.assert_allclose(gradients["x"], kernel.reshape(1, 1, 1), atol=1e-7)


def test_a_head_of_one_value_per_row_without_an_axis(rng):
    x = keras.Input((3,), name="x")
    model = keras.Model(x, keras.layers.Lambda(lambda t: keras.ops.sum(t * t, axis=-1), output_shape=(), name="y")(x))
    adapter = adapt(model)
    data = rng.normal(size=(5, 3)).astype("float32")
    predicted, gradients = adapter.gradients(data, select(None, adapter.heads, adapter.predict(data)))
    assert adapter.heads[0].shape == ()
    np.testing.assert_allclose(predicted["y"], (data**2).sum(1), rtol=1e-5)
    np.testing.assert_allclose(gradients["x"][0], 2 * data, rtol=1e-5)


@pytest.mark.parametrize(
    ("policy", "tolerance"), [("float16", 2e-2), ("mixed_float16", 2e-2), ("mixed_bfloat16", 1e-1)]
)
def test_narrow_models_give_float32_at_the_border(policy, tolerance, rng):
    dtype = "float16" if policy == "float16" else "float32"
    x = keras.Input((4,), name="x", dtype=dtype)
    model = keras.Model(x, keras.layers.Dense(2, dtype=policy, name="y")(x))
    data = rng.normal(size=(5, 4)).astype("float32")
    adapter = adapt(model)
    predicted, gradients = adapter.gradients(data, select(None, adapter.heads, adapter.predict(data)))
    kernel, bias = (np.asarray(w, np.float32) for w in model.get_weights())
    assert predicted["y"].dtype == gradients["x"].dtype == np.float32
    np.testing.assert_allclose(predicted["y"], data @ kernel + bias, atol=5 * tolerance)
    np.testing.assert_allclose(gradients["x"], np.repeat(kernel.T[:, None], 5, axis=1), atol=tolerance)


def double_precision():
    """JAX computes in float64 only where it is told to."""
    if keras.config.backend() != "jax":
        return contextlib.nullcontext()
    import jax

    return jax.enable_x64(True)


def test_float64_models_stay_float64(rng):
    with double_precision():
        x = keras.Input((4,), name="x", dtype="float64")
        model = keras.Model(x, keras.layers.Dense(2, dtype="float64", name="y")(x))
        data = rng.normal(size=(5, 4))
        adapter = adapt(model)
        predicted, gradients = adapter.gradients(data, select(None, adapter.heads, adapter.predict(data)))
        expected = keras.ops.convert_to_numpy(model(keras.ops.convert_to_tensor(data)))
        kernel = model.get_weights()[0]
    assert predicted["y"].dtype == gradients["x"].dtype == np.float64
    np.testing.assert_allclose(predicted["y"], expected, rtol=1e-13, atol=1e-15)  # a sum near 0 rounds like its terms
    np.testing.assert_allclose(gradients["x"], np.repeat(kernel.T[:, None], 5, axis=1), rtol=1e-6)


def test_integer_streams_are_refused_with_the_layer_to_explain_at():
    tokens, age = keras.Input((7,), dtype="int32", name="tokens"), keras.Input((1,), name="age")
    words = keras.layers.GlobalAveragePooling1D(name="pool")(keras.layers.Embedding(11, 4, name="embed")(tokens))
    y = keras.layers.Dense(1, name="y")(keras.layers.Concatenate(name="join")([words, age]))
    adapter = adapt(keras.Model([tokens, age], y))
    data = {"tokens": np.arange(14).reshape(2, 7) % 11, "age": np.ones((2, 1))}
    chosen = select(None, adapter.heads, adapter.predict(data))
    with pytest.raises(NotSupported, match=r"'tokens' holds integers \(int32\).*at='pool'"):
        adapter.gradients(data, chosen)
    with pytest.raises(UnknownName, match=r"'agee'.*Did you mean 'age'"):
        adapter.gradients(data, chosen, streams=["agee"])
    _, gradients = adapter.gradients(data, chosen, streams=["age"])
    weight = np.asarray(adapter.model.get_layer("y").get_weights()[0])[4, 0]
    assert list(gradients) == ["age"]
    np.testing.assert_allclose(gradients["age"], np.full((1, 2, 1), weight), atol=1e-6)
    inner = adapter.activations(data, "pool")
    _, gradients = adapter.tail("pool").gradients(inner, chosen)
    assert gradients["tokens_encoded"].shape == (1, 2, 7, 4)


def test_heads_of_whole_numbers_are_predicted_but_have_no_gradient():
    x = keras.Input((3,), name="x")
    choice = keras.layers.Lambda(lambda t: keras.ops.argmax(t, axis=-1), output_shape=(), name="choice")(x)
    adapter = adapt(keras.Model(x, choice))
    data = np.eye(3, dtype="float32")
    predicted = adapter.predict(data)
    np.testing.assert_array_equal(predicted["choice"], [0, 1, 2])
    with pytest.raises(NotSupported, match=r"head 'choice' gives \S*int\d+, which has no gradient"):
        adapter.gradients(data, select(None, adapter.heads, predicted))


def test_bad_inputs_are_refused_at_the_door(model, rows):
    adapter = adapt(model)
    for call in (adapter.predict, adapter.intercept, lambda x: adapter.activations(x, "level")):
        with pytest.raises(ShapeMismatch, match="add the batch axis"):
            call({**rows, "u": rows["u"][0]})
        with pytest.raises(UnknownName, match="'v' is missing"):
            call({"u": rows["u"]})
        with pytest.raises(BadValues, match="NaN or infinite"):
            call({**rows, "u": rows["u"] * np.nan})
        with pytest.raises(EmptyData, match="no rows"):
            call({name: x[:0] for name, x in rows.items()})


def test_inputs_of_any_length_along_an_axis(rng):
    x = keras.Input((None, 3), name="x")
    model = keras.Model(x, keras.layers.Dense(1, name="y")(keras.layers.GlobalAveragePooling1D()(x)))
    adapter = adapt(model)
    for length in (4, 6):
        data = rng.normal(size=(5, length, 3)).astype("float32")
        _, gradients = adapter.gradients(data, select(None, adapter.heads, adapter.predict(data)))
        expected = np.broadcast_to(model.get_layer("y").get_weights()[0][:, 0] / length, data.shape)
        np.testing.assert_allclose(gradients["x"][0], expected, atol=1e-6)


def test_maps_come_out_before_and_after_fit_and_in_chunks(rng):
    u, v = keras.Input((4,), name="u"), keras.Input((3,), name="v")
    model = keras.Model([u, v], keras.layers.Dense(1, name="y")(Gate(name="gate")([u, v])))
    data = [rng.normal(size=(21, 4)).astype("float32"), rng.normal(size=(21, 3)).astype("float32")]
    exponential = np.exp(np.concatenate(data, axis=1))
    expected = exponential / exponential.sum(axis=1, keepdims=True)
    model.compile(loss="mse")
    for _ in range(2):
        for max_memory in (1, None):
            maps = adapt(model, max_memory=max_memory).intercept(data)
            assert list(maps) == ["gate/attention"]
            np.testing.assert_allclose(maps["gate/attention"].values, expected, atol=1e-6)
        model.fit(data, np.zeros((21, 1)), verbose=0)


def test_a_model_without_self_explaining_layers_has_no_maps(model, rows):
    assert adapt(model).intercept(rows) == {}


def test_a_map_without_a_batch_axis_is_refused():
    class Careless(keras.layers.Layer):
        def call(self, x):
            sow(self, "importance", keras.ops.ones((3,)), axes=("feature",))
            return x

    x = keras.Input((3,), name="x")
    with pytest.raises(ShapeMismatch, match=r"sown with shape \(3,\).*batch axis"):
        adapt(keras.Model(x, Careless()(x))).intercept(np.ones((2, 3)))


def test_an_adapter_can_be_made_directly(model):
    adapter = KerasAdapter(model, streams={"u": ["a", "b", "c", "d"]}, heads={"level": "binary"})
    assert adapter.streams[0] == Stream("u", (4,), features=("a", "b", "c", "d"))
    assert adapter.heads[0].kind == "binary"
