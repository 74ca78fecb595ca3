"""What the page says before it comes to the heads: verdicts at a glance, and how well the models do their task."""

from collections.abc import Sequence
from dataclasses import dataclass

from xai_mimo.record.results import TaskRow, Verdict
from xai_mimo.record.rows import Record
from xai_mimo.record.select import unique
from xai_mimo.record.subject import MethodRow
from xai_mimo.record.words import VerdictWord
from xai_mimo.reports.verdicts import MEANINGS, USES, Use, have_uses, supported_heads, uses


@dataclass(frozen=True)
class UseSummary:
    """One use of a method's maps: for which heads it is supported, in words; ``is_said`` by any of its maps at all."""

    use: Use
    heads: str
    is_said: bool


@dataclass(frozen=True)
class MethodSummary:
    """A method and its targets.

    Attributes:
        method: its row.
        heads: names of targets by the word in all, e.g. ``{"supported": ["risk"], ...}``.
        uses: what its maps may be used for; empty in older records.
    """

    method: MethodRow
    heads: dict[VerdictWord, list[str]]
    uses: tuple[UseSummary, ...]


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
        has_uses: whether verdicts have a word for each use; those of older records have not.
    """

    methods: tuple[MethodSummary, ...]
    lines: tuple[VerdictLine, ...]
    has_uses: bool


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
    heads = [target.name for target in record.targets]
    methods = tuple(
        _summary(method, [v for v in record.verdicts if v.method == method.label], heads) for method in record.methods
    )
    lines = tuple(
        VerdictLine(i, target.name, tuple(by_pair.get((target.name, m.label)) for m in record.methods))
        for i, target in enumerate(record.targets, start=1)
    )
    return Overview(methods, lines, have_uses(record.verdicts))


def _summary(method: MethodRow, verdicts: Sequence[Verdict], heads: Sequence[str]) -> MethodSummary:
    by_word = {word: [v.head for v in verdicts if v.verdict == word] for word in MEANINGS}
    if not have_uses(verdicts):
        return MethodSummary(method, by_word, ())
    said = {word.use for v in verdicts for word in uses(v) if word.word is not None}
    return MethodSummary(
        method,
        by_word,
        tuple(UseSummary(use, _named(supported_heads(verdicts, use), heads), use in said) for use in USES),
    )


def _named(some: Sequence[str], heads: Sequence[str]) -> str:
    """Names of targets as a part of a sentence; not each of many where all are meant."""
    if not some:
        return "no head"
    if len(some) == len(heads) > 1:
        return f"all {len(heads)} heads"
    return ", ".join(some)


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
