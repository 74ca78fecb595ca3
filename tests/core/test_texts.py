"""Tokenizers of every kind as ids, tokens and words, by hand; and what can be none, refused by name."""

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.frameworks import needs
from tests.helpers.texts import TEXTS, ByHand, word_pieces
from xai_mimo.core.errors import BadSetting, BadValues, NotSupported, ShapeMismatch, UnknownName
from xai_mimo.core.streams import Stream
from xai_mimo.core.texts import read_texts, tokenised, tokenised_like, with_tokenizer

pytestmark = pytest.mark.all_frameworks


def model(width=4, **streams):
    declared = {"ids": Stream("ids", (width,), "int64", axes=("token",)), **streams}
    return xm.adapt(lambda ids, **rest: (ids == 2).sum(axis=1) * 1.0, streams=declared, heads={"good": 1})


def test_a_callable_gives_ids_that_are_padded_and_named():
    found = read_texts(TEXTS, ByHand(), "ids")
    np.testing.assert_array_equal(found.ids, [[2, 4, 0], [5, 6, 0], [3, 2, 4]])
    np.testing.assert_array_equal(found.tokens, [["good", "film", ""], ["un", "##able", ""], ["bad", "good", "film"]])
    np.testing.assert_array_equal(found.word_of, [[0, 1, -1], [0, 1, -1], [0, 1, 2]])
    np.testing.assert_array_equal(found.labels, [[0, 1, 3], [0, 1, 3], [0, 1, 2]])
    bare = read_texts(["a", "bb"], lambda texts: np.array([[len(t)] for t in texts]), "ids")
    np.testing.assert_array_equal(bare.tokens, [["1"], ["2"]])


@needs("tokenizers")
def test_a_fast_tokenizer_tells_the_words_that_its_pieces_are_of():
    found = read_texts(TEXTS, word_pieces(), "ids", 5)
    np.testing.assert_array_equal(found.ids, [[7, 2, 4, 0, 0], [7, 5, 6, 0, 0], [7, 3, 2, 4, 0]])
    np.testing.assert_array_equal(found.tokens[1], ["[CLS]", "un", "##able", "", ""])
    np.testing.assert_array_equal(found.word_of, [[-1, 0, 1, -1, -1], [-1, 0, 0, -1, -1], [-1, 0, 1, 2, -1]])


@needs("tokenizers", "transformers")
def test_a_tokenizer_of_transformers_gives_the_same_with_its_own_padding():
    from transformers import PreTrainedTokenizerFast

    own = PreTrainedTokenizerFast(tokenizer_object=word_pieces(), pad_token="[PAD]", unk_token="[UNK]")
    plain = read_texts(TEXTS, word_pieces(), "ids", 5)
    for tokenizer in (own, lambda texts: own(texts, padding=True)):
        found = read_texts(TEXTS, tokenizer, "ids", 5) if tokenizer is own else read_texts(TEXTS, tokenizer, "ids")
        width = found.ids.shape[1]
        np.testing.assert_array_equal(found.ids, plain.ids[:, :width])
        np.testing.assert_array_equal(found.word_of, plain.word_of[:, :width])
    np.testing.assert_array_equal(read_texts(TEXTS, own, "ids", 5).tokens, plain.tokens)
    left = read_texts(TEXTS, lambda texts: own(texts, padding=True, padding_side="left"), "ids", 5)
    np.testing.assert_array_equal(left.ids, [[0, 0, 7, 2, 4], [0, 0, 7, 5, 6], [0, 7, 3, 2, 4]])
    np.testing.assert_array_equal(left.word_of[1], [-1, -1, -1, 0, 0])


def test_rows_with_texts_become_rows_with_ids_and_all_else_stays():
    adapted = with_tokenizer(model(), ByHand())
    age = np.ones((3, 1))
    both = with_tokenizer(model(age=1), ByHand())
    x, texts = tokenised({"ids": TEXTS, "age": age}, both)
    assert x["age"] is age
    np.testing.assert_array_equal(x["ids"], texts["ids"].ids)
    assert x["ids"].shape == (3, 4)
    np.testing.assert_array_equal(tokenised(TEXTS, adapted)[0]["ids"], x["ids"])
    np.testing.assert_array_equal(tokenised([TEXTS, age], both)[0]["ids"], x["ids"])
    ids = {"ids": x["ids"]}
    assert tokenised(ids, adapted) == (ids, {})
    assert tokenised(TEXTS, model()) == (TEXTS, {})
    shorter, _ = tokenised({"ids": ["good"]}, with_tokenizer(model(None), ByHand()), texts)
    assert shorter["ids"].shape == (1, 4)


def test_a_mask_that_the_model_reads_and_the_rows_lack_says_where_tokens_are():
    masked = with_tokenizer(model(attention_mask=Stream("attention_mask", (4,), "int64")), ByHand())
    x, _ = tokenised({"ids": TEXTS}, masked)
    np.testing.assert_array_equal(x["attention_mask"], [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]])
    own = np.ones((3, 4), dtype=int)
    assert tokenised({"ids": TEXTS, "attention_mask": own}, masked)[0]["attention_mask"] is own


def test_a_model_is_read_off_texts_too():
    np.testing.assert_array_equal(
        tokenised_like({"ids": TEXTS, "age": 1}, ByHand())["ids"], read_texts(TEXTS, ByHand(), "ids").ids
    )
    adapted = xm.adapt(lambda ids: (ids == 2).sum(axis=1) * 1.0, like={"ids": TEXTS}, tokenizer=ByHand())
    found = xm.explain(adapted, {"ids": TEXTS}, "occlusion")
    np.testing.assert_array_equal(found["ids"][0], [[1, 0, 0], [0, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(found["ids_word"][2], ["bad", "good", "film"])


def test_the_model_that_was_given_keeps_no_tokenizer():
    plain = model()
    assert hasattr(with_tokenizer(plain, ByHand()), "tokenizers")
    assert not hasattr(plain, "tokenizers")


@pytest.mark.parametrize(
    ("texts", "tokenizer", "width", "error", "text"),
    [
        (TEXTS, 3, None, NotSupported, "the tokenizer of stream 'ids' is a int; expected a callable texts -> ids"),
        (TEXTS, ByHand(), 2, ShapeMismatch, "stream 'ids' takes 2 tokens, and the text of row 2 has 3. Let the token"),
        (TEXTS, ByHand().__call__, None, BadSetting, "have 2 to 3 tokens, and the tokenizer does not say how shorter"),
        (TEXTS, lambda t: [[1]], None, BadValues, "gives 1 rows of ids for 3 texts"),
        (TEXTS, lambda t: [[0.5]] * 3, None, BadValues, r"gives float64 of shape \(1,\) for a text; expected whole"),
    ],
)
def test_what_is_no_tokenizer_is_refused_by_name(texts, tokenizer, width, error, text):
    with pytest.raises(error, match=text):
        read_texts(texts, tokenizer, "ids", width)


def test_a_stream_that_holds_no_ids_takes_no_tokenizer():
    two = model(more=Stream("more", (3,), "int64"), age=1)
    with pytest.raises(BadSetting, match=r"the model has 2 streams of whole numbers .*: ids, more. Say which one"):
        xm.adapt(two, tokenizer=ByHand())
    with pytest.raises(BadSetting, match=r"stream 'age' holds float.. of shape \('batch', 1\)"):
        xm.adapt(two, tokenizer={"age": ByHand()})
    with pytest.raises(UnknownName, match="no input stream for a tokenizer is called 'idz'"):
        xm.adapt(two, tokenizer={"idz": ByHand()})
