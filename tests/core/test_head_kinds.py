"""The rule of what a head is, case by case, by value: no framework is needed."""

from types import SimpleNamespace

import pytest

from xai_mimo.core.head_kinds import HEAD_KINDS, activation_name, head_nature, losses_of_heads

pytestmark = pytest.mark.all_frameworks


class BinaryCrossentropy:
    """As Keras's: its class tells what it is, ``name`` may be anything."""

    def __init__(self, from_logits=False, name="mine"):
        self.from_logits, self.name = from_logits, name


class SparseCategoricalCrossentropy(BinaryCrossentropy):
    pass


class FocalLoss(BinaryCrossentropy):
    pass


def mean_squared_error(y_true, y_pred):
    """A loss function."""


LOGITS = {"from_logits": True}


@pytest.mark.parametrize(
    ("activation", "units", "loss", "kind", "values", "unit"),
    [
        ("softmax", 3, None, "multiclass", "probability", "probability"),
        ("softmax", 3, "mse", "multiclass", "probability", "probability"),
        ("softmax", 3, SparseCategoricalCrossentropy(**LOGITS), "multiclass", "probability", "probability"),
        ("sigmoid", 1, None, "binary", "probability", "probability"),
        ("sigmoid", 4, None, "multilabel", "probability", "probability"),
        ("linear", 3, SparseCategoricalCrossentropy(**LOGITS), "multiclass", "logit", "logit"),
        ("linear", 1, BinaryCrossentropy(**LOGITS), "binary", "logit", "log-odds"),
        ("dense", 2, BinaryCrossentropy(**LOGITS), "multilabel", "logit", "log-odds"),
        ("linear", 1, FocalLoss(**LOGITS), "binary", "logit", "log-odds"),
        ("linear", 3, "sparse_categorical_crossentropy", "multiclass", "probability", "probability"),
        ("lambda", 1, "bce", "binary", "probability", "probability"),
        ("lambda", 1, "binary_crossentropy", "binary", "probability", "probability"),
        ("add", 2, FocalLoss(name="binary_focal_crossentropy"), "multilabel", "probability", "probability"),
        ("linear", 1, "mse", "regression", "quantity", ""),
        ("relu", 2, mean_squared_error, "regression", "quantity", ""),
        ("linear", 1, "MeanAbsoluteError", "regression", "quantity", ""),
        ("linear", 1, SimpleNamespace(name="huber"), "regression", "quantity", ""),
    ],
)
def test_activation_first_then_loss(activation, units, loss, kind, values, unit):
    nature = head_nature(activation, units, loss)
    assert (nature.kind, nature.values, nature.unit) == (kind, values, unit)
    assert nature.kind in HEAD_KINDS


@pytest.mark.parametrize("loss", [None, "poisson", FocalLoss(), SimpleNamespace(from_logits=False)])
def test_where_neither_tells_nothing_is_said(loss):
    assert head_nature("linear", 1, loss) is None


def test_the_activation_is_that_of_the_operation_or_the_operation_itself():
    assert activation_name(SimpleNamespace(activation=mean_squared_error)) == "mean_squared_error"
    assert activation_name(SimpleNamespace(activation=FocalLoss())) == "focalloss"
    assert activation_name(FocalLoss()) == "focalloss"
    assert activation_name(SimpleNamespace(activation=None)) == "simplenamespace"


def test_losses_come_by_name_in_order_or_one_for_all():
    assert losses_of_heads({"a": "mse"}, ["a", "b"]) == {"a": "mse"}
    assert losses_of_heads(["mse", "mae"], ["a", "b"]) == {"a": "mse", "b": "mae"}
    assert losses_of_heads("mse", ["a", "b"]) == {"a": "mse", "b": "mse"}
    assert losses_of_heads(None, ["a"]) == {}
