"""Words of token ids: refused at the door, found again at a layer, and recorded with the examples."""

import numpy as np
import pytest

from tests.helpers.pictured_model import TEXT, Pictured, Reader, pictured_data
from xai_mimo.comparison.compare import compare
from xai_mimo.comparison.exhibits.words import check_vocabulary
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.errors import BadSetting, BadValues, UnknownName
from xai_mimo.core.token_words import words_of
from xai_mimo.record.check import check

pytestmark = pytest.mark.all_frameworks

WORDS = ("<pad>", "good", "bad", "film")
FAST = Settings(resamples=200, steps=2, ceilings=False)
IDS = {"text": np.array([[3, 1, 0, 0], [3, 2, 2, 0], [1, 1, 3, 0], [2, 0, 0, 0], [3, 3, 1, 2]], dtype="int32")}


def test_examples_hold_the_words_of_their_ids():
    result = compare(Reader(), IDS, ["occlusion"], vocabulary={"text": WORDS}, settings=FAST)
    check(result.to_dict())
    row = next(r for r in result.record["examples"] if r["row"] == 2)
    assert row["words"] == {"text": ["good", "good", "film", "<pad>"]}
    assert row["inputs"]["text"] == [1.0, 1.0, 3.0, 0.0]
    assert result.record["stream_maps"] == []
    assert [(r["stream"], r["feature"]) for r in result.record["features"]] == [("text", "(all places)")]


def test_without_a_vocabulary_the_ids_are_shown():
    result = compare(Reader(), IDS, ["occlusion"], settings=FAST)
    row = next(r for r in result.record["examples"] if r["row"] == 2)
    assert row["words"] == {"text": ["1", "1", "3", "0"]}


def test_an_embedding_has_the_words_of_its_ids_and_a_pooled_one_has_none():
    here = {"text_encoded": np.zeros((5, 4, 8)), "pooled": np.zeros((5, 8)), "both": np.zeros((5, 4, 8))}
    owners = {"text_encoded": ("text",), "pooled": ("text",), "both": ("text", "other")}
    found = words_of((TEXT,), owners, IDS, here, {"text": WORDS})
    assert list(found) == ["text_encoded"]
    assert list(found["text_encoded"][0]) == ["film", "good", "<pad>", "<pad>"]


@pytest.mark.parametrize(
    ("vocabulary", "error", "message"),
    [
        ({"txt": WORDS}, UnknownName, "no input stream is called 'txt'.*Did you mean 'text'"),
        ({"text": WORDS[:3]}, BadValues, "holds the id 3, but its vocabulary has the 3 words of ids 0 to 2"),
        ({"text": "abcd"}, BadSetting, "must be a sequence of words"),
        ({"text": (0, 1, 2, 3)}, BadSetting, "must be a sequence of words"),
    ],
)
def test_a_vocabulary_that_does_not_fit_is_refused(vocabulary, error, message):
    with pytest.raises(error, match=message):
        compare(Reader(), IDS, ["occlusion"], vocabulary=vocabulary)


def test_words_belong_to_ids_only(rng):
    with pytest.raises(BadSetting, match="needs a stream of integer ids of shape"):
        compare(Pictured(), pictured_data(rng), ["gradient"], vocabulary={"series": WORDS})


def test_negative_ids_have_no_words():
    ids = {"text": np.array([[-1, 0, 0, 0]], dtype="int32")}
    with pytest.raises(BadValues, match="holds the id -1"):
        check_vocabulary({"text": WORDS}, (TEXT,), ids)
