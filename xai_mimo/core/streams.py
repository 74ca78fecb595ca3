"""Named input streams and heads, and the rules for their names."""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np

from xai_mimo.core.errors import (
    BadSetting,
    BadValues,
    DuplicateName,
    SchemaError,
    ShapeMismatch,
    UnknownName,
)
from xai_mimo.core.names import check_text, with_article

Array = np.ndarray[Any, Any]
HeadKind = Literal["regression", "binary", "multiclass", "multilabel", "ordinal", "quantile", "survival"]

RESERVED = frozenset(
    {"sample", "head", "unit", "explainer", "stream", "row", "label"}
    | {"prediction", "baseline_prediction", "completeness_gap"}
    | {"draws", "evaluations", "converged", "rounding_limited"}
)
_AXES_BY_RANK: dict[int, tuple[str, ...]] = {
    0: (),
    1: ("feature",),
    2: ("time", "feature"),
    3: ("height", "width", "channel"),
}
_WORDS: dict[Any, str] = {str: "str", object: "object"}


@dataclass(frozen=True)
class Stream:
    """A named input of a model.

    Attributes:
        name: unique among the streams; not one of ``RESERVED``.
        shape: without the batch axis; ``None`` for an axis of any length.
        dtype: what the model wants; integer dtypes mark streams that cannot be differentiated. "str" marks values
            that are words, such as categories or whole texts, "object" columns of words beside columns of numbers;
            arrays of both hold Python objects.
        axes: one word per axis; by default ``feature``, ``time, feature`` or ``height, width, channel``.
        features: names along the last axis; by default ``"0", "1", ...`` when its length is known.
        unit: physical unit of the values, "" when they have none or several.
        groups: features that stand for one thing, such as the 0/1 columns of one category, ``{"weekday": ("Mon",
            "Tue")}``: they are known, replaced and counted together. None by default; ``groups_of_dummies`` reads
            them off a data frame.
        ignored: columns that a data frame may have beside the features, and that the model does not read.
        held: whether no method changes it, such as a mask or lengths of sequences; see ``core.held_streams``.

    Example:
        >>> s = Stream("hire", (3,), features=("Mon", "Tue", "heat"), groups={"weekday": ["Mon", "Tue"]})
        >>> s.variables
        ('weekday', 'heat')
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str = "float32"
    axes: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    unit: str = ""
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)
    ignored: tuple[str, ...] = ()
    held: bool = False

    def __post_init__(self) -> None:
        _check_name(self.name, "input stream")
        object.__setattr__(self, "shape", tuple(self.shape))
        object.__setattr__(self, "ignored", tuple(map(str, self.ignored)))
        object.__setattr__(self, "dtype", _WORDS.get(self.dtype, self.dtype))
        rank = len(self.shape)
        axes = tuple(self.axes) or _AXES_BY_RANK.get(rank, tuple(f"axis{i}" for i in range(rank)))
        if len(axes) != rank:
            raise ShapeMismatch(
                f"input stream '{self.name}' has shape {self.shape} but {len(axes)} axis names {axes}; "
                "give one name per axis, without the batch axis."
            )
        check_unique(axes, f"axis of stream '{self.name}'")
        for axis in axes:
            check_text(axis, f"axis of stream '{self.name}'")
        check_text(self.unit, f"unit of stream '{self.name}'")
        object.__setattr__(self, "axes", axes)
        width = self.shape[-1] if rank else None
        features = tuple(str(f) for f in self.features)
        if not features and width is not None:
            features = tuple(str(i) for i in range(width))
        if features and width is not None and len(features) != width:
            raise ShapeMismatch(
                f"input stream '{self.name}' has {width} features on its last axis but {len(features)} feature "
                f"names {list(features)[:8]}; give one name per feature."
            )
        check_unique(features, f"feature of stream '{self.name}'")
        for feature in features:
            check_text(feature, f"feature of stream '{self.name}'")
        object.__setattr__(self, "features", features)
        object.__setattr__(
            self, "groups", _checked_groups({} if self.groups is None else self.groups, features, width, self.name)
        )

    @property
    def variables(self) -> tuple[str, ...]:
        """What the features stand for, each thing once: the groups, and the features of no group.

        In the order of their first features; the features themselves where there are no groups.
        """
        return tuple(dict.fromkeys(self._variable_of_each()))

    @property
    def variable_of(self) -> tuple[int, ...]:
        """For each feature the place of its variable among ``variables``."""
        places = {name: i for i, name in enumerate(self.variables)}
        return tuple(places[name] for name in self._variable_of_each())

    def _variable_of_each(self) -> list[str]:
        owner = {feature: group for group, features in self.groups.items() for feature in features}
        return [owner.get(feature, feature) for feature in self.features]

    def by_variable(self) -> "Stream":
        """This stream as maps see it in which each variable has one value; itself where there are no groups."""
        if not self.groups:
            return self
        names = self.variables
        return replace(self, shape=(*self.shape[:-1], len(names)), features=names, groups={})

    def plain(self) -> dict[str, Any]:
        """As JSON holds it; without what older files do not have either where there is none of it."""
        return {k: v for k, v in asdict(self).items() if v or k not in ("groups", "ignored", "held")}

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of this stream's dimensions in a dataset: the axis names behind the stream's own name."""
        return tuple(f"{self.name}_{axis}" for axis in self.axes)

    @property
    def size(self) -> int:
        """Number of values in one row; axes of unknown length count as 1."""
        return int(np.prod([n or 1 for n in self.shape], dtype=np.int64))

    @property
    def is_integer(self) -> bool:
        """Whether the model reads indices here (tokens, categories), which have no gradient."""
        return bool(np.issubdtype(np.dtype(self.dtype), np.integer))

    @property
    def holds_words(self) -> bool:
        """Whether values are words, or words in some columns and numbers in others: dtype "str" or "object"."""
        return self.dtype in ("str", "object")

    @property
    def has_own_names(self) -> bool:
        """Whether the features have names that somebody gave them, and not "0", "1", ... alone."""
        return self.features != tuple(str(i) for i in range(len(self.features)))


