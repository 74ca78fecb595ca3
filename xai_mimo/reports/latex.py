"""The main tables of a comparison as LaTeX: verdicts, scores per head, agreement and stream shares, with booktabs.

The file is meant for \\input; it needs \\usepackage{booktabs} and nothing else. Every name is escaped.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xai_mimo.record.check import check
from xai_mimo.record.files import write_text
from xai_mimo.record.maps import Share
from xai_mimo.record.results import Score
from xai_mimo.record.rows import Record
from xai_mimo.record.select import main_agreement, of_head, unexplained_streams, unique
from xai_mimo.record.words import RANDOM, Family, Role, VerdictWord
from xai_mimo.reports.numbers import DASH, INFINITY, MINUS, Bounded, directions, metric_title, number
from xai_mimo.reports.verdicts import MEANINGS, USES, have_uses, legend, uses

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\char34}",
    # After the end of a row these would be read as its options.
    "[": "{[}",
    "*": "{*}",
    # Where two of these meet, TeX would make a dash or a quotation mark of them.
    "-": "-{}",
    "'": "'{}",
    "`": "`{}",
}
_LITTLE = re.compile("[" + re.escape("".join(_ESCAPES)) + "]")
_ROLES: tuple[Role, ...] = ("value", "floor_random", "floor_permuted", "ceiling")
_METRICS: tuple[tuple[Family, str], ...] = (
    ("faithfulness", "deletion_area"),
    ("faithfulness", "insertion_area"),
    ("ground_truth", "auroc_mean_map"),
    ("ground_truth", "share"),
    ("complexity", "effective_features"),
)


def escape(name: str) -> str:
    """A name as LaTeX prints it, letter by letter; control characters become spaces.

    Example: ``a_b & 50%`` -> ``a\\_b \\& 50\\%``.
    """
    clean = "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in name)
    return _LITTLE.sub(lambda match: _ESCAPES[match.group()], clean)


def render(record: Record | Mapping[str, Any]) -> str:
    """The tables as LaTeX text; that of the verdicts only where the record has any.

    Raises:
        SchemaError: see ``record.check``.
    """
    record = check(record)
    parts = [_verdicts(record)] if record.verdicts else []
    return "\n\n".join([_preamble(record), *parts, _scores(record), _agreement(record), _shares(record)]) + "\n"


def write(record: Record | Mapping[str, Any], path: str | Path) -> Path:
    """Write the tables to a file, whole or not at all.

    Returns:
        The path.
    Raises:
        SchemaError: see ``record.check``. FileProblem: the file cannot be written.
    """
    return write_text(render(record), path)


def _preamble(record: Record) -> str:
    versions = record.versions.get("xai-mimo", "")
    lines = (
        "Tables of a comparison by xai_mimo; use with \\usepackage{booktabs}.",
        f"title: {record.title}",
        f"created: {record.created}, xai_mimo {versions}, seed {record.seed}",
        f"data: sha256 {record.data.sha256}",
        f"again: {record.command}",
    )
    # A line break inside a name would end the comment and let what follows be typeset.
    return "\n".join(f"% {' '.join(''.join(c if c.isprintable() else ' ' for c in line).split())}" for line in lines)


def _verdicts(record: Record) -> str:
    """Words and letters under the name of each head: narrow enough for one column of a paper."""
    shown = tuple(USES) if have_uses(record.verdicts) else ()
    body: list[list[str]] = []
    for target in record.targets:
        rows = of_head(record.verdicts, target.name)
        if not rows:
            continue
        body.append([f"\\multicolumn{{{2 + len(shown)}}}{{@{{}}l}}{{\\textit{{{escape(target.name)}}}}}"])
        for v in rows:
            letters = [_letter(dict(uses(v)).get(use)) for use in shown]
            body.append([f"\\quad {escape(v.method)}", v.verdict, *letters])
        body.append([])
    caption = f"What each map may be used for, over {record.data.explained_rows} rows."
    if shown:
        words = ", ".join(f"{word[0]} {word}" for word in MEANINGS)
        caption += f" {escape(legend().capitalize())}. {words}, -- the map says nothing of it."
    return _table(
        ["Method", "Verdict", *(use.capitalize() for use in shown)], body, caption, "tab:xai-verdicts", names=2
    )


def _letter(word: VerdictWord | None) -> str:
    return "--" if word is None else word[0]


def _scores(record: Record) -> str:
    rows = [r for r in record.scores if r.role in ("value", "control_random") and r.other is None]
    scores = {(r.head, r.method, r.family, r.metric): r for r in rows}
    metrics = [m for m in _METRICS if any((family, name) == m for _, _, family, name in scores)]
    names = [*(m.label for m in record.methods), RANDOM]
    body = []
    for target in record.targets:
        mine = [n for n in names if any((target.name, n, *m) in scores for m in metrics)]
        for i, method in enumerate(mine):
            cells = [_score_cell(scores.get((target.name, method, *m))) for m in metrics]
            shown = "random order" if method == RANDOM else escape(method)
            body.append([escape(target.name) if i == 0 else "", shown, *cells])
        body.append([])
    headings = ["Head", "Method", *(_heading(record, metric) for _, metric in metrics)]
    caption = (
        f"Scores per head over {record.data.explained_rows} rows, mean with 95\\,\\% interval. "
        f"{escape(directions(record, [name for _, name in metrics]))} "
        f"Space: {escape(record.space.name)}. A dash is a value that is not defined."
    )
    return _table(headings, body, caption, "tab:xai-scores", names=2)


def _agreement(record: Record) -> str:
    body: list[list[str]] = []
    metric = None
    for target in record.targets:
        chosen = main_agreement(record, target.name)
        metric = metric or chosen
        rows = [r for r in of_head(record.scores, target.name) if (r.metric, r.k) == chosen]
        for i, (one, other) in enumerate(dict.fromkeys((r.method, r.other) for r in rows)):
            by_role = {r.role: r for r in rows if (r.method, r.other) == (one, other)}
            cells = [_score_cell(by_role.get(role)) for role in _ROLES]
            body.append([escape(target.name) if i == 0 else "", f"{escape(one)} / {escape(other or '')}", *cells])
        body.append([])
    name = _heading(record, metric[0]) + (f" at {metric[1]}" if metric[1] else "") if metric else "Agreement"
    caption = f"{name} between methods, with its floors and its ceiling (mean, 95\\,\\% interval over rows)."
    headings = ["Head", "Methods", "Agreement", "Floor, random", "Floor, permuted", "Ceiling"]
    return _table(headings, body, caption, "tab:xai-agreement", names=2)


def _shares(record: Record) -> str:
    streams = unique(r.stream for r in record.shares)
    shares = {(r.head, r.method, r.stream): r for r in record.shares}
    body: list[list[str]] = []
    for target in record.targets:
        for i, method in enumerate(m.label for m in record.methods):
            cells = [_share_cell(shares.get((target.name, method, s))) for s in streams]
            body.append([escape(target.name) if i == 0 else "", escape(method), *cells])
        body.append([])
    caption = (
        f"Share of each stream in the magnitude of each map, in \\%, over {record.data.explained_rows} rows "
        "(mean, 95\\,\\% interval)."
    )
    for label, missing in unexplained_streams(record).items():
        caption += f" {escape(label)} says nothing of {', '.join(map(escape, missing))}: zeros there were not measured."
    return _table(["Head", "Method", *(escape(s) for s in streams)], body, caption, "tab:xai-shares", names=2)


def _heading(record: Record, metric: str) -> str:
    text = metric_title(record, metric)
    return escape(text[:1].upper() + text[1:])


def _score_cell(row: Score | None) -> str:
    return "--" if row is None else _cell(row.estimate, row)


def _share_cell(row: Share | None) -> str:
    return "--" if row is None else _cell(row.mean, row, scale=100)


def _cell(value: float | None, row: Bounded, *, scale: float = 1.0) -> str:
    if value is None:
        return "--"
    text = _plain(value * scale)
    if row.low is None or row.high is None:
        return text
    return f"{text} {{\\scriptsize [{_plain(row.low * scale)}, {_plain(row.high * scale)}]}}"


def _plain(value: float) -> str:
    return number(value).replace(MINUS, "$-$").replace(DASH, "--").replace(INFINITY, r"$\infty$")


def _table(headings: Sequence[str], body: Sequence[Sequence[str]], caption: str, label: str, *, names: int) -> str:
    """A booktabs table; an empty row becomes space between heads."""
    lines = [" & ".join(row) + r" \\" if row else r"\addlinespace" for row in body]
    if lines and lines[-1] == r"\addlinespace":
        lines.pop()
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering\small",
            f"  \\caption{{{caption}}}",
            f"  \\label{{{label}}}",
            f"  \\begin{{tabular}}{{{'l' * names}{'r' * (len(headings) - names)}}}",
            r"    \toprule",
            f"    {' & '.join(headings)} \\\\",
            r"    \midrule",
            *(f"    {line}" for line in lines),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
        ]
    )
