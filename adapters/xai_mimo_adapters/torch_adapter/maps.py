"""The maps that modules of a model show of their own reading, and how others are put in their place."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from xai_mimo.core.attention import is_attention
from xai_mimo.core.errors import ShapeMismatch
from xai_mimo.core.model import Arrays, InterceptionMap, Interceptions
from xai_mimo.sowing import MapLabels, collect, override
from xai_mimo_adapters.torch_adapter.attention import reading_attention
from xai_mimo_adapters.torch_adapter.calls import Tensors, to_array


@contextlib.contextmanager
def read_maps(model: Any, labels: dict[str, MapLabels], modules: Sequence[torch.nn.Module] = ()) -> Iterator[Tensors]:
    """Collect what modules sow while this context is active, by ``"<module path>/<map name>"``.

    Args:
        model: whose modules go by their paths in it (``named_modules``).
        labels: filled with the meaning of the maps' axes.
        modules: whose attention is read too; see ``reading_attention``.
    """
    with reading_attention(modules), collect(labels, paths=_paths(model)) as maps:
        yield maps


@contextlib.contextmanager
def overriding(model: Any, maps: Mapping[str, torch.Tensor]) -> Iterator[set[str]]:
    """Put these maps in the place of those that modules make; yields the keys of those that were taken."""
    with override(maps, paths=_paths(model)) as taken:
        yield taken


def _paths(model: Any) -> dict[int, str]:
    """The path of each module of a model, by its identity; the model's own class where it is the model itself."""
    if not isinstance(model, torch.nn.Module):
        return {}
    inner = getattr(model, "_orig_mod", model)
    return {id(module): path or type(inner).__name__ for path, module in inner.named_modules()}


def checked_maps(maps: Tensors, labels: Mapping[str, MapLabels], rows: int) -> Arrays:
    """Maps as arrays, without the attention of modules whose batch is not that of the rows (windows of each, say).

    Raises:
        ShapeMismatch: a map has no batch axis, or not the axes that it names.
    """
    maps = {key: values for key, values in maps.items() if len(values) == rows or not is_attention(labels[key].name)}
    for key, values in maps.items():
        if values.ndim != 1 + len(labels[key].axes) or len(values) != rows:
            raise ShapeMismatch(
                f"map '{key}' was sown with shape {tuple(values.shape)}; expected the batch axis and then one axis for "
                f"each of {labels[key].axes}."
            )
    return {key: to_array(values) for key, values in maps.items()}


def interceptions(arrays: Arrays, labels: Mapping[str, MapLabels]) -> Interceptions:
    """Maps with what their axes mean."""
    return {
        key: InterceptionMap(
            labels[key].layer,
            labels[key].name,
            values,
            labels[key].axes,
            dict(labels[key].coords),
            labels[key].reference,
        )
        for key, values in arrays.items()
    }
