"""FLINT after the fact on digits: how faithful the interpreter is, with nothing set but the number of attributes.

    KERAS_BACKEND=tensorflow python benchmarks/flint_post_hoc.py

Three networks of scikit-learn's digits (8 x 8 pixels in [0, 1]; Adam, 15 epochs), each explained by
``FLINT(f, ["tap"], num_attributes=12, post_hoc=True)`` with ``compile("adam")`` and 40 epochs of 32 rows. What is read
"""

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
from keras import layers

from xai_mimo.layers import FLINT

ATTRIBUTES, BATCH, EPOCHS, TEST_ROWS = 12, 32, 40, 500
CONCISE_AT = 3.0
COLUMNS = ["network", "seed", "backend", "accuracy f", "fidelity", "fidelity, training rows", "attributes alive"]
COLUMNS += [f"tau {CONCISE_AT:.0f}", "training s"]


def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training and test images, training and test labels."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    images = (x / 16).astype("float32").reshape(-1, 8, 8, 1)
    parts: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] = tuple(
        train_test_split(images, y, test_size=TEST_ROWS, stratify=y, random_state=0)
    )
    return parts


def deep() -> list[keras.layers.Layer]:
    """Two convolutions, the second one tapped."""
    first = [layers.Conv2D(16, 3, padding="same", activation="relu"), layers.MaxPooling2D()]
    tap = layers.Conv2D(32, 3, padding="same", activation="relu", name="tap")
    return [*first, tap, layers.Flatten(), layers.Dense(64, activation="relu")]


def small() -> list[keras.layers.Layer]:
    """One convolution, tapped before it is pooled."""
    tap = layers.Conv2D(16, 3, padding="same", activation="relu", name="tap")
    return [tap, layers.MaxPooling2D(), layers.Flatten(), layers.Dense(64, activation="relu")]


def mlp() -> list[keras.layers.Layer]:
    """Two dense layers, the second one tapped."""
    first = layers.Dense(64, activation="relu")
    return [layers.Flatten(), first, layers.Dense(64, activation="relu", name="tap")]


NETWORKS: dict[str, Callable[[], list[keras.layers.Layer]]] = {"deep": deep, "small": small, "mlp": mlp}


def predictor(network: str, x: np.ndarray, y: np.ndarray) -> keras.Model:
    """A network trained to tell the digits."""
    head = layers.Dense(10, activation="softmax", name="digit")
    model = keras.Sequential([keras.Input((8, 8, 1), name="image"), *NETWORKS[network](), head])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=BATCH, epochs=15, verbose=0)
    return model


def explained(f: keras.Model, x: np.ndarray, epochs: int = EPOCHS) -> FLINT:
    """A FLINT of it, all settings the default."""
    model = FLINT(f, ["tap"], num_attributes=ATTRIBUTES, post_hoc=True)
    model.compile("adam")
    model.fit(x, batch_size=BATCH, epochs=epochs, verbose=0)
    return model


def line(network: str, seed: int, epochs: int) -> str:
    """One line of the table."""
    x, x_test, y, y_test = digits()
    keras.utils.set_random_seed(seed)
    f = predictor(network, x, y)
    start = time.process_time()
    model = explained(f, x, epochs)
    seconds = time.process_time() - start
    reading, known = model.interpret(x_test), model.interpret(x)
    right = float((reading["output"].values.argmax(axis=1) == y_test).mean())
    shares = [f"{value:.3f}" for value in (right, float(reading["fidelity"][0]), float(known["fidelity"][0]))]
    alive = int((known["attributes"].values != 0).any(axis=0).sum())
    concise = float(reading["conciseness"].sel(tau=CONCISE_AT)[0])
    cells = [network, seed, keras.backend.backend(), *shares, f"{alive} of {ATTRIBUTES}", f"{concise:.2f}"]
    return f"| {' | '.join(map(str, cells))} | {seconds:.0f} |"


def main() -> None:
    """Train each network with each seed and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    options = parser.parse_args()
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|", flush=True)
    for network in options.networks:
        for seed in options.seeds:
            print(line(network, seed, options.epochs), flush=True)


if __name__ == "__main__":
    main()
