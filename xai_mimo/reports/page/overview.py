"""What the page says before it comes to the heads: verdicts at a glance, and how well the models do their task."""

from dataclasses import dataclass

from xai_mimo.record.rows import MethodRow, Record, TaskRow, Verdict, VerdictWord
from xai_mimo.record.select import unique

VERDICTS: dict[VerdictWord, tuple[str, str]] = {
    "supported": ("✔", "the evidence supports using this map"),
    "doubtful": ("~", "do not rely on this map alone"),
    "misleading": ("✖", "this map points the wrong way: do not use it"),
    "undecided": ("?", "nothing can be concluded; the head's section says why"),
}
"""Word of a verdict -> its sign and what it means."""


@dataclass(frozen=True)
class MethodSummary:
    """A method and its targets by verdict, e.g. ``{"supported": ["risk"], ...}``."""

    method: MethodRow
    heads: dict[VerdictWord, list[str]]


@dataclass(frozen=True)
class VerdictLine:
    """A target with its verdict by method, None where there is none; ``number`` is that of its section."""

    number: int
    name: str
    verdicts: tuple[Verdict | None, ...]


@dataclass(frozen=True)
class Overview:
    """Verdicts at a glance.

    Attributes:
        methods: one summary each.
        lines: one for each target.
    """

    methods: tuple[MethodSummary, ...]
    lines: tuple[VerdictLine, ...]


@dataclass(frozen=True)
class TaskLine:
    """Task scores of one head and metric: one for each model, None where a model has none."""

    head: str
    metric: str
    scores: tuple[TaskRow | None, ...]


@dataclass(frozen=True)
class TaskTable:
    """Task scores side by side.

    Attributes:
        models: names, one for each column.
        lines: one for each head and metric.
    """

    models: tuple[str, ...]
    lines: tuple[TaskLine, ...]


def overview(record: Record) -> Overview:
    """Verdicts by method, and by target and method."""
    by_pair = {(v.head, v.method): v for v in record.verdicts}
    methods = tuple(
        MethodSummary(
            method,
            {
                word: [v.head for v in record.verdicts if (v.method, v.verdict) == (method.label, word)]
                for word in VERDICTS
            },
        )
        for method in record.methods
    )
    lines = tuple(
        VerdictLine(i, target.name, tuple(by_pair.get((target.name, m.label)) for m in record.methods))
        for i, target in enumerate(record.targets, start=1)
    )
    return Overview(methods, lines)


def task_table(record: Record) -> TaskTable | None:
    """Task scores side by side; None without any."""
    if not record.task:
        return None
    models = tuple(unique(r.model for r in record.task))
    scores = {(r.head, r.metric, r.model): r for r in record.task}
    keys = dict.fromkeys((r.head, r.metric) for r in record.task)
    return TaskTable(
        models, tuple(TaskLine(h, metric, tuple(scores.get((h, metric, m)) for m in models)) for h, metric in keys)
    )
