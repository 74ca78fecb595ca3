"""Attributions of Captum in the form of ours."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import xarray as xr

from xai_mimo.core.baselines import Baseline, resolve_baseline
from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import BadSetting, ShapeMismatch
from xai_mimo.core.logit import On
from xai_mimo.core.model import Arrays
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.streams import Array, name_values
from xai_mimo.core.tables import read_array
from xai_mimo.core.targets import AnyTarget, take, take_mean
from xai_mimo.explainers.exchange.made_elsewhere import Explained, Origin, dataset_of, of_dtype, read_explained


def from_captum(
    attributions: Any,
    model: Any,
    data: Any,
    *,
    target: AnyTarget | None = None,
    name: str = "captum",
    baselines: Baseline | None = None,
    at: str | None = None,
    on: On = "output",
    labels: Mapping[str, Any] | None = None,
    signed: bool = True,
    speaks_of: SpeaksOf = "attribution",
    settings: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """What Captum's ``attribute`` returned as an explanation: to be compared, saved, drawn and handed on.

    Args:
        attributions: a tensor for each input stream, in the model's order, ``(sample, *shape)`` each (one tensor for
            one stream), of one target; or several, ``{target: such a tuple}``. With ``target=``, also ``{stream:
            tensor}``.
        model: that was explained, in any form ``adapt`` takes; its predictions are computed.
        data: the rows that were explained, as ``explain`` takes them.
        target: which scalar was explained, ``"heat"`` or ``("mode", 2)``, where there is one; None where the model has
            one alone, or the mapping tells.
        name: of the method, for results, e.g. "captum.DeepLift".
        baselines: what the map was measured from, "zero", "mean" (of data), or rows: one for all, one for each row, or
            a set of another number, whose mean counts. Its prediction gives the completeness gap. None where there is
            none, or it is not known.
        at: the layer at whose inputs the map lies; None for the model's inputs.
        on: "logit" where the logit of a head of probabilities was explained; see ``explain``.
        labels: of the rows, where the target is a label.
        signed: False where a negative value does not mean "speaks against", as of absolute gradients.
        speaks_of: "sensitivity" where values say what happens when a feature grows, as those of ``Saliency`` do.
        settings: that it was made with; None where they are not known.
    Returns:
        An explanation as ``explain`` gives it, without a seed, with the attribute ``made_with``.
    Raises:
        ShapeMismatch: another number of tensors, or of another shape than the streams. BadValues: NaN or infinity.
        BadSetting, UnknownName: the target is none, or several. Others as ``explain``, of model and data.
    Warns:
        IncompleteWarning: the values do not add up to what the prediction changed by.

    Example:
        >>> import numpy as np
        >>> import xai_mimo as xm
        >>> def wear(sensors, age):
        ...     return {"wear": sensors @ [3.0, -1.0] + 0.5 * age[:, 0]}
        >>> model = xm.adapt(wear, streams={"sensors": ["heat", "load"], "age": 1}, heads={"wear": 1})
        >>> x = {"sensors": np.eye(2), "age": np.ones((2, 1))}
        >>> found = (x["sensors"] * [3.0, -1.0], x["age"] * 0.5)  # of Captum, tensors
        >>> mine = xm.from_captum(found, model, x, name="captum.InputXGradient", baselines="zero")
        >>> mine["completeness_gap"].values.tolist()
        [[0.0, 0.0]]
    """
    origin = Origin(name, "captum", settings, signed, speaks_of)
    are_by_target = isinstance(attributions, Mapping) and target is None
    each: list[Any] = list(attributions.values()) if are_by_target else [attributions]
    targets = list(attributions) if are_by_target else None if target is None else [target]
    of = read_explained(model, data, targets, labels, at, on)
    if len(of.selectors) != len(each):
        _refuse_targets(of.names, targets)
    maps = [_of_streams(found, of, of.names[t]) for t, found in enumerate(each)]
    values = {s.name: np.stack([m[s.name] for m in maps]) for s in of.streams}
    return dataset_of(values, of, origin, None if baselines is None else _baseline_prediction(baselines, of))


def _refuse_targets(names: Sequence[str], targets: Sequence[Any] | None) -> NoReturn:
    """Say that attributions are of one scalar each.

    Raises:
        BadSetting: always.
    """
    several = "" if targets is None else f", and {', '.join(map(repr, targets))} are {len(names)}"
    raise BadSetting(
        f"attributions are of one scalar each{several}: {', '.join(names)}. Say which was explained, "
        f"target={names[0]!r}; or give several, {{{names[0]!r}: attributions, ...}}."
    )


def _of_streams(found: Any, of: Explained, target: str) -> Arrays:
    """The attributions of one target: ``{stream: (sample, *shape)}``."""
    names = [s.name for s in of.streams]
    is_one = not isinstance(found, Mapping | list | tuple)
    if isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], tuple):
        raise ShapeMismatch(
            f"the attributions of target '{target}' are a tuple in a tuple, as Captum returns with "
            "return_convergence_delta=True: (attributions, delta). Give the first of them."
        )
    named = name_values((found,) if is_one and len(names) == 1 else found, names, "input stream")
    what = f"the attributions of target '{target}' for stream"
    arrays = {stream: of_dtype(read_array(values, f"{what} '{stream}'")) for stream, values in named.items()}
    for stream, array in arrays.items():
        wanted = (of.count, *of.shapes[stream])
        if array.shape != wanted:
            fits = [n for n in names if array.shape == (of.count, *of.shapes[n])]
            hint = f" It has the shape of stream '{fits[0]}': the order is {', '.join(names)}." if fits else ""
            raise ShapeMismatch(
                f"{what} '{stream}' have shape {array.shape}; expected {wanted}, a value for each of the rows.{hint}"
            )
    return arrays


def _baseline_prediction(baselines: Baseline, of: Explained) -> Array:
    """What the model answers to the baselines: ``(target, sample)``."""
    rows = resolve_baseline(baselines, of.streams, of.rows)
    outputs = of.cut.part.predict(rows)
    if count_rows(rows) == of.count:
        return take(outputs, of.selectors)
    return take_mean(outputs, of.selectors)
