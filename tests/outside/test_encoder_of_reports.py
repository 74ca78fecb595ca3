"""A Hugging Face encoder on a sentence and a table, two heads: read as it is, and, trained, explained by its rules."""

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.frameworks import imported, needs
from tests.helpers.plant_reports import EMBEDDING, READINGS, ROLES, ids_of, made_network, made_reports, made_tokenizer
from xai_mimo.explainers import AttentionRollout, IntegratedGradients, Shapley

torch = imported("torch")

pytestmark = [pytest.mark.all_frameworks, needs("torch", "transformers", "tokenizers")]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Many small operations: what a second thread takes to start is more than it saves."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def adapted(network, tokenizer, text, readings):
    like = {"input_ids": ids_of(tokenizer, text), "readings": readings}
    return xm.adapt(network, like=like, streams={"input_ids": ROLES, "readings": READINGS}, tokenizer=tokenizer)


@pytest.fixture(scope="module")
def untrained():
    tokenizer = made_tokenizer()
    text, readings, _ = made_reports(6, seed=0)
    torch.manual_seed(0)
    return adapted(made_network(tokenizer, width=8), tokenizer, text, readings), {
        "input_ids": text,
        "readings": readings,
    }


def test_sentences_and_a_table_are_its_streams_and_both_heads_are_found(untrained):
    model, _rows = untrained
    assert [(s.name, s.features) for s in model.streams] == [("input_ids", ROLES), ("readings", READINGS)]
    assert [(h.name, h.kind) for h in model.heads] == [("urgent", "binary"), ("hours", "regression")]
    assert model.where_floats_begin() == EMBEDDING


def test_gradients_at_the_embedding_sum_to_tokens_and_to_the_change_of_each_head(untrained):
    model, rows = untrained
    found = xm.explain(model, rows, IntegratedGradients(baseline="background"), at=EMBEDDING, background=rows)
    tokens = xm.by_token(found)
    assert tokens["input_ids_encoded_word"].values[0].tolist() == ["[CLS]", *rows["input_ids"][0].split()]
    np.testing.assert_allclose(tokens["input_ids_encoded"], found["input_ids_encoded"].sum("input_ids_encoded_feature"))
    total = tokens["input_ids_encoded"].sum("input_ids_encoded_time") + tokens["readings"].sum("readings_feature")
    np.testing.assert_allclose(total, tokens["prediction"] - tokens["baseline_prediction"], atol=1e-3)


@pytest.fixture(scope="module")
def learnt():
    tokenizer = made_tokenizer()
    text, readings, labels = made_reports(2000, seed=0)
    torch.manual_seed(0)
    network = made_network(tokenizer)
    x = torch.tensor(ids_of(tokenizer, text)), torch.tensor(readings)
    y = {head: torch.tensor(values) for head, values in labels.items()}
    optimiser, rng = torch.optim.AdamW(network.parameters(), 2e-3), np.random.default_rng(0)
    network.train()
    for _ in range(20):
        for rows in np.array_split(rng.permutation(len(text)), len(text) // 64):
            answer = network(*(values[rows] for values in x))
            loss = torch.nn.functional.binary_cross_entropy(answer["urgent"], y["urgent"][rows])
            loss = loss + torch.nn.functional.mse_loss(answer["hours"], y["hours"][rows]) / 4
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    unseen, told, truths = made_reports(30, seed=1)
    model = adapted(network, tokenizer, unseen, told)
    background = {"input_ids": text[:8], "readings": readings[:8]}
    return model, {"input_ids": unseen, "readings": told}, background, truths


def found_by(method, learnt):
    """Mean magnitude of each role and reading, by head, and the explanation."""
    model, rows, background, _ = learnt
    at = EMBEDDING if method == "integrated_gradients" else None
    settings = IntegratedGradients(baseline="background") if at else Shapley(budget=208)
    found = xm.by_token(xm.explain(model, rows, settings, at=at, background=background, on="logit"))
    words = found["input_ids_encoded" if at else "input_ids"]
    sizes = {}
    for head in ("urgent", "hours"):
        of_words = dict(zip(ROLES, abs(words.sel(head=head)).mean("sample").values, strict=True))
        of_readings = dict(zip(READINGS, abs(found["readings"].sel(head=head)).mean("sample").values, strict=True))
        sizes[head] = of_words | of_readings
    return sizes, words


@pytest.mark.slow
@pytest.mark.parametrize("method", ["integrated_gradients", "shapley"])
def test_each_head_is_explained_by_the_words_and_readings_of_its_rule(learnt, method):
    model, rows, _, truths = learnt
    assert ((model.predict(_ids(learnt))["urgent"] > 0.5) == truths["urgent"]).mean() > 0.9
    sizes, words = found_by(method, learnt)
    urgent, hours = sizes["urgent"], sizes["hours"]
    assert set(sorted(urgent, key=urgent.get)[-3:]) == {"adverb", "state", "temperature"}
    assert sorted(hours, key=hours.get)[-2:] == ["age", "machine"]
    for role in ("CLS", "colon", "the", "at", "the 2", "is"):
        assert urgent[role] < 1e-3 * urgent["state"]  # the same in every report of the background
    saved = [sentence.endswith(("not smoking", "not leaking")) for sentence in rows["input_ids"]]
    assert (words.sel(head="urgent").values[saved, ROLES.index("adverb")] < 0).all()


@pytest.mark.slow
def test_attention_is_one_map_for_both_heads_and_of_words_alone(learnt):
    model, rows, background, _ = learnt
    rolled = xm.explain(model, rows, AttentionRollout(query=0, stream="input_ids"), background=background)
    np.testing.assert_array_equal(rolled["input_ids"].sel(head="urgent"), rolled["input_ids"].sel(head="hours"))
    np.testing.assert_allclose(rolled["input_ids"].sum("input_ids_feature"), 1, rtol=1e-5)
    assert not rolled["readings"].any()


def _ids(learnt):
    _model, rows, _, _ = learnt
    return {"input_ids": ids_of(made_tokenizer(), rows["input_ids"]), "readings": rows["readings"]}
