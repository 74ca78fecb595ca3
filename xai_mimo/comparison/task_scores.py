"""How well a model does its task, head by head: what must be known before its maps are judged.

A map speaks of the model. Of a head that the model has not learnt, the best map in the world shows how noise is made
of inputs, and it may well be faithful to that. So a verdict asks first how far the head has come from guessing.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from xai_mimo.core.errors import SchemaError
from xai_mimo.core.head_kinds import has_one_label, is_cumulative, is_of_classes, quantile_levels
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array, Head, unknown
from xai_mimo.metrics.statistics import FEW_ROWS
from xai_mimo.record.results import TaskRow

_FIRST = {"regression": "r2", "ordinal": "mae_skill", "quantile": "pinball_skill", "survival": "survival_score"}

LEARNT = 0.1
"""A head counts as learnt where its score has come more than this share of the way from guessing to perfect.

A convention: below it, nine tenths and more of what decides the label is unknown to the head. It lets the weakest heads
of use pass (an R2 of 0.1 is a correlation of 0.32), and stops those whose score is that of guessing give or take the
rows that were drawn.
"""


@dataclass(frozen=True)
class TaskScore:
    """One score of one head.

    Attributes:
        metric: its name.
        estimate: the score; None where it cannot be computed.
        chance: what guessing gives, where 1 is perfect; None for a metric that has neither.
        note: why there is no estimate, or what else to know.
    """

    metric: str
    estimate: float | None
    chance: float | None = None
    note: str = ""


def task_scores(heads: Sequence[Head], labels: Arrays, outputs: Arrays) -> dict[str, tuple[TaskScore, ...]]:
    """Scores of each head that has labels; the first of a head says whether it has been learnt.

    regression: "r2" = 1 - sum of (y - f)^2 / sum of (y - mean of y)^2 over all rows and units, each unit with its own
    mean, which is what guessing is held to know; and "rmse", in the head's unit. Where r2 is low although a straight
    line through the outputs finds the labels, the two differ in scale or offset (labels in kelvin, a head in standard
    deviations): then r2 says nothing of what has been learnt, and stands without its chance.

    Heads of classes: "average_precision", which asks for the right order of rows and for no threshold, so that a head
    counts as learnt that finds a rare class and never names it; guessing gives the share of the class. Of several
    classes each is held against the rest, of several labels each against itself, and the mean is taken: so a frequent
    class hides no rare one. Binary heads also have "auroc", multiclass ones "accuracy".

    ordinal: "mae_skill" = 1 - mean |level - predicted level| / mean |level - median level|, and "level_mae", in levels.
    The predicted level is the likeliest one; of thresholds, how many are passed with more than 1/2 (as logits, 0).

    quantile: "pinball_skill" = 1 - pinball loss / that of the quantiles of the labels, which guessing is held to know,
    both over all quantiles; and "pinball_loss", in the head's unit: for a quantile q of level a the mean of
    max(a (y - q), (a - 1) (y - q)). The levels are read off the names of the units.

    survival: none; how well a curve fits depends on who was lost sight of, which labels for each time do not tell.

    A head without a score has one entry, and its note says why: fewer than 10 rows with a label, labels that do not
    vary, that are no numbers, or do not fit the head. Rows with a label that is NaN have none.

    Args:
        heads: the model's.
        labels: ``{head: (sample, ...)}``, of some heads.
        outputs: ``{head: (sample, *shape)}``.
    Source: Koenker and Bassett (1978), "Regression Quantiles", for the pinball loss;
        Saito and Rehmsmeier (2015), "The Precision-Recall Plot Is More Informative than the ROC Plot When
        Evaluating Binary Classifiers on Imbalanced Datasets".
    """
    return {h.name: tuple(_scores(h, labels[h.name], outputs[h.name])) for h in heads if h.name in labels}


def _scores(head: Head, labels: Array, outputs: Array) -> Iterator[TaskScore]:
    first = _FIRST.get(head.kind, "average_precision")
    if head.kind == "survival":
        yield TaskScore(first, None, note="a survival curve is not scored: that takes the times when rows were lost")
        return
    outputs = np.asarray(outputs, dtype=np.float64).reshape(len(outputs), *head.shape)
    labels, note = _as_numbers(head, labels, outputs.shape)
    rows = total = len(outputs)
    if not note:
        has_label = np.logical_not(np.isnan(labels).reshape(total, -1).any(axis=1))
        rows = int(has_label.sum())
        labels, outputs = labels[has_label], outputs[has_label]
        if rows < FEW_ROWS:
            note = f"only {rows} rows have a label; a score asks for at least {FEW_ROWS}"
        elif not np.isfinite(outputs).all() or not np.isfinite(labels).all():
            note = "outputs or labels are not all finite"
    if note:
        yield TaskScore(first, None, note=note)
        return
    left_out = "" if rows == total else f"over the {rows} of {total} rows that have a label"
    for score in _of_kind(head, labels, outputs):
        yield dataclasses.replace(score, note="; ".join(n for n in (score.note, left_out) if n))


def _of_kind(head: Head, labels: Array, outputs: Array) -> Iterator[TaskScore]:
    match head.kind:
        case "regression":
            return _of_quantities(labels, outputs)
        case "multiclass":
            return _of_classes(labels, outputs)
        case "multilabel":
            return _of_labels(labels, outputs)
        case "ordinal":
            return _of_levels(labels, outputs, head)
        case "quantile":
            return _of_quantiles(labels, outputs, head)
        case _:
            return _of_choices(labels, outputs)


def _as_numbers(head: Head, labels: Array, shape: tuple[int, ...]) -> tuple[Array, str]:
    """Labels as float64 of the shape of the outputs (without the axis of classes, where labels are classes); or why
    not."""
    labels = np.asarray(labels)
    if is_of_classes(head) and labels.dtype.kind in "US":
        names = {name: i for i, name in enumerate(head.units)}
        labels = np.array([names.get(str(v), -1) for v in labels.ravel()]).reshape(labels.shape)
        if (labels < 0).any():
            return labels, f"labels are text, and not names of the head's units ({', '.join(head.units[:5])})"
    if labels.dtype.kind not in "biuf":
        return labels, f"labels are no numbers but {labels.dtype}"
    labels = labels.astype(np.float64)
    if head.kind == "multiclass" or has_one_label(head):
        if is_of_classes(head) and labels.size == np.prod(shape):
            is_unknown = np.isnan(labels).reshape(shape).any(axis=-1)
            return np.where(is_unknown, np.nan, np.nan_to_num(labels).reshape(shape).argmax(axis=-1)), ""
        shape = shape[:-1]
    if labels.size != np.prod(shape):
        return labels, f"labels of shape {labels.shape} do not fit outputs of shape {shape}"
    return labels.reshape(shape), ""


def _of_quantities(labels: Array, outputs: Array) -> Iterator[TaskScore]:
    y, f = labels.reshape(len(labels), -1), outputs.reshape(len(outputs), -1)
    rmse = TaskScore("rmse", float(np.sqrt(((y - f) ** 2).mean())))
    y_apart, f_apart = y - y.mean(axis=0), f - f.mean(axis=0)
    spread = float((y_apart**2).sum())
    if spread <= 1e-12 * float((y**2).sum()):
        yield TaskScore("r2", None, note="all labels are alike")
        yield rmse
        return
    r2 = TaskScore("r2", 1.0 - float(((y - f) ** 2).sum()) / spread, 0.0)
    product, own = float((y_apart * f_apart).sum()), float((f_apart**2).sum())
    by_line = product**2 / (spread * own) if product > 0 else 0.0
    if not is_learnt(r2) and by_line > LEARNT:
        note = f"labels and outputs differ in scale or offset: after a straight line r2 would be {by_line:.2g}"
        r2 = dataclasses.replace(r2, chance=None, note=note)
    yield r2
    yield rmse


def _of_levels(labels: Array, outputs: Array, head: Head) -> Iterator[TaskScore]:
    """Levels in order: how many of them a guess is away."""
    if is_cumulative(head):
        is_logit = "log" in head.unit.lower()
        predicted = (outputs > (0.0 if is_logit else 0.5)).sum(axis=-1)
    else:
        predicted = outputs.argmax(axis=-1)
    mae = float(np.abs(labels - predicted).mean())
    guessed = float(np.abs(labels - np.median(labels)).mean())
    yield _skill("mae_skill", mae, guessed)
    yield TaskScore("level_mae", mae)


def _of_quantiles(labels: Array, outputs: Array, head: Head) -> Iterator[TaskScore]:
    levels = quantile_levels(head)
    if levels is None:
        names = ", ".join(head.class_names[:5])
        note = f"the units ({names}) do not say which quantiles they are; name them e.g. p10, p50, p90"
        yield TaskScore("pinball_skill", None, note=note)
        return
    steps = labels.reshape(len(labels), -1, 1)
    loss = _pinball(steps, outputs.reshape(*steps.shape[:2], len(levels)), np.array(levels))
    guessed = _pinball(steps, np.moveaxis(np.quantile(steps[..., 0], levels, axis=0), 0, -1), np.array(levels))
    yield _skill("pinball_skill", loss, guessed)
    yield TaskScore("pinball_loss", loss)


def _pinball(y: Array, q: Array, levels: Array) -> float:
    return float(np.maximum(levels * (y - q), (levels - 1) * (y - q)).mean())


def _skill(metric: str, loss: float, guessed: float) -> TaskScore:
    """The share of the loss of guessing that is gone; 1 is perfect."""
    if guessed <= 0:
        return TaskScore(metric, None, note="all labels are alike")
    return TaskScore(metric, 1.0 - loss / guessed, 0.0)


def _of_choices(labels: Array, outputs: Array) -> Iterator[TaskScore]:
    """Yes or no, over all values."""
    yield from _of_labels(labels.reshape(-1, 1), outputs.reshape(-1, 1))


def _of_labels(labels: Array, outputs: Array) -> Iterator[TaskScore]:
    """Yes or no, unit by unit."""
    y, f = labels.reshape(len(labels), -1), outputs.reshape(len(outputs), -1)
    values = np.unique(y)
    if len(values) > 2:
        yield TaskScore("average_precision", None, note=f"labels are not two classes but {len(values)} values")
        return
    yield from _of_columns(y == values[-1], f)


def _of_columns(is_true: Array, scores: Array) -> Iterator[TaskScore]:
    """Each column on its own; those in which all rows are alike have no score."""
    tell = np.flatnonzero(is_true.any(axis=0) & ~is_true.all(axis=0))
    if not len(tell):
        yield TaskScore("average_precision", None, note="all labels are alike")
        return
    note = "" if len(tell) == is_true.shape[1] else f"over the {len(tell)} of {is_true.shape[1]} units that vary"
    columns = [(is_true[:, i], scores[:, i]) for i in tell]
    precision = float(np.mean([_average_precision(*c) for c in columns]))
    yield TaskScore("average_precision", precision, float(is_true[:, tell].mean()), note)
    yield TaskScore("auroc", float(np.mean([_auroc(*c) for c in columns])), 0.5, note)


def _of_classes(labels: Array, outputs: Array) -> Iterator[TaskScore]:
    y, f = labels.ravel(), _probabilities(outputs).reshape(labels.size, -1)
    if not np.isin(y, np.arange(f.shape[1])).all():
        yield TaskScore("average_precision", None, note=f"labels are not the classes 0 to {f.shape[1] - 1}")
        return
    precision, *_ = _of_columns(y[:, None] == np.arange(f.shape[1]), f)
    yield dataclasses.replace(precision, note=precision.note.replace("units that vary", "classes that occur"))
    if precision.estimate is not None:
        most_frequent = float(np.unique(y, return_counts=True)[1].max() / y.size)
        yield TaskScore("accuracy", float((f.argmax(axis=1) == y).mean()), most_frequent)


def _probabilities(outputs: Array) -> Array:
    """Outputs of classes as probabilities: logits of different rows are not on one scale."""
    if (outputs >= 0).all() and np.allclose(outputs.sum(axis=-1), 1.0, atol=1e-3):
        return outputs
    grown = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=-1, keepdims=True))


def _average_precision(is_true: Array, scores: Array) -> float:
    """Sum over thresholds of (recall there - recall at the one above) * precision there; ties share a threshold."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    hits = np.cumsum(is_true[order])[ends]
    return float((np.diff(hits, prepend=0) * hits / (ends + 1)).sum() / hits[-1])


