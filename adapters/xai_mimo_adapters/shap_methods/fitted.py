"""What explainers of trees and of coefficients share: columns of an estimator's table back to features of streams."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from xai_mimo.core.errors import NotSupported
from xai_mimo.core.fitted import FittedModel
from xai_mimo.core.method import Attribution, Context
from xai_mimo.core.model import Arrays, Fitted, Model, described, require
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, take, take_mean

_ROWS = 256
_SAME = 1e-4
"""So near, relative to the largest change, must what a library computes come to the model's answers."""
_ROUNDING = 1e-6
"""What the rounding of the answers themselves may add, relative to the largest answer."""


class Reading(NamedTuple):
    """What a library makes of an estimator.

    Attributes:
        answer: ``(row, column)`` to ``(row, output)``, computed of what was read.
        explain: ``(row, column)`` to ``(row, column, output)``, values measured from the background.
    """

    answer: Callable[[Array], Array]
    explain: Callable[[Array], Array]


Read = Callable[[Any, Array, str], Reading]
"""An estimator, the background's table and a quantity that it may be asked for."""


def explain_fitted(
    model: Model,
    inputs: Arrays,
    selectors: Sequence[Selector],
    context: Context,
    read: Read,
    *,
    quantities: Sequence[str],
    name: str,
) -> Attribution:
    """Explain heads by what a library reads off their estimator.

    A head is explained only where what the library computes of its reading is what the model predicts, for all rows and
    all of the background, but for a constant, which moves no value: so the values are of the prediction that stands
    beside them.

    Args:
        read: raises ``NotSupported`` where it cannot.
        quantities: that estimators may be asked for; the first one that the model predicts is explained.
        name: of the method.
    Raises:
        NotSupported: the model is not fitted so, or no reading answers as the model does.
    """
    able = require(model, Fitted, for_=name)
    prediction, before = model.predict(inputs), model.predict(context.background)
    values = {n: np.zeros((len(selectors), *x.shape)) for n, x in inputs.items()}
    rows = len(selectors[0].units)
    parts = [part for part in able.fitted() if any(s.head in part.heads for s in selectors)]
    for part in parts:
        table, background = part.table(inputs), part.table(context.background)
        told = {head: np.concatenate([before[head], prediction[head]]) for head in part.heads}
        readings = _readings(part, background, table, told, read, quantities, f"{name} on {described(model)}")
        for start in range(0, rows, _ROWS):
            now = slice(start, min(start + _ROWS, rows))
            _put(values, part, [reading.explain(table[now]) for reading in readings], selectors, now)
            context.advance((now.stop - now.start) / len(parts))
    return Attribution(
        values=values,
        prediction=take(prediction, selectors),
        baseline_prediction=take_mean(before, selectors),
    )


def _readings(
    part: FittedModel,
    background: Array,
    table: Array,
    told: Mapping[str, Array],
    read: Read,
    quantities: Sequence[str],
    what: str,
) -> list[Reading]:
    """Readings of all estimators that answer as the model does.

    Args:
        told: what the model predicts of the background and then of the rows.
    """
    reasons = []
    for quantity in quantities:
        try:
            readings = [read(estimator, background, quantity) for estimator in part.estimators]
        except NotSupported as err:
            reasons.append(f"{quantity}: {err}")
            continue
        each = [_columns(reading.answer(np.concatenate([background, table]))) for reading in readings]
        head = _differing(part, part.answers(each), told, len(background))
        if head is None:
            return readings
        reasons.append(f"{quantity}: it is not what head '{head}' gives ({part.asked_for})")
    margin = ""
    if part.asked_for == "predict_proba":
        margin = (
            "Explain the scores before they become probabilities, on='logit' or xai_mimo.adapt(model, "
            "output='decision_function'), or use "
        )
    raise NotSupported(
        f"{what} finds nothing that it can explain and the model predicts ({'; '.join(reasons)}). {margin or 'Use '}"
        "'shap.permutation' or 'shapley', which only ask for predictions."
    )


def _differing(part: FittedModel, answers: Sequence[Array], told: Mapping[str, Array], count: int) -> str | None:
    """The first head that is answered otherwise than the model does; None where all are the same but for a constant.

    Args:
        answers: ``(row, unit)`` for each head. told: by the model. count: rows at the beginning that are background.
    """
    for head, ours in zip(part.heads, answers, strict=True):
        theirs = told[head].reshape(len(told[head]), -1).astype(np.float64)
        if ours.shape != theirs.shape:
            return head
        change = theirs - theirs[:count].mean(axis=0)
        limit = _SAME * np.abs(change).max(axis=0) + _ROUNDING * np.abs(theirs).max(axis=0)
        if not (np.abs(ours - ours[:count].mean(axis=0) - change) <= limit).all():
            return head
    return None


def _put(values: Arrays, part: FittedModel, found: Sequence[Array], selectors: Sequence[Selector], now: slice) -> None:
    """Write what the estimators were explained as, each ``(row, column, output)``, in the places of their features."""
    rows, columns = found[0].shape[:2]
    of_heads = part.answers([each.reshape(rows * columns, -1) for each in found])
    by_name = {head: x.reshape(rows, columns, -1) for head, x in zip(part.heads, of_heads, strict=True)}
    for t, selector in enumerate(selectors):
        if selector.head not in by_name:
            continue
        of_units = np.take_along_axis(by_name[selector.head], selector.units[now, None, None], axis=2)[..., 0]
        for column, (stream, feature) in enumerate(part.places):
            values[stream][t, now, feature] += of_units[:, column]


def _columns(answer: Array) -> Array:
    return answer[:, None] if answer.ndim == 1 else answer
