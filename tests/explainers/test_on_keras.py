"""The methods on a small MAIL model in Keras, on the active backend."""

import json

import numpy as np
import pytest

import xai_mimo as xm
from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import NotSupported, UnusedStreamWarning
from xai_mimo.core.targets import rows_of, select
from xai_mimo.explainers import ExpectedGradients, IntegratedGradients, Interception, Shapley, SmoothGrad


@pytest.fixture(scope="module")
def model():
    import keras

    from xai_mimo.layers import MAIL

    sensors, table = keras.Input((4,), name="sensors"), keras.Input((3,), name="table")
    codes = {
        "sensors": keras.layers.Dense(5, activation="tanh", name="sensors_code")(sensors),
        "table": keras.layers.Dense(4, activation="tanh", name="table_code")(table),
    }
    read = MAIL({"risk": 6, "life": 1}, rescale=True, name="mail")(codes)
    risk = keras.layers.Dense(2, name="risk")(keras.layers.Activation("relu")(read["risk"]))
    net = keras.Model([sensors, table], {"risk": risk, "life": read["life"]})
    rng = np.random.default_rng(3)  # the same network on each backend
    for variable in net.weights:
        fan_in = variable.shape[-2] if len(variable.shape) > 1 else 1
        variable.assign(rng.standard_normal(variable.shape) / np.sqrt(fan_in))
    return xm.adapt(net)  # compiled functions are shared by all tests


@pytest.fixture(scope="module")
def x():
    rng = np.random.default_rng(0)
    return {"sensors": rng.standard_normal((8, 4)), "table": rng.standard_normal((8, 3))}


def path_integral(model, x, points=8192):
    """Attributions of all targets from a zero baseline by the midpoint rule, row by row: ``(target, sample, feature)``."""
    selectors = select(None, model.heads, model.predict(x))
    t = (np.arange(points)[:, None] + 0.5) / points
    found = []
    for i in range(count_rows(x)):
        path = {name: (t * v[i]).astype("float32") for name, v in x.items()}
        _, gradients = model.gradients(path, rows_of(selectors, np.full(points, i)))
        found.append(np.concatenate([g.mean(axis=1, dtype="float64") * x[n][i] for n, g in gradients.items()], axis=1))
    return np.stack(found, axis=1)


@pytest.mark.parametrize(
    "method",
    [
        "gradient",
        "input_x_gradient",
        SmoothGrad(5),
        ExpectedGradients(20),
        IntegratedGradients(),
        Shapley(background_rows=4),
    ],
    ids=str,
)
def test_every_method_explains_every_head(model, x, method):
    found = xm.explain(model, x, method)
    assert set(found["head"].values) == {"risk:0", "risk:1", "life"}
    assert found["sensors"].shape == (3, 8, 4)
    assert len(found.attrs["fingerprint"]) >= 16


def test_integrated_gradients_and_shapley_are_complete(model, x):
    integrated = xm.explain(model, x, IntegratedGradients(tolerance=1e-3))
    assert bool(integrated["converged"].all())
    shapley = xm.explain(model, x, Shapley(background_rows=5))
    np.testing.assert_allclose(shapley["completeness_gap"], 0, atol=1e-5)


@pytest.mark.parametrize("tolerance", [1e-3, 1e-4])
def test_bisection_agrees_with_the_path_integral(model, x, tolerance):
    tail, read = model.tail("mail"), model.activations(x, "mail")
    exact = path_integral(tail, read)
    found = xm.explain(model, x, IntegratedGradients(tolerance=tolerance), at="mail")
    ours = np.concatenate([found[s.name] for s in tail.streams], axis=2)
    # Kinks put the midpoint rule itself off by about 1 / points.
    allowed = (tolerance + 1 / 8192) * abs(exact).sum(axis=2)
    assert (abs(ours - exact).sum(axis=2) <= allowed).all()


def test_maps_are_read_with_their_names(model, x):
    maps = xm.intercept(model, x)
    attention = next(maps[name] for name in maps.data_vars if str(name).endswith("mail/attention"))
    np.testing.assert_allclose(attention.sum(attention.dims[-1]), 1, rtol=1e-5)
    np.testing.assert_array_equal(attention[attention.dims[1]], ["risk", "life"])


def test_interception_lives_at_the_layer(model, x):
    with pytest.raises(NotSupported, match="at='mail'"):
        xm.explain(model, x, "interception")
    found = xm.explain(model, x, "interception", at="mail")
    reads = json.loads(found.attrs["reads"])
    assert [set(v) for v in reads.values()] == [{"sensors"}, {"table"}]
    total = sum(found[s].sum(f"{s}_feature") for s in reads)
    np.testing.assert_allclose(total, 1, rtol=1e-5)


def test_contributions_exist_where_the_layer_is_the_head(model, x):
    found = xm.explain(model, x, Interception("contribution"), at="mail", targets=["life"])
    np.testing.assert_allclose(found["completeness_gap"], 0, atol=1e-5)
    with pytest.raises(NotSupported, match="no contribution to head 'risk'"):
        xm.explain(model, x, Interception("contribution"), at="mail", targets=["risk"])


def test_a_store_holds_the_same_numbers(model, x, tmp_path):
    kept = xm.explain(model, x, IntegratedGradients(), rows_per_block=5)
    stored = xm.explain(model, x, IntegratedGradients(), rows_per_block=5, store=tmp_path / "run.zarr")
    np.testing.assert_allclose(kept["sensors"], stored["sensors"], atol=1e-12)


def test_an_unused_stream_gets_exact_zeros_and_a_warning(x):
    import keras

    sensors, table = keras.Input((4,), name="sensors"), keras.Input((3,), name="table")
    both = keras.layers.Concatenate()([sensors, table])
    heads = {"all": keras.layers.Dense(1, name="all")(both), "part": keras.layers.Dense(1, name="part")(sensors)}
    lopsided = keras.Model([sensors, table], heads)
    with pytest.warns(UnusedStreamWarning, match="head 'part' exact zeros on input stream 'table'"):
        found = xm.explain(lopsided, x, IntegratedGradients())
    np.testing.assert_array_equal(found["table"].sel(head="part"), 0)


@pytest.mark.parametrize("name", ["norm", "distance", "root"])
def test_what_has_no_gradient_at_the_baseline_is_integrated_from_there(name):
    import keras

    ops = keras.ops
    forward, expected = {
        "norm": (lambda t: ops.sqrt(ops.sum(t * t, axis=-1, keepdims=True)), [1.8, 3.2]),
        "distance": (lambda t: ops.sqrt((t[:, :1] - t[:, 1:]) ** 2), [-3.0, 4.0]),
        "root": (lambda t: ops.sqrt(t[:, 1:]), [0.0, 2.0]),
    }[name]
    x = keras.Input((2,), name="x")
    net = keras.Model(x, keras.layers.Lambda(forward, output_shape=(1,), name=name)(x))
    found = xm.explain(net, np.array([[3.0, 4.0]]), "integrated_gradients")
    np.testing.assert_allclose(found["x"][0, 0], expected, atol=2e-3)
    assert bool(found["converged"].all())