def _auroc(is_true: Array, scores: Array) -> float:
    n, m = int(is_true.sum()), int((~is_true).sum())
    return float((stats.rankdata(scores)[is_true].sum() - n * (n + 1) / 2) / (n * m))


def estimates(scores: Mapping[str, Sequence[TaskScore]]) -> dict[str, dict[str, float]]:
    """The numbers alone, ``{head: {metric: value}}``; what cannot be computed is left out."""
    return {head: {s.metric: s.estimate for s in of_head if s.estimate is not None} for head, of_head in scores.items()}


def is_learnt(score: TaskScore | TaskRow) -> bool | None:
    """Whether a score has left guessing behind, see ``LEARNT``; None where it is not known what guessing gives."""
    if score.estimate is None or score.chance is None:
        return None
    return score.estimate > score.chance + LEARNT * (1.0 - score.chance)


def unlearnt_heads(rows: Sequence[TaskRow], targets: Mapping[str, str]) -> dict[str, str]:
    """Targets of heads that the model has not learnt, with the sentence that says so.

    Args:
        rows: task scores of the explained model; the first of a head that says what guessing gives decides.
        targets: name of the target -> its head.
    """
    sentences = {}
    for target, head in targets.items():
        row = next((r for r in rows if r.head in (target, head) and is_learnt(r) is not None), None)
        if row is None or row.estimate is None or row.chance is None or is_learnt(row):
            continue
        what = "R2" if row.metric == "r2" else row.metric.replace("_", " ")
        mean = f" on average over {row.seeds} trainings" if row.seeds > 1 else ""
        enough = row.chance + LEARNT * (1.0 - row.chance)
        sentences[target] = (
            f"Head '{row.head}' has not been learnt well enough ({what} {row.estimate:.2g}{mean}, where guessing gives "
            f"{row.chance:.2g} and more than {enough:.2g} would count as learnt): whatever its maps show is of a model "
            "that hardly knows the head."
        )
    return sentences


