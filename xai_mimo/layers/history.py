"""How the maps of a model change while it learns."""

from typing import Any

import keras
import numpy as np

from xai_mimo.layers.interception import read_maps
from xai_mimo.sowing import MapLabels


class InterceptionHistory(keras.callbacks.Callback):
    """Records the maps of a fixed probe batch before the first and after each epoch of ``fit``.

    ``fit`` starts the record anew. Everything recorded is NumPy; layers and model keep nothing.

    Args:
        probe: inputs of one batch, as the model takes them; small, since it is read whole at each epoch.

    Attributes:
        epochs: number of epochs behind each record: 0, 1, 2, ...
        maps: ``{"<layer path>/<map>": (epoch, sample, *axes)}``, filled when ``fit`` ends.
        labels: what the axes of each map mean.
    """

    def __init__(self, probe: Any) -> None:
        super().__init__()
        self.probe = probe
        self.epochs: list[int] = []
        self.maps: dict[str, np.ndarray] = {}
        self.labels: dict[str, MapLabels] = {}
        self._records: list[dict[str, np.ndarray]] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Forget an earlier ``fit`` and record the untrained model."""
        self.epochs, self.maps, self.labels, self._records = [], {}, {}, []
        self._record(0)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record the model after this epoch."""
        self._record(epoch + 1)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Stack the records along the epoch axis."""
        self.maps = {key: np.stack([record[key] for record in self._records]) for key in self._records[0]}
        self._records = []

    def _record(self, epoch: int) -> None:
        _, maps, self.labels = read_maps(self.model, self.probe)
        if not maps:
            raise ValueError(
                "Expected a model that holds a layer which sows maps, such as MAIL. "
                f"Received: model '{self.model.name}' with layers {[layer.name for layer in self.model.layers]}"
            )
        self._records.append(maps)
        self.epochs.append(epoch)
