"""How well a model does its task, head by head."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from xai_mimo.core.errors import SchemaError
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array, Head, unknown
from xai_mimo.record.rows import TaskRow


def task_scores(heads: tuple[Head, ...], labels: Arrays, outputs: Arrays) -> dict[str, dict[str, float]]:
    """Scores of a network on held-out rows: ``{head: {metric: value}}``.

    binary: average_precision and auroc; multiclass: accuracy; regression: r2 and rmse (in the head's unit).
    """
    return {h.name: _scores(h, labels[h.name], outputs[h.name]) for h in heads}


def _scores(head: Head, truth: Array, output: Array) -> dict[str, float]:
    from sklearn import metrics

    if head.kind == "multiclass":
        return {"accuracy": float(metrics.accuracy_score(truth, output.argmax(axis=1)))}
    scores = np.asarray(output, dtype=np.float64).reshape(len(truth))
    if head.kind == "binary":
        return {
            "average_precision": float(metrics.average_precision_score(truth, scores)),
            "auroc": float(metrics.roc_auc_score(truth, scores)),
        }
    return {
        "r2": float(metrics.r2_score(truth, scores)),
        "rmse": float(np.sqrt(metrics.mean_squared_error(truth, scores))),
    }


def check_task_rows(rows: Iterable[TaskRow | Mapping[str, Any]], heads: Sequence[str]) -> tuple[TaskRow, ...]:
    """Task scores as a user gives them, as rows of the record.

    Args:
        rows: each a ``TaskRow``, or a mapping with its keys.
        heads: names of heads and targets.
    Raises:
        SchemaError: no list of rows, or a row with a key that is missing, of the wrong type, or None without a note.
        UnknownName: a head that there is not, or a key that no such row has.
    """
    if isinstance(rows, TaskRow | Mapping | str) or not isinstance(rows, Iterable):
        raise SchemaError(f"with_task takes a list of rows; got one {type(rows).__name__}. Give a list: [row].")
    task = tuple(_task_row(row, i) for i, row in enumerate(rows))
    for row in task:
        if row.head not in heads:
            raise unknown(row.head, heads, "head of the record")
    return task


def _task_row(row: TaskRow | Mapping[str, Any], number: int) -> TaskRow:
    if isinstance(row, TaskRow):
        return row
    columns = dataclasses.fields(TaskRow)
    if not isinstance(row, Mapping):
        raise SchemaError(
            f"row {number} of with_task is a {type(row).__name__}: {row!r}; expected a TaskRow, or a mapping with "
            f"the keys {', '.join(c.name for c in columns)}."
        )
    for key in row:
        if key not in [c.name for c in columns]:
            raise unknown(key, [c.name for c in columns], "key of a task row")
    missing = [c.name for c in columns if c.default is dataclasses.MISSING and c.name not in row]
    if missing:
        raise SchemaError(
            f"row {number} of with_task lacks {', '.join(missing)}; got {', '.join(row) or 'no key'}. Give every key, "
            "None where an interval is not known."
        )
    return TaskRow(**row)
