"""A layer's map replaced by another: what the heads then say, by hand, on the backend that runs."""

import keras
import numpy as np
import pytest

from xai_mimo.core.errors import NotSupported, ShapeMismatch, UnknownName
from xai_mimo.core.model import Overridable
from xai_mimo.core.plugins import adapt
from xai_mimo.core.targets import select
from xai_mimo.layers import MAIL
from xai_mimo.sowing import override, replacement, sow

KEY = "mail/attention"
WIDTHS = {"risk": 1, "life": 2, "kind": 1}


@pytest.fixture
def model(rng):
    u, v = keras.Input((3,), name="u"), keras.Input((2,), name="v")
    layer = MAIL(heads=WIDTHS, stream_names=["u", "v"], name="mail")
    net = keras.Model([u, v], layer([u, v]))
    for weight in net.trainable_weights:
        weight.assign(rng.standard_normal(weight.shape))
    return net


@pytest.fixture
def rows(rng):
    return {"u": rng.standard_normal((6, 3)).astype("float32"), "v": rng.standard_normal((6, 2)).astype("float32")}


def by_hand(model, rows, attention):
    """y = (a * gain * x) W + b, of each head's own attention a."""
    layer = model.get_layer("mail")
    x = np.concatenate([rows["u"], rows["v"]], axis=1)
    gain = np.broadcast_to(np.asarray(keras.ops.convert_to_numpy(layer._gain(np.ones(5, "float32")))), (5,))
    kernel, bias = (np.asarray(keras.ops.convert_to_numpy(w)) for w in (layer.output_kernel, layer.output_bias))
    owners = [j for j, width in enumerate(WIDTHS.values()) for _ in range(width)]
    units = np.einsum("nuf,fu->nu", (attention * gain * x[:, None])[:, owners], kernel) + bias
    return dict(zip(WIDTHS, np.split(units, np.cumsum(list(WIDTHS.values()))[:-1], axis=1), strict=True))


def test_the_layers_own_map_in_its_place_changes_nothing(model, rows):
    adapter = adapt(model)
    assert isinstance(adapter, Overridable)
    own = adapter.intercept(rows)[KEY].values
    same, before = adapter.override({KEY: own}).predict(rows), adapter.predict(rows)
    for head in WIDTHS:
        np.testing.assert_allclose(same[head], before[head], atol=1e-5)


def test_another_map_gives_what_the_formula_says(model, rows, rng):
    adapter = adapt(model)
    before = adapter.predict(rows)
    other = rng.dirichlet(np.ones(5), size=(6, 3)).astype("float32")
    overridden = adapter.override({KEY: other})
    expected = by_hand(model, rows, other)
    for head, values in overridden.predict(rows).items():
        np.testing.assert_allclose(values, expected[head], atol=1e-5)
    np.testing.assert_allclose(overridden.intercept(rows)[KEY].values, other, atol=1e-6)
    for head, values in adapter.predict(rows).items():  # the model itself stays as it was
        np.testing.assert_array_equal(values, before[head])


def test_one_row_stands_for_all_and_other_maps_compile_nothing(model, rows, rng):
    adapter = adapt(model)
    uniform = np.full((1, 3, 5), 0.2, "float32")
    overridden = adapter.override({KEY: uniform})
    expected = by_hand(model, rows, np.repeat(uniform, 6, axis=0))
    for head, values in overridden.predict(rows).items():
        np.testing.assert_allclose(values, expected[head], atol=1e-5)
    traces = overridden.traces
    again = adapter.override({KEY: rng.dirichlet(np.ones(5), size=(6, 3))})
    again.predict(rows)
    assert again.traces == traces
    assert len({adapter.fingerprint(), overridden.fingerprint(), again.fingerprint()}) == 3


def test_chunks_keep_each_row_with_its_map(model, rows, rng):
    other = rng.dirichlet(np.ones(5), size=(6, 3)).astype("float32")
    small = adapt(model, max_memory=1).override({KEY: other}).predict(rows)
    for head, values in by_hand(model, rows, other).items():
        np.testing.assert_allclose(small[head], values, atol=1e-5)


