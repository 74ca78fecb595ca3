"""What an identity-initialised MLP says of many rows together: the role of each layer, and how near the identity it is.

NumPy in, NumPy out, in float64. Everything is computed from the maps that the layer sows, without a gradient.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from xai_mimo.layers.interception import layer_path, read_maps
from xai_mimo.layers.row_statistics import Figure, Figures, RowMean, axis_labels, count_rows, read_rows, take_rows
from xai_mimo.sowing import MapLabels


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
    """Read every layer of an ``IdentityMLP`` on these rows, and its maps of each row.

    ``xai_mimo.layers.summarise`` gives the same figures of all rows as a dataset.

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
    count_rows(inputs)
    sown = read_maps(model, take_rows(inputs, slice(1)))[2]
    path = layer_path(sown, layer, model, kind="IdentityMLP", sows="deviation")
    known = sorted(label.name for label in sown.values() if label.layer == path)
    if not set(maps) <= set(known):
        raise ValueError(f"Expected names of maps out of {known}. Received: maps={sorted(set(maps) - set(known))}")
    parts: dict[str, list[np.ndarray]] = {name: [] for name in maps}
    read = _Tally(labels, count_rows(inputs))
    for batch in read_rows(model, inputs, batch_size, {*maps, *_READ}):
        own, meaning = batch.of_layer(path)
        read.add(own, meaning, batch.rows)
        for name, values in parts.items():
            values.append(own[name])
    return LayerReading(
        **read.of_weights,
        step=read.step.mean,
        accuracy={head: mean.mean for head, mean in read.accuracy.items()},
        tied={head: mean.mean for head, mean in read.tied.items()},
        error={head: np.sqrt(mean.mean) for head, mean in read.squares.items()},
        maps={name: np.concatenate(values) for name, values in parts.items()},
        labels={label.name: label for label in sown.values() if label.layer == path},
    )


def figures(model: Any, inputs: Any, labels: Any, paths: Sequence[str], batch_size: int) -> Figures:
    """What ``xai_mimo.layers.summarise`` says of an ``IdentityMLP``; see ``LayerReading`` for how to read it.

    Raises:
        ValueError: labels do not fit the heads, the rows or the classes.
    """
    read, likelihood = _Tally(labels, count_rows(inputs)), RowMean()
    for batch in read_rows(model, inputs, batch_size, _READ):
        own, meaning = batch.of_layer(paths[0])
        read.add(own, meaning, batch.rows)
        if "class_likelihood" in own:
            likelihood.add(own["class_likelihood"])
    named = {name: Figure(("layer",), read.of_weights[name], "weights", _OF_WEIGHTS[name]) for name in _OF_WEIGHTS}
    named |= read.step.figures("step", ("layer",), "Mean over features of |f^l - f^{l-1}|, the change of one layer.")
    heads = list(dict.fromkeys(meaning["score"].coords["target.head"]))
    coords: dict[str, Any] = {"head": heads, **axis_labels(meaning["deviation"])}
    if "class_likelihood" in meaning:
        named |= likelihood.figures("class_likelihood", ("layer", "class"), "Likelihood of each class in each layer.")
        coords |= axis_labels(meaning["class_likelihood"])
    accuracy = {head: mean.mean for head, mean in read.accuracy.items()}
    tied = {head: mean.mean for head, mean in read.tied.items()}
    error = {head: np.sqrt(mean.mean) for head, mean in read.squares.items()}
    for name, statistic, meant, values in (
        ("accuracy", "share", "Rows whose most likely class in a layer is the label.", accuracy),
        ("tied", "share", "Rows whose largest score in a layer is that of several classes.", tied),
        ("error", "root_mean_square", "Error of a layer's scores, in the label's unit.", error),
    ):
        if values:
            named[name] = _by_layer_and_head(values, heads, statistic, meant)
    return Figures(named, coords)


_OF_WEIGHTS = {
    "deviation": "||W^l - alpha I|| / ||alpha I||: near 0 a layer speaks of the inputs, at 1.4 it does not.",
    "diagonal": "Mean of the diagonal of W^l.",
    "off_diagonal": "Mean magnitude off the diagonal of W^l.",
}
_READ = frozenset(["score", "increment", "class_likelihood", *_OF_WEIGHTS])


