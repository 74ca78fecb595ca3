"""An estimator opened for libraries that read trees and coefficients: what answers, and what comes before it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xai_mimo.core.errors import NotSupported
from xai_mimo.core.fitted import FittedModel
from xai_mimo.core.streams import Array, Head, Stream
from xai_mimo_adapters.sklearn_adapter.boosters import library_of
from xai_mimo_adapters.sklearn_adapter.columns import Columns
from xai_mimo_adapters.sklearn_adapter.questions import Question

_BY_COLUMN = (
    "StandardScaler",
    "MinMaxScaler",
    "MaxAbsScaler",
    "RobustScaler",
    "QuantileTransformer",
    "PowerTransformer",
    "Binarizer",
)
"""Transformers of ``sklearn.preprocessing`` that make one column of each, of that column alone."""

_OF_SEVERAL = ("MultiOutputRegressor", "MultiOutputClassifier")
"""Estimators of ``sklearn.multioutput`` that hold one for each output."""


def opened(
    model: Any,
    streams: Sequence[Stream],
    columns: Columns,
    question: Question,
    heads: Sequence[Head],
) -> FittedModel:
    """What is behind all transformations of single columns.

    Args:
        model: fitted. streams, columns, question, heads: what was read of it.
    Raises:
        NotSupported: a step mixes columns, or columns hold words.
    """
    name = type(model).__name__
    words = [stream.name for stream in streams if stream.holds_words]
    if words:
        raise NotSupported(
            f"{name} reads words (stream '{words[0]}'), which no trees or coefficients have as columns. Use "
            "'shap.permutation' or 'shapley', which only ask for predictions."
        )
    steps, last = _steps(model)
    for step in steps:
        if type(step).__name__ not in _BY_COLUMN or not type(step).__module__.startswith("sklearn."):
            raise NotSupported(
                f"before its last step {name} has {type(step).__name__}, of which it is not known that it makes one "
                "column of each: what is said of its columns need not be of the features. Use 'shap.permutation' or "
                "'shapley', or adapt the last step on the columns that it reads."
            )
    is_of_several = type(last).__name__ in _OF_SEVERAL and type(last).__module__ == "sklearn.multioutput"
    estimators = tuple(last.estimators_) if is_of_several else (last,)
    narrow = all(_reads_float32(estimator) for estimator in estimators)

    def table(arrays: Mapping[str, Array]) -> Array:
        rows = columns.table([arrays[stream.name] for stream in streams])
        for step in steps:
            rows = step.transform(rows)
        values = np.asarray(rows, dtype=np.float64)
        return values.astype(np.float32).astype(np.float64) if narrow else values

    def answers(each: Sequence[Array]) -> list[Array]:
        if len(each) > 1:
            return question.arrays(list(each) if question.classes else np.concatenate(list(each), axis=1))
        return question.arrays(each[0])

    return FittedModel(
        tuple(head.name for head in heads),
        estimators,
        table,
        tuple((streams[s].name, f) for s, f in columns.places),
        answers,
        question.output,
    )


def _steps(model: Any) -> tuple[list[Any], Any]:
    """The transformers before the estimator that answers, and that one; through searches and pipelines."""
    steps: list[Any] = []
    while True:
        if hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        elif hasattr(model, "steps") and hasattr(model, "named_steps"):
            steps += [step for _, step in model.steps[:-1] if step is not None and not isinstance(step, str)]
            model = model.steps[-1][1]
        else:
            return steps, model


def _reads_float32(estimator: Any) -> bool:
    """Whether it rounds what it reads to float32: trees of scikit-learn but its histograms, XGBoost, CatBoost."""
    of_trees = type(estimator).__module__.startswith(
        ("sklearn.tree.", "sklearn.ensemble._forest", "sklearn.ensemble._gb")
    )
    return of_trees or library_of(estimator) in ("xgboost", "catboost")
