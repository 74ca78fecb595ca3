"""Values of the wrong type or out of range, for every argument of a door."""

import dataclasses
import datetime
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 3, 10**30, 0.0, 0.5, 1.5, -2.5, math.nan, math.inf, 1j,
    "", "x", "2048", "y", "label", "\ud800", b"x", [], [3], ["x"], [None], [[]], [1, "a"], [[1], [2, 3]], (), (1, 2),
    ("y", 0), ("y", "x"), ("y", None), {}, {"x": 1}, {"y": 0}, {1: 2}, {"u": "a"}, {"y": ["u"]}, {"y": {"u": ["0"]}},
    set(), {1}, frozenset({"u"}), object(), int, len, lambda: None, lambda a, b: a, Ellipsis, slice(3), range(3),
    np.int64(2), np.float64(0.5), np.bool_(True), np.array(3), np.array([1.0, np.nan]), np.zeros((2, 0)), np.ones((5, 3)),
    np.array(["a", "b"]), np.array([1, None]), np.zeros((1, 1, 1, 1)), np.ma.masked_array([1.0], [True]),
    pd.DataFrame({"a": [1.0, 2.0]}), pd.DataFrame(), pd.Series([1.0]), pd.NA, pd.NaT, Decimal("1.5"), Path("."),
    datetime.date(2020, 1, 1), np.datetime64("2020-01-01"), Exception("x"), iter(()), print,
)  # fmt: skip

anything = st.one_of(
    st.sampled_from(VALUES),
    st.integers(-(10**6), 10**6),
    st.floats(),
    st.text(max_size=6),
    st.binary(max_size=3),
    st.recursive(
        st.sampled_from(VALUES) | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=5,
    ),
)
"""Values of any kind."""


def fields_of(settings: Any) -> tuple[str, ...]:
    """Names of the settings of a frozen dataclass."""
    return tuple(field.name for field in dataclasses.fields(settings) if field.init)
