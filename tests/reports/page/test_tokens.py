"""Texts with their values: sums over the embedding, padding counted once, long texts cut."""

import numpy as np
import pytest

from tests.helpers.pictured_record import pictured_record
from xai_mimo.record.check import check
from xai_mimo.reports.page.tokens import texts

pytestmark = pytest.mark.all_frameworks


def example_of(words, values, **more):
    """A record and its one example: a text of an embedding of width two, beside another stream."""
    record = pictured_record(words=words)
    row = record["examples"][0]
    row["values"] = {method: {"review": v, "weather": 6 * [1.0], **more} for method, v in values.items()}
    read = check(record)
    return read, read.examples[0]


def test_values_are_summed_over_the_embedding_in_percent_of_the_whole_map():
    ours = [[1.0, 1.0], [-3.0, 0.0], [0.0, -1.0]]
    theirs = [[0.0, 0.0], [0.0, 2.0], [0.5, -0.5]]  # a map without a sign: magnitudes alone count
    record, row = example_of(("good", "bad", "film"), {"attention": theirs, "shapley": ours})
    (text,) = texts(record, row)
    assert text.stream == "review"
    assert text.hidden == 0
    attention, shapley = text.lines
    assert (attention.method, attention.signed) == ("attention", False)
    # The magnitude of the whole map is 6 of ours and 6 of the other stream.
    np.testing.assert_allclose([w.value for w in shapley.words], 100 * np.array([2, -3, -1]) / 12)
    np.testing.assert_allclose([w.value for w in attention.words], 100 * np.array([0, 2, 1]) / 9)
    assert text.limit == pytest.approx(25.0)
    assert [w.side for w in shapley.words] == ["up", "down", "down"]
    assert [w.side for w in attention.words] == ["", "weight", "weight"]
    np.testing.assert_allclose([w.strength for w in shapley.words], [0.667, 1.0, 0.333])


def test_padding_at_the_end_stands_once_with_its_count_and_sum():
    values = [[1.0], [1.0], [0.5], [0.25], [0.25], [1.0]]
    record, row = example_of(("pad", "good", "pad", "pad", "pad", "pad"), {"shapley": values})
    ((*kept, last),) = [line.words for line in texts(record, row)[0].lines]
    assert [w.text for w in kept] == ["pad", "good"]
    assert last.text == "pad × 4"
    assert last.value == pytest.approx(100 * 2.0 / 10.0)


def test_three_of_a_kind_are_left_alone():
    record, row = example_of(("a", "b", "b", "b"), {"shapley": [1.0, 1.0, 1.0, 1.0]})
    assert [w.text for w in texts(record, row)[0].lines[0].words] == ["a", "b", "b", "b"]


def test_long_texts_are_cut_and_the_rest_is_counted():
    words = tuple(f"w{i}" for i in range(450))
    record, row = example_of(words, {"shapley": [1.0] * 450})
    (text,) = texts(record, row)
    assert len(text.lines[0].words) == 400
    assert text.hidden == 50


def test_a_text_of_zeros_has_no_colour():
    record, row = example_of(("a", "b"), {"shapley": [0.0, 0.0]})
    assert {w.side for w in texts(record, row)[0].lines[0].words} == {""}


def test_rows_without_words_have_no_texts():
    values = pictured_record()
    del values["examples"][0]["words"]
    record = check(values)
    assert texts(record, record.examples[0]) == []
