"""What a FLINT says of given rows: relevance per row and per class, and how far it speaks of the predictor.

NumPy in float64, in closed form from the attributes and the interpreter's weights: no gradient, no sampling, no
training.

Source: Parekh, Mozharovskyi and d'Alche-Buc (2021), "A Framework to Learn with Interpretation", Sections 3 and 4; heads
that are no choice of one class are ours (``answers``).
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import xarray as xr

from xai_mimo.core.errors import InterpreterWarning
from xai_mimo.layers.flint.answers import Answer, Class, answers, classes
from xai_mimo.layers.flint.cautions import cautions
from xai_mimo.layers.flint.graph import Graph
from xai_mimo.layers.heads import check_count
from xai_mimo.layers.row_statistics import Figure, Figures, RowMean, count_rows, take_rows

SCHEMA = "xai_mimo.flint/1"
TAUS = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0)
THRESHOLD = 0.2
TOLERANCE = 0.1


@dataclass(frozen=True)
class _Rows:
    """What f and g give for some rows, in float64.

    Attributes:
        attributes: ``(row, J)``. outputs: of f. scores: of g. Both ``{head: (row, units)}``.
    """

    attributes: np.ndarray
    outputs: dict[str, np.ndarray]
    scores: dict[str, np.ndarray]


def relevance(contributions: np.ndarray) -> np.ndarray:
    """r_j = alpha_j / max_i |alpha_i| over the last axis: in [-1, 1], with alpha's sign; 0 where all alpha are 0."""
    largest = np.abs(contributions).max(axis=-1, keepdims=True)
    return contributions / np.where(largest > 0, largest, 1.0)