def task_rows(model: str, scores: Mapping[str, Sequence[TaskScore]], note: str) -> tuple[TaskRow, ...]:
    """Scores of one model as rows of the record.

    Args:
        model: its name. scores: by head. note: over which rows.
    """
    return tuple(
        TaskRow(
            model=model,
            head=head,
            metric=score.metric,
            estimate=score.estimate,
            low=None,
            high=None,
            seeds=1,
            chance=score.chance,
            note=score.note or note,
        )
        for head, of_head in scores.items()
        for score in of_head
    )


def check_task_rows(
    rows: Iterable[TaskRow | Mapping[str, Any]], heads: Sequence[str], what: str = "with_task"
) -> tuple[TaskRow, ...]:
    """Task scores as a user gives them, as rows of the record.

    Args:
        rows: each a ``TaskRow``, or a mapping with its keys.
        heads: names of heads and targets.
        what: takes the rows, for the error text.
    Raises:
        SchemaError: no list of rows, or a row with a key that is missing, of the wrong type, or None without a note.
        UnknownName: a head that there is not, or a key that no such row has.
    """
    if isinstance(rows, TaskRow | Mapping | str) or not isinstance(rows, Iterable):
        raise SchemaError(f"{what} takes a list of rows; got one {type(rows).__name__}. Give a list: [row].")
    task = tuple(_task_row(row, i, what) for i, row in enumerate(rows))
    for row in task:
        if row.head not in heads:
            raise unknown(row.head, heads, "head of the record")
    return task


def _task_row(row: TaskRow | Mapping[str, Any], number: int, what: str) -> TaskRow:
    if isinstance(row, TaskRow):
        return row
    columns = dataclasses.fields(TaskRow)
    if not isinstance(row, Mapping):
        raise SchemaError(
            f"row {number} of {what} is a {type(row).__name__}: {row!r}; expected a TaskRow, or a mapping with "
            f"the keys {', '.join(c.name for c in columns)}."
        )
    for key in row:
        if key not in [c.name for c in columns]:
            raise unknown(key, [c.name for c in columns], "key of a task row")
    missing = [c.name for c in columns if c.default is dataclasses.MISSING and c.name not in row]
    if missing:
        raise SchemaError(
            f"row {number} of {what} lacks {', '.join(missing)}; got {', '.join(row) or 'no key'}. Give every key, "
            "None where an interval is not known."
        )
    return TaskRow(**row)
