"""One verb for what layers say over many rows: each system against its maps of single rows, and the schema."""

import json

import keras
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import xai_mimo as xm
from tests.helpers.keras_weights import with_weights
from xai_mimo.core.errors import BadSetting, BadValues, NotSupported, SchemaError
from xai_mimo.layers import (
    FLINT,
    IMVLSTM,
    MAIL,
    IdentityMLP,
    MHEXHead,
    check_summary,
    key_channels,
    predictive_variance,
    read_layers,
    read_saliency,
    summarise,
)
from xai_mimo.layers.row_statistics import RowMean
from xai_mimo.sowing import sow

ROWS = 10


@pytest.fixture
def mail(rng):
    streams = [keras.Input((3,), name="u"), keras.Input((2,), name="v")]
    layer = MAIL({"load": 2, "kind": 1}, stream_names=["u", "v"], streams="hierarchical", name="mail")
    model = with_weights(keras.Model(streams, layer(streams)))
    return model, [rng.normal(size=(ROWS, n)).astype("float32") for n in (3, 2)]


@pytest.fixture
def imv(rng):
    window = keras.Input((4, 3))
    layer = IMVLSTM(2, heads={"load": 1, "forces": 2}, output="mixture", feature_names=["a", "b", "c"], name="imv")
    x = rng.normal(size=(ROWS, 4, 3)).astype("float32")
    return with_weights(keras.Model(window, layer(window))), x, {"load": np.zeros(ROWS), "forces": np.zeros((ROWS, 2))}


@pytest.fixture
def identity(rng):
    inputs = keras.Input((3,))
    layer = IdentityMLP(depth=4, heads={"kind": 3, "load": 2}, regression=["load"], name="mlp")
    model = with_weights(keras.Model(inputs, layer(inputs)))
    y = {"kind": rng.integers(0, 3, ROWS), "load": rng.normal(size=(ROWS, 2))}
    return model, rng.normal(size=(ROWS, 3)).astype("float32"), y


@pytest.fixture
def flint(rng):
    inputs = keras.Input((3,))
    tap = layers.Dense(4, "relu", name="tap")(inputs)
    heads = {"kind": layers.Dense(3, "softmax")(tap), "load": layers.Dense(1, name="quantity")(tap)}
    predictor = with_weights(keras.Model(inputs, heads))
    model = FLINT(predictor, ["tap"], 5, kinds={"load": "regression"}, seed=0)
    return model, rng.normal(size=(ROWS, 3)).astype("float32")


@pytest.fixture
def mhex(rng):
    image = keras.Input((4, 6, 2), name="image")
    x = MHEXHead(heads={"kind": 3}, name="first")([layers.Conv2D(2, 1)(image), image])
    small = layers.AveragePooling2D(2)(x)
    x = MHEXHead(heads={"kind": 3}, name="second")([layers.Conv2D(2, 1)(small), small])
    model = with_weights(keras.Model(image, layers.Dense(3, name="kind")(layers.GlobalAveragePooling2D()(x))))
    return model, rng.normal(size=(ROWS, 4, 6, 2)).astype("float32")


def assert_mean(summary, name, rows):
    """A mean and its standard deviation are those of the values of single rows, ``(row, ...)``."""
    assert summary[name].attrs["statistic"] == "mean"
    np.testing.assert_allclose(summary[name], np.mean(rows, axis=0), atol=1e-5)
    np.testing.assert_allclose(summary[f"{name}_std"], np.std(rows, axis=0), atol=1e-5)


def test_attention_of_mail_over_rows(mail):
    model, x = mail
    summary, maps = summarise(model, x, batch_size=4), xm.intercept(model, x)
    assert (summary.attrs["kind"], summary.attrs["layer"], summary.attrs["reference"]) == (
        "MAIL",
        "mail",
        "ribeiro2025mail",
    )
    assert summary["attention"].dims == ("head", "feature")
    assert list(summary["feature"].values) == ["u.0", "u.1", "u.2", "v.0", "v.1"]
    assert list(summary["feature_stream"].values) == ["u", "u", "u", "v", "v"]
    assert list(summary["target"].values) == ["load:0", "load:1", "kind:0"]
    for name in ("attention", "context", "contribution", "stream_attention"):
        assert_mean(summary, name, maps[f"mail/{name}"].values)


