"""Maps that were there before a comparison, made by ``explain`` or elsewhere: taken where they are of the same model,
rows and targets, in the same space; refused with the reason otherwise.

A ready map is scored like any other. What would need the method that made it is left out, and the record says so: it
has no ceiling, which is the method run again with another seed, and no robustness or randomisation, for which other
rows or another model are explained.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xai_mimo.comparison.spaces import Space
from xai_mimo.core.digest import digest
from xai_mimo.core.errors import BadSetting, BadValues, NotSupported, SchemaError, UnknownName
from xai_mimo.core.explanation import stream_names
from xai_mimo.core.logit import On
from xai_mimo.core.model import Arrays
from xai_mimo.core.named_values import PLAYERS
from xai_mimo.core.same_rows import explained_rows
from xai_mimo.core.single import single
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, take

_DIGITS = 12
_NEAR = 1e-2
"""So near must the predictions that a map holds be to the model's, in parts of the largest: rounding moves them."""


@dataclass(frozen=True)
class Asked:
    """What a ready map must be of.

    Attributes:
        fingerprints: by which the model may be known: with its heads as they are explained, and as it was given.
        data: all rows. picked: ``(sample,)``, numbers of those that are explained.
        selectors: the targets, resolved for them. outputs: the model's answers to them.
        space: of the comparison. on: "output" or "logit". values: of which head that is what, in words.
    """

    fingerprints: tuple[str, ...]
    data: Arrays
    picked: Array
    selectors: Sequence[Selector]
    outputs: Arrays
    space: Space
    on: On
    values: Mapping[str, str]


def alone(label: str, given: xr.Dataset) -> xr.Dataset:
    """One explanation as it was given in the place of a method.

    Raises:
        SchemaError: no explanation. BadSetting: several joined.
    """
    try:
        return single(given)
    except BadSetting as err:
        one = str(given["explainer"].values[0])
        raise BadSetting(
            f"the ready map '{label}' holds the explanations of several methods; give one under each label, e.g. "
            f"{{'{one}': explanations.sel(explainer='{one}'), ...}}."
        ) from err
    except SchemaError as err:
        raise SchemaError(f"the ready map '{label}' cannot be compared: {err}") from err


def layer_of(ready: Mapping[str, xr.Dataset]) -> str | None:
    """The layer at whose inputs ready maps lie; None where they lie on the model's, or there are none.

    Raises:
        BadSetting: they lie at different layers.
    """
    bases = {label: _base(explanation) for label, explanation in ready.items()}
    layers = {label: base.removeprefix("at:") for label, base in bases.items() if base.startswith("at:")}
    if len(set(layers.values())) > 1:
        told = "; ".join(f"'{label}' at {layer}" for label, layer in layers.items())
        raise BadSetting(f"the ready maps lie at different layers ({told}); compare those of one layer at a time.")
    return next(iter(layers.values()), None)


def fitted(label: str, explanation: xr.Dataset, asked: Asked) -> xr.Dataset:
    """A ready map with the rows and targets of a comparison, in their order and under their names.

    Raises:
        NotSupported: made of another model, in another space, or on another scale. BadValues: of other rows, or with
            values that are no numbers. UnknownName: not of some target. SchemaError: of other streams.
    """
    try:
        _check_model(explanation, asked)
        _check_space(explanation, asked)
        places = _rows(explanation, asked)
        found = _picked(explanation, places, _targets(explanation, places, asked), asked)
        _check_predictions(found, asked)
    except (NotSupported, BadValues, UnknownName, SchemaError) as err:
        raise type(err)(f"the ready map '{label}' cannot be compared: {err}") from err
    return found


def made_by(explanation: xr.Dataset) -> str:
    """What the record says of where a ready map comes from."""
    made = explanation.attrs.get("made_with")
    if made:
        return f"ready map, made with {made}"
    version = json.loads(explanation.attrs.get("versions", "{}")).get("xai-mimo", "")
    return f"ready map, made by explain of xai-mimo {version}".rstrip()


def seed_of(explanation: xr.Dataset) -> int | None:
    """The seed that a ready map was made with; None where that is not known."""
    seed = explanation.attrs.get("seed")
    return int(seed) if isinstance(seed, int | np.integer) else None


def _base(explanation: xr.Dataset) -> str:
    """The space of the single values of a map: "inputs" or "at:<layer>"; "streams" of shares."""
    name = str(explanation.attrs["space"])
    for end in (", by players", ", by variable"):
        name = name.removesuffix(end)
    return "inputs" if name == PLAYERS.name else name


def _check_model(explanation: xr.Dataset, asked: Asked) -> None:
    attrs = explanation.attrs
    held = {str(attrs[name]) for name in ("fingerprint", "model_fingerprint") if name in attrs}
    if not held:
        raise NotSupported(
            "it does not say of which model it was made. Give the model to from_shap or from_captum, or explain again."
        )
    if not held & set(asked.fingerprints):
        raise NotSupported(
            f"it was made of another model (fingerprint {min(held)[:_DIGITS]}..., this model's is "
            f"{asked.fingerprints[0][:_DIGITS]}...). Has the model been trained since? Explain it as it is now, or "
            "load the weights that the map is of."
        )
    on = attrs.get("on", "output")
    if on != asked.on:
        raise NotSupported(
            f"it was made on='{on}', and the comparison is on='{asked.on}': its values are in another unit. Give "
            f"compare(..., on='{on}'), or make the map on='{asked.on}'."
        )
    words = json.loads(attrs.get("explained_value", "{}"))
    for head in sorted({s.head for s in asked.selectors}):
        if words.get(head) != asked.values.get(head) and head in words:
            raise NotSupported(
                f"of head '{head}' it explains {words[head]}, and the comparison {asked.values.get(head)}; the values "
                "are in another unit. Explain again, in the comparison."
            )


