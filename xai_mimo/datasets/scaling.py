"""Standard units learned from the training rows alone, and the way back."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array, name_values, unknown
from xai_mimo.datasets.data import Data


@dataclass(frozen=True)
class Scaling:
    """Means and standard deviations of every feature and of every numeric label.

    A feature that is constant in training is only shifted: its zeros stay zeros, and a later change of it is not blown
    up.

    Attributes:
        inputs: ``{stream: (mean, deviation)}``, each ``(feature,)``.
        labels: ``{head: (mean, deviation)}`` of the regression heads.
    """

    inputs: Mapping[str, tuple[Array, Array]]
    labels: Mapping[str, tuple[float, float]]

    @staticmethod
    def of(train: Data) -> "Scaling":
        """Learn from these rows; every step of a window counts."""
        moments = {name: _moments(x.reshape(-1, x.shape[-1])) for name, x in train.inputs.items()}
        numeric = [h.name for h in train.heads if h.kind == "regression"]
        labels = {head: _moments(train.labels[head][:, None]) for head in numeric}
        return Scaling(moments, {head: (float(m[0]), float(s[0])) for head, (m, s) in labels.items()})

    def apply(self, data: Data) -> Data:
        """The same rows in standard units, inputs in float32, labels in float64.

        Raises:
            UnknownName: the data have other streams than those learned from.
        """
        learned = name_values(dict(self.inputs), [s.name for s in data.streams], "input stream")
        inputs = {name: ((data.inputs[name] - m) / s).astype(np.float32) for name, (m, s) in learned.items()}
        scaled = {head: (data.labels[head] - m) / s for head, (m, s) in self.labels.items() if head in data.labels}
        return replace(data.with_inputs(inputs), labels={**data.labels, **scaled})

    def undo(self, outputs: Arrays) -> Arrays:
        """Predictions in the labels' own units: ``{head: array}`` of any shape, in float64.

        Raises:
            UnknownName: a head whose labels were not learned from.
        """
        raw = {}
        for head, values in outputs.items():
            if head not in self.labels:
                raise unknown(head, self.labels, "scaled head")
            mean, deviation = self.labels[head]
            raw[head] = np.asarray(values, dtype=np.float64) * deviation + mean
        return raw


def _moments(values: Array) -> tuple[Array, Array]:
    deviation = values.std(axis=0)
    # The deviation of a constant column need not come out as zero in floating point.
    deviation[values.min(axis=0) == values.max(axis=0)] = 1.0
    return values.mean(axis=0), deviation
