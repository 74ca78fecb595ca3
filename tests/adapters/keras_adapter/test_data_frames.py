"""Data frames on Keras models: their column names are the features' names, in results, truth and backgrounds alike."""

import keras
import numpy as np
import pandas as pd
import pytest

import xai_mimo as xm
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.errors import UnknownName
from xai_mimo.explainers import IntegratedGradients, Occlusion, Shapley

WEIGHTS = np.array([1.0, 10.0, 100.0])
ROWS = np.array([[2.0, 1.0, 3.0], [5.0, 0.0, 7.0]])
BEHIND = np.array([[1.0, -1.0, 2.0]])
FRAME = pd.DataFrame(ROWS, columns=["heat", "load", "wear"])
MIXED = ["wear", "heat", "load"]


@pytest.fixture
def model():
    x = keras.Input((3,), name="x")
    hidden = keras.layers.Dense(3, use_bias=False, kernel_initializer="identity", name="same")(x)
    net = keras.Model(x, keras.layers.Dense(1, use_bias=False, name="y")(hidden))
    net.layers[-1].set_weights([WEIGHTS[:, None]])
    return net


def test_column_names_are_the_names_of_the_features(model):
    maps = xm.explain(model, FRAME, Occlusion())
    assert maps["x_feature"].values.tolist() == ["heat", "load", "wear"]
    np.testing.assert_allclose(maps["x"].sel(head="y").values, ROWS * WEIGHTS, rtol=1e-5)


def test_frames_as_background_and_baseline_are_put_right_by_name(model):
    background = pd.DataFrame(BEHIND, columns=FRAME.columns)
    right = (ROWS - BEHIND) * WEIGHTS
    for adapted in (model, xm.adapt(model)):
        maps = xm.explain(adapted, FRAME, Shapley(), background=background[MIXED])
        np.testing.assert_allclose(maps["x"].sel(head="y").values, right, rtol=1e-4, atol=1e-4)
        maps = xm.explain(adapted, {"x": FRAME}, IntegratedGradients(baseline={"x": background[MIXED]}))
        np.testing.assert_allclose(maps["x"].sel(head="y").values, right, rtol=1e-4, atol=1e-4)
        assert '"baseline": {"x": {"heat": [1.0], "load": [-1.0], "wear": [2.0]}}' in maps.attrs["settings"]
    with pytest.raises(UnknownName, match=r"in the background, no column of the data frame .*'heat'"):
        xm.explain(model, FRAME, Shapley(), background=background.rename(columns={"heat": "cold"}))


def test_names_that_the_model_has_stay_and_order_the_columns(model):
    adapted = xm.adapt(model, streams={"x": ["heat", "load", "wear"]})
    maps = xm.explain(adapted, FRAME[MIXED], Occlusion())
    assert maps["x_feature"].values.tolist() == ["heat", "load", "wear"]
    np.testing.assert_allclose(maps["x"].sel(head="y").values, ROWS * WEIGHTS, rtol=1e-5)


def test_a_model_named_by_its_data_compiles_nothing_again(model):
    adapted = xm.adapt(model)
    adapted.predict(ROWS)
    traces = adapted.traces
    for _ in range(2):
        xm.explain(adapted, FRAME, Occlusion())
    assert adapted.traces == traces
    assert adapted.streams[0].features == ("0", "1", "2")


def test_a_comparison_knows_features_by_their_columns(model):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(40, 3)), columns=FRAME.columns)
    result = xm.compare(
        model,
        frame,
        ["gradient", "occlusion"],
        truth={"y": {"x": ["wear", "load"]}},
        background=frame[MIXED],
        settings=Settings(resamples=200, ceilings=False),
    )
    assert set(result.features["feature"]) == {"heat", "load", "wear"}
    assert result.explanations["x_feature"].values.tolist() == ["heat", "load", "wear"]


def test_raw_inputs_keep_their_names_behind_a_cut(model):
    maps = xm.explain(model, FRAME, Occlusion(), at="same")
    assert maps["x_feature"].values.tolist() == ["heat", "load", "wear"]
