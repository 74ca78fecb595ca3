"""Any name that is accepted comes out of memory, netCDF, Zarr, a store, JSON, the page and LaTeX as it went in."""

import html
import json
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, Phase, assume, example, given, settings
from hypothesis import strategies as st

import xai_mimo as xm
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.errors import DuplicateName, XaiMimoError
from xai_mimo.core.names import check_text
from xai_mimo.core.streams import Head, Stream
from xai_mimo.explainers import Shapley
from xai_mimo.record.json_file import from_json
from xai_mimo.reports import latex

pytestmark = pytest.mark.all_frameworks

AWKWARD = [
    "a\\b",
    r"$\frac{1}{2}$",
    "a/b",
    "a%2Fb",
    "%2F",
    "%252F",
    ".",
    "..",
    "__init__",
    ".zattrs",
    "a b",
    " a",
    "a ",
    "\u00e9",
    "e\u0301",
    "ß",
    "SS",
    "ss",
    "👩‍🔬",
    "名前",
    "x" * 400,
    "<b>&amp;</b>",
    "[/red]",
    "{{7*7}}",
    "head:0",
    "a_feature",
    "-",
    "~",
    "con",
    "nan",
    "0",
    "\u00a0",
    "\u202eabc",
]
NAMES = st.one_of(
    st.sampled_from(AWKWARD), st.text(min_size=1, max_size=20), st.text(alphabet="ab/\\%2F._ ", min_size=1, max_size=6)
)
# Shrinking takes minutes here and says little more: names are short.
PHASES = [Phase.explicit, Phase.reuse, Phase.generate]
SLOW = {
    "phases": PHASES,
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.filter_too_much],
}


def adapted(streams, features, heads, units):
    """A model with these names; the example is dropped where the door refuses them, in our own words."""
    try:
        return xm.adapt(
            lambda a, b: [
                a.sum(axis=1, keepdims=True) * [[1.0, 2.0]] + b[:, :1],
                (b + a[:, :1]).sum(axis=1, keepdims=True),
            ],
            streams=[Stream(streams[0], (2,), features=tuple(features)), Stream(streams[1], (1,))],
            heads=[Head(heads[0], (2,), units=tuple(units)), Head(heads[1])],
        )
    except XaiMimoError:
        assume(False)


def is_name(name):
    try:
        return bool(check_text(name, "method"))
    except XaiMimoError:
        return False


def rows(streams):
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=(4, width)) for name, width in zip(streams, (2, 1), strict=True)}


pairs = st.lists(NAMES, min_size=2, max_size=2, unique=True)


@settings(max_examples=10, **SLOW)
@given(pairs, pairs, pairs, pairs)
@example(["a/b", "a%2Fb"], ["a\\b", "a/b"], ["h", "h:5"], ["0", "1"])
@example(["a\\b", "A\\b"], ["\u00e9", "e\u0301"], ["x" * 400, "x" * 401], ["[/red]", "[bold]"])
@example([".", ".."], [" ", "  "], ["__", "_"], ["~", "%7E"])
def test_names_survive_files_of_explanations(streams, features, heads, units):
    model = adapted(streams, features, heads, units)
    try:
        explanation = xm.explain(model, rows(streams), Shapley())
    except DuplicateName:  # "h:0" beside unit 0 of "h"
        assume(False)
    assert set(streams) < set(map(str, explanation.data_vars))
    assert list(explanation[f"{streams[0]}_feature"].values) == features
    heads_of = {f"{heads[0]}:{u}" for u in units} | {heads[1]}
    assert set(explanation["head"].values) == heads_of
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("nc", "zarr"):
            back = xm.load(xm.save(explanation, Path(folder) / f"e.{suffix}"))
            xr.testing.assert_identical(back.load(), explanation)
        stored = xm.explain(model, rows(streams), Shapley(), store=Path(folder) / "run.zarr", rows_per_block=3)
        again = xm.explain(model, rows(streams), Shapley(), store=Path(folder) / "run.zarr", rows_per_block=3)
        for found in (stored, again):
            xr.testing.assert_allclose(found.load(), explanation)


@settings(max_examples=3, **SLOW)
@given(pairs, pairs, pairs, pairs, pairs)
@example(["a/b", "a%2Fb"], ["a\\b", "a/b"], ["h", "h:5"], ["0", "1"], [r"$\frac{1}{2}$", "<b>&amp;</b>"])
@example(["a\\b", "👩‍🔬"], ["\u00e9", "e\u0301"], ["[/red]", "x|y"], ["~", "%7E"], ["a  b", " a b "])
def test_names_survive_records_and_reports(streams, features, heads, units, methods):
    model = adapted(streams, features, heads, units)
    assume(all(m.strip() and is_name(m) for m in methods))
    try:
        result = xm.compare(
            model,
            rows(streams),
            {methods[0]: "occlusion", methods[1]: "shapley"},
            metrics=["spearman", "deletion_area"],
            settings=Settings(resamples=100, steps=1, controls=1, ceilings=False),
        )
    except DuplicateName:  # "h:0" beside unit 0 of "h"
        assume(False)
    text = result.to_json()
    assert from_json(text) == result.record
    names = {*streams, *features, heads[1], *(f"{heads[0]}:{u}" for u in units), *methods}
    assert names <= strings(json.loads(text))
    with tempfile.TemporaryDirectory() as folder:
        page = Path(result.report(Path(folder) / "r.html")).read_text(encoding="utf-8")
    shown = html.unescape(page)
    for name in names:
        assert name in shown, name
    table = unescaped(latex.render(result.record))
    for name in {*streams, heads[1], *methods}:
        assert name in table, name


def strings(value):
    """Every text in a JSON value, keys too."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, dict):
        return set(value).union(*map(strings, value.values())) if value else set()
    return set().union(*map(strings, value)) if isinstance(value, list) else set()


def unescaped(text):
    """LaTeX's text as it is printed, by TeX's own rules."""
    words = {"textbackslash": "\\", "textasciicircum": "^", "textasciitilde": "~", "textless": "<", "textgreater": ">"}
    words["textbar"] = "|"
    text = re.sub(r"\\(\w+?)\{\}", lambda m: words.get(m[1], m[0]), text.replace(r"{\char34}", '"'))
    text = text.replace("{[}", "[").replace("{*}", "*")
    text = re.sub(r"([-'`])\{\}", r"\1", text)
    return re.sub(r"\\([{}$&#%_])", r"\1", text)
