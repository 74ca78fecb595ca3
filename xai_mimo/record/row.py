"""What all rows of the record share: nothing in them can be changed, numbers are finite, None has its reason."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, ClassVar

from xai_mimo.core.errors import SchemaError
from xai_mimo.record.frozen import frozen, shape_of, thawed

Nested = Annotated[Any, "nested lists of numbers"]
"""A number, or tuples of numbers of any depth, regular like an array; 8 significant digits."""

ABSENT = "absent when None"  # an attribute that came later than the schema: the file has no such key for None


class Row:
    """What all rows share: nothing inside can be changed, and every number is finite."""

    # Read by pydantic at the door: a number in quotes is an error, not a number.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"strict": True, "allow_inf_nan": False, "extra": "ignore"}

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:  # type: ignore[attr-defined]
            value = getattr(self, name)
            if isinstance(value, str | int | None):
                continue
            try:
                object.__setattr__(self, name, frozen(value))
            except ValueError as err:
                raise SchemaError(f"{type(self).__name__}.{name} {err}") from err


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