def interpret(
    graph: Graph, x: Any, *, threshold: float, taus: Sequence[float], tolerance: float, batch_size: int
) -> xr.Dataset:
    """Read a FLINT on these rows.

        alpha_jc = phi_j w_jc                            what attribute j adds to the unnormalised score of unit c
        r_j      = alpha_jc / max_i |alpha_ic|           c = the class that g gives; every unit of other heads
        R_cj     = mean of r_j over the rows of class c
        local explanation  {j : r_j > threshold},   global explanation  {(c, j) : R_cj > threshold}

    A row's relevances explain g's answer. Where f and g disagree (``agrees`` is False) they do not explain f's.

    Args:
        graph: of the model.
        x: rows, as the model takes them.
        threshold: 1/tau of the local and global explanations, in [0, 1); the authors' figures have 0.1 for MNIST and
            FashionMNIST, 0.2 for QuickDraw and CIFAR-10.
        taus: of the conciseness curve, each 1 or more.
        tolerance: a quantity agrees if |f - g| is at most this share of the standard deviation of f in training
            (``RunningDeviation``; 1 before), so that a row agrees or not whatever rows stand beside it.
        batch_size: rows that are read at once.
    Returns:
        Over ``sample``, ``attribute``, ``target`` (all units of all heads), ``head`` (one explained scalar per row: a
        multiclass head, or a unit of another one), ``class`` and ``tau``:

        - ``attributes (sample, attribute)``: phi; ``output``, ``score (sample, target)``: of f, and of g unnormalised;
        - ``weight (target, attribute)``, ``bias (target)``: W and b;
        - ``contribution``, ``relevance``, ``local (head, sample, attribute)``: alpha, r, the local explanation;
        - ``agrees``, ``distance (head, sample)``: whether f and g give one answer, and how far their outputs are apart:
          half the sum of |p - q| for classes, in [0, 1]; |f - g| in its unit for quantities;
        - ``fidelity (head)``: share of rows that agree; ``r_squared (head)``: 1 - mean (f - g)^2 / var f of quantities,
          whose share within a narrow tolerance is strict: where differences are normal, R^2 = 0.98 puts half of the
          rows within the default one, and R^2 = 0.93 three in ten;
        - ``conciseness (head, tau)``: mean number of attributes whose relevance for the answer is above 1/tau;
        - ``global_relevance``, ``attribute_use (class, attribute)``: R, NaN for a class without rows, and whether it is
          above the threshold; ``class_rows (class)``;
        - ``reconstruction_error (sample)``: mean squared error over all inputs, if there is a decoder.

        Coordinates: ``unit (head, sample)``, ``target_head``, ``target_unit``, ``class_head``, ``class_label``.
    Raises:
        ValueError: there are no rows, a setting is out of its range, or attributes or outputs are NaN or infinite.
    Warns:
        InterpreterWarning: fidelity of a choice or R squared of a quantity is under 0.9, or attributes have no
            relevance in any of 50 rows or more.
    """
    _check_settings(threshold, taus, tolerance)
    rows, kernel, bias = _read(graph, x, batch_size), *_weights(graph)
    explained = _answers(graph, rows, tolerance)
    alpha = _contributions(graph, rows, kernel, explained)
    r = relevance(alpha)
    for sentence in cautions(explained, r):
        warnings.warn(sentence, InterpreterWarning, stacklevel=3)
    speaking = np.stack([a.speaking(values) for a, values in zip(explained, r, strict=True)])
    use = [c for a, values in zip(explained, r, strict=True) for c in classes(a, values)]
    each = ("head", "sample", "attribute")
    data: dict[str, Any] = {
        "attributes": (("sample", "attribute"), rows.attributes),
        "output": (("sample", "target"), np.concatenate(list(rows.outputs.values()), axis=1)),
        "score": (("sample", "target"), np.concatenate(list(rows.scores.values()), axis=1)),
        "weight": (("target", "attribute"), kernel.T),
        "bias": ("target", bias),
        "contribution": (each, alpha),
        "relevance": (each, r),
        "local": (each, speaking > threshold),
        "conciseness": (("head", "tau"), np.stack([(speaking > 1 / t).sum(-1).mean(-1) for t in taus], axis=1)),
        **_of_answers(explained),
        **_of_classes(use, threshold),
    }
    if graph.generator is not None:
        data["reconstruction_error"] = ("sample", _reconstruction_error(graph, x, rows.attributes, batch_size))
    attrs = {"schema": SCHEMA, "reference": "parekh2021flint", "threshold": threshold, "tolerance": tolerance}
    attrs["quantities"] = json.dumps([h.name for h in graph.predictor.heads if h.kind == "regression"])
    coords = {"tau": list(taus), "unit": (("head", "sample"), np.stack([a.unit for a in explained]))}
    return xr.Dataset(data, coords | _labels(graph, explained, use, len(rows.attributes)), attrs)


def figures(model: Any, inputs: Any, labels: Any, paths: Sequence[str], batch_size: int) -> Figures:
    """What ``xai_mimo.layers.summarise`` says of a FLINT: what ``interpret`` says with its defaults, batch by batch."""
    graph, (kernel, bias) = model.networks, _weights(model.networks)
    means = {name: RowMean() for name in ("agrees", "distance", "attributes", "magnitude", "count", "error")}
    quantities, use = _Quantities(), _ClassUse()
    count = count_rows(inputs)
    for start in range(0, count, batch_size):
        part = take_rows(inputs, slice(start, min(start + batch_size, count)))
        rows = _read(graph, part, batch_size)
        explained = _answers(graph, rows, TOLERANCE)
        r = relevance(_contributions(graph, rows, kernel, explained))
        speaking = np.stack([a.speaking(values) for a, values in zip(explained, r, strict=True)], axis=1)
        means["agrees"].add(np.stack([a.agrees for a in explained], axis=1))
        means["distance"].add(np.stack([a.distance for a in explained], axis=1))
        means["attributes"].add(rows.attributes)
        means["magnitude"].add(np.abs(np.moveaxis(r, 1, 0)))
        means["count"].add(np.stack([(speaking > 1 / tau).sum(axis=-1) for tau in TAUS], axis=-1))
        if graph.generator is not None:
            means["error"].add(_reconstruction_error(graph, part, rows.attributes, batch_size))
        quantities.add(explained, rows)
        use.add([c for a, values in zip(explained, r, strict=True) for c in classes(a, values)])
    named = {"fidelity": Figure(("head",), means["agrees"].mean, "share", "Rows in which f and g give one answer.")}
    named |= means["distance"].figures("distance", ("head",), "How far the outputs of f and g are apart.")
    if quantities.names:
        named["r_squared"] = quantities.figure([a.name for a in explained])
    named |= means["count"].figures(
        "conciseness", ("head", "tau"), "Attributes whose relevance for the answer is above 1 / tau."
    )
    named |= means["attributes"].figures("attributes", ("attribute",), "How strongly an attribute is there: phi.")
    named |= means["magnitude"].figures(
        "relevance_magnitude", ("head", "attribute"), "Magnitude of an attribute's relevance for g's answer."
    )
    named |= use.figures()
    named["weight"] = Figure(("target", "attribute"), kernel.T, "weights", "W: what an attribute adds to a score.")
    named["bias"] = Figure(("target",), bias, "weights", "b: the score without any attribute.")
    if graph.generator is not None:
        named |= means["error"].figures("reconstruction_error", (), "Mean squared error over all inputs.")
    coords = _labels(graph, explained, use.classes, 0) | {"tau": list(TAUS)}
    return Figures(named, {name: values for name, values in coords.items() if name != "sample"})


