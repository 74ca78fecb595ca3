"""What a trained IMV-LSTM says of all rows together: importances of variables and steps, and how sure it is.

NumPy in, NumPy out, in float64. Everything is computed from the maps that the layer sows, so that it works on models of
any kind which hold one, and on the predictor as on the mixture it was made of.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np

from xai_mimo.layers.interception import layer_path, read_maps
from xai_mimo.layers.row_statistics import Figures, RowMean, axis_labels, count_rows, read_rows, replaced, take_rows
from xai_mimo.sowing import MapLabels


@dataclass(frozen=True)
class VariableImportance:
    """How much each variable weighs, per head.

    Attributes:
        kind: "posterior", the mean of q (needs labels); "prior", the mean of pi.
        features: names of the N variables.
        values: ``{head: (N,)}``, not negative, sums to one.
    """

    kind: Literal["posterior", "prior"]
    features: tuple[str, ...]
    values: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class TemporalImportance:
    """How much each step of each variable weighs, per head.

    Attributes:
        times: names of the T steps, such as "lag 8".
        features: names of the N variables.
        values: ``{head: (T, N)}``, not negative, sums to one over the steps.
    """

    times: tuple[str, ...]
    features: tuple[str, ...]
    values: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class _Batch:
    """The maps of one layer for some rows, and their labels."""

    maps: Mapping[str, np.ndarray]
    labels: Mapping[str, MapLabels]
    rows: slice

    @property
    def heads(self) -> tuple[str, ...]:
        return self.labels["variable_attention"].coords["head"]

    @property
    def features(self) -> tuple[str, ...]:
        return self.labels["variable_attention"].coords["feature"]

    def prior(self, head: str) -> np.ndarray:
        """pi, ``(B, N)``."""
        return self.maps["variable_attention"][:, self.heads.index(head)]

    def of_units(self, name: str, head: str) -> np.ndarray:
        """A map of targets, the units of this head only: ``(B, w, N)``."""
        owners = np.asarray(self.labels[name].coords["target.head"])
        return self.maps[name][:, owners == head]


def figures(model: Any, inputs: Any, labels: Any, paths: Sequence[str], batch_size: int) -> Figures:
    """What ``xai_mimo.layers.summarise`` says of an ``IMVLSTM``.

        prior_importance      mean over rows of pi_n
        posterior_importance  mean over rows of q_n,  q_n = Pr(z = n | X, y)               (Eqs. 10 and 11)
        temporal_importance   T^n, the mean over rows of alpha^n; by position in padded windows          (Eq. 12)
        predictive_variance   see ``predictive_variance``

    The posterior is that of the trained density (the authors' code leaves sigma out). It speaks only of a mixture
    trained with ``MixtureNLL`` or ``MixtureEM``: after the squared error sigma, and so the posterior, is arbitrary.
    Temporal importance says where the layer looked, which need not be where the effect is.

    Raises:
        ValueError: labels do not fit the heads or the rows, or were given for a layer without variances.
    """
    prior, posterior, temporal, variance = RowMean(), RowMean(), RowMean(), RowMean()
    targets = None
    for batch in _batches(model, inputs, paths[0], batch_size):
        if labels is not None and targets is None:
            targets = _check_labels(labels, batch, count_rows(inputs))
        prior.add(batch.maps["variable_attention"])
        temporal.add(batch.maps["temporal_attention"])
        if targets is not None:
            q = [_posterior(batch, head, targets[head][batch.rows]) for head in batch.heads]
            posterior.add(np.stack(q, axis=1))
        if "variance" in batch.maps:
            variance.add(np.concatenate([_variance(batch, head) for head in batch.heads], axis=1))
    both, of = ("head", "feature"), batch.labels
    named = prior.figures("prior_importance", both, "Variable attention: how much each variable weighs.")
    named |= temporal.figures(
        "temporal_importance",
        ("head", "time", "feature"),
        "Temporal attention: how much each step weighs.",
    )
    coords = axis_labels(of["variable_attention"]) | axis_labels(of["temporal_attention"])
    if targets is not None:
        named |= posterior.figures(
            "posterior_importance", both, "Probability that a variable generated the label, given window and label."
        )
    if "variance" in batch.maps:
        named |= variance.figures("predictive_variance", ("target",), "Variance of the mixture, in squared units.")
        coords |= axis_labels(of["mean"])
    return Figures(named, coords)


def variable_importance(
    model: keras.Model, inputs: Any, labels: Any = None, *, layer: str | None = None, batch_size: int = 1024
) -> VariableImportance:
    """The importance of each variable in closed form; replaced by ``xai_mimo.layers.summarise``.

        with labels:     I_n = mean over rows of q_n,  q_n = Pr(z = n | X, y)         (Eqs. 10 and 11)
        without labels:  mean over rows of pi_n

    The posterior is that of the trained density (the authors' code leaves sigma out). It speaks only of a mixture
    trained with ``MixtureNLL`` or ``MixtureEM``: after the squared error sigma, and so the posterior, is arbitrary.

    Args:
        model: holds one ``IMVLSTM``, or several of which ``layer`` names one.
        inputs: rows, as the model takes them; the paper uses those of training.
        labels: y per head, ``{head: (rows, w)}``, or one array for a layer of one head; ``(rows,)`` where w = 1. In the
            unit that the model was trained on.
        layer: path or name of the layer.
        batch_size: rows that are read at once.
    Raises:
        ValueError: no such layer; labels do not fit the heads or the rows; or the layer has no variances
            (``output="prediction"``), so that there is no posterior.
    """
    replaced("variable_importance", "summarise(model, x, labels)", "prior_importance and posterior_importance")
    named, coords = figures(model, inputs, labels, [_path(model, inputs, layer)], batch_size)
    kind: Literal["posterior", "prior"] = "prior" if labels is None else "posterior"
    values = dict(zip(coords["head"], named[f"{kind}_importance"].values, strict=True))
    return VariableImportance(kind, tuple(coords["feature"]), values)


def temporal_importance(
    model: keras.Model, inputs: Any, *, layer: str | None = None, batch_size: int = 1024
) -> TemporalImportance:
    """T^n, the mean over rows of alpha^n (Eq. 12); replaced by ``xai_mimo.layers.summarise``.

    The plain mean of the maps: it says where the layer looked, which need not be where the effect is. Arguments and
    errors as ``variable_importance``. With padded inputs the mean is taken by position.
    """
    replaced("temporal_importance", "summarise(model, x)", "temporal_importance")
    named, coords = figures(model, inputs, None, [_path(model, inputs, layer)], batch_size)
    values = dict(zip(coords["head"], named["temporal_importance"].values, strict=True))
    steps = len(next(iter(values.values())))
    return TemporalImportance(tuple(coords.get("time", map(str, range(steps)))), tuple(coords["feature"]), values)


def predictive_variance(
    model: keras.Model, inputs: Any, *, layer: str | None = None, batch_size: int = 1024
) -> dict[str, np.ndarray]:
    """Variance of the mixture of each row: sum_n pi_n (sigma_n^2 + mu_n^2) - (sum_n pi_n mu_n)^2.

    Written as sum_n pi_n (sigma_n^2 + (mu_n - y)^2), which does not cancel. Ours; the paper has none.

    Arguments and errors as ``variable_importance``.

    Returns:
        ``{head: (rows, w)}``, in the square of the target's unit.
    """
    parts: dict[str, list[np.ndarray]] = {}
    for batch in _batches(model, inputs, _path(model, inputs, layer), batch_size):
        _require_variance(batch)
        for head in batch.heads:
            parts.setdefault(head, []).append(_variance(batch, head))
    return {head: np.concatenate(rows) for head, rows in parts.items()}


def _variance(batch: _Batch, head: str) -> np.ndarray:
    """Of the mixture, ``(B, w)``."""
    prior, mean = batch.prior(head)[:, None], batch.of_units("mean", head)
    centre = (prior * mean).sum(axis=-1, keepdims=True)
    return np.asarray((prior * (batch.of_units("variance", head) + np.square(mean - centre))).sum(axis=-1))


def _posterior(batch: _Batch, head: str, targets: np.ndarray) -> np.ndarray:
    """q, ``(B, N)``, in log space."""
    mean, variance = batch.of_units("mean", head), batch.of_units("variance", head)
    density = -0.5 * (np.square(targets[:, :, None] - mean) / variance + np.log(2.0 * np.pi * variance))
    with np.errstate(divide="ignore"):  # a prior that underflowed is a posterior of zero
        joint = np.log(batch.prior(head)) + density.sum(axis=1)
    weights = np.exp(joint - joint.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _path(model: Any, inputs: Any, layer: str | None) -> str:
    count_rows(inputs)
    sown = read_maps(model, take_rows(inputs, slice(1)))[2]
    return layer_path(sown, layer, model, kind="IMVLSTM", sows="variable_attention")


def _batches(model: Any, inputs: Any, path: str, batch_size: int) -> Iterator[_Batch]:
    for batch in read_rows(model, inputs, batch_size):
        yield _Batch(*batch.of_layer(path), batch.rows)


def _require_variance(batch: _Batch) -> None:
    if "variance" not in batch.maps:
        raise ValueError(
            "Expected a layer with trained variances, IMVLSTM(output='mixture') with MixtureNLL. Received: one with "
            "output='prediction', which has none: its posterior and predictive variance do not exist. Leave the labels "
            "out for the prior importance."
        )


def _check_labels(labels: Any, batch: _Batch, count: int) -> dict[str, np.ndarray]:
    """Labels as ``{head: (rows, w)}`` in float64."""
    _require_variance(batch)
    named = labels if isinstance(labels, Mapping) else {batch.heads[0]: labels} if len(batch.heads) == 1 else None
    if named is None or set(named) != set(batch.heads):
        got = list(labels) if isinstance(labels, Mapping) else type(labels).__name__
        raise ValueError(f"Expected labels per head, a mapping with the keys {list(batch.heads)}. Received: {got}")
    checked = {}
    for head in batch.heads:
        units = batch.of_units("mean", head).shape[1]
        values = np.asarray(named[head], "float64")
        values = values[:, None] if values.ndim == 1 else values
        if values.shape != (count, units):
            raise ValueError(
                f"Expected labels of shape ({count}, {units}) for head '{head}'. "
                f"Received: shape={np.shape(named[head])}"
            )
        if not np.isfinite(values).all():
            raise ValueError(
                f"Expected finite labels for head '{head}'. "
                f"Received: {int((~np.isfinite(values)).sum())} that are not. Leave those rows out."
            )
        checked[head] = values
    return checked
