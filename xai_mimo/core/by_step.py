"""Targets of a head with several steps, laid out as ``(head, unit, step)``."""

import json
from typing import Any

import numpy as np
import xarray as xr

from xai_mimo.core.errors import SchemaError
from xai_mimo.core.explanation import validate
from xai_mimo.core.streams import Head, unknown


def by_step(explanation: xr.Dataset, head: str | None = None) -> xr.Dataset:
    """An explanation of a head with steps, its targets as ``(head, unit, step)``.

    Args:
        explanation: of ``explain`` or ``compare``, whose targets are units of heads with two axes or more,
            ``(*steps, unit)``, each at the same steps.
        head: which head; None where all heads have the same units and steps.
    Returns:
        The same values with the dimensions ``head, unit, step`` in the place of ``head``: the names of heads, of units
        ("predicted" and "label" where those were asked for) and the numbers of steps from 0, flat where a head has
        several axes of steps. What was the coordinate ``unit``, the flat unit of each row, is called ``flat_unit``.
    Raises:
        UnknownName: no such head among the targets. SchemaError: units differ from step to step, so that the layout
            would have gaps, heads differ in their units or steps, or a file of a version that did not name its targets.

    Example:
        >>> import numpy as np
        >>> import xai_mimo as xm
        >>> def twice(x):
        ...     return {"load": np.stack([x, 2 * x], axis=1)}
        >>> model = xm.adapt(twice, streams={"x": ["low", "high"]}, heads={"load": (2, 2)})
        >>> explanation = xm.explain(model, np.array([[1.0, 2.0], [3.0, 4.0]]), "occlusion")
        >>> dict(by_step(explanation).sizes)
        {'head': 1, 'unit': 2, 'step': 2, 'sample': 2, 'x_feature': 2}
    """
    validate(explanation)
    places = _places(explanation, head)
    asked = [place for place in places if place is not None]
    heads = list(dict.fromkeys(head for head, _, _ in asked))
    units = list(dict.fromkeys(unit for _, unit, _ in asked))
    steps = sorted({step for _, _, step in asked})
    missing = [(h, u, s) for h in heads for u in units for s in steps if (h, u, s) not in places]
    if missing:
        name, unit, step = missing[0]
        raise SchemaError(
            f"unit '{unit}' of head '{name}' was not explained at step {step}, which others were, so the layout would "
            "have gaps. Explain every unit at every step, targets=[('<head>', 'all')] or [('<head>', ('all', "
            "'predicted'))]; or name one head: by_step(explanation, '<head>')."
        )
    wanted = [places.index((h, u, s)) for h in heads for u in units for s in steps]
    chosen = explanation.isel(head=wanted).rename({"unit": "flat_unit"}).drop_vars("head")
    numbers = np.arange(len(wanted)).reshape(len(heads), len(units), len(steps))
    index = xr.DataArray(numbers, [("head", heads), ("unit", units), ("step", steps)])
    laid_out: xr.Dataset = chosen.isel(head=index)
    return laid_out


def _places(explanation: xr.Dataset, name: str | None) -> list[tuple[str, str, int] | None]:
    """Head, unit and step of each target; None of targets of other heads."""
    try:
        targets: list[tuple[str, Any, int | None]] = json.loads(explanation.attrs["targets"])
        described: list[dict[str, Any]] = json.loads(explanation.attrs["heads"])
    except KeyError as err:
        raise SchemaError("the explanation does not say what its targets are; explain the model anew.") from err
    heads = {h["name"]: Head(**{**h, "shape": tuple(h["shape"]), "units": tuple(h["units"])}) for h in described}
    explained = list(dict.fromkeys(target[0] for target in targets))
    if name is not None and name not in explained:
        raise unknown(name, explained, "explained head")
    return [_place(heads[head], unit, step) if name in (None, head) else None for head, unit, step in targets]


def _place(head: Head, unit: int | str, step: int | None) -> tuple[str, str, int]:
    if isinstance(unit, str):
        return head.name, unit, step or 0
    return head.name, head.class_names[unit % head.classes], unit // head.classes
