"""Splits, scaling, class weights and task scores of a study, by hand."""

import random
import subprocess
import sys

import keras
import numpy as np
import pytest

from xai_mimo.comparison.task_scores import estimates, task_scores
from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import BadValues
from xai_mimo.core.streams import Head, Stream
from xai_mimo.datasets import Data, predictive_maintenance
from xai_mimo.studies.networks import Scale, baseline_network, mail_network
from xai_mimo.studies.training import class_weights, fit, prepare, seeded, split


def table(labels, kinds):
    rows = count_rows(labels)
    values = np.random.default_rng(0).normal(5.0, 3.0, (rows, 3))
    values[:, 2] = 7.0
    return Data(
        name="table",
        inputs={"a": values},
        labels={name: np.asarray(y) for name, y in labels.items()},
        streams=(Stream("a", (3,), "float64"),),
        heads=tuple(
            Head(name, (int(np.max(labels[name])) + 1 if k == "multiclass" else 1,), k) for name, k in kinds.items()
        ),
        truth={},
        units={"a": ("", "", "")},
        ties=np.zeros(rows, bool),
        source="",
    )


def regression(rows=60):
    return table({"y": np.random.default_rng(1).normal(50.0, 10.0, rows)}, {"y": "regression"})


@pytest.mark.all_frameworks
def test_a_split_keeps_the_share_of_every_class_within_one_row():
    data = predictive_maintenance(2000, seed=0, positives=0.2)
    train, test = split(data, 0.3, np.random.default_rng(0))
    assert sorted([*train, *test]) == list(range(2000))
    assert len(test) == pytest.approx(600, abs=1)
    patterns = np.stack([data.labels[h.name] for h in data.heads], axis=1)
    for pattern in np.unique(patterns, axis=0):
        rows = (patterns == pattern).all(axis=1)
        assert abs(rows[test].sum() - 0.3 * rows.sum()) <= 1


@pytest.mark.all_frameworks
def test_another_seed_holds_out_other_rows_and_the_same_seed_the_same():
    data = predictive_maintenance(500, seed=0, positives=0.2)
    one, other = (split(data, 0.3, np.random.default_rng(seed))[1] for seed in (0, 1))
    assert set(one) != set(other)
    np.testing.assert_array_equal(one, split(data, 0.3, np.random.default_rng(0))[1])


