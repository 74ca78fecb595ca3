"""An encoder of KerasHub over notes, beside a table, with two heads; which words matter for which head is known."""

import keras
import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.frameworks import imported, needs
from xai_mimo.core.errors import NotSupported
from xai_mimo.explainers import IntegratedGradients, Shapley
from xai_mimo.layers import MAIL

pytestmark = [pytest.mark.slow, needs("keras_hub")]
LENGTH, SMOKE, LEAK, PUMP = 10, 1, 2, 3


def orders(rows, seed):
    rng = np.random.default_rng(seed)
    ids = rng.integers(4, 16, (rows, LENGTH)).astype("int32")
    for word in (SMOKE, LEAK, PUMP):
        has = rng.random(rows) < 1 / 3
        ids[has, rng.integers(0, LENGTH, rows)[has]] = word
    table = rng.normal(size=(rows, 2)).astype("float32")
    urgent = (np.isin(ids, [SMOKE, LEAK]).any(axis=1) | (table[:, 0] > 1.5)).astype("float32")
    hours = (4 + 1.5 * table[:, 1] + 3 * (ids == PUMP).sum(axis=1)).astype("float32")
    return {"note": ids, "table": table}, {"urgent": urgent, "hours": hours}


TRAIN, ANSWERS = orders(3000, 0)
ROWS, LABELS = orders(60, 1)
MATTERS = {"urgent": np.isin(ROWS["note"], [SMOKE, LEAK]), "hours": ROWS["note"] == PUMP}


@pytest.fixture(scope="module")
def network():
    hub = imported("keras_hub")
    keras.utils.set_random_seed(1)
    note, table = keras.Input((LENGTH,), dtype="int32", name="note"), keras.Input((2,), name="table")
    tokens = hub.layers.TokenAndPositionEmbedding(16, LENGTH, 16, name="embedding")(note)
    for name in ("block_1", "block_2"):
        tokens = hub.layers.TransformerEncoder(32, num_heads=2, name=name)(tokens)
    text = keras.layers.Dense(4, activation="tanh", name="text")(keras.layers.GlobalAveragePooling1D()(tokens))
    read = MAIL({"urgent": 8, "hours": 8}, scoring="local", rescale=True, name="mail")({"text": text, "table": table})
    urgent = keras.layers.Dense(1, activation="sigmoid", name="urgent")(read["urgent"])
    model = keras.Model([note, table], {"urgent": urgent, "hours": keras.layers.Dense(1, name="hours")(read["hours"])})
    model.compile(
        keras.optimizers.Adam(3e-3),
        {"urgent": "binary_crossentropy", "hours": "mse"},
        loss_weights={"urgent": 3.0, "hours": 1.0},
    )
    model.fit(TRAIN, ANSWERS, epochs=16, batch_size=48, verbose=0)
    return model


@pytest.fixture(scope="module")
def model(network):
    return xm.adapt(network, streams={"note": xm.Stream("note", (LENGTH,), "int32", axes=("token",)), "table": 2})


def hits(found, head):
    """Of the notes that say something to a head, the share whose largest value stands at such a word."""
    says = MATTERS[head].any(axis=1)
    top = np.abs(found.sel(head=head).values[says]).argmax(axis=1)
    return MATTERS[head][says][np.arange(says.sum()), top].mean()


def test_it_has_learnt_what_is_asked_of_it(model):
    answers = model.predict(ROWS)
    assert ((answers["urgent"][:, 0] > 0.5) == LABELS["urgent"]).mean() > 0.9
    assert np.abs(answers["hours"][:, 0] - LABELS["hours"]).mean() < 0.6


def test_integrated_gradients_at_the_embedding_find_each_heads_words(model):
    with pytest.raises(NotSupported, match="at='block_1'"):
        xm.explain(model, ROWS, "integrated_gradients")
    asked = IntegratedGradients(tolerance=1e-2, baseline="mean")
    found = xm.explain(model, ROWS, asked, at="block_1", background=TRAIN)
    assert bool(found["converged"].all())
    tokens = xm.by_token(found)
    (name,) = [name for name in tokens.data_vars if f"{name}_word" in tokens.coords]
    np.testing.assert_array_equal(tokens[f"{name}_word"], ROWS["note"].astype(str))
    # Chance is 0.1. The path runs through vectors that are no words, so not every note is read rightly.
    assert hits(tokens[name], "urgent") > 0.6
    assert hits(tokens[name], "hours") > 0.6
    pumps = MATTERS["hours"].sum(axis=1)
    # A pump is three hours, of which the mean note has a thirtieth at each place.
    given = np.where(MATTERS["hours"], tokens[name].sel(head="hours"), 0).sum(axis=1)
    assert abs(np.median(given[pumps == 1]) - 3 * (1 - 1 / 30)) < 0.5


def test_shapley_values_find_them_and_the_quantities_of_the_table(model):
    found = xm.explain(model, ROWS, Shapley(budget=660), background={name: x[:20] for name, x in TRAIN.items()})
    assert hits(found["note"], "urgent") > 0.85
    assert hits(found["note"], "hours") > 0.9
    torque = found["table"].sel(head="hours")[:, 1]
    expected = 1.5 * (ROWS["table"][:, 1] - TRAIN["table"][:20, 1].mean())
    assert np.sqrt(((torque - expected) ** 2).mean()) < 0.4
    assert np.corrcoef(torque, expected)[0, 1] > 0.98


def test_attention_is_one_map_for_both_heads(model, network):
    maps = xm.intercept(model, ROWS)
    for block in ("block_1", "block_2"):
        weights = maps[f"{block}/self_attention_layer/attention_weights"]
        assert weights.shape == (60, 2, LENGTH, LENGTH)
        np.testing.assert_allclose(weights.sum(dim=weights.dims[-1]), 1, atol=1e-5)
    for method in ("attention_map", "attention_rollout"):
        found = xm.explain(model, ROWS, method)
        np.testing.assert_array_equal(found["note"].sel(head="urgent"), found["note"].sel(head="hours"))
        np.testing.assert_allclose(found["note"].sum(dim="note_token"), 1, atol=1e-5)
    inside = xm.explain(model, ROWS, "interception", at="mail")
    np.testing.assert_allclose(xm.stream_shares(inside).sum("stream"), 1, atol=1e-6)
