"""Labels: what is known of the rows' heads, checked once at the door, and the classes that they name."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xai_mimo.core.errors import BadValues, ShapeMismatch
from xai_mimo.core.head_kinds import has_one_label, is_cumulative, is_of_classes, is_quantity
from xai_mimo.core.streams import Array, Head, name_values, unknown
from xai_mimo.core.tables import check_row_order, column_labels, read_array, with_row_labels

# Shares of classes sum to 1 but for so much.
_ROUNDED = 1e-3


class CheckedLabels(dict[str, Array]):
    """Labels that went through the door already: whole numbers where they are classes, whatever those are called."""


def check_labels(labels: Any, heads: Sequence[Head], rows: int, inputs: Any = None) -> dict[str, Array]:
    """Check labels once, at the door.

    Args:
        labels: ``{head: (sample, ...)}`` for some of the heads, or a data frame with such columns; a list or tuple with
            all, in the model's order; one array for a model of one head; None for none. Of a head of classes they are
            what it calls its classes (``Head.class_labels``), class numbers or the names of its units, or 0 and 1 for
            each unit; of others, one number for each unit (NaN where it is unknown) or the number of the unit that
            speaks for the row.
        heads: the model's heads.
        rows: of the data.
        inputs: the data as it was given; where it and the labels are data frames or series, their rows must not have
            the same labels in different orders.
    Returns:
        Labels by head, for the heads that have some: whole numbers where they are classes.
    Raises:
        UnknownName: no such head. ShapeMismatch: another number of rows, of units, or of heads. BadValues: text, NaN,
            numbers that are no classes of the head, or rows in another order than the inputs'.
    """
    if labels is None or isinstance(labels, CheckedLabels):
        return dict(labels or {})
    by_name = {head.name: head for head in heads}
    columns = column_labels(labels)
    check_row_order({**with_row_labels(inputs, "the inputs"), **with_row_labels(labels, "the labels")})
    if isinstance(labels, Mapping):
        named = {str(name): values for name, values in labels.items()}
    elif columns is not None and (len(heads) > 1 or tuple(columns) == tuple(by_name)):
        named = {str(name): labels[name] for name in columns}
    elif len(heads) == 1 and isinstance(labels, list) and len(labels) == rows != 1:
        named = {heads[0].name: labels}
    else:
        named = name_values(labels, list(by_name), "head")
    for name in named:
        if name not in by_name:
            raise unknown(name, by_name, "head")
    return {name: _check_labels(values, by_name[name], rows) for name, values in named.items()}


def class_units(labels: Any, head: Head, rows: int) -> Array:
    """The unit that speaks for each row's class, ``(sample,)``; the class at each step, ``(sample, step)``.

    A head of one unit has two classes, 0 and 1, and the unit speaks for both: what is explained is its value,
    whichever class the row has.
    """
    values: Array = np.asarray(labels)
    if values.dtype.kind not in "fiub":
        values = _of_words(values, head, f"labels of head '{head.name}'")
    steps, classes = (head.steps, head.classes) if is_of_classes(head) else (1, head.size)
    if values.shape in ((rows, head.size), (rows, *head.shape)) and classes > 1:
        hot = _hottest(values.reshape(rows, steps, classes), head)
        return hot if steps > 1 else hot[:, 0]
    wanted = (rows, *head.shape[:-1]) if steps > 1 else (rows,)
    flat = values.reshape(rows, -1) if values.size == rows * steps else values
    if flat.shape != (rows, steps):
        raise ShapeMismatch(f"labels of head '{head.name}' want {wanted} classes; got {np.asarray(labels).shape}.")
    largest = max(classes, 2) - 1
    is_class = np.isin(flat, np.arange(largest + 1)) if flat.dtype.kind in "biuf" else np.zeros(flat.shape, bool)
    if not is_class.all():
        row, step = (int(i) for i in np.argwhere(~is_class)[0])
        example = 0 if steps == 1 else (*(0,) * (len(head.shape) - 1), 0)
        raise BadValues(
            f"labels of head '{head.name}' must be whole numbers from 0 to {largest}, its classes; got "
            f"{flat[row, step].item()!r} in row {row}. Write each class as its number and leave out rows without a "
            f"label, or explain a fixed unit of the head: targets=[('{head.name}', {example})]."
        )
    units = np.minimum(flat.astype(np.int64), classes - 1)
    return units if steps > 1 else units[:, 0]


def _check_labels(labels: Any, head: Head, rows: int) -> Array:
    what = f"labels of head '{head.name}'"
    values = read_array(labels, what, takes_words=True)
    if values.ndim == 0 or len(values) != rows:
        raise ShapeMismatch(f"{what} want one value per row, {rows} as in the inputs; got shape {values.shape}.")
    if head.class_labels and not (head.size > 1 and values.size == rows * head.size):
        values = _of_class_labels(values, head, what)
    elif values.dtype.kind not in "fiub":
        values = _of_words(values, head, what)
    # A quantity may be unknown in some rows, and is then shown as that; a class is asked for.
    known = ~np.isinf(values) if is_quantity(head) else np.isfinite(values)
    if not known.all():
        row = int(np.argwhere(~known)[0][0])
        raise BadValues(
            f"{what} must be known for every row; got {float(values[row].ravel()[0])!r} in row {row}. Leave out the "
            "rows without a label, or the labels of this head."
        )
    if values.dtype.kind == "f" and values.size and np.isnan(values).all():
        raise BadValues(f"{what} are NaN in every row, so nothing is known. Leave this head out of the labels.")
    if has_one_label(head) and not is_of_classes(head):
        return _one_for_all(values, head, rows)
    per_unit = values.reshape(rows, -1).shape[1] if values.size else 0
    # Heads of scores are often read as regression; which unit speaks for a row is then told by class numbers.
    is_scored = head.kind != "survival" and head.size > 1
    if is_of_classes(head) or head.kind == "multiclass" or (per_unit == 1 and (head.kind == "binary" or is_scored)):
        class_units(values, head, rows)
        return values
    if per_unit != head.size:
        wants = f"({rows}, {head.size})" if head.size > 1 else f"({rows},)"
        raise ShapeMismatch(f"{what} want {wants}, one number for each unit; got {values.shape}.")
    is_choice = np.isin(values, (0, 1)) | (np.isnan(values) if head.kind == "survival" else False)
    if head.kind in ("binary", "multilabel", "survival") and not is_choice.all():
        row = int(np.argwhere(~is_choice)[0][0])
        raise BadValues(f"{what} must be 0 or 1 for each unit; got {values[row].tolist()} in row {row}.")
    return values


def _one_for_all(values: Array, head: Head, rows: int) -> Array:
    """Labels of which one speaks for all quantiles, or all thresholds, ``(sample, *steps)``."""
    wanted = (rows, *head.shape[:-1])
    if values.size != rows * head.steps:
        raise ShapeMismatch(
            f"labels of head '{head.name}' want {wanted}, one for all {head.classes} units, as it is of kind "
            f"{head.kind}; got {values.shape}."
        )
    is_level = np.isin(values, np.arange(head.classes + 1))
    if head.kind == "ordinal" and not is_level.all():
        row = int(np.argwhere(~is_level)[0][0])
        raise BadValues(
            f"labels of head '{head.name}' must be whole numbers from 0 to {head.classes}, the levels that its "
            f"thresholds part; got {values[row].tolist()!r} in row {row}."
        )
    return values.reshape(wanted)


def _of_class_labels(values: Array, head: Head, what: str) -> Array:
    """Numbers of the classes, by what the head calls them; class numbers stay where no class is called by a number.

    Raises:
        BadValues: something else; never read as a class number where classes are called by other numbers.
    """
    places = {_label(label): i for i, label in enumerate(head.class_labels)}
    labels = [_label(value) for value in values.ravel().tolist()]
    if all(label in places for label in labels):
        return np.array([places[label] for label in labels], dtype=np.int64).reshape(values.shape)
    if values.dtype.kind in "fiub" and not any(isinstance(place, float) for place in places):
        return values
    odd = next(value for value, label in zip(values.ravel().tolist(), labels, strict=True) if label not in places)
    raise BadValues(
        f"{what} hold {odd!r}, which is none of its classes ({', '.join(head.class_labels)}). Write each class as the "
        "model was trained on it, and leave out rows without a label."
    )


def _label(value: Any) -> float | str:
    """A label as it is compared: 1, 1.0, True and "1" are one class."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)


