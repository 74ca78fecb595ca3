"""Whether a value is of the type that an attribute of a row declares: for rows that are made in code."""

import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

Fits = Callable[[Any], bool]

_ACCEPTED: dict[Any, tuple[type, ...]] = {float: (float, int), int: (int,), str: (str,), bool: (bool,)}
_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", type(None): "None"}


def fits(hint: Any) -> Fits | None:
    """A function that says whether a frozen value is of a type; None where anything is."""
    origin, parts = get_origin(hint), get_args(hint)
    if hint is Any:
        return None
    if origin is Annotated:  # all whole numbers with a name are counts
        return (lambda value: type(value) is int and value >= 0) if parts[0] is int else fits(parts[0])
    if origin is Literal:
        return parts.__contains__
    if origin in (Union, types.UnionType):
        return _any_of([fits(part) for part in parts])
    if origin is tuple:
        return _tuple_of(fits(parts[0]), None if parts[1:] == (...,) else len(parts))
    if origin is not None and issubclass(origin, Mapping):
        return _values_of(fits(parts[1]))
    accepted = _ACCEPTED.get(hint)
    if accepted is None:
        return lambda value: isinstance(value, hint)
    return lambda value: type(value) in accepted  # exactly: True is no whole number here


def in_words(hint: Any) -> str:
    """A type as an error says it."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return f"a {parts[1]}"
    if origin is Literal:
        return "one of " + ", ".join(map(repr, parts))
    if origin in (Union, types.UnionType):
        return " or ".join(map(in_words, parts))
    if origin is tuple:
        return f"a list, each {in_words(parts[0])}"
    if origin is not None and issubclass(origin, Mapping):
        return f"a mapping of names, each to {in_words(parts[1])}"
    return _WORDS.get(hint) or ("anything" if hint is Any else f"a {hint.__name__}")


def _any_of(tests: list[Fits | None]) -> Fits | None:
    present = [test for test in tests if test is not None]
    return None if len(present) < len(tests) else lambda value: any(test(value) for test in present)


def _tuple_of(test: Fits | None, length: int | None) -> Fits:
    def tuple_of(value: Any) -> bool:
        is_tuple = isinstance(value, tuple) and length in (None, len(value))
        return is_tuple and (test is None or all(map(test, value)))

    return tuple_of


def _values_of(test: Fits | None) -> Fits:
    return lambda value: isinstance(value, Mapping) and (test is None or all(map(test, value.values())))
