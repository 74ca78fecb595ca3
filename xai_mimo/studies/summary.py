"""What the runs of a study say together: means over seeds with intervals, as rows, Markdown and CSV."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from xai_mimo.core.terminal import printable
from xai_mimo.record.results import TaskRow, Verdict
from xai_mimo.reports.verdicts import have_uses, legend, verdict_table

_NOTES = (
    "Mean over seeds [95 % interval of the mean]. Of maps: share is the part of each |map|'s mass that lies on the",
    "true features, mean over rows; auroc is the chance that a true feature has more of the mean |map| than another",
    "one. A head that the network has not learnt says nothing about its maps.",
)

_Key = tuple[str, str, str, str, str]  # network, head, family, metric, method

_MARKDOWN = re.compile(r"[\\`*\[\]<>&|~$#]|\b_|_\b")  # an underscore within a word stands for itself
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")  # what makes a spreadsheet compute a cell; also at full width
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

_UNBOUNDED = ("rmse", "r2")  # all other metrics lie between 0 and 1, and so do their intervals

ALL_HEADS = "(mean of heads)"
"""Stands for a head where a row averages over all heads that have the figure."""


@dataclass(frozen=True)
class Row:
    """One figure of a study.

    Attributes:
        network: "baseline", or "mail_<scoring>".
        head: its name, or ``ALL_HEADS`` for the mean over them.
        family: "task" (a score on held-out rows) or "truth" (a map against the features known to matter).
        metric: the score's name.
        method: whose map; "" for task scores.
        estimate: mean over seeds.
        low, high: 95 % interval of that mean, Student's t over seeds, cut at the metric's bounds; None with a single
            seed.
        seeds: how many.
        values: one per seed, in the order of the seeds.
        chance: mean over seeds of what guessing gives, where 1 is perfect; None where that is not known.
    """

    network: str
    head: str
    family: str
    metric: str
    method: str
    estimate: float
    low: float | None
    high: float | None
    seeds: int
    values: tuple[float, ...]
    chance: float | None = None


def interval(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    """Mean and its 95 % interval, mean +- t(n - 1) s / sqrt(n); no interval from a single value."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None, None
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return mean, mean - half, mean + half


def summarise(runs: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Rows over seeds, for every network, head and metric, with the mean over heads behind them.

    Args:
        runs: results of single networks, as ``study`` writes them: keys ``network, seed, task, chance, truth``.
    """
    by_key: dict[_Key, dict[int, float]] = {}
    chances: dict[_Key, list[float | None]] = {}
    for run in runs:
        for head, scores in run["task"].items():
            for metric, value in scores.items():
                key = (run["network"], head, "task", metric, "")
                by_key.setdefault(key, {})[run["seed"]] = value
                chances.setdefault(key, []).append(run.get("chance", {}).get(head, {}).get(metric))
        for score in run["truth"]:
            for metric in ("share", "auroc"):
                key = (run["network"], score["head"], "truth", metric, score["method"])
                by_key.setdefault(key, {})[run["seed"]] = score[metric]
    return [_row(key, values, chances.get(key, ())) for key, values in {**by_key, **_over_heads(by_key)}.items()]


def _over_heads(by_key: Mapping[_Key, Mapping[int, float]]) -> dict[_Key, dict[int, float]]:
    """Per seed the mean over heads, of figures that every head of a study with several heads can have."""
    together: dict[_Key, dict[int, list[float]]] = {}
    for (network, _, family, metric, method), values in by_key.items():
        seeds = together.setdefault((network, ALL_HEADS, family, metric, method), {})
        for seed, value in values.items():
            seeds.setdefault(seed, []).append(value)
    return {
        key: {seed: float(np.mean(v)) for seed, v in seeds.items()}
        for key, seeds in together.items()
        if key[3] != "rmse" and all(len(v) > 1 for v in seeds.values())
    }


def _row(key: _Key, by_seed: Mapping[int, float], chances: Sequence[float | None]) -> Row:
    values = tuple(by_seed[seed] for seed in sorted(by_seed))
    mean, low, high = interval(values)
    if key[3] not in _UNBOUNDED and low is not None and high is not None:
        low, high = max(low, 0.0), min(high, 1.0)
    known = [c for c in chances if c is not None]
    return Row(*key, mean, low, high, len(values), values, float(np.mean(known)) if len(known) == len(values) else None)


def task_rows(rows: Sequence[Row]) -> list[TaskRow]:
    """The task scores as rows of a comparison record."""
    return [
        TaskRow(
            model=r.network,
            head=r.head,
            metric=r.metric,
            estimate=r.estimate,
            low=r.low,
            high=r.high,
            seeds=r.seeds,
            chance=r.chance,
            note="" if r.seeds > 1 else "one seed: no interval",
        )
        for r in rows
        if r.family == "task" and r.head != ALL_HEADS
    ]


def to_csv(rows: Sequence[Row]) -> str:
    """Every row; the seeds' values in one column, separated by blanks.

    A name that a spreadsheet would compute (it begins with ``=``, ``+``, ``-`` or ``@`` and is no number) gets ``'``
    in front, which spreadsheets take for "this is text"; control characters are replaced as on a terminal.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*asdict(rows[0])])
    for r in rows:
        names = [_as_text(name) for name in (r.network, r.head, r.family, r.metric, r.method)]
        low, high, chance = ("" if value is None else value for value in (r.low, r.high, r.chance))
        values = " ".join(f"{v:.6g}" for v in r.values)
        writer.writerow([*names, r.estimate, low, high, r.seeds, values, chance])
    return text.getvalue()