def _of_words(words: Array, head: Head, what: str) -> Array:
    """Numbers of the classes that words name, each a unit of the head."""
    flat = [str(word) for word in words.ravel()]
    if head.kind not in ("multiclass", "binary", "ordinal") or is_cumulative(head):
        raise BadValues(f"{what} are words, e.g. {flat[0]!r}; expected numbers, as it is a {head.kind} head.")
    names = head.class_names if is_of_classes(head) else head.units
    for word in flat:
        if word not in names or head.size == 1:
            raise BadValues(
                f"{what} hold {word!r}, which names none of its units ({', '.join(names)}). Write each class as its "
                f"number, or name the units: Head('{head.name}', {head.shape}, kind='{head.kind}', units=[...])."
            )
    return np.array([names.index(word) for word in flat]).reshape(words.shape)


def _hottest(shares: Array, head: Head) -> Array:
    """The classes that ``(sample, step, class)`` of 1 and 0 mark: ``(sample, step)``."""
    is_share = (shares >= 0).all(axis=2) & (np.abs(shares.sum(axis=2, dtype=np.float64) - 1) < _ROUNDED)
    if not is_share.all():
        row, step = (int(i) for i in np.argwhere(~is_share)[0])
        raise BadValues(
            f"labels of head '{head.name}' with a number for each class must be 1 for the class of each row and 0 for "
            f"the others; got {shares[row, step].tolist()} in row {row}."
        )
    hot: Array = shares.argmax(axis=2)
    return hot