def test_padding_does_not_count(rng):
    x = rng.normal(size=(3, 4, 2)).astype("float32")
    x[0, 2:] = x[1, 3:] = x[2, 3:] = 0.0
    inputs = keras.Input((4, 2), name="series")
    model = with_weights(keras.Model(inputs, MAIL({"y": 1}, name="mail")(layers.Masking()(inputs))))
    summary, maps = summarise(model, x, batch_size=2), xm.intercept(model, x)["mail/attention"].values
    assert list(summary["real_rows"].values) == [3, 3, 2, 0]
    assert summary["attention"].dims == ("time", "head", "feature")
    np.testing.assert_allclose(summary["attention"][:2], maps[:, :2].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(summary["attention"][2], maps[1:, 2].mean(axis=0), atol=1e-6)
    assert np.isnan(summary["attention"][3]).all()
    assert "padding in every row" in summary["attention"].attrs["undefined"]


def test_importances_of_imv_lstm_over_rows(imv):
    model, x, y = imv
    summary, maps = summarise(model, x, y, batch_size=4), xm.intercept(model, x)
    assert summary.attrs["kind"] == "IMVLSTM"
    assert_mean(summary, "prior_importance", maps["imv/variable_attention"].values)
    assert_mean(summary, "temporal_importance", maps["imv/temporal_attention"].values)
    assert summary["temporal_importance"].dims == ("head", "time", "feature")
    assert list(summary["time"].values) == ["lag 4", "lag 3", "lag 2", "lag 1"]
    variance = predictive_variance(model, x)
    assert_mean(summary, "predictive_variance", np.concatenate([variance["load"], variance["forces"]], axis=1))
    np.testing.assert_allclose(summary["posterior_importance"].sum("feature"), 1, atol=1e-6)
    without = summarise(model, x)
    assert "posterior_importance" not in without
    assert not np.allclose(without["prior_importance"], summary["posterior_importance"], atol=1e-4)


def test_layers_of_an_identity_mlp_over_rows(identity):
    model, x, y = identity
    summary, reading, maps = summarise(model, x, y, batch_size=4), read_layers(model, x, y), xm.intercept(model, x)
    for name in ("deviation", "diagonal", "off_diagonal"):
        np.testing.assert_allclose(summary[name], getattr(reading, name), atol=1e-6)
        assert summary[name].attrs["statistic"] == "weights"
    assert_mean(summary, "step", np.abs(maps["mlp/increment"].values).mean(axis=-1))
    assert_mean(summary, "class_likelihood", maps["mlp/class_likelihood"].values)
    scores = maps["mlp/score"].values
    right = scores[..., :3].argmax(axis=-1) == y["kind"][:, None]
    np.testing.assert_allclose(summary["accuracy"].sel(head="kind"), right.mean(axis=0), atol=1e-9)
    errors = np.sqrt(np.square(scores[..., 3:] - y["load"][:, None]).mean(axis=(0, 2)))
    np.testing.assert_allclose(summary["error"].sel(head="load"), errors, rtol=1e-5)
    assert np.isnan(summary["accuracy"].sel(head="load")).all()
    assert summary["accuracy"].attrs["undefined"].startswith("for load")
    assert not {"accuracy", "error"} & set(summarise(model, x))


@pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.InterpreterWarning")
def test_attributes_of_flint_over_rows(flint):
    model, x = flint
    summary, rows = summarise(model, x, batch_size=4), model.interpret(x)
    assert summary.attrs["kind"] == "FLINT"
    assert_mean(summary, "attributes", rows["attributes"].values)
    assert_mean(summary, "distance", rows["distance"].T.values)
    assert_mean(summary, "relevance_magnitude", np.abs(np.moveaxis(rows["relevance"].values, 1, 0)))
    assert_mean(summary, "reconstruction_error", rows["reconstruction_error"].values)
    for name in ("fidelity", "r_squared", "conciseness", "global_relevance", "attribute_use", "class_rows", "weight"):
        np.testing.assert_allclose(summary[name], rows[name], atol=1e-6, err_msg=name)
        assert summary[name].dims == rows[name].dims
    assert list(summary["class"].values) == list(rows["class"].values)


def test_blocks_of_mhex_over_rows(mhex):
    model, x = mhex
    summary, rows = summarise(model, x, batch_size=4), read_saliency(model, x)
    assert (summary.attrs["kind"], summary.attrs["layer"]) == ("MHEXHead", "first, second")
    assert summary["saliency"].dims == ("head", "height", "width")
    assert_mean(summary, "saliency", rows["saliency"].transpose("sample", ...).values)
    assert_mean(summary, "layer_saliency", rows["layer_saliency"].transpose("sample", ...).values)
    assert_mean(summary, "logit", rows["logit"].transpose("sample", ...).values)
    channels = key_channels(model, x, layer="second")
    assert_mean(summary, "second_channel_contribution", channels["contribution"].transpose("sample", ...).values)
    np.testing.assert_array_equal(summary["second_channel_rank"], channels["rank"])
    alone = summarise(model, x, layer="second")
    assert list(alone["layer"].values) == ["second"]
    np.testing.assert_allclose(alone["layer_saliency"][0], summary["layer_saliency"][1], atol=1e-6)


@pytest.mark.parametrize("system", ["mail", "imv", "identity", "flint", "mhex"])
def test_every_system_keeps_to_the_schema_whatever_the_batches(system, request, tmp_path):
    model, x, *labels = request.getfixturevalue(system)
    parts, whole = (summarise(model, x, *labels, batch_size=n) for n in (3, 100))
    assert check_summary(parts) is parts
    assert parts.attrs["rows"] == ROWS
    assert "keras" in json.loads(parts.attrs["versions"])
    assert set(parts) == set(whole)
    for name in parts:
        np.testing.assert_allclose(parts[name], whole[name], atol=1e-5, err_msg=str(name))
    xm.save(parts, tmp_path / "summary.nc")
    loaded = xm.load(tmp_path / "summary.nc")
    check_summary(loaded)
    np.testing.assert_allclose(loaded[next(iter(parts))], parts[next(iter(parts))])


class Foreign(layers.Layer):
    """A layer of somebody else's that sows."""

    def call(self, inputs):
        sow(self, "gate_of_mine", inputs, axes=("feature",), coords={"feature": ["a", "b"]})
        return inputs


def test_a_foreign_layer_is_summarised_map_by_map():
    model = keras.Sequential([keras.Input((2,)), Foreign(name="mine")])
    summary = summarise(model, np.array([[1.0, 2.0], [3.0, 6.0]]))
    assert (summary.attrs["kind"], summary.attrs["reference"]) == ("Foreign", "")
    np.testing.assert_allclose(summary["gate_of_mine"], [2, 4])
    np.testing.assert_allclose(summary["gate_of_mine_std"], [1, 2])


class Padded(layers.Layer):
    """Sows a mask over steps, a map over steps and one without."""

    def call(self, inputs):
        sow(self, "mask", keras.ops.cast(inputs > 0, "float32"), axes=("time",))
        sow(self, "steps", inputs, axes=("time",))
        sow(self, "whole", keras.ops.max(inputs, axis=1), axes=())
        return inputs


def test_a_map_without_positions_counts_in_every_row():
    model = keras.Sequential([keras.Input((2,)), Padded(name="mine")])
    summary = summarise(model, np.array([[1.0, 2.0], [3.0, 0.0]]))
    np.testing.assert_allclose(summary["steps"], [2, 2])
    assert float(summary["whole"]) == 2.5
    np.testing.assert_allclose(summary["real_rows"], [2, 1])


def test_one_layer_is_chosen_or_has_to_be_named(mail, imv, rng):
    model, x = mail
    with pytest.raises(
        ValueError, match=r"to hold one such layer called 'male'. Received: a model that holds \['mail'\]"
    ):
        summarise(model, x, layer="male")
    with pytest.raises(ValueError, match="Expected at least one row"):
        summarise(model, [values[:0] for values in x])
    inputs = keras.Input((3,), name="x")
    two = keras.Model(inputs, [MAIL({"y": 1}, name="one")(inputs), IdentityMLP(2, depth=2, name="other")(inputs)])
    rows = rng.normal(size=(4, 3)).astype("float32")
    with pytest.raises(ValueError, match=r"holds \['.*'\]. Name one with `layer`"):
        summarise(two, rows)
    assert [summarise(two, rows, layer=name).attrs["kind"] for name in ("one", "other")] == ["MAIL", "IdentityMLP"]
    with pytest.raises(ValueError, match="Expected labels per head"):
        summarise(imv[0], imv[1], np.zeros(ROWS))


def test_values_that_are_not_finite_are_named(mail, imv):
    model, x = mail
    x[1][3, 1] = np.nan
    with pytest.raises(
        BadValues, match=r"input 'v' holds 1 values that are NaN or infinite, the first at index \(3, 1\)"
    ):
        summarise(model, x)
    with pytest.raises(BadValues, match=r"input 'v' holds 1 values"):
        summarise(model, dict(zip("uv", x, strict=True)))
    model, x, y = imv
    spoilt = {head: np.asarray(values, "float64").copy() for head, values in y.items()}
    spoilt["load"][2] = np.inf
    with pytest.raises(BadValues, match=r"the labels 'load' holds 1 values that are NaN or infinite"):
        summarise(model, x, spoilt)


def test_weights_that_are_not_finite_are_suspected():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="dense"), Foreign(name="mine")])
    model.get_layer("dense").set_weights([np.full((2, 2), np.nan), np.zeros(2)])
    with pytest.raises(
        BadValues, match=r"'gate_of_mine' of layer '.*mine' is NaN .* inputs that are finite\. Look for weights"
    ):
        summarise(model, np.ones((3, 2)))


