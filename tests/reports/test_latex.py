"""LaTeX tables: whole, and every name printed letter by letter."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.records import AWKWARD, HOSTILE, make_record
from xai_mimo.core.errors import SchemaError
from xai_mimo.reports import latex

pytestmark = pytest.mark.all_frameworks


def _typeset(text: str) -> str:
    """What TeX prints of an escaped name: the escapes undone, one by one."""
    table = {
        "\\textbackslash{}": "\\",
        "\\textasciicircum{}": "^",
        "\\textasciitilde{}": "~",
        "\\textless{}": "<",
        "\\textgreater{}": ">",
        "\\textbar{}": "|",
        "{\\char34}": '"',
        "{[}": "[",
        "{*}": "*",
        "-{}": "-",
        "'{}": "'",
        "`{}": "`",
    }
    pattern = "|".join(map(re.escape, table)) + r"|\\[{}$&#%_]"
    return re.sub(pattern, lambda m: table.get(m.group(), m.group()[1:]), text)


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S"])))
def test_a_name_is_printed_letter_by_letter(name):
    escaped = latex.escape(name)
    assert _typeset(escaped) == name
    assert not re.search(r"(?<!\\)[$&#%_^~]", escaped)
    assert _depth(escaped) == 0


def _depth(text: str) -> int:
    """Braces left open; fails where one closes too early."""
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", re.sub(r"\\\\", "", text)):
        depth += 1 if brace == "{" else -1
        assert depth >= 0, "a brace closes before it opens"
    return depth


def test_unprintable_characters_become_spaces():
    assert latex.escape("a\nb\x00c") == "a b c"


@pytest.mark.parametrize("heads", [1, 12])
def test_tables_are_whole(heads):
    text = latex.render(make_record(heads, silent_head=True))
    assert _depth(text) == 0
    for environment in ("table", "tabular"):
        assert text.count(f"\\begin{{{environment}}}") == text.count(f"\\end{{{environment}}}") == 4
    for table in re.findall(r"\\begin\{tabular\}.*?\\end\{tabular\}", text, flags=re.S):
        columns = len(re.match(r"\\begin\{tabular\}\{(\w+)\}", table).group(1))
        rows = [line for line in table.splitlines() if line.endswith(r"\\")]
        spanning = [row for row in rows if row.strip().startswith(f"\\multicolumn{{{columns}}}")]
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows if row not in spanning} == {columns - 1}
        assert len(spanning) in (0, heads)


def test_verdicts_stand_under_their_head_with_a_letter_for_each_use():
    record = make_record(1, methods=2)
    record["verdicts"][0] |= {"verdict": "doubtful", "order": "supported", "shares": "misleading"}
    record["verdicts"][0].pop("sign", None)
    text = latex.render(record)
    assert r"Method & Verdict & Order & Shares & Sign \\" in text
    assert r"\multicolumn{5}{@{}l}{\textit{heat dissipation failure}} \\" in text
    assert r"\quad attention & doubtful & s & m & -- \\" in text
    assert "Order: which inputs matter more than which; shares: how much each counts; sign: whether it" in text
    assert "s supported, d doubtful, m misleading, u undecided" in text


def test_verdicts_of_older_records_have_no_letters_and_none_no_table():
    record = make_record(1, methods=1, uses=False)
    record["verdicts"][0]["verdict"] = "doubtful"
    text = latex.render(record)
    assert r"Method & Verdict \\" in text
    assert r"\quad attention & doubtful \\" in text
    assert "which inputs matter" not in text
    assert "tab:xai-verdicts" not in latex.render(record | {"verdicts": []})


def test_hostile_names_are_escaped_everywhere():
    names = (HOSTILE, AWKWARD, "[x]*", "100%\n\\input{y}")
    record = make_record(
        2, head_names=names[:2], method_names=names, features={AWKWARD: ("a",), HOSTILE: ("b",), "[s]": ("c",)}
    )
    record["title"] = record["command"] = "a\nb \\input{x}"
    text = "\n".join(line for line in latex.render(record).splitlines() if not line.startswith("%"))
    assert "\\input" not in text
    assert "<script>" not in text
    assert r"a\_b \& 50\% \$x\$ \textbackslash{}input\{x\}" in text
    assert not re.search(r"\\\\\s*[\[*]", text)
    assert _depth(text) == 0


def test_values_intervals_and_dashes():
    record = make_record(1)
    row = next(r for r in record["scores"] if r["metric"] == "deletion_area")
    row |= {"estimate": -0.12345, "low": -0.2, "high": 12345.0}
    text = latex.render(record)
    assert r"$-$0.123 {\scriptsize [$-$0.200, 12300]}" in text
    assert "random order" in text
    silent = latex.render(make_record(1, silent_head=True))
    assert "heat dissipation failure & attention & -- & --" in silent


def test_writing_checks_the_record(tmp_path):
    path = latex.write(make_record(1), tmp_path / "tables.tex")
    assert path.read_text().startswith("% Tables of a comparison by xai_mimo")
    with pytest.raises(SchemaError, match="got None"):
        latex.write({}, path)


@pytest.mark.parametrize("largest", [1e308, -1e308, 1.7976931348623157e308])
def test_the_largest_numbers_are_written(largest):
    record = make_record(1)
    record["shares"][0]["mean"] = largest
    record["scores"][0]["estimate"] = largest
    text = latex.render(record)
    assert r"$\infty$" in text
    assert "inf" not in text.replace(r"\infty", "")
