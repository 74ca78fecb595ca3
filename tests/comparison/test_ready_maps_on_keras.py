"""A Keras model with two inputs and two heads, on every backend: maps go out to shap, come in from elsewhere, and stand
beside ours."""

import keras
import numpy as np
import pytest

import xai_mimo as xm
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.errors import NotSupported

FAST = Settings(resamples=100, steps=3, controls=1)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    u, v = keras.Input((3,), name="u"), keras.Input((4, 2), name="v")
    hidden = keras.layers.Concatenate()([u, keras.layers.Flatten()(v)])
    hidden = keras.layers.Dense(5, activation="tanh")(hidden)
    risk = keras.layers.Dense(1, activation="sigmoid", name="risk")(hidden)
    return keras.Model([u, v], {"life": keras.layers.Dense(1, name="life")(hidden), "risk": risk})


def test_a_map_of_keras_goes_out_and_in_and_is_compared(model):
    rng = np.random.default_rng(0)
    x = {"u": rng.normal(size=(16, 3)).astype("f4"), "v": rng.normal(size=(16, 4, 2)).astype("f4")}
    made = xm.explain(model, x, "shapley", seed=1)
    shown = xm.to_shap(made, "life", data=x)
    back = xm.from_shap(shown, model, x, targets=["life"], name="back")
    for name in ("u", "v"):
        np.testing.assert_array_equal(back[name][0], made[name].sel(head="life"))
    tensors = tuple(keras.ops.convert_to_tensor(made[name].sel(head="life").values) for name in ("u", "v"))
    tuples = xm.from_captum(tensors, model, x, target="life")
    result = xm.compare(
        model,
        x,
        {"made": made, "back": back, "tuples": tuples, "ig": "integrated_gradients"},
        targets=["life"],
        metrics=["spearman", "symmetric_gain"],
        settings=FAST,
    )
    scores = result.scores.query("metric == 'spearman' and role == 'value'").set_index(["method", "other"])["estimate"]
    assert scores["made", "back"] == scores["made", "tuples"] == pytest.approx(1.0)
    assert [bool(m.ready) for m in result.record.methods] == [True, True, True, False]
    model.layers[-1].bias.assign(model.layers[-1].bias + 1)  # another step of training
    with pytest.raises(NotSupported, match=r"ready map 'made' cannot be compared: it was made of another model"):
        xm.compare(model, x, {"made": made}, settings=FAST)
