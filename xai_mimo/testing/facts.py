"""Facts that methods and metrics have on their class, and settings that a record can hold."""

import dataclasses
import json
from typing import Any

from xai_mimo.comparison.references import REFERENCES
from xai_mimo.core.explanation import settings_of
from xai_mimo.core.speaks_of import speaks_of
from xai_mimo.testing.expectations import require, works


def check_settings(plugin: Any) -> None:
    """A frozen dataclass whose settings can be written as JSON and make the same object again.

    Raises:
        AssertionError: with a sentence.
    """
    kind = type(plugin).__name__
    is_data = dataclasses.is_dataclass(plugin) and not isinstance(plugin, type)
    require(is_data, f"{kind} is no dataclass; its settings could not be recorded.")
    require(type(plugin).__dataclass_params__.frozen, f"{kind} is not frozen: settings must not change under a result.")
    try:
        settings = settings_of(plugin)
        json.dumps(settings, allow_nan=False)
    except (TypeError, ValueError) as err:
        raise AssertionError(f"the settings of {kind} cannot be recorded as JSON ({err}): {plugin!r}.") from err
    with works(f"{kind}(**its own settings)"):
        again = settings_of(type(plugin)(**{f.name: getattr(plugin, f.name) for f in dataclasses.fields(plugin)}))
    require(again == settings, f"{kind}(**its own settings) has other settings: {again}; expected {settings}.")


def check_speaks_of(method: Any) -> None:
    """What the maps speak of: a fact of the class, one of ``core.speaks_of``, or nothing.

    Raises:
        AssertionError: with a sentence.
    """
    kind = type(method).__name__
    with works(f"{kind}.speaks_of"):
        speaks_of(method)
    is_setting = "speaks_of" in {f.name for f in dataclasses.fields(method)}
    require(not is_setting, f"{kind}.speaks_of is a setting; make it a ClassVar, a fact of the class.")


def check_named(plugin: Any) -> None:
    """A name and a reference, facts of the class; and the BibTeX entry, where the key is none of ours.

    Raises:
        AssertionError: with a sentence.
    """
    kind, fields = type(plugin).__name__, {f.name for f in dataclasses.fields(plugin)}
    for fact in ("name", "reference"):
        value = getattr(plugin, fact, None)
        require(isinstance(value, str), f"{kind}.{fact} is {value!r}; expected text.")
        require(fact not in fields, f"{kind}.{fact} is a setting; make it a ClassVar, a fact of the class.")
    require(plugin.name.strip(), f"{kind}.name is empty; it is the name of the entry point.")
    bibtex, key = getattr(plugin, "bibtex", ""), plugin.reference
    if bibtex:
        fits = bibtex.lstrip().startswith("@") and key and f"{{{key}," in bibtex
        require(fits, f"{kind}.bibtex is no BibTeX entry of the key '{key}': {bibtex[:60]!r}.")
    elif key:
        require(key in REFERENCES, f"{kind}.reference is '{key}', which nothing describes; give {kind}.bibtex.")