class _Quantities:
    """R^2 of the units of heads that are quantities, over all rows."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._f, self._differences = RowMean(), RowMean()
        self._low: Any = np.inf
        self._high: Any = -np.inf

    def add(self, explained: Sequence[Answer], rows: _Rows) -> None:
        """Take rows in."""
        own = [a for a in explained if a.side is None]
        self.names = [a.name for a in own]
        if own:
            f, g = (np.stack([y[a.head.name][:, a.unit[0]] for a in own], 1) for y in (rows.outputs, rows.scores))
            self._f.add(f)
            self._differences.add(np.square(f - g))
            self._low, self._high = np.minimum(self._low, f.min(axis=0)), np.maximum(self._high, f.max(axis=0))

    def figure(self, heads: Sequence[str]) -> Figure:
        """NaN for choices, and where f does not vary."""
        varies = self._high > self._low
        values = np.where(varies, 1.0 - self._differences.mean / np.where(varies, self._f.std**2, 1.0), np.nan)
        of = dict(zip(self.names, values, strict=True))
        return Figure(
            ("head",),
            np.array([of.get(head, np.nan) for head in heads]),
            "score",
            "1 - mean (f - g)^2 / var f of a quantity.",
            undefined="for heads that are no quantities, and where f is the same in all rows",
        )


class _ClassUse:
    """Relevance per class over all rows."""

    def __init__(self) -> None:
        self.classes: list[Class] = []

    def add(self, batch: Sequence[Class]) -> None:
        """Take the classes of further rows in."""
        both = zip(self.classes or batch, batch, strict=True)
        self.classes = [_merged(known, new) if known is not new else new for known, new in both]

    def figures(self) -> dict[str, Figure]:
        """As ``interpret``."""
        both = ("class", "attribute")
        values = np.stack([c.relevance for c in self.classes])
        return {
            "global_relevance": Figure(
                both, values, "score", "Mean relevance over the rows of a class.", undefined="for classes without rows"
            ),
            "attribute_use": Figure(
                both,
                np.stack([c.used(THRESHOLD) for c in self.classes]),
                "score",
                f"Whether the relevance for a class is above {THRESHOLD}.",
            ),
            "class_rows": Figure(
                ("class",), np.array([c.rows for c in self.classes]), "count", "Rows to which g gives a class."
            ),
        }


def _merged(one: Class, other: Class) -> Class:
    """One class of the rows of two batches."""
    if not one.rows or not other.rows:
        return other if not one.rows else one
    rows = one.rows + other.rows
    return replace(one, rows=rows, relevance=(one.relevance * one.rows + other.relevance * other.rows) / rows)


def _contributions(graph: Graph, rows: _Rows, kernel: np.ndarray, explained: Sequence[Answer]) -> np.ndarray:
    """alpha, ``(head, row, attribute)``."""
    first = dict(zip(rows.scores, np.cumsum([0, *graph.predictor.units.values()]), strict=False))
    return np.stack([rows.attributes * kernel[:, first[a.head.name] + a.unit].T for a in explained])


def reconstruct(graph: Graph, x: Any, *, without: Sequence[int], batch_size: int) -> Any:
    """See ``FLINT.reconstruct``."""
    count = int(graph.attributes.shape[-1])
    wrong = [j for j in without if not (hasattr(j, "__index__") and 0 <= j < count)]
    if wrong:
        raise ValueError(f"Expected `without` to name attributes from 0 to {count - 1}. Received: {wrong}")
    attributes = _read(graph, x, batch_size).attributes.copy()
    attributes[:, list(without)] = 0.0
    return keras.tree.pack_sequence_as(x, _generate(graph, attributes, batch_size))


def maximum_activating_samples(reading: xr.Dataset, labels: Mapping[str, Any], *, count: int = 3) -> xr.DataArray:
    """For each pair (c, j) of the global explanation, the rows of true class c with the largest phi_j.

    Args:
        reading: of ``FLINT.interpret``, on a random part of the training data; the authors take about 1000 rows.
        labels: true classes, ``{head: (row,)}``; zeros and ones ``(row, units)`` for a multilabel head. Quantities need
            none: all rows are taken.
        count: l, rows for each pair.
    Returns:
        Row numbers ``(class, attribute, rank)``; -1 where the pair is not in the explanation, or its class has fewer
        rows.
    Raises:
        ValueError: labels are missing or do not fit, or the count is no integer of 1 or more.
    Source: Parekh et al. (2021), Section 4: by true label, while global relevance groups by g's answer.
    """
    check_count(count, "`count`", f"count={count}")
    phi, use = reading["attributes"].values, reading["attribute_use"].values
    strongest = np.full((*use.shape, count), -1)
    for c, (head, label) in enumerate(zip(reading["class_head"].values, reading["class_label"].values, strict=True)):
        rows = np.flatnonzero(_of_class(reading, str(head), str(label), labels))
        for j in np.flatnonzero(use[c]):
            chosen = rows[np.argsort(-phi[rows, j], kind="stable")[:count]]
            strongest[c, j, : len(chosen)] = chosen
    labelled = {name: reading[name] for name in ("class", "attribute", "class_head", "class_label")}
    return xr.DataArray(strongest, dims=("class", "attribute", "rank"), coords=labelled)


def _of_class(reading: xr.Dataset, head: str, label: str, labels: Mapping[str, Any]) -> np.ndarray:
    """Whether each row truly is of a class, ``(row,)``."""
    rows = reading.sizes["sample"]
    if head in json.loads(reading.attrs["quantities"]):
        return np.ones(rows, bool)
    values = np.asarray(labels[head]) if head in labels else np.empty(0)
    unit, _, answer = label.rpartition("=")
    units = int((reading["target_head"] == head).sum())
    shape = (rows, units) if unit else (rows,)
    if values.shape != shape and values.shape != (*shape, 1):
        raise ValueError(
            f"Expected labels of shape {shape} for head '{head}', true classes. Received: shape={values.shape}"
        )
    return np.asarray((values[:, int(unit)] if unit else values.reshape(rows)) == int(answer))


def _answers(graph: Graph, rows: _Rows, tolerance: float) -> list[Answer]:
    """What g answers in each row, head by head."""
    explained = []
    for head in graph.predictor.heads:
        within = tolerance * graph.terms[f"fidelity_{head.name}"].deviations()
        explained += answers(head, rows.outputs[head.name], rows.scores[head.name], within)
    return explained


def _of_answers(explained: Sequence[Answer]) -> dict[str, Any]:
    agrees = np.stack([a.agrees for a in explained])
    return {
        "agrees": (("head", "sample"), agrees),
        "distance": (("head", "sample"), np.stack([a.distance for a in explained])),
        "fidelity": ("head", agrees.mean(axis=1)),
        "r_squared": ("head", np.array([a.r_squared for a in explained])),
    }


def _of_classes(use: Sequence[Class], threshold: float) -> dict[str, Any]:
    return {
        "global_relevance": (("class", "attribute"), np.stack([c.relevance for c in use])),
        "attribute_use": (("class", "attribute"), np.stack([c.used(threshold) for c in use])),
        "class_rows": ("class", np.array([c.rows for c in use])),
    }


def _labels(graph: Graph, explained: Sequence[Answer], use: Sequence[Class], rows: int) -> dict[str, Any]:
    units = [(head, str(unit)) for head, count in graph.predictor.units.items() for unit in range(count)]
    return {
        "sample": np.arange(rows),
        "attribute": np.arange(graph.attributes.shape[-1]),
        "head": [a.name for a in explained],
        "target": [f"{head}:{unit}" for head, unit in units],
        "target_head": ("target", [head for head, _ in units]),
        "target_unit": ("target", [unit for _, unit in units]),
        "class": [f"{c.head}:{c.label}" for c in use],
        "class_head": ("class", [c.head for c in use]),
        "class_label": ("class", [c.label for c in use]),
    }


def _weights(graph: Graph) -> tuple[np.ndarray, np.ndarray]:
    """W ``(J, target)`` and b ``(target,)``, in float64."""
    layer = graph.interpreter
    kernel = keras.ops.convert_to_numpy(layer.kernel).astype("float64")
    return kernel, np.zeros(kernel.shape[1]) if layer.bias is None else keras.ops.convert_to_numpy(layer.bias).astype(
        "float64"
    )


def _read(graph: Graph, x: Any, batch_size: int) -> _Rows:
    count_rows(x)
    read = graph.reader.predict(x, batch_size=batch_size, verbose=0)
    names = list(graph.predictor.units)
    return _Rows(
        _finite("attributes", read["attributes"]),
        {name: _finite(f"outputs of head '{name}'", y) for name, y in zip(names, read["outputs"], strict=True)},
        {name: _finite(f"scores of head '{name}'", read["scores"][name]) for name in names},
    )


def _finite(what: str, values: Any) -> np.ndarray:
    array = np.asarray(values, "float64")
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise ValueError(
            f"Expected finite {what}. Received: NaN or infinity in {len(bad)} of {len(array)} rows, the first is row "
            f"{bad[0]}. Look for NaN in that row of the inputs, or in the tapped layers."
        )
    return array


def _generate(graph: Graph, attributes: np.ndarray, batch_size: int) -> list[np.ndarray]:
    if graph.generator is None:
        raise ValueError("Expected a model with a decoder. Received: one that was made with decoder=False")
    reconstructions = graph.generator.predict(attributes.astype("float32"), batch_size=batch_size, verbose=0)
    return [np.asarray(values) for values in keras.tree.flatten(reconstructions)]


def _reconstruction_error(graph: Graph, x: Any, attributes: np.ndarray, batch_size: int) -> np.ndarray:
    pairs = zip(keras.tree.flatten(x), _generate(graph, attributes, batch_size), strict=True)
    errors = [
        np.square(np.asarray(a, "float64").reshape(b.shape) - b).reshape(len(b), -1).mean(axis=1) for a, b in pairs
    ]
    return np.asarray(np.mean(errors, axis=0))


def _check_settings(threshold: float, taus: Sequence[float], tolerance: float) -> None:
    if not 0 <= threshold < 1:
        raise ValueError(f"Expected `threshold` to be in [0, 1). Received: threshold={threshold}")
    if not len(taus) or not all(tau >= 1 for tau in taus):
        raise ValueError(f"Expected `taus` to be numbers of 1 or more. Received: taus={list(taus)}")
    if not tolerance >= 0:
        raise ValueError(f"Expected `tolerance` to be 0 or more. Received: tolerance={tolerance}")
