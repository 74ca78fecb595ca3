"""Weighted sums of a head's units as heads of one unit: the mean over a region of an image, a mean survival time.

A user asks for them as targets. Before anything is explained the model is given a head more for each, so that methods,
metrics and results meet a head like others. An adapter that can sum inside its own framework says so (``Summing``):
then such a head costs what any head costs. Of other models the gradients of a sum are the sum of the gradients of its
units, 16 of them at once, which is dear for large regions: as many passes backwards as the region has units.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from xai_mimo.core.errors import BadSetting, ShapeMismatch
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.reread import Ask, reread
from xai_mimo.core.streams import Array, Head, check_unique, unknown
from xai_mimo.core.targets import AnyTarget, Selector, Target, expand

_UNITS_AT_ONCE = 16


@dataclass(frozen=True)
class SumOfUnits:
    """A head of one unit: offset + sum over units of weight * unit.

    Attributes:
        name: of the new head. head: whose units these are.
        units: flat indices. weights: one for each.
        offset: what is added.
        unit: what it is measured in.
    """

    name: str
    head: str
    units: tuple[int, ...]
    weights: tuple[float, ...]
    offset: float = 0.0
    unit: str = ""

    def as_head(self) -> Head:
        """The new head."""
        return Head(self.name, unit=self.unit, kind_from=f"a sum of units of head '{self.head}'")


@runtime_checkable
class Summing(Model, Protocol):
    """A model that can sum units of its heads in its own framework, so that a sum costs one pass backwards."""

    def with_sums(self, sums: Sequence[SumOfUnits]) -> Model:
        """The same model with a head more for each sum, behind its own, each of shape ``(1,)``."""


def split_sums(
    targets: Sequence[AnyTarget] | None, heads: Sequence[Head]
) -> tuple[Sequence[AnyTarget] | None, tuple[SumOfUnits, ...]]:
    """Targets whose sums name the heads that they will be, and these sums.

    A sum is a target with a ``region``, or ("<survival head>", "mean").

    Args:
        targets: as ``expand`` takes them. heads: of the model.
    Raises:
        UnknownName, ShapeMismatch, BadSetting: a region that does not fit its head. DuplicateName: a name twice.
    """
    by_name = {head.name: head for head in heads}
    listed: Any = [targets] if isinstance(targets, Target) else targets
    if not isinstance(listed, list | tuple):
        return targets, ()
    sums: list[SumOfUnits] = []
    rest: list[AnyTarget] = []
    for target in listed:
        made = _sum_of(target, by_name)
        if made is None:
            rest.append(target)
            continue
        sums.append(made)
        rest.append(Target(made.name, 0))
    check_unique([*by_name, *(made.name for made in sums)], "head")
    return (rest if sums else targets), tuple(sums)


def heads_behind(targets: Sequence[AnyTarget] | None, sums: Sequence[SumOfUnits], heads: Sequence[Head]) -> set[str]:
    """Names of the model's own heads that targets and sums speak of, see ``split_sums``."""
    if not sums:
        return {target.head for target in expand(targets, heads)}
    names = {made.name for made in sums}
    others = [t for t in targets or () if not (isinstance(t, Target) and t.head in names)]
    return {made.head for made in sums} | ({t.head for t in expand(others, heads)} if others else set())


def with_sums(model: Model, sums: Sequence[SumOfUnits]) -> Model:
    """The model with a head more for each sum."""
    if not sums:
        return model
    return model.with_sums(tuple(sums)) if isinstance(model, Summing) else reread(model, Sums(tuple(sums)))


def _sum_of(target: Any, by_name: Mapping[str, Head]) -> SumOfUnits | None:
    if isinstance(target, list | tuple) and len(target) == 2:
        target = Target(*target)
    if not isinstance(target, Target) or target.head not in by_name:
        if isinstance(target, Target) and target.region is not None:
            raise unknown(target.head, by_name, "head")
        return None
    head = by_name[target.head]
    if target.region is not None:
        units = _units_of(target, head)
        share = tuple([1.0 / len(units)] * len(units))
        return SumOfUnits(f"{head.name}:{target.name or 'region'}", head.name, units, share, unit=head.unit)
    unit: Any = target.unit
    if head.kind == "survival" and unit == "mean" and "mean" not in head.units:
        return _mean_survival(head)
    return None


def _units_of(target: Target, head: Head) -> tuple[int, ...]:
    """Flat indices of the units of a region, of all axes or, at one place of the last axis, of the others."""
    number: Array = np.arange(head.size).reshape(head.shape)
    region = target.region
    places = (region,) if isinstance(region, slice) else region
    is_sliced = isinstance(places, tuple) and all(isinstance(p, slice | int | np.integer) for p in places)
    marks = None if is_sliced else np.asarray(region)
    rank = len(places) if marks is None else marks.ndim
    if rank == number.ndim - 1:
        number = number[..., _of_last_axis(target.unit, head)]
    if rank != number.ndim or (marks is not None and (marks.dtype.kind != "b" or marks.shape != number.shape)):
        got = f"{len(places)} slices" if marks is None else f"{marks.dtype} of shape {marks.shape}"
        raise ShapeMismatch(
            f"the region of head '{head.name}' is truth values of its shape {head.shape}, or a slice for each axis, "
            f"such as (slice(2, 5), slice(0, 3)); got {got}. The last axis may be left out where the unit is a place "
            f"on it: Target('{head.name}', 0, region=...)."
        )
    chosen = np.ravel(number[tuple(places)] if marks is None else number[marks])
    if not chosen.size:
        raise BadSetting(f"the region '{target.name or 'region'}' of head '{head.name}' holds no unit.")
    return tuple(int(i) for i in chosen)


