"""Numbers as words: three digits, percents, intervals, and short names that stay apart."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xai_mimo.reports.numbers import interval, number, percent, shorten, shorten_all, whole, words

pytestmark = pytest.mark.all_frameworks


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
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


def test_percent_interval_and_counts():
    assert percent(0.1234) == "12.3 %"
    assert percent(None) == "–"
    assert interval(SimpleNamespace(low=-0.5, high=1.0)) == "−0.500 to 1.00"
    assert interval(SimpleNamespace(low=None, high=1.0)) == "–"
    assert whole(12345) == "12\u202f345"
    assert words("auroc") == "AUROC"
    assert words("rank_agreement") == "rank agreement"


def test_short_names_keep_both_ends_and_stay_apart():
    assert shorten("abc") == "abc"
    assert shorten("a" * 20 + "b" * 20, 10) == "aaaaaa…bbb"
    names = [f"sensor_{i}_of_the_left_wheel_bearing" for i in (11, 12)] + ["other"]
    assert shorten_all(names, 12) == ["…or_11_of_t…", "…or_12_of_t…", "other"]


def test_names_that_cannot_be_told_apart_are_numbered():
    assert shorten_all(["a\nb", "a b"]) == ["…a b (1)", "…a b (2)"]
