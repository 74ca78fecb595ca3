"""The network that the benchmarks explain, and the same network as a plain torch module for the peers.

Two streams (64 and 32 features), an encoder 256-128 each, MAIL as published (dense scoring, softmax) with 64 hidden
units as in the article's listing, eight regression heads of one unit. The peers get the torch module because it is the
fastest thing that they can be given: Keras costs them a little on every call, and on JAX they cannot run it at all.
"""

import keras
import numpy as np
import torch

from xai_mimo.layers import MAIL

STREAMS = {"sensors": 64, "machine": 32}
HEADS = tuple(f"head{i}" for i in range(8))
HIDDEN_UNITS = 64


def build_network(seed: int = 0) -> keras.Model:
    """The Keras network on the backend that Keras was started with."""
    keras.utils.set_random_seed(seed)
    inputs = [keras.Input((width,), name=name) for name, width in STREAMS.items()]
    encoded = []
    for x in inputs:
        hidden = keras.layers.Dense(256, activation="relu", name=f"{x.name}_wide")(x)
        encoded.append(keras.layers.Dense(128, activation="relu", name=f"{x.name}_narrow")(hidden))
    mail = MAIL(dict.fromkeys(HEADS, 16), hidden_units=HIDDEN_UNITS, rescale=True, name="mail")
    contexts = mail(encoded)
    heads = {name: keras.layers.Dense(1, name=name)(keras.ops.tanh(contexts[name])) for name in HEADS}
    return keras.Model(inputs, heads)


def rows(count: int, seed: int = 1) -> dict[str, np.ndarray]:
    """Standard normal data, ``{stream: (count, width)}``."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(count, width)).astype("float32") for name, width in STREAMS.items()}


class TorchCopy(torch.nn.Module):
    """The same network and weights in plain torch, MAIL written as published: a loop of small layers over the heads.

    ``(sensors, machine) -> (batch, 8)``, heads in order.
    """

    def __init__(self, network: keras.Model) -> None:
        super().__init__()
        self.encoders = torch.nn.ModuleList(
            torch.nn.Sequential(
                _linear(*network.get_layer(f"{name}_wide").get_weights()),
                torch.nn.ReLU(),
                _linear(*network.get_layer(f"{name}_narrow").get_weights()),
                torch.nn.ReLU(),
            )
            for name in STREAMS
        )
        w = {v.name: keras.ops.convert_to_numpy(v) for v in network.get_layer("mail").weights}
        each = range(len(HEADS))
        columns = [slice(16 * j, 16 * (j + 1)) for j in each]
        self.hidden = torch.nn.ModuleList(_linear(w["hidden_kernel"][:, j], w["hidden_bias"][j]) for j in each)
        self.scores = torch.nn.ModuleList(_linear(w["score_kernel"][j], w["score_bias"][j]) for j in each)
        self.output = torch.nn.ModuleList(_linear(w["output_kernel"][:, c], w["output_bias"][c]) for c in columns)
        self.heads = torch.nn.ModuleList(_linear(*network.get_layer(name).get_weights()) for name in HEADS)
        self.eval()

    def forward(self, sensors: torch.Tensor, machine: torch.Tensor) -> torch.Tensor:
        """All heads side by side."""
        x = torch.cat([encode(s) for encode, s in zip(self.encoders, (sensors, machine), strict=True)], dim=1)
        found = []
        for hidden, scores, output, head in zip(self.hidden, self.scores, self.output, self.heads, strict=True):
            attention = torch.softmax(scores(torch.tanh(hidden(x))), dim=-1)
            found.append(head(torch.tanh(output(x.shape[1] * attention * x))))
        return torch.cat(found, dim=1)


def _linear(kernel: np.ndarray, bias: np.ndarray) -> torch.nn.Linear:
    layer = torch.nn.Linear(*kernel.shape)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(np.ascontiguousarray(kernel.T)))
        layer.bias.copy_(torch.tensor(bias))
    return layer.requires_grad_(False)
