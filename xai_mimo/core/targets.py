"""What is explained: one scalar per row, chosen by head and unit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from xai_mimo.core.errors import BadSetting, BadValues, ShapeMismatch
from xai_mimo.core.streams import Array, Head, check_unique, unknown

Unit = int | Literal["predicted", "label"]


@dataclass(frozen=True)
class Target:
    """A head and one of its units.

    Attributes:
        head: the head's name.
        unit: an index, "predicted" (the largest output of the row) or "label" (the true class).
    """

    head: str
    unit: Unit = 0


class Selector(NamedTuple):
    """A target resolved for given rows.

    Attributes:
        name: its label on the ``head`` dimension of results: the head's name, with the unit where a head has several
            targets ("rul:p90").
        head: the head's name.
        units: ``(sample,)`` int64, the flat unit index of each row, fixed before anything is perturbed.
    """

    name: str
    head: str
    units: Array


def default_targets(heads: Sequence[Head]) -> list[Target]:
    """One target per head, so that nothing is left out: the predicted class of a multiclass head, else every unit."""
    targets: list[Target] = []
    for head in heads:
        if head.kind == "multiclass" and head.size > 1:
            targets.append(Target(head.name, "predicted"))
        else:
            targets.extend(Target(head.name, unit) for unit in range(head.size))
    return targets


def select(
    targets: Sequence[Target | str | tuple[str, Unit]] | None,
    heads: Sequence[Head],
    predictions: Mapping[str, Array],
    labels: Mapping[str, Any] | None = None,
) -> list[Selector]:
    """Resolve targets for the rows of a prediction.

    Args:
        targets: targets, ``(head, unit)`` pairs or head names (their default targets); None for all heads.
        heads: the model's heads.
        predictions: ``{head: (sample, *shape)}`` for the rows to explain.
        labels: ``{head: (sample,)}`` integer classes, needed for unit "label".
    Returns:
        One selector per target, names unique.
    Raises:
        UnknownName: no such head. BadSetting: a unit out of range or labels missing. BadValues: labels that are not
            classes of the head.
    """
    by_name = {head.name: head for head in heads}
    wanted: list[Target] = []
    for target in default_targets(heads) if targets is None else targets:
        if isinstance(target, str):
            if target not in by_name:
                raise unknown(target, by_name, "head")
            wanted.extend(default_targets([by_name[target]]))
        else:
            wanted.append(target if isinstance(target, Target) else Target(*target))
    if not wanted:
        raise BadSetting("no targets: name at least one head.")
    names = [_name(target, wanted, by_name) for target in wanted]
    check_unique(names, "target")
    return [
        Selector(name, target.head, _units(target, by_name[target.head], predictions, labels))
        for name, target in zip(names, wanted, strict=True)
    ]


def _name(target: Target, wanted: Sequence[Target], by_name: Mapping[str, Head]) -> str:
    if target.head not in by_name:
        raise unknown(target.head, by_name, "head")
    if sum(other.head == target.head for other in wanted) == 1:
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
        if labels is None or head.name not in labels:
            raise BadSetting(f"the target of head '{head.name}' is its label, but no labels were given for it.")
        return _classes(labels[head.name], head, rows)
    if not -head.size <= int(target.unit) < head.size:
        raise BadSetting(f"head '{head.name}' has {head.size} units; unit {target.unit} does not exist.")
    return np.full(rows, int(target.unit) % head.size, dtype=np.int64)


def _classes(values: Any, head: Head, rows: int) -> Array:
    given: Array = np.asarray(values)
    if given.shape == (rows, head.size) and head.size > 1:
        hot: Array = given.argmax(axis=1)
        return hot
    given = given.reshape(rows, -1) if given.size == rows else given
    if given.shape != (rows, 1):
        raise ShapeMismatch(f"labels of head '{head.name}' want ({rows},) classes; got {np.asarray(values).shape}.")
    classes = given[:, 0].astype(np.int64)
    if (classes != given[:, 0]).any() or classes.min() < 0 or classes.max() >= max(head.size, 2):
        raise BadValues(f"labels of head '{head.name}' must be whole numbers from 0 to {max(head.size, 2) - 1}.")
    return np.minimum(classes, head.size - 1)


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
