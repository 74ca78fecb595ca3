"""Groups read off what pandas made of categories; nothing is guessed that the values contradict."""

import pandas as pd
import pytest

import xai_mimo as xm
from xai_mimo.core.errors import BadSetting, BadValues, UnknownName

pytestmark = pytest.mark.all_frameworks

TABLE = pd.DataFrame({"day": ["Mon", "Tue", "Mon"], "heat": [21.5, 19.0, 18.0], "sky": ["blue", "grey", "grey"]})


@pytest.mark.parametrize("sep", ["_", "="])
def test_columns_of_each_category_are_found_by_their_prefix(sep):
    hires = pd.get_dummies(TABLE, prefix_sep=sep, dtype=float)
    groups = xm.groups_of_dummies(hires, ["day", "sky"], sep=sep)
    assert groups == {"day": (f"day{sep}Mon", f"day{sep}Tue"), "sky": (f"sky{sep}blue", f"sky{sep}grey")}
    stream = xm.Stream("hire", (5,), features=tuple(hires.columns), groups=groups)
    assert stream.variables == ("heat", "day", "sky")


def test_a_level_may_have_been_dropped_and_columns_may_be_booleans():
    hires = pd.get_dummies(TABLE, drop_first=True)
    assert xm.groups_of_dummies(hires, ["day"]) == {"day": ("day_Tue",)}


@pytest.mark.parametrize(
    ("extra", "categories", "error", "text"),
    [
        ({}, ["dya"], UnknownName, "no column is called 'dya_...'"),
        ({"day_length": [12.0, 12.1, 12.2]}, ["day"], BadValues, "'day_length' holds other values than 0 and 1"),
        ({"day_off": [1, 0, 0]}, ["day"], BadValues, "row 0 has two levels of the category 'day', day_Mon and day_off"),
        ({"day_a_b": [0, 0, 0]}, ["day", "day_a"], BadSetting, "may be of the category 'day' or of 'day_a'"),
    ],
)
def test_what_cannot_be_told_is_refused(extra, categories, error, text):
    hires = pd.get_dummies(TABLE, dtype=float).assign(**extra)
    with pytest.raises(error, match=text):
        xm.groups_of_dummies(hires, categories)
