"""The adapter of scikit-learn's estimators and of boosted trees."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from xai_mimo.core.declare import annotate_heads
from xai_mimo.core.door import check_inputs, count_rows
from xai_mimo.core.errors import BadValues, NotFinite, NotSupported, XaiMimoError
from xai_mimo.core.fitted import FittedModel
from xai_mimo.core.method import bytes_per_row
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array, Head, Stream, check_together
from xai_mimo_adapters.chunks import even_slices, rows_that_fit
from xai_mimo_adapters.sklearn_adapter.boosters import library_of, not_fitted, read_booster
from xai_mimo_adapters.sklearn_adapter.columns import a_few, place_columns, seen
from xai_mimo_adapters.sklearn_adapter.fingerprints import fingerprint
from xai_mimo_adapters.sklearn_adapter.groups import FirstStep, first_step
from xai_mimo_adapters.sklearn_adapter.opened import opened
from xai_mimo_adapters.sklearn_adapter.questions import SCORED, Question, final, question

DEFAULT_MAX_MEMORY = 2**29
_WORKING_COPIES = 8
"""An estimator is taken to need this many times the memory of its inputs and outputs."""
_TOLD_APART = (ValueError, TypeError, KeyError)
"""What estimators raise of values that they cannot read, such as a category that they do not know."""


class SklearnAdapter:
    """A fitted estimator, pipeline or boosted model as a model of streams of columns and named heads.

    Streams are groups of columns: those declared (``streams={"vitals": ["age", "bp"], "notes": ["note"]}``), else those
    that the parts of a ``ColumnTransformer`` take, by the parts' names, else all columns as one stream "table". Rows
    come stream by stream or as one data frame with all columns; the estimator is handed its own columns in its own
    order, with the dtypes that ``like`` showed.

    A head is an output: "output", or "output_0", "output_1", ... of several. Of two classes there is one unit, the
    probability of ``classes_[1]``; of more classes one unit each. Labels that may hold together are one multilabel
    head. Without ``predict_proba``, as in an ``SVC`` fitted without probabilities, a classifier's decision function is
    explained, whose unit is "score" (or "log-odds").

    It has no gradients.

    Args:
        model: a fitted regressor, classifier or outlier detector of scikit-learn's form, a pipeline or search that ends
            in one, or a booster of XGBoost, LightGBM or CatBoost.
        streams, heads: rename, group or annotate what was read.
        max_memory: bytes that one call may take; decides how many rows it gets. 512 MiB by default.
        like: rows, for models that do not tell their columns, and for the dtypes of the columns.
        output: "predict_proba", "decision_function" (of boosted trees: the margin) or "predict"; None for the first
            that the model has and that is a number.
    Raises:
        NotSupported: the model is not fitted, predicts nothing that can be explained, or does not tell its columns.
        UnknownName: a stream names a column that the model was not fitted on, or a column is missing.
    """

    def __init__(
        self,
        model: Any,
        *,
        streams: Mapping[str, Any] | Sequence[Stream] | None = None,
        heads: Mapping[str, Any] | Sequence[Head] | None = None,
        max_memory: int | None = None,
        like: Any = None,
        output: str | None = None,
    ) -> None:
        self.model, self._output = model, output
        names, width, self._question, step = _read(model, output)
        like = a_few(like, names, step)
        self._streams, self._columns = place_columns(self.name, names, width, step, streams, seen(like))
        check_together(self._streams)
        self._max_memory = max_memory or DEFAULT_MAX_MEMORY
        self._heads = annotate_heads(self._question.heads(self._probe(like, step)), heads)

    @property
    def name(self) -> str:
        """The class of the estimator."""
        return type(self.model).__name__

    @property
    def backend(self) -> str:
        """The library that computes."""
        return library_of(self.model) or "sklearn"

    @property
    def streams(self) -> tuple[Stream, ...]:
        """Groups of columns."""
        return self._streams

    @property
    def heads(self) -> tuple[Head, ...]:
        """The named outputs."""
        return self._heads

    def fingerprint(self) -> str:
        """SHA-256 over settings and fitted values, of estimators inside others too; see ``fingerprints``."""
        return fingerprint(self.model)

    def predict(self, inputs: Any) -> Arrays:
        """Outputs ``{head: (sample, unit)}``, asked in chunks of rows.

        Raises:
            BadValues: the estimator cannot read a row, such as a category that it does not know; its own words follow.
            NotFinite: it answers NaN or infinity. NotSupported: it was fitted anew, on other classes.
        """
        self._check_classes()
        arrays = check_inputs(inputs, self._streams)
        one_row = bytes_per_row(arrays) + 8 * sum(head.size for head in self._heads)
        size = rows_that_fit(_WORKING_COPIES * one_row, self._max_memory)
        parts = [
            self._answer([x[rows] for x in arrays.values()], rows.start)
            for rows in even_slices(count_rows(arrays), size)
        ]
        return {
            head.name: _checked(np.concatenate([part[i] for part in parts]), head) for i, head in enumerate(self._heads)
        }

    def renamed(self, streams: Sequence[Stream]) -> "SklearnAdapter":
        """The same estimator with other words for its streams' features; see ``Renamable``."""
        other = copy.copy(self)
        other._streams = tuple(streams)
        return other

    def fitted(self) -> tuple[FittedModel, ...]:
        """The estimator behind transformations of single columns; see ``Fitted``."""
        self._check_classes()
        return (opened(self.model, self._streams, self._columns, self._question, self._heads),)

    def before_link(self, heads: Sequence[str]) -> tuple["SklearnAdapter", dict[str, str]]:
        """The same estimator, which gives its scores where a sigmoid or a softmax makes its probabilities of them; see
        ``Linked``."""
        last = final(self.model)
        known = library_of(last) or type(last).__name__ in SCORED
        if self._question.output != "predict_proba" or len(self._heads) != 1 or not known:
            return self, {}
        if self._heads[0].name not in heads:
            return self, {}
        asked = _read(self.model, "decision_function")[2]
        other = copy.copy(self)
        other._output, other._question = "decision_function", replace(asked, is_of_pairs=False)
        other._heads = (replace(self._heads[0], unit="logit" if self._heads[0].kind == "multiclass" else "log-odds"),)
        return other, {self._heads[0].name: f"before the {_link(self._heads[0])} of {type(last).__name__}"}

    def _check_classes(self) -> None:
        """Refuse an estimator that was fitted anew on other classes: its heads would have the names of the old."""
        if library_of(self.model):
            return  # boosted trees are asked for their outputs only where they are read
        classes = _question(self.model, self._output).classes
        if classes != self._question.classes:
            old, new = (", ".join(name for each in c for name in each) for c in (self._question.classes, classes))
            raise NotSupported(
                f"{self.name} was fitted anew since it was adapted: its classes are {new or 'none'}, and were "
                f"{old or 'none'}. Adapt it again: xai_mimo.adapt(model)."
            )

    def _answer(self, arrays: Sequence[Array], first: int) -> list[Array]:
        """The answer to some rows, one array for each head."""
        try:
            return self._question.arrays(self._question.ask(self._columns.table(arrays)))
        except XaiMimoError:
            raise
        except _TOLD_APART as err:
            row = self._unreadable(arrays)
            if row is None:
                raise
            words = self._columns.words(arrays, row)
            raise BadValues(
                f"{self.name} cannot read row {first + row} of those it was asked ({words}): {err}"
            ) from err

    def _unreadable(self, arrays: Sequence[Array]) -> int | None:
        """The first row that the estimator does not take by itself; None where it takes each."""
        for row in range(len(arrays[0])):
            try:
                self._question.ask(self._columns.table([x[row : row + 1] for x in arrays]))
            except _TOLD_APART:
                return row
        return None

    def _probe(self, like: Any, step: FirstStep) -> list[Array]:
        """The answer to a row: one of those given, else one of zeros and of categories that the model knows."""
        if like is not None:
            return self._answer([x[:1] for x in check_inputs(like, self._streams).values()], 0)
        try:
            return self._answer(self._a_row(step), 0)
        except (BadValues, *_TOLD_APART) as err:
            raise NotSupported(
                f"{self.name} does not tell its outputs, and has no answer to a row of zeros: {err}. Give rows that it "
                "can read: xai_mimo.adapt(model, like=x)."
            ) from err

    def _a_row(self, step: FirstStep) -> list[Array]:
        """A row of zeros, and of values that the first step knows."""
        row = []
        for stream in self._streams:
            values = [step.examples.get(f, "" if stream.dtype == "str" else 0.0) for f in stream.features]
            dtype = object if stream.holds_words else np.dtype(stream.dtype)
            row.append(np.array([values], dtype=dtype) if stream.shape else np.array([""], dtype=object))
        return row


