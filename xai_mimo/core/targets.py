"""What is explained: one scalar per row, chosen by head and unit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from xai_mimo.core.errors import BadSetting, BadValues, ShapeMismatch
from xai_mimo.core.streams import Array, Head, check_unique, name_values, unknown
from xai_mimo.core.tables import check_row_order, column_labels, read_array, with_row_labels

# Shares of classes sum to 1 but for so much.
_ROUNDED = 1e-3

Unit = int | Literal["predicted", "label"]
AnyUnit = Unit | str | tuple[int, ...]


@dataclass(frozen=True)
class Target:
    """A head and one of its units.

    Attributes:
        head: the head's name.
        unit: an index, flat or one for each axis of the head, ``(step, class)``; a unit's name; "predicted" (the
            largest output of the row) or "label" (the true class).
    """

    head: str
    unit: Unit = 0


AnyTarget = Target | str | tuple[str, AnyUnit]
"""What users may write: a ``Target``, a ``(head, unit)`` pair, or a head's name for its default targets."""


class Selector(NamedTuple):
    """A target resolved for given rows.

    Attributes:
        name: its label on the ``head`` dimension of results: the head's name, with the unit where a head has several
            targets ("rul:p90").
        head: the head's name.
        units: ``(sample,)`` int64, the flat unit index of each row, fixed before anything is perturbed.
        unit: as it was asked for: a flat index, "predicted" or "label".
    """

    name: str
    head: str
    units: Array
    unit: Unit = 0

    @property
    def target(self) -> Target:
        """The target, not resolved: for other rows, or for a record."""
        return Target(self.head, self.unit)


def default_targets(heads: Sequence[Head]) -> list[Target]:
    """One target per head, so that nothing is left out: the predicted class of a multiclass head, else every unit."""
    targets: list[Target] = []
    for head in heads:
        if head.kind == "multiclass" and head.size > 1:
            targets.append(Target(head.name, "predicted"))
        else:
            targets.extend(Target(head.name, unit) for unit in range(head.size))
    return targets


def expand(targets: Sequence[AnyTarget] | AnyTarget | None, heads: Sequence[Head]) -> list[Target]:
    """One ``Target`` for each scalar to explain, from the short forms that users write.

    Args:
        targets: targets, ``(head, unit)`` pairs or head names (their default targets), in a list; one name or one
            ``Target`` alone; None for all heads.
        heads: the model's heads.
    Returns:
        Targets whose units are flat indices, "predicted" or "label".
    Raises:
        UnknownName: no such head, or no such unit. BadSetting: an empty list, or what is no target or unit.
    """
    by_name = {head.name: head for head in heads}
    if targets is None:
        return default_targets(heads)
    if isinstance(targets, str | Target):
        targets = [targets]
    if not isinstance(targets, list | tuple):
        raise BadSetting(_no_targets(targets, "got"))
    expanded: list[Target] = []
    for target in targets:
        if isinstance(target, str):
            expanded.extend(default_targets([_head_of(target, by_name)]))
            continue
        if isinstance(target, list | tuple) and len(target) == 2:
            target = Target(*target)
        if not isinstance(target, Target):
            raise BadSetting(_no_targets(target, "one of them is"))
        head = _head_of(target.head, by_name)
        expanded.append(Target(head.name, _unit_of(target.unit, head)))
    if not expanded:
        raise BadSetting(f"no targets: name at least one head ({', '.join(by_name)}), or leave targets out for all.")
    return expanded


def _no_targets(value: Any, verb: str) -> str:
    return (
        f"targets are a list of head names, (head, unit) pairs or Target objects, e.g. targets=['heat', ('mode', 1)]; "
        f"{verb} {value!r}."
    )


def _head_of(name: Any, by_name: Mapping[str, Head]) -> Head:
    if not isinstance(name, str):
        raise BadSetting(_no_targets(name, "the head of one is"))
    if name not in by_name:
        raise unknown(name, by_name, "head")
    return by_name[name]


