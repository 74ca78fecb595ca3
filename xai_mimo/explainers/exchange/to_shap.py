"""An explanation as shap knows it, so that shap's plots draw it."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from xai_mimo.core.door import check_inputs, count_rows
from xai_mimo.core.errors import BadSetting, BadValues, MissingDependency, NotSupported, SchemaError, SubstituteWarning
from xai_mimo.core.explanation import streams_of_data
from xai_mimo.core.model import Arrays
from xai_mimo.core.same_rows import explained_rows
from xai_mimo.core.single import single
from xai_mimo.core.speaks_of import meaning
from xai_mimo.core.streams import Array, Stream, unknown
from xai_mimo.explainers.exchange.columns import columns_of


def to_shap(explanation: xr.Dataset, head: str | None = None, *, explainer: str | None = None, data: Any = None) -> Any:
    """One target of an explanation as a ``shap.Explanation``: beeswarm, waterfall, bar, heatmap, decision, scatter.

    Args:
        explanation: of a method whose values have a sign and add up: attributions, not attention or sensitivities. A
            joined one, such as ``compare(...).explanations``, too.
        head: the target, an entry of ``explanation["head"]``; None where there is one.
        explainer: of a joined explanation, the label of the method; None where there is one.
        data: the rows, in any form that ``explain`` takes: all that were explained, in the same order. The explanation
            holds their digest alone, by which they are checked; texts are given as the ids that the model read. Behind
            a layer (``explain(..., at=...)``) they are rows of that layer's inputs, of which the number is checked.
            Without them points have no colours, labels no values, and scatter plots have nothing to draw over.
    Returns:
        A ``shap.Explanation`` with

        - ``values``, ``(sample, column)``, streams side by side, each value as it stands in the explanation;
        - ``base_values``, ``(sample,)``, the variable ``baseline_prediction``, to which values add up but for the
          ``completeness_gap``. Of a method without a baseline it is the prediction less the sum of the values, with a
          warning: it is then no prediction of the model;
        - ``data``, ``(sample, column)``, numbers as they are and words as words; of a group of columns that stand for
          a category its level; of a series that is one player the mean over its steps; of several values otherwise how
          many they are, and of players with names the streams that they lie in;
        - ``feature_names``, "stream.feature" ("vibration.3.x" of a series); streams and players by their own names
          where these are the players;
        - ``error_std``, like ``values``, where the method has standard errors; ``output_names``, the target.

        Streams that the method says nothing of are left out.
    Raises:
        UnknownName: no such target or method. BadSetting: several of them, and none named. NotSupported: a map without
            a sign, or of sensitivities. BadValues: other rows. SchemaError: no explanation.
        MissingDependency: shap is not installed.
    Warns:
        SubstituteWarning: the method has no baseline.

    Example:
        >>> import numpy as np
        >>> import xai_mimo as xm
        >>> def wear(sensors, age):
        ...     return {"wear": sensors @ [3.0, -1.0] + 0.5 * age[:, 0]}
        >>> model = xm.adapt(wear, streams={"sensors": ["heat", "load"], "age": 1}, heads={"wear": 1})
        >>> x = {"sensors": np.eye(2), "age": np.ones((2, 1))}
        >>> for_shap = xm.to_shap(xm.explain(model, x, "shapley"), "wear", data=x)
        >>> for_shap.feature_names, for_shap.data.tolist()
        (['sensors.heat', 'sensors.load', 'age.0'], [[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    """
    shap = _shap()
    one = single(explanation, explainer)
    place = _place(one, head)
    _check_adds_up(one)
    streams = streams_of_data(one)
    rows = None if data is None else _rows(one, data, streams)
    columns = columns_of(one, place, rows, streams)
    return shap.Explanation(
        columns.values,
        base_values=_base_values(one, place, columns.values),
        data=columns.data,
        feature_names=columns.names,
        output_names=str(one["head"].values[place]),
        error_std=columns.standard_error,
    )


def _shap() -> Any:
    try:
        import shap
    except ImportError as err:
        raise MissingDependency("to_shap needs shap: pip install 'xai-mimo[shap]'") from err
    return shap


def _place(explanation: xr.Dataset, head: str | None) -> int:
    if "step" in explanation.dims:
        raise SchemaError("the explanation was laid out by steps (by_step); give it as explain returned it.")
    names = [str(name) for name in explanation["head"].values]
    if head is None and len(names) > 1:
        raise BadSetting(
            f"a shap.Explanation is of one target, and this explanation has {len(names)}: {', '.join(names)}. Name "
            f"one: head={names[0]!r}."
        )
    if head is not None and head not in names:
        raise unknown(head, names, "target")
    return 0 if head is None else names.index(head)


def _check_adds_up(explanation: xr.Dataset) -> None:
    method, kind = explanation.attrs.get("method"), explanation.attrs.get("speaks_of", "attribution")
    if not explanation.attrs["signed"]:
        raise NotSupported(
            f"the map of '{method}' has no sign: it says how much an input is read, and shap draws by how much it "
            "raises or lowers the prediction. Give a method of attributions, e.g. 'shapley' or 'integrated_gradients'; "
            "maps without a sign are drawn by compare(...).report(...)."
        )
    if kind != "attribution":
        raise NotSupported(
            f"the map of '{method}' speaks of {meaning(kind)}, and its values do not add up to a prediction, as shap "
            "takes for granted. Give a method of attributions, e.g. 'integrated_gradients' or 'input_x_gradient'."
        )


def _rows(explanation: xr.Dataset, data: Any, streams: Sequence[Stream]) -> Arrays:
    """The explained rows of the data."""
    rows = check_inputs(data, streams)
    if not str(explanation.attrs["space"]).startswith("at:"):
        numbers = explained_rows(explanation, rows, "the rows in data")
        return {name: x[numbers] for name, x in rows.items()}
    if count_rows(rows) != explanation.sizes["sample"]:
        raise BadValues(
            f"the explanation is of {explanation.sizes['sample']} rows; data has {count_rows(rows)}. It lies on the "
            f"inputs of a layer ({explanation.attrs['space']}): give the rows as that layer reads them, "
            "adapted.activations(x, layer)."
        )
    return rows


def _base_values(explanation: xr.Dataset, place: int, values: Array) -> Array:
    both = ("head", "sample")
    if "baseline_prediction" in explanation:
        held: Array = explanation["baseline_prediction"].transpose(*both).values[place]
        return held
    if "prediction" not in explanation:
        raise NotSupported("the explanation has neither a baseline nor predictions, so values cannot add up to any.")
    warnings.warn(
        f"method {explanation.attrs.get('method')!r} has no baseline: base_values are the prediction less the sum of "
        "the values, so that shap's plots end at the prediction; they are no prediction of the model.",
        SubstituteWarning,
        stacklevel=3,
    )
    substitute: Array = explanation["prediction"].transpose(*both).values[place] - values.sum(axis=1, dtype=np.float64)
    return substitute
