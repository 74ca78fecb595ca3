"""What is explained: one scalar per row, chosen by head and unit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from xai_mimo.core.errors import BadSetting, BadValues, ShapeMismatch
from xai_mimo.core.streams import Array, Head, check_unique, name_values, unknown

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


AnyTarget = Target | str | tuple[str, Unit]
"""What users may write: a ``Target``, a ``(head, unit)`` pair, or a head's name for its default targets."""


class Selector(NamedTuple):
    """A target resolved for given rows.

    Attributes:
        name: its label on the ``head`` dimension of results: the head's name, with the unit where a head has several
            targets ("rul:p90").
        head: the head's name.
        units: ``(sample,)`` int64, the flat unit index of each row, fixed before anything is perturbed.
        unit: as it was asked for: an index, "predicted" or "label".
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


def expand(targets: Sequence[AnyTarget] | None, heads: Sequence[Head]) -> list[Target]:
    """One ``Target`` for each scalar to explain, from the short forms that users write.

    Args:
        targets: targets, ``(head, unit)`` pairs or head names (their default targets); None for all heads.
        heads: the model's heads.
    Raises:
        UnknownName: no such head. BadSetting: an empty list.
    """
    by_name = {head.name: head for head in heads}
    expanded: list[Target] = []
    for target in default_targets(heads) if targets is None else targets:
        if isinstance(target, str):
            if target not in by_name:
                raise unknown(target, by_name, "head")
            expanded.extend(default_targets([by_name[target]]))
        else:
            expanded.append(target if isinstance(target, Target) else Target(*target))
    if not expanded:
        raise BadSetting(f"no targets: name at least one head ({', '.join(by_name)}), or leave targets out for all.")
    for target in expanded:
        if target.head not in by_name:
            raise unknown(target.head, by_name, "head")
    return expanded


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


def check_labels(labels: Any, heads: Sequence[Head], rows: int) -> dict[str, Array]:
    """Check labels once, at the door.

    Args:
        labels: ``{head: (sample, ...)}`` for some of the heads; a list or tuple with all, in the model's order; one
            array for a model of one head; None for none.
        heads: the model's heads.
        rows: of the data.
    Returns:
        Labels by head, for the heads that have some.
    Raises:
        UnknownName: no such head. ShapeMismatch: another number of rows, or of heads.
    """
    if labels is None:
        return {}
    names = [head.name for head in heads]
    named = labels if isinstance(labels, Mapping) else name_values(labels, names, "head")
    arrays = {str(head): np.asarray(values) for head, values in named.items()}
    for head, values in arrays.items():
        if head not in names:
            raise unknown(head, names, "head")
        if values.ndim == 0 or len(values) != rows:
            raise ShapeMismatch(
                f"labels of head '{head}' want one value per row, {rows} as in the inputs; got shape {values.shape}."
            )
    return arrays


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
        if labels is None or head.name not in labels:
            raise BadSetting(
                f"the target of head '{head.name}' is its label, but no labels were given for it. Give the true class "
                f"of each row: labels={{'{head.name}': ...}}."
            )
        return _classes(labels[head.name], head, rows)
    if not -head.size <= int(target.unit) < head.size:
        raise BadSetting(
            f"head '{head.name}' has {head.size} {'unit' if head.size == 1 else 'units'}; unit {target.unit} does not "
            f"exist. Give {'0' if head.size == 1 else f'a number from 0 to {head.size - 1}'}."
        )
    return np.full(rows, int(target.unit) % head.size, dtype=np.int64)


def _classes(labels: Any, head: Head, rows: int) -> Array:
    """The unit that speaks for each row's class: ``(sample,)``.

    A head of one unit has two classes, 0 and 1, and the unit speaks for both: what is explained is its value,
    whichever class the row has.
    """
    values: Array = np.asarray(labels)
    if values.shape == (rows, head.size) and head.size > 1:
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
