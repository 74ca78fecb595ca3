"""Figures over seeds: Student's interval within the metric's bounds, tables that hold every figure."""

import csv
import io

import numpy as np
import pytest
from scipy import stats

from xai_mimo.record.results import Verdict
from xai_mimo.studies.summary import ALL_HEADS, Row, interval, summarise, tables, task_rows, to_csv, to_markdown

pytestmark = pytest.mark.all_frameworks

RUNS = [
    {
        "network": network,
        "seed": seed,
        "task": {"HDF": {"average_precision": 0.8 + 0.1 * seed}, "OSF": {"average_precision": 0.6}},
        "chance": {"HDF": {"average_precision": 0.2 + 0.1 * seed}, "OSF": {"average_precision": None}},
        "truth": [{"head": "HDF", "method": "shapley", "share": 0.5 + 0.2 * seed, "auroc": 1.0}],
    }
    for network in ("baseline", "mail_local")
    for seed in (0, 1)
]


def row(rows, network, head, metric, method=""):
    return next(r for r in rows if (r.network, r.head, r.metric, r.method) == (network, head, metric, method))


def test_an_interval_is_students_t_over_seeds():
    values = [0.9, 0.8, 0.95, 0.7]
    mean, low, high = interval(values)
    expected = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    np.testing.assert_allclose((mean, low, high), (np.mean(values), *expected))


def test_an_interval_stays_within_the_bounds_of_its_metric():
    share = row(summarise(RUNS), "baseline", "HDF", "share", "shapley")
    assert interval(share.values)[1:] != (share.low, share.high)
    assert (share.low, share.high) == (0.0, 1.0)


def test_one_seed_has_no_interval():
    assert interval([0.3]) == (0.3, None, None)


def test_figures_are_means_over_seeds_with_the_mean_over_heads_behind():
    rows = summarise(RUNS)
    assert row(rows, "baseline", "HDF", "average_precision").estimate == pytest.approx(0.85)
    assert row(rows, "mail_local", "HDF", "share", "shapley").values == pytest.approx((0.5, 0.7))
    over = row(rows, "baseline", ALL_HEADS, "average_precision")
    assert over.values == pytest.approx((0.7, 0.75))
    assert over.seeds == 2
    assert not [r for r in rows if r.head == ALL_HEADS and r.metric == "share"]  # a single head needs no mean


def test_the_record_gets_task_scores_of_heads_alone():
    entries = task_rows(summarise(RUNS))
    assert {e.head for e in entries} == {"HDF", "OSF"}
    assert {e.metric for e in entries} == {"average_precision"}
    assert {e.head: e.chance for e in entries} == {"HDF": pytest.approx(0.25), "OSF": None}
    alone = task_rows(summarise(RUNS[:1]))
    assert alone[0].low is None
    assert alone[0].note == "one seed: no interval"


def test_tables_have_a_line_per_network_and_a_column_per_head():
    title, header, lines = tables(summarise(RUNS))[0]
    assert title == "average_precision on held-out rows"
    assert header == ["network", "HDF", "OSF", ALL_HEADS]
    assert [line[0] for line in lines] == ["baseline", "mail_local"]
    assert lines[0][2] == "0.600 [0.600, 0.600]"


def test_markdown_and_csv_hold_every_figure():
    rows = summarise(RUNS)
    text = to_markdown(rows, "T")
    assert text.startswith("# T\n")
    assert "## share of shapley on the true features" in text
    lines = to_csv(rows).splitlines()
    assert len(lines) == len(rows) + 1
    assert lines[0] == "network,head,family,metric,method,estimate,low,high,seeds,values,chance"


def test_markdown_says_what_each_map_may_be_used_for():
    words = {"verdict": "doubtful", "order": "supported", "shares": "doubtful"}
    verdict = Verdict(head="a|b", method="<m>", **words, text="Read *it*.", evidence=())
    text = to_markdown(summarise(RUNS), "T", [verdict])
    assert "Order: which inputs matter more than which; shares: how much each counts; sign: whether" in text
    assert "| head | method | verdict | order | shares | sign | why |\n|---|---|---|---|---|---|---|\n" in text
    assert text.endswith("| a\\|b | \\<m\\> | doubtful | supported | doubtful | – | Read \\*it\\*. |\n")
    assert "may be used for" not in to_markdown(summarise(RUNS), "T")


def named(*names):
    """One figure for a head of each name."""
    return [Row("baseline", name, "task", "r2", "", -0.5, None, None, 1, (-0.5,)) for name in names]


@pytest.mark.parametrize(
    "name", ["=1+1", '=HYPERLINK("x","y")', "+1+1", "-a", "-2+3|'x'!A0", "@SUM(A1)", " =1", "\uff1d1"]
)
def test_a_name_that_a_spreadsheet_would_compute_is_written_as_text(name):
    line = next(csv.DictReader(io.StringIO(to_csv(named(name)), newline="")))
    assert line["head"] == f"'{name}"


@pytest.mark.parametrize(
    ("name", "written"), [("\t=1", "' =1"), ("\r=1", "' =1"), ("\n=1", "' =1"), ("a\r\n=1,2\x1b", r"a  =1,2\x1b")]
)
def test_control_characters_in_a_name_neither_hide_a_formula_nor_break_a_line(name, written):
    lines = list(csv.DictReader(io.StringIO(to_csv(named(name)), newline="")))
    assert [line["head"] for line in lines] == [written]


@pytest.mark.parametrize("name", ["-1", "+2.5", "-1e-3", "-.5", "a=1", "rate-1", "a,b", 'a"b', ALL_HEADS, "'a"])
def test_numbers_and_other_names_are_written_as_they_are(name):
    line = next(csv.DictReader(io.StringIO(to_csv(named(name)), newline="")))
    assert line["head"] == name
    assert (line["estimate"], line["low"], line["values"]) == ("-0.5", "", "-0.5")


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a|b", r"a\|b"),
        ("a\\|b", r"a\\\|b"),
        ("<script>&lt;", r"\<script\>\&lt;"),
        ("[x](y)", r"\[x\](y)"),
        ("`*_b_*`", r"\`\*\_b\_\*\`"),
        ("average_precision", "average_precision"),
        ("two\nlines\x1b", r"two lines\\x1b"),
    ],
)
def test_names_in_markdown_are_text(name, written):
    text = to_markdown(named(name), name)
    assert text.startswith(f"# {written}\n")
    assert f"\n| network | {written} |\n|---|---|\n| baseline | -0.500 |\n" in text
