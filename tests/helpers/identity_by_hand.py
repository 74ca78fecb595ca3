"""The identity-initialised MLP written slowly with NumPy, one row at a time, and weights to try it on."""

import keras
import numpy as np
from keras import ops

from xai_mimo.layers import IdentityMLP
from xai_mimo.layers.interception import read_maps

PHI = {
    "hard_tanh": lambda z: min(1.0, max(-1.0, z)),
    "tanh": np.tanh,
    "leaky_relu": lambda z: z if z >= 0 else 0.1 * z,
}
HEADS = {"kind": 3, "load": 2}


def randomize(layer, seed=3, spread=0.25):
    """Weights near the identity, so that nothing in a test is zero by chance; ``(W, b)`` in the paper's orientation."""
    rng = np.random.default_rng(seed)
    size = layer.kernel.shape[-1]
    kernel = (layer.alpha * np.eye(size) + spread * rng.normal(size=layer.kernel.shape)).astype("float32")
    bias = (0.1 * rng.normal(size=layer.bias.shape)).astype("float32")
    layer.kernel.assign(kernel)
    layer.bias.assign(bias)
    return np.swapaxes(kernel, 1, 2).astype("float64"), bias.astype("float64")


def built(x, **settings):
    """A layer with weights near the identity, and those weights."""
    layer = IdentityMLP(**({"heads": HEADS, "depth": 4} | settings))
    layer.build(x.shape)
    return layer, *randomize(layer)


def run_row(weights, biases, x, outputs, activation="hard_tanh", linear_scores=False):
    """h^0 ... h^L and z^1 ... z^L of one row, entry by entry."""
    hidden, sums = [np.concatenate([x, np.zeros(outputs)])], []
    for layer, (w, b) in enumerate(zip(weights, biases, strict=True), 1):
        z = np.array([sum(w[i, j] * hidden[-1][j] for j in range(len(b))) + b[i] for i in range(len(b))])
        h = z.copy()
        for i in range(len(z)):
            if layer < len(weights) and not (linear_scores and i >= len(x)):
                h[i] = PHI[activation](z[i])
        hidden.append(h)
        sums.append(z)
    return hidden, sums


def maps_of(layer, x):
    """Outputs, maps and labels, both by the map's own name."""
    outputs, maps, labels = read_maps(layer, x)
    return outputs, {k.rsplit("/", 1)[1]: v for k, v in maps.items()}, {v.name: v for v in labels.values()}


def weights_of(layer):
    """All weights by name, as NumPy arrays."""
    return {w.name: ops.convert_to_numpy(w).copy() for w in layer.weights}


def trained(x, y, layer, *, epochs=5, rate=0.1, loss=None, stream=None):
    """Trains with the batches in the order of the rows."""
    inputs = keras.Input(x.shape[1:], name=stream)
    model = keras.Model(inputs, layer(inputs))
    loss = loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(rate / layer.depth, momentum=0.9), loss)
    model.fit(x, y, batch_size=16, epochs=epochs, shuffle=False, verbose=0)
    return model
