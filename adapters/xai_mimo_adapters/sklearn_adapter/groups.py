"""What the first step of a pipeline tells of a model's columns: which it takes together, and what they hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class FirstStep:
    """Of a pipeline; of any other model nothing is told.

    Attributes:
        groups: the columns that each part of a ``ColumnTransformer`` takes, a column with the first part that does;
            those it drops are in none. {} where the step is none.
        examples: a value that each column may have, of the columns of which that is known: words, or numbers.
        takes_words: whether the step reads rows of words that have no columns, as ``TfidfVectorizer`` does.
    """

    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    examples: Mapping[str, Any] = field(default_factory=dict)
    takes_words: bool = False


def first_step(model: Any, names: Sequence[str]) -> FirstStep:
    """What a model's first step tells.

    Args:
        model: fitted. names: of all columns that it was fitted on, in order.
    """
    step = _first(model)
    if not hasattr(step, "transformers_"):
        return FirstStep(takes_words=_reads_words(step))
    groups: dict[str, tuple[str, ...]] = {}
    examples: dict[str, Any] = {}
    for name, transformer, columns in step.transformers_:
        if isinstance(transformer, str) and transformer == "drop":
            continue
        own = _names_of(columns, names)
        taken = {column for of_group in groups.values() for column in of_group}
        groups[name] = tuple(column for column in own if column not in taken)
        for column, example in zip(own, _examples(transformer, len(own)), strict=True):
            if example is not None:
                examples.setdefault(column, example)
    return FirstStep({name: columns for name, columns in groups.items() if columns}, examples)


def _first(model: Any) -> Any:
    """The part that reads the rows: through searches, transformed targets and pipelines in pipelines."""
    while True:
        inner = next((getattr(model, a) for a in ("best_estimator_", "regressor_") if hasattr(model, a)), None)
        if inner is None and hasattr(model, "steps") and hasattr(model, "named_steps"):
            inner = next((step for _, step in model.steps if not isinstance(step, str | None)), None)
        if inner is None:
            return model
        model = inner


def _names_of(columns: Any, names: Sequence[str]) -> tuple[str, ...]:
    """The columns that a part of a ``ColumnTransformer`` was given, by name."""
    if isinstance(columns, str):
        return (columns,)
    if isinstance(columns, int | np.integer | slice):
        chosen = np.array(names, dtype=object)[columns]
        return (str(chosen),) if isinstance(chosen, str) else tuple(chosen)
    listed = list(columns)
    if all(isinstance(column, bool | np.bool_) for column in listed) and len(listed) == len(names):
        return tuple(name for name, is_taken in zip(names, listed, strict=True) if is_taken)
    return tuple(column if isinstance(column, str) else names[int(column)] for column in listed)


def _examples(transformer: Any, count: int) -> list[Any]:
    """A value of each of its columns, None where it does not tell."""
    step = _first(transformer)
    if hasattr(step, "categories_") and len(step.categories_) == count:
        return [_plain(next((c for c in known if c == c and c is not None), None)) for known in step.categories_]
    if hasattr(step, "statistics_") and len(step.statistics_) == count:
        return [_plain(value) if isinstance(value, str) else None for value in step.statistics_]
    return [""] * count if _reads_words(step) else [None] * count


def _reads_words(step: Any) -> bool:
    return hasattr(step, "analyzer") and hasattr(step, "lowercase")


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
