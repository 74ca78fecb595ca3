"""What a method is: frozen settings that can be called on a model."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from xai_mimo.core.errors import BadSetting
from xai_mimo.core.interactions import Interactions
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.named_values import NamedValues
from xai_mimo.core.progress import Advance, silent
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector

# No setting that counts is larger: what it asks for would never end.
_MOST = 2**31 - 1


@dataclass(frozen=True)
class Attribution:
    """What a method returns for a block of rows.

    Attributes:
        values: ``{stream: (target, sample, *shape)}``; ``(target, sample, last axis)`` where whole series or channels
            are the players, ``(target, sample)`` where whole streams are.
        prediction: ``(target, sample)``, the explained values.
        baseline_prediction: ``(target, sample)``, the mean of the target over the baselines; None where the method
            has no baseline, and then no completeness gap is reported.
        standard_error: like ``values``, for methods that sample; else None.
        diagnostics: further ``(target, sample)`` arrays, e.g. ``evaluations``, ``converged``.
        signed: whether negative values mean "speaks against"; False for attention.
        reference: BibTeX key where the source depends on the model (on the layer that was read), else "": the method's.
        unexplained: streams that the method says nothing of: zeros there do not mean that a head reads nothing of them.
        draws: ``(target, sample)``, how many independent draws each standard error is the scatter of, at least 2; None
            where nothing was drawn (standard errors of exact values are 0), or where they come from no such scatter.
        players: what players with names of their own were given; ``values`` then hold it divided evenly among the
            values of each, so that sums stay. None where players have no names.
        interactions: what players do together, of a method for ``xai_mimo.interactions``, whose ``values`` are empty;
            None for all others.
    """

    values: Arrays
    prediction: Array
    baseline_prediction: Array | None = None
    standard_error: Arrays | None = None
    diagnostics: Mapping[str, Array] = field(default_factory=dict)
    signed: bool = True
    reference: str = ""
    unexplained: tuple[str, ...] = ()
    draws: Array | None = None
    players: NamedValues | None = None
    interactions: Interactions | None = None


@dataclass(frozen=True)
class Whole:
    """What the part behind a cut is a part of, for methods that start at the model's own inputs.

    Attributes:
        model: that reads the data. inputs: the same rows as it reads them. background: likewise.
    """

    model: Model
    inputs: Arrays
    background: Arrays

    def of(self, rows: Array) -> "Whole":
        """The same with some of the rows, by their numbers."""
        return replace(self, inputs={name: x[rows] for name, x in self.inputs.items()})


@dataclass(frozen=True)
class Context:
    """What a method is handed beside the model and the rows.

    Attributes:
        rng: the only source of randomness.
        background: rows that stand for "nothing known", ``{stream: (row, *shape)}``.
        max_memory: bytes that intermediate arrays of the method may take.
        advance: called with the number of rows (or a fraction) just finished.
        layer: where the model is the part behind a cut, the layer whose inputs it reads; else None.
        first_row: number in the data of the first row of the block, for error texts.
        places: ``(row,)``, where in the block the rows stand, if they are not all of it.
        whole: where the model is the part behind a cut of ``explain``: the model before it was cut; else None.
    """

    rng: np.random.Generator
    background: Arrays
    max_memory: int = 2**29
    advance: Advance = silent
    layer: str | None = None
    first_row: int = 0
    places: Array | None = None
    whole: Whole | None = None

    def row_number(self, row: int) -> int:
        """The number in the data of a row that the method is handed, for error texts."""
        return self.first_row + (row if self.places is None else int(self.places[row]))

    def chunk(self, bytes_per_item: int, at_most: int = 65_536) -> int:
        """How many items of this size fit into the memory allowed; at least one."""
        return int(max(1, min(at_most, self.max_memory // max(1, bytes_per_item))))


@runtime_checkable
class Method(Protocol):
    """Frozen settings with a pure function behind them; a dataclass, so that settings can be recorded.

    ``name`` is the entry-point name; ``reference`` a BibTeX key, or "".

    Facts that may be left out: ``bibtex``, the BibTeX entry itself, needed where the key is none of ours (default "");
    ``needs``, the protocols of ``core.model`` that a model must meet, a tuple (default none: predictions are enough);
    ``speaks_of``, "attribution" where the maps say what the present value did, "sensitivity" where they say what
    happens when the feature grows, as a gradient does (default "attribution"; see ``core.speaks_of``).
    """

    name: ClassVar[str]
    reference: ClassVar[str]

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Explain the selected targets for these rows (already checked)."""


def needs_of(method: Method | type[Method]) -> tuple[type[Model], ...]:
    """The protocols that a model must meet for a method to explain it."""
    return tuple(getattr(method, "needs", ()))


def bibtex_of(cited: object) -> str:
    """The BibTeX entry that a method or metric brings, "" where its key is one of ours."""
    return str(getattr(cited, "bibtex", ""))


def bytes_per_row(arrays: Mapping[str, Array]) -> int:
    """Memory of one row over all streams."""
    return int(sum(a.itemsize * int(np.prod(a.shape[1:], dtype=np.int64)) for a in arrays.values()))


def positive(value: Any, what: str) -> None:
    """Raise ``BadSetting`` unless a setting is a finite number above zero."""
    if not is_number(value) or not value > 0:
        raise BadSetting(f"{what} must be a number above 0; got {value!r}.")


def whole(value: Any, what: str) -> None:
    """Raise ``BadSetting`` unless a setting is a whole number of at least one."""
    if not is_number(value) or value < 1 or value != int(value) or value > _MOST:
        raise BadSetting(f"{what} must be a whole number of at least 1{_limit(value)}; got {value!r}.")
    if not isinstance(value, Integral):  # where things are counted out, a float is no number of them
        raise BadSetting(
            f"{what} must be a whole number of at least 1; got {value!r}, a {type(value).__name__}. Give {int(value)}."
        )


def _limit(value: Any) -> str:
    return f" and at most {_MOST}" if is_number(value) and value > _MOST else ""


def is_number(value: Any) -> bool:
    """Whether a value is one finite number, of Python or NumPy, and no truth value."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    return isinstance(value, int) or math.isfinite(value)


def one_of(value: Any, choices: Iterable[str], what: str) -> None:
    """Raise ``BadSetting`` unless a setting is one of these words."""
    words = list(choices)
    if not isinstance(value, str) or value not in words:
        raise BadSetting(f"{what} {value!r} is not one of {', '.join(words)}.")


def flag(value: Any, what: str) -> None:
    """Raise ``BadSetting`` unless a setting is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise BadSetting(f"{what} must be True or False; got {value!r}.")


def name_or_none(value: Any, what: str) -> None:
    """Raise ``BadSetting`` unless a setting is a name, or None."""
    if value is not None and not isinstance(value, str):
        raise BadSetting(f"{what} must be a name, or None; got {value!r}.")
