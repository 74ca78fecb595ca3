"""Models of TensorFlow: modules, functions and saved signatures, against TensorFlow itself and by hand."""

import gc
import weakref
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import xai_mimo as xm
from tests.helpers.frameworks import imported
from xai_mimo.core.errors import BadSetting, NotSupported, UnknownName, UnusedStreamWarning
from xai_mimo.core.streams import Stream
from xai_mimo.core.targets import Selector
from xai_mimo.sowing import sow
from xai_mimo.testing import check_adapter

pytestmark = pytest.mark.all_frameworks


@pytest.fixture(scope="module")
def tf():
    return imported("tensorflow")


@pytest.fixture(scope="module")
def nets(tf):
    """Classes of models; TensorFlow takes seconds to import, which no other test has to wait for."""

    class Net(tf.Module):
        """Two streams and one that nothing reads, and in training one more: dropout."""

        def __init__(self, seed=0):
            super().__init__(name="net")
            rng = np.random.default_rng(seed)
            shapes = {"a": (4, 5), "e": (7, 3), "b": (8, 1), "c": (8, 3)}
            for name, shape in shapes.items():
                setattr(self, name, tf.Variable(rng.normal(size=shape).astype("float32"), name=name))

        def __call__(self, table, ids, idle, training=True):
            of_words = tf.reduce_mean(tf.gather(self.e, ids), axis=1)
            hidden = tf.concat([tf.tanh(table @ self.a), of_words], axis=1)
            if training:
                hidden = tf.nn.dropout(hidden, 0.5)
            self.last = hidden
            gate = tf.nn.softmax(hidden)
            sow(self, "gate", gate, axes=("feature",))
            hours = tf.reduce_sum(gate * hidden, axis=1)
            return {"risk": tf.sigmoid(hidden @ self.b), "fault": tf.nn.softmax(hidden @ self.c), "hours": hours}

    class Compiled(Net):
        __call__ = tf.function(Net.__call__)

    class Calling(tf.Module):
        """A module whose call is the function that it is given."""

        def __init__(self, call, **attributes):
            super().__init__(name="calling")
            self.call = call
            for name, value in attributes.items():
                setattr(self, name, value)

        def __call__(self, x):
            return self.call(self, x)

    return SimpleNamespace(Net=Net, Compiled=Compiled, Calling=Calling)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(5)
    return {
        "table": rng.normal(size=(5, 4)).astype("float32"),
        "ids": rng.integers(0, 7, (5, 6)).astype("int32"),
        "idle": rng.normal(size=(5, 2)).astype("float32"),
    }


@pytest.fixture(scope="module")
def saved(tf, nets, tmp_path_factory):
    """A SavedModel as it comes back from disk, with a free and a fixed batch."""
    net, spec = nets.Compiled(), tf.TensorSpec
    signatures = {
        name: net.__call__.get_concrete_function(
            spec((batch, 4)), spec((batch, 6), tf.int32), spec((batch, 2)), training=False
        )
        for name, batch in (("serving_default", None), ("three", 3))
    }
    path = tmp_path_factory.mktemp("saved")
    tf.saved_model.save(net, str(path), signatures=signatures)
    return tf.saved_model.load(str(path))


def state_of(net):
    return lambda: {v.name: v.numpy() for v in net.variables} | {"attributes": sorted(vars(net))}


@pytest.mark.parametrize("kind", ["Net", "Compiled"])
def test_the_contract_holds_for_a_module(kind, nets, rows):
    net = getattr(nets, kind)()
    check_adapter(
        xm.adapt(net, like=rows),
        rows,
        state=state_of(net),
        limited=lambda size: xm.adapt(net, like=rows, max_memory=size),
        change_weights=lambda: net.a.assign(2 * net.a),
    )


@pytest.mark.parametrize("signature", ["serving_default", "three"])
def test_the_contract_holds_for_a_signature_of_a_saved_model(signature, saved, rows):
    check_adapter(xm.adapt(saved, signature=signature), rows)