def _check_space(explanation: xr.Dataset, asked: Asked) -> None:
    own, space = str(explanation.attrs["space"]), asked.space
    if PLAYERS.name in explanation and space.players is None:
        names = ", ".join(map(str, explanation[PLAYERS.dims[0]].values))
        raise NotSupported(
            f"it was made by players with names ({names}), and the comparison is of single values. Give the same "
            "players: compare(..., players=...)."
        )
    bases = {space.name} if space.cut is None else {space.name, space.cut.space}
    if own in bases | (set() if space.is_at_layer else {"inputs"}):
        return
    hint = "Explain the model in this space."
    if own == "streams" or own != _base(explanation):
        hint = "Its values are sums already, which cannot be divided again."
    elif own.startswith("at:"):
        hint = f"Give at='{own.removeprefix('at:')}'."
    raise NotSupported(
        f"it lives in the space '{own}', and the comparison in '{space.name}'; nothing is compared across spaces. "
        f"{hint}"
    )


def _rows(explanation: xr.Dataset, asked: Asked) -> Array:
    """Where the rows of the comparison stand among those of the map: ``(sample,)``."""
    chosen = {name: x[asked.picked] for name, x in asked.data.items()}
    are_chosen = explanation.attrs.get("data_sha256") == digest(chosen)
    own = explained_rows(explanation, chosen if are_chosen else asked.data, "the rows of the comparison")
    numbers = {int(number): place for place, number in enumerate(own)}
    wanted = range(len(asked.picked)) if are_chosen else asked.picked.tolist()
    missing = [n for n in wanted if n not in numbers]
    if missing:
        raise BadValues(
            f"it lacks {len(missing)} of the {len(asked.picked)} rows of the comparison, row {missing[0]} the first. "
            "Explain all rows, or give compare only those that it has."
        )
    return np.array([numbers[n] for n in wanted], dtype=np.int64)


def _targets(explanation: xr.Dataset, places: Array, asked: Asked) -> Array:
    """Which target of the map explains what each target of the comparison does, row by row: ``(target, sample)``.

    What is explained is a unit of a head. So the map of every class also holds that of the predicted one.
    """
    units: Array = explanation["unit"].transpose("head", "sample").values[:, places]
    names = [str(name) for name in explanation["head"].values]
    heads = _heads(explanation, names)
    found = np.full((len(asked.selectors), len(places)), -1)
    for t, selector in enumerate(asked.selectors):
        for own in (i for i, head in enumerate(heads) if head == selector.head):
            found[t, (units[own] == selector.units) & (found[t] < 0)] = own
        if (found[t] < 0).any():
            row = int(np.argmax(found[t] < 0))
            raise UnknownName(
                f"it has nothing for target '{selector.name}' (head '{selector.head}', unit {selector.units[row]} in "
                f"row {asked.picked[row]}); it explains: {', '.join(names)}. Name the targets that it has: "
                "compare(..., targets=[...])."
            )
    return found


def _heads(explanation: xr.Dataset, names: Sequence[str]) -> list[str]:
    """The head of each target; of files that do not name them the target's own name."""
    if "targets" not in explanation.attrs:
        return list(names)
    described: list[Any] = json.loads(explanation.attrs["targets"])
    if len(described) == len(names):
        return [str(head) for head, *_ in described]
    heads = [str(h["name"]) for h in json.loads(explanation.attrs["heads"])]  # some targets were selected since
    return [max((h for h in heads if name == h or name.startswith(f"{h}:")), key=len, default="") for name in names]


def _picked(explanation: xr.Dataset, places: Array, targets: Array, asked: Asked) -> xr.Dataset:
    data: dict[str, Any] = {}
    for name, variable in explanation.data_vars.items():
        if {"head", "sample"} <= set(variable.dims):
            ordered = variable.transpose("head", "sample", ...)
            data[str(name)] = (ordered.dims, ordered.values[targets, places[None, :]], ordered.attrs)
    coords: dict[str, Any] = {
        str(name): values.variable.isel(sample=places) if "sample" in values.dims else values.variable
        for name, values in explanation.coords.items()
        if name not in ("head", "sample", "unit")
    }
    coords |= {
        "head": [s.name for s in asked.selectors],
        "sample": np.arange(len(places)),
        "unit": (("head", "sample"), np.stack([s.units for s in asked.selectors])),
    }
    described = json.dumps([(s.head, s.unit, s.step) for s in asked.selectors])
    found = xr.Dataset(data, coords, {**explanation.attrs, "targets": described})
    for name in stream_names(found):
        if not np.isfinite(found.variables[name].values).all():
            raise BadValues(f"it holds NaN or infinite values for stream '{name}'.")
    return found


def _check_predictions(found: xr.Dataset, asked: Asked) -> None:
    """What the map says that the model answers must be what it does answer."""
    if "prediction" not in found:
        return
    own, now = found["prediction"].values.astype(np.float64), take(asked.outputs, asked.selectors)
    off = np.abs(own - now).max(axis=1)
    for t, selector in enumerate(asked.selectors):
        if not off[t] <= _NEAR * max(1e-12, float(np.abs(now[t]).max())):
            row = int(np.abs(own - now)[t].argmax())
            raise BadValues(
                f"it says that target '{selector.name}' is {own[t, row]:.6g} in row {asked.picked[row]}, and the model "
                f"answers {now[t, row]:.6g}; so it explains something else."
            )
