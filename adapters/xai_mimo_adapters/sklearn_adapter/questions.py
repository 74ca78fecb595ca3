"""What is asked of a fitted estimator, and which heads its answer holds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xai_mimo.core.errors import BadSetting, NotSupported, ShapeMismatch
from xai_mimo.core.streams import Array, Head, HeadKind

OUTPUTS = ("predict_proba", "decision_function", "predict")
"""What can be asked for: probabilities; scores before they become probabilities; numbers. Boosted trees answer
"decision_function" with their margin, the sum over their trees."""


SCORED = (
    "LogisticRegression",
    "LogisticRegressionCV",
    "LinearDiscriminantAnalysis",
    "GradientBoostingClassifier",
    "HistGradientBoostingClassifier",
)
"""Estimators of scikit-learn whose probabilities are the sigmoid or the softmax of their decision function."""


@dataclass(frozen=True)
class Question:
    """How a model is asked, and what its answer is.

    Attributes:
        output: one of ``OUTPUTS``.
        ask: rows as the model takes them -> its answer.
        classes: the classes of each output; () where outputs are numbers.
        is_multilabel: whether the columns of the answer are labels that may hold together, ``classes[0]`` their names.
        is_of_pairs: whether the answer has a score for each pair of classes, of which no single one is right.
        unit: of the answer.
        kind_from: where the kind of the heads was seen, "" where nothing told.
    """

    output: str
    ask: Callable[[Any], Any]
    classes: tuple[tuple[str, ...], ...] = ()
    is_multilabel: bool = False
    is_of_pairs: bool = False
    unit: str = ""
    kind_from: str = ""

    def arrays(self, answer: Any) -> list[Array]:
        """The answer as one array for each head: ``(row, unit)``.

        Of two classes the second one's value is kept, which tells the other.
        """
        if isinstance(answer, list):
            return [_of_positive(_columns(part)) for part in answer]
        values = _columns(answer)
        if self.is_multilabel:
            return [values]
        if len(self.classes) == 1:
            return [_of_positive(values) if len(self.classes[0]) == 2 else values]
        return [values[:, i : i + 1] for i in range(values.shape[1])]

    def heads(self, arrays: Sequence[Array]) -> tuple[Head, ...]:
        """The heads of an answer: "output", or "output_0", "output_1", ... where there are several."""
        names = ["output"] if len(arrays) == 1 else [f"output_{i}" for i in range(len(arrays))]
        classes = self.classes or ((),) * len(arrays)
        if len(classes) != len(arrays):
            raise ShapeMismatch(f"{self.output} gave {len(arrays)} outputs for {len(classes)} sets of classes.")
        return tuple(self._head(n, x.shape[1], c) for n, x, c in zip(names, arrays, classes, strict=True))

    def _head(self, name: str, width: int, classes: tuple[str, ...]) -> Head:
        kind: HeadKind = "regression"
        units: tuple[str, ...] = ()
        labels: tuple[str, ...] = ()
        if self.is_multilabel:
            kind, units = "multilabel", classes if len(classes) == width else ()
        elif len(classes) == 2 and width == 1:
            kind, units, labels = "binary", classes[1:], _class_labels(classes)
        elif classes and self.is_of_pairs:
            units = tuple(f"{a} against {b}" for i, a in enumerate(classes) for b in classes[i + 1 :])
        elif classes and len(classes) == width:
            kind, units, labels = "multiclass", classes, _class_labels(classes)
        return Head(
            name, (width,), kind=kind, units=units, unit=self.unit, kind_from=self.kind_from, class_labels=labels
        )


def question(model: Any, output: str | None) -> Question:
    """What is asked of an estimator of scikit-learn's form.

    Args:
        model: fitted.
        output: one of ``OUTPUTS``; None takes probabilities of a classifier, its decision function where it has none,
            and what a regressor predicts.
    Raises:
        BadSetting: no such output. NotSupported: the estimator has it not, or predicts nothing that can be explained.
    """
    kind = estimator_kind(model)
    name = type(model).__name__
    if kind not in ("classifier", "regressor", "outlier_detector"):
        raise NotSupported(
            f"{name} is a {kind or 'transformer'}, which has no output that a method could explain; expected a fitted "
            "classifier or regressor. Put it in a pipeline before one: sklearn.pipeline.make_pipeline(...)."
        )
    usable = {"classifier": OUTPUTS[:2], "regressor": OUTPUTS[2:], "outlier_detector": OUTPUTS[1:2]}[kind]
    there = [o for o in usable if callable(getattr(model, o, None))]
    if output is not None and output not in OUTPUTS:
        raise BadSetting(f"output is one of {', '.join(OUTPUTS)}; got {output!r}.")
    if not there:
        raise _without_outputs(model)
    if output is not None and output not in there:
        raise NotSupported(f"{name} has no {output} that could be explained; there is {' and '.join(there)}.")
    chosen = output or there[0]
    ask = getattr(model, chosen)
    if kind != "classifier":
        return Question(chosen, ask, kind_from="the type of the estimator")
    classes, is_multilabel = _classes(model)
    is_of_pairs = getattr(final(model), "decision_function_shape", "") == "ovo" and len(classes[0]) > 2
    return Question(
        chosen,
        ask,
        classes,
        is_multilabel,
        is_of_pairs and chosen == "decision_function",
        _unit(model, chosen, classes),
        "classes_",
    )


def _without_outputs(model: Any) -> NotSupported:
    name = type(model).__name__
    if hasattr(model, "cv_results_"):
        return NotSupported(f"{name} kept no estimator: fit it with refit=True, or give an estimator that is fitted.")
    return NotSupported(
        f"{name} has neither predict_proba nor decision_function, and a predicted class is no number that inputs could "
        "add to. Fit it with probabilities, e.g. VotingClassifier(..., voting='soft'), or wrap it: "
        "sklearn.calibration.CalibratedClassifierCV(model)."
    )


def estimator_kind(model: Any) -> str:
    """ "classifier", "regressor", "clusterer", "outlier_detector", ...; "" where the estimator does not say."""
    tags = getattr(model, "__sklearn_tags__", None)
    kind = tags().estimator_type if callable(tags) else getattr(model, "_estimator_type", None)
    if kind:
        return str(kind)
    if hasattr(model, "predict_proba") and hasattr(model, "classes_"):
        return "classifier"
    return "regressor" if hasattr(model, "predict") and not hasattr(model, "transform") else ""


def _classes(model: Any) -> tuple[tuple[tuple[str, ...], ...], bool]:
    """The classes of each output, and whether they are labels of one head that may hold together."""
    last = final(model)
    classes = last.classes_ if hasattr(last, "classes_") else model.classes_
    if isinstance(classes, list) and classes and np.ndim(classes[0]) == 1:
        return tuple(tuple(map(_word, c)) for c in classes), False
    names = tuple(map(_word, np.asarray(classes).ravel()))
    labels = getattr(
        last, "_label_binarizer", None
    )  # of neural networks and ridge classifiers, which say it nowhere else
    are_marks = str(getattr(labels, "y_type_", "")).startswith("multilabel")
    is_multilabel = bool(getattr(last, "multilabel_", False)) or are_marks or np.ndim(classes) == 2
    return (names,), is_multilabel


def final(model: Any) -> Any:
    """The estimator that answers in the end: of a search the best one, of a pipeline its last step."""
    while True:
        if hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        elif hasattr(model, "steps") and hasattr(model, "named_steps"):
            model = model.steps[-1][1]
        else:
            return model


def _unit(model: Any, output: str, classes: tuple[tuple[str, ...], ...]) -> str:
    if output == "predict_proba":
        return "probability"
    is_logistic = type(final(model)).__name__ in ("LogisticRegression", "LogisticRegressionCV")
    return "log-odds" if is_logistic and len(classes[0]) == 2 else "score"


def _class_labels(classes: tuple[str, ...]) -> tuple[str, ...]:
    """What labels call the classes; () where that is their number."""
    numbers = tuple(str(i) for i in range(len(classes)))
    return () if classes in (numbers, ("False", "True")) else classes


def _word(label: Any) -> str:
    return str(label.item() if isinstance(label, np.generic) else label)


def _columns(values: Any) -> Array:
    array = np.asarray(values)
    return array[:, None] if array.ndim == 1 else array


def _of_positive(values: Array) -> Array:
    return values[:, 1:] if values.shape[1] == 2 else values
