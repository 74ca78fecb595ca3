"""FLINT by design on MNIST and FashionMNIST with the authors' networks, beside the paper's figures.

    KERAS_BACKEND=tensorflow python benchmarks/flint_images.py

Networks, batch size, optimiser, weights, schedule and epochs are the authors' (NeurIPS 2021, official code), and so is
the comparison with BASE-f, the same predictor trained alone. With ``--networks "FLINT, standardised"``:
``standardise=True`` and ReLU in the place of the authors' leaky ReLU, our linear decoder. One seed, about 25 minutes
of one processor for each data set. The files are looked for in $XAI_MIMO_DATA, or downloaded.
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
from xai_mimo.layers.flint.networks import as_torch, default_decoder

ATTRIBUTES, BATCH, RATE = 25, 16, 1e-4
STEPS_PER_CALL = 25  # of training: TensorFlow's own time per call is a fifth of a step's
SETS = {"mnist": mnist, "fashion_mnist": fashion_mnist}
COLUMNS = ["data", "network", "source", "rows", "accuracy f", "accuracy g", "fidelity"]
COLUMNS += ["tau 1.5", "tau 3", "tau 5", "training s"]
NOTHING = " | -" * 5  # what a predictor alone has no number for
PAPER = {
    "mnist": {"BASE-f": "98.9" + NOTHING, "FLINT": "98.9 | 98.3 | 98.7 | 1.05 | 1.1 | 1.2"},
    "fashion_mnist": {"BASE-f": "90.4" + NOTHING, "FLINT": "90.5 | 86.8 | 91.5 | 1.4 | 2.15 | 3.0"},
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


def flint(head: str) -> FLINT:
    """It and the authors' dictionary, interpreter head and decoder."""
    decoder = keras.Sequential(
        [keras.Input((ATTRIBUTES,)), default_decoder([(None, 28, 28, 1)], ATTRIBUTES), layers.ReLU()]
    )
    leaky = layers.LeakyReLU(0.01)
    settings = {"kinds": "multiclass", "schedule": "mnist", "attribute_activation": leaky, "decoder": decoder}
    return FLINT(predictor(head), ["tap"], ATTRIBUTES, **settings)


def standardised_flint(head: str) -> FLINT:
    """It and our default networks, attributes standardised; the phases of 12 epochs are the authors'."""
    return FLINT(predictor(head), ["tap"], ATTRIBUTES, kinds="multiclass", standardise=True)


NETWORKS = {"BASE-f": predictor, "FLINT": flint, "FLINT, standardised": standardised_flint}


def train(model: keras.Model, data: Data, epochs: int) -> float:
    """Train a network, one line per epoch; seconds of the processor."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(RATE), loss, metrics=["accuracy"], steps_per_execution=STEPS_PER_CALL)
    start = time.process_time()
    model.fit(data.inputs["image"], data.labels[data.heads[0].name], batch_size=BATCH, epochs=epochs, verbose=2)
    return time.process_time() - start


def percent_right(scores: np.ndarray, labels: np.ndarray) -> str:
    """Accuracy of the largest score."""
    return f"{100 * (scores.argmax(axis=1) == labels).mean():.1f}"


def figures(reading: xr.Dataset, labels: np.ndarray) -> str:
    """Accuracies, fidelity and conciseness of a FLINT, as cells of the table."""
    shares = [percent_right(reading[which].values, labels) for which in ("output", "score")]
    concise = [f"{float(reading['conciseness'].sel(tau=tau)[0]):.2f}" for tau in (1.5, 3.0, 5.0)]
    return " | ".join([*shares, f"{100 * float(reading['fidelity'][0]):.1f}", *concise])


def compare(name: str, networks: list[str], rows: int, epochs: int, seed: int) -> list[str]:
    """The lines of one data set: the networks, and beneath them the paper's."""
    whole, test = SETS[name](split="train"), SETS[name](split="test")
    data = whole.take(np.sort(np.random.default_rng(seed).permutation(60_000)[:rows]))
    head = data.heads[0].name
    images, labels = test.inputs["image"], np.asarray(test.labels[head])
    made: list[str] = []
    for network in networks:
        keras.utils.set_random_seed(seed)  # all start from the same predictor
        model = NETWORKS[network](head)
        seconds = train(model, data, epochs)
        if isinstance(model, FLINT):
            cells = figures(model.interpret(images, threshold=0.1), labels)
        else:
            cells = percent_right(model.predict(images, verbose=0), labels) + NOTHING
        lines = [f"| {name} | {network} | ours | {rows} | {cells} | {seconds:.0f} |"]
        if network in PAPER[name]:
            lines.append(f"| {name} | {network} | paper | 60000 | {PAPER[name][network]} | - |")
        print("\n".join(lines), flush=True)
        made += lines
    return made


def main() -> None:
    """Train on each data set and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=["BASE-f", "FLINT"])
    parser.add_argument("--rows", type=int, default=60_000, help="training rows of each set; default all")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=121)
    given = parser.parse_args()
    settings = (given.networks, given.rows, given.epochs, given.seed)
    lines = [line for name in given.sets for line in compare(name, *settings)]
    print(f"\n{given.epochs} epochs, batch {BATCH}, backend {keras.backend.backend()}\n")
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
