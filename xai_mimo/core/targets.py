"""What is explained: one scalar per row, chosen by head and unit."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from xai_mimo.core.errors import BadSetting
from xai_mimo.core.head_kinds import has_one_label, is_cumulative, is_of_classes
from xai_mimo.core.labels import class_units
from xai_mimo.core.streams import Array, Head, check_unique, unknown

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
            sequence, the two words stand for a target per step, and ``(step, "predicted")`` for one of them. "all", or
            "all" in the place of an axis, stands for every unit: ``("all", "predicted")``, ``(3, "all")``. Steps and
            units are counted from 0, here and wherever results are shown.
        step: of a head with classes for each step, the step that "predicted" or "label" is of, counted flat where a
            head has several axes of steps; else None.
        region: the mean of these units is explained, in the place of one: truth values of the head's shape, or a slice
            for each axis, ``(slice(2, 5), slice(0, 3))``. The last axis may be left out: ``unit`` is then the place on
            it, such as a class of each pixel. See ``core.sums`` for what it costs.
        name: what results call a region: "<head>:<name>", "<head>:region" by default.
    """

    head: str
    unit: Unit = 0
    step: int | None = None
    region: Any = field(default=None, compare=False)
    name: str = ""


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
    """Targets by which nothing is left out: the predicted class or level, at each step, else every unit.

    Raises:
        BadSetting: there would be more than 1024 of them.
    """
    count = sum(head.steps if is_of_classes(head) else head.size for head in heads)
    if count > _MOST_BY_DEFAULT:
        largest = max(heads, key=lambda head: head.size)
        example = (*(0,) * (len(largest.shape) - 1), "predicted") if is_of_classes(largest) else 0
        raise BadSetting(
            f"there would be {count} targets, {largest.size} units of head '{largest.name}' of shape {largest.shape} "
            f"among them, and each costs as much as a head of its own. Name those to explain, at most "
            f"{_MOST_BY_DEFAULT} are taken unasked: targets=[('{largest.name}', {example!r})]."
        )
    targets: list[Target] = []
    for head in heads:
        targets += _at_each_step(head, "predicted") if is_of_classes(head) else _every_unit(head)
    return targets


def _every_unit(head: Head) -> list[Target]:
    return [Target(head.name, unit) for unit in range(head.size)]


def _at_each_step(head: Head, word: Literal["predicted", "label"]) -> list[Target]:
    """The word as targets: one for each step of a head that has classes at each."""
    if not is_of_classes(head) or head.steps == 1:
        return [Target(head.name, word)]
    return [Target(head.name, word, step) for step in range(head.steps)]


