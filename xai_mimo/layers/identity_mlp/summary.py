"""What an identity-initialised MLP says of many rows together: the role of each layer, and how near the identity it is.

NumPy in, NumPy out, in float64. Everything is computed from the maps that the layer sows, without a gradient.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from xai_mimo.layers.interception import layer_path, read_maps
from xai_mimo.sowing import MapLabels

_WEIGHTS = ("deviation", "diagonal", "off_diagonal")


@dataclass(frozen=True)
class LayerReading:
    """The maps of an ``IdentityMLP`` with the figures that say how much they mean; printed, one line per layer.

    A layer whose accuracy rises classifies; one of flat accuracy and large ``step`` extracts features (our rule).

    Attributes:
        deviation: ||W^l - alpha I||_F / ||alpha I||_F, ``(L,)``. Near 0 the maps speak of the inputs; at 1.4, as after
            random initialisation, they do not.
        diagonal, off_diagonal: means of W_jj and of |W_ij|, ``(L,)``.
        step: mean over rows and features of |d^l|, ``(L,)``.
        accuracy: ``{head: (L,)}``, share of rows whose most likely class in that layer is the label; no probe is
            trained. Heads of classes only; empty without labels.
        tied: ``{head: (L,)}``, share of rows whose largest score in that layer is that of several classes, as where the
            activation has cut them all to 1. Their most likely class is then the first of them, and ``accuracy`` tells
            nothing: train with ``class_activation="linear"``, or with features that are near zero in most rows. Heads
            of several classes only.
        error: ``{head: (L,)}``, root mean squared error of the layer's scores, in the label's unit; heads in
            ``regression`` only. Scores of hidden layers are within [-1, 1] unless ``class_activation="linear"``.
        maps: the maps that were asked for, by name, ``(rows, *axes)``.
        labels: what the axes of all the layer's maps mean, by name of the map.
    """

    deviation: np.ndarray
    diagonal: np.ndarray
    off_diagonal: np.ndarray
    step: np.ndarray
    accuracy: Mapping[str, np.ndarray]
    tied: Mapping[str, np.ndarray]
    error: Mapping[str, np.ndarray]
    maps: Mapping[str, np.ndarray]
    labels: Mapping[str, MapLabels]

    def __str__(self) -> str:
        columns = {"deviation": self.deviation, "diagonal": self.diagonal, "|off-diagonal|": self.off_diagonal}
        columns |= {"|step|": self.step}
        columns |= {f"accuracy {head}": values for head, values in self.accuracy.items()}
        columns |= {f"tied {head}": values for head, values in self.tied.items()}
        columns |= {f"error {head}": values for head, values in self.error.items()}
        lines = ["layer  " + "  ".join(columns)]
        for i in range(len(self.deviation)):
            lines.append(f"{i + 1:5d}  " + "  ".join(f"{values[i]:{len(name)}.3f}" for name, values in columns.items()))
        return "\n".join(lines)


def read_layers(
    model: keras.Model,
    inputs: Any,
    labels: Any = None,
    *,
    maps: Sequence[str] = (),
    layer: str | None = None,
    batch_size: int = 1024,
) -> LayerReading:
    """Read every layer of an ``IdentityMLP`` on these rows.

        accuracy^l = mean over rows of [argmax_c s^l_c = y];  a head of one unit: s^l > 0 means class 1

    Args:
        model: a model or layer that holds one ``IdentityMLP``, or several of which ``layer`` names one.
        inputs: rows, as the model takes them.
        labels: per head, ``{head: values}``, or one array where there is one head. Classes: integers ``(rows,)``;
            quantities: ``(rows, width)``, or ``(rows,)`` for one unit.
        maps: names of maps to return for all rows.
        layer: path or name of the layer.
        batch_size: rows that are read at once.
    Raises:
        ValueError: no such layer or map, no rows, or labels that do not fit the heads, the rows or the classes.
    """
    found, meaning = _read(model, inputs, layer, batch_size, {*maps, "score", "increment", *_WEIGHTS})
    targets = meaning["score"].coords
    heads = tuple(dict.fromkeys(targets["target.head"]))
    given = {} if labels is None else _by_head(labels, heads)
    classes = set(meaning["class_likelihood"].coords["class.head"]) if "class_likelihood" in meaning else set()
    scores = {head: found["score"][:, :, np.asarray(targets["target.head"]) == head] for head in heads}
    accuracy, error = {}, {}
    for head, values in given.items():
        own = scores[head]
        if head in classes:
            accuracy[head] = _accuracy(own, _classes(values, own, head))
        else:
            error[head] = _error(own, np.asarray(values, "float64"), head)
    step = np.abs(np.moveaxis(found["increment"], meaning["increment"].axes.index("layer") + 1, 0))
    return LayerReading(
        deviation=found["deviation"][0],
        diagonal=found["diagonal"][0],
        off_diagonal=found["off_diagonal"][0],
        step=step.reshape(len(step), -1).mean(axis=1),
        accuracy=accuracy,
        tied={head: _tied(own) for head, own in scores.items() if head in classes and own.shape[-1] > 1},
        error=error,
        maps={name: found[name] for name in maps},
        labels=meaning,
    )


def _accuracy(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    chosen = scores[..., 0] > 0 if scores.shape[-1] == 1 else scores.argmax(axis=-1)
    return (chosen == labels[:, None]).mean(axis=0)


def _tied(scores: np.ndarray) -> np.ndarray:
    largest = scores.max(axis=-1, keepdims=True)
    return ((scores == largest).sum(axis=-1) > 1).mean(axis=0)


def _error(scores: np.ndarray, labels: np.ndarray, head: str) -> np.ndarray:
    values = labels[:, None] if labels.ndim == 1 else labels
    if values.shape != (len(scores), scores.shape[-1]) or not np.isfinite(values).all():
        raise ValueError(
            f"Expected finite labels of shape ({len(scores)}, {scores.shape[-1]}) for head '{head}'. "
            f"Received: shape={labels.shape}, {int((~np.isfinite(labels)).sum())} values that are not finite"
        )
    return np.sqrt(np.square(scores - values[:, None]).mean(axis=(0, 2)))


def _classes(labels: Any, scores: np.ndarray, head: str) -> np.ndarray:
    values, count = np.asarray(labels), max(2, scores.shape[-1])
    if values.shape == (len(scores), 1):
        values = values[:, 0]
    if values.shape != (len(scores),) or not np.isin(values, np.arange(count)).all():
        raise ValueError(
            f"Expected {len(scores)} labels from 0 to {count - 1} for head '{head}', one integer per row. "
            f"Received: shape={np.shape(labels)}, values {np.unique(values)[:5]}"
        )
    return values


def _by_head(labels: Any, heads: tuple[str, ...]) -> dict[str, Any]:
    named = labels if isinstance(labels, Mapping) else {heads[0]: labels} if len(heads) == 1 else None
    if named is None or not set(named) <= set(heads):
        got = list(labels) if isinstance(labels, Mapping) else type(labels).__name__
        raise ValueError(f"Expected labels per head, a mapping with keys out of {list(heads)}. Received: {got}")
    return dict(named)


def _read(
    model: keras.Model, inputs: Any, layer: str | None, batch_size: int, wanted: set[str]
) -> tuple[dict[str, np.ndarray], dict[str, MapLabels]]:
    arrays = keras.tree.flatten(inputs)
    count = len(arrays[0]) if arrays else 0
    if not count:
        raise ValueError(f"Expected at least one row. Received: inputs with {count} rows")
    labels = read_maps(model, _rows(inputs, slice(1)))[2]
    path = layer_path(labels, layer, model, kind="IdentityMLP", sows="deviation")
    meaning = {label.name: label for label in labels.values() if label.layer == path}
    if not wanted <= set(meaning):
        raise ValueError(
            f"Expected names of maps out of {sorted(meaning)}. Received: maps={sorted(wanted - set(meaning))}"
        )
    parts: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    for start in range(0, count, batch_size):
        maps = read_maps(model, _rows(inputs, slice(start, start + batch_size)), names=wanted)[1]
        for name, values in parts.items():
            values.append(np.asarray(maps[f"{path}/{name}"], "float64"))
    return {name: np.concatenate(found) for name, found in parts.items()}, meaning


def _rows(inputs: Any, rows: slice) -> Any:
    return keras.tree.map_structure(lambda values: np.asarray(values)[rows], inputs)
