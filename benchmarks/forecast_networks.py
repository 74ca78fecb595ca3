"""What `forecasting.py` trains: the two tasks, their windows, and the models that share them."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge

import xai_mimo as xm
from xai_mimo.core.model import Arrays, Model
from xai_mimo.datasets import Data, Scaling, Series, beijing, smart_house, split, windows
from xai_mimo.layers import IMVLSTM, MixtureMean, MixtureNLL

STEPS = 10
Loss = Literal["EM", "MSE"]


@dataclass(frozen=True)
class Task:
    """A data set with its heads, split and training settings.

    Attributes:
        name, title: for the command line and for tables.
        load: gives the series.
        groups: ``{stream: variables}``; every variable becomes an input stream of its own.
        heads: ``{head: (variable, steps ahead)}``.
        rows: of the series, for training and for validation; the rest is for testing.
        units: d of IMV-LSTM; learning_rate, batch: of Adam, whose rate decays to zero along a cosine; all three are the
            authors' but for the decay.
        windows: training and validation windows that are kept at most, evenly spaced.
        epochs: at most; patience: epochs without a better validation loss before training stops.
    """

    name: str
    title: str
    load: Callable[[], Series]
    groups: Mapping[str, tuple[str, ...]]
    heads: Mapping[str, tuple[str, int]]
    rows: tuple[int, int]
    units: int
    learning_rate: float
    batch: int
    windows: tuple[int, int]
    epochs: int
    patience: int

    @property
    def variables(self) -> tuple[str, ...]:
        """All variables, group by group."""
        return tuple(v for group in self.groups.values() for v in group)

    @property
    def steps_per_epoch(self) -> int:
        """Training steps, for the learning rate's decay."""
        return -(-self.windows[0] // self.batch)

    def quick(self) -> "Task":
        """Little data and one epoch: shows that everything runs, and no more."""
        return replace(self, windows=(200, 200), epochs=1)


TASKS = {
    "sml2010": Task(
        name="sml2010",
        title="SML2010, degC, a quarter hour and an hour ahead",
        load=smart_house.sml2010_series,
        groups=smart_house.STREAMS,
        heads={f"{v}_t+{h}": (v, h) for h in (1, 4) for v in ("dining_temp", "room_temp")},
        rows=(3200, 400),
        units=10,
        learning_rate=0.01,
        batch=32,
        windows=(3200, 400),
        epochs=20,
        patience=5,
    ),
    "pm25": Task(
        name="pm25",
        title="Beijing PM2.5, ug/m3, one and six hours ahead",
        load=beijing.beijing_pm25_series,
        groups=beijing.STREAMS,
        heads={f"pm25_t+{h}": ("pm25", h) for h in (1, 6)},
        rows=(26280, 8760),
        units=20,
        learning_rate=0.005,
        batch=64,
        windows=(5000, 2000),
        epochs=10,
        patience=4,
    ),
}


@dataclass(frozen=True)
class Parts:
    """Windows of a task.

    Attributes:
        train, validation, test: in standard units of all training windows.
        raw: the test windows in the series' units.
        scaling: between the two.
        available: training and validation windows before thinning.
    """

    train: Data
    validation: Data
    test: Data
    raw: Data
    scaling: Scaling
    available: tuple[int, int]


def prepare(task: Task) -> Parts:
    """Windows of the three parts, scaled by training windows alone and thinned after that."""
    whole = windows(task.load(), task.heads, steps=STEPS, streams={v: (v,) for v in task.variables})
    train, validation, raw = split(whole, task.rows)
    scaling = Scaling.of(train)
    kept = [scaling.apply(_thin(part, count)) for part, count in zip((train, validation), task.windows, strict=True)]
    return Parts(*kept, scaling.apply(raw), raw, scaling, available=(len(train), len(validation)))


def _thin(data: Data, count: int) -> Data:
    return data.take(np.linspace(0, len(data) - 1, min(count, len(data))).round().astype(int))


@dataclass(frozen=True)
class Network:
    """A network that is compiled once and fitted with several seeds, one after the other.

    Attributes:
        fitted: what is trained: ``{variable: (sample, time, 1)}`` to predictions or mixtures of all heads.
        model: the adapted predictor with the same weights, ``{head: (sample, 1)}`` in standard units.
        fresh: makes another one with initial weights of its own.
        optimizer: values of the optimizer's variables before the first step.
        has_maps: whether it is an IMV-LSTM.
    """

    fitted: keras.Model
    model: Model
    fresh: Callable[[], keras.Model]
    optimizer: Sequence[np.ndarray]
    has_maps: bool = False


def imv_network(
    task: Task, variant: Literal["tensor", "full"], loss: Loss, logits: Literal["tanh", "linear"]
) -> Network:
    """IMV-LSTM by the mixture's likelihood ("EM": the same gradient) or by the mean squared error."""

    def fresh() -> keras.Model:
        inputs = _inputs(task)
        kind, heads = ("mixture" if loss == "EM" else "prediction"), dict.fromkeys(task.heads, 1)
        layer = IMVLSTM(task.units, variant, heads, output=kind, logit_activation=logits, name="imv")
        return keras.Model(inputs, layer(inputs))

    fitted, predictor = fresh(), None
    if loss == "EM":
        predictor = keras.Model(fitted.input, {head: MixtureMean()(m) for head, m in fitted.output.items()})
    criterion = MixtureNLL if loss == "EM" else keras.losses.MeanSquaredError
    return _compiled(task, fitted, predictor, fresh, criterion, has_maps=True)


def lstm_network(task: Task, units: int) -> Network:
    """A plain LSTM over all variables at once, one linear unit for each head, by the mean squared error."""

    def fresh() -> keras.Model:
        inputs = _inputs(task)
        state = keras.layers.LSTM(units)(keras.layers.Concatenate()(list(inputs.values())))
        return keras.Model(inputs, {head: keras.layers.Dense(1)(state) for head in task.heads})

    return _compiled(task, fresh(), None, fresh, keras.losses.MeanSquaredError)


def fit(network: Network, task: Task, parts: Parts, seed: int) -> int:
    """Fit from new initial weights, keep those of the best validation loss, and tell after which epoch it was."""
    keras.utils.set_random_seed(seed)
    network.fitted.set_weights(network.fresh().get_weights())
    for variable, value in zip(network.fitted.optimizer.variables, network.optimizer, strict=True):
        variable.assign(value)
    stop = keras.callbacks.EarlyStopping(patience=task.patience, restore_best_weights=True)
    network.fitted.fit(
        parts.train.inputs,
        _targets(parts.train),
        validation_data=(parts.validation.inputs, _targets(parts.validation)),
        epochs=task.epochs,
        batch_size=task.batch,
        callbacks=[stop],
        verbose=0,
    )
    return stop.best_epoch + 1


def forecast(network: Network, parts: Parts) -> Arrays:
    """Predictions for the test windows, ``{head: (sample,)}``, in the series' units."""
    found = network.model.predict(parts.test.inputs)
    return {head: values[:, 0] for head, values in parts.scaling.undo(found).items()}


def lstm_units_for(parameters: int, task: Task) -> int:
    """Units of the plain LSTM whose number of parameters, 4 u (u + N + 1) + H (u + 1), is nearest to this one."""
    units = np.arange(1, 1000)
    counts = 4 * units * (units + len(task.variables) + 1) + len(task.heads) * (units + 1)
    return int(units[np.abs(counts - parameters).argmin()])


def forest_forecast(task: Task, parts: Parts, seed: int) -> Arrays:
    """A random forest over all values of a window: 100 trees, a third of the values at each split."""
    forest = RandomForestRegressor(100, max_features=1 / 3, min_samples_leaf=3, random_state=seed)
    return _table_forecast(forest, task, parts)


def ridge_forecast(task: Task, parts: Parts) -> Arrays:
    """Linear least squares over all values of a window, with a penalty of 1 in standard units."""
    return _table_forecast(Ridge(alpha=1.0), task, parts)


def persistence(task: Task, parts: Parts) -> Arrays:
    """The last value of the window, whatever the horizon."""
    return {head: parts.raw.inputs[variable][:, -1, 0] for head, (variable, _) in task.heads.items()}


def _table_forecast(model: Any, task: Task, parts: Parts) -> Arrays:
    model.fit(_flat(parts.train), np.stack([parts.train.labels[h] for h in task.heads], axis=1))
    found = model.predict(_flat(parts.test))
    return parts.scaling.undo(dict(zip(task.heads, found.T, strict=True)))


def _flat(data: Data) -> np.ndarray:
    return np.concatenate([x.reshape(len(x), -1) for x in data.inputs.values()], axis=1)


def _inputs(task: Task) -> dict[str, Any]:
    return {v: keras.Input((STEPS, 1), name=v) for v in task.variables}


def _targets(data: Data) -> Arrays:
    return {head: labels[:, None].astype("float32") for head, labels in data.labels.items()}


def _compiled(
    task: Task,
    fitted: keras.Model,
    predictor: keras.Model | None,
    fresh: Callable[[], keras.Model],
    loss: Callable[[], keras.losses.Loss],
    *,
    has_maps: bool = False,
) -> Network:
    schedule = keras.optimizers.schedules.CosineDecay(task.learning_rate, task.epochs * task.steps_per_epoch)
    fitted.compile(keras.optimizers.Adam(schedule), {head: loss() for head in task.heads})
    fitted.optimizer.build(fitted.trainable_variables)
    start = [np.array(variable) for variable in fitted.optimizer.variables]
    return Network(fitted, xm.adapt(predictor or fitted), fresh, start, has_maps)