def expand(targets: Sequence[AnyTarget] | AnyTarget | None, heads: Sequence[Head]) -> list[Target]:
    """One ``Target`` for each scalar to explain, from the short forms that users write.

    Args:
        targets: targets, ``(head, unit)`` pairs, head names (their default targets) or the names that results give
            targets ("tag:2", "rul:p90"), in a list; one name or one ``Target`` alone; None for all heads.
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
            printed = _printed(target, by_name)
            if printed is None:
                expanded.extend(default_targets([_head_of(target, by_name)]))
                continue
            target = printed
        if isinstance(target, list | tuple) and len(target) == 2:
            target = Target(*target)
        if not isinstance(target, Target):
            raise BadSetting(_no_targets(target, "one of them is"))
        expanded.extend(_targets_of(target, _head_of(target.head, by_name)))
    if not expanded:
        raise BadSetting(f"no targets: name at least one head ({', '.join(by_name)}), or leave targets out for all.")
    return expanded


def _printed(name: str, by_name: Mapping[str, Head]) -> Target | None:
    """The target that results call so, such as "tag:2" or "rul:p90"; None for the name of a head, or of nothing."""
    heads = [] if name in by_name else [head for head in by_name.values() if name.startswith(f"{head.name}:")]
    if not heads:
        return None
    head = max(heads, key=lambda head: len(head.name))
    rest = name[len(head.name) + 1 :]
    if rest in head.units or _is_word(rest) or not is_of_classes(head) or head.steps == 1:
        return Target(head.name, rest)  # type: ignore[arg-type]  # a name
    place, _, word = rest.partition(":")
    step = tuple(int(i) if i.isdecimal() else i for i in place.split(","))
    return Target(head.name, (*step, word or "predicted"))  # type: ignore[arg-type]  # a place on each axis


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
    if target.region is not None:
        raise BadSetting(f"the region of head '{head.name}' is for xai_mimo.explain and xai_mimo.compare alone.")
    unit: Any = target.unit
    if unit == "all" and "all" not in head.units:
        return _every_unit(head)
    if isinstance(unit, list | tuple) and any(isinstance(part, str) and part == "all" for part in unit):
        parts: list[Any] = _written_out(unit, head)
        return [each for part in parts for each in _targets_of(Target(head.name, part), head)]
    if isinstance(unit, list | tuple) and unit and _is_word(unit[-1]):
        _check_word(unit[-1], head)
        return [Target(head.name, unit[-1], _step_of(unit[:-1], head))]
    if _is_word(unit):
        _check_word(unit, head)
        if target.step is not None:
            return [Target(head.name, unit, _step_of((target.step,), head, flat=True))]
        return _at_each_step(head, unit)
    if target.step is not None:
        raise BadSetting(
            f"a target of head '{head.name}' has the unit {unit!r} and the step {target.step!r}; a step belongs to the "
            f"units 'predicted' and 'label'. Give both as a unit: ('{head.name}', (step, class))."
        )
    return [Target(head.name, _unit_of(unit, head))]


def _written_out(unit: Sequence[Any], head: Head) -> list[tuple[Any, ...]]:
    """Every unit that one with "all" in it stands for."""
    if len(unit) != len(head.shape):
        raise BadSetting(f"head '{head.name}' has shape {head.shape}; unit {tuple(unit)} has not as many places.")
    places = [range(n) if isinstance(p, str) and p == "all" else (p,) for p, n in zip(unit, head.shape, strict=True)]
    return list(itertools.product(*places))


def _check_word(word: str, head: Head) -> None:
    """Refuse "predicted" and "label" of a head of which no one unit is predicted or right."""
    if head.kind in ("quantile", "survival") or is_cumulative(head):
        are = {"quantile": "quantiles of one quantity", "survival": "times"}.get(head.kind, "thresholds")
        raise BadSetting(
            f"the units of head '{head.name}' are {are} ({', '.join(head.units[:3])}, ...): none of them is "
            f"'{word}'. Explain one: targets=[('{head.name}', '{head.units[head.size // 2]}')]."
        )


def _is_word(unit: Any) -> bool:
    return isinstance(unit, str) and unit in ("predicted", "label")


def _step_of(place: Sequence[Any], head: Head, *, flat: bool = False) -> int:
    """The number of a step, from its place on each axis of steps or, ``flat``, from itself."""
    shape = (head.steps,) if flat else head.shape[:-1]
    if not is_of_classes(head) or head.steps == 1:
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
    if isinstance(unit, list | tuple) and unit and isinstance(unit[-1], str) and unit[-1] in head.class_names:
        unit = (*unit[:-1], head.class_names.index(unit[-1]))
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
        classes = class_units(labels[head.name], head, rows)
        return classes if target.step is None else _at_step(classes[:, target.step], target.step, head)
    return np.full(rows, int(target.unit) % head.size, dtype=np.int64)


def _at_step(classes: Array, step: int, head: Head) -> Array:
    """Flat units of a step's classes: ``(sample,)``."""
    units: Array = step * head.classes + classes.astype(np.int64)
    return units


def labels_of(selector: Selector, head: Head, labels: Mapping[str, Array]) -> Array | None:
    """What the labels say of a target, ``(sample, ...)``; None where its head has none.

    Args:
        selector: the target. head: its head. labels: checked, ``{head: (sample, ...)}``.
    Returns:
        The labels of the head as they are; of one with classes at each step the units of the step that is explained,
        of one with quantiles or levels at each step the label of that step.
    """
    values = labels.get(head.name)
    if values is None or not has_one_label(head) or head.steps == 1:
        return values
    step = selector.units // head.classes
    if not is_of_classes(head):
        return np.asarray(values.reshape(len(values), -1)[np.arange(len(values)), step])
    classes = class_units(values, head, len(values))[np.arange(len(values)), step]
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