@pytest.mark.all_frameworks
def test_inputs_are_standardised_by_the_training_rows_alone():
    prepared = prepare(regression(), 0.3, seed=0)
    train = prepared.train.inputs["a"].astype(np.float64)
    np.testing.assert_allclose(train.mean(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(train.std(axis=0), [1.0, 1.0, 0.0], atol=1e-6)
    raw = regression().inputs["a"]
    np.testing.assert_allclose(
        prepared.test.inputs["a"], (raw[prepared.test_rows] - prepared.mean["a"]) / prepared.std["a"], atol=1e-5
    )
    assert prepared.std["a"][2] == 1.0
    assert prepared.train.streams[0].dtype == "float32"


@pytest.mark.all_frameworks
def test_a_class_that_cannot_be_held_out_is_refused():
    labels = np.zeros(30, int)
    labels[0] = 1
    with pytest.raises(BadValues, match=r"head 'y' has 1 of its 2 classes among the \d+ (held-out|training) rows"):
        prepare(table({"y": labels}, {"y": "binary"}), 0.3, seed=0)


@pytest.mark.all_frameworks
def test_one_row_cannot_be_split():
    with pytest.raises(BadValues, match=r"1 rows cannot be split with test_share = 0\.3"):
        split(regression(1), 0.3, np.random.default_rng(1))


@pytest.mark.all_frameworks
def test_class_weights_are_the_formula():
    labels = np.array([1, 0, 0, 0])
    np.testing.assert_allclose(class_weights(labels, 0.0), 1.0)
    np.testing.assert_allclose(class_weights(labels, 1.0), [2.0, 2 / 3, 2 / 3, 2 / 3], rtol=1e-6)
    half = np.array([2.0, 2 / 3, 2 / 3, 2 / 3]) ** 0.5
    np.testing.assert_allclose(class_weights(labels, 0.5), half / half.mean(), rtol=1e-6)


@pytest.mark.all_frameworks
def test_seeding_keras_leaves_the_callers_generators_as_they_were():
    random.seed(1)
    before = (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002
    with seeded(7):
        random.random()
        np.random.random()  # noqa: NPY002
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002


def train(data, scoring, seed, epochs=2, learning_rate=1e-2):
    prepared = prepare(data, 0.3, 0)
    shape = {"hidden": 8, "scales": prepared.scales}
    parts = (prepared.train.streams, prepared.train.heads)
    epochs_done = []
    with seeded(seed):
        net = mail_network(*parts, scoring=scoring, **shape) if scoring else baseline_network(*parts, **shape)
        loss = fit(
            net,
            prepared.train,
            scales=prepared.scales,
            epochs=epochs,
            batch=32,
            learning_rate=learning_rate,
            balance=0.5,
            advance=epochs_done.append,
        )
    assert epochs_done == list(range(epochs))
    return prepared, net, loss


@pytest.mark.parametrize("scoring", [None, "local"])
def test_the_same_seed_trains_the_same_network(scoring):
    data = predictive_maintenance(300, seed=0, positives=0.25).only(["HDF", "OSF"])
    prepared, one, _ = train(data, scoring, seed=3)
    _, again, _ = train(data, scoring, seed=3)
    _, other, _ = train(data, scoring, seed=4)
    outputs = [net.predict(prepared.test.inputs, verbose=0)["OSF"] for net in (one, again, other)]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert np.abs(outputs[0] - outputs[2]).max() > 1e-3


def test_a_regression_head_answers_in_its_own_unit():
    data = regression(200)
    values = data.inputs["a"][:, 0]
    linear = Data(
        **{
            **{f: getattr(data, f) for f in data.__dataclass_fields__ if f != "_rows"},
            "labels": {"y": 1000 + 50 * values},
        }
    )
    prepared, net, loss = train(linear, None, seed=0, epochs=60)
    assert loss < 0.2  # in units of the head's spread
    outputs = net.predict(prepared.test.inputs, verbose=0)
    scores = estimates(task_scores(prepared.test.heads, prepared.test.labels, outputs))
    assert scores["y"]["r2"] > 0.9


def test_the_baseline_is_towers_of_dense_layers_on_the_joined_streams():
    streams = (Stream("a", (2,)), Stream("b", (3,)))
    heads = (Head("c", (4,), "multiclass"), Head("r"))
    net = baseline_network(streams, heads, hidden=8, scales={"r": Scale(10.0, 2.0)})
    rng = np.random.default_rng(0)
    rows = {"a": rng.standard_normal((5, 2)).astype("float32"), "b": rng.standard_normal((5, 3)).astype("float32")}
    joined = np.concatenate([rows["a"], rows["b"]], axis=1)
    outputs = net.predict(rows, verbose=0)
    for head, last in (("c", "c"), ("r", "r_standard")):
        kernel, bias = (keras.ops.convert_to_numpy(w) for w in net.get_layer(f"{head}_wide").weights)
        x = np.tanh(joined @ kernel + bias)
        kernel, bias = (keras.ops.convert_to_numpy(w) for w in net.get_layer(f"{head}_narrow").weights)
        x = np.maximum(x @ kernel + bias, 0)
        kernel, bias = (keras.ops.convert_to_numpy(w) for w in net.get_layer(last).weights)
        x = x @ kernel + bias
        np.testing.assert_allclose(outputs[head], x if head == "c" else 2 * x + 10, rtol=1e-4, atol=1e-5)


def test_training_that_diverges_is_an_error():
    with pytest.raises(BadValues, match=r"training of 'baseline' ended with a loss of (nan|inf); lower"):
        train(regression(), None, seed=0, epochs=3, learning_rate=1e30)


_SEEDED = """
import sys, keras, numpy as np
from xai_mimo.studies.training import seeded

def drawn():
    layer = keras.layers.Dense(3)
    layer.build((None, 4))
    noise = keras.layers.GaussianNoise(1.0)(np.zeros((2, 3)), training=True)
    values = [layer.kernel, noise, keras.random.normal((2, 3)), np.random.rand(3)]
    return np.concatenate([np.ravel(keras.ops.convert_to_numpy(v)) for v in values])

with seeded(7):
    ours = drawn()
print("tensorflow" in sys.modules)
keras.utils.set_random_seed(7)
np.testing.assert_array_equal(ours, drawn())
"""


def test_seeding_draws_as_keras_does_and_loads_no_framework_that_is_not_used():
    done = subprocess.run([sys.executable, "-c", _SEEDED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == str(keras.config.backend() == "tensorflow")
