"""Texts through every way to explain: per token at the embedding, words as players, tokens in results and reports."""

import numpy as np
import pandas as pd
import pytest

import xai_mimo as xm
from tests.helpers.frameworks import needs
from tests.helpers.texts import TEXTS, ByHand, word_pieces
from xai_mimo.core.errors import BadSetting, NotSupported, SchemaError
from xai_mimo.core.streams import Stream
from xai_mimo.core.texts import read_texts
from xai_mimo.explainers import IntegratedGradients, Occlusion, Shapley

ROWS = {"ids": TEXTS, "table": np.array([[1.0, 2.0], [0.0, 1.0], [-1.0, 0.0]], dtype="float32")}


@pytest.fixture(scope="module")
def network():
    import keras

    keras.utils.set_random_seed(3)
    ids, table = keras.Input((5,), dtype="int32", name="ids"), keras.Input((2,), name="table")
    embedded = keras.layers.Embedding(8, 4, name="embedding", embeddings_initializer="normal")(ids)
    hidden = keras.layers.Dense(3, activation="tanh", name="reader")(embedded)
    pooled = keras.layers.GlobalAveragePooling1D()(hidden)
    both = keras.layers.Concatenate()([pooled, table])
    return keras.Model([ids, table], [keras.layers.Dense(1, name=n)(both) for n in ("mood", "length")])


@pytest.fixture(scope="module")
def model(network):
    return xm.adapt(network, tokenizer=ByHand())


def test_the_refusal_of_gradients_by_ids_names_the_call_that_works(network, model):
    with pytest.raises(NotSupported, match=r"at='reader' \(xai_mimo.by_token sums that by id\)"):
        xm.explain(model, ROWS, "integrated_gradients")
    found = xm.explain(model, ROWS, IntegratedGradients(), at="reader")
    tokens = xm.by_token(found)
    (name,) = [n for n in tokens if n.startswith("ids")]
    assert tokens[name].shape == (2, 3, 5)
    np.testing.assert_allclose(tokens[name], found[name].values.sum(axis=-1), atol=1e-7)
    np.testing.assert_array_equal(tokens[f"{name}_word"][1], ["un", "##able", "", "", ""])
    total = sum(tokens[n].values.reshape(2, 3, -1).sum(axis=-1) for n in (name, "table"))
    np.testing.assert_allclose(total, tokens["prediction"] - tokens["baseline_prediction"], atol=1e-4)
    assert "feature" not in set(xm.to_dataframe(tokens).query(f"stream == '{name}'").columns) - {"feature"}
    plain = xm.by_token(xm.explain(network, {**ROWS, "ids": [[2, 4, 0, 0, 0]] * 3}, IntegratedGradients(), at="reader"))
    np.testing.assert_array_equal(plain[f"{name}_word"][0], ["2", "4", "0", "0", "0"])


def test_an_explanation_without_words_has_no_tokens_to_sum_by(model):
    x = {"ids": read_texts(TEXTS, ByHand(), "ids", 5).ids, "table": ROWS["table"]}
    with pytest.raises(SchemaError, match=r"no stream of the explanation has words \(ids, table\): explain texts"):
        xm.by_token(xm.explain(model, x, "occlusion"))


@pytest.mark.all_frameworks
@needs("tokenizers")
def test_words_of_several_tokens_are_players():
    def read(ids):
        return (ids == 5) * 1.0 @ np.ones(5) * ((ids == 6) * 1.0 @ np.ones(5)) + 3.0 * (ids[:, 1] == 2)

    declared = {"ids": Stream("ids", (5,), "int64", axes=("token",))}
    model = xm.adapt(read, streams=declared, heads={"y": 1}, tokenizer=word_pieces())
    empty = {"ids": np.zeros((1, 5), int)}
    found = xm.explain(model, TEXTS, Shapley(players="words"), background=empty)
    assert list(found["players_player"].values) == ["ids.0", "ids.1", "ids.2", "ids.3"]
    np.testing.assert_allclose(found["players"][0], [[3, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(found["ids"][0, 1], [0, 0.5, 0.5, 0, 0], atol=1e-12)
    same = xm.explain(model, TEXTS, Occlusion(players={"ids": "words"}))
    np.testing.assert_allclose(same["players"][0, :, 0], [3, 1, 0])
    with pytest.raises(BadSetting, match="players='words': words are players of texts that come as texts"):
        xm.explain(model, {"ids": np.zeros((2, 5), int)}, Shapley(players="words"))
    with pytest.raises(BadSetting, match=r"players={'ids': 'words'}: words are players of texts"):
        xm.explain(model, {"ids": np.zeros((2, 5), int)}, Shapley(players={"ids": "words"}))


def test_texts_are_shown_in_the_report_and_kept_in_a_store(model, tmp_path):
    quick = xm.Settings(resamples=100, steps=1, controls=1, ceilings=False)
    found = xm.compare(model, ROWS, ["occlusion"], metrics=["gini"], settings=quick, background=ROWS)
    words = {e.row: e.words["ids"] for e in found.record.examples}
    assert words[1] == ("un", "##able", "", "", "")
    found.report(tmp_path / "report.html")
    assert "##able" in (tmp_path / "report.html").read_text()
    frames = {**ROWS, "table": pd.DataFrame(ROWS["table"], columns=["heat", "load"])}
    named = xm.explain(model, frames, "shapley", background=frames)
    assert list(named["table_feature"].values) == ["heat", "load"]
    stored = xm.explain(model, ROWS, "occlusion", store=tmp_path / "run.zarr", rows_per_block=2, background=ROWS)
    np.testing.assert_array_equal(stored["ids_word"][2], ["bad", "good", "film", "", ""])
