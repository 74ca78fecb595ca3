"""Streams that a method says nothing of: told wherever a zero of it could be misread."""

import pytest

from tests.helpers.pictured_record import pictured_record, without_figures
from tests.helpers.records import HOSTILE
from xai_mimo.record.check import check
from xai_mimo.record.select import unexplained_streams
from xai_mimo.reports import latex
from xai_mimo.reports.figures.examples import example_map
from xai_mimo.reports.figures.streams import stream_map
from xai_mimo.reports.page import page as html
from xai_mimo.reports.page.examples import view_of_example

pytestmark = pytest.mark.all_frameworks


@pytest.fixture
def record():
    record = pictured_record()
    record["methods"][1]["unexplained"] = ["weather", "scan"]
    return record


def test_the_page_says_it_in_the_summary_in_how_to_read_and_in_the_table(record):
    page = html.render(without_figures(record))
    label = record["methods"][1]["label"]
    assert page.count("says nothing of weather, scan") == 2
    assert f"{label} says nothing of weather, scan. Zeros there were not measured" in page
    assert '<th scope="col">Says nothing of</th>' in page
    assert "<td>weather, scan</td>" in page


def test_a_record_without_the_key_is_read_as_before():
    page = html.render(without_figures(pictured_record()))
    assert "ays nothing of" not in page
    assert unexplained_streams(check(pictured_record())) == {}


def test_figures_and_examples_leave_the_zeros_out(record):
    label = record["methods"][1]["label"]
    others = [m["label"] for m in record["methods"] if m["label"] != label]
    titles = [a.get_title(loc="left") for a in stream_map(check(record), "risk", "weather").axes if a.images]
    assert [t for t in titles if t] == others
    for stream in ("weather", "scan"):
        shown = [
            a.get_title(loc="left")
            for a in example_map(check(record), check(record).examples[0], stream).axes
            if a.images
        ]
        assert label not in shown
        assert set(others) <= set(shown)
    shown = view_of_example(check(record), check(record).examples[0], "e1")
    bars = next(line.bars for line in shown.features if line.stream == "weather")
    assert [bar.value is None for bar in bars] == [False, True, False]
    assert any(line.method == label for text in shown.texts for line in text.lines)


def test_a_text_that_no_method_speaks_of_is_not_shown(record):
    for method in record["methods"]:
        method["unexplained"] = ["review"]
    assert view_of_example(check(record), check(record).examples[0], "e1").texts == ()


def test_tables_in_latex_say_it_and_names_are_escaped(record):
    record["methods"][1]["label"] = label = "a_b & 50%"
    record = without_figures(record) | {"examples": []}
    record["methods"][1]["unexplained"] = ["x_1", HOSTILE]
    text = latex.render(record)
    assert latex.escape(f"{label} says nothing of x_1, ").strip() in text
    assert latex.escape(HOSTILE) in text
    page = html.render(without_figures(record))
    assert HOSTILE not in page
