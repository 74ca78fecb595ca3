"""SHAP values in the form of ours."""

from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from xai_mimo.core.logit import On
from xai_mimo.core.method import one_of
from xai_mimo.core.players import WholePlayers
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.targets import AnyTarget
from xai_mimo.explainers.exchange.made_elsewhere import Origin, dataset_of, read_explained
from xai_mimo.explainers.exchange.shap_values import read_shap_values


def from_shap(
    values: Any,
    model: Any,
    data: Any,
    *,
    targets: Sequence[AnyTarget] | AnyTarget | None = None,
    name: str = "shap",
    base_values: Any = None,
    players: WholePlayers = "features",
    at: str | None = None,
    on: On = "output",
    labels: Mapping[str, Any] | None = None,
    signed: bool = True,
    speaks_of: SpeaksOf = "attribution",
    settings: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """SHAP values that were computed elsewhere as an explanation: to be compared, saved, drawn and handed on.

    Args:
        values: a ``shap.Explanation`` or an array, ``(sample, column)`` of one target or ``(sample, column, output)``;
            columns are those of the streams side by side, in the model's order (of a stream with groups of features,
            one for each feature or one for each group). Of one stream also ``(sample, *shape)``, with the outputs last.
            Or a list: an array for each output, as older versions of shap give it, or an array for each stream. Where
            an ``Explanation`` names its columns or outputs as ours are named ("stream.feature"; the targets), they are
            put in our order.
        model: that was explained, in any form ``adapt`` takes; its predictions are computed.
        data: the rows that were explained, as ``explain`` takes them. An ``Explanation`` must hold these, if any.
        targets: what each output is, in order; None for every unit of every head.
        name: of the method, for results, e.g. "my TreeExplainer".
        base_values: what values are measured from: one for all rows, or for each, of each output
            (``explainer.expected_value``); None for those of the ``Explanation``.
        players: what has a column, in the words of ``Shapley``: "features", "variables" (whole series) or "streams".
        at: the layer at whose inputs the map lies; None for the model's inputs.
        on: "logit" where values are on the logits of heads of probabilities, as those of trees often are; see
            ``explain``.
        labels: of the rows, where a target is a label.
        signed, speaks_of: as ``from_captum`` takes them.
        settings: that it was made with; None where they are not known.
    Returns:
        An explanation as ``explain`` gives it, without a seed, with the attribute ``made_with``.
    Raises:
        ShapeMismatch: another number of rows, columns or outputs. BadValues: NaN or infinity, or an ``Explanation`` of
            other rows. UnknownName: some of its columns are ours, and others are not. Others as ``explain``.
    Warns:
        IncompleteWarning: the values do not add up to the prediction less the base value.

    Example:
        >>> import numpy as np
        >>> import xai_mimo as xm
        >>> def wear(sensors, age):
        ...     return {"wear": sensors @ [3.0, -1.0] + 0.5 * age[:, 0]}
        >>> model = xm.adapt(wear, streams={"sensors": ["heat", "load"], "age": 1}, heads={"wear": 1})
        >>> x = {"sensors": np.eye(2), "age": np.ones((2, 1))}
        >>> found = np.array([[1.5, 0.5, 0.0], [-1.5, -0.5, 0.0]])
        >>> mine = xm.from_shap(found, model, x, name="by hand", base_values=1.5)
        >>> mine["sensors"].sel(head="wear").values.tolist(), mine["completeness_gap"].values.tolist()
        ([[1.5, 0.5], [-1.5, -0.5]], [[0.0, 0.0]])
    """
    one_of(players, ("features", "variables", "streams"), "players")
    origin = Origin(name, "shap", settings, signed, speaks_of)
    of = read_explained(model, data, targets, labels, at, on)
    found = read_shap_values(values, base_values, players, of)
    errors = None if found.standard_error is None else found.layout.split(found.standard_error)
    return dataset_of(found.layout.split(found.values), of, origin, found.base, standard_error=errors)