def _as_text(name: str) -> str:
    name = printable(name)
    return f"'{name}" if name.lstrip().startswith(_FORMULA) and not _NUMBER.fullmatch(name) else name


def to_markdown(rows: Sequence[Row], title: str, verdicts: Sequence[Verdict] = ()) -> str:
    """Every table: task scores, maps against the truth (mean and 95 % interval over seeds), and verdicts.

    Names are text: what Markdown or HTML would read in them is escaped.

    Args:
        rows: figures over seeds.
        title: above all.
        verdicts: of the network that the report shows.
    """
    parts = [f"# {_in_markdown(title)}", "", *_NOTES]
    for name, header, body in tables(rows):
        columns = [_in_markdown(column) for column in header]
        parts += ["", f"## {_in_markdown(name)}", "", *_lines_of_table(columns)]
        parts += [f"| {' | '.join([_in_markdown(network), *figures])} |" for network, *figures in body]
    if verdicts:
        header, *body = verdict_table(verdicts)
        lines = [[*map(_in_markdown, line), _in_markdown(v.text)] for line, v in zip(body, verdicts, strict=True)]
        parts += ["", "## What each map may be used for, of the network in the report", "", *_meaning(verdicts)]
        parts += [*_lines_of_table([*header, "why"]), *(f"| {' | '.join(line)} |" for line in lines)]
    return "\n".join(parts) + "\n"


def _lines_of_table(columns: Sequence[str]) -> list[str]:
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]


def _meaning(verdicts: Sequence[Verdict]) -> list[str]:
    return [f"{legend().capitalize()}.", ""] if have_uses(verdicts) else []


def _in_markdown(name: str) -> str:
    return _MARKDOWN.sub(r"\\\g<0>", printable(name))


def tables(rows: Sequence[Row]) -> list[tuple[str, list[str], list[list[str]]]]:
    """(title, header, lines) of a table per task metric, and per method and metric of the maps; a line per network."""
    printed = []
    for family, metric, method in dict.fromkeys((r.family, r.metric, r.method) for r in rows):
        mine = [r for r in rows if (r.family, r.metric, r.method) == (family, metric, method)]
        heads = list(dict.fromkeys(r.head for r in mine))
        figures = {(r.network, r.head): figure(r) for r in mine}
        lines = [[n, *(figures.get((n, h), "-") for h in heads)] for n in dict.fromkeys(r.network for r in mine)]
        title = f"{metric} on held-out rows" if family == "task" else f"{metric} of {method} on the true features"
        printed.append((title, ["network", *heads], lines))
    return printed


def figure(row: Row) -> str:
    """A figure as people read it: ``.957 [.940, .974]``."""
    if row.low is None or row.high is None:
        return _short(row.estimate)
    return f"{_short(row.estimate)} [{_short(row.low)}, {_short(row.high)}]"


def _short(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.4g}"
