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

# More targets than these are hardly wanted by somebody who named none.
_MOST_BY_DEFAULT = 1024

Unit = int | Literal["predicted", "label"]
AnyUnit = Unit | str | tuple[int | str, ...]


@dataclass(frozen=True)
class Target:
    """A head and one of its units.

    Attributes:
        head: the head's name.
        unit: an index, flat or one for each axis of the head, ``(step, class)``; a unit's name; "predicted" (the class
            with the largest output in the row) or "label" (the true class). Of a head with classes for each step of a
            sequence, the two words stand for a target per step, and ``(step, "predicted")`` for one of them.
        step: of a head with classes for each step, the step that "predicted" or "label" is of, counted flat where a
            head has several axes of steps; else None.
    """

    head: str
    unit: Unit = 0
    step: int | None = None


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
        step: see ``Target``.
    """

    name: str
    head: str
    units: Array
    unit: Unit = 0
    step: int | None = None

    @property
    def target(self) -> Target:
        """The target, not resolved: for other rows, or for a record."""
        return Target(self.head, self.unit, self.step)


def default_targets(heads: Sequence[Head]) -> list[Target]:
    """Targets by which nothing is left out: the predicted class of a multiclass head, at each step, else every unit.

    Raises:
        BadSetting: there would be more than 1024 of them.
    """
    count = sum(head.steps if _is_of_classes(head) else head.size for head in heads)
    if count > _MOST_BY_DEFAULT:
        largest = max(heads, key=lambda head: head.size)
        example = (*(0,) * (len(largest.shape) - 1), "predicted") if _is_of_classes(largest) else 0
        raise BadSetting(
            f"there would be {count} targets, {largest.size} units of head '{largest.name}' of shape {largest.shape} "
            f"among them, and each costs as much as a head of its own. Name those to explain, at most "
            f"{_MOST_BY_DEFAULT} are taken unasked: targets=[('{largest.name}', {example!r})]."
        )
    targets: list[Target] = []
    for head in heads:
        targets += _at_each_step(head, "predicted") if _is_of_classes(head) else _every_unit(head)
    return targets


def _is_of_classes(head: Head) -> bool:
    return head.kind == "multiclass" and head.classes > 1


def _every_unit(head: Head) -> list[Target]:
    return [Target(head.name, unit) for unit in range(head.size)]


def _at_each_step(head: Head, word: Literal["predicted", "label"]) -> list[Target]:
    """The word as targets: one for each step of a head that has classes at each."""
    if not _is_of_classes(head) or head.steps == 1:
        return [Target(head.name, word)]
    return [Target(head.name, word, step) for step in range(head.steps)]


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
        expanded.extend(_targets_of(target, _head_of(target.head, by_name)))
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


def _targets_of(target: Target, head: Head) -> list[Target]:
    """A target with its unit as a flat index or a word; one for each step where a word stands for all."""
    unit: Any = target.unit
    if isinstance(unit, list | tuple) and unit and _is_word(unit[-1]):
        return [Target(head.name, unit[-1], _step_of(unit[:-1], head))]
    if _is_word(unit):
        if target.step is not None:
            return [Target(head.name, unit, _step_of((target.step,), head, flat=True))]
        return _at_each_step(head, unit)
    if target.step is not None:
        raise BadSetting(
            f"a target of head '{head.name}' has the unit {unit!r} and the step {target.step!r}; a step belongs to the "
            f"units 'predicted' and 'label'. Give both as a unit: ('{head.name}', (step, class))."
        )
    return [Target(head.name, _unit_of(unit, head))]


def _is_word(unit: Any) -> bool:
    return isinstance(unit, str) and unit in ("predicted", "label")


def _step_of(place: Sequence[Any], head: Head, *, flat: bool = False) -> int:
    """The number of a step, from its place on each axis of steps or, ``flat``, from itself."""
    shape = (head.steps,) if flat else head.shape[:-1]
    if not _is_of_classes(head) or head.steps == 1:
        raise BadSetting(
            f"head '{head.name}' of shape {head.shape} and kind {head.kind} has no classes at each of several steps; "
            "its targets have no step."
        )
    return _flat(place, shape, head, "step")


def _flat(place: Sequence[Any], shape: Sequence[int], head: Head, what: str) -> int:
    """The flat number of a place that is given as one index for each axis."""
    are_whole = all(_is_whole(i) for i in place)
    if not are_whole or len(place) != len(shape) or not all(-n <= i < n for i, n in zip(place, shape, strict=True)):
        raise BadSetting(f"head '{head.name}' has shape {head.shape}; {what} {tuple(place)} does not exist in it.")
    return int(np.ravel_multi_index([int(i) % n for i, n in zip(place, shape, strict=True)], shape)) if shape else 0


def _unit_of(unit: Any, head: Head) -> int:
    """A unit as a flat index."""
    if isinstance(unit, str):
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
    return _flat(unit, head.shape, head, "unit")


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
        labels: ``{head: (sample,)}`` integer classes, ``(sample, *steps)`` of a head with classes at each step; needed
            for unit "label".
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
        Selector(name, target.head, _units(target, by_name[target.head], predictions, labels), target.unit, target.step)
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
    names = head.class_names if _is_of_classes(head) else head.units
    for word in flat:
        if word not in names or head.size == 1:
            raise BadValues(
                f"{what} hold {word!r}, which names none of its units ({', '.join(names)}). Write each class as its "
                f"number, or name the units: Head('{head.name}', {head.shape}, kind='{head.kind}', units=[...])."
            )
    return np.array([names.index(word) for word in flat]).reshape(words.shape)


def _name(target: Target, targets: Sequence[Target], by_name: Mapping[str, Head]) -> str:
    same = [other for other in targets if other.head == target.head]
    head = by_name[target.head]
    if target.step is not None:
        words = {other.unit if other.step is not None else None for other in same}
        step = ",".join(str(i) for i in np.unravel_index(target.step, head.shape[:-1]))
        return f"{target.head}:{step}" if len(words) == 1 else f"{target.head}:{step}:{target.unit}"
    if len(same) == 1:
        return target.head
    if isinstance(target.unit, str):
        return f"{target.head}:{target.unit}"
    units = head.units
    return f"{target.head}:{units[target.unit] if -len(units) <= target.unit < len(units) else target.unit}"


def _units(target: Target, head: Head, predictions: Mapping[str, Array], labels: Mapping[str, Any] | None) -> Array:
    values: Array = np.asarray(predictions[head.name])
    rows = len(values)
    if target.unit == "predicted":
        if target.step is not None:
            return _at_step(values.reshape(rows, head.steps, -1)[:, target.step].argmax(axis=1), target.step, head)
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
        classes = _classes(labels[head.name], head, rows)
        return classes if target.step is None else _at_step(classes[:, target.step], target.step, head)
    return np.full(rows, int(target.unit) % head.size, dtype=np.int64)


def _at_step(classes: Array, step: int, head: Head) -> Array:
    """Flat units of a step's classes: ``(sample,)``."""
    units: Array = step * head.classes + classes.astype(np.int64)
    return units


def _classes(labels: Any, head: Head, rows: int) -> Array:
    """The unit that speaks for each row's class, ``(sample,)``; the class at each step, ``(sample, step)``.

    A head of one unit has two classes, 0 and 1, and the unit speaks for both: what is explained is its value,
    whichever class the row has.
    """
    values: Array = np.asarray(labels)
    if values.dtype.kind not in "fiub":
        values = _of_words(values, head, f"labels of head '{head.name}'")
    steps, classes = (head.steps, head.classes) if _is_of_classes(head) else (1, head.size)
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


def labels_of(selector: Selector, head: Head, labels: Mapping[str, Array]) -> Array | None:
    """What the labels say of a target, ``(sample, ...)``; None where its head has none.

    Args:
        selector: the target. head: its head. labels: checked, ``{head: (sample, ...)}``.
    Returns:
        The labels of the head as they are; of one with classes at each step the units of the step that is explained.
    """
    values = labels.get(head.name)
    if values is None or not _is_of_classes(head) or head.steps == 1:
        return values
    step = selector.units // head.classes
    classes = _classes(values, head, len(values))[np.arange(len(values)), step]
    return np.asarray(step * head.classes + classes)


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
