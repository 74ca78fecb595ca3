"""What all rows of the record share: nothing in them can be changed, numbers are finite, None has its reason."""

import functools
from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, ClassVar, get_type_hints

from xai_mimo.core.errors import SchemaError
from xai_mimo.record.frozen import frozen, shape_of, thawed
from xai_mimo.record.types_of_values import Fits, fits, in_words

Nested = Annotated[Any, "nested lists of numbers"]
"""A number, or tuples of numbers of any depth, regular like an array; 8 significant digits."""

Count = Annotated[int, "whole number of at least 0"]
"""How many there are of something."""

ABSENT = "absent when None"  # an attribute that came later than the schema: the file has no such key for None


class Row:
    """What all rows share: nothing inside can be changed, and every number is finite."""

    # Read by pydantic at the door: a number in quotes is an error, not a number.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"strict": True, "allow_inf_nan": False, "extra": "ignore"}

    def __post_init__(self) -> None:
        row: Any = type(self)
        for name, (is_fit, hint) in _declared(row).items():
            value = getattr(self, name)
            if type(value) not in _UNCHANGED:
                try:
                    value = frozen(value)
                except ValueError as err:
                    raise SchemaError(f"{row.__name__}.{name} {err}") from err
                object.__setattr__(self, name, value)
            if is_fit is not None and not is_fit(value):
                raise SchemaError(
                    f"{row.__name__}.{name} must be {in_words(hint)}; got {_short(value)} "
                    f"({type(value).__name__}). Convert it first."
                )


_UNCHANGED = frozenset({str, int, bool, type(None)})


@functools.cache
def _declared(row: Any) -> dict[str, tuple[Fits | None, Any]]:
    """By attribute what says whether a value is of its type, and the type; worked out once for each type of row."""
    hints = get_type_hints(row, include_extras=True)
    return {f.name: (fits(hints[f.name]), hints[f.name]) for f in fields(row)}


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


class NotedRow(Row):
    """A row in which None always comes with a note."""

    _MAY_BE_NONE: ClassVar[tuple[str, ...]] = ()
    note: str

    def __post_init__(self) -> None:
        super().__post_init__()
        empty = [
            name
            for name in self.__dataclass_fields__  # type: ignore[attr-defined]
            if getattr(self, name) is None and name not in self._MAY_BE_NONE
        ]
        if empty and not self.note:
            raise SchemaError(f"{', '.join(empty)} is null without a note that says why")


class Picture(NotedRow):
    """Values over named axes: as many levels as axes, a label for each position along a labelled axis."""

    axes: tuple[str, ...]
    coords: Mapping[str, tuple[str, ...]]

    def _check_shape(self, values: Nested | None) -> None:
        if values is None:
            return
        shape = shape_of(values)
        if len(shape) != len(self.axes):
            raise SchemaError(f"the axes {list(self.axes)} do not fit values of shape {shape}")
        for key, labels in self.coords.items():
            axis = key.split(".", 1)[0]
            if axis not in self.axes or len(labels) != shape[self.axes.index(axis)]:
                raise SchemaError(
                    f"{len(labels)} labels of {key!r} do not fit the axes {list(self.axes)} of shape {shape}"
                )


def plain(value: Any) -> Any:
    """A row, or rows, as JSON knows them: dictionaries and lists, free to be changed."""
    if isinstance(value, Row):
        return {
            f.name: plain(getattr(value, f.name))
            for f in fields(value)  # type: ignore[arg-type]
            if not f.metadata.get(ABSENT) or getattr(value, f.name) is not None
        }
    if isinstance(value, tuple) and value and isinstance(value[0], Row):
        return [plain(row) for row in value]
    return thawed(value)
