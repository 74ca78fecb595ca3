"""Labelled sentences as padded tokens: what is a token, how rows are split, and what is refused."""

import os
from pathlib import Path

import numpy as np
import pytest

from xai_mimo.core.errors import BadSetting, FileProblem
from xai_mimo.datasets import sentiment_sentences
from xai_mimo.datasets.archive import Archive
from xai_mimo.datasets.sentiment_sentences import SITES, tokenize

pytestmark = pytest.mark.all_frameworks

here = Path(os.environ.get("XAI_MIMO_DATA", "")) / "sentiment_sentences"
real = pytest.mark.skipif(not here.is_dir(), reason="the published files are not on this machine")


@pytest.fixture
def small_files(tmp_path, monkeypatch):
    """Three files of 220 sentences, half of them positive, one with a next-line character in it."""
    lines = [f"It's film number {i}!\t{i % 2}" for i in range(220)]
    lines[0] = "Good\x85bad, good\t0"
    for file in SITES.values():
        (tmp_path / file).write_bytes(("\n".join(lines) + "\n").encode("utf-8"))
    monkeypatch.setattr(Archive, "_checked", lambda self, path, file: path)
    return tmp_path


def test_words_numbers_and_marks_are_tokens():
    assert tokenize("It's 10/10 -- don\u2019t MISS it!!") == ["it's", "10", "10", "don't", "miss", "it", "!", "!"]


def test_rows_are_split_by_site_and_sentiment_and_padded_at_the_end(small_files):
    train = sentiment_sentences(small_files, length=6)
    test = sentiment_sentences(small_files, split="test", length=6)
    assert (len(train.data), len(test.data)) == (60, 600)
    for name in ("sentiment", "site"):
        assert len(set(np.bincount(test.data.labels[name]))) == 1
    assert train.words == test.words
    assert train.words[:6] == ("<pad>", "<unknown>", "!", "film", "it's", "number")
    assert train.sentence(3)[:3] == ["it's", "film", "number"]
    np.testing.assert_array_equal(train.data.inputs["text"][:, 5], 0)
    np.testing.assert_array_equal(train.data.inputs["site"].argmax(axis=1), train.data.labels["site"])


def test_a_sentence_with_a_next_line_character_stays_one_row(small_files):
    both = [sentiment_sentences(small_files, split=split, vocabulary=9000) for split in ("train", "test")]
    assert sum(len(texts.data) for texts in both) == 660
    sentences = [texts.sentence(row) for texts in both for row in range(len(texts.data))]
    assert sum(words[-1] in ("good", "<unknown>") and len(words) == 3 for words in sentences) == 3


def test_words_outside_the_vocabulary_are_unknown(small_files):
    texts = sentiment_sentences(small_files, vocabulary=3)
    assert texts.words == ("<pad>", "<unknown>", "!")
    assert set(np.unique(texts.data.inputs["text"])) == {0, 1, 2}


def test_a_line_without_a_label_is_refused(small_files):
    (small_files / "imdb_labelled.txt").write_text("no label here\n", encoding="utf-8")
    with pytest.raises(FileProblem, match=r"has a line that is not 'sentence TAB 0 or 1': 'no label here'"):
        sentiment_sentences(small_files)


def test_settings_are_checked():
    with pytest.raises(BadSetting, match="split 'val' is not one of train, test"):
        sentiment_sentences(split="val")
    with pytest.raises(BadSetting, match="length must be at least 1 and vocabulary at least 3; got 0 and 2"):
        sentiment_sentences(length=0, vocabulary=2)


@real
def test_the_published_files_have_their_rows():
    train, test = sentiment_sentences(here), sentiment_sentences(here, split="test")
    assert (len(train.data), len(test.data)) == (2400, 600)
    np.testing.assert_array_equal(np.bincount(train.data.labels["sentiment"]), [1200, 1200])
    np.testing.assert_array_equal(np.bincount(test.data.labels["site"]), [200, 200, 200])
    assert len(train.words) == 2000
