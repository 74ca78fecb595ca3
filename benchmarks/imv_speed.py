"""What one training step of IMV-Tensor costs against a plain LSTM of equal size, and whether compiling grows with N.

    KERAS_BACKEND=jax python benchmarks/imv_speed.py

The two models train in turns, so that other work on the machine slows both; each figure is the best of its rounds. The
aim is a ratio of at most 2.
"""

import os
import time
from collections.abc import Mapping

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

from xai_mimo.layers import IMVLSTM

BATCH, STEPS, VARIABLES, UNITS = 64, 20, 10, 20
ROUNDS, STEPS_PER_ROUND = 15, 10
COMPILED_SIZES = (5, 10, 20, 40, 80)


def compiled(layers: list[keras.layers.Layer], variables: int = VARIABLES) -> keras.Model:
    """A model of these layers with Adam and the mean squared error."""
    model = keras.Sequential([keras.Input((STEPS, variables)), *layers])
    model.compile("adam", "mse")
    return model


def rows(variables: int = VARIABLES) -> tuple[np.ndarray, np.ndarray]:
    """One batch of standard normal data."""
    rng = np.random.default_rng(0)
    return (
        rng.normal(size=(BATCH, STEPS, variables)).astype("float32"),
        rng.normal(size=(BATCH, 1)).astype("float32"),
    )


def seconds_per_step(models: Mapping[str, keras.Model]) -> dict[str, float]:
    """Best seconds of one training step of each model, taken in turns."""
    x, y = rows()
    best = dict.fromkeys(models, np.inf)
    for model in models.values():
        model.train_on_batch(x, y)
    for _ in range(ROUNDS):
        for name, model in models.items():
            start = time.perf_counter()
            for _ in range(STEPS_PER_ROUND):
                model.train_on_batch(x, y)
            best[name] = min(best[name], (time.perf_counter() - start) / STEPS_PER_ROUND)
    return best


def seconds_to_compile(variables: int) -> float:
    """Seconds of the first training step, build included."""
    x, y = rows(variables)
    start = time.perf_counter()
    compiled([IMVLSTM(UNITS)], variables).train_on_batch(x, y)
    return time.perf_counter() - start


def main() -> None:
    """Print both tables."""
    models = {
        f"LSTM({VARIABLES * UNITS})": compiled([keras.layers.LSTM(VARIABLES * UNITS), keras.layers.Dense(1)]),
        f"IMVLSTM({UNITS}), tensor": compiled([IMVLSTM(UNITS)]),
        f"IMVLSTM({UNITS}), full": compiled([IMVLSTM(UNITS, "full")]),
    }
    best = seconds_per_step(models)
    plain = next(iter(best.values()))
    print(f"{keras.backend.backend()}: one training step, batch {BATCH}, T = {STEPS}, N = {VARIABLES}")
    for name, seconds in best.items():
        print(f"  {name:22} {1e3 * seconds:7.2f} ms   {seconds / plain:5.2f} x")
    print(f"first step of IMVLSTM({UNITS}), tensor, build and compilation included")
    for variables in COMPILED_SIZES:
        print(f"  N = {variables:3}   {seconds_to_compile(variables):5.2f} s")


if __name__ == "__main__":
    main()