def _unit_of(unit: Any, head: Head) -> Unit:
    """A unit as a flat index, or the word that was given."""
    if isinstance(unit, str):
        if unit == "predicted":
            return "predicted"
        if unit == "label":
            return "label"
        if unit not in head.units:
            raise unknown(unit, head.units, f"unit of head '{head.name}'")
        return head.units.index(unit)
    if _is_whole(unit):
        if not -head.size <= unit < head.size:
            raise BadSetting(
                f"head '{head.name}' has {head.size} {'unit' if head.size == 1 else 'units'}; unit {unit} does not "
                f"exist. Give {'0' if head.size == 1 else f'a number from 0 to {head.size - 1}'}."
            )
        return int(unit)
    if not isinstance(unit, list | tuple) or not all(_is_whole(i) for i in unit):
        raise BadSetting(
            f"the unit of a target of head '{head.name}' is a whole number, one for each axis of its shape "
            f"{head.shape}, a unit's name, 'predicted' or 'label'; got {unit!r}."
        )
    is_there = len(unit) == len(head.shape) and all(-n <= i < n for i, n in zip(unit, head.shape, strict=True))
    if not is_there:
        raise BadSetting(f"head '{head.name}' has shape {head.shape}; unit {tuple(unit)} does not exist in it.")
    places = [int(i) % n for i, n in zip(unit, head.shape, strict=True)]
    return int(np.ravel_multi_index(places, head.shape)) if places else 0


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def select(
    targets: Sequence[AnyTarget] | None,
    heads: Sequence[Head],
    predictions: Mapping[str, Array],
    labels: Mapping[str, Any] | None = None,
) -> list[Selector]:
    """Resolve targets for the rows of a prediction.

    Args:
        targets, heads: as ``expand`` takes them.
        predictions: ``{head: (sample, *shape)}`` for the rows to explain.
        labels: ``{head: (sample,)}`` integer classes, needed for unit "label".
    Returns:
        One selector for each scalar to explain, which holds its target too; names unique.
    Raises:
        UnknownName: no such head. BadSetting: a unit out of range or labels missing. BadValues: labels that are not
            classes of the head. DuplicateName: a target twice.
    """
    by_name = {head.name: head for head in heads}
    expanded = expand(targets, heads)
    names = [_name(target, expanded, by_name) for target in expanded]
    check_unique(names, "target")
    return [
        Selector(name, target.head, _units(target, by_name[target.head], predictions, labels), target.unit)
        for name, target in zip(names, expanded, strict=True)
    ]


