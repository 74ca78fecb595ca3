"""What a metric gave, checked once: every number that goes on into scores, differences and the record is what it says.

A metric may be somebody else's, so nothing is believed: a text in place of a number, an infinite value or a second
quantity of the same name would otherwise be noticed far from here, or not at all.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np

from xai_mimo.core.errors import MetricFailed
from xai_mimo.core.streams import Array
from xai_mimo.metrics.aligned_maps import AlignedMaps
from xai_mimo.metrics.metric import Bounds, Metric, Quantity, held_against, is_tested, number_of
from xai_mimo.record.words import RANDOM, Role

# Values may pass a bound by what rounding does to them in float32.
_ROUNDING = 1e-5


def checked(quantities: Sequence[Any], metric: Metric, maps: AlignedMaps) -> list[Quantity]:
    """The quantities of one metric, numbers as Python and NumPy's float64 hold them.

    Raises:
        MetricFailed: one is not what ``Quantity`` says; the metric is named.
    """
    known: dict[tuple[object, ...], Quantity] = {}
    for quantity in quantities:
        wrong = (
            _wrong_words(quantity, maps)
            or _wrong_values(quantity, metric.bounds, maps.rows)
            or _wrong_test(quantity, metric)
        )
        if wrong:
            raise _failed(metric, wrong)
        plain = _plain(quantity)
        key = (plain.method, plain.other, plain.target, plain.role, plain.k)
        if key in known:
            raise _failed(metric, f"two quantities of {_named(plain)}, of which the record holds one")
        known[key] = plain
    for plain in known.values():
        chance = known.get((plain.method, None, plain.target, "floor_random", plain.k))
        if plain.p is not None and (chance is None or chance.values is None or not chance.exact):
            raise _failed(metric, f"a p-value of {_named(plain)} without an exact floor_random, which is what it tests")
    return list(known.values())


def _failed(metric: Metric, wrong: str) -> MetricFailed:
    return MetricFailed(f"metric '{metric.name}' gave {wrong}. See xai_mimo.metrics.metric.Quantity.")


def _named(quantity: Quantity) -> str:
    other = "" if quantity.other is None else f" and '{quantity.other}'"
    size = "" if quantity.k is None else f", k={quantity.k}"
    return f"'{quantity.method}'{other} for '{quantity.target}' (role '{quantity.role}'{size})"


def _wrong_words(quantity: Any, maps: AlignedMaps) -> str:
    """What is wrong with whatever is no value, "" for nothing."""
    if not isinstance(quantity, Quantity):
        return f"a {type(quantity).__name__}, not a Quantity"
    for label in (quantity.method, *([] if quantity.other is None else [quantity.other])):
        if label not in (*maps.labels, RANDOM):
            return f"a quantity of the method {label!r}, which is none of {', '.join(maps.labels)}"
    if quantity.target not in maps.heads:
        return f"a quantity of the target {quantity.target!r}, which is none of {', '.join(maps.heads)}"
    if quantity.role not in get_args(Role):
        return f"the role {quantity.role!r}, which is none of {', '.join(get_args(Role))}"
    k: Any = quantity.k
    if k is not None and (not isinstance(k, int | np.integer) or isinstance(k, bool)):
        return f"k={k!r}; expected a whole number of features, or None"
    if not isinstance(quantity.note, str):
        return f"the note {quantity.note!r}; expected text"
    return ""


def _wrong_values(quantity: Quantity, bounds: Bounds, rows: int) -> str:
    """What is wrong with the values, "" for nothing."""
    if quantity.values is None:
        return "" if quantity.note else "a quantity without values and without a note that says why"
    shape = np.shape(quantity.values)
    if shape[:1] != (rows,) or (quantity.of_mean is None and len(shape) != 1):
        return f"values of shape {shape}; expected one value for each of the {rows} rows"
    values = np.asarray(quantity.values)
    if values.dtype.kind not in "biuf":
        return f"values of type {values.dtype} for {_named(quantity)}; expected real numbers"
    if np.isinf(values).any():
        return f"values that are infinite for {_named(quantity)}; NaN says that a row has none"
    numbers = _numbers(quantity, values.astype(np.float64))
    if np.isinf(numbers).any():
        return f"a number that is infinite for {_named(quantity)}; NaN says that there is none"
    return _out_of_bounds(quantity, numbers[~np.isnan(numbers)], bounds)


def _wrong_test(quantity: Quantity, metric: Metric) -> str:
    """What is wrong with a quantity that is tested, or that brings its own test; "" for nothing."""
    p: Any = quantity.p
    if p is not None:
        if not isinstance(p, float | int | np.floating | np.integer) or isinstance(p, bool) or not 0 <= p <= 1:
            return f"the p-value {p!r} of {_named(quantity)}; expected a number from 0 to 1, or None"
        if quantity.role != "value" or quantity.other is not None or quantity.values is None or not quantity.note:
            return f"a p-value of {_named(quantity)}, which only a method's own value has, with a note on what it tests"
        if np.isnan(number_of(quantity)):
            return f"a p-value of {_named(quantity)}, which has no value in any row"
        if "controls" not in held_against(metric):
            return f"a p-value of {_named(quantity)} and is not tested against 'controls', so that it would be lost"
    if is_tested(metric) and quantity.k is not None:
        return f"{_named(quantity)} though it is tested, of which differences hold one"
    if is_tested(metric) and quantity.of_mean is not None and quantity.role == "value" and p is None:
        return f"{_named(quantity)} as a number about the mean though it is tested row by row; give its p-value"
    return ""


def _numbers(quantity: Quantity, values: Array) -> Array:
    """The values, or the one number that they give together."""
    if quantity.of_mean is None:
        return values
    return np.atleast_1d(np.asarray(quantity.of_mean(values.mean(axis=0)[None]), np.float64))


def _out_of_bounds(quantity: Quantity, numbers: Array, bounds: Bounds) -> str:
    if not numbers.size:
        return ""
    smallest, largest = float(numbers.min()), float(numbers.max())
    low, high = (None if b is None else float(b) for b in bounds)
    below = low is not None and smallest < low - _ROUNDING * max(1.0, abs(low))
    above = high is not None and largest > high + _ROUNDING * max(1.0, abs(high))
    if not below and not above:
        return ""
    return f"values from {smallest:.3g} to {largest:.3g} for {_named(quantity)}; its bounds are {bounds}"


def _plain(quantity: Quantity) -> Quantity:
    return dataclasses.replace(
        quantity,
        k=None if quantity.k is None else int(quantity.k),
        p=None if quantity.p is None else float(quantity.p),
        values=None if quantity.values is None else np.asarray(quantity.values, np.float64),
    )