def _by_layer_and_head(values: Mapping[str, np.ndarray], heads: Sequence[str], statistic: Any, meaning: str) -> Figure:
    """One figure of several heads; NaN for those that it does not speak of."""
    lacking = [head for head in heads if head not in values]
    columns = [values.get(head, np.full(len(next(iter(values.values()))), np.nan)) for head in heads]
    undefined = f"for {', '.join(lacking)}: without labels, or of the other kind" if lacking else ""
    return Figure(("layer", "head"), np.stack(columns, axis=1), statistic, meaning, undefined=undefined)


class _Tally:
    """The figures of all layers, filled batch by batch.

    Attributes:
        of_weights: ``{name: (L,)}``. step: of ``(L,)``. accuracy, tied, squares: by head, of ``(L,)``.
    """

    def __init__(self, labels: Any, count: int) -> None:
        self._labels, self._count = labels, count
        self._by_head: dict[str, Any] | None = None
        self.of_weights: dict[str, np.ndarray] = {}
        self.step = RowMean()
        self.accuracy: dict[str, RowMean] = {}
        self.tied: dict[str, RowMean] = {}
        self.squares: dict[str, RowMean] = {}

    def add(self, maps: Mapping[str, np.ndarray], meaning: Mapping[str, MapLabels], rows: slice) -> None:
        """Take the maps of these rows in."""
        self.of_weights = {name: maps[name][0] for name in _OF_WEIGHTS}
        steps = np.moveaxis(np.abs(maps["increment"]), meaning["increment"].axes.index("layer") + 1, 1)
        self.step.add(steps.reshape(*steps.shape[:2], -1).mean(axis=-1))
        owners = np.asarray(meaning["score"].coords["target.head"])
        scores = {head: maps["score"][:, :, owners == head] for head in dict.fromkeys(owners.tolist())}
        likelihood = meaning.get("class_likelihood")
        classes = set() if likelihood is None else set(likelihood.coords["class.head"])
        if self._by_head is None:
            self._by_head = self._checked(scores, classes)
        for head, own in scores.items():
            if head in classes and own.shape[-1] > 1:
                ties = (own == own.max(axis=-1, keepdims=True)).sum(axis=-1) > 1
                self.tied.setdefault(head, RowMean()).add(ties)
            if head not in self._by_head:
                continue
            labels = self._by_head[head][rows]
            if head in classes:
                chosen = own[..., 0] > 0 if own.shape[-1] == 1 else own.argmax(axis=-1)
                self.accuracy.setdefault(head, RowMean()).add(chosen == labels[:, None])
            else:
                self.squares.setdefault(head, RowMean()).add(np.square(own - labels[:, None]).mean(axis=-1))

    def _checked(self, scores: Mapping[str, np.ndarray], classes: set[str]) -> dict[str, Any]:
        """The labels by head, once the heads are known."""
        named = {} if self._labels is None else _by_head(self._labels, tuple(scores))
        widths = {head: values.shape[-1] for head, values in scores.items()}
        return {
            head: (_classes if head in classes else _quantities)(values, self._count, widths[head], head)
            for head, values in named.items()
        }


def _quantities(labels: Any, count: int, width: int, head: str) -> np.ndarray:
    values = np.asarray(labels, "float64")
    shaped = values[:, None] if values.ndim == 1 else values
    if shaped.shape != (count, width) or not np.isfinite(shaped).all():
        raise ValueError(
            f"Expected finite labels of shape ({count}, {width}) for head '{head}'. "
            f"Received: shape={values.shape}, {int((~np.isfinite(values)).sum())} values that are not finite"
        )
    return shaped


def _classes(labels: Any, count: int, width: int, head: str) -> np.ndarray:
    values, last = np.asarray(labels), max(2, width) - 1
    if values.shape == (count, 1):
        values = values[:, 0]
    if values.shape != (count,) or not np.isin(values, np.arange(last + 1)).all():
        raise ValueError(
            f"Expected {count} labels from 0 to {last} for head '{head}', one integer per row. "
            f"Received: shape={np.shape(labels)}, values {np.unique(values)[:5]}"
        )
    return values


def _by_head(labels: Any, heads: tuple[str, ...]) -> dict[str, Any]:
    named = labels if isinstance(labels, Mapping) else {heads[0]: labels} if len(heads) == 1 else None
    if named is None or not set(named) <= set(heads):
        got = list(labels) if isinstance(labels, Mapping) else type(labels).__name__
        raise ValueError(f"Expected labels per head, a mapping with keys out of {list(heads)}. Received: {got}")
    return dict(named)
