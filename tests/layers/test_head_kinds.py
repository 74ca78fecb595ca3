"""A head is the same to the Keras adapter, to FLINT and to the supervision of MHEX."""

import keras
import pytest

import xai_mimo as xm
from xai_mimo.layers import DeepSupervision, MHEXHead
from xai_mimo.layers.flint.predictor import read_predictor

LOSSES = keras.losses


@pytest.mark.parametrize(
    ("units", "activation", "loss", "kind", "unit"),
    [
        (3, "softmax", None, "multiclass", "probability"),
        (1, "sigmoid", "mse", "binary", "probability"),
        (2, "sigmoid", None, "multilabel", "probability"),
        (3, None, LOSSES.SparseCategoricalCrossentropy(from_logits=True, name="mine"), "multiclass", "logit"),
        (3, None, LOSSES.CategoricalCrossentropy(from_logits=True), "multiclass", "logit"),
        (1, None, LOSSES.BinaryCrossentropy(from_logits=True), "binary", "log-odds"),
        (2, None, LOSSES.BinaryFocalCrossentropy(from_logits=True), "multilabel", "log-odds"),
        (1, None, "binary_crossentropy", "binary", "probability"),
        (2, "relu", LOSSES.Huber(), "regression", ""),
        (1, None, LOSSES.mean_squared_error, "regression", ""),
    ],
)
def test_three_readers_give_one_answer(units, activation, loss, kind, unit):
    inputs = keras.Input((4, 2), name="x")
    tapped = MHEXHead(heads={"y": units}, name="tap")([keras.layers.Dense(2)(inputs), inputs])
    output = keras.layers.Dense(units, activation, name="y")(keras.layers.GlobalAveragePooling1D()(tapped))
    model = keras.Model(inputs, output)
    if loss is not None:
        model.compile("sgd", loss)
    head = xm.adapt(model).heads[0]
    assert (head.kind, head.unit) == (kind, unit)
    of_flint = read_predictor(model, ["tap"], None).heads[0]
    assert (of_flint.kind, of_flint.from_logits) == (kind, unit in ("logit", "log-odds"))
    assert DeepSupervision(model).kinds == {"y": kind}
