"""Examples of records that were written by hand or damaged: numbers near the largest, and shapes that do not fit."""

import numpy as np
import pytest

from tests.helpers.pictured_record import pictured_record
from tests.helpers.records import make_record
from xai_mimo.core.errors import SchemaError
from xai_mimo.record.check import check
from xai_mimo.reports.figures.examples import example_map
from xai_mimo.reports.page.examples import feature_lines
from xai_mimo.reports.page.tokens import texts

pytestmark = pytest.mark.all_frameworks

LARGEST = 1.7976931348623157e308


def with_values(record, **streams):
    """The record with other maps of its first example, the same for every method."""
    for of_method in record["examples"][0]["values"].values():
        of_method |= streams
    read = check(record)
    return read, read.examples[0]


def test_the_largest_numbers_have_the_longest_bars():
    streams = {"wear": [-LARGEST], "mechanical": [1e308, 0.0, 0.0, 0.0]}
    lines = feature_lines(*with_values(make_record(1, methods=2), **streams))
    bars = {line.feature: line.bars for line in lines}
    assert [bar.width for bar in bars["tool wear"]] == [100, 100]
    assert [bar.width for bar in bars["rotational speed"]] == [56, 56]


def test_sums_beyond_the_largest_number_are_the_largest():
    record = pictured_record()
    steps = np.full(np.shape(record["examples"][0]["values"]["attention"]["weather"]), LARGEST).tolist()
    lines = feature_lines(*with_values(record, weather=steps))
    assert {bar.value for line in lines if line.stream == "weather" for bar in line.bars} == {LARGEST}


def test_maps_of_one_stream_have_one_shape():
    record = pictured_record()
    record["examples"][0]["values"]["attention"]["weather"] = [1.0]
    with pytest.raises(SchemaError, match="values of the stream 'weather' must have one shape in all methods"):
        check(record)


@pytest.mark.parametrize("values", [5.0, [], [1.0, 2.0]])
def test_a_picture_that_is_none_is_named(values):
    with pytest.raises(SchemaError, match=r"a map of shape \(.*\) over the axes "):
        example_map(*with_values(pictured_record(), scan=values), "scan")


@pytest.mark.parametrize("values", [5.0, [], [1.0, 2.0]])
def test_words_without_a_value_each_are_named(values):
    with pytest.raises(SchemaError, match=r"a map of shape \(.*\) over the 8 words of the stream 'review'"):
        texts(*with_values(pictured_record(), review=values))