@dataclass(frozen=True)
class Head:
    """A named output of a model.

    Attributes:
        name: unique among the heads.
        shape: without the batch axis; ``()`` for one value per row. A head's *units* are its flattened values.
        kind: "regression", "binary", "multiclass", "multilabel", "ordinal", "quantile" or "survival"; decides the
            default target, what labels are, and how a head is scored (see ``core.head_kinds``).
        units: one name per unit, or per class of a head with classes at each step, ``(step, class)``; by default ``"0",
            "1", ...``. Units of several axes are called by their place on each, ``"11,wear"``.
        unit: what the values are measured in, e.g. "log-odds", "h"; "" when unknown.
        kind_from: where the kind was seen, e.g. "final softmax", "classes_" or "declared"; "" where nothing tells it
            and the head is taken for a quantity. Two heads that differ in this alone are equal.
        class_labels: of a head of classes, what labels call each class where they are not counted from 0, such as
            ``("no", "yes")`` or ``("3", "5", "7")``; of a binary head the second is its unit's.
    """

    name: str
    shape: tuple[int, ...] = (1,)
    kind: HeadKind = "regression"
    units: tuple[str, ...] = ()
    unit: str = ""
    kind_from: str = field(default="", compare=False)
    class_labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_name(self.name, "head", reserved=frozenset())
        object.__setattr__(self, "shape", tuple(self.shape))
        if self.kind not in get_args(HeadKind):
            *others, last = get_args(HeadKind)
            raise BadValues(f"head '{self.name}' has kind {self.kind!r}; expected {', '.join(others)} or {last}.")
        units = _unit_names(tuple(str(u) for u in self.units), self.shape)
        if len(units) != self.size:
            raise ShapeMismatch(
                f"head '{self.name}' of shape {self.shape} has {self.size} units but {len(units)} unit names."
            )
        check_unique(units, f"unit of head '{self.name}'")
        labels = tuple(str(label) for label in self.class_labels)
        if labels and len(labels) != max(self.classes, 2):
            raise ShapeMismatch(
                f"head '{self.name}' has {max(self.classes, 2)} classes but {len(labels)} labels; give each one."
            )
        check_unique(labels, f"label of a class of head '{self.name}'")
        for word in (*units, self.unit, self.kind_from, *labels):
            check_text(word, f"unit of head '{self.name}'")
        object.__setattr__(self, "units", units)
        object.__setattr__(self, "class_labels", labels)

    def plain(self) -> dict[str, Any]:
        """As JSON holds it; without ``kind_from`` and ``class_labels`` where they are empty."""
        return {k: v for k, v in asdict(self).items() if v or k not in ("kind_from", "class_labels")}

    @property
    def size(self) -> int:
        """Number of units."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def classes(self) -> int:
        """Number of units along the last axis: of classes, where there are some."""
        return self.shape[-1] if self.shape else 1

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names along the last axis: of the units, without their steps where those are the same at each."""
        first = self.units[: self.classes]
        if self.steps == 1:
            return first
        ends = tuple(name.rpartition(",")[2] for name in first)
        return ends if self.units == _unit_names(ends, self.shape) else first

    @property
    def steps(self) -> int:
        """Number of places along the axes before the last one: 1 for a head of one axis."""
        return int(np.prod(self.shape[:-1], dtype=np.int64))


