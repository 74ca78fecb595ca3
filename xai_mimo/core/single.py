"""One explanation of several joined ones, with the attributes that it had by itself."""

import json

import xarray as xr

from xai_mimo.core.errors import BadSetting
from xai_mimo.core.explanation import validate
from xai_mimo.core.streams import unknown


def single(explanation: xr.Dataset, explainer: str | None = None) -> xr.Dataset:
    """The explanation of one method: of several joined the one of that label, and one alone as it is.

    ``joined.sel(explainer="shapley")`` leaves the attributes of the method in those of all, and variables of NaN that
    the method does not have; here the first come back and the second are gone. What ``sel`` has left is taken too.

    Args:
        explanation: of ``explain``, several joined, or one selected of them.
        explainer: its label; None where there is one alone.
    Raises:
        SchemaError: no explanation. UnknownName: no such label. BadSetting: several and no label, or a label and one
            that has none.
    """
    if isinstance(explanation, xr.Dataset) and "explainer" in explanation.dims:
        validate(explanation)
        labels = [str(label) for label in explanation["explainer"].values]
        if explainer is None and len(labels) > 1:
            raise BadSetting(
                f"these are the explanations of several methods ({', '.join(labels)}); say which: "
                f"explainer={labels[0]!r}."
            )
        label = labels[0] if explainer is None else explainer
        if label not in labels:
            raise unknown(label, labels, "explainer")
        return validate(_alone(explanation.isel(explainer=labels.index(label)), label))
    if isinstance(explanation, xr.Dataset) and "explainer" in explanation.coords:
        label = str(explanation["explainer"].item())
        _check_label(explainer, label)
        return validate(_alone(explanation, label))
    validate(explanation)
    _check_label(explainer, str(explanation.attrs.get("method", "")))
    return explanation


def _check_label(asked: str | None, there: str) -> None:
    if asked is not None and asked != there:
        raise BadSetting(f"explainer={asked!r}, and the explanation is of the one method {there!r}; leave it out.")


def _alone(selected: xr.Dataset, label: str) -> xr.Dataset:
    """What was selected, with the method's own attributes, without variables that other methods have."""
    foreign = [
        name for name, variable in selected.variables.items() if label not in json.loads(_methods(variable, label))
    ]
    own = json.loads(selected.attrs.get("methods", "{}")).get(label, {})
    alone = selected.drop_vars([*foreign, "explainer"])
    alone.attrs = {**{k: v for k, v in selected.attrs.items() if k != "methods"}, **own}
    for variable in alone.data_vars.values():
        variable.attrs = {k: v for k, v in variable.attrs.items() if k != "methods"}
    return alone


def _methods(variable: xr.Variable, label: str) -> str:
    """Which methods have a variable, as JSON; of coordinates all."""
    methods: str = variable.attrs.get("methods", json.dumps([label]))
    return methods
