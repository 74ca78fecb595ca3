"""What a metric is: facts on the class, and one call on a ``Scene`` that gives values per row.

A metric never makes a row of the record, an interval or a p-value: it says what it measured of which method, target and
row, and the comparison does the rest, for a plugin's metric as for ours. To write one: a frozen dataclass with these
facts, and a line in ``pyproject.toml`` under ``[project.entry-points."xai_mimo.metrics"]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np

from xai_mimo.core.streams import Array
from xai_mimo.record.words import Better, Family, Role

if TYPE_CHECKING:
    from xai_mimo.metrics.scene import Scene

Bounds = tuple[float | None, float | None]
"""The smallest and the largest value there can be; None where there is no bound."""

Need = Literal[
    "two methods",
    "two features",
    "few features",
    "correlated features",
    "truth",
    "regions",
    "positions",
    "classes",
    "baseline",
    "real values",
    "random weights",
]
"""What a comparison must hold for a metric to apply; ``Scene.lacks`` says in words why it does not."""

Against = Literal["methods", "controls"]
"""What a metric is tested against: the other methods, or what a map scores that says nothing."""


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """Values per row of one method (or a pair of methods) for one target.

    Attributes:
        method: its label, or "random" for the control.
        target: name of the target.
        values: ``(sample,)``, NaN where a row has none; None where nothing could be measured, and then the note says
            why. With ``of_mean``, ``(sample, ...)``.
        role: the value itself; a floor (what a random map or the map permuted gives); the ceiling (the method against
            itself); or the control (a random order or map in the method's place).
        other: label of the other method, where two are compared.
        k: number of features that it looks at, where it does not look at all.
        note: what else to know.
        exact: whether the values are known without error, as chance is: they get no interval.
        of_mean: where the quantity is a number about the mean over rows and not a mean of numbers of rows:
            ``(draw, ...)`` -> ``(draw,)``, for some means at once.
        p: of a metric that tests its number itself, because that is uncertain over something else than rows (features,
            say): two-sided, that the value is only by chance another than its exact ``floor_random``. Then no interval
            over rows is made, and the note says what was tested.
    """

    method: str
    target: str
    values: Array | None
    role: Role = "value"
    other: str | None = None
    k: int | None = None
    note: str = ""
    exact: bool = False
    of_mean: Callable[[Array], Array] | None = None
    p: float | None = None


@runtime_checkable
class Metric(Protocol):
    """Facts on the class and one call; frozen settings, if it has any, are fields of the dataclass.

    Attributes:
        name: of the entry point and in the record.
        family: one of the families of the record.
        title: its name as reports write it.
        better: which values speak for a method: "larger", "smaller" or "neither".
        bounds: see ``Bounds``.
        reference: BibTeX key of its source, "" for none.

    Facts that may be left out: ``bibtex``, the entry itself, needed where the key is none of ours (default "");
    ``needs``, a tuple of ``Need`` (default none); ``by_default``, whether ``compare(metrics=None)`` runs it where it
    applies: False for one that explains again and so costs much more than the rest (default True); ``tested``, what the
    record's differences hold a method against by this metric, a tuple of ``Against`` (default none; True for both):

    - "controls": exact chance (a ``floor_random`` with ``exact``), else the random control; and the method's own map
      permuted (a ``floor_permuted``). The verdict on a map rests on these tests alone.
    - "methods": every other method, pair by pair, to rank them. Ours of ground truth leave it out: where the truth is
      known, a map is right or wrong by itself, and each metric adds pairs that Holm's correction makes all others pay
      for.
    """

    name: ClassVar[str]
    family: ClassVar[Family]
    title: ClassVar[str]
    better: ClassVar[Better]
    bounds: ClassVar[Bounds]
    reference: ClassVar[str]

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Iterable[Quantity]:
        """Measure all methods and targets.

        Args:
            scene: what there is to score.
            rng: of this metric alone: its numbers do not depend on which other metrics run.
        """


def needs_of(metric: Metric | type[Metric]) -> tuple[Need, ...]:
    """What a comparison must hold for the metric to apply."""
    return tuple(getattr(metric, "needs", ()))


def runs_by_default(metric: Metric | type[Metric]) -> bool:
    """Whether ``compare(metrics=None)`` runs it where it applies."""
    return bool(getattr(metric, "by_default", True))


def held_against(metric: Metric | type[Metric]) -> tuple[Against, ...]:
    """What the record's differences hold a method against by this metric; () for nothing."""
    tested: bool | tuple[Against, ...] = getattr(metric, "tested", ())
    if isinstance(tested, bool):
        return ("methods", "controls") if tested else ()
    return tuple(tested)


def is_tested(metric: Metric | type[Metric]) -> bool:
    """Whether the record's differences hold a method against anything by this metric."""
    return bool(held_against(metric))


def may_be_hits(metric: Metric | type[Metric]) -> bool:
    """Whether the metric's values are misses and hits where they are 0 or 1 in every row."""
    return metric.bounds == (0, 1)


def number_of(quantity: Quantity) -> float:
    """The one number that a quantity's values give: their mean, or what ``of_mean`` makes of it; NaN without any."""
    values = np.asarray(np.nan if quantity.values is None else quantity.values, dtype=np.float64)
    if quantity.of_mean is not None:
        return float(np.asarray(quantity.of_mean(values.mean(axis=0)[None]))[0])
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
