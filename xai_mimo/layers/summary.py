"""What a layer says over many rows, in one form for every system: ``summarise``, and the schema of what it returns."""

import importlib
import json
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
import xarray as xr

from xai_mimo.core.cut import layers_called
from xai_mimo.core.door import check_finite
from xai_mimo.core.errors import BadValues, NotSupported, SchemaError
from xai_mimo.core.method import whole
from xai_mimo.core.tables import check_row_order, with_row_labels
from xai_mimo.core.versions import versions
from xai_mimo.layers.interception import read_maps
from xai_mimo.layers.row_statistics import (
    Figure,
    Figures,
    RowMean,
    Statistic,
    axis_labels,
    count_rows,
    read_rows,
    take_rows,
)
from xai_mimo.sowing import MapLabels

SCHEMA = "xai_mimo.layer_summary/1"
_ATTRIBUTES = ("kind", "layer", "reference", "rows", "versions")

_WINGS = {"temporal_attention": "imv_lstm", "deviation": "identity_mlp", "relevance": "flint", "gate": "mhex"}
"""A map that layers of one system alone sow -> the wing whose ``summary`` knows how to read it. Layers that sow none of
these, MAIL and those of others, are summarised map by map."""


def summarise(model: Any, x: Any, labels: Any = None, layer: str | None = None, *, batch_size: int = 256) -> xr.Dataset:
    """What a self-explaining layer says over many rows: one verb and one kind of result for every system.

    Rows are read in batches and only sums are kept, so memory does not grow with them. Maps of single rows are those
    of ``xai_mimo.intercept``, and of ``FLINT.interpret``, ``read_saliency``, ``key_channels``, ``read_layers`` and
    ``predictive_variance``.

    **Schema** ``xai_mimo.layer_summary/1``, checked by ``check_summary``. No variable has a ``sample`` dimension. Each
    has the attributes ``statistic`` (see below), ``long_name`` (one sentence), ``unit`` ("" for pure numbers and where
    it is not known), and ``undefined`` where it holds NaN: the sentence that says where and why.

    ==================  ==================================================================================
    statistic           the value is
    ==================  ==================================================================================
    mean                the mean over the rows; ``<name>_std`` of the same dimensions goes with it
    std                 the standard deviation over the rows (their number is the divisor)
    share, count        the share or number of rows that do something
    root_mean_square    over the rows
    score               computed from all rows together, see its ``long_name``
    weights             that of the layer's weights, whatever the rows
    ==================  ==================================================================================

    Dimensions: ``head``, ``target`` (a unit of a head: ``target_head``, ``target_unit``), ``class``, ``stream``,
    ``feature`` (``feature_stream``), ``time``, ``height``, ``width``, ``channel``, ``token``, ``layer``, ``attribute``,
    ``tau``; ``<layer path>_channel`` where blocks differ in size. Coordinates hold names where there are any.

    Attributes: ``schema``; ``kind``, the class of the layer; ``layer``, its path, those of all blocks joined by ", "
    for MHEX; ``reference``, BibTeX key of its article; ``rows``, how many; ``versions``, JSON.

    ============  ==========================================================================================
    kind          variables (``_std`` left out)
    ============  ==========================================================================================
    MAIL, others  every sown map by its own name: ``attention``, ``context (head, feature)``, ``contribution
                  (target, feature)``, ``stream_attention (head, stream)``; the leading axes of series or
                  images come first. At padding rows do not count; ``real_rows`` tells how many do
    IMVLSTM       ``prior_importance (head, feature)``; ``temporal_importance (head, time, feature)``; with
                  variances ``predictive_variance (target)``; with labels ``posterior_importance``
    IdentityMLP   of each ``layer``: ``deviation``, ``diagonal``, ``off_diagonal``, ``step``,
                  ``class_likelihood (layer, class)``, ``tied (layer, head)``; with labels ``accuracy`` of
                  classes and ``error`` of quantities, both ``(layer, head)``
    FLINT         ``fidelity``, ``r_squared``, ``distance (head)``, ``conciseness (head, tau)``,
                  ``attributes (attribute)``, ``relevance_magnitude (head, attribute)``,
                  ``global_relevance``, ``attribute_use (class, attribute)``, ``class_rows (class)``,
                  ``reconstruction_error``: see ``FLINT.interpret`` with its default settings
    MHEXHead      of the predicted units: ``saliency (head, height, width)`` or ``(head, token)``,
                  ``layer_saliency (layer, head, ...)``, ``logit (layer, head)``; of each block
                  ``<layer>_channel_contribution`` and ``<layer>_channel_rank (head, <layer>_channel)``: see
                  ``read_saliency`` and ``key_channels``
    ============  ==========================================================================================

    Args:
        model: Keras model or layer that holds one self-explaining layer, or several of which ``layer`` names one. The
            blocks of MHEX are summarised together unless one is named. Another system in the same model makes it
            several.
        x: rows, as the model takes them.
        labels: by head, or one array where there is one head; for IMV-LSTM the targets, for identity MLPs classes and
            quantities. Others have no use for them.
        layer: path or name of the layer.
        batch_size: rows that are read at once.
    Raises:
        ValueError: no such layer, several, no rows, or labels that do not fit. BadValues: inputs or labels hold NaN, or
            have the same index in different orders, or the model gives NaN. BadSetting: the size of batches.
            NotSupported: no Keras model or layer.
    """
    whole(batch_size, "batch_size")
    _check_model(model)
    _check_values(x, _input_names(model, x), "input")
    paths, wing, reference = _choose(model, x, layer)
    if wing is None:
        of_layer = _map_by_map(model, x, paths[0], batch_size)
    else:
        _check_values(labels, [], "the labels")
        check_row_order({**with_row_labels(x, "the inputs"), **with_row_labels(labels, "the labels")})
        summary = importlib.import_module(f"xai_mimo.layers.{wing}.summary")
        of_layer = summary.figures(model, x, labels, paths, batch_size)
    for name, figure in of_layer.figures.items():
        if not figure.undefined and not np.isfinite(np.asarray(figure.values, "float64")).all():
            raise BadValues(
                f"'{name}' of layer '{', '.join(paths)}' is NaN or infinite on inputs that are finite. Look for "
                "weights that are not: a training that diverged; or for inputs so large that they overflow."
            )
    data = {
        name: (
            figure.dims,
            figure.values,
            {"statistic": figure.statistic, "long_name": figure.meaning, "unit": figure.unit}
            | ({"undefined": figure.undefined} if figure.undefined else {}),
        )
        for name, figure in of_layer.figures.items()
    }
    attrs = {
        "schema": SCHEMA,
        "kind": "FLINT" if wing == "flint" else _class_of(model, paths[0]),
        "layer": ", ".join(paths),
        "reference": reference,
        "rows": count_rows(x),
        "versions": json.dumps(versions()),
    }
    return check_summary(xr.Dataset(data, of_layer.coords, attrs))


