"""The list of sections: each has its template, each figure stands in one of them, each head is a value."""

import dataclasses
from importlib.resources import files

import pytest

from tests.helpers.pictured_record import pictured_record, without_figures
from tests.helpers.records import make_record
from xai_mimo.record.check import check
from xai_mimo.reports.figures.catalogue import FIGURES
from xai_mimo.reports.page import page
from xai_mimo.reports.page.head import view_of_head
from xai_mimo.reports.page.sections import HEAD_SECTIONS, SECTIONS

pytestmark = pytest.mark.all_frameworks

TEMPLATES = files("xai_mimo.reports.page") / "templates"


@pytest.mark.parametrize("section", [*SECTIONS, *HEAD_SECTIONS], ids=lambda section: section.title)
def test_every_section_has_its_template(section):
    assert (TEMPLATES / section.template).is_file()


def test_every_template_belongs_to_a_section_or_to_all():
    used = {section.template for section in (*SECTIONS, *HEAD_SECTIONS)}
    there = {file.name for file in TEMPLATES.iterdir()}
    assert there - used == {"report.html", "report.css", "report.js", "parts.html"}


def test_every_figure_of_the_catalogue_stands_in_one_section_in_the_order_of_the_catalogue():
    assert [name for section in HEAD_SECTIONS for name in section.figures] == list(FIGURES)


def test_sections_come_in_their_order_and_the_empty_are_left_out():
    record = check(make_record(1, rows=1, methods=1, features={"u": ("a",)}))
    text = page.render(dataclasses.replace(record, task=()))
    anchors = [text.index(f'<section id="{key}"') for key in ("summary", "methods", "reproduce", "cite")]
    assert anchors == sorted(anchors)
    assert 'id="task"' not in text
    assert 'href="#task"' not in text
    assert 'id="layers"' not in text


def test_what_the_page_says_of_a_head_is_a_value_that_stays():
    record = check(without_figures(pictured_record()))
    head = view_of_head(record, 1)
    assert (head.name, head.kind, head.unit, head.key) == ("risk", "binary", "probability", "h1")
    assert [e.row for e in head.examples] == [812]
    assert head == view_of_head(record, 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        head.name = "another"
