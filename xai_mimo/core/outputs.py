"""What a model returns, as named heads: mappings, lists, data classes and named tuples, as all frameworks have them."""

import dataclasses
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xai_mimo.core.errors import BadValues, ShapeMismatch
from xai_mimo.core.streams import Array, Head, HeadKind

SeenKind = tuple[HeadKind, str, str]
"""A head's kind, where it was seen (``Head.kind_from``) and the unit of its values."""


def named_outputs(answer: Any) -> dict[str, Any]:
    """The arrays or tensors of an answer by name, in its own order.

    Mappings give their keys, data classes and named tuples their fields, lists and tuples ``output_0``, ``output_1``,
    ...; what stands alone is called ``output``. What lies deeper is called ``outer_inner``. Fields that are None, and
    beside arrays what is no array (such as a cache of states), are left out.

    Raises:
        BadValues: there is no array in it.

    Example:
        >>> named_outputs({"risk": 1.0, "time": (2.0, np.ones(3))}).keys()
        dict_keys(['risk', 'time_0', 'time_1'])
    """
    leaves = _leaves(answer, "")
    arrays = {name: value for name, value in leaves.items() if _is_array(value)}
    if not arrays:
        raise BadValues(f"the model returned {_described(answer)}; expected arrays or tensors, one for each head.")
    if len(arrays) == 1 and isinstance(answer, list | tuple) and not hasattr(answer, "_fields"):
        return {"output": next(iter(arrays.values()))}
    return arrays


def _leaves(answer: Any, name: str) -> dict[str, Any]:
    parts = _parts(answer)
    if parts is None:
        return {name or "output": answer}
    outer = name or ("output" if isinstance(answer, list | tuple) and not hasattr(answer, "_fields") else "")
    leaves: dict[str, Any] = {}
    for key, value in parts.items():
        leaves |= _leaves(value, f"{outer}_{key}" if outer else str(key)) if value is not None else {}
    return leaves


def _parts(answer: Any) -> dict[Any, Any] | None:
    """What a container holds; None for what is no container of arrays."""
    if isinstance(answer, Mapping):
        return dict(answer)
    if dataclasses.is_dataclass(answer) and not isinstance(answer, type):
        return {field.name: getattr(answer, field.name) for field in dataclasses.fields(answer)}
    if isinstance(answer, tuple) and isinstance(fields := getattr(answer, "_fields", None), tuple):
        return dict(zip(fields, answer, strict=True))
    if isinstance(answer, list | tuple) and not _is_of_numbers(answer):
        return dict(enumerate(answer))
    return None


def _is_of_numbers(values: Sequence[Any]) -> bool:
    """Whether a list is an array written out."""
    return bool(values) and all(
        isinstance(v, numbers.Number) or (isinstance(v, list | tuple) and _is_of_numbers(v)) for v in values
    )


def _is_array(value: Any) -> bool:
    is_written_out = isinstance(value, list | tuple) and _is_of_numbers(value)
    return hasattr(value, "shape") or hasattr(value, "__array__") or isinstance(value, numbers.Number) or is_written_out


def _described(answer: Any) -> str:
    kind = type(answer).__name__
    if answer is None:
        return "None"
    return f"an empty {kind}" if hasattr(answer, "__len__") and len(answer) == 0 else f"a {kind}"


def heads_from(
    arrays: Mapping[str, Array], rows: int, *, kinds: Mapping[str, SeenKind] | None = None
) -> tuple[Head, ...]:
    """Heads as a model's answer to some rows describes them.

    Args:
        arrays: ``{head: (row, *shape)}``, as plain arrays.
        rows: how many were asked.
        kinds: of the heads whose kind can be seen; the others are quantities, and say that nothing was seen.
    Raises:
        ShapeMismatch: an array without one row for each that was asked. BadValues: it holds no numbers.
    """
    return tuple(_head(name, array, rows, (kinds or {}).get(name)) for name, array in arrays.items())


def _head(name: str, array: Array, rows: int, seen: SeenKind | None) -> Head:
    if array.ndim == 0 or len(array) != rows:
        raise ShapeMismatch(
            f"output '{name}' has shape {array.shape} for {rows} rows; expected the batch axis first, "
            f"({rows}, ...): one value or more for each row. Give a model that keeps its rows apart and in order."
        )
    if array.dtype.kind not in "fiub" and str(array.dtype) != "bfloat16":
        raise BadValues(f"output '{name}' has dtype {array.dtype}; expected numbers.")
    if not np.prod(array.shape[1:], dtype=np.int64):
        raise ShapeMismatch(f"output '{name}' has shape {array.shape}: it has no unit to explain.")
    kind, kind_from, unit = seen or ("regression", "", "")
    return Head(name, array.shape[1:], kind, unit=unit, kind_from=kind_from)