def _unit_names(names: tuple[str, ...], shape: tuple[int, ...]) -> tuple[str, ...]:
    """One name per unit; where there are none, or one per class of several steps, by the place on each axis."""
    axes = [n for n in shape if n != 1]
    if len(axes) < 2:
        return names or tuple(str(i) for i in range(int(np.prod(shape, dtype=np.int64))))
    if names and len(names) != axes[-1]:
        return names
    ends = names or tuple(str(i) for i in range(axes[-1]))
    return tuple(",".join([*(str(i) for i in place), end]) for place in np.ndindex(*axes[:-1]) for end in ends)


def _check_name(name: str, what: str, reserved: frozenset[str] = RESERVED) -> None:
    if not isinstance(name, str) or not name.strip():
        raise DuplicateName(f"every {what} needs a name; got {name!r}.")
    check_text(name, what)
    if name in reserved:
        raise DuplicateName(
            f"'{name}' cannot name {with_article(what)}: results use that word. Rename it, e.g. '{name}_in'."
        )


def _checked_groups(groups: Any, features: Sequence[str], width: int | None, stream: str) -> dict[str, tuple[str, ...]]:
    """Groups with every name checked, in tuples.

    Raises:
        BadSetting: not a mapping, no features to group, or an empty group. UnknownName: a feature that there is not.
        DuplicateName: a feature in two groups, or a group with the name of a feature that is not its own.
    """
    if not isinstance(groups, Mapping) or any(isinstance(names, str) for names in groups.values()):
        raise BadSetting(
            f"the groups of input stream '{stream}' are a mapping {{group: [feature, ...]}}; got {groups!r}."
        )
    if groups and width is None:
        raise BadSetting(f"input stream '{stream}' has no last axis of known length, so it has no features to group.")
    checked = {str(group): tuple(str(f) for f in names) for group, names in groups.items()}
    check_unique((f for names in checked.values() for f in names), f"grouped feature of stream '{stream}'")
    for group, names in checked.items():
        check_text(group, f"group of features of stream '{stream}'")
        if not names:
            raise BadSetting(f"group '{group}' of input stream '{stream}' is empty; name its features or leave it out.")
        for name in names:
            if name not in features:
                raise unknown(name, features, f"feature of stream '{stream}'")
        if group in features and group not in names:
            raise DuplicateName(
                f"group '{group}' of input stream '{stream}' has the name of a feature that is not in it; rename the "
                "group."
            )
    return checked


