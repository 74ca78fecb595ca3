"""The methods on a small MAIL model in Keras, on the active backend."""

import json

import numpy as np
import pytest

import xai_mimo as xm
from xai_mimo.core.errors import NotSupported, UnusedStreamWarning
from xai_mimo.explainers import ExpectedGradients, IntegratedGradients, Interception, Shapley, SmoothGrad


@pytest.fixture(scope="module")
def model():
    import keras

    from xai_mimo.layers import MAIL

    keras.utils.set_random_seed(3)
    sensors, table = keras.Input((4,), name="sensors"), keras.Input((3,), name="table")
    codes = {
        "sensors": keras.layers.Dense(5, activation="tanh", name="sensors_code")(sensors),
        "table": keras.layers.Dense(4, activation="tanh", name="table_code")(table),
    }
    read = MAIL({"risk": 6, "life": 1}, rescale=True, name="mail")(codes)
    risk = keras.layers.Dense(2, name="risk")(keras.layers.Activation("relu")(read["risk"]))
    return keras.Model([sensors, table], {"risk": risk, "life": read["life"]})


@pytest.fixture(scope="module")
def x():
    rng = np.random.default_rng(0)
    return {"sensors": rng.standard_normal((12, 4)), "table": rng.standard_normal((12, 3))}


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
    assert found["sensors"].shape == (3, 12, 4)
    assert len(found.attrs["fingerprint"]) >= 16


def test_integrated_gradients_and_shapley_are_complete(model, x):
    integrated = xm.explain(model, x, IntegratedGradients(tolerance=1e-3))
    assert bool(integrated["converged"].all())
    shapley = xm.explain(model, x, Shapley(background_rows=5))
    np.testing.assert_allclose(shapley["completeness_gap"], 0, atol=1e-5)


def test_bisection_agrees_with_many_fixed_nodes(model, x):
    found = xm.explain(model, x, IntegratedGradients(tolerance=1e-4), at="mail")
    fixed = xm.explain(model, x, IntegratedGradients(steps=512), at="mail")
    for stream in json.loads(found.attrs["reads"]):
        np.testing.assert_allclose(found[stream], fixed[stream], atol=4e-3)


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