def check_summary(summary: xr.Dataset) -> xr.Dataset:
    """The summary itself, if it keeps to the schema of ``summarise``.

    Raises:
        SchemaError: an attribute or a standard deviation is missing, a word is unknown, or NaN stands in silently.
    """
    missing = [name for name in _ATTRIBUTES if name not in summary.attrs]
    if summary.attrs.get("schema") != SCHEMA or missing:
        raise SchemaError(
            f"a summary has schema {SCHEMA!r} and the attributes {', '.join(_ATTRIBUTES)}; got schema "
            f"{summary.attrs.get('schema')!r}, without {', '.join(missing) or 'any of them missing'}. Make it with "
            "xai_mimo.layers.summarise."
        )
    for name, values in summary.data_vars.items():
        _check_variable(str(name), values, summary)
    return summary


def _check_variable(name: str, values: xr.DataArray, summary: xr.Dataset) -> None:
    statistic = values.attrs.get("statistic")
    if statistic not in get_args(Statistic) or not values.attrs.get("long_name") or "unit" not in values.attrs:
        raise SchemaError(
            f"variable '{name}' of a summary needs the attributes long_name, unit and statistic, one of "
            f"{', '.join(get_args(Statistic))}; got {values.attrs}."
        )
    if "sample" in values.dims:
        raise SchemaError(f"variable '{name}' of a summary has a value for each row; expected none along 'sample'.")
    if statistic == "mean" and (f"{name}_std" not in summary or summary[f"{name}_std"].dims != values.dims):
        raise SchemaError(f"variable '{name}' of a summary is a mean, and needs '{name}_std' of the same dimensions.")
    if "undefined" not in values.attrs and not np.isfinite(np.asarray(values, "float64")).all():
        raise SchemaError(
            f"variable '{name}' of a summary holds NaN or infinity, and no attribute 'undefined' says where and why."
        )


def _check_model(model: Any) -> None:
    import keras

    if not isinstance(model, keras.Layer):  # a model is a layer too
        raise NotSupported(
            f"expected a Keras model or layer that holds a self-explaining layer; got {type(model).__name__}. Give the "
            "Keras model itself, not its adapter or its path."
        )


