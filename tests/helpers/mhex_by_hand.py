"""The equations of an MHEX head as slow loops, and what its tests share."""

import keras
import numpy as np

from xai_mimo.layers import MHEXHead
from xai_mimo.layers.interception import read_maps

HEADS = {"kind": 3, "load": 2}
ALL_MAPS = ("logits", "gate", "class_map", "mask", "features", "gated_features")
IMAGE, TOKENS = (2, 3, 4, 5), (2, 6, 5)


def built(shape=IMAGE, seed=0, **settings):
    """A head with weights of its own, and a local branch and a shortcut for it."""
    layer = MHEXHead(**(settings or {"heads": HEADS}))
    layer.build([shape, shape])
    randomize(layer, seed)
    return layer, pair(shape, seed)


def pair(shape=IMAGE, seed=0):
    rng = np.random.default_rng(seed + 100)
    return [rng.normal(size=shape).astype("float32") for _ in range(2)]


def randomize(layer, seed=0):
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.normal(0, 0.5, w.shape) for w in layer.weights])


def maps_of(layer, inputs, names=ALL_MAPS):
    """Outputs, maps by name and their labels by name."""
    outputs, maps, labels = read_maps(layer, inputs, names=names)
    return outputs, {labels[k].name: v for k, v in maps.items()}, {labels[k].name: v for k, v in labels.items()}


def weights_of(layer):
    return {w.name: keras.ops.convert_to_numpy(w).astype("float64") for w in layer.weights}


def slowly(inputs, w1, w2, bias=None, mask=None):
    """Every quantity of the head, one row, position, channel and unit at a time."""
    local, shortcut = (values.astype("float64").reshape(len(values), -1, values.shape[-1]) for values in inputs)
    rows, places, channels = local.shape
    real = np.ones((rows, places)) if mask is None else np.asarray(mask, "float64").reshape(rows, places)
    gate, output = np.zeros((rows, channels)), np.zeros(local.shape)
    logits, class_map = np.zeros((rows, w2.shape[1])), np.zeros((rows, places, w2.shape[1]))
    for b in range(rows):
        count = max(real[b].sum(), 1.0)
        mean_sum = [
            sum(real[b, p] * (local[b, p, k] + shortcut[b, p, k]) for p in range(places)) for k in range(channels)
        ]
        for j in range(channels):
            gate[b, j] = 1 / (1 + np.exp(-sum(mean_sum[k] / count * w1[k, j] for k in range(channels))))
        for p in range(places):
            for k in range(channels):
                output[b, p, k] = gate[b, k] * local[b, p, k] + shortcut[b, p, k]
        for c in range(w2.shape[1]):
            for p in range(places):
                for k in range(channels):
                    feature = max(local[b, p, k] + shortcut[b, p, k], 0.0) * real[b, p]
                    class_map[b, p, c] += feature * sum(w1[k, m] * w2[m, c] for m in range(channels))
            logits[b, c] = class_map[b, :, c].sum() / count + (0.0 if bias is None else bias[c])
    shape = inputs[0].shape
    return {
        "gate": gate,
        "output": output.reshape(shape),
        "logits": logits,
        "class_map": class_map.reshape(*shape[:-1], -1),
    }
