"""What identity initialisation does to a deep MLP that reads MNIST: accuracy of every layer, deviation, deletion.

    KERAS_BACKEND=jax python benchmarks/identity_mnist.py

Depths 5, 10 and 20, each initialised as the identity, orthogonally and after Glorot, trained alike on a part of MNIST
that keeps the whole to about ten minutes of one processor; so accuracies are those of few rows and epochs. Pixels stay
in [0, 1] and scores are linear; identity initialisation is also run with the layer's defaults, [-1, 1] and hard tanh on
the scores too. The files are looked for in $XAI_MIMO_DATA/mnist, or downloaded.

A layer's accuracy is that of its own class scores; no probe is trained. Deletion replaces 16 % of the pixels by their
training mean, those that come first in a map of the predicted class, and asks for the accuracy that is left: a map
of important pixels should leave less of it than a random choice does.
"""

import argparse
import os
import time
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

from xai_mimo.datasets import Data, mnist
from xai_mimo.layers import IdentityMLP, read_layers
from xai_mimo.layers.identity_mlp.summary import LayerReading

DEPTHS = (5, 10, 20)
_PLAIN = {"scale": (-1, 1), "class_activation": "linear"}
SETTINGS: dict[str, dict[str, Any]] = {
    "identity": _PLAIN,
    "identity, defaults": {"scale": (0, 1)},
    "orthogonal": {**_PLAIN, "initializer": "orthogonal"},
    "Glorot": {**_PLAIN, "initializer": "glorot_uniform"},
}
TRAIN_ROWS, TEST_ROWS, EXPLAINED_ROWS = 4000, 2000, 500
EPOCHS, BATCH = 6, 64
DELETED = 0.16
MAPS = ("contribution", "direct_contribution", "change")


@dataclass(frozen=True)
class Outcome:
    """One trained network.

    Attributes:
        reading: of the test rows.
        deletion: accuracy on the explained rows after deletion, by the map that chose the pixels; "none" before it.
        seconds: of the processor, in training.
    """

    reading: LayerReading
    deletion: dict[str, float]
    seconds: float


def network(depth: int, settings: dict[str, Any]) -> keras.Model:
    """A compiled network in its initial state."""
    inputs = keras.Input((28, 28, 1), name="image")
    layer = IdentityMLP(10, depth, stream_name="image", name="digit", **settings)
    model = keras.Model(inputs, layer(inputs))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1 / depth, momentum=0.9), loss)
    return model


def accuracy(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of rows whose largest score is that of the label."""
    return float((model.predict(images, verbose=0).argmax(axis=1) == labels).mean())


def orders(model: keras.Model, images: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """How important each pixel of each row is, ``(rows, pixels)``, by map."""
    found = read_layers(model, images, maps=MAPS, batch_size=100).maps
    rows, predicted = np.arange(len(images)), model.predict(images, verbose=0).argmax(axis=1)
    flat = {name: values.reshape(len(images), -1, values.shape[-2]) for name, values in found.items()}
    return {
        "contribution": flat["contribution"][rows, :, predicted],
        "A_c": flat["direct_contribution"][rows, :, predicted],
        "|c^L|": np.abs(flat["change"][:, :, -1]),
        "random": rng.random((len(images), 784)),
    }


def deletion(model: keras.Model, test: Data, mean: np.ndarray, seed: int) -> dict[str, float]:
    """Accuracy with the first pixels of each order replaced by their training mean."""
    images, labels = test.inputs["image"], test.labels["digit"]
    left = {"none": accuracy(model, images, labels)}
    for name, order in orders(model, images, np.random.default_rng(seed)).items():
        first = np.argsort(-order, axis=1)[:, : round(DELETED * 784)]
        changed = images.reshape(len(images), -1).copy()
        np.put_along_axis(changed, first, mean.reshape(-1)[first], axis=1)
        left[name] = accuracy(model, changed.reshape(images.shape), labels)
    return left


def measure(train: Data, test: Data, depth: int, settings: dict[str, Any], seed: int) -> Outcome:
    """Train one network and read it."""
    keras.utils.set_random_seed(seed)
    images, model = train.inputs["image"], network(depth, settings)
    start = time.process_time()
    model.fit(images, train.labels["digit"], batch_size=BATCH, epochs=EPOCHS, verbose=0)
    seconds = time.process_time() - start
    reading = read_layers(model, test.inputs["image"], test.labels["digit"], batch_size=100)
    explained = test.take(slice(0, EXPLAINED_ROWS))
    return Outcome(reading, deletion(model, explained, images.mean(axis=0), seed), seconds)


def line(name: str, depth: int, outcome: Outcome) -> str:
    """One row of the table."""
    layers = sorted({1, depth // 4 + 1, depth // 2, depth - 1})
    scores = outcome.reading.accuracy["head_0"]
    early = ", ".join(f"{scores[i - 1]:.3f} ({i})" for i in layers)
    left = " / ".join(f"{value:.3f}" for value in outcome.deletion.values())
    deviation = outcome.reading.deviation
    spread = f"{deviation.mean():.3f} ({deviation[:-1].max():.3f}, {deviation[-1]:.3f})"
    return f"| {name} | {depth} | {scores[-1]:.3f} | {early} | {spread} | {left} | {outcome.seconds:.0f} |"


def main() -> None:
    """Print the table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--depths", type=int, nargs="+", default=DEPTHS)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    train, test = (
        data.take(np.sort(rng.choice(len(data), rows, replace=False)))
        for data, rows in ((mnist(), TRAIN_ROWS), (mnist(split="test"), TEST_ROWS))
    )
    print(f"{keras.backend.backend()}, {TRAIN_ROWS} training rows, {EPOCHS} epochs, seed {options.seed}")
    print("| init | L | accuracy | accuracy of layers | deviation: mean (largest of the hidden, last) | ", end="")
    print("left by deletion: none / contribution / A_c / abs c^L / random | CPU s |")
    print("|---|---|---|---|---|---|---|")
    for name, settings in SETTINGS.items():
        for depth in options.depths:
            print(line(name, depth, measure(train, test, depth, settings, options.seed)), flush=True)


if __name__ == "__main__":
    main()
