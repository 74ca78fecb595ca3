"""Words of verdicts: one for each use, and none in records that have one word alone."""

import dataclasses

import pytest

from xai_mimo.record.results import Verdict
from xai_mimo.reports.verdicts import evidence_by_use, have_uses, legend, supported_heads, uses

pytestmark = pytest.mark.all_frameworks


def verdict(head="risk", **words):
    return Verdict(head=head, method="m", verdict="doubtful", text="", evidence=(), **words)


def test_every_use_has_its_word_and_its_sign():
    said = uses(verdict(order="supported", shares="misleading"))
    assert [u.text for u in said] == ["order: supported", "shares: misleading", "sign: not judged"]
    assert [u.glyph for u in said] == ["✔", "✖", "–"]


def test_verdicts_of_older_records_have_no_uses():
    assert uses(verdict()) == ()
    assert not have_uses([verdict()])
    assert have_uses([verdict(), verdict(order="undecided")])


def test_sentences_stand_under_the_use_that_they_begin_with():
    lines = ("Order: one.", "Sign: two.", "Order: three.", "Agreement: four.", "Orders: five.")
    row = dataclasses.replace(verdict(order="supported"), evidence=lines)
    groups = [(word and word.use, said) for word, said in evidence_by_use(row)]
    assert groups == [
        ("order", ["one.", "three."]),
        ("shares", []),
        ("sign", ["two."]),
        (None, ["Agreement: four.", "Orders: five."]),
    ]
    assert evidence_by_use(dataclasses.replace(verdict(), evidence=lines)) == [(None, list(lines))]
    assert evidence_by_use(verdict()) == []


def test_heads_are_named_where_a_use_is_supported():
    rows = [verdict("a", order="supported"), verdict("b", order="doubtful", sign="supported"), verdict("c")]
    assert supported_heads(rows, "order") == ["a"]
    assert supported_heads(rows, "sign") == ["b"]
    assert supported_heads(rows, "shares") == []


def test_the_legend_says_what_each_use_means():
    assert legend() == (
        "order: which inputs matter more than which; shares: how much each counts; "
        "sign: whether it raises or lowers the prediction"
    )