@pytest.mark.parametrize("size", [0, -1, 2.5])
def test_a_size_of_batches_that_is_no_count_is_refused(mail, size):
    with pytest.raises(BadSetting, match=f"batch_size must be a whole number of at least 1; got {size}"):
        summarise(*mail, batch_size=size)


def test_what_holds_no_layer_of_ours_is_refused_with_a_way_out():
    with pytest.raises(
        NotSupported, match=r"expected a Keras model or layer .*; got int\. Give the Keras model itself"
    ):
        summarise(3, np.ones((3, 2)))
    plain = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with pytest.raises(
        ValueError, match=r"holds \[\]\. None of its layers .* or explain it from outside with xai_mimo\.explain"
    ):
        summarise(plain, np.ones((3, 2)))


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda d: d.assign_attrs(schema="other/1"), "got schema 'other/1'"),
        (lambda d: d.drop_attrs(deep=False), "got schema None, without kind, layer"),
        (lambda d: d.drop_vars("attention_std"), "'attention' of a summary is a mean, and needs 'attention_std'"),
        (lambda d: d.assign(attention=d["attention"].assign_attrs(statistic="median")), "statistic, one of mean, std"),
        (lambda d: d.assign(attention=d["attention"].drop_attrs()), "attributes long_name, unit and statistic"),
        (lambda d: d.assign(attention=d["attention"].copy(data=np.full(d["attention"].shape, np.nan))), "holds NaN"),
        (
            lambda d: d.assign(attention=d["attention"].expand_dims(sample=2).assign_attrs(d["attention"].attrs)),
            "each row",
        ),
    ],
)
def test_what_breaks_the_schema_is_said(mail, spoil, text):
    with pytest.raises(SchemaError, match=text):
        check_summary(spoil(summarise(*mail)))


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=5), shift=st.floats(-1e6, 1e6), seed=st.integers(0, 99))
def test_batches_merge_to_the_mean_and_deviation_of_all_rows(sizes, shift, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(sum(sizes), 3)) + shift
    counts = rng.integers(0, 2, values.shape)
    mean = RowMean()
    for start, size in zip(np.cumsum([0, *sizes[:-1]]), sizes, strict=True):
        mean.add(values[start : start + size], counts[start : start + size])
    for j in range(3):
        own = values[counts[:, j] == 1, j]
        assert mean.count[j] == len(own)
        np.testing.assert_allclose(mean.mean[j], own.mean() if len(own) else np.nan, rtol=1e-9)
        np.testing.assert_allclose(mean.std[j], own.std() if len(own) else np.nan, atol=1e-6)


def test_a_path_names_one_layer_although_another_ends_with_it(rng):
    x = keras.Input((3,), name="x")
    outer = MAIL({"h": 1}, name="mail")(x)["h"]
    inner = keras.Sequential([MAIL({"g": 1}, name="mail")], name="enc")(x)["g"]
    model, rows = keras.Model(x, [outer, inner]), rng.standard_normal((6, 3)).astype("float32")
    assert summarise(model, rows, layer="mail").attrs["layer"] == "mail"
    assert summarise(model, rows, layer="enc/mail").attrs["layer"] == "enc/mail"


def test_labels_of_heads_whose_rows_are_in_different_orders_are_refused(imv):
    model, x, y = imv
    series = {head: pd.DataFrame(np.reshape(values, (ROWS, -1))) for head, values in y.items()}
    xr.testing.assert_identical(summarise(model, x, series), summarise(model, x, y))
    last = list(series)[-1]
    with pytest.raises(BadValues, match=rf"rows of the labels '{last}' have the same index as .* in another order"):
        summarise(model, x, series | {last: series[last].iloc[::-1]})