def check_labels(labels: Any, heads: Sequence[Head], rows: int, inputs: Any = None) -> dict[str, Array]:
    """Check labels once, at the door.

    Args:
        labels: ``{head: (sample, ...)}`` for some of the heads, or a data frame with such columns; a list or tuple with
            all, in the model's order; one array for a model of one head; None for none. Of a head of classes they are
            class numbers or the names of its units, or 0 and 1 for each unit; of others, one number for each unit (NaN
            where it is unknown) or the number of the unit that speaks for the row.
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
    if labels is None:
        return {}
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


def _check_labels(labels: Any, head: Head, rows: int) -> Array:
    what = f"labels of head '{head.name}'"
    values = read_array(labels, what, takes_words=True)
    if values.ndim == 0 or len(values) != rows:
        raise ShapeMismatch(f"{what} want one value per row, {rows} as in the inputs; got shape {values.shape}.")
    if values.dtype.kind not in "fiub":
        values = _of_words(values, head, what)
    # A quantity may be unknown in some rows, and is then shown as that; a class is asked for.
    known = ~np.isinf(values) if head.kind == "regression" else np.isfinite(values)
    if not known.all():
        row = int(np.argwhere(~known)[0][0])
        raise BadValues(
            f"{what} must be known for every row; got {float(values[row].ravel()[0])!r} in row {row}. Leave out the "
            "rows without a label, or the labels of this head."
        )
    per_unit = values.reshape(rows, -1).shape[1] if values.size else 0
    # Heads of scores are often read as regression; which unit speaks for a row is then told by class numbers.
    if head.kind == "multiclass" or (per_unit == 1 and (head.kind == "binary" or head.size > 1)):
        _classes(values, head, rows)
        return values
    if per_unit != head.size:
        wants = f"({rows}, {head.size})" if head.size > 1 else f"({rows},)"
        raise ShapeMismatch(f"{what} want {wants}, one number for each unit; got {values.shape}.")
    if head.kind in ("binary", "multilabel") and not np.isin(values, (0, 1)).all():
        row = int(np.argwhere(~np.isin(values, (0, 1)))[0][0])
        raise BadValues(f"{what} must be 0 or 1 for each unit; got {values[row].tolist()} in row {row}.")
    return values


def _of_words(words: Array, head: Head, what: str) -> Array:
    """Numbers of the classes that words name, each a unit of the head."""
    flat = [str(word) for word in words.ravel()]
    if head.kind not in ("multiclass", "binary"):
        raise BadValues(f"{what} are words, e.g. {flat[0]!r}; expected numbers, as it is a {head.kind} head.")
    for word in flat:
        if word not in head.units or head.size == 1:
            raise BadValues(
                f"{what} hold {word!r}, which names none of its units ({', '.join(head.units)}). Write each class as "
                f"its number, or name the units: Head('{head.name}', {head.shape}, kind='{head.kind}', units=[...])."
            )
    return np.array([head.units.index(word) for word in flat]).reshape(words.shape)


def _name(target: Target, targets: Sequence[Target], by_name: Mapping[str, Head]) -> str:
    if sum(other.head == target.head for other in targets) == 1:
        return target.head
    if isinstance(target.unit, str):
        return f"{target.head}:{target.unit}"
    units = by_name[target.head].units
    return f"{target.head}:{units[target.unit] if -len(units) <= target.unit < len(units) else target.unit}"


def _units(target: Target, head: Head, predictions: Mapping[str, Array], labels: Mapping[str, Any] | None) -> Array:
    values: Array = np.asarray(predictions[head.name])
    rows = len(values)
    if target.unit == "predicted":
        largest: Array = values.reshape(rows, -1).argmax(axis=1)
        return largest
    if target.unit == "label":
        if head.kind == "regression" and head.size == 1:
            raise BadSetting(
                f"head '{head.name}' is a regression head: it has no classes, so its target cannot be the label of a "
                f"row. Explain its value, targets=['{head.name}']; or, if it has two classes, say so: "
                f"xai_mimo.adapt(model, heads={{'{head.name}': 'binary'}})."
            )
        if labels is None or head.name not in labels:
            raise BadSetting(
                f"the target of head '{head.name}' is its label, but no labels were given for it. Give the true class "
                f"of each row: labels={{'{head.name}': ...}}."
            )
        return _classes(labels[head.name], head, rows)
    return np.full(rows, int(target.unit) % head.size, dtype=np.int64)


def _classes(labels: Any, head: Head, rows: int) -> Array:
    """The unit that speaks for each row's class: ``(sample,)``.

    A head of one unit has two classes, 0 and 1, and the unit speaks for both: what is explained is its value,
    whichever class the row has.
    """
    values: Array = np.asarray(labels)
    if values.dtype.kind not in "fiub":
        values = _of_words(values, head, f"labels of head '{head.name}'")
    if values.shape == (rows, head.size) and head.size > 1:
        is_share = (values >= 0).all(axis=1) & (np.abs(values.sum(axis=1, dtype=np.float64) - 1) < _ROUNDED)
        if not is_share.all():
            row = int(np.argmin(is_share))
            raise BadValues(
                f"labels of head '{head.name}' of shape {values.shape} must be 1 for the class of each row and 0 for "
                f"the others; got {values[row].tolist()} in row {row}."
            )
        hot: Array = values.argmax(axis=1)
        return hot
    values = values.reshape(rows, -1) if values.size == rows else values
    if values.shape != (rows, 1):
        raise ShapeMismatch(f"labels of head '{head.name}' want ({rows},) classes; got {np.asarray(labels).shape}.")
    largest = max(head.size, 2) - 1
    is_class = np.isin(values[:, 0], np.arange(largest + 1)) if values.dtype.kind in "biuf" else np.zeros(rows, bool)
    if not is_class.all():
        row = int(np.argmin(is_class))
        raise BadValues(
            f"labels of head '{head.name}' must be whole numbers from 0 to {largest}, its classes; got "
            f"{values[row, 0].item()!r} in row {row}. Write each class as its number and leave out rows without a "
            f"label, or explain a fixed unit of the head: targets=[('{head.name}', 0)]."
        )
    return np.minimum(values[:, 0].astype(np.int64), head.size - 1)


def take(outputs: Mapping[str, Array], selectors: Sequence[Selector]) -> Array:
    """The explained values: ``(target, sample)`` in float64, from ``{head: (sample, *shape)}``."""
    return np.stack(
        [
            np.take_along_axis(
                np.asarray(outputs[s.head], dtype=np.float64).reshape(len(s.units), -1),
                s.units[:, None],
                axis=1,
            )[:, 0]
            for s in selectors
        ]
    )


def rows_of(selectors: Sequence[Selector], index: Array | slice) -> list[Selector]:
    """The same targets for some of the rows (or for rows repeated)."""
    return [s._replace(units=s.units[index]) for s in selectors]


def take_mean(outputs: Mapping[str, Array], selectors: Sequence[Selector]) -> Array:
    """Mean of the explained values over baselines: ``(target, sample)`` in float64.

    Args:
        outputs: ``{head: (baseline, *shape)}``.
        selectors: units of the rows that are explained; their number differs from that of the baselines.
    """
    mean = {head: np.asarray(v, dtype=np.float64).reshape(len(v), -1).mean(axis=0) for head, v in outputs.items()}
    return np.stack([mean[s.head][s.units] for s in selectors])