def _of_last_axis(unit: Any, head: Head) -> int:
    """A place on the last axis, by its number or name."""
    if isinstance(unit, str):
        if unit not in head.class_names:
            raise unknown(unit, head.class_names, f"class of head '{head.name}'")
        return head.class_names.index(unit)
    if not isinstance(unit, int | np.integer) or not -head.classes <= unit < head.classes:
        raise BadSetting(
            f"beside a region, the unit of a target of head '{head.name}' is a place on its last axis, of "
            f"{head.classes}, or its name; got {unit!r}."
        )
    return int(unit)


def _mean_survival(head: Head) -> SumOfUnits:
    """The mean time lived up to the last time: the area under the curve, which begins at 1, by the trapezoid rule."""
    try:
        times = [float(name) for name in head.units]
    except ValueError as err:
        raise BadSetting(
            f"the mean of head '{head.name}' asks for its times, and its units ({', '.join(head.units[:5])}) are no "
            "numbers. Name the units by their times: Head(..., kind='survival', units=('30', '60', '90'))."
        ) from err
    steps = np.diff([0.0, *times])
    if (steps <= 0).any():
        raise BadSetting(f"the times of head '{head.name}' do not grow: {', '.join(head.units[:5])}.")
    weights = (steps + np.append(steps[1:], 0.0)) / 2
    return SumOfUnits(
        f"{head.name}:mean",
        head.name,
        tuple(range(head.size)),
        tuple(float(w) for w in weights),
        offset=float(steps[0] / 2),
        unit="time",
    )


@dataclass(frozen=True)
class Sums:
    """Heads and sums of their units, for models that cannot sum themselves (see ``core.reread``).

    Attributes:
        sums: in order.
    """

    sums: tuple[SumOfUnits, ...]

    @property
    def name(self) -> str:
        """For fingerprints."""
        return f"sums {self.sums}"

    def heads(self, heads: tuple[Head, ...]) -> tuple[Head, ...]:
        """The heads, and one for each sum."""
        return (*heads, *(made.as_head() for made in self.sums))

    def outputs(self, outputs: Arrays) -> Arrays:
        """Outputs, and the sums in the dtype of what is summed."""
        return {**outputs, **{made.name: _summed(made, outputs[made.head]) for made in self.sums}}

    def gradients(self, ask: Ask, selectors: Sequence[Selector]) -> tuple[Arrays, Arrays]:
        """Of sums the sums of the gradients of their units, so many units of a pass."""
        by_name = {made.name: made for made in self.sums}
        parts = [
            (target, unit, weight)
            for target, selector in enumerate(selectors)
            for unit, weight in _parts(by_name.get(selector.head))
        ]
        outputs, gradients = Arrays(), Arrays()
        for start in range(0, len(parts), _UNITS_AT_ONCE):
            some = parts[start : start + _UNITS_AT_ONCE]
            outputs, found = ask([_asked(selectors[target], unit, by_name) for target, unit, _ in some])
            for name, values in found.items():
                if name not in gradients:
                    gradients[name] = np.zeros((len(selectors), *values.shape[1:]), values.dtype)
                for (target, _, weight), one in zip(some, values, strict=True):
                    gradients[name][target] += one if weight == 1.0 else (weight * one).astype(one.dtype)
        return self.outputs(outputs), gradients


def _parts(made: SumOfUnits | None) -> Sequence[tuple[int | None, float]]:
    """The units of a sum and their weights; of another head the unit that is asked for anyway."""
    return [(None, 1.0)] if made is None else list(zip(made.units, made.weights, strict=True))


def _asked(selector: Selector, unit: int | None, by_name: Mapping[str, SumOfUnits]) -> Selector:
    if unit is None:
        return selector
    return replace_head(selector, by_name[selector.head].head, unit)


def replace_head(selector: Selector, head: str, unit: int) -> Selector:
    """One unit of another head, for the same rows."""
    return selector._replace(head=head, units=np.full(len(selector.units), unit, dtype=np.int64), unit=unit)


def _summed(made: SumOfUnits, values: Array) -> Array:
    flat = np.asarray(values, np.float64).reshape(len(values), -1)[:, list(made.units)]
    total = flat @ np.array(made.weights) + made.offset
    return np.asarray(total[:, None]).astype(values.dtype if values.dtype.kind == "f" else np.float32)
