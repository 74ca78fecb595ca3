"""Numbers as words: three digits, percents, intervals, and short names that stay apart."""

import dataclasses
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.records import make_record
from xai_mimo.record.check import check
from xai_mimo.reports.numbers import (
    directions,
    in_two_lines,
    interval,
    metric_title,
    number,
    p_equals,
    p_value,
    percent,
    readable,
    shorten,
    shorten_all,
    whole,
)

pytestmark = pytest.mark.all_frameworks


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (float("inf"), "∞"),
        (-float("inf"), "−∞"),
        (-0.0, "0"),
        (0.12345, "0.123"),
        (-2.5, "−2.50"),
        (0.99951, "1.00"),
        (99.95, "100"),
        (1234.5, "1230"),
        (999999.0, "1000000"),
        (1.234e7, "1.23e7"),
        (-1.234e-5, "−1.23e−5"),
        (3, "3.00"),
    ],
)
def test_three_significant_digits(value, text):
    assert number(value) == text


@given(st.floats(min_value=-1e300, max_value=1e300, allow_subnormal=False))
def test_the_text_is_the_number_to_three_digits(value):
    read = float(number(value).replace("−", "-"))
    assert read == pytest.approx(value, rel=5.1e-3, abs=0)


@pytest.mark.parametrize(
    ("value", "cell", "sentence"),
    [
        (None, "–", "p unknown"),
        (0.0, "< .001", "p < .001"),
        (0.00099, "< .001", "p < .001"),
        (0.001, ".001", "p = .001"),
        (0.0341, ".034", "p = .034"),
        (0.0496, ".0496", "p = .0496"),
        (0.04999, ".04999", "p = .04999"),
        (0.05, ".050", "p = .050"),
        (1.0, "1.000", "p = 1.000"),
    ],
)
def test_a_p_value_is_never_zero_and_on_its_own_side_of_five_percent(value, cell, sentence):
    assert p_value(value) == cell
    assert p_equals(value) == sentence


@given(st.floats(min_value=0.0, max_value=1.0))
def test_a_p_value_reads_as_it_decides(value):
    text = p_value(value)
    assert (text.startswith("<") or float(text) < 0.05) == (value < 0.05)


def test_percent_interval_and_counts():
    assert percent(0.1234) == "12.3 %"
    assert percent(None) == "–"
    assert interval(SimpleNamespace(low=-0.5, high=1.0)) == "−0.500 to 1.00"
    assert interval(SimpleNamespace(low=None, high=1.0)) == "–"
    assert whole(12345) == "12\u202f345"
    assert readable("rank_agreement") == "rank agreement"


def test_a_metric_has_the_title_and_the_direction_that_the_record_says():
    record = check(make_record(1))
    assert metric_title(record, "auroc") == "AUROC"
    names = ["auroc", "insertion_area", "deletion_area", "effective_features", "auroc"]
    assert directions(record, names) == "Larger is better: AUROC, deletion area. Smaller is better: insertion area."


def test_an_older_record_names_metrics_by_their_identifiers():
    record = dataclasses.replace(check(make_record(1)), metrics=())
    assert metric_title(record, "auroc_mean_map") == "auroc mean map"
    assert directions(record, ["auroc_mean_map"]) == ""


def test_a_long_title_is_broken_near_its_middle():
    assert in_two_lines("AUROC") == "AUROC"
    assert in_two_lines("share of mass on true features") == "share of mass on\ntrue features"
    assert in_two_lines("x" * 40) == shorten("x" * 40)


def test_short_names_keep_both_ends_and_stay_apart():
    assert shorten("abc") == "abc"
    assert shorten("a" * 20 + "b" * 20, 10) == "aaaaaa…bbb"
    names = [f"sensor_{i}_of_the_left_wheel_bearing" for i in (11, 12)] + ["other"]
    assert shorten_all(names, 12) == ["…or_11_of_t…", "…or_12_of_t…", "other"]


def test_names_that_cannot_be_told_apart_are_numbered():
    assert shorten_all(["a\nb", "a b"]) == ["…a b (1)", "…a b (2)"]
