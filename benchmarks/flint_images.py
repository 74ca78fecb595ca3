"""FLINT by design on MNIST and FashionMNIST with the authors' networks, beside the paper's figures.

    KERAS_BACKEND=tensorflow python benchmarks/flint_images.py

Networks, batch size, optimiser, weights and schedule are the authors' (NeurIPS 2021, official code), and so is the
number of epochs; each epoch sees a part of the training rows only, to keep both data sets to some minutes of one
processor. So accuracies are those of few rows. The test rows are all 10000. The files are looked for in
$XAI_MIMO_DATA, or downloaded.
"""

import argparse
import os
import time

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import xarray as xr
from keras import layers

from xai_mimo.datasets import Data, fashion_mnist, mnist
from xai_mimo.layers import FLINT
from xai_mimo.layers.flint_networks import as_torch, default_decoder

ATTRIBUTES, BATCH, RATE = 25, 16, 1e-4
SETS = {"mnist": mnist, "fashion_mnist": fashion_mnist}
PAPER = {
    "mnist": "98.9 | 98.3 | 98.7 | 1.05 | 1.1 | 1.2",
    "fashion_mnist": "90.5 | 86.8 | 91.5 | 1.4 | 2.15 | 3.0",
}
"""Accuracy of f and of g, fidelity in percent; conciseness at tau 1.5, 3 and 5, read off a figure."""


def predictor(head: str) -> keras.Model:
    """The authors' network for both data sets, 809 034 weights."""
    image = keras.Input((28, 28, 1), name="image")
    settings = {"kernel_initializer": as_torch(None)}
    maps = layers.Conv2D(16, 3, padding="same", activation="relu", **settings)(image)
    maps = layers.MaxPooling2D(2)(layers.Conv2D(32, 3, padding="same", **settings)(maps))
    tap = layers.ReLU(name="tap")(layers.Dropout(0.5)(maps))
    hidden = layers.Dense(128, activation="relu", **settings)(layers.Flatten()(tap))
    return keras.Model(image, layers.Dense(10, name=head, **settings)(layers.Dropout(0.5)(hidden)))


def train(data: Data, epochs: int, seed: int) -> FLINT:
    """A FLINT trained by design, one line per epoch."""
    keras.utils.set_random_seed(seed)
    head = data.heads[0].name
    decoder = keras.Sequential(
        [keras.Input((ATTRIBUTES,)), default_decoder([(None, 28, 28, 1)], ATTRIBUTES), layers.ReLU()]
    )
    leaky = layers.LeakyReLU(0.01)
    settings = {"kinds": "multiclass", "schedule": "mnist", "attribute_activation": leaky, "decoder": decoder}
    model = FLINT(predictor(head), ["tap"], ATTRIBUTES, **settings)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(RATE), loss, metrics=["accuracy"])
    model.fit(data.inputs["image"], data.labels[head], batch_size=BATCH, epochs=epochs, verbose=2)
    return model


def row(name: str, reading: xr.Dataset, labels: np.ndarray, seconds: float) -> str:
    """One line of the table, and the paper's beneath it."""
    of_f, of_g = ((reading[which].values.argmax(axis=1) == labels).mean() for which in ("output", "score"))
    shares = " | ".join(f"{100 * share:.1f}" for share in (of_f, of_g, float(reading["fidelity"][0])))
    concise = " | ".join(f"{float(reading['conciseness'].sel(tau=tau)[0]):.2f}" for tau in (1.5, 3.0, 5.0))
    return f"| {name} | ours | {shares} | {concise} | {seconds:.0f} |\n| {name} | paper | {PAPER[name]} | - |"


def main() -> None:
    """Train on each data set and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--rows", type=int, default=10_000, help="training rows; all are 60000")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=121)
    given = parser.parse_args()
    lines = []
    for name in given.sets:
        whole, test = SETS[name](split="train"), SETS[name](split="test")
        chosen = np.random.default_rng(given.seed).permutation(60_000)[: given.rows]
        start = time.process_time()
        model = train(whole.take(np.sort(chosen)), given.epochs, given.seed)
        seconds = time.process_time() - start
        labels = np.asarray(test.labels[test.heads[0].name])
        lines.append(row(name, model.interpret(test.inputs["image"], threshold=0.1), labels, seconds))
        print(lines[-1], flush=True)
    print(f"\n{given.rows} training rows, {given.epochs} epochs, batch {BATCH}, backend {keras.backend.backend()}\n")
    print("| data | source | accuracy f | accuracy g | fidelity | tau 1.5 | tau 3 | tau 5 | training s |")
    print("|---|---|---|---|---|---|---|---|---|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