def _link(head: Head) -> str:
    return "softmax" if head.kind == "multiclass" else "sigmoid"


def _read(model: Any, output: str | None) -> tuple[tuple[str, ...], int | None, Question, FirstStep]:
    """Names and number of the columns, what is asked, and what the first step tells."""
    if library_of(model):
        booster = read_booster(model, output)
        return booster.names, booster.width, booster.question, FirstStep()
    _check_fitted(model)
    names = tuple(str(name) for name in getattr(model, "feature_names_in_", ()))
    width = getattr(model, "n_features_in_", None)
    columns = names or tuple(str(i) for i in range(width or 0))
    return names, width, _question(model, output), first_step(model, columns)


def _question(model: Any, output: str | None) -> Question:
    """What is asked of an estimator; which labels a model of boosted trees has at its end that model says itself."""
    asked = question(model, output)
    last = final(model)
    if not asked.classes or not library_of(last):
        return asked
    own = read_booster(last, None).question
    return replace(asked, classes=own.classes, is_multilabel=own.is_multilabel)


def _check_fitted(model: Any) -> None:
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    if not callable(getattr(model, "fit", None)):
        raise NotSupported(
            f"{type(model).__name__} is no estimator: it has no fit; give a fitted classifier or regressor."
        )
    try:
        check_is_fitted(model)
    except NotFittedError as err:
        raise not_fitted(model) from err


def _checked(values: Array, head: Head) -> Array:
    """One head's output as floats."""
    if values.dtype.kind not in "fiub":
        raise BadValues(f"the estimator gave dtype {values.dtype} for head '{head.name}'; expected numbers.")
    values = values if str(values.dtype) in ("float32", "float64") else values.astype(np.float64)
    if not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0][0])
        raise NotFinite(
            f"the estimator gave NaN or infinity for head '{head.name}', first in row {row}.", head.name, row
        )
    return values.reshape(len(values), *head.shape)
