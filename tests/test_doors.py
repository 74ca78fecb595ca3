"""Whatever is handed to a door, the answer is a result or an error of ours that names the argument.

Small in the suite; ``make fuzz`` tries as many values as XAI_MIMO_FUZZ says.
"""

import os
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import xai_mimo as xm
from tests.helpers import toys
from tests.helpers.junk import VALUES, anything, fields_of
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.errors import MissingDependency, XaiMimoError
from xai_mimo.core.plugins import plugins

pytestmark = pytest.mark.all_frameworks

# Each of the three doors gets a third.
TRIES = int(os.environ.get("XAI_MIMO_FUZZ", "180")) // 3
tried = settings(
    max_examples=TRIES,
    deadline=None,
    database=None,
    derandomize="XAI_MIMO_FUZZ" not in os.environ,
    suppress_health_check=list(HealthCheck),
)

MODEL = toys.mlp("tanh", streams={"u": 3}, heads={"y": 1})
ROWS = np.random.default_rng(0).normal(size=(5, 3))
QUICK = Settings(resamples=200, ceilings=False)

# Words of which one stands in the error for each argument; its own name where none is listed.
EXPLAIN = {
    "x": ("input stream", "rows", "batch"),
    "method": ("method",),
    "targets": ("target", "head", "unit"),
    "labels": ("label", "head"),
    "background": ("background",),
    "background_rows": (),
    "at": ("at=", "layer"),
    "seed": (),
    "max_memory": (),
    "rows_per_block": (),
    "store": (),
    "engine": (),
    "progress": (),
}
COMPARE = {
    "x": EXPLAIN["x"],
    "methods": ("method",),
    "metrics": ("metric",),
    "labels": EXPLAIN["labels"],
    "truth": ("truth", "head", "stream", "feature", "region"),
    "vocabulary": ("vocabulary", "stream"),
    "targets": EXPLAIN["targets"],
    "background": ("background",),
    "at": EXPLAIN["at"],
    "space": (),
    "rows": (),
    "seed": (),
    "settings": (),
    "title": (),
    "command": (),
    "progress": (),
}
# What a user's own function raises is the user's; names of files would be written to; large counts would be done.
OWN = {"progress": callable, "store": lambda value: isinstance(value, str | os.PathLike)}


def is_left_out(argument, value):
    counts = isinstance(value, int | float) and not isinstance(value, bool) and 50 < value < 2**31
    return counts or OWN.get(argument, lambda value: False)(value)


def check_answer(door, argument, words):
    """A result, or an error of ours that names the argument; anything else is the test's failure."""
    said = argument
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            door()
        except XaiMimoError as err:
            said = str(err)
    assert any(word in said for word in (*words, argument)), f"{argument} is not named: {said}"


def trials(arguments):
    return st.tuples(st.sampled_from(sorted(arguments)), anything).filter(lambda trial: not is_left_out(*trial))


@tried
@given(trials(EXPLAIN))
def test_explain_names_what_it_cannot_take(trial):
    argument, value = trial
    given_values = {"x": ROWS, "method": "occlusion", argument: value}
    check_answer(lambda: xm.explain(MODEL, **given_values), argument, EXPLAIN[argument])


@tried
@given(trials(COMPARE))
def test_compare_names_what_it_cannot_take(trial):
    argument, value = trial
    given_values = {"x": ROWS, "methods": ["occlusion"], "metrics": ["deletion_area"], "settings": QUICK} | {
        argument: value
    }
    check_answer(lambda: xm.compare(MODEL, **given_values), argument, COMPARE[argument])


def methods():
    """Every installed method whose package is here, by name."""
    there = {}
    for name, entry in plugins("xai_mimo.methods").items():
        try:
            there[name] = entry.load()
        except (MissingDependency, ImportError):
            continue
    return there


METHODS = methods()
SETTINGS = sorted((name, field) for name, kind in METHODS.items() for field in fields_of(kind))


@tried
@given(st.sampled_from(SETTINGS), anything)
def test_a_method_names_the_setting_that_it_cannot_take(setting, value):
    (name, field), kind = setting, METHODS[setting[0]]
    if is_left_out(field, value):
        return
    # A setting that stands is tried: the method may still say that this model is none for it.
    words = (field, "baseline", "input stream", name, "layer", "gradients", "player", "patch")
    check_answer(lambda: xm.explain(MODEL, ROWS, kind(**{field: value})), field, words)


@pytest.mark.parametrize("field", fields_of(Settings))
def test_the_settings_of_a_comparison_are_named(field):
    for value in VALUES:
        check_answer(lambda value=value: Settings(**{field: value}), field, ())


@pytest.mark.parametrize(
    ("argument", "value", "text"),
    [
        ("rows_per_block", "10", "rows_per_block must be a whole number of at least 1; got '10'"),
        ("max_memory", None, "max_memory must be a number above 0; got None"),
        ("store", 0, "store is a folder ending in .zarr, or None for memory; got 0"),
        ("progress", lambda: None, "progress is True for a bar.*cannot be told one"),
        ("progress", np.ones(3), "progress is True for a bar"),
        ("background_rows", 10**30, "background_rows must be a whole number of at least 1 and at most 2147483647"),
    ],
)
def test_what_was_handed_over_and_what_was_expected_is_said(argument, value, text):
    with pytest.raises(XaiMimoError, match=text):
        xm.explain(MODEL, ROWS, "occlusion", **{argument: value})