def _input_names(model: Any, x: Any) -> list[str]:
    """Names of inputs that come in no mapping: the model's own where it has as many, else their numbers."""
    import keras

    count = len(keras.tree.flatten(x))
    inputs = keras.tree.flatten(getattr(model, "inputs", None) or [])
    return [i.name for i in inputs] if len(inputs) == count else [str(n) for n in range(count)]


def _check_values(values: Any, names: list[str], what: str) -> None:
    """Refuse NaN and infinity, by the name of the array that holds them."""
    import keras

    if isinstance(values, Mapping):
        for name, part in values.items():
            _check_values(part, [str(name)], what)
        return
    arrays = [np.asarray(array) for array in keras.tree.flatten(values) if array is not None]
    for i, array in enumerate(arrays):
        if array.dtype.kind == "f":
            check_finite(array, f"{what} '{names[min(i, len(names) - 1)]}'" if names else what)


def _choose(model: Any, x: Any, layer: str | None) -> tuple[list[str], str | None, str]:
    """Paths of the layer or blocks to summarise, the wing that reads them, and their article."""
    count_rows(x)
    sown = read_maps(model, take_rows(x, slice(1)))[2]
    maps: dict[str, set[str]] = {}
    for label in sown.values():
        maps.setdefault(label.layer, set()).add(label.name)
    wings = {path: _wing(model, names) for path, names in maps.items()}
    fits = list(maps) if layer is None else layers_called(layer, maps)
    blocks = layer is None and len(fits) > 1 and all(wings[path] == "mhex" for path in fits)
    if len(fits) != 1 and not blocks:
        expected = "one layer that sows maps" if layer is None else f"one such layer called '{layer}'"
        if not maps:
            mend = (
                " None of its layers says anything of itself: build it with one of xai_mimo.layers, such as MAIL, or "
                "explain it from outside with xai_mimo.explain."
            )
        else:
            mend = " Name one with `layer`." if len(fits) != 1 else ""
        raise ValueError(
            f"Expected model '{model.name}' to hold {expected}. Received: a model that holds {list(maps)}.{mend}"
        )
    return fits, wings[fits[0]], next(label.reference for label in sown.values() if label.layer == fits[0])


def _wing(model: Any, maps: set[str]) -> str | None:
    wing = next((wing for sown, wing in _WINGS.items() if sown in maps), None)
    # An interpreter head outside its FLINT, e.g. in ``FLINT.interpreter()``, has no predictor to be compared with.
    return None if wing == "flint" and not hasattr(model, "interpret") else wing


def _class_of(model: Any, path: str) -> str:
    """Name of the class of the layer at a path; "" for one that the model does not keep."""
    layers = [model, *model._flatten_layers()]
    own = path.split("@")[0]
    return next((type(each).__name__ for each in layers if own in (getattr(each, "path", None), each.name)), "")


def _map_by_map(model: Any, x: Any, path: str, batch_size: int) -> Figures:
    """The mean of every map that the layer sows; rows count where their positions are real."""
    means: dict[str, RowMean] = {}
    labels: dict[str, MapLabels] = {}
    real = RowMean()
    for batch in read_rows(model, x, batch_size):
        maps, labels = batch.of_layer(path)
        mask = maps.pop("mask", None)
        if mask is not None:
            real.add(mask)
        for name, values in maps.items():
            counts = None if mask is None else _over(mask, labels["mask"].axes, values, labels[name].axes)
            means.setdefault(name, RowMean()).add(values, counts)
    figures: dict[str, Figure] = {}
    coords: dict[str, Any] = {}
    padding = "at positions that are padding in every row" if "mask" in labels else ""
    for name, mean in means.items():
        figures |= mean.figures(name, labels[name].axes, f"The layer's map '{name}'.", undefined=padding)
        coords |= axis_labels(labels[name])
    if padding:
        axes = labels["mask"].axes
        figures["real_rows"] = Figure(axes, real.total, "count", "Rows in which a position is real, not padding.")
    return Figures(figures, coords)


def _over(mask: np.ndarray, mask_axes: tuple[str, ...], values: np.ndarray, axes: tuple[str, ...]) -> np.ndarray:
    """A mask ``(row, *mask_axes)`` with axes of length 1 where a map has others; ones where it lacks the mask's own."""
    if not set(mask_axes) <= set(axes):
        return np.ones_like(values)
    lengths = iter(mask.shape[1:])  # the positions stand in the same order in both
    return mask.reshape(len(mask), *[next(lengths) if axis in mask_axes else 1 for axis in axes])