def test_gradients_hold_the_map_that_was_put_in(model, rows, rng):
    other = rng.dirichlet(np.ones(5), size=(6, 3)).astype("float32")
    overridden = adapt(model).override({KEY: other})
    outputs, gradients = overridden.gradients(rows, select(["risk"], overridden.heads, overridden.predict(rows)))
    slopes = by_hand(model, {"u": np.ones((6, 3)), "v": np.zeros((6, 2))}, other)["risk"][:, 0]
    bias = by_hand(model, {"u": np.zeros((6, 3)), "v": np.zeros((6, 2))}, other)["risk"][:, 0]
    np.testing.assert_allclose(gradients["u"][0].sum(axis=1), slopes - bias, atol=1e-5)
    assert set(gradients) == {"u", "v"}
    assert outputs["life"].shape == (6, 2)


def test_a_part_behind_encoders_and_a_sequence_take_maps_too(rng):
    x = keras.Input((4, 3), name="x")
    coded = keras.layers.Dense(5, activation="tanh", name="code")(x)
    steps = MAIL(heads={"y": 1}, name="mail")(coded)
    adapter = adapt(keras.Model(x, keras.layers.GlobalAveragePooling1D(name="mean")(steps["y"])))
    data = rng.standard_normal((3, 4, 3)).astype("float32")
    own = adapter.intercept(data)[KEY].values
    assert own.shape == (3, 4, 1, 5)
    tail, inner = adapter.tail("mail"), adapter.activations(data, "mail")
    turned = own[::-1].copy()
    whole, part = adapter.override({KEY: turned}).predict(data), tail.override({KEY: turned}).predict(inner)
    for head, values in whole.items():
        np.testing.assert_allclose(part[head], values, atol=1e-5)
        assert np.abs(values - adapter.predict(data)[head]).max() > 1e-4


def test_maps_that_cannot_be_put_in_are_refused(model, rows):
    adapter = adapt(model)
    own = {key: each.values for key, each in adapter.intercept(rows).items()}
    with pytest.raises(UnknownName, match="no map is called 'mail/atention'; there are: mail/attention"):
        adapter.override({"mail/atention": own[KEY]})
    with pytest.raises(
        ShapeMismatch, match=r"map 'mail/attention' wants \('batch', 'head', 'feature'\).*got \(6, 3, 4\)"
    ):
        adapter.override({KEY: own[KEY][..., :4]})
    with pytest.raises(ShapeMismatch, match="was replaced by one of 4 rows, and 6 rows are asked for"):
        adapter.override({KEY: own[KEY][:4]}).predict(rows)
    with pytest.raises(NotSupported, match="layer 'mail' only shows its map 'contribution'"):
        adapter.override({"mail/contribution": own["mail/contribution"]}).predict(rows)


def test_a_subclassed_model_takes_maps_too(rows, rng):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.mail = MAIL(heads={"y": 1}, stream_names=["u", "v"], name="mail")

        def call(self, inputs):
            return self.mail([inputs["u"], inputs["v"]])

    net = Own()
    net(rows)
    adapter = adapt(net, streams={"u": 3, "v": 2})
    (key,) = (key for key in adapter.intercept(rows) if key.endswith("/attention"))
    shape = adapter.intercept(rows)[key].values.shape
    zero = adapter.override({key: np.zeros(shape, "float32")}).predict(rows)["y"]
    bias = np.asarray(keras.ops.convert_to_numpy(net.mail.output_bias))
    np.testing.assert_allclose(zero, np.broadcast_to(bias, zero.shape), atol=1e-6)


class Twice:
    """A layer that is called twice, by the rules of ``sowing`` alone."""

    name = "gate"

    def __call__(self, value):
        other = replacement(self, "attention")
        sow(self, "attention", value if other is None else other, axes=("feature",))
        return value if other is None else other


def test_repeated_calls_are_counted_as_the_reader_counts_them():
    layer = Twice()
    with override({"gate@1/attention": "other"}) as taken:
        assert [layer("own"), layer("own")] == ["own", "other"]
    assert taken == {"gate@1/attention"}
    assert replacement(layer, "attention") is None
    with pytest.raises(RuntimeError), override({"gate/attention": "other"}):
        raise RuntimeError
    assert replacement(layer, "attention") is None