def test_a_tf_function_is_read_by_its_own_signature(tf, rng):
    @tf.function(input_signature=[{"b": tf.TensorSpec((None, 2)), "a": tf.TensorSpec((None, 3), tf.float64)}])
    def pair(x):
        return [x["b"] * 2, tf.nn.log_softmax(x["a"])]

    model = xm.adapt(pair)
    assert [(s.name, s.shape, s.dtype) for s in model.streams] == [("b", (2,), "float32"), ("a", (3,), "float64")]
    assert [(h.name, h.kind, h.kind_from) for h in model.heads] == [
        ("output_0", "regression", ""),
        ("output_1", "multiclass", "final log-softmax"),
    ]
    check_adapter(model, {"b": rng.normal(size=(3, 2)), "a": rng.normal(size=(3, 3))})


def test_outputs_and_gradients_are_those_of_tensorflow(tf, nets, rows):
    net = nets.Compiled()
    model = xm.adapt(net, like=rows)
    table = tf.constant(rows["table"])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(table)
        expected = net(table, rows["ids"], rows["idle"], training=False)
        one_each = {"risk": expected["risk"][:, 0], "fault": expected["fault"][:, 2], "hours": expected["hours"]}
    selectors = [Selector(h, h, np.full(5, 2 if h == "fault" else 0)) for h in one_each]
    outputs, gradients = model.gradients(rows, selectors, streams=["table", "idle"])
    for name, values in expected.items():
        np.testing.assert_allclose(model.predict(rows)[name], values, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(outputs[name], values, rtol=1e-5, atol=1e-7)
    for i, values in enumerate(one_each.values()):
        np.testing.assert_allclose(gradients["table"][i], tape.gradient(values, table), rtol=1e-5, atol=1e-7)
    assert not gradients["idle"].any()


def test_integrated_gradients_of_a_linear_model_are_its_terms(tf, nets, rng):
    weights = rng.normal(size=(4, 1)).astype("float32")
    net = nets.Calling(lambda self, x: x @ self.w, w=tf.Variable(weights))
    x = rng.normal(size=(6, 4))
    explained = xm.explain(net, x, background=np.zeros((1, 4)))
    np.testing.assert_allclose(explained["x"].values[0], x * weights[:, 0], atol=1e-5)
    assert explained.attrs["backend"] == "tensorflow"


def test_streams_come_from_the_data_and_kinds_from_the_operations(nets, rows):
    frame = pd.DataFrame(rows["table"], columns=["oil", "rpm", "load", "age"])
    with pytest.warns(UnusedStreamWarning, match="'idle'"):
        explained = xm.explain(nets.Net(), {**rows, "table": frame}, method="occlusion", targets=["risk"])
    assert list(explained["table_feature"].values) == ["oil", "rpm", "load", "age"]
    model = xm.adapt(nets.Compiled(), like=[rows["table"], rows["ids"], rows["idle"]])  # names of the parameters
    assert [(s.name, s.dtype) for s in model.streams] == [("table", "float32"), ("ids", "int32"), ("idle", "float32")]
    assert [(h.name, h.shape, h.kind, h.kind_from, h.unit) for h in model.heads] == [
        ("risk", (1,), "binary", "final sigmoid", "probability"),
        ("fault", (3,), "multiclass", "final softmax", "probability"),
        ("hours", (), "regression", "", ""),
    ]
    assert (model.name, model.precision) == ("net", "float32")
    declared = {"table": 4, "ids": Stream("ids", (6,), "int32"), "idle": 2}
    assert xm.adapt(nets.Net(), declared).heads == model.heads


def test_a_plain_function_of_tensors_is_taken(tf, rng):
    from xai_mimo_adapters.tensorflow_adapter import TensorFlowAdapter

    w = tf.Variable(rng.normal(size=(3, 2)), name="w")

    def both(streams):
        return tf.sigmoid(streams["a"] @ w), streams["b"][:, 0]

    data = {"a": rng.normal(size=(4, 3)), "b": rng.normal(size=(4, 2))}
    model = TensorFlowAdapter(both, like=data)
    assert [(h.name, h.shape, h.kind) for h in model.heads] == [
        ("output_0", (2,), "multilabel"),
        ("output_1", (), "regression"),
    ]
    check_adapter(model, data, change_weights=lambda: w.assign(-w))


def test_weights_are_read_at_every_call_and_nothing_is_traced_again(nets, rows):
    net = nets.Net()
    model = xm.adapt(net, like=rows)
    before, mark, traces = model.predict(rows)["risk"], model.fingerprint(), model.traces
    net.b.assign(-net.b)
    np.testing.assert_allclose(model.predict(rows)["risk"], 1 - before, rtol=1e-5)
    model.predict({name: np.repeat(x, 30, axis=0) for name, x in rows.items()})
    assert model.traces == traces == 1
    assert model.fingerprint() != mark
    assert xm.adapt(net, like=rows).fingerprint() == model.fingerprint()
    net.b.assign(-net.b)
    assert model.fingerprint() == mark


def slopes(model, x):
    _, gradients = model.gradients(x, [Selector("output", "output", np.zeros(len(x), int))])
    return gradients["x"][0]


def test_gradients_are_traced_once_for_a_model_that_stays_as_it_was(tf, nets):
    net = nets.Calling(lambda self, x: self.factor * x**2, factor=3.0)
    x = np.array([[1.0], [2.0]])
    traces = []
    for factor in (3.0, 3.0, 5.0):
        net.factor = factor
        model = xm.adapt(net, {"x": 1})
        np.testing.assert_allclose(slopes(model, x), 2 * factor * x)
        traces.append(model.traces)
    assert traces == [2, 1, 2]
    gone = weakref.ref(net)
    del net, model
    gc.collect()
    assert gone() is None


def test_gradients_of_the_users_own_are_traced_anew(tf, nets):
    @tf.custom_gradient
    def guided(x):
        return x, lambda upstream: upstream * net.factor

    net = nets.Calling(lambda self, x: guided(x) + 0.0, factor=3.0)
    for factor in (3.0, 5.0):
        net.factor = factor
        np.testing.assert_allclose(slopes(xm.adapt(net, {"x": 1}), np.ones((2, 1))), np.full((2, 1), factor))


def test_two_functions_of_the_same_weights_have_two_fingerprints(tf, nets):
    w = tf.Variable([[1.0], [2.0]])
    calls = (lambda self, x: x @ self.w, lambda self, x: -(x @ self.w), lambda self, x: 2.0 * (x @ self.w))
    marks = {xm.adapt(nets.Calling(call, w=w), {"x": 2}).fingerprint() for call in calls}
    assert len(marks) == 3


def test_tensors_that_a_module_keeps_while_it_is_traced_are_taken_from_it_again(nets, rows):
    net = nets.Net()
    net.last = "before"
    model = xm.adapt(net, like=rows)
    model.intercept(rows)
    assert net.last == "before"


def test_maps_that_a_module_sows_are_read(nets, rows):
    net = nets.Compiled()
    maps = xm.adapt(net, like=rows).intercept(rows)
    hidden = np.concatenate([np.tanh(rows["table"] @ net.a.numpy()), net.e.numpy()[rows["ids"]].mean(axis=1)], axis=1)
    gate = np.exp(hidden) / np.exp(hidden).sum(axis=1, keepdims=True)
    assert maps["net/gate"].axes == ("feature",)
    np.testing.assert_allclose(maps["net/gate"].values, gate, rtol=1e-5)


@pytest.mark.parametrize("branches", [False, True])
def test_a_map_that_is_sown_inside_another_function_is_read(branches, tf, nets):
    def inner(self, x):
        sow(self, "gate", x, axes=("feature",))
        return x

    @tf.function
    def branching(x):
        return x if tf.reduce_any(x > 0) else -x

    compiled = tf.function(inner)
    net = nets.Calling(lambda self, x: branching(inner(self, 2 * x)) if branches else compiled(self, 2 * x))
    maps = xm.adapt(net, {"x": 3}).intercept(np.ones((2, 3)))
    np.testing.assert_array_equal(maps["calling/gate"].values, np.full((2, 3), 2))
    assert not tf.config.functions_run_eagerly()


def test_code_that_has_to_know_how_many_rows_there_are_is_traced_for_their_number(tf, nets, rng):
    net = nets.Calling(lambda self, x: tf.reshape(x * x, (int(x.shape[0]), -1)) @ self.w, w=tf.Variable([[1.0], [2.0]]))
    x = rng.normal(size=(40, 2)).astype("float32")
    model = xm.adapt(net, like=x)
    np.testing.assert_allclose(model.predict(x)["output"], x**2 @ [[1], [2]], rtol=1e-5)
    assert model.traces <= 4
    check_adapter(model, x[:3])


def test_numbers_of_bfloat16_are_float32_outside(tf, nets, rng):
    net = nets.Calling(
        lambda self, x: tf.cast(x, tf.bfloat16) @ self.w, w=tf.Variable([[1.0], [2.0]], dtype=tf.bfloat16)
    )
    model = xm.adapt(net, {"x": 2})
    assert (model.precision, model.streams[0].dtype) == ("bfloat16", "float32")
    assert model.predict([[[1.0, 0.5]]])["output"].dtype == np.float32
    assert model.predict([[[1.0, 0.5]]])["output"] == 2.0


def test_a_length_that_follows_the_input_is_read_off_the_rows_given(tf, rng):
    steps = tf.function(lambda x: tf.nn.softmax(x), input_signature=[tf.TensorSpec((None, None, 3))])
    with pytest.raises(NotSupported, match=r"output 'output' of .* depends on the input.*adapt\(model, like=x\)"):
        xm.adapt(steps)
    model = xm.adapt(steps, like=rng.normal(size=(2, 4, 3)))
    assert (model.streams[0].shape, model.heads[0].shape) == ((None, 3), (4, 3))


def test_a_head_of_whole_numbers_has_no_gradient(tf):
    model = xm.adapt(tf.function(lambda x: tf.argmax(x, axis=1)), {"x": 3})
    assert model.predict(np.eye(3))["output"].tolist() == [0, 1, 2]
    with pytest.raises(NotSupported, match=r"head 'output' gives int64, which has no gradient"):
        model.gradients(np.eye(3), [Selector("output", "output", np.zeros(3, int))])


def test_an_operation_without_a_gradient_is_refused_in_words(tf):
    model = xm.adapt(tf.function(lambda x: tf.image.adjust_hue(x, 0.1)), {"x": (2, 2, 3)})
    with pytest.raises(NotSupported, match=r"has an operation without a gradient, AdjustHue\. .*such as 'shapley'"):
        model.gradients(np.ones((1, 2, 2, 3)), [Selector("output", "output", np.zeros(1, int))])


def test_a_model_that_changes_itself_is_refused_and_stays_as_it_was(tf, nets):
    def count(self, x):
        self.calls.assign_add(1.0)
        return x * self.calls

    calls = tf.Variable(0.0, name="calls")
    net = nets.Calling(count, calls=calls)
    compiled = nets.Calling(lambda self, x: tf.function(count)(self, x), calls=calls)
    for model in (net, compiled):
        with pytest.raises(NotSupported, match=r"'calling' changes its variable 'calls:0' when it is called"):
            xm.adapt(model, {"x": 2})
    noise = nets.Calling(lambda self, x: x + self.drawn.normal((2,)), drawn=tf.random.Generator.from_seed(1))
    with pytest.raises(NotSupported, match=r"changes its variable 'StateVar:0' when it is called"):
        xm.adapt(noise, {"x": 2})
    assert calls.numpy() == 0.0


def test_a_model_without_its_variables_yet_is_refused(tf, nets):
    def make(self, x):
        if not hasattr(self, "w"):
            self.w = tf.Variable(tf.ones((2, 1)))
        return x @ self.w

    net = nets.Calling(make)
    with pytest.raises(NotSupported, match=r"'calling' makes its variables when it is first called\. Call it once"):
        xm.adapt(net, {"x": 2})
    net(tf.ones((1, 2)))
    assert xm.adapt(net, {"x": 2}).predict(np.ones((1, 2)))["output"] == 2.0


def functions(tf):
    spec = tf.TensorSpec

    def with_training(x, training=True):
        return x

    return {
        "eager code": (
            tf.function(lambda x: tf.constant(x.numpy())),
            r"cannot be traced by tf\.function with tensors of shape \(3, 2\) float32 for 'x': .*AttributeError",
        ),
        "training": (
            tf.function(with_training, input_signature=[spec((None, 2))]),
            r"'with_training' was traced with training=True, in which dropout is random",
        ),
        "traced in training": (
            tf.function(with_training).get_concrete_function(spec((None, 2)), training=True),
            r"was traced with training=True, in which dropout is random",
        ),
        "text": (
            tf.function(lambda x: tf.strings.length(x), input_signature=[spec((None, 2), tf.string)]),
            r"input 'x' of .* holds string; expected numbers",
        ),
        "no axes": (
            tf.function(lambda x, s: x * s, input_signature=[spec((None, 2)), spec(())]),
            r"input 's' of .* has no axes, so it has no rows",
        ),
        "two batches": (
            tf.function(lambda x, s: x * s, input_signature=[spec((4, 2)), spec((1, 2))]),
            r"different fixed lengths \(\{'x': 4, 's': 1\}\)",
        ),
        "rows joined": (tf.function(lambda x: tf.reduce_sum(x)), r"output 'output' has shape \(\) for 3 rows"),
    }


@pytest.mark.parametrize(
    "which", ["eager code", "training", "traced in training", "text", "no axes", "two batches", "rows joined"]
)
def test_what_cannot_be_explained_is_refused_in_words(which, tf):
    model, text = functions(tf)[which]
    known = which in ("eager code", "rows joined")
    with pytest.raises((NotSupported, ValueError), match=text):
        xm.adapt(model, {"x": 2} if known else None)


def test_a_signature_is_named_among_those_that_there_are(tf, nets, saved, tmp_path):
    with pytest.raises(UnknownName, match=r"no signature .* 'serving'; there are: serving_default, three.*Name one"):
        xm.adapt(saved, signature="serving")
    with pytest.raises(NotSupported, match=r"signature='x' names a signature of a SavedModel.*got a Calling"):
        xm.adapt(nets.Calling(None), signature="x")
    tf.saved_model.save(nets.Calling(None), str(tmp_path))
    with pytest.raises(NotSupported, match=r"this SavedModel has no signatures\. Save it with one: "):
        xm.adapt(tf.saved_model.load(str(tmp_path)))
    with pytest.raises(BadSetting, match=r"no option 'signatur' for models of tensorflow; .*like, signature"):
        xm.adapt(saved, signatur="three")


def test_inputs_that_cannot_be_read_off_are_asked_for(nets):
    with pytest.raises(NotSupported, match=r"the inputs of 'net' cannot be read off.*streams=.*or give rows.*like=x"):
        xm.adapt(nets.Net())


def test_what_is_no_model_is_refused_in_words(tf):
    for thing in (tf.constant([1.0]), tf.Variable(1.0), tf.data.Dataset.range(2), tf.Module()):
        with pytest.raises(
            NotSupported, match=rf"{type(thing).__name__} is no model that can be called; expected a tf"
        ):
            xm.adapt(thing)
