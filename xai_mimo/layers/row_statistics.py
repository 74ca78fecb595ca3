"""Means over many rows that are read batch by batch, and the figures that a layer's summary is made of."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import keras
import numpy as np

from xai_mimo.layers.interception import read_maps
from xai_mimo.sowing import MapLabels

Statistic = Literal["mean", "std", "share", "count", "root_mean_square", "score", "weights"]


@dataclass(frozen=True)
class Figure:
    """One variable of a summary.

    Attributes:
        dims: words for the axes of ``values``.
        values: over the rows, which are no axis of it.
        statistic: what was done with the rows: their "mean", its "std", the "share" or "count" of those that do
            something, a "root_mean_square", a "score" of all together; "weights" do not depend on them.
        meaning: one sentence.
        unit: of the values; "" for pure numbers and where it is not known.
        undefined: where the values are NaN, and why; "" where they are finite.
    """

    dims: tuple[str, ...]
    values: Any
    statistic: Statistic
    meaning: str
    unit: str = ""
    undefined: str = ""


class Figures(NamedTuple):
    """All that a summary says of one layer: figures by name, and labels by dimension as xarray takes them."""

    figures: dict[str, Figure]
    coords: dict[str, Any]


class RowMean:
    """Mean and standard deviation over rows that come in batches, in float64; no row is kept.

    Batches are merged by their means and squared deviations (Chan, Golub and LeVeque 1983), which does not cancel.
    """

    def __init__(self) -> None:
        self._count: Any = 0.0
        self._mean: Any = 0.0
        self._squares: Any = 0.0

    def add(self, values: Any, counts: Any = None) -> None:
        """Take rows in.

        Args:
            values: ``(row, ...)``.
            counts: 1 where a value counts and 0 where it does not, e.g. at padding; broadcast against the values.
        """
        values = np.asarray(values, "float64")
        weights = (
            np.ones_like(values) if counts is None else np.broadcast_to(np.asarray(counts, "float64"), values.shape)
        )
        count = weights.sum(axis=0)
        mean = (weights * values).sum(axis=0) / np.maximum(count, 1.0)
        squares = (weights * np.square(values - mean)).sum(axis=0)
        total = self._count + count
        shift = mean - self._mean
        self._mean = self._mean + shift * count / np.maximum(total, 1.0)
        self._squares = self._squares + squares + np.square(shift) * self._count * count / np.maximum(total, 1.0)
        self._count = total

    @property
    def count(self) -> np.ndarray:
        """How many rows count, of each value."""
        return np.asarray(self._count)

    @property
    def total(self) -> np.ndarray:
        """Sum over the rows that count."""
        return np.asarray(self._mean * self._count)

    @property
    def mean(self) -> np.ndarray:
        """NaN where no row counts."""
        return np.where(self.count > 0, self._mean, np.nan)

    @property
    def std(self) -> np.ndarray:
        """Standard deviation over the rows themselves; divided by their number, not by one less."""
        return np.where(self.count > 0, np.sqrt(self._squares / np.maximum(self.count, 1.0)), np.nan)

    def figures(self, name: str, dims: tuple[str, ...], meaning: str, **more: Any) -> dict[str, Figure]:
        """The mean under this name, and the standard deviation as ``<name>_std``."""
        spoken = meaning[0].lower() + meaning[1:]
        return {
            name: Figure(dims, self.mean, "mean", meaning, **more),
            f"{name}_std": Figure(dims, self.std, "std", f"Standard deviation over rows of: {spoken}", **more),
        }


@dataclass(frozen=True)
class Rows:
    """What a model gives and its layers sow for some of the rows.

    Attributes:
        rows: which of all.
        outputs: of the model, as it structures them.
        maps: by ``"<layer path>/<map>"``, in float64.
        labels: what the axes of the maps mean, likewise.
    """

    rows: slice
    outputs: Any
    maps: dict[str, np.ndarray]
    labels: dict[str, MapLabels]

    def of_layer(self, path: str) -> tuple[dict[str, np.ndarray], dict[str, MapLabels]]:
        """Maps and labels of one layer, by the maps' own names."""
        keys = {label.name: key for key, label in self.labels.items() if label.layer == path}
        return {n: self.maps[k] for n, k in keys.items()}, {n: self.labels[k] for n, k in keys.items()}


def count_rows(inputs: Any) -> int:
    """Number of rows.

    Raises:
        ValueError: there is none.
    """
    arrays = keras.tree.flatten(inputs)
    count = len(arrays[0]) if arrays else 0
    if not count:
        raise ValueError(f"Expected at least one row. Received: inputs with {count} rows")
    return count


def take_rows(inputs: Any, index: Any) -> Any:
    """These rows of inputs of any structure."""
    return keras.tree.map_structure(lambda values: np.asarray(values)[index], inputs)


def read_rows(model: Any, inputs: Any, batch_size: int, names: Any = None) -> Iterator[Rows]:
    """Run a model on all rows, batch by batch, and read what its layers sow.

    Args:
        names: of the maps, see ``collect``.
    Raises:
        ValueError: there are no rows.
    """
    count = count_rows(inputs)
    size = min(batch_size, count)
    for start in range(0, count, size):
        rows = slice(start, min(start + size, count))
        index = np.minimum(np.arange(start, start + size), count - 1)  # equal batches: one shape to compile for
        outputs, maps, labels = read_maps(model, take_rows(inputs, index), names=names)
        real = slice(rows.stop - rows.start)
        arrays = {key: np.asarray(values, "float64")[real] for key, values in maps.items()}
        yield Rows(rows, keras.tree.map_structure(lambda values, real=real: values[real], outputs), arrays, labels)


def axis_labels(labels: MapLabels) -> dict[str, Any]:
    """Labels of a sown map as coordinates: ``"feature.stream"`` becomes ``feature_stream`` along ``feature``.

    The entries of an axis that is labelled by head and unit are called ``head:unit``.
    """
    coords: dict[str, Any] = {}
    for axis, values in labels.coords.items():
        dim, _, further = axis.partition(".")
        coords[axis.replace(".", "_")] = (dim, list(values)) if further else list(values)
        if further == "head" and f"{dim}.unit" in labels.coords:
            coords[dim] = [f"{head}:{unit}" for head, unit in zip(values, labels.coords[f"{dim}.unit"], strict=True)]
    return coords


def replaced(old: str, call: str, variables: str) -> None:
    """Warn that a function is an alias of ``summarise`` and goes with the next version."""
    warnings.warn(
        f"xai_mimo.layers.{old} is replaced by xai_mimo.layers.{call}, where its values are called {variables}, and "
        "goes with version 0.2.",
        DeprecationWarning,
        stacklevel=3,
    )
