"""What g answers in each row, whether f answers the same, and which rows make a class: for every kind of head.

A multiclass head has one answer, its class. Each unit of a binary or multilabel head is a choice between no and yes, a
score below 0 being a no, for which an attribute speaks by -r (ours). A quantity has no answer to speak for: what counts
is |r|, and all rows are one class (ours).
"""

from dataclasses import dataclass

import numpy as np

from xai_mimo.layers.flint.predictor import PredictorHead


@dataclass(frozen=True)
class Answer:
    """One explained scalar per row.

    Attributes:
        name: the head's, with the unit where the head has several of them.
        head: it belongs to.
        unit: index of the unit in each row, ``(row,)``.
        agrees: f gives the same answer, ``(row,)``.
        distance: between the outputs of f and g, ``(row,)``.
        r_squared: of quantities, 1 - mean (f - g)^2 / var f over the rows; NaN for choices, and where f does not vary.
        side: +1 or -1, what relevance is multiplied by to speak for the answer, ``(row,)``; None for quantities.
    """

    name: str
    head: PredictorHead
    unit: np.ndarray
    agrees: np.ndarray
    distance: np.ndarray
    r_squared: float
    side: np.ndarray | None

    def speaking(self, relevance: np.ndarray) -> np.ndarray:
        """How much each attribute speaks for the answer, ``(row, attribute)``."""
        return np.asarray(np.abs(relevance) if self.side is None else relevance * self.side[:, None])


@dataclass(frozen=True)
class Class:
    """The rows to which g gives one answer.

    Attributes:
        head: name.
        label: of the class: its number, "0" or "1", or "<unit>=0"; the unit's number for quantities.
        rows: how many.
        relevance: mean over these rows of the relevance for this answer, ``(attribute,)``; NaN without rows.
        both_signs: whether large negative values count as well.
    """

    head: str
    label: str
    rows: int
    relevance: np.ndarray
    both_signs: bool

    def used(self, threshold: float) -> np.ndarray:
        """The attributes of the global explanation, ``(attribute,)``."""
        return (np.abs(self.relevance) if self.both_signs else self.relevance) > threshold


def answers(head: PredictorHead, outputs: np.ndarray, scores: np.ndarray, within: np.ndarray) -> list[Answer]:
    """The answers of one head.

    Args:
        head: of the predictor.
        outputs: of f, ``(row, units)``. scores: of g, unnormalised.
        within: the distance up to which quantities agree, ``(units,)``.
    """
    if head.kind == "multiclass":
        chosen = scores.argmax(axis=1)
        p = _softmax(outputs) if head.from_logits else outputs
        distance = 0.5 * np.abs(p - _softmax(scores)).sum(axis=1)
        agrees = outputs.argmax(axis=1) == chosen
        return [Answer(head.name, head, chosen, agrees, distance, np.nan, np.ones(len(scores)))]
    explained = []
    for unit in range(head.units):
        name = head.name if head.units == 1 else f"{head.name}:{unit}"
        f, s, where = outputs[:, unit], scores[:, unit], np.full(len(scores), unit)
        if head.kind == "regression":
            distance = np.abs(f - s)
            explained.append(Answer(name, head, where, distance <= within[unit], distance, _r_squared(f, s), None))
        else:
            p, yes = (_sigmoid(f) if head.from_logits else f), s > 0
            distance, side = np.abs(p - _sigmoid(s)), np.where(yes, 1.0, -1.0)
            explained.append(Answer(name, head, where, (p > 0.5) == yes, distance, np.nan, side))
    return explained


def classes(answer: Answer, relevance: np.ndarray) -> list[Class]:
    """The rows of the attribute-use matrix that one explained scalar gives.

    Args:
        answer: of all rows.
        relevance: r, ``(row, attribute)``.
    """
    head, speaking = answer.head, answer.speaking(relevance)
    if head.kind == "regression":  # the mean is of r itself, so that rises and falls do not add up
        return [_class(answer, str(answer.unit[0]), np.ones(len(relevance), bool), relevance)]
    if head.kind == "multiclass":
        return [_class(answer, str(c), answer.unit == c, speaking) for c in range(head.units)]
    prefix = "" if head.units == 1 else f"{answer.unit[0]}="
    is_yes = np.asarray(answer.side) > 0
    return [_class(answer, f"{prefix}{yes}", is_yes == bool(yes), speaking) for yes in (0, 1)]


def _class(answer: Answer, label: str, rows: np.ndarray, values: np.ndarray) -> Class:
    mean = values[rows].mean(axis=0) if rows.any() else np.full(values.shape[1], np.nan)
    return Class(answer.head.name, label, int(rows.sum()), mean, answer.side is None)


def _r_squared(f: np.ndarray, g: np.ndarray) -> float:
    return float(1.0 - np.square(f - g).mean() / f.var()) if np.ptp(f) > 0 else float("nan")


def _softmax(values: np.ndarray) -> np.ndarray:
    grown = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=1, keepdims=True))


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * values))