def names_in_results(stream: Stream) -> list[tuple[str, str]]:
    """What an explanation calls the things it has of a stream: names, and what they name in words."""
    return [
        (stream.name, f"input stream '{stream.name}'"),
        *((dim, f"axis '{axis}' of '{stream.name}'") for dim, axis in zip(stream.dims, stream.axes, strict=True)),
        (f"{stream.name}_standard_error", f"the standard errors of '{stream.name}'"),
    ]


def check_together(streams: Iterable[Stream]) -> None:
    """Refuse streams of which results would call two things by one name, so that one would overwrite the other.

    Raises:
        DuplicateName: e.g. a stream "a_standard_error" or "a_feature" beside a stream "a".
    """
    taken: dict[str, str] = {}
    for stream in streams:
        for name, what in names_in_results(stream):
            other = taken.get(name, "a word of their own" if name in RESERVED else "")
            if other:
                raise DuplicateName(
                    f"results would call two things '{name}': {other} and {what}. Rename a stream or an axis."
                )
            taken[name] = what


def check_unique(names: Iterable[str], what: str) -> None:
    """Raise ``DuplicateName`` when a name occurs twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DuplicateName(f"two {what}s are called '{name}'; names must be unique.")
        seen.add(name)


def pair_names(
    names: Sequence[str], others: Sequence[str], asked: Sequence[str] | None = None
) -> dict[str, str] | None:
    """Which of the others each name goes with: the equal one; the one in its place where no two are equal.

    Args:
        names: e.g. heads of a model. others: e.g. those of one of its layers.
        asked: the names that are of interest; default all.
    Returns:
        ``{asked name: other name}``; None where some names agree and not all, or there are not as many.
    """
    asked, shared = list(names if asked is None else asked), set(names) & set(others)
    if set(asked) <= shared:
        return {name: name for name in asked}
    if not shared and len(names) == len(others):
        return {name: others[list(names).index(name)] for name in asked}
    return None


def unknown(name: str, existing: Iterable[str], what: str) -> UnknownName:
    """The error for a name that does not exist, with the nearest one that does."""
    names = [str(k) for k in existing]
    close = difflib.get_close_matches(str(name), names, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return UnknownName(f"no {what} is called '{name}'; there are: {', '.join(names) or 'none'}.{hint}")


def name_values(values: Any, names: Sequence[str], what: str) -> dict[str, Any]:
    """Give each of several values its declared name.

    Args:
        values: a mapping with exactly these names, a list or tuple in declared order, or one value for one name.
        names: the declared names.
        what: the noun for error texts, e.g. "input stream".
    Returns:
        The values by name, in declared order, untouched.
    Raises:
        UnknownName: a name is missing or not declared. ShapeMismatch: the number of values differs.
    """
    if isinstance(values, Mapping):
        for name in values:
            if name not in names:
                raise unknown(name, names, what)
        missing = [name for name in names if name not in values]
        if missing:
            raise UnknownName(
                f"{what} '{missing[0]}' is missing; got {', '.join(map(str, values)) or 'nothing'}, "
                f"expected {', '.join(names)}."
            )
        return {name: values[name] for name in names}
    if isinstance(values, list | tuple):
        if len(values) != len(names):
            raise ShapeMismatch(
                f"expected {len(names)} values, one per {what} ({', '.join(names)}); got a {type(values).__name__} "
                f"of {len(values)}. One array for a single {what} needs no list around it."
            )
        return dict(zip(names, values, strict=True))
    if len(names) != 1:
        raise ShapeMismatch(
            f"expected a mapping or a list with one array per {what} ({', '.join(names)}); "
            f"got one {type(values).__name__}."
        )
    return {names[0]: values}


def described_names(attrs: Mapping[Any, Any]) -> list[str]:
    """Names of the streams that the attributes of an explanation describe, in the model's order.

    Raises:
        SchemaError: they describe none.
    """
    try:
        return [s["name"] for s in json.loads(attrs["streams"])]
    except (KeyError, TypeError, ValueError) as err:
        raise SchemaError("the dataset's attribute 'streams' is missing or is not JSON.") from err
