"""When each of FLINT's losses begins: reconstruction first, then fidelity and sparsity, then the entropies.

Entropies before the attributes carry information collapse the dictionary, hence the order.

Source: the official code of Parekh, Mozharovskyi and d'Alche-Buc (2021), epochs counted from 1; that other lengths of
training scale the beginnings (a sixth and a third) is our reading.
"""

from collections.abc import Mapping
from numbers import Real
from typing import Any

import keras

Weights = dict[str, float]

DEFAULT_WEIGHTS: Weights = {"reconstruction": 0.8, "fidelity": 0.5, "sparsity": 0.1, "entropy": 0.2}
"""gamma, beta, delta * eta and delta of the paper, for MNIST: what its code calls rec, expl, spa and ent."""

OFF: Weights = dict.fromkeys(DEFAULT_WEIGHTS, 0.0)

PUBLISHED: dict[str, dict[int, Weights]] = {
    "mnist": {
        1: {"reconstruction": 0.8, "fidelity": 0.0, "sparsity": 0.0, "entropy": 0.0},
        3: {"fidelity": 0.5, "sparsity": 0.1},
        5: {"entropy": 0.2},
    },
    "quickdraw": {
        1: {"reconstruction": 5.0, "fidelity": 0.0, "sparsity": 0.0, "entropy": 0.0},
        2: {"sparsity": 0.02},
        3: {"fidelity": 0.1, "sparsity": 0.30},
        4: {"entropy": 0.1},
    },
    "cifar10": {
        1: {"reconstruction": 2.0, "fidelity": 0.0, "sparsity": 0.0, "entropy": 0.0},
        2: {"sparsity": 0.001},
        3: {"fidelity": 0.6, "sparsity": 0.15},
        4: {"entropy": 0.2},
    },
}
"""The authors' schedules: first epoch, from 1, -> weights that change from then on. FashionMNIST has that of "mnist".

"cifar10" goes with ``reconstruction_loss="absolute"``, and with a new Adam at 4e-5 from epoch 19.
"""


def check_weights(weights: Mapping[str, float], what: str = "weights") -> Weights:
    """Weights as plain numbers.

    Raises:
        ValueError: an unknown name, or a weight that is negative or not finite.
    """
    for name, value in weights.items():
        if name not in DEFAULT_WEIGHTS or not is_weight(value):
            raise ValueError(
                f"Expected `{what}` to give finite numbers of 0 or more for {', '.join(DEFAULT_WEIGHTS)}. "
                f"Received: {name}={value!r}"
            )
    return {name: float(value) for name, value in weights.items()}


def is_weight(value: Any) -> bool:
    """Whether a value is a finite number of 0 or more."""
    return isinstance(value, Real) and not isinstance(value, bool) and 0 <= float(value) < float("inf")


def phases(weights: Mapping[str, float], epochs: int) -> dict[int, Weights]:
    """The authors' order for any number of epochs E: fidelity and sparsity after E/6 epochs, entropies after E/3.

    Args:
        weights: all four, as they are at the end.
        epochs: E. Training of fewer than 3 epochs has all terms from the start.
    Returns:
        First epoch, counted from 1, -> weights that change from then on.
    """
    starts: dict[int, Weights] = {1: {**OFF, "reconstruction": weights["reconstruction"]}}
    for start, names in ((epochs // 6, ("fidelity", "sparsity")), (epochs // 3, ("entropy",))):
        starts.setdefault(start + 1, {}).update({name: weights[name] for name in names})
    return starts


def weights_at(schedule: Mapping[int, Mapping[str, float]], epoch: int) -> Weights:
    """The weights that a schedule has set by an epoch, counted from 1."""
    weights: Weights = {}
    for start in sorted(schedule):
        if start <= epoch:
            weights.update(schedule[start])
    return weights


def check_schedule(schedule: Any) -> dict[int, Weights]:
    """A schedule with whole epochs as keys, also where they come from JSON as text.

    Raises:
        ValueError: it is no mapping, or an epoch is no integer of 1 or more.
    """
    if not isinstance(schedule, Mapping) or not schedule:
        raise ValueError(
            f"Expected `schedule` to be 'phases', None, one of {', '.join(map(repr, PUBLISHED))} or a mapping epoch -> "
            f"weights. Received: schedule={schedule!r}"
        )
    epochs = {str(epoch): epoch for epoch in schedule}
    wrong = [epoch for epoch in epochs if not epoch.isdigit() or int(epoch) < 1]
    if wrong:
        raise ValueError(f"Expected `schedule` to have epochs of 1 or more as keys. Received: {wrong[0]}")
    return {int(epoch): check_weights(schedule[key], "schedule") for epoch, key in epochs.items()}


class FlintSchedule(keras.callbacks.Callback):
    """Sets the weights of a ``FLINT`` at the beginning of each epoch, and logs weights and terms at its end.

    ``FLINT.fit`` adds one made of the model's own ``schedule``; give another to ``fit`` to replace it. Weights are
    variables of the model: nothing is compiled again. They stay as the last epoch left them. Logged are
    ``<term>_weight`` and the epoch's mean ``<term>`` before weighting.

    Args:
        schedule: "phases" (see ``phases``), a name in ``PUBLISHED``, a mapping of first epochs, counted from 1, to the
            weights that change from then on, or None, which logs only.
    """

    def __init__(self, schedule: str | Mapping[int, Mapping[str, float]] | None = "phases") -> None:
        super().__init__()
        self.schedule = read_schedule(schedule)
        self._epochs: dict[int, Weights] = {}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Fix the phases for this number of epochs."""
        if self.schedule == "phases":
            self._epochs = phases(self.model.final_weights, self.params["epochs"])
        else:
            self._epochs = self.schedule or {}

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set this epoch's weights."""
        self.model.set_term_weights(weights_at(self._epochs, epoch + 1))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Log weights and terms."""
        if logs is not None:
            logs.update({f"{name}_weight": value for name, value in self.model.term_weights().items()})
            logs.update(self.model.take_term_means())


def read_schedule(schedule: Any) -> Any:
    """A schedule checked: None, "phases", or first epochs and weights."""
    if schedule is None or schedule == "phases":
        return schedule
    return check_schedule(PUBLISHED.get(schedule, schedule) if isinstance(schedule, str) else schedule)
