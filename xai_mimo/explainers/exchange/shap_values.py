"""What shap gives, in whatever form, as one table: ``(target, sample, column)`` with the layout of its columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xai_mimo.core.errors import BadValues, ShapeMismatch, UnknownName
from xai_mimo.core.model import Arrays
from xai_mimo.core.players import WholePlayers
from xai_mimo.core.streams import Array, unknown
from xai_mimo.core.tables import read_array
from xai_mimo.explainers.exchange.layouts import Layout, layouts_of
from xai_mimo.explainers.exchange.made_elsewhere import Explained, of_dtype

_SAME = 1e-5
"""Data may have been narrowed to the model's dtype on its way."""


@dataclass(frozen=True)
class ShapValues:
    """SHAP values, read.

    Attributes:
        layout: of the columns. values: ``(target, sample, column)``. standard_error: likewise; None without any.
        base: ``(target, sample)``; None where it is not known.
    """

    layout: Layout
    values: Array
    standard_error: Array | None
    base: Array | None


def read_shap_values(given: Any, base_values: Any, players: WholePlayers, of: Explained) -> ShapValues:
    """Read what shap gave; ``from_shap`` says which forms there are and what is refused."""
    is_explanation = hasattr(given, "base_values") and hasattr(given, "feature_names")
    raw = given.values if is_explanation else given
    layout, values = _table(raw, players, of)
    base = base_values if base_values is not None or not is_explanation else given.base_values
    found = None if base is None else _base(base, of)
    if not is_explanation:
        return ShapValues(layout, values, None, found)
    error = None if given.error_std is None else _table(given.error_std, players, of)[1]
    columns = _order(given.feature_names, layout.names, "column")
    outputs = _order(_named_outputs(given, of), of.names, "output")
    _check_rows(given.data, columns, layout, of)
    turned = [None if part is None else part[outputs][..., columns] for part in (values, error)]
    return ShapValues(layout, turned[0], turned[1], None if found is None else found[outputs])  # type: ignore[arg-type]


def _table(given: Any, players: WholePlayers, of: Explained) -> tuple[Layout, Array]:
    """Values as ``(target, sample, column)``, and the first layout that they fit."""
    layouts = [layout for layout in layouts_of(of.streams, of.shapes) if layout.players == players]
    if isinstance(given, list | tuple) and any(hasattr(part, "shape") for part in given):
        parts = [of_dtype(read_array(part, f"number {i} of the values")) for i, part in enumerate(given)]
        for layout in layouts:
            table = _of_each_stream(parts, layout, of)
            table = _of_each_output(parts, layout, of) if table is None else table
            if table is not None:
                return layout, table
        raise ShapeMismatch(
            f"the values are a list of {len(parts)} arrays of shapes {', '.join(str(p.shape) for p in parts)}; "
            f"expected one for each of the {_count(len(of.names), 'output')}, {_wanted(layouts, of)}; or one "
            f"for each input stream ({', '.join(s.name for s in of.streams)})."
        )
    array = of_dtype(read_array(given, "the values"))
    for layout in layouts:
        table = _of_array(array, layout, of)
        if table is not None:
            return layout, table
    raise ShapeMismatch(_misfit(array, layouts, of))


def _of_array(array: Array, layout: Layout, of: Explained) -> Array | None:
    """One array as a table; None where it does not fit."""
    targets = len(of.names)
    forms = [(layout.width,), *([next(iter(layout.shapes.values()))] if len(layout.shapes) == 1 else [])]
    for form in forms:
        if array.shape == (of.count, *form, targets) or (targets == 1 and array.shape == (of.count, *form)):
            table: Array = np.moveaxis(array.reshape(of.count, layout.width, targets), -1, 0)
            return table
    return None


def _of_each_output(parts: Sequence[Array], layout: Layout, of: Explained) -> Array | None:
    forms = {(of.count, layout.width), *((of.count, *s) for s in layout.shapes.values() if len(layout.shapes) == 1)}
    if len(parts) != len(of.names) or any(part.shape not in forms for part in parts):
        return None
    return np.stack([part.reshape(of.count, layout.width) for part in parts])


def _of_each_stream(parts: Sequence[Array], layout: Layout, of: Explained) -> Array | None:
    if len(parts) != len(layout.shapes) or len(parts) == 1:
        return None
    targets, columns = len(of.names), []
    for part, shape in zip(parts, layout.shapes.values(), strict=True):
        whole = (of.count, *shape)
        if part.shape != (*whole, targets) and not (targets == 1 and part.shape == whole):
            return None
        columns.append(part.reshape(of.count, -1, targets))
    table: Array = np.moveaxis(np.concatenate(columns, axis=1), -1, 0)
    return table


