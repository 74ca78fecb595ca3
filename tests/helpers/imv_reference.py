"""The equations of IMV-LSTM written slowly in NumPy, float64, one row, one variable and one step at a time."""

import keras
import numpy as np
from keras import ops

from xai_mimo.layers import IMVLSTM
from xai_mimo.layers.interception import read_maps
from xai_mimo.sowing import collect

VARIANTS = ("tensor", "full")
HEADS = {"load": 1, "forces": 2}


def randomize(layer, seed=0):
    """Give every weight, biases included, a random value, and return them by name, the cell's with ``cell.`` in front."""
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape) * 0.6)
    cell = {f"cell.{w.name}": np.asarray(keras.ops.convert_to_numpy(w), "float64") for w in layer.cell.weights}
    own = {w.name: np.asarray(keras.ops.convert_to_numpy(w), "float64") for w in layer.weights if "cell" not in w.path}
    return cell | own


def compiled(function):
    """The function, compiled on JAX, whose first run without compilation takes seconds for each new shape."""
    if keras.backend.backend() != "jax":
        return function
    import jax

    return jax.jit(function)


def read(model, inputs):
    """``read_maps``, compiled on JAX."""
    if keras.backend.backend() != "jax":
        return read_maps(model, inputs)
    labels = {}

    def run(tensors):
        with collect(labels) as maps:
            outputs = model(tensors, training=False)
        return outputs, dict(maps)

    outputs, maps = keras.tree.map_structure(np.asarray, compiled(run)(inputs))
    return outputs, maps, labels


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def softmax(values):
    e = np.exp(values - values.max())
    return e / e.sum()


def tensor_step(w, x, h, c):
    """x ``(N, d_0)``, h and c ``(N, d)``: one LSTM per variable, Eqs. 1 and 5-7."""
    new_h, new_c = np.empty_like(h), np.empty_like(c)
    for n in range(len(x)):
        z = x[n] @ w["cell.kernel"][n] + h[n] @ w["cell.recurrent_kernel"][n] + w["cell.bias"][n]
        i, f, j, o = np.split(z, 4)
        new_c[n] = sigmoid(f) * c[n] + sigmoid(i) * np.tanh(j)
        new_h[n] = sigmoid(o) * np.tanh(new_c[n])
    return new_h, new_c


def full_step(w, x, h, c):
    """Eqs. 1-4."""
    update = np.stack(
        [
            np.tanh(h[n] @ w["cell.recurrent_kernel"][n] + x[n] @ w["cell.kernel"][n] + w["cell.bias"][n])
            for n in range(len(x))
        ]
    )
    z = x.ravel() @ w["cell.gate_kernel"] + h.ravel() @ w["cell.gate_recurrent_kernel"] + w["cell.gate_bias"]
    i, f, o = (sigmoid(part).reshape(h.shape) for part in np.split(z, 3))
    new_c = f * c + i * update
    return o * np.tanh(new_c), new_c


def run_row(layer, w, x, real):
    """Everything that one row ``(T, N, d_0)`` gives, ``real`` being its mask.

    Returns:
        hidden ``(T, N, d)``, alpha ``(H, T, N)``, pi ``(H, N)``, and per head mu and sigma ``(N, w)`` (sigma or None).
    """
    config = layer.get_config()
    step = tensor_step if config["variant"] == "tensor" else full_step
    squash = np.tanh if config["logit_activation"] == "tanh" else (lambda v: v)
    steps, count = x.shape[:2]
    h = c = np.zeros((count, config["units"]))
    hidden = []
    for t in range(steps):
        if real[t]:
            h, c = step(w, x[t], h, c)
        hidden.append(h)
    hidden = np.stack(hidden)
    allowed = [t for t in range(steps) if real[t]]
    if not config["attend_last"] and len(allowed) > 1:
        allowed = allowed[:-1]
    heads = config["heads"] or [1]
    widths = list(heads.values()) if isinstance(heads, dict) else list(heads)
    alpha, prior, means, scales = np.zeros((len(widths), steps, count)), np.zeros((len(widths), count)), [], []
    start = 0
    for j, width in enumerate(widths):
        enriched, logits = [], []
        for n in range(count):
            scores = [squash(w["temporal_kernel"][j, n] @ hidden[t, n] + w["temporal_bias"][j, n]) for t in allowed]
            alpha[j, allowed, n] = softmax(np.array(scores))
            g = sum(alpha[j, t, n] * hidden[t, n] for t in allowed)
            enriched.append(np.concatenate([h[n], g]))
            logits.append(squash(w["variable_kernel"][j] @ enriched[n] + w["variable_bias"][j]))
        prior[j] = softmax(np.array(logits))
        units = slice(start, start + width)
        means.append(np.stack([_phi(w, "mean", enriched[n], n, j, units) for n in range(count)]))
        if config["output"] == "mixture":
            raw = np.stack([_phi(w, "scale", enriched[n], n, j, units) for n in range(count)])
            scales.append(np.log1p(np.exp(raw)) + config["min_scale"])
        start += width
    return hidden, alpha, prior, means, scales


def _phi(w, name, enriched, n, head, units):
    network = 0 if len(w[f"{name}_kernel"]) == 1 else n
    if "hidden_kernel" in w:
        enriched = np.maximum(enriched @ w["hidden_kernel"][network, head] + w["hidden_bias"][network, head], 0)
    return enriched @ w[f"{name}_kernel"][network, :, units] + w[f"{name}_bias"][network, units]


def log_normal(y, mean, scale):
    return -0.5 * np.log(2 * np.pi) - np.log(scale) - 0.5 * ((y - mean) / scale) ** 2


def maps_of(layer, x, mask=None):
    """Outputs and maps by their short name."""
    inputs = keras.Input(x.shape[1:])
    masks = keras.Input(x.shape[1:2], dtype="bool")
    if mask is None:
        outputs, maps, labels = read(keras.Model(inputs, layer(inputs)), x)
    else:
        outputs, maps, labels = read(keras.Model([inputs, masks], layer(inputs, mask=masks)), [x, mask])
    return (
        outputs,
        {k.rsplit("/", 1)[1]: v for k, v in maps.items()},
        {k.rsplit("/", 1)[1]: v for k, v in labels.items()},
    )


def hidden_of(layer, x):
    """The hidden matrices ``(B, T, N, d)``."""
    sequence = ops.convert_to_tensor(x[..., None] if x.ndim == 3 else x)
    flat = ops.convert_to_numpy(ops.stop_gradient(compiled(lambda tensor: layer.rnn(tensor))(sequence)))
    return flat.reshape(*flat.shape[:2], layer.cell.num_variables, layer.units)


def built(x, seed=0, **settings):
    layer = IMVLSTM(settings.pop("units", 3), **settings)
    layer.build(x.shape)
    return layer, randomize(layer, seed)
