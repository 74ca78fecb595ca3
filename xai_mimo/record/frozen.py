"""Values that stay as they are: what a row of the record is made of."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

Value = TypeVar("Value")


class FrozenMapping(Mapping[str, Value]):
    """A mapping that cannot be changed; unlike the standard library's proxy it can be pickled and copied."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, Value]) -> None:
        self._items = dict(items)

    def __getitem__(self, key: str) -> Value:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return repr(self._items)


def frozen(value: Any) -> Any:
    """The same value with tuples for lists and read-only mappings for dictionaries, however deep.

    Numbers and arrays of NumPy become Python's, which JSON can hold.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"must be finite; is {value}")
        return float(value)
    if isinstance(value, list | tuple):
        # Nested arrays hold hundreds of thousands of numbers: a list of nothing but floats is checked in one go.
        if set(map(type, value)) == {float} and all(map(math.isfinite, value)):
            return tuple(value)
        return tuple(map(frozen, value))
    if isinstance(value, Mapping) and not isinstance(value, FrozenMapping):
        return FrozenMapping({str(key): frozen(part) for key, part in value.items()})
    if hasattr(value, "tolist"):  # of NumPy, which this file does without
        return frozen(value.tolist())
    return value


def thawed(value: Any) -> Any:
    """The same value as JSON knows it, free to be changed: the inverse of ``frozen``."""
    if isinstance(value, list | tuple):
        return [v if type(v) is float else thawed(v) for v in value]
    if isinstance(value, Mapping):
        return {key: thawed(part) for key, part in value.items()}
    return value


def shape_of(value: Any) -> tuple[int, ...]:
    """Lengths of tuples of numbers within tuples, equal at each level.

    Raises:
        ValueError: what lies inside is no number, or the lengths differ.
    """
    if not isinstance(value, tuple):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"must be finite numbers, or lists of them; holds {value!r}")
        return ()
    if set(map(type, value)) == {float}:
        return (len(value),)
    shapes = set(map(shape_of, value))
    if len(shapes) > 1:
        raise ValueError(f"must be a regular array; holds parts of the shapes {sorted(shapes)}")
    return (len(value), *(shapes.pop() if shapes else ()))