def _misfit(array: Array, layouts: Sequence[Layout], of: Explained) -> str:
    targets, widths = len(of.names), {layout.width for layout in layouts}
    text = f"the values have shape {array.shape}; expected {_wanted(layouts, of)}."
    if array.ndim == 1 and len(array) in widths:
        return f"{text} If this is one row of an explanation, keep its axis: explanation[0:1]."
    if array.ndim == 3 and array.shape[0] == targets and array.shape[1] == of.count:
        return f"{text} Outputs come last: numpy.moveaxis(values, 0, -1)."
    if array.ndim == 3 and array.shape[0] == of.count and array.shape[1] == targets and array.shape[2] in widths:
        return f"{text} Outputs come last: values.transpose(0, 2, 1)."
    if array.ndim > 1 and array.shape[0] != of.count:
        return f"{text} They are of {array.shape[0]} rows, and data has {of.count}."
    outputs = array.shape[-1] if array.ndim > 2 else 1
    if array.ndim > 1 and array.shape[1] in widths and outputs != targets:
        return (
            f"{text} They are of {_count(outputs, 'output')}, and of {_count(targets, 'target')} here: "
            f"{', '.join(of.names)}. Name what each output is, in order: targets=[...]."
        )
    return text


def _wanted(layouts: Sequence[Layout], of: Explained) -> str:
    sizes = ", ".join(f"{name} {int(np.prod(shape, dtype=np.int64))}" for name, shape in layouts[0].shapes.items())
    width = layouts[0].width
    shape = f"({of.count}, {width})" if len(of.names) == 1 else f"({of.count}, {width}, {len(of.names)})"
    return f"{shape}, the columns of all streams side by side ({sizes})"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _base(given: Any, of: Explained) -> Array:
    """Base values as ``(target, sample)``."""
    base = np.asarray(read_array(given, "base_values"), dtype=np.float64)
    targets, rows = len(of.names), of.count
    if not np.isfinite(base).all():
        raise BadValues("base_values hold NaN or infinity; give what the values are measured from.")
    if base.ndim == 0 or base.shape == (1,):
        return np.full((targets, rows), base.item())
    if base.shape == (targets,):
        return np.repeat(base[:, None], rows, axis=1)
    if base.shape == (rows,) and targets == 1:
        return base[None]
    if base.shape == (rows, targets):
        return base.T
    raise ShapeMismatch(
        f"base_values have shape {base.shape}; expected one number, one for each of the "
        f"{_count(targets, 'output')}, or ({rows}, {targets})."
    )


def _named_outputs(given: Any, of: Explained) -> Sequence[str] | None:
    names = given.output_names
    if names is None:
        return None
    return [str(names)] if isinstance(names, str) else [str(name) for name in names]


def _order(names: Any, ours: Sequence[str], what: str) -> list[int]:
    """Where each of ours stands among the names of an explanation; as they are where none of them is one of ours.

    Raises:
        UnknownName: some are ours and others are not.
    """
    as_they_are = list(range(len(ours)))
    listed = [] if names is None else [str(name) for name in names]
    bare = [name.partition(".")[2] for name in ours]
    for known in (list(ours), bare):
        if len(set(known)) == len(ours) and set(listed) == set(known) and len(listed) == len(ours):
            return [listed.index(name) for name in known]
    strange = [name for name in listed if name not in ours]
    if len(strange) == len(listed):
        return as_they_are
    first = f"{unknown(strange[0], ours, f'{what} of the map')} " if strange else ""
    raise UnknownName(
        f"{first}The explanation's {what}s are {', '.join(listed[:8])}; expected {', '.join(ours[:8])}, in any order, "
        "or none of these names."
    )


def _check_rows(data: Any, columns: Sequence[int], layout: Layout, of: Explained) -> None:
    """Refuse an explanation that holds other rows than those that were given with it."""
    if data is None or dict(layout.shapes) != of.shapes:
        return
    held = np.asarray(data, dtype=object).reshape(of.count, -1) if np.size(data) == of.count * layout.width else None
    if held is None:
        return
    own: Arrays = of.rows
    ours = np.concatenate([own[s.name].reshape(of.count, -1).astype(object) for s in of.streams], axis=1)
    for place, name in enumerate(layout.names):
        there = held[:, columns[place]]
        differs = np.array([not _alike(a, b) for a, b in zip(there, ours[:, place], strict=True)])
        if differs.any():
            row = int(np.argmax(differs))
            raise BadValues(
                f"the explanation holds other rows than data: column '{name}' has {there[row]!r} in row {row} there, "
                f"and {ours[row, place]!r} in data. Give the rows that were explained, in their order; columns are "
                f"those of the streams side by side, {', '.join(layout.names[:8])}."
            )


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return str(one) == str(other)
    return bool(np.isclose(float(one), float(other), rtol=_SAME, atol=_SAME * abs(float(other))))
