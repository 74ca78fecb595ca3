"""Split, standardise, weigh and fit: from a table to a trained network."""

import contextlib
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xai_mimo.core.errors import BadValues
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array
from xai_mimo.datasets import Data
from xai_mimo.studies.networks import Scale, compile_network

if TYPE_CHECKING:
    import keras

BATCH_OF_PREDICTION = 4096


@dataclass(frozen=True)
class Prepared:
    """Rows of one split, standardised by the training rows.

    Attributes:
        train, test: inputs with mean 0 and standard deviation 1 over the training rows (all features, one-hot ones
            too, so that zero is the mean row); labels in their own units.
        train_rows, test_rows: row numbers in the table.
        mean, std: of every feature over the training rows, ``{stream: (feature,)}``; std is 1 where it would be 0.
        scales: spread of the regression heads.
    """

    train: Data
    test: Data
    train_rows: Array
    test_rows: Array
    mean: Arrays
    std: Arrays
    scales: dict[str, Scale]


def prepare(data: Data, test_share: float, seed: int) -> Prepared:
    """Hold rows out, stratified, and standardise with what the training rows know.

    Raises:
        BadValues: a class of a head is missing from the training or the held-out rows.
    """
    train_rows, test_rows = split(data, test_share, np.random.default_rng(seed))
    for head in data.heads:
        if head.kind == "regression":
            continue
        for part, rows in (("training", train_rows), ("held-out", test_rows)):
            have = np.unique(data.labels[head.name][rows])
            if len(have) < max(2, head.size):
                raise BadValues(
                    f"head '{head.name}' has {len(have)} of its {max(2, head.size)} classes among the {len(rows)} "
                    f"{part} rows; a class needs several rows. Merge rare classes, or give more rows."
                )
    mean = {name: x[train_rows].mean(axis=0) for name, x in data.inputs.items()}
    spread = {name: x[train_rows].std(axis=0) for name, x in data.inputs.items()}
    std = {name: np.where(s > 0, s, 1.0) for name, s in spread.items()}
    scales = {
        h.name: Scale(float(y.mean()), float(y.std()) or 1.0)
        for h in data.heads
        if h.kind == "regression"
        for y in (data.labels[h.name][train_rows],)
    }
    inputs = {name: ((x - mean[name]) / std[name]).astype(np.float32) for name, x in data.inputs.items()}
    scaled = data.with_inputs(inputs)
    return Prepared(scaled.take(train_rows), scaled.take(test_rows), train_rows, test_rows, mean, std, scales)


def split(data: Data, test_share: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Training and held-out row numbers, stratified on the classes of all heads together.

    Every combination of classes is shuffled and cut at ``test_share``, carrying the rounding over to the next
    combination, so that rare ones together still give the share asked for.
    """
    kinds = [data.labels[h.name] for h in data.heads if h.kind != "regression"]
    table = np.stack(kinds, axis=1) if kinds else np.zeros((len(data), 1), dtype=np.int64)
    _, group = np.unique(table, axis=0, return_inverse=True)
    shuffled = rng.permutation(len(data))
    ordered = shuffled[np.argsort(group.reshape(-1)[shuffled], kind="stable")]
    due = np.floor(np.arange(len(data) + 1) * test_share + rng.random())
    held_out = np.diff(due) > 0
    if not held_out.any() or held_out.all():
        raise BadValues(f"{len(data)} rows cannot be split with test_share = {test_share}; give more rows.")
    return np.sort(ordered[~held_out]), np.sort(ordered[held_out])


def class_weights(labels: Array, balance: float) -> Array:
    """Weight of each row: (rows / (classes * rows of its class)) ** balance, divided by the mean over rows."""
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights = (len(labels) / (len(counts) * counts[codes])) ** balance
    return np.asarray(weights / weights.mean(), dtype=np.float32)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed what Keras and its backend draw from, and give Python and NumPy their own state back afterwards."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (Keras draws from the global one)
    try:
        _seed(seed)
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def _seed(seed: int) -> None:
    """As ``keras.utils.set_random_seed``, which loads TensorFlow wherever it is installed: seconds for nothing."""
    import keras
    from keras.src.backend.common import global_state

    if keras.config.backend() == "tensorflow" or "tensorflow" in sys.modules:
        keras.utils.set_random_seed(seed)
        return
    global_state.set_global_attribute("global_random_seed", seed)
    global_state.set_global_attribute("global_seed_generator", None)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    if keras.config.backend() == "torch":
        import torch

        torch.manual_seed(seed)


def fit(
    model: "keras.Model",
    data: Data,
    *,
    scales: dict[str, Scale],
    epochs: int,
    batch: int,
    learning_rate: float,
    balance: float,
    advance: Callable[[int], None],
) -> float:
    """Train in place; ``advance`` is called with each epoch's number when it is done.

    Returns:
        Training loss of the last epoch.
    Raises:
        BadValues: the loss became NaN or infinite.
    """
    import keras

    compile_network(model, data.heads, learning_rate, scales)
    labels = {
        h.name: data.labels[h.name].astype(np.float32 if h.kind != "multiclass" else np.int32) for h in data.heads
    }
    weights = {
        h.name: np.ones(len(data), np.float32)
        if h.kind == "regression"
        else class_weights(data.labels[h.name], balance)
        for h in data.heads
    }
    history = model.fit(
        data.inputs,
        {name: y[:, None] for name, y in labels.items()},
        sample_weight=weights,
        epochs=epochs,
        batch_size=batch,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: advance(epoch))],
    )
    loss = float(history.history["loss"][-1])
    if not np.isfinite(loss):
        raise BadValues(f"training of '{model.name}' ended with a loss of {loss}; lower training.learning_rate.")
    return loss
